/* WebAssembly with relaxed SIMD, of which only the 8-bit dot product is used. */
#if defined(__wasm_relaxed_simd__)

#include "kernel/lanes_wasm.h"
#include "kernel/codes_wasm_relaxed.h"

#include "kernel/kernels.inc"

const hb_kernels hb_kernels_relaxed = HB_KERNELS(HB_ISA_RELAXED, matmul);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
