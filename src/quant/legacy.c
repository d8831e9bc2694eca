/*
 * Blocks of 32 values with a scale, and in the _1 forms a minimum, in half precision.
 *
 *   Q4_0  | d:2 | qs:16 |              w = d * (q - 8)         18 bytes
 *   Q4_1  | d:2 | m:2 | qs:16 |        w = d * q + m           20
 *   Q5_0  | d:2 | qh:4 | qs:16 |       w = d * (q - 16)        22
 *   Q5_1  | d:2 | m:2 | qh:4 | qs:16 | w = d * q + m           24
 *   Q8_0  | d:2 | qs:32 |              w = d * q, q signed     34
 *
 *   qs[j]:   7 6 5 4 | 3 2 1 0         low four bits of a value:
 *            w[j+16] |  w[j]           the halves of a block share a byte
 *   qh, a little-endian u32: bit j is the fifth bit of w[j].
 */
#include "quant/bits.h"
#include "quant/formats.h"

enum { VALUES = 32, HALF = VALUES / 2 };

/* The four low bits of the block's values. */
static void unpack_nibbles(const uint8_t *qs, uint8_t q[VALUES]) {
  for (uint32_t j = 0; j < HALF; j++) {
    q[j] = qs[j] & 15;
    q[j + HALF] = qs[j] >> 4;
  }
}

static void unpack_five_bits(const uint8_t *qh, const uint8_t *qs, uint8_t q[VALUES]) {
  uint32_t fifth = hb_load_u32(qh);
  unpack_nibbles(qs, q);
  for (uint32_t j = 0; j < VALUES; j++) q[j] = (uint8_t)(q[j] | (fifth >> j & 1) << 4);
}

HB_DECODER(q4_0) {
  const uint8_t *b = in;
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 18, out += VALUES) {
    float d = hb_load_f16(b);
    unpack_nibbles(b + 2, q);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)(q[j] - 8) * d;
  }
}

HB_DECODER(q4_1) {
  const uint8_t *b = in;
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 20, out += VALUES) {
    float d = hb_load_f16(b), m = hb_load_f16(b + 2);
    unpack_nibbles(b + 4, q);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)q[j] * d + m;
  }
}

HB_DECODER(q5_0) {
  const uint8_t *b = in;
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 22, out += VALUES) {
    float d = hb_load_f16(b);
    unpack_five_bits(b + 2, b + 6, q);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)(q[j] - 16) * d;
  }
}

HB_DECODER(q5_1) {
  const uint8_t *b = in;
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 24, out += VALUES) {
    float d = hb_load_f16(b), m = hb_load_f16(b + 2);
    unpack_five_bits(b + 4, b + 8, q);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)q[j] * d + m;
  }
}

HB_DECODER(q8_0) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 34, out += VALUES) {
    float d = hb_load_f16(b);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)(int8_t)b[2 + j] * d;
  }
}

/* ---- Encoding: round to nearest, as ggml's reference does ---- */

/* The whole part of x, cut to 0..limit; 0 for NaN. */
static int32_t truncate(float x, float limit) {
  x = x > 0 ? x : 0;
  return (int32_t)(x < limit ? x : limit);
}

/* The value of largest magnitude, with its sign; the first of equals; 0 if there is none but NaN.
 * Magnitudes are compared as integers, which a vector can do in any order. */
static float signed_extreme(const float *x) {
  uint32_t largest = 0;
  for (uint32_t j = 0; j < VALUES; j++) {
    uint32_t magnitude = hb_bits_of_f32(x[j]) & 0x7fffffffu;
    if (magnitude > 0x7f800000u) magnitude = 0; /* NaN */
    if (magnitude > largest) largest = magnitude;
  }
  for (uint32_t j = 0; largest > 0; j++)
    if ((hb_bits_of_f32(x[j]) & 0x7fffffffu) == largest) return x[j];
  return 0;
}

/* The first of the least values and the largest one, or the ends of f32 if all are NaN. */
static void bounds(const float *x, float *low, float *high) {
  enum { LANES = 8 };
  float least[LANES], largest[LANES];
  for (uint32_t k = 0; k < LANES; k++) {
    least[k] = 0x1.fffffep127f;
    largest[k] = -0x1.fffffep127f;
  }
  for (uint32_t j = 0; j < VALUES; j += LANES)
    for (uint32_t k = 0; k < LANES; k++) {
      least[k] = x[j + k] < least[k] ? x[j + k] : least[k];
      largest[k] = x[j + k] > largest[k] ? x[j + k] : largest[k];
    }
  for (uint32_t k = 1; k < LANES; k++) {
    if (least[k] < least[0]) least[0] = least[k];
    if (largest[k] > largest[0]) largest[0] = largest[k];
  }
  uint32_t first = 0; /* 0 and -0 are equal: which stands there first is the minimum */
  while (first < VALUES - 1 && x[first] != least[0]) first++;
  *low = x[first] == least[0] ? x[first] : least[0];
  *high = largest[0];
}

/* q = whole part of x / d + half of the range + 1/2, where d maps the extreme to the range's end.
 */
static float quantize_symmetric(const float *x, uint32_t half_range, uint8_t *q) {
  float d = signed_extreme(x) / -(float)half_range;
  float inverse = d != 0 ? 1 / d : 0;
  float top = (float)(2 * half_range - 1);
  for (uint32_t j = 0; j < VALUES; j++) {
    float scaled = x[j] * inverse;
    q[j] = (uint8_t)truncate(scaled + ((float)half_range + 0.5f), top);
  }
  return d;
}

/* q = whole part of (x - low) / d + 1/2. */
static float quantize_affine(const float *x, uint32_t steps, uint8_t *q, float *low) {
  float high;
  bounds(x, low, &high);
  float d = (high - *low) / (float)steps;
  float inverse = d != 0 ? 1 / d : 0;
  for (uint32_t j = 0; j < VALUES; j++) {
    float scaled = (x[j] - *low) * inverse;
    q[j] = (uint8_t)truncate(scaled + 0.5f, (float)steps);
  }
  return d;
}

HB_ENCODER(q4_0) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 18, in += VALUES) {
    hb_store_u16(b, hb_f16_of_f32(quantize_symmetric(in, 8, q)));
    hb_pack_nibbles(q, b + 2);
  }
}

HB_ENCODER(q4_1) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 20, in += VALUES) {
    float low;
    hb_store_u16(b, hb_f16_of_f32(quantize_affine(in, 15, q, &low)));
    hb_store_u16(b + 2, hb_f16_of_f32(low));
    hb_pack_nibbles(q, b + 4);
  }
}

HB_ENCODER(q5_0) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 22, in += VALUES) {
    hb_store_u16(b, hb_f16_of_f32(quantize_symmetric(in, 16, q)));
    hb_pack_fifth_bits(q, b + 2);
    hb_pack_nibbles(q, b + 6);
  }
}

HB_ENCODER(q5_1) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 24, in += VALUES) {
    float low;
    hb_store_u16(b, hb_f16_of_f32(quantize_affine(in, 31, q, &low)));
    hb_store_u16(b + 2, hb_f16_of_f32(low));
    hb_pack_fifth_bits(q, b + 4);
    hb_pack_nibbles(q, b + 8);
  }
}

/* Halves away from zero; 0 for NaN; cut to -127..127. */
static int8_t round_away(float x) {
  float a = x < 0 ? -x : x;
  a = a > 0 ? a : 0;
  a = a < 127 ? a : 127;
  int32_t whole = (int32_t)a;
  whole += a - (float)whole >= 0.5f;
  return (int8_t)(x < 0 ? -whole : whole);
}

HB_ENCODER(q8_0) {
  uint8_t *b = out;
  for (size_t n = 0; n < blocks; n++, b += 34, in += VALUES) {
    float extreme = signed_extreme(in);
    float d = (extreme < 0 ? -extreme : extreme) / 127;
    float inverse = d != 0 ? 1 / d : 0;
    hb_store_u16(b, hb_f16_of_f32(d));
    for (uint32_t j = 0; j < VALUES; j++) b[2 + j] = (uint8_t)round_away(in[j] * inverse);
  }
}
