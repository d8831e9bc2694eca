/*
 * Two bits and a group of 64 values with a scale and a minimum in half precision, as methods that
 * quantize to 2 bits are compared at ("w2g64"): halfbyte's own type (private.h).
 *
 *   INT2_64  | d:2 | m:2 | qs:16 |     w = d * q + m           20 bytes, 2.5 bits a value
 *
 *   qs[j]:     7 6 |  5 4  |  3 2  |  1 0
 *            w[j+48]|w[j+32]|w[j+16]| w[j]
 */
#include "quant/formats.h"

HB_DECODER(int2_64) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 20, out += 64) {
    float d = hb_load_f16(b), m = hb_load_f16(b + 2);
    for (uint32_t i = 0; i < 64; i++) {
      uint32_t q = b[4 + i % 16] >> 2 * (i / 16) & 3u;
      out[i] = d * (float)q + m;
    }
  }
}
