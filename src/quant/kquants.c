/*
 * K-quants: blocks of 256 values in sub-blocks with quantized scales.
 *
 *   Q2_K  | scales:16 | qs:64 | d:2 | dmin:2 |              16 sub-blocks of 16   84 bytes
 *         scales[k]: high nibble the minimum, low nibble the scale; w = (d*sc)*q - dmin*m
 *   Q3_K  | hmask:32 | qs:64 | scales:12 | d:2 |            16 sub-blocks of 16   110
 *         w = d * (sc - 32) * (q - 4); sc has 6 bits, see scales3; hmask holds the third bit of q
 *   Q4_K  | d:2 | dmin:2 | scales:12 | qs:128 |             8 sub-blocks of 32    144
 *   Q5_K  | d:2 | dmin:2 | scales:12 | qh:32 | qs:128 |     8 sub-blocks of 32    176
 *         w = (d*sc)*q - dmin*m; sc and m have 6 bits, see scale_and_min
 *   Q6_K  | ql:128 | qh:64 | scales:16 (signed) | d:2 |     16 sub-blocks of 16   210
 *         w = d * sc * (q - 32)
 *
 * Two bits of Q2_K and Q3_K: byte l of a half's 32 holds the values l (bits 0-1), l+32 (2-3), l+64
 * (4-5) and l+96 (6-7) of that half. Nibbles of Q4_K and Q5_K: chunk c of 32 bytes holds sub-block
 * 2c in its low nibbles and 2c+1 in its high ones.
 */
#include "quant/formats.h"

enum { VALUES = 256 };

/* Value i of 256, 0..3. */
static uint32_t two_bits(const uint8_t *qs, uint32_t i) {
  uint32_t half = i / 128, group = i % 128 / 32;
  return qs[32 * half + i % 32] >> 2 * group & 3;
}

HB_DECODER(q2_k) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 84, out += VALUES) {
    float d = hb_load_f16(b + 80), dmin = hb_load_f16(b + 82);
    for (uint32_t i = 0; i < VALUES; i++) {
      float scale = d * (float)(b[i / 16] & 15), min = dmin * (float)(b[i / 16] >> 4);
      out[i] = scale * (float)two_bits(b + 16, i) - min;
    }
  }
}

/* The 6-bit scale of sub-block k: four low bits, then two high ones. */
static uint32_t scales3(const uint8_t *scales, uint32_t k) {
  uint32_t low = k < 8 ? scales[k] & 15u : scales[k - 8] >> 4;
  uint32_t high = scales[8 + k % 4] >> 2 * (k / 4) & 3u;
  return low | high << 4;
}

HB_DECODER(q3_k) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 110, out += VALUES) {
    float d = hb_load_f16(b + 108);
    for (uint32_t i = 0; i < VALUES; i++) {
      float scale = d * (float)((int)scales3(b + 96, i / 16) - 32);
      uint32_t third = b[i % 32] >> i / 32 & 1u;
      out[i] = scale * (float)((int)(two_bits(b + 32, i) | third << 2) - 4);
    }
  }
}

/* The 6-bit scale and minimum of sub-block j. */
static void scale_and_min(const uint8_t *s, uint32_t j, uint32_t *scale, uint32_t *min) {
  if (j < 4) {
    *scale = s[j] & 63u;
    *min = s[j + 4] & 63u;
  } else {
    *scale = (s[j + 4] & 15u) | (uint32_t)(s[j - 4] >> 6) << 4;
    *min = (uint32_t)(s[j + 4] >> 4) | (uint32_t)(s[j] >> 6) << 4;
  }
}

/* Value l of sub-block j, 0..15. */
static uint32_t nibble(const uint8_t *qs, uint32_t j, uint32_t l) {
  return qs[32 * (j / 2) + l] >> 4 * (j % 2) & 15u;
}

/* Q4_K, or with `qh` Q5_K. */
static void decode_affine(const uint8_t *b, const uint8_t *qh, const uint8_t *qs, float *out) {
  float d = hb_load_f16(b), dmin = hb_load_f16(b + 2);
  for (uint32_t j = 0; j < 8; j++) {
    uint32_t sc, m;
    scale_and_min(b + 4, j, &sc, &m);
    float scale = d * (float)sc, min = dmin * (float)m;
    for (uint32_t l = 0; l < 32; l++) {
      uint32_t q = nibble(qs, j, l) | (qh ? qh[l] >> j & 1u : 0) << 4;
      out[32 * j + l] = scale * (float)q - min;
    }
  }
}

HB_DECODER(q4_k) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 144, out += VALUES) decode_affine(b, NULL, b + 16, out);
}

HB_DECODER(q5_k) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 176, out += VALUES)
    decode_affine(b, b + 16, b + 48, out);
}

/* Value i of 256, 0..63. In each half of 128: four low bits of l and l+64 in ql[l], of l+32 and
 * l+96 in ql[l+32]; two high bits of l, l+32, l+64, l+96 in qh[l]. */
static uint32_t six_bits(const uint8_t *ql, const uint8_t *qh, uint32_t i) {
  uint32_t half = i / 128, group = i % 128 / 32, l = i % 32;
  uint32_t low = ql[64 * half + 32 * (group % 2) + l] >> 4 * (group / 2) & 15u;
  uint32_t high = qh[32 * half + l] >> 2 * group & 3u;
  return low | high << 4;
}

HB_DECODER(q6_k) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 210, out += VALUES) {
    float d = hb_load_f16(b + 208);
    for (uint32_t i = 0; i < VALUES; i++) {
      float scale = d * (float)(int8_t)b[192 + i / 16];
      out[i] = scale * (float)((int)six_bits(b, b + 128, i) - 32);
    }
  }
}
