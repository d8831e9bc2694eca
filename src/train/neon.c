/* AArch64. */
#if defined(__aarch64__)

#include "kernel/lanes_neon.h"

LANES_INLINE vec vec_fused(vec a, vec b, vec c) {
  return vfmaq_f32(c, a, b);
}

#define GEMM_ROWS 8
#define GEMM_VECTORS 3

#include "train/kernels.inc"

const hb_train_kernels hb_train_neon = HB_TRAIN_KERNELS(HB_ISA_NEON, NULL, 0);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
