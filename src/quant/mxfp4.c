/*
 * MXFP4 (OCP Microscaling Formats 1.0): 32 values of four bits (E2M1) with a power of two.
 *
 *   | e:1 | qs:16 |    w = level[q] * 2^(e-127)                                  17 bytes
 *     qs[j]:   7 6 5 4 | 3 2 1 0            q:   3   | 2 1      | 0
 *                 j+16 | j                      sign | exponent | mantissa
 *
 * The table holds twice the levels, which makes them integers; so the power is halved.
 */
#include "quant/bits.h"
#include "quant/formats.h"

const int8_t hb_mxfp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

HB_DECODER(mxfp4) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 17, out += 32) {
    float d = hb_mxfp4_scale(b[0]);
    for (uint32_t j = 0; j < 16; j++) {
      out[j] = (float)hb_mxfp4_levels[b[1 + j] & 15] * d;
      out[j + 16] = (float)hb_mxfp4_levels[b[1 + j] >> 4] * d;
    }
  }
}
