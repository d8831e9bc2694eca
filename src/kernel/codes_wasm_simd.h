/* The primitives of codes_scalar.h in simd128: products of 16 bits, added in pairs. */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "kernel/codes_wasm.h"

/* The activations are kept in 16 bits, 4 at a time in the order x0 x2 x1 x3, which is that of the
 * even and odd bytes of a lane of codes. */
typedef struct activation {
  float d;
  int16_t sum[2];
  int16_t q[32];
} activation;

HB_INLINE void activation_store(activation *a, const int8_t *q) {
  for (int i = 0; i < 32; i += 4) {
    a->q[i] = q[i];
    a->q[i + 1] = q[i + 2];
    a->q[i + 2] = q[i + 1];
    a->q[i + 3] = q[i + 3];
  }
}

typedef struct rowx {
  v128_t even, odd;
} rowx;

HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  return weigh_sums(sum, w0, w1);
}

HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  return wasm_i8x16_swizzle(wasm_v128_load(table), a);
}

HB_INLINE rowb rowb_lookup_rows(rowb a, const uint8_t *tables, size_t row) {
  const int8_t *first = (const int8_t *)tables + 4 * row;
  return own_lanes(rowb_lookup(a, first), rowb_lookup(a, first + 64), rowb_lookup(a, first + 128),
                   rowb_lookup(a, first + 192));
}

HB_INLINE rowx rowx_load(const activation *x, int at) {
  return (rowx){wasm_v128_load32_splat(x->q + 4 * at), wasm_v128_load32_splat(x->q + 4 * at + 2)};
}

HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  v128_t even = wasm_v128_and(w, wasm_i16x8_const_splat(0xff)), odd = wasm_u16x8_shr(w, 8);
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(even, x.even));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(odd, x.odd));
}

HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(even_signed(w), x.even));
  return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(odd_signed(w), x.odd));
}

#endif
