/*
 * Four bits that index a table of 16 levels, denser around zero.
 *
 *   IQ4_NL  | d:2 | qs:16 |                                   32 values    18 bytes
 *           w = d * level[q]; the halves of a block share a byte: w[j] low, w[j+16] high
 *   IQ4_XS  | d:2 | scales_h:2 | scales_l:4 | qs:128 |       256 values   136
 *           eight sub-blocks as IQ4_NL's; w = d * (ls - 32) * level[q], where ls has four bits in
 * scales_l (two sub-blocks a byte) and two in scales_h
 */
#include "quant/formats.h"

static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

static void decode_levels(const uint8_t *qs, float scale, float *out) {
  for (uint32_t j = 0; j < 16; j++) {
    out[j] = scale * (float)levels[qs[j] & 15];
    out[j + 16] = scale * (float)levels[qs[j] >> 4];
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
