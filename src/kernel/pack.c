#include "kernel/pack.h"

#include "base/half.h"

/* What 32 values of one row consist of, between the GGUF block and the packed one. A type fills the
 * fields that its packing holds. */
typedef struct part {
  uint16_t d, m;      /* f16, or d = the E8M0 exponent */
  uint8_t s[2], t[2]; /* scales and mins; the signed ones as two's complement */
  uint8_t codes[32];
} part;

/* Reads part `index` (of 32 values) out of a GGUF block. */
typedef void part_reader(const uint8_t *block, size_t index, part *out);

/* ---- Readers: GGUF layouts ----------------------------------------------------------------- */

/* Byte j of qs: codes j (low nibble) and 16 + j (high). */
static void read_nibbles(const uint8_t *qs, part *out) {
  for (size_t j = 0; j < 16; j++) {
    out->codes[j] = qs[j] & 15;
    out->codes[16 + j] = qs[j] >> 4;
  }
}

/* Bit i of qh is bit 4 of code i. */
static void read_fifth(const uint8_t *qh, part *out) {
  for (size_t i = 0; i < 32; i++) out->codes[i] |= (uint8_t)((qh[i / 8] >> i % 8 & 1) << 4);
}

/* Q4_0 and IQ4_NL: d, qs[16] */
static void read_q4_0(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  read_nibbles(block + 2, out);
}

/* d, m, qs[16] */
static void read_q4_1(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  out->m = hb_load_u16(block + 2);
  read_nibbles(block + 4, out);
}

/* d, qh[4], qs[16] */
static void read_q5_0(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  read_nibbles(block + 6, out);
  read_fifth(block + 2, out);
}

/* d, m, qh[4], qs[16] */
static void read_q5_1(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  out->m = hb_load_u16(block + 2);
  read_nibbles(block + 8, out);
  read_fifth(block + 4, out);
}

/* d, q[32] */
static void read_q8_0(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = hb_load_u16(block);
  memcpy(out->codes, block + 2, 32);
}

/* e, qs[16] */
static void read_mxfp4(const uint8_t *block, size_t index, part *out) {
  (void)index;
  out->d = block[0];
  read_nibbles(block + 1, out);
}

/* scales[16] (s | t << 4), qs[64], d, dmin. In each half of 128 values byte l of its 32 bytes of qs
 * holds values l, 32 + l, 64 + l, 96 + l, two bits each. */
static void read_q2_k(const uint8_t *block, size_t index, part *out) {
  const uint8_t *qs = block + 16 + index / 4 * 32;
  out->d = hb_load_u16(block + 80);
  out->m = hb_load_u16(block + 82);
  for (size_t h = 0; h < 2; h++) {
    out->s[h] = block[2 * index + h] & 15;
    out->t[h] = block[2 * index + h] >> 4;
  }
  for (size_t i = 0; i < 32; i++) out->codes[i] = qs[i] >> index % 4 * 2 & 3;
}

/* hmask[32], qs[64] as in Q2_K, scales[12], d. Bit `index` of hmask[i] is bit 2 of code i. The 16
 * scales are 6 bits: 4 in the nibbles of the first 8 bytes, 2 in the last 4 bytes. */
static void read_q3_k(const uint8_t *block, size_t index, part *out) {
  const uint8_t *qs = block + 32 + index / 4 * 32;
  const uint8_t *scales = block + 96;
  out->d = hb_load_u16(block + 108);
  for (size_t h = 0; h < 2; h++) {
    size_t j = 2 * index + h;
    unsigned low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    unsigned high = scales[8 + j % 4] >> j / 4 * 2 & 3;
    out->s[h] = (uint8_t)((low | high << 4) - 32);
  }
  for (size_t i = 0; i < 32; i++)
    out->codes[i] = (uint8_t)((qs[i] >> index % 4 * 2 & 3) | (block[i] >> index & 1) << 2);
}

/* d, dmin, scales[12]: 8 scales and 8 mins of 6 bits. Values 64c + l and 64c + 32 + l are the
 * nibbles of byte l of the 32 bytes c of `qs`. */
static void read_k_header(const uint8_t *block, const uint8_t *qs, size_t index, part *out) {
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
static void read_q4_k(const uint8_t *block, size_t index, part *out) {
  read_k_header(block, block + 16, index, out);
}

/* d, dmin, scales[12], qh[32], qs[128]. Bit `index` of qh[i] is bit 4 of code i. */
static void read_q5_k(const uint8_t *block, size_t index, part *out) {
  const uint8_t *qh = block + 16;
  read_k_header(block, block + 48, index, out);
  for (size_t i = 0; i < 32; i++) out->codes[i] |= (uint8_t)((qh[i] >> index & 1) << 4);
}

/* ql[128], qh[64], scales[16], d. Each half of 128 values has 64 bytes of ql and 32 of qh: values
 * l, 32 + l, 64 + l, 96 + l take the low nibbles of ql[l], ql[32 + l], then the high ones, and two
 * bits each of qh[l]. */
static void read_q6_k(const uint8_t *block, size_t index, part *out) {
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
static void read_iq4_xs(const uint8_t *block, size_t index, part *out) {
  unsigned low = block[4 + index / 2] >> index % 2 * 4 & 15;
  unsigned high = hb_load_u16(block + 2) >> 2 * index & 3;
  out->d = hb_load_u16(block);
  out->s[0] = (uint8_t)((low | high << 4) - 32);
  read_nibbles(block + 8 + 16 * index, out);
}

/* Ternary digits 0, 1, 2 mean -1, 0, 1; as codes of Q4_0 they lie around 8. */
enum { TERNARY_TO_Q4_0 = 8 - 1 };

/* Digit n (0 = most significant) of five base-3 digits stored as ceil(number * 256 / 243). */
static uint8_t ternary_digit(uint8_t byte, size_t n) {
  static const uint8_t powers[5] = {1, 3, 9, 27, 81};
  return (uint8_t)((uint8_t)(byte * powers[n]) * 3 >> 8);
}

/* qs[48], qh[4], d. Digit n of byte b is value 32n + b of the first 160 (32 bytes), 160 + 16n + b
 * of the next 80 (16 bytes), 240 + 4n + b of the last 16 (qh). */
static void read_tq1_0(const uint8_t *block, size_t index, part *out) {
  out->d = hb_load_u16(block + 52);
  for (size_t i = 0; i < 32; i++) {
    size_t v = 32 * index + i;
    uint8_t digit;
    if (v < 160)
      digit = ternary_digit(block[v % 32], v / 32);
    else if (v < 240)
      digit = ternary_digit(block[32 + v % 16], (v - 160) / 16);
    else
      digit = ternary_digit(block[48 + v % 4], (v - 240) / 4);
    out->codes[i] = (uint8_t)(digit + TERNARY_TO_Q4_0);
  }
}

/* qs[64], d. Two bits each, placed as in Q2_K. */
static void read_tq2_0(const uint8_t *block, size_t index, part *out) {
  const uint8_t *qs = block + index / 4 * 32;
  out->d = hb_load_u16(block + 64);
  for (size_t i = 0; i < 32; i++)
    out->codes[i] = (uint8_t)((qs[i] >> index % 4 * 2 & 3) + TERNARY_TO_Q4_0);
}

/* ---- Types --------------------------------------------------------------------------------- */

typedef struct type_layout {
  hb_type type;
  uint32_t block_values, block_bytes; /* in GGUF */
  hb_packing_id packing;
  part_reader *read;
} type_layout;

static const type_layout layouts[] = {
    {HB_TYPE_Q4_0, 32, 18, HB_PACKING_Q4_0, read_q4_0},
    {HB_TYPE_Q4_1, 32, 20, HB_PACKING_Q4_1, read_q4_1},
    {HB_TYPE_Q5_0, 32, 22, HB_PACKING_Q5_0, read_q5_0},
    {HB_TYPE_Q5_1, 32, 24, HB_PACKING_Q5_1, read_q5_1},
    {HB_TYPE_Q8_0, 32, 34, HB_PACKING_Q8_0, read_q8_0},
    {HB_TYPE_Q2_K, 256, 84, HB_PACKING_Q2_K, read_q2_k},
    {HB_TYPE_Q3_K, 256, 110, HB_PACKING_Q3_K, read_q3_k},
    {HB_TYPE_Q4_K, 256, 144, HB_PACKING_Q4_K, read_q4_k},
    {HB_TYPE_Q5_K, 256, 176, HB_PACKING_Q5_K, read_q5_k},
    {HB_TYPE_Q6_K, 256, 210, HB_PACKING_Q6_K, read_q6_k},
    {HB_TYPE_IQ4_NL, 32, 18, HB_PACKING_IQ4_NL, read_q4_0},
    {HB_TYPE_IQ4_XS, 256, 136, HB_PACKING_IQ4_XS, read_iq4_xs},
    {HB_TYPE_TQ1_0, 256, 54, HB_PACKING_Q4_0, read_tq1_0},
    {HB_TYPE_TQ2_0, 256, 66, HB_PACKING_Q4_0, read_tq2_0},
    {HB_TYPE_MXFP4, 32, 17, HB_PACKING_MXFP4, read_mxfp4},
};

static const hb_packing packings[HB_PACKING_COUNT] = {
#define PACKING_ENTRY(name, values, scaling, codes, offset)                                        \
  {values, HB_SCALING_##scaling, HB_CODES_##codes, offset},
    HB_PACKING_LIST(PACKING_ENTRY)
#undef PACKING_ENTRY
};

static const type_layout *layout_of(hb_type type) {
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
    if (layouts[i].type == type) return &layouts[i];
  return NULL;
}

/* Bytes of a value of a float type, 0 for the others. */
static size_t float_bytes(hb_type type) {
  switch (type) {
  case HB_TYPE_F32: return 4;
  case HB_TYPE_F16:
  case HB_TYPE_BF16: return 2;
  default: return 0;
  }
}

bool hb_packing_of(hb_type type, hb_packing_id *id, hb_packing *packing) {
  const type_layout *layout = layout_of(type);
  if (!layout) return false;
  *id = layout->packing;
  *packing = packings[layout->packing];
  return true;
}

bool hb_type_wants_int8(hb_type type) {
  return layout_of(type) != NULL;
}

bool hb_packed_size(hb_type type, uint64_t rows, uint64_t cols, uint64_t *bytes) {
  if (rows > UINT32_MAX || cols > UINT32_MAX) return false;
  if (float_bytes(type) != 0)
    return hb_mul_u64(rows, cols, bytes) && hb_mul_u64(*bytes, float_bytes(type), bytes);
  const type_layout *layout = layout_of(type);
  if (!layout || cols % layout->block_values != 0) return false;
  const hb_packing p = packings[layout->packing];
  uint64_t groups = (rows + HB_GROUP - 1) / HB_GROUP;
  return hb_mul_u64(groups, cols / p.values, bytes) &&
         hb_mul_u64(*bytes, hb_packing_block(p), bytes);
}

/* ---- Packed blocks ------------------------------------------------------------------------- */

static void put_codes(hb_codes kind, const uint8_t *codes, uint8_t *out, size_t row) {
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

static void get_codes(hb_codes kind, const uint8_t *in, size_t row, uint8_t *codes) {
  for (size_t c = 0; c < 4; c++)
    for (size_t j = 0; j < 4; j++) {
      const uint8_t *at = in + 64 * c + 4 * row + j;
      const uint8_t *extra = in + 4 * 64 + 4 * row + j;
      uint8_t *low = &codes[4 * c + j], *high = &codes[16 + 4 * c + j];
      if (kind == HB_CODES_BYTES) {
        *low = at[0];
        *high = at[4 * 64];
        continue;
      }
      *low = *at & 15;
      *high = *at >> 4;
      if (kind == HB_CODES_FIVE) {
        *low |= (uint8_t)((*extra >> c & 1) << 4);
        *high |= (uint8_t)((*extra >> (4 + c) & 1) << 4);
      }
      if (kind == HB_CODES_SIX) {
        *low |= (uint8_t)((extra[0] >> 2 * c & 3) << 4);
        *high |= (uint8_t)((extra[64] >> 2 * c & 3) << 4);
      }
    }
}

/* Writes part `index` of a block for one row. Codes of 5 and 6 bits are or-ed into zeros. */
static void put_part(hb_packing p, const part *in, uint8_t *block, size_t index, size_t row) {
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

static float f16_at(const uint8_t *at) {
  return hb_f32_of_f16(hb_load_u16(at));
}

/* 2^(e - 128); the two smallest are subnormal. */
static float f32_of_e8m0(uint8_t e) {
  return hb_f32_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* The 32 values of a part: factor[half] * q + addend[half]. */
static void get_part(hb_packing p, const uint8_t *block, size_t index, size_t row, float *out) {
  const uint8_t *scales = block + hb_packing_header(p) + index * hb_packing_part(p);
  const uint8_t s[2] = {scales[row], scales[HB_GROUP + row]};
  float d = p.scaling == HB_SCALING_E8M0 ? f32_of_e8m0(block[row]) : f16_at(block + 2 * row);
  float m = f16_at(block + 2 * HB_GROUP + 2 * row);
  float factor[2] = {d, d};
  float addend[2] = {0.0f, 0.0f};
  bool has_addend = true;
  switch (p.scaling) {
  case HB_SCALING_F16_MIN: addend[0] = addend[1] = m; break;
  case HB_SCALING_ONE_MIN:
    factor[0] = factor[1] = d * (float)s[0];
    addend[0] = addend[1] = -(m * (float)s[1]);
    break;
  case HB_SCALING_TWO_MIN:
    for (size_t h = 0; h < 2; h++) {
      factor[h] = d * (float)(s[h] & 15);
      addend[h] = -(m * (float)(s[h] >> 4));
    }
    break;
  case HB_SCALING_ONE:
    factor[0] = factor[1] = d * (float)(int8_t)s[0];
    has_addend = false;
    break;
  case HB_SCALING_TWO:
    for (size_t h = 0; h < 2; h++) factor[h] = d * (float)(int8_t)s[h];
    has_addend = false;
    break;
  default: has_addend = false; break;
  }

  uint8_t codes[32];
  get_codes(p.codes, scales + hb_packing_scales(p), row, codes);
  for (size_t i = 0; i < 32; i++) {
    int q = codes[i] - p.offset;
    if (p.codes == HB_CODES_BYTES) q = (int8_t)codes[i];
    if (p.codes == HB_CODES_IQ4) q = hb_iq4_values[codes[i]];
    if (p.codes == HB_CODES_E2M1) q = hb_e2m1_values[codes[i]];
    /* Without a min nothing may be added: -0 + 0 is +0. */
    out[i] = factor[i / 16] * (float)q;
    if (has_addend) out[i] += addend[i / 16];
  }
}

void hb_pack_group(hb_matrix *m, size_t group, const void *raw) {
  const uint8_t *in = (const uint8_t *)raw;
  size_t first = group * HB_GROUP;
  size_t rows = m->rows - first < HB_GROUP ? m->rows - first : HB_GROUP;
  size_t value_bytes = float_bytes(m->type);
  if (value_bytes != 0) {
    size_t row_bytes = m->cols * value_bytes;
    memcpy(m->data + first * row_bytes, in, rows * row_bytes);
    return;
  }

  const type_layout *layout = layout_of(m->type);
  const hb_packing p = packings[layout->packing];
  size_t block_bytes = hb_packing_block(p), parts = p.values / HB_BLOCK;
  size_t row_parts = m->cols / HB_BLOCK, raw_parts = layout->block_values / HB_BLOCK;
  size_t row_bytes = m->cols / layout->block_values * layout->block_bytes;
  uint8_t *out = m->data + group * (m->cols / p.values) * block_bytes;
  memset(out, 0, m->cols / p.values * block_bytes);
  bool has_min = false;
  for (size_t i = 0; i < row_parts; i++)
    for (size_t row = 0; row < rows; row++) {
      part one;
      layout->read(in + row * row_bytes + i / raw_parts * layout->block_bytes, i % raw_parts, &one);
      put_part(p, &one, out + i / parts * block_bytes, i % parts, row);
      if (m->type == HB_TYPE_Q8_0) has_min |= memchr(one.codes, 0x80, 32) != NULL;
    }
  if (has_min) m->has_min_i8 = true;
}

void hb_unpack_row(const hb_matrix *m, size_t row, float *out) {
  size_t cols = m->cols;
  switch (m->type) {
  case HB_TYPE_F32: memcpy(out, m->data + row * cols * 4, cols * 4); return;
  case HB_TYPE_F16:
    for (size_t i = 0; i < cols; i++) out[i] = f16_at(m->data + (row * cols + i) * 2);
    return;
  case HB_TYPE_BF16:
    for (size_t i = 0; i < cols; i++)
      out[i] = hb_f32_of_bf16(hb_load_u16(m->data + (row * cols + i) * 2));
    return;
  default: break;
  }

  const hb_packing p = packings[layout_of(m->type)->packing];
  size_t block_bytes = hb_packing_block(p), parts = p.values / HB_BLOCK;
  const uint8_t *in = m->data + row / HB_GROUP * (cols / p.values) * block_bytes;
  for (size_t i = 0; i < cols / HB_BLOCK; i++)
    get_part(p, in + i / parts * block_bytes, i % parts, row % HB_GROUP, out + i * HB_BLOCK);
}
