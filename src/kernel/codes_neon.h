/* The primitives of codes_scalar.h for AArch64 with the dot-product extension: 4 rows in a
 * register, i8 x i8. */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "kernel/activation.h"
#include "kernel/isa.h"

#include <arm_neon.h>

#define ROW_LANES 4
#define ROW_TILES(X, ...) X(1, 4, __VA_ARGS__) X(2, 4, __VA_ARGS__) X(4, 2, __VA_ARGS__)
#define ROW_CHUNK_LOOP HB_UNROLL
#define ROW_SIGNED_BIAS 0

typedef float32x4_t rowf;
typedef int32x4_t rowi, rowsum;
typedef uint8x16_t rowb;
typedef int8x16_t rowx;

HB_INLINE rowf rowf_splat(float a) {
  return vdupq_n_f32(a);
}

HB_INLINE rowf rowf_load(const uint8_t *from) {
  return vld1q_f32((const float *)(const void *)from);
}

HB_INLINE rowf rowf_f16(const uint8_t *from) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from)));
}

HB_INLINE uint8x8_t load4_u8(const uint8_t *from) {
  uint32_t four;
  memcpy(&four, from, 4);
  return vreinterpret_u8_u32(vdup_n_u32(four));
}

HB_INLINE rowi rowi_u8(const uint8_t *from) {
  return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(load4_u8(from)))));
}

HB_INLINE rowi rowi_i8(const uint8_t *from) {
  return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load4_u8(from)))));
}

HB_INLINE rowf rowf_e8m0(const uint8_t *from) {
  rowi e = rowi_u8(from);
  rowi normal = vshlq_n_s32(vsubq_s32(e, vdupq_n_s32(1)), 23);
  rowi subnormal = vaddq_s32(vshlq_n_s32(e, 21), vdupq_n_s32(0x00200000));
  return vreinterpretq_f32_s32(vmaxq_s32(normal, subnormal));
}

HB_INLINE rowf rowf_of(rowi a) {
  return vcvtq_f32_s32(a);
}

HB_INLINE rowf rowf_add(rowf a, rowf b) {
  return vaddq_f32(a, b);
}

HB_INLINE rowf rowf_sub(rowf a, rowf b) {
  return vsubq_f32(a, b);
}

HB_INLINE rowf rowf_mul(rowf a, rowf b) {
  return vmulq_f32(a, b);
}

HB_INLINE void rowf_store(float *to, rowf a) {
  vst1q_f32(to, a);
}

HB_INLINE rowi rowi_splat(int32_t a) {
  return vdupq_n_s32(a);
}

HB_INLINE rowi rowi_low_nibble(rowi a) {
  return vandq_s32(a, vdupq_n_s32(15));
}

HB_INLINE rowi rowi_high_nibble(rowi a) {
  return vshrq_n_s32(a, 4);
}

HB_INLINE rowi rowi_add(rowi a, rowi b) {
  return vaddq_s32(a, b);
}

HB_INLINE rowi rowi_mul(rowi a, rowi b) {
  return vmulq_s32(a, b);
}

HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  return vmlaq_n_s32(vmulq_n_s32(w0, sum[0]), w1, sum[1]);
}

HB_INLINE rowb rowb_load(const uint8_t *from) {
  return vld1q_u8(from);
}

HB_INLINE rowb rowb_low_nibbles(rowb a) {
  return vandq_u8(a, vdupq_n_u8(15));
}

HB_INLINE rowb rowb_high_nibbles(rowb a) {
  return vshrq_n_u8(a, 4);
}

HB_INLINE rowb rowb_or_bits(rowb codes, rowb bits, int left, int mask) {
  rowb shifted = vshlq_u8(bits, vdupq_n_s8((int8_t)left));
  return vorrq_u8(codes, vandq_u8(shifted, vdupq_n_u8((uint8_t)mask)));
}

HB_INLINE rowb rowb_signed(rowb a) {
  return a;
}

HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  return vreinterpretq_u8_s8(vqtbl1q_s8(vld1q_s8(table), a));
}

/* One lookup in the tables of all four rows, 64 bytes. */
HB_INLINE rowb rowb_lookup_rows(rowb a, const uint8_t *tables, size_t row) {
  const uint8_t *first = tables + 4 * row;
  uint8x16x4_t four = {
      {vld1q_u8(first), vld1q_u8(first + 64), vld1q_u8(first + 128), vld1q_u8(first + 192)}};
  uint8x16_t own = vreinterpretq_u8_u64(
      vcombine_u64(vcreate_u64(0x1010101000000000), vcreate_u64(0x3030303020202020)));
  return vqtbl4q_u8(four, vorrq_u8(a, own));
}

HB_INLINE rowx rowx_load(const activation *x, int at) {
  int32_t four;
  memcpy(&four, x->q + 4 * at, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

HB_INLINE rowsum rowsum_begin(rowi first) {
  return first;
}

HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  return vdotq_s32(sum, vreinterpretq_s8_u8(w), x);
}

/* Codes below 64 are the same as i8. */
HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  return rowsum_dot_signed(sum, w, x, bits);
}

HB_INLINE rowi rowsum_end(rowsum sum) {
  return sum;
}

#endif
