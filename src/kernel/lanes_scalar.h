/*
 * Eight virtual f32 lanes in portable C. This is the definition; the other lanes_*.h do the same
 * operations with registers. vector.inc, matmul_float.inc and expf.inc are written over:
 *
 *   f32x8  8 lanes, for everything that sums along a vector
 *   i32x8  their bits, for the exponent in expf.inc
 *   vec    the ISA's natural vector of VEC_LANES, where lanes never meet and the width cannot
 *          matter; VEC_SUMS of them are summed at a time, as registers allow,
 *          for SCORE_VECTORS vectors of positions where attention scores them
 *
 * No operation fuses or approximates. Products and sums of NaN give NaN with an unspecified
 * payload.
 */
#ifndef HB_LANES_H
#define HB_LANES_H

#include "base/half.h"
#include "kernel/isa.h"

#include <stddef.h>

#define LANES_INLINE HB_INLINE

typedef struct f32x8 {
  float lane[8];
} f32x8;

typedef struct i32x8 {
  uint32_t lane[8];
} i32x8;

/* The tile of matmul_float.inc: weight rows by activation rows, as many as there are registers. */
#define FLOAT_TILE_ROWS 4
#define FLOAT_TILE_COLUMNS 2

#define LANES_DEFINE(type, result, expression)                                                     \
  type result;                                                                                     \
  for (int i = 0; i < 8; i++) result.lane[i] = (expression);                                       \
  return result

LANES_INLINE f32x8 f32x8_set1(float a) {
  LANES_DEFINE(f32x8, r, a);
}

LANES_INLINE f32x8 f32x8_load(const float *from) {
  LANES_DEFINE(f32x8, r, from[i]);
}

LANES_INLINE void f32x8_store(float *to, f32x8 a) {
  for (int i = 0; i < 8; i++) to[i] = a.lane[i];
}

LANES_INLINE f32x8 f32x8_load_f16(const uint16_t *from) {
  LANES_DEFINE(f32x8, r, hb_f32_of_f16(from[i]));
}

LANES_INLINE void f32x8_store_f16(uint16_t *to, f32x8 a) {
  for (int i = 0; i < 8; i++) to[i] = hb_f16_of_f32(a.lane[i]);
}

LANES_INLINE f32x8 f32x8_load_bf16(const uint16_t *from) {
  LANES_DEFINE(f32x8, r, hb_f32_of_bf16(from[i]));
}

LANES_INLINE f32x8 f32x8_add(f32x8 a, f32x8 b) {
  LANES_DEFINE(f32x8, r, a.lane[i] + b.lane[i]);
}

LANES_INLINE f32x8 f32x8_sub(f32x8 a, f32x8 b) {
  LANES_DEFINE(f32x8, r, a.lane[i] - b.lane[i]);
}

LANES_INLINE f32x8 f32x8_mul(f32x8 a, f32x8 b) {
  LANES_DEFINE(f32x8, r, a.lane[i] * b.lane[i]);
}

LANES_INLINE f32x8 f32x8_div(f32x8 a, f32x8 b) {
  LANES_DEFINE(f32x8, r, a.lane[i] / b.lane[i]);
}

/* b where either is NaN, and where both are zeros. */
LANES_INLINE f32x8 f32x8_max(f32x8 a, f32x8 b) {
  LANES_DEFINE(f32x8, r, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}

LANES_INLINE f32x8 f32x8_min(f32x8 a, f32x8 b) {
  LANES_DEFINE(f32x8, r, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}

/* a < b ? x : y; y where a or b is NaN. */
LANES_INLINE f32x8 f32x8_where_less(f32x8 a, f32x8 b, f32x8 x, f32x8 y) {
  LANES_DEFINE(f32x8, r, a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]);
}

LANES_INLINE f32x8 f32x8_abs(f32x8 a) {
  LANES_DEFINE(f32x8, r, hb_f32_of_bits(hb_bits_of_f32(a.lane[i]) & 0x7fffffffu));
}

/* The magnitude of a, which must not be negative, with the sign of b. */
LANES_INLINE f32x8 f32x8_copy_sign(f32x8 a, f32x8 b) {
  LANES_DEFINE(
      f32x8, r,
      hb_f32_of_bits(hb_bits_of_f32(a.lane[i]) | (hb_bits_of_f32(b.lane[i]) & 0x80000000u)));
}

LANES_INLINE i32x8 i32x8_of_bits(f32x8 a) {
  LANES_DEFINE(i32x8, r, hb_bits_of_f32(a.lane[i]));
}

LANES_INLINE i32x8 i32x8_set1(int32_t a) {
  LANES_DEFINE(i32x8, r, (uint32_t)a);
}

/* Wraps. */
LANES_INLINE i32x8 i32x8_sub(i32x8 a, i32x8 b) {
  LANES_DEFINE(i32x8, r, a.lane[i] - b.lane[i]);
}

/* Half, rounded down. */
LANES_INLINE i32x8 i32x8_half(i32x8 a) {
  LANES_DEFINE(i32x8, r, (a.lane[i] >> 1 | (a.lane[i] & 0x80000000u)));
}

/* 2^n for n in -126..127. */
LANES_INLINE f32x8 f32x8_pow2(i32x8 n) {
  LANES_DEFINE(f32x8, r, hb_f32_of_bits((n.lane[i] + 127u) << 23));
}

#undef LANES_DEFINE

#define VEC_LANES 8
#define VEC_SUMS 8
#define SCORE_VECTORS 1
typedef f32x8 vec;
#define vec_set1 f32x8_set1
#define vec_load f32x8_load
#define vec_load_f16 f32x8_load_f16
#define vec_store f32x8_store
#define vec_add f32x8_add
#define vec_mul f32x8_mul

#endif
