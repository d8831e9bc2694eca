/* WebAssembly with 128-bit SIMD, where nothing is fused: two roundings. The fused multiply-add of
 * relaxed SIMD may round once or twice, as the engine likes. */
#if defined(__wasm_simd128__)

#include "kernel/lanes_wasm.h"

LANES_INLINE vec vec_fused(vec a, vec b, vec c) {
  return vec_add(vec_mul(a, b), c);
}

#define GEMM_ROWS 4
#define GEMM_VECTORS 2

#include "train/kernels.inc"

const hb_train_kernels hb_train_simd128 = HB_TRAIN_KERNELS(HB_ISA_SIMD128, NULL, 0);

#else
typedef int hb_empty_file; /* which ISO C forbids */
#endif
