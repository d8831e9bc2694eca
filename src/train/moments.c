#include "train/moments.h"
#include "base/half.h"

#define MAGNITUDE 0x7fffffffu
#define HIGHEST 1.875f
/* Bits of an f32 from the lowest of 3 bits of mantissa on, less the same of 2^-15 and 2^-31, whose
 * level would be number 0. */
enum { SHIFT = 20, M_ZERO = (127 - 15) * 8, V_ZERO = (127 - 31) * 8 };

/* What the highest level of the group is multiplied with. Of bits, as NaN count as largest. */
static float scale_of(const float *x) {
  uint32_t most = 0;
  for (size_t i = 0; i < HB_MOMENT_GROUP; i++) {
    uint32_t bits = hb_bits_of_f32(x[i]) & MAGNITUDE;
    most = bits > most ? bits : most;
  }
  return hb_f32_of_bits(most) / HIGHEST;
}

/* 32 bits that look random (Wellons' mix of 2018). */
static uint32_t mixed(uint32_t x) {
  x = (x ^ x >> 16) * 0x7feb352du;
  x = (x ^ x >> 15) * 0x846ca68bu;
  return x ^ x >> 16;
}

/* Up with the probability of the bits that are cut off; `random`: 0 .. 2^20 - 1. */
static uint32_t cut(float magnitude, uint32_t random) {
  return (hb_bits_of_f32(magnitude) + random) >> SHIFT;
}

static uint8_t code_m(float ratio, uint32_t random) {
  uint32_t bits = hb_bits_of_f32(ratio), sign = bits >> 31 << 7;
  float magnitude = hb_f32_of_bits(bits & MAGNITUDE);
  /* The sum with 2^-14 has the spacing of what is below. */
  uint32_t low = cut(magnitude + 0x1p-14f, random) - (M_ZERO + 8);
  uint32_t high = cut(magnitude, random) - M_ZERO;
  uint32_t code = magnitude < 0x1p-14f ? low : high;
  return (uint8_t)(sign | (code < 127 ? code : 127));
}

static float level_m(uint8_t code) {
  uint32_t magnitude = code & 127u;
  float high = hb_f32_of_bits((magnitude + M_ZERO) << SHIFT);
  float low = hb_f32_of_bits((magnitude + M_ZERO + 8) << SHIFT) - 0x1p-14f;
  float level = magnitude < 8 ? low : high;
  return code & 128u ? -level : level;
}

static uint8_t code_v(float ratio, uint32_t random) {
  int32_t code = (int32_t)cut(ratio, random) - V_ZERO;
  return (uint8_t)(code < 0 ? 0 : code < 255 ? code : 255);
}

static float level_v(uint8_t code) {
  return hb_f32_of_bits(((uint32_t)code + V_ZERO) << SHIFT);
}

void hb_moments_encode(const float *m, const float *v, uint64_t chance, hb_coded_moments *coded) {
  uint32_t start = mixed((uint32_t)chance ^ mixed((uint32_t)(chance >> 32)));
  coded->m_scale = scale_of(m);
  coded->v_scale = scale_of(v);
  float m_unit = coded->m_scale != 0.0f ? coded->m_scale : 1.0f;
  float v_unit = coded->v_scale != 0.0f ? coded->v_scale : 1.0f;
  for (size_t i = 0; i < HB_MOMENT_GROUP; i++) {
    uint32_t random = mixed(start + (uint32_t)i * 0x9e3779b9u);
    coded->m[i] = code_m(m[i] / m_unit, (random & 0xffffu) << 4);
    coded->v[i] = code_v(v[i] / v_unit, random >> 16 << 4);
  }
}

void hb_moments_decode(const hb_coded_moments *coded, float *m, float *v) {
  for (size_t i = 0; i < HB_MOMENT_GROUP; i++) {
    m[i] = level_m(coded->m[i]) * coded->m_scale;
    v[i] = level_v(coded->v[i]) * coded->v_scale;
  }
}
