/* x86 with AVX-512 F, BW and VL (Intel since 2017, AMD since 2022), with the products for
 * bf16 that there are. */
#if defined(__x86_64__)

#include "kernel/lanes_avx512.h"

LANES_INLINE vec vec_fused(vec a, vec b, vec c) {
  return _mm512_fmadd_ps(a, b, c);
}

#define GEMM_ROWS 14
#define GEMM_VECTORS 2

#include "train/gemm_bf16.h"
#include "train/kernels.inc"

const hb_train_kernels hb_train_avx512 = HB_TRAIN_KERNELS(HB_ISA_AVX512, NULL, 0);
const hb_train_kernels hb_train_avx512_bf16 =
    HB_TRAIN_KERNELS(HB_ISA_AVX512, hb_gemm_bf16_avx512, HB_BF16_ROOM);
const hb_train_kernels hb_train_amx_bf16 =
    HB_TRAIN_KERNELS(HB_ISA_AMX, hb_gemm_bf16_amx, HB_BF16_ROOM);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
