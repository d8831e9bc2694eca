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
#include "quant/formats.h"

enum { VALUES = 32, HALF = VALUES / 2 };

/* Value j of the block, 0..15, from its nibbles. */
static uint32_t nibble(const uint8_t *qs, uint32_t j) {
  return j < HALF ? qs[j] & 15u : qs[j - HALF] >> 4;
}

static uint32_t five_bits(const uint8_t *qs, uint32_t qh, uint32_t j) {
  return nibble(qs, j) | (qh >> j & 1) << 4;
}

HB_DECODER(q4_0) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 18, out += VALUES) {
    float d = hb_load_f16(b);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)((int)nibble(b + 2, j) - 8) * d;
  }
}

HB_DECODER(q4_1) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 20, out += VALUES) {
    float d = hb_load_f16(b), m = hb_load_f16(b + 2);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)nibble(b + 4, j) * d + m;
  }
}

HB_DECODER(q5_0) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 22, out += VALUES) {
    float d = hb_load_f16(b);
    uint32_t qh = hb_load_u32(b + 2);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)((int)five_bits(b + 6, qh, j) - 16) * d;
  }
}

HB_DECODER(q5_1) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 24, out += VALUES) {
    float d = hb_load_f16(b), m = hb_load_f16(b + 2);
    uint32_t qh = hb_load_u32(b + 4);
    for (uint32_t j = 0; j < VALUES; j++) out[j] = (float)five_bits(b + 8, qh, j) * d + m;
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
static uint32_t truncate(float x, uint32_t limit) {
  if (!(x > 0)) return 0;
  return x >= (float)limit ? limit : (uint32_t)x;
}

/* The value of largest magnitude, with its sign; the first of equals. */
static float signed_extreme(const float *x) {
  float extreme = 0, magnitude = 0;
  for (uint32_t j = 0; j < VALUES; j++) {
    float a = x[j] < 0 ? -x[j] : x[j];
    if (a > magnitude) {
      magnitude = a;
      extreme = x[j];
    }
  }
  return extreme;
}

static void bounds(const float *x, float *low, float *high) {
  *low = 0x1.fffffep127f;
  *high = -0x1.fffffep127f;
  for (uint32_t j = 0; j < VALUES; j++) {
    if (x[j] < *low) *low = x[j];
    if (x[j] > *high) *high = x[j];
  }
}

static void pack_nibbles(const uint8_t *q, uint8_t *qs) {
  for (uint32_t j = 0; j < HALF; j++) qs[j] = (uint8_t)((q[j] & 15) | (q[j + HALF] & 15) << 4);
}

static void pack_fifth_bits(const uint8_t *q, uint8_t *qh) {
  uint32_t bits = 0;
  for (uint32_t j = 0; j < VALUES; j++) bits |= (uint32_t)(q[j] >> 4 & 1) << j;
  hb_store_u16(qh, (uint16_t)bits);
  hb_store_u16(qh + 2, (uint16_t)(bits >> 16));
}

/* q = whole part of x / d + half of the range + 1/2, where d maps the extreme to the range's end.
 */
static float quantize_symmetric(const float *x, uint32_t half_range, uint8_t *q) {
  float d = signed_extreme(x) / -(float)half_range;
  float inverse = d != 0 ? 1 / d : 0;
  for (uint32_t j = 0; j < VALUES; j++) {
    float scaled = x[j] * inverse;
    q[j] = (uint8_t)truncate(scaled + ((float)half_range + 0.5f), 2 * half_range - 1);
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
    q[j] = (uint8_t)truncate(scaled + 0.5f, steps);
  }
  return d;
}

HB_ENCODER(q4_0) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 18, in += VALUES) {
    hb_store_u16(b, hb_f16_of_f32(quantize_symmetric(in, 8, q)));
    pack_nibbles(q, b + 2);
  }
}

HB_ENCODER(q4_1) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 20, in += VALUES) {
    float low;
    hb_store_u16(b, hb_f16_of_f32(quantize_affine(in, 15, q, &low)));
    hb_store_u16(b + 2, hb_f16_of_f32(low));
    pack_nibbles(q, b + 4);
  }
}

HB_ENCODER(q5_0) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 22, in += VALUES) {
    hb_store_u16(b, hb_f16_of_f32(quantize_symmetric(in, 16, q)));
    pack_fifth_bits(q, b + 2);
    pack_nibbles(q, b + 6);
  }
}

HB_ENCODER(q5_1) {
  uint8_t *b = out, q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 24, in += VALUES) {
    float low;
    hb_store_u16(b, hb_f16_of_f32(quantize_affine(in, 31, q, &low)));
    hb_store_u16(b + 2, hb_f16_of_f32(low));
    pack_fifth_bits(q, b + 4);
    pack_nibbles(q, b + 8);
  }
}

/* Halves away from zero; 0 for NaN, cut to what int8 holds. */
static int8_t round_away(float x) {
  float a = x < 0 ? -x : x;
  uint32_t whole = truncate(a, 127);
  if (whole < 127 && a - (float)whole >= 0.5f) whole++;
  return (int8_t)(x < 0 ? -(int)whole : (int)whole);
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
