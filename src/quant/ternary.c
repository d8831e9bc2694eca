/*
 * 256 values of -1, 0 or 1 with one scale in half precision: w = (q - 1) * d.
 *
 *   TQ2_0 | qs:64 | d:2 |             two bits a value                           66 bytes
 *           qs[32h+l]:  7 6 | 5 4 | 3 2 | 1 0            values 128h + ...
 *                      l+96 | l+64| l+32| l
 *
 *   TQ1_0 | qs:48 | qh:4 | d:2 |      five values a byte                         54
 *           qs[l],    l<32:  values l, l+32, l+64, l+96, l+128
 *           qs[32+l], l<16:  values 160 + l, l+16, l+32, l+48, l+64
 *           qh[l],    l<4:   values 240 + l, l+4, l+8, l+12
 *
 * A byte of TQ1_0 is the base-3 fraction 0.q0q1q2q3q4 times 256, rounded up. Multiplied by 3^n
 * modulo 256 it has digit n in front; times 3, that digit stands above bit 7.
 */
#include "quant/formats.h"

enum { VALUES = 256 };

HB_DECODER(tq2_0) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 66, out += VALUES) {
    float d = hb_load_f16(b + 64);
    for (uint32_t g = 0; g < 8; g++) /* groups of 32; a half has four */
      for (uint32_t l = 0; l < 32; l++) {
        int q = b[32 * (g / 4) + l] >> 2 * (g % 4) & 3;
        out[32 * g + l] = (float)(q - 1) * d;
      }
  }
}

static uint32_t base3_digit(uint8_t byte, uint32_t n) {
  static const uint8_t powers[5] = {1, 3, 9, 27, 81};
  return (uint32_t)(uint8_t)(byte * powers[n]) * 3 >> 8;
}

static void decode_digits(const uint8_t *bytes, uint32_t count, uint32_t digits, float d,
                          float *out) {
  for (uint32_t n = 0; n < digits; n++)
    for (uint32_t m = 0; m < count; m++)
      out[n * count + m] = (float)((int)base3_digit(bytes[m], n) - 1) * d;
}

HB_DECODER(tq1_0) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 54, out += VALUES) {
    float d = hb_load_f16(b + 52);
    decode_digits(b, 32, 5, d, out);
    decode_digits(b + 32, 16, 5, d, out + 160);
    decode_digits(b + 48, 4, 4, d, out + 240);
  }
}
