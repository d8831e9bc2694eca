/* x86 with AVX2 and F16C (Intel since 2013, AMD since 2015). No FMA: a fused operation rounds once
 * where the others round twice. */
#if defined(__x86_64__)

#include "kernel/lanes_avx2.h"
#include "kernel/codes_avx2.h"

#include "kernel/kernels.inc"

const hb_kernels hb_kernels_avx2 = HB_KERNELS(HB_ISA_AVX2, matmul);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
