/* The lanes of lanes_scalar.h in two AArch64 registers: lanes 0..3 in lo, 4..7 in hi. */
#ifndef HB_LANES_H
#define HB_LANES_H

#include "base/half.h"

#include <arm_neon.h>
#include <stddef.h>

#define LANES_INLINE static inline __attribute__((always_inline))

typedef struct f32x8 {
  float32x4_t lo, hi;
} f32x8;

typedef struct i32x8 {
  int32x4_t lo, hi;
} i32x8;

#define FLOAT_TILE_ROWS 4
#define FLOAT_TILE_COLUMNS 2

LANES_INLINE f32x8 f32x8_set1(float a) {
  return (f32x8){vdupq_n_f32(a), vdupq_n_f32(a)};
}

LANES_INLINE f32x8 f32x8_load(const float *from) {
  return (f32x8){vld1q_f32(from), vld1q_f32(from + 4)};
}

LANES_INLINE void f32x8_store(float *to, f32x8 a) {
  vst1q_f32(to, a.lo);
  vst1q_f32(to + 4, a.hi);
}

LANES_INLINE float32x4_t load4_f16(const uint16_t *from) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
}

LANES_INLINE f32x8 f32x8_load_f16(const uint16_t *from) {
  return (f32x8){load4_f16(from), load4_f16(from + 4)};
}

LANES_INLINE void f32x8_store_f16(uint16_t *to, f32x8 a) {
  vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(a.lo)));
  vst1_u16(to + 4, vreinterpret_u16_f16(vcvt_f16_f32(a.hi)));
}

LANES_INLINE f32x8 f32x8_load_bf16(const uint16_t *from) {
  return (f32x8){vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from), 16)),
                 vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from + 4), 16))};
}

LANES_INLINE f32x8 f32x8_add(f32x8 a, f32x8 b) {
  return (f32x8){vaddq_f32(a.lo, b.lo), vaddq_f32(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_sub(f32x8 a, f32x8 b) {
  return (f32x8){vsubq_f32(a.lo, b.lo), vsubq_f32(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_mul(f32x8 a, f32x8 b) {
  return (f32x8){vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_div(f32x8 a, f32x8 b) {
  return (f32x8){vdivq_f32(a.lo, b.lo), vdivq_f32(a.hi, b.hi)};
}

LANES_INLINE f32x8 f32x8_where_less(f32x8 a, f32x8 b, f32x8 x, f32x8 y) {
  return (f32x8){vbslq_f32(vcltq_f32(a.lo, b.lo), x.lo, y.lo),
                 vbslq_f32(vcltq_f32(a.hi, b.hi), x.hi, y.hi)};
}

/* Not fmax and fmin, which treat NaN and zeros in another way. */
LANES_INLINE f32x8 f32x8_max(f32x8 a, f32x8 b) {
  return f32x8_where_less(b, a, a, b);
}

LANES_INLINE f32x8 f32x8_min(f32x8 a, f32x8 b) {
  return f32x8_where_less(a, b, a, b);
}

LANES_INLINE f32x8 f32x8_abs(f32x8 a) {
  return (f32x8){vabsq_f32(a.lo), vabsq_f32(a.hi)};
}

LANES_INLINE f32x8 f32x8_copy_sign(f32x8 a, f32x8 b) {
  uint32x4_t sign = vdupq_n_u32(0x80000000u);
  return (f32x8){vbslq_f32(sign, b.lo, a.lo), vbslq_f32(sign, b.hi, a.hi)};
}

LANES_INLINE i32x8 i32x8_of_bits(f32x8 a) {
  return (i32x8){vreinterpretq_s32_f32(a.lo), vreinterpretq_s32_f32(a.hi)};
}

LANES_INLINE i32x8 i32x8_set1(int32_t a) {
  return (i32x8){vdupq_n_s32(a), vdupq_n_s32(a)};
}

LANES_INLINE i32x8 i32x8_sub(i32x8 a, i32x8 b) {
  return (i32x8){vsubq_s32(a.lo, b.lo), vsubq_s32(a.hi, b.hi)};
}

LANES_INLINE i32x8 i32x8_half(i32x8 a) {
  return (i32x8){vshrq_n_s32(a.lo, 1), vshrq_n_s32(a.hi, 1)};
}

LANES_INLINE float32x4_t pow2x4(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

LANES_INLINE f32x8 f32x8_pow2(i32x8 n) {
  return (f32x8){pow2x4(n.lo), pow2x4(n.hi)};
}

#define VEC_LANES 4
#define VEC_SUMS 16
#define SCORE_VECTORS 4
typedef float32x4_t vec;
#define vec_set1 vdupq_n_f32
#define vec_load vld1q_f32
#define vec_load_f16 load4_f16
#define vec_store vst1q_f32
#define vec_add vaddq_f32
#define vec_mul vmulq_f32

#endif
