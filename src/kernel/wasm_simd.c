/* WebAssembly with 128-bit SIMD (browsers since 2021 to 2023). */
#if defined(__wasm_simd128__)

#include "kernel/lanes_wasm.h"
#include "kernel/codes_wasm_simd.h"

#include "kernel/kernels.inc"

const hb_kernels hb_kernels_simd128 = HB_KERNELS(HB_ISA_SIMD128, matmul);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
