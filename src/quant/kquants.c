/*
 * K-quants: blocks of 256 values in sub-blocks, whose scales are quantized, too. Scale number k is
 * that of values 16k..16k+15 in Q2_K, Q3_K and Q6_K, of 32k..32k+31 in Q4_K and Q5_K.
 *
 *   Q2_K | scales:16 | qs:64 | d:2 | dmin:2 |      w = (d*scale)*q - dmin*min          84 bytes
 *          scales[k]:       7 6 5 4 | 3 2 1 0
 *                             min k | scale k
 *          qs[32h+l]:       7 6 | 5 4 | 3 2 | 1 0           values 128h + ...
 *                          l+96 | l+64| l+32| l
 *
 *   Q3_K | hmask:32 | qs:64 | scales:12 | d:2 |    w = (d*(scale-32))*(q-4)           110
 *          qs:       the low two bits of q, in the order of Q2_K
 *          hmask[l]:   7   |  6   | ...|  1   | 0           the third bit of q
 *                    l+224 | l+192| ...| l+32 | l
 *          scales[k], k<8:   7 6 5 4 | 3 2 1 0              the low four bits
 *                                k+8 | k
 *          scales[8+k], k<4: 7 6 | 5 4 | 3 2 | 1 0          the high two bits
 *                            k+12| k+8 | k+4 | k
 *
 *   Q4_K | d:2 | dmin:2 | scales:12 | qs:128 |     w = (d*scale)*q - dmin*min         144
 *          qs[32c+l]:        7 6 5 4 | 3 2 1 0              values 64c + ...
 *                               l+32 | l
 *          scales[k], k<4:   7 6            | 5 4 3 2 1 0
 *                            scale k+4 >> 4 | scale k
 *          scales[4+k], k<4: 7 6            | 5 4 3 2 1 0
 *                            min k+4 >> 4   | min k
 *          scales[8+k], k<4: 7 6 5 4        | 3 2 1 0
 *                            min k+4 & 15   | scale k+4 & 15
 *
 *   Q5_K | d:2 | dmin:2 | scales:12 | qh:32 | qs:128 |   as Q4_K, with a fifth bit    176
 *          qh[l]:      7   |  6   | ...|  1   | 0
 *                    l+224 | l+192| ...| l+32 | l
 *
 *   Q6_K | ql:128 | qh:64 | scales:16 | d:2 |      w = (d*scale)*(q-32), scale signed 210
 *          ql[64h+l], l<64:  7 6 5 4 | 3 2 1 0              values 128h + ...
 *                               l+64 | l
 *          qh[32h+l], l<32:  7 6 | 5 4 | 3 2 | 1 0
 *                           l+96 | l+64| l+32| l
 */
#include "quant/formats.h"

enum { VALUES = 256 };

/* The numbers of two bits, 0..3. */
static void unpack_two_bits(const uint8_t *qs, uint8_t q[VALUES]) {
  for (uint32_t g = 0; g < 8; g++) /* groups of 32 */
    for (uint32_t l = 0; l < 32; l++) q[32 * g + l] = qs[32 * (g / 4) + l] >> 2 * (g % 4) & 3;
}

HB_DECODER(q2_k) {
  const uint8_t *b = in;
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 84, out += VALUES) {
    float d = hb_load_f16(b + 80), dmin = hb_load_f16(b + 82);
    unpack_two_bits(b + 16, q);
    for (uint32_t k = 0; k < 16; k++) {
      float scale = d * (float)(b[k] & 15), min = dmin * (float)(b[k] >> 4);
      for (uint32_t i = 16 * k; i < 16 * k + 16; i++) out[i] = scale * (float)q[i] - min;
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
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 110, out += VALUES) {
    float d = hb_load_f16(b + 108);
    unpack_two_bits(b + 32, q);
    for (uint32_t g = 0; g < 8; g++)
      for (uint32_t l = 0; l < 32; l++) q[32 * g + l] |= (b[l] >> g & 1) << 2;
    for (uint32_t k = 0; k < 16; k++) {
      float scale = d * (float)((int)scales3(b + 96, k) - 32);
      for (uint32_t i = 16 * k; i < 16 * k + 16; i++) out[i] = scale * (float)(q[i] - 4);
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

/* The numbers of six bits, 0..63. */
static void unpack_six_bits(const uint8_t *ql, const uint8_t *qh, uint8_t q[VALUES]) {
  unpack_two_bits(qh, q);
  for (uint32_t g = 0; g < 8; g++) { /* groups of 32; a half has four */
    const uint8_t *low = ql + 64 * (g / 4) + 32 * (g % 2);
    uint32_t shift = g % 4 / 2 * 4;
    for (uint32_t l = 0; l < 32; l++)
      q[32 * g + l] = (uint8_t)(q[32 * g + l] << 4 | (low[l] >> shift & 15));
  }
}

HB_DECODER(q6_k) {
  const uint8_t *b = in;
  uint8_t q[VALUES];
  for (size_t n = 0; n < blocks; n++, b += 210, out += VALUES) {
    float d = hb_load_f16(b + 208);
    unpack_six_bits(b, b + 128, q);
    for (uint32_t k = 0; k < 16; k++) {
      float scale = d * (float)(int8_t)b[192 + k];
      for (uint32_t i = 16 * k; i < 16 * k + 16; i++) out[i] = scale * (float)(q[i] - 32);
    }
  }
}
