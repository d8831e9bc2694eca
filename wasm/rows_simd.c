#include "kernel/lanes_wasm.h"

#include "rows.inc"

const hb_kernels hb_kernels_simd128 = ROW_KERNELS(HB_ISA_SIMD128);
