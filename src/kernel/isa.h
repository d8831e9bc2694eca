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

/* The inner functions take constants that select code, so they must be inlined, but where a file is
 * compiled with HB_SMALL to be small. Kernels must not be: JavaScript engines optimize a hot
 * function, not the loop inside a cold one. */
#ifdef HB_SMALL
#define HB_INLINE static inline
#else
#define HB_INLINE static inline __attribute__((always_inline))
#endif
#define HB_NOINLINE __attribute__((noinline))

#if defined(__clang__)
#define HB_UNROLL _Pragma("clang loop unroll(full)")
#define HB_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define HB_UNROLL _Pragma("GCC unroll 16")
#define HB_ROLLED _Pragma("GCC unroll 1")
#endif

/* Asks for a cache line. WebAssembly has no way to but reading it. */
HB_INLINE void hb_prefetch(const uint8_t *at) {
#ifdef __wasm__
  (void)*(const volatile uint8_t *)at;
#else
  __builtin_prefetch(at);
#endif
}

/* Who reads a long stretch of memory calls this at least every 512 bytes, saying where it is. It
 * asks for lines of the next 32 KiB, one in each of 8 pages. The hardware looks ahead within a page
 * by itself, but not across its end, and there the translation of addresses must be looked up, too:
 * this way 8 such waits become one. There may be no such memory. */
HB_INLINE void hb_read_ahead(const uint8_t *at) {
  enum { PAGE = 4096, PAGES = 8 };
  uintptr_t done = (uintptr_t)at % (PAGES * PAGE);
  uintptr_t next = (uintptr_t)at - done + PAGES * PAGE + done / PAGES;
#ifdef __wasm__
  if ((next >> 16) + 1 >= __builtin_wasm_memory_size(0)) return;
  __asm__("" : "+r"(next)); /* else LLVM makes 8 addresses, which the offsets of loads would save */
#endif
  HB_UNROLL for (int i = 0; i < PAGES; i++) hb_prefetch((const uint8_t *)next + i * PAGE);
}

#endif
