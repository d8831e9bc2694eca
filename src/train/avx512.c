/* x86 with AVX-512 F, BW and VL (Intel since 2017, AMD since 2022). */
#if defined(__x86_64__)

#include "kernel/lanes_avx512.h"

LANES_INLINE vec vec_fused(vec a, vec b, vec c) {
  return _mm512_fmadd_ps(a, b, c);
}

#define GEMM_ROWS 14
#define GEMM_VECTORS 2

#include "train/kernels.inc"

const hb_train_kernels hb_train_avx512 = HB_TRAIN_KERNELS(HB_ISA_AVX512);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
