/* The lanes of lanes_scalar.h in two simd128 vectors: lanes 0..3 in lo, 4..7 in hi. Relaxed SIMD
 * has nothing to add: its floating-point operations are not determined. */
#ifndef HB_LANES_H
#define HB_LANES_H

#include "base/half.h"

#include <stddef.h>
#include <wasm_simd128.h>

#define LANES_INLINE static inline __attribute__((always_inline))

typedef struct f32x8 {
  v128_t lo, hi;
} f32x8;

typedef f32x8 i32x8;

/* 4 sums fill half of the 16 registers that engines have on x86, and a weight is converted once
 * for 4. */
#define FLOAT_TILE_ROWS 1
#define FLOAT_TILE_COLUMNS 4

LANES_INLINE f32x8 f32x8_set1(float a) {
  return (f32x8){wasm_f32x4_splat(a), wasm_f32x4_splat(a)};
}

LANES_INLINE v128_t load4(const float *from) {
  return wasm_v128_load(from);
}

LANES_INLINE f32x8 f32x8_load(const float *from) {
  return (f32x8){load4(from), load4(from + 4)};
}

LANES_INLINE void store4(float *to, v128_t a) {
  wasm_v128_store(to, a);
}

LANES_INLINE void f32x8_store(float *to, f32x8 a) {
  store4(to, a.lo);
  store4(to + 4, a.hi);
}

/* The same bits in 4 lanes, for loops. Engines make a vector that is a constant anew in each round,
 * and keep one that comes from a variable. */
LANES_INLINE v128_t kept_splat(uint32_t bits) {
  __asm__("" : "+r"(bits));
  return wasm_i32x4_splat((int32_t)bits);
}

/* As hb_f32_of_f16. The load extends the sign, so that the shifted bits begin with it. Infinities
 * and NaN, 65536 and more by now, overflow when multiplied once more and come back as infinity,
 * whose exponent is then added to their mantissa; any other number comes back as it was. */
LANES_INLINE v128_t load4_f16(const uint16_t *from) {
  v128_t up = kept_splat(0x77800000), down = kept_splat(0x07800000);
  v128_t bits =
      wasm_v128_and(wasm_i32x4_shl(wasm_i32x4_load16x4(from), 13), kept_splat(0x8fffffff));
  v128_t value = wasm_f32x4_mul(bits, up);
  return wasm_v128_or(value, wasm_f32x4_mul(wasm_f32x4_mul(value, up), down));
}

/* The halves of a number are made 8 at once: `high` has the sign, the exponent and 7 bits.
 * Infinities and NaN get the exponent of f32 before the product, which leaves them alone. */
LANES_INLINE f32x8 f32x8_load_f16(const uint16_t *from) {
  v128_t half = wasm_v128_load(from), up = wasm_f32x4_const_splat(0x1p112f);
  v128_t exponent = wasm_i16x8_const_splat(0x7c00);
  v128_t infinite = wasm_i16x8_eq(wasm_v128_and(half, exponent), exponent);
  v128_t high =
      wasm_v128_or(wasm_v128_and(wasm_i16x8_shr(half, 3), wasm_i16x8_const_splat((int16_t)0x8fff)),
                   wasm_v128_and(infinite, wasm_i16x8_const_splat(0x7000)));
  v128_t low = wasm_i16x8_shl(half, 13);
  return (f32x8){wasm_f32x4_mul(wasm_i16x8_shuffle(low, high, 0, 8, 1, 9, 2, 10, 3, 11), up),
                 wasm_f32x4_mul(wasm_i16x8_shuffle(low, high, 4, 12, 5, 13, 6, 14, 7, 15), up)};
}

/* The same for finite numbers, in two thirds of the operations. `seen` collects their bits: without
 * 0x4000, the highest of the exponent, all were below 2 in magnitude, and so finite. */
#define LANES_FINITE_F16
LANES_INLINE f32x8 f32x8_load_finite_f16(const uint16_t *from, v128_t *seen) {
  v128_t half = wasm_v128_load(from), up = kept_splat(0x77800000);
  *seen = wasm_v128_or(*seen, half);
  v128_t high = wasm_v128_and(wasm_i16x8_shr(half, 3), kept_splat(0x8fff8fff));
  v128_t low = wasm_i16x8_shl(half, 13);
  return (f32x8){wasm_f32x4_mul(wasm_i16x8_shuffle(low, high, 0, 8, 1, 9, 2, 10, 3, 11), up),
                 wasm_f32x4_mul(wasm_i16x8_shuffle(low, high, 4, 12, 5, 13, 6, 14, 7, 15), up)};
}

LANES_INLINE void f32x8_store_f16(uint16_t *to, f32x8 a) {
  float lane[8];
  f32x8_store(lane, a);
  for (int i = 0; i < 8; i++) to[i] = hb_f16_of_f32(lane[i]);
}

LANES_INLINE v128_t load4_bf16(const uint16_t *from) {
  return wasm_i32x4_shl(wasm_u32x4_load16x4(from), 16);
}

LANES_INLINE f32x8 f32x8_load_bf16(const uint16_t *from) {
  return (f32x8){load4_bf16(from), load4_bf16(from + 4)};
}

LANES_INLINE f32x8 f32x8_add(f32x8 a, f32x8 b) {
  return (f32x8){wasm_f32x4_add(a.lo, b.lo), wasm_f32x4_add(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_sub(f32x8 a, f32x8 b) {
  return (f32x8){wasm_f32x4_sub(a.lo, b.lo), wasm_f32x4_sub(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_mul(f32x8 a, f32x8 b) {
  return (f32x8){wasm_f32x4_mul(a.lo, b.lo), wasm_f32x4_mul(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_div(f32x8 a, f32x8 b) {
  return (f32x8){wasm_f32x4_div(a.lo, b.lo), wasm_f32x4_div(a.hi, b.hi)};
}

/* pmax(b, a) is b < a ? a : b; pmin(b, a) is a < b ? a : b. */
LANES_INLINE f32x8 f32x8_max(f32x8 a, f32x8 b) {
  return (f32x8){wasm_f32x4_pmax(b.lo, a.lo), wasm_f32x4_pmax(b.hi, a.hi)};
}

LANES_INLINE f32x8 f32x8_min(f32x8 a, f32x8 b) {
  return (f32x8){wasm_f32x4_pmin(b.lo, a.lo), wasm_f32x4_pmin(b.hi, a.hi)};
}

LANES_INLINE f32x8 f32x8_where_less(f32x8 a, f32x8 b, f32x8 x, f32x8 y) {
  return (f32x8){wasm_v128_bitselect(x.lo, y.lo, wasm_f32x4_lt(a.lo, b.lo)),
                 wasm_v128_bitselect(x.hi, y.hi, wasm_f32x4_lt(a.hi, b.hi))};
}

LANES_INLINE f32x8 f32x8_abs(f32x8 a) {
  return (f32x8){wasm_f32x4_abs(a.lo), wasm_f32x4_abs(a.hi)};
}

LANES_INLINE f32x8 f32x8_copy_sign(f32x8 a, f32x8 b) {
  v128_t sign = wasm_f32x4_const_splat(-0.0f);
  return (f32x8){wasm_v128_bitselect(b.lo, a.lo, sign), wasm_v128_bitselect(b.hi, a.hi, sign)};
}

LANES_INLINE i32x8 i32x8_of_bits(f32x8 a) {
  return a;
}

LANES_INLINE i32x8 i32x8_set1(int32_t a) {
  return (i32x8){wasm_i32x4_splat(a), wasm_i32x4_splat(a)};
}

LANES_INLINE i32x8 i32x8_sub(i32x8 a, i32x8 b) {
  return (i32x8){wasm_i32x4_sub(a.lo, b.lo), wasm_i32x4_sub(a.hi, b.hi)};
}

LANES_INLINE i32x8 i32x8_half(i32x8 a) {
  return (i32x8){wasm_i32x4_shr(a.lo, 1), wasm_i32x4_shr(a.hi, 1)};
}

LANES_INLINE v128_t pow2x4(v128_t n) {
  return wasm_i32x4_shl(wasm_i32x4_add(n, wasm_i32x4_const_splat(127)), 23);
}

LANES_INLINE f32x8 f32x8_pow2(i32x8 n) {
  return (f32x8){pow2x4(n.lo), pow2x4(n.hi)};
}

#define VEC_LANES 4
#define VEC_SUMS 8
#define SCORE_VECTORS 2
typedef v128_t vec;
#define vec_set1 wasm_f32x4_splat
#define vec_load load4
#define vec_load_f16 load4_f16
#define vec_store store4
#define vec_add wasm_f32x4_add
#define vec_mul wasm_f32x4_mul

#endif
