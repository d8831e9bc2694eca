/* x86 with AVX-512 F, BW, VL and VNNI (Intel since 2019, AMD since 2022). */
#if defined(__x86_64__)

#include "kernel/lanes_avx512.h"
#include "kernel/codes_avx512.h"

#include "kernel/kernels.inc"

const hb_kernels hb_kernels_avx512 = HB_KERNELS(HB_ISA_AVX512);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
