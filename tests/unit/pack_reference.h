/* Packing as its description says it (kernel/pack.h), a code at a time: what the packer of the
 * library, which moves many at once, must agree with. */
#ifndef HB_TEST_PACK_REFERENCE_H
#define HB_TEST_PACK_REFERENCE_H

#include "kernel/pack.h"

/* What 32 values of one row consist of, between the GGUF block and the packed one. A type fills the
 * fields that its packing holds. */
typedef struct part {
  uint16_t d, m;      /* f16, or d = the E8M0 exponent */
  uint8_t s[2], t[2]; /* scales and mins; the signed ones as two's complement */
  uint8_t codes[32];
} part;

/* Reads part `index` (of 32 values) out of a GGUF block. */
typedef void part_reader(const uint8_t *block, size_t index, part *out);

/* Byte j of qs: codes j (low nibble) and 16 + j (high). */
static inline void read_nibbles(const uint8_t *qs, part *out) {
  for (size_t j = 0; j < 16; j++) {
    out->codes[j] = qs[j] & 15;
    out->codes[16 + j] = qs[j] >> 4;
  }
}

/* Bit i of qh is bit 4 of code i. */
static inline void read_fifth(const uint8_t *qh, part *out) {
  for (size_t i = 0; i < 32; i++) out->codes[i] |= (uint8_t)((qh[i / 8] >> i % 8 & 1) << 4);
}

/* Q4_0 and IQ4_NL: d, qs[16] */
static inline void read_q4_0(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  read_nibbles(block + 2, out);
}

/* d, m, qs[16] */
static inline void read_q4_1(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  out->m = hb_load_u16(block + 2);
  read_nibbles(block + 4, out);
}

/* d, qh[4], qs[16] */
static inline void read_q5_0(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  read_nibbles(block + 6, out);
  read_fifth(block + 2, out);
}

/* d, m, qh[4], qs[16] */
static inline void read_q5_1(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  out->m = hb_load_u16(block + 2);
  read_nibbles(block + 8, out);
  read_fifth(block + 4, out);
}

/* d, q[32] */
static inline void read_q8_0(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  memcpy(out->codes, block + 2, 32);
}

/* e, qs[16] */
static inline void read_mxfp4(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = block[0];
  read_nibbles(block + 1, out);
}

/* d, dmin, scales[12]: 8 scales and 8 mins of 6 bits. Values 64c + l and 64c + 32 + l are the
 * nibbles of byte l of the 32 bytes c of `qs`. */
static inline void read_k_header(const uint8_t *block, const uint8_t *qs, size_t index, part *out) {
  const uint8_t *scales = block + 4;
  out->d = hb_load_u16(block);
  out->m = hb_load_u16(block + 2);
  if (index < 4) {
    out->s[0] = scales[index] & 63;
    out->t[0] = scales[index + 4] & 63;
  } else {
    out->s[0] = (uint8_t)((scales[index + 4] & 15) | scales[index - 4] >> 6 << 4);
    out->t[0] = (uint8_t)(scales[index + 4] >> 4 | scales[index] >> 6 << 4);
  }
  for (size_t i = 0; i < 32; i++) out->codes[i] = qs[index / 2 * 32 + i] >> index % 2 * 4 & 15;
}

/* d, dmin, scales[12], qs[128] */
static inline void read_q4_k(const uint8_t *block, size_t index, part *out) {
  read_k_header(block, block + 16, index, out);
}

/* d, dmin, scales[12], qh[32], qs[128]. Bit `index` of qh[i] is bit 4 of code i. */
static inline void read_q5_k(const uint8_t *block, size_t index, part *out) {
  const uint8_t *qh = block + 16;
  read_k_header(block, block + 48, index, out);
  for (size_t i = 0; i < 32; i++) out->codes[i] |= (uint8_t)((qh[i] >> index & 1) << 4);
}

/* ql[128], qh[64], scales[16], d. Each half of 128 values has 64 bytes of ql and 32 of qh: values
 * l, 32 + l, 64 + l, 96 + l take the low nibbles of ql[l], ql[32 + l], then the high ones, and two
 * bits each of qh[l]. */
static inline void read_q6_k(const uint8_t *block, size_t index, part *out) {
  size_t half = index / 4, quarter = index % 4;
  const uint8_t *ql = block + half * 64 + quarter % 2 * 32;
  const uint8_t *qh = block + 128 + half * 32;
  out->d = hb_load_u16(block + 208);
  out->s[0] = block[192 + 2 * index];
  out->s[1] = block[192 + 2 * index + 1];
  for (size_t i = 0; i < 32; i++)
    out->codes[i] = (uint8_t)((ql[i] >> quarter / 2 * 4 & 15) | (qh[i] >> quarter * 2 & 3) << 4);
}

/* d, scales_h (u16), scales_l[4], qs[8][16]. 8 scales of 6 bits, less 32. */
static inline void read_iq4_xs(const uint8_t *block, size_t index, part *out) {
  unsigned low = block[4 + index / 2] >> index % 2 * 4 & 15;
  unsigned high = hb_load_u16(block + 2) >> 2 * index & 3;
  out->d = hb_load_u16(block);
  out->s[0] = (uint8_t)((low | high << 4) - 32);
  read_nibbles(block + 8 + 16 * index, out);
}

/* d, m, qs[16]. Bits 2k, 2k + 1 of qs[j] are value 16k + j. */
static inline void read_int2_64(const uint8_t *block, size_t index, part *out) {
  out->d = hb_load_u16(block);
  out->m = hb_load_u16(block + 2);
  for (size_t i = 0; i < 32; i++) out->codes[i] = block[4 + i % 16] >> (4 * index + i / 16 * 2) & 3;
}

typedef struct reference_type {
  hb_type type;
  part_reader *read;
} reference_type;

static const reference_type reference_types[] = {
    {HB_TYPE_Q4_0, read_q4_0},     {HB_TYPE_Q4_1, read_q4_1},   {HB_TYPE_Q5_0, read_q5_0},
    {HB_TYPE_Q5_1, read_q5_1},     {HB_TYPE_Q8_0, read_q8_0},   {HB_TYPE_Q4_K, read_q4_k},
    {HB_TYPE_Q5_K, read_q5_k},     {HB_TYPE_Q6_K, read_q6_k},   {HB_TYPE_IQ4_NL, read_q4_0},
    {HB_TYPE_IQ4_XS, read_iq4_xs}, {HB_TYPE_MXFP4, read_mxfp4}, {HB_TYPE_INT2_64, read_int2_64},
};

static inline void put_codes(hb_codes kind, const uint8_t *codes, uint8_t *out, size_t row) {
  for (size_t c = 0; c < 4; c++)
    for (size_t j = 0; j < 4; j++) {
      uint8_t low = codes[4 * c + j], high = codes[16 + 4 * c + j];
      uint8_t *at = out + 64 * c + 4 * row + j;
      uint8_t *extra = out + 4 * 64 + 4 * row + j;
      if (kind == HB_CODES_BYTES) {
        at[0] = low;
        at[4 * 64] = high;
        continue;
      }
      *at = (uint8_t)((low & 15) | high << 4);
      if (kind == HB_CODES_FIVE) *extra |= (uint8_t)((low >> 4) << c | (high >> 4) << (4 + c));
      if (kind == HB_CODES_SIX) {
        extra[0] |= (uint8_t)((low >> 4) << 2 * c);
        extra[64] |= (uint8_t)((high >> 4) << 2 * c);
      }
    }
}

/* Writes part `index` of a block for one row. Codes of 5 and 6 bits are or-ed into zeros. */
static inline void put_part(hb_packing p, const part *in, uint8_t *block, size_t index,
                            size_t row) {
  uint8_t *scales = block + hb_packing_header(p) + index * hb_packing_part(p);
  if (p.scaling == HB_SCALING_E8M0)
    block[row] = (uint8_t)in->d;
  else
    hb_store_u16(block + 2 * row, in->d);
  if (p.scaling == HB_SCALING_F16_MIN || p.scaling == HB_SCALING_ONE_MIN ||
      p.scaling == HB_SCALING_TWO_MIN)
    hb_store_u16(block + 2 * HB_GROUP + 2 * row, in->m);
  switch (p.scaling) {
  case HB_SCALING_ONE: scales[row] = in->s[0]; break;
  case HB_SCALING_ONE_MIN:
    scales[row] = in->s[0];
    scales[HB_GROUP + row] = in->t[0];
    break;
  case HB_SCALING_TWO:
    scales[row] = in->s[0];
    scales[HB_GROUP + row] = in->s[1];
    break;
  case HB_SCALING_TWO_MIN:
    scales[row] = (uint8_t)(in->s[0] | in->t[0] << 4);
    scales[HB_GROUP + row] = (uint8_t)(in->s[1] | in->t[1] << 4);
    break;
  default: break;
  }
  put_codes(p.codes, in->codes, scales + hb_packing_scales(p), row);
}

/* Packs a matrix of whole groups or not into zeroed memory. */
static inline void reference_pack(part_reader *read, hb_packing p, const uint8_t *raw,
                                  size_t raw_values, size_t raw_bytes, size_t rows, size_t cols,
                                  uint8_t *out) {
  size_t parts = p.values / HB_BLOCK, raw_parts = raw_values / HB_BLOCK;
  size_t row_bytes = cols / raw_values * raw_bytes;
  for (size_t row = 0; row < rows; row++) {
    uint8_t *group = out + row / HB_GROUP * (cols / p.values) * hb_packing_block(p);
    for (size_t i = 0; i < cols / HB_BLOCK; i++) {
      part one;
      read(raw + row * row_bytes + i / raw_parts * raw_bytes, i % raw_parts, &one);
      put_part(p, &one, group + i / parts * hb_packing_block(p), i % parts, row % HB_GROUP);
    }
  }
}

#endif
