/* x86 with AVX2, F16C and FMA (Intel since 2013, AMD since 2015). */
#if defined(__x86_64__)

#include "kernel/lanes_avx2.h"

LANES_INLINE vec vec_fused(vec a, vec b, vec c) {
  return _mm256_fmadd_ps(a, b, c);
}

#define GEMM_ROWS 6
#define GEMM_VECTORS 2

#include "train/kernels.inc"

const hb_train_kernels hb_train_avx2 = HB_TRAIN_KERNELS(HB_ISA_AVX2, NULL, 0);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
