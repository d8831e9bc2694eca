/* The primitives of codes_scalar.h in relaxed SIMD: i8 times i7, four products added. The result is
 * the same on every engine only where the second operand is in 0..127; no sum saturates then. */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "kernel/activation.h"
#include "kernel/codes_wasm.h"

/* rowsum_dot_signed is wrong for w = -128. */
#define ROW_SIGNED_EXCLUDES_MIN

typedef v128_t rowx;

HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  return weigh_sums(sum, w0, w1);
}

/* Determined, since indices are below 16. */
HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  return wasm_i8x16_relaxed_swizzle(wasm_v128_load(table), a);
}

HB_INLINE rowx rowx_load(const activation *x, int at) {
  return wasm_v128_load32_splat(x->q + 4 * at);
}

HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, w, sum);
}

/* |x| is the i7, w with the sign of x the i8. */
HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  v128_t negative = wasm_i8x16_lt(x, wasm_i8x16_const_splat(0));
  v128_t turned = wasm_i8x16_sub(wasm_v128_xor(w, negative), negative);
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(turned, wasm_i8x16_abs(x), sum);
}

/* For any int8, in 16 bits. */
HB_INLINE rowsum rowsum_dot_exact(rowsum sum, rowb w, rowx x) {
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(even_signed(w), even_signed(x)));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(odd_signed(w), odd_signed(x)));
}

#endif
