/* AArch64 with the dot-product extension (ARMv8.2: Cortex-A55 and A75, Apple M1 and later). */
#if defined(__aarch64__)

#include "kernel/lanes_neon.h"
#include "kernel/codes_neon.h"

#include "kernel/kernels.inc"

const hb_kernels hb_kernels_neon = HB_KERNELS(HB_ISA_NEON, matmul);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
