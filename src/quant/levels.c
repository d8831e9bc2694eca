/*
 * Four or three bits that index a table of 16 or 8 levels: halfbyte's own types (private.h).
 *
 *   NF4, FP4   a row is super-blocks of four blocks of 64 values; the last has those that are left
 *              | d:2 | s:n | codes:32n |           n = 1..4 blocks          134 bytes where n = 4
 *              w = (d * s[b] / 2^14) * level[q]    d in f16, s: u8
 *              codes[32b + 16h + j]:   7 6 5 4 | 3 2 1 0              j < 16, h < 2: values
 *                                         j+16 | j                    64b + 32h + ...
 *
 *   TABLE4     a row is its own table and its codes, 32 values at a time
 *              | d:2 | level:16 | (codes:16)... |   w = (d / 2^7) * level[q]    level: int8
 *              codes[j]:   7 6 5 4 | 3 2 1 0
 *                             j+16 | j
 *
 *   TABLE3     | d:2 | level:8 | (low:8, high:4)... |
 *              low[j]:     7 6 | 5 4 | 3 2 | 1 0                      bits 0 and 1 of values ...
 *                         j+24 | j+16| j+8 | j
 *              high[i / 8], bit i % 8:  bit 2 of value i
 */
#include "quant/formats.h"
#include "quant/private.h"

/* 32 values of four bits each. */
static void decode_nibbles(const uint8_t *codes, const int8_t *levels, float scale, float *out) {
  for (uint32_t j = 0; j < 16; j++) {
    out[j] = scale * (float)levels[codes[j] & 15];
    out[j + 16] = scale * (float)levels[codes[j] >> 4];
  }
}

static void decode_levels(const uint8_t *in, const int8_t *levels, float *out, size_t blocks) {
  while (blocks > 0) {
    size_t count = blocks < HB_LEVELS_BLOCKS ? blocks : HB_LEVELS_BLOCKS;
    const uint8_t *scales = in + 2, *codes = scales + count;
    float d = hb_load_f16(in);
    for (size_t b = 0; b < count; b++)
      for (size_t half = 0; half < 2; half++, codes += 16, out += 32)
        decode_nibbles(codes, levels, hb_levels_factor(d, scales[b]), out);
    in = codes;
    blocks -= count;
  }
}

HB_DECODER(nf4) {
  decode_levels(in, hb_nf4_levels, out, blocks);
}

HB_DECODER(fp4) {
  decode_levels(in, hb_fp4_levels, out, blocks);
}

HB_DECODER(table4) {
  const uint8_t *row = in;
  const int8_t *levels = (const int8_t *)row + HB_TABLE_LEVELS;
  const uint8_t *codes = row + HB_TABLE_LEVELS + HB_TABLE4_COUNT;
  for (size_t b = 0; b < blocks; b++)
    decode_nibbles(codes + 16 * b, levels, hb_table_factor(hb_load_f16(row)), out + 32 * b);
}

HB_DECODER(table3) {
  const uint8_t *row = in, *codes = row + HB_TABLE_LEVELS + HB_TABLE3_COUNT;
  const int8_t *levels = (const int8_t *)row + HB_TABLE_LEVELS;
  float factor = hb_table_factor(hb_load_f16(row));
  for (size_t b = 0; b < blocks; b++, codes += 12, out += 32)
    for (uint32_t i = 0; i < 32; i++) {
      uint32_t low = codes[i % 8] >> 2 * (i / 8) & 3u, high = codes[8 + i / 8] >> i % 8 & 1u;
      out[i] = factor * (float)levels[low | high << 2];
    }
}
