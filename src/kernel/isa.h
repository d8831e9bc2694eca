/* The tables of the ISA files, and what those files share. */
#ifndef HB_KERNEL_ISA_H
#define HB_KERNEL_ISA_H

#include "kernel/kernel.h"

/* Each is defined where its file is not empty: the target has the ISA, whether or not the machine
 * that runs it does. generic.c exists everywhere. */
extern const hb_kernels hb_kernels_scalar;
#if defined(__x86_64__)
extern const hb_kernels hb_kernels_avx2, hb_kernels_avx512, hb_kernels_amx;
#endif
#if defined(__aarch64__)
extern const hb_kernels hb_kernels_neon;
#endif
#if defined(__wasm_simd128__)
extern const hb_kernels hb_kernels_simd128;
#endif
#if defined(__wasm_relaxed_simd__)
extern const hb_kernels hb_kernels_relaxed;
#endif

/* The inner functions take constants that select code, so they must be inlined. Kernels must not
 * be: JavaScript engines optimize a hot function, not the loop inside a cold one. */
#define HB_INLINE static inline __attribute__((always_inline))
#define HB_NOINLINE __attribute__((noinline))

/* Asks for the cache line that lies `ahead` bytes behind `at`, whether or not there is one.
 * WebAssembly has no such request. */
HB_INLINE void hb_prefetch(const uint8_t *at, size_t ahead) {
#ifdef __wasm__
  (void)at, (void)ahead;
#else
  __builtin_prefetch((const void *)((uintptr_t)at + ahead));
#endif
}

#if defined(__clang__)
#define HB_UNROLL _Pragma("clang loop unroll(full)")
#define HB_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define HB_UNROLL _Pragma("GCC unroll 16")
#define HB_ROLLED _Pragma("GCC unroll 1")
#endif

#endif
