/* Half precision and bfloat16, bit for bit as IEEE 754 rounds (to nearest, ties to even). */
#ifndef HB_HALF_H
#define HB_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t hb_bits_of_f32(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}

static inline float hb_f32_of_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

/* Exact. The exponent is moved by a multiplication, which handles subnormals; infinities and NaN
 * get their exponent back afterwards. */
static inline float hb_f32_of_f16(uint16_t h) {
  uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
  uint32_t sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t u = hb_bits_of_f32(hb_f32_of_bits(magnitude) * 0x1p112f);
  if (magnitude >= 0x0f800000u) u |= 0x7f800000u;
  return hb_f32_of_bits(u | sign);
}

/* Rounds to nearest even; overflows to infinity; NaN becomes the quiet NaN 0x7e00 with its sign.
 * All cases are computed and one is selected, so that loops can be vectorized. */
static inline uint16_t hb_f16_of_f32(float x) {
  uint32_t bits = hb_bits_of_f32(x), u = bits & 0x7fffffffu;
  uint32_t normal = (u + 0xc8000fffu + (u >> 13 & 1)) >> 13;
  /* Subnormal: adding 0.5 rounds at the right bit. */
  uint32_t subnormal = hb_bits_of_f32(hb_f32_of_bits(u) + 0.5f) - 0x3f000000u;
  uint32_t h = u < 0x38800000u ? subnormal : normal;
  if (u >= 0x47800000u) h = 0x7c00; /* 65536 and more */
  if (u > 0x7f800000u) h = 0x7e00;
  return (uint16_t)(h | (bits >> 16 & 0x8000));
}

static inline float hb_f32_of_bf16(uint16_t b) {
  return hb_f32_of_bits((uint32_t)b << 16);
}

/* Rounds to nearest even; NaN stays NaN (made quiet). */
static inline uint16_t hb_bf16_of_f32(float x) {
  uint32_t u = hb_bits_of_f32(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 64);
  return (uint16_t)((u + (0x7fffu + (u >> 16 & 1))) >> 16);
}

#endif
