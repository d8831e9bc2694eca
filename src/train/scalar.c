/* The portable kernels of training, which define what all the others compute. In WebAssembly,
 * which has no fused multiply-add, they round products and sums each. */
#include "kernel/lanes_scalar.h"

#if defined(__wasm__)
static float fused(float a, float b, float c) {
  return a * b + c;
}
#else
/* A product of floats is exact in double. Its sum with c is rounded to odd there, that is, made odd
 * in its last bit where it is not exact, so that rounding it to f32 rounds a * b + c but once. */
static float fused(float a, float b, float c) {
  double product = (double)a * b, sum = product + c;
  double rest = sum - product, error = (product - (sum - rest)) + (c - rest);
  int64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  if ((error < 0 || error > 0) && (bits & 1) == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
  memcpy(&sum, &bits, sizeof bits);
  return (float)sum;
}
#endif

LANES_INLINE vec vec_fused(vec a, vec b, vec c) {
  vec out;
  for (int i = 0; i < VEC_LANES; i++) out.lane[i] = fused(a.lane[i], b.lane[i], c.lane[i]);
  return out;
}

#define GEMM_ROWS 2
#define GEMM_VECTORS 1

#include "train/kernels.inc"

const hb_train_kernels hb_train_scalar = HB_TRAIN_KERNELS(HB_ISA_SCALAR, NULL, 0);
