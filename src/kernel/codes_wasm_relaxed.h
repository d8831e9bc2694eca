/* The primitives of codes_scalar.h in relaxed SIMD: i8 times i7, four products added. The result is
 * the same on every engine only where the second operand is in 0..127; no sum saturates then. */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "kernel/codes_wasm.h"

/* q also as magnitudes and signs (0 or -1): signed codes take the magnitudes as the i7. */
typedef struct activation {
  float d;
  int16_t sum[2];
  int32_t negative; /* the magnitudes of those below 0, added */
  int8_t q[32];
  int8_t magnitude[32];
  int8_t sign[32];
} activation;

HB_INLINE void activation_store(activation *a, const int8_t *q) {
  int32_t negative = 0;
  for (int i = 0; i < 32; i++) {
    int sign = q[i] < 0 ? -1 : 0;
    a->q[i] = q[i];
    a->magnitude[i] = (int8_t)((q[i] ^ sign) - sign);
    a->sign[i] = (int8_t)sign;
    negative += a->magnitude[i] & sign;
  }
  a->negative = negative;
}

/* What rowsum_dot_signed leaves out. */
#define ROW_SIGNED_START(x) wasm_v128_load32_splat(&(x)->negative)

typedef struct rowx {
  v128_t q, magnitude, sign;
} rowx;

HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  return weigh_sums(sum, w0, w1);
}

/* Determined, since indices are below 16. */
HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  return wasm_i8x16_relaxed_swizzle(wasm_v128_load(table), a);
}

HB_INLINE rowb rowb_lookup_rows(rowb a, const uint8_t *tables, size_t row) {
  const int8_t *first = (const int8_t *)tables + 4 * row;
  return own_lanes(rowb_lookup(a, first), rowb_lookup(a, first + 64), rowb_lookup(a, first + 128),
                   rowb_lookup(a, first + 192));
}

HB_INLINE rowx rowx_load(const activation *x, int at) {
  return (rowx){wasm_v128_load32_splat(x->q + 4 * at),
                wasm_v128_load32_splat(x->magnitude + 4 * at),
                wasm_v128_load32_splat(x->sign + 4 * at)};
}

HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x.q, w, sum);
}

/* Where x is negative, ~w = -w - 1 takes the place of -w, so that |x| is missing once. */
HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_xor(w, x.sign), x.magnitude, sum);
}

#endif
