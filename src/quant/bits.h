/* Parts of layouts that several families share, and that src/compress writes, too. */
#ifndef HB_QUANT_BITS_H
#define HB_QUANT_BITS_H

#include "base/base.h"
#include "base/half.h"

extern const int8_t hb_iq4_levels[16];   /* ascending */
extern const int8_t hb_mxfp4_levels[16]; /* doubled; in the order of the codes */

/* The four low bits of 32 codes: the halves of a block share a byte. */
static inline void hb_pack_nibbles(const uint8_t *q, uint8_t *qs) {
  for (uint32_t j = 0; j < 16; j++) qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

/* Bit j of a little-endian u32 is the fifth bit of code j. */
static inline void hb_pack_fifth_bits(const uint8_t *q, uint8_t *qh) {
  uint32_t bits = 0;
  for (uint32_t j = 0; j < 32; j++) bits |= (uint32_t)(q[j] >> 4 & 1) << j;
  hb_store_u16(qh, (uint16_t)bits);
  hb_store_u16(qh + 2, (uint16_t)(bits >> 16));
}

/* MXFP4's scale, 2^(e - 128), because the levels are doubled; subnormal for e < 2. */
static inline float hb_mxfp4_scale(uint8_t e) {
  return hb_f32_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

#endif
