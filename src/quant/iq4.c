/*
 * Four bits that index a table of 16 levels, denser around zero.
 *
 *   IQ4_NL | d:2 | qs:16 |                               32 values     w = d * level[q]    18 bytes
 *            qs[j]:         7 6 5 4 | 3 2 1 0
 *                              j+16 | j
 *
 *   IQ4_XS | d:2 | scales_h:2 | scales_l:4 | qs:128 |   256 values in eight sub-blocks    136
 *            w = (d * (scale - 32)) * level[q]
 *            qs[16k..16k+15]:   sub-block k, in the order of IQ4_NL
 *            scales_l[k]:   7 6 5 4 | 3 2 1 0           the low four bits of the scales
 *                              2k+1 | 2k
 *            scales_h, a little-endian u16: bits 2k and 2k+1 are the high two of scale k
 */
#include "quant/bits.h"
#include "quant/formats.h"

const int8_t hb_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static void decode_levels(const uint8_t *qs, float scale, float *out) {
  for (uint32_t j = 0; j < 16; j++) {
    out[j] = scale * (float)hb_iq4_levels[qs[j] & 15];
    out[j + 16] = scale * (float)hb_iq4_levels[qs[j] >> 4];
  }
}

HB_DECODER(iq4_nl) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 18, out += 32) decode_levels(b + 2, hb_load_f16(b), out);
}

HB_DECODER(iq4_xs) {
  const uint8_t *b = in;
  for (size_t n = 0; n < blocks; n++, b += 136, out += 256) {
    float d = hb_load_f16(b);
    uint32_t high = hb_load_u16(b + 2);
    for (uint32_t j = 0; j < 8; j++) {
      uint32_t ls = (b[4 + j / 2] >> 4 * (j % 2) & 15u) | (high >> 2 * j & 3u) << 4;
      decode_levels(b + 8 + 16 * j, d * (float)((int)ls - 32), out + 32 * j);
    }
  }
}
