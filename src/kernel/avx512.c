/* x86 with AVX-512 F, BW, VL and VNNI (Intel since 2019, AMD since 2022), and the same with AMX
 * (Intel servers since 2023) for products with many rows. */
#if defined(__x86_64__)

#include "kernel/lanes_avx512.h"
#include "kernel/codes_avx512.h"

#include "kernel/kernels.inc"
#include "kernel/amx.inc"

const hb_kernels hb_kernels_avx512 = HB_KERNELS(HB_ISA_AVX512, matmul);
const hb_kernels hb_kernels_amx = HB_KERNELS(HB_ISA_AMX, matmul_amx);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
