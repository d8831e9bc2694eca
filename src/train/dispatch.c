#include "train/tables.h"

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_fma(void) {
  uint32_t a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 12) != 0;
}

static bool has_avx512_bf16(void) {
  uint32_t a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5) != 0;
}

static const hb_train_kernels *with_avx512(void) {
  return has_avx512_bf16() ? &hb_train_avx512_bf16 : &hb_train_avx512;
}

static bool has_amx_bf16(void) {
  uint32_t a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 22) != 0 && has_avx512_bf16();
}

#endif

const hb_train_kernels *hb_train_kernels_for(hb_isa isa) {
  if (!hb_isa_available(isa)) return NULL;
  switch (isa) {
  case HB_ISA_SCALAR: return &hb_train_scalar;
#if defined(__x86_64__)
  case HB_ISA_AVX2: return has_fma() ? &hb_train_avx2 : &hb_train_scalar;
  case HB_ISA_AVX512: return with_avx512();
  case HB_ISA_AMX: return has_amx_bf16() ? &hb_train_amx_bf16 : with_avx512();
#endif
#if defined(__aarch64__)
  case HB_ISA_NEON: return &hb_train_neon;
#endif
#if defined(__wasm_simd128__)
  case HB_ISA_SIMD128:
  case HB_ISA_RELAXED: return &hb_train_simd128;
#endif
  default: return NULL;
  }
}
