#include "kernel/pack_rows.h"

#include "base/half.h"
#include "quant/quant.h"

/* The rows of a group: `blocks` GGUF blocks each. */
typedef struct strip {
  const uint8_t *in;
  size_t row_bytes, block_bytes; /* of `in` */
  size_t rows, blocks;
  uint8_t *out;
  size_t packed_bytes; /* of 16 rows of a GGUF block */
} strip;

typedef void strip_packer(const strip *s);

typedef void row_packer(const uint8_t *in, uint8_t *out, size_t row);

HB_INLINE void pack_block(const strip *s, size_t block, row_packer *pack_row) {
  const uint8_t *in = s->in + block * s->block_bytes;
  uint8_t *out = s->out + block * s->packed_bytes;
  for (size_t row = 0; row < s->rows; row++) pack_row(in + row * s->row_bytes, out, row);
}

#define STRIP_PACKER(type)                                                                         \
  static void pack_##type(const strip *s) {                                                        \
    for (size_t i = 0; i < s->blocks; i++) pack_block(s, i, row_##type);                           \
  }
STRIP_PACKER(q4_0)
STRIP_PACKER(q4_1)
STRIP_PACKER(q5_0)
STRIP_PACKER(q5_1)
STRIP_PACKER(q8_0)
STRIP_PACKER(mxfp4)
STRIP_PACKER(q2_k)
STRIP_PACKER(q3_k)
STRIP_PACKER(q4_k)
STRIP_PACKER(q5_k)
STRIP_PACKER(q6_k)
STRIP_PACKER(iq4_xs)
STRIP_PACKER(tq1_0)
STRIP_PACKER(tq2_0)
STRIP_PACKER(int2_64)

/* Rows that share more than a block: each as a whole. */
static void pack_levels(const strip *s, const int8_t *levels) {
  const hb_packing p = {HB_LEVELS_BLOCK, HB_SCALING_F32, HB_CODES_LEVELS, 0};
  uint8_t *blocks = s->out + hb_packing_start(p);
  memset(s->out, 0, hb_packing_start(p));
  memcpy(s->out, levels, 16);
  for (size_t row = 0; row < s->rows; row++)
    row_levels(s->in + row * s->row_bytes, blocks, row, s->blocks);
}

static void pack_nf4(const strip *s) {
  pack_levels(s, hb_nf4_levels);
}

static void pack_fp4(const strip *s) {
  pack_levels(s, hb_fp4_levels);
}

HB_INLINE void pack_table(const strip *s, size_t levels, row_packer *pack_row) {
  const hb_packing p = {HB_BLOCK, HB_SCALING_ROW, HB_CODES_TABLES, 0};
  memset(s->out, 0, hb_packing_start(p));
  for (size_t row = 0; row < s->rows; row++)
    row_table(s->in + row * s->row_bytes, s->out, row, levels);
  strip codes = *s;
  codes.in += HB_TABLE_LEVELS + levels;
  codes.out += hb_packing_start(p);
  for (size_t i = 0; i < s->blocks; i++) pack_block(&codes, i, pack_row);
}

static void pack_table4(const strip *s) {
  pack_table(s, HB_TABLE4_COUNT, row_table4);
}

static void pack_table3(const strip *s) {
  pack_table(s, HB_TABLE3_COUNT, row_table3);
}

/* ---- Types --------------------------------------------------------------------------------- */

typedef struct type_layout {
  hb_type type;
  uint32_t block_values, block_bytes; /* in GGUF */
  hb_packing_id packing;
  strip_packer *pack;
} type_layout;

static const type_layout layouts[] = {
    {HB_TYPE_Q4_0, 32, 18, HB_PACKING_Q4_0, pack_q4_0},
    {HB_TYPE_Q4_1, 32, 20, HB_PACKING_Q4_1, pack_q4_1},
    {HB_TYPE_Q5_0, 32, 22, HB_PACKING_Q5_0, pack_q5_0},
    {HB_TYPE_Q5_1, 32, 24, HB_PACKING_Q5_1, pack_q5_1},
    {HB_TYPE_Q8_0, 32, 34, HB_PACKING_Q8_0, pack_q8_0},
    {HB_TYPE_Q2_K, 256, 84, HB_PACKING_Q2_K, pack_q2_k},
    {HB_TYPE_Q3_K, 256, 110, HB_PACKING_Q3_K, pack_q3_k},
    {HB_TYPE_Q4_K, 256, 144, HB_PACKING_Q4_K, pack_q4_k},
    {HB_TYPE_Q5_K, 256, 176, HB_PACKING_Q5_K, pack_q5_k},
    {HB_TYPE_Q6_K, 256, 210, HB_PACKING_Q6_K, pack_q6_k},
    {HB_TYPE_IQ4_NL, 32, 18, HB_PACKING_IQ4_NL, pack_q4_0},
    {HB_TYPE_IQ4_XS, 256, 136, HB_PACKING_IQ4_XS, pack_iq4_xs},
    {HB_TYPE_TQ1_0, 256, 54, HB_PACKING_Q4_0, pack_tq1_0},
    {HB_TYPE_TQ2_0, 256, 66, HB_PACKING_Q4_0, pack_tq2_0},
    {HB_TYPE_MXFP4, 32, 17, HB_PACKING_MXFP4, pack_mxfp4},
    {HB_TYPE_NF4, 64, 33, HB_PACKING_LEVELS, pack_nf4},
    {HB_TYPE_FP4, 64, 33, HB_PACKING_LEVELS, pack_fp4},
    {HB_TYPE_TABLE4, 32, 16, HB_PACKING_TABLES, pack_table4},
    {HB_TYPE_TABLE3, 32, 12, HB_PACKING_TABLES, pack_table3},
    {HB_TYPE_INT2_64, 64, 20, HB_PACKING_Q4_1, pack_int2_64},
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
  return hb_mul_u64(cols / p.values, hb_packing_block(p), bytes) &&
         hb_add_u64(*bytes, hb_packing_start(p), bytes) && hb_mul_u64(*bytes, groups, bytes);
}

/* ---- Packed blocks ------------------------------------------------------------------------- */

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

static float f16_at(const uint8_t *at) {
  return hb_f32_of_f16(hb_load_u16(at));
}

/* 2^(e - 128); the two smallest are subnormal. */
static float f32_of_e8m0(uint8_t e) {
  return hb_f32_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

static float f32_at(const uint8_t *at) {
  return hb_f32_of_bits(hb_load_u32(at));
}

static float get_factor(hb_packing p, const uint8_t *group, const uint8_t *block, size_t row) {
  switch (p.scaling) {
  case HB_SCALING_E8M0: return f32_of_e8m0(block[row]);
  case HB_SCALING_F32: return f32_at(block + 4 * row);
  case HB_SCALING_ROW: return f32_at(group + 4 * row);
  default: return f16_at(block + 2 * row);
  }
}

/* What the codes of a row index, or NULL. */
static const int8_t *get_levels(hb_packing p, const uint8_t *group, size_t row) {
  switch (p.codes) {
  case HB_CODES_IQ4: return hb_iq4_values;
  case HB_CODES_E2M1: return hb_e2m1_values;
  case HB_CODES_LEVELS: return (const int8_t *)group;
  case HB_CODES_TABLES: return (const int8_t *)group + HB_TABLES_AT + hb_table_at(row);
  default: return NULL;
  }
}

/* The 32 values of a part: factor[half] * q + addend[half]. */
static void get_part(hb_packing p, const uint8_t *group, const uint8_t *block, size_t index,
                     size_t row, float *out) {
  const uint8_t *scales = block + hb_packing_header(p) + index * hb_packing_part(p);
  const uint8_t s[2] = {scales[row], scales[HB_GROUP + row]};
  float d = get_factor(p, group, block, row);
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

  const int8_t *levels = get_levels(p, group, row);
  uint8_t codes[32];
  get_codes(p.codes, scales + hb_packing_scales(p), row, codes);
  for (size_t i = 0; i < 32; i++) {
    int q = codes[i] - p.offset;
    if (p.codes == HB_CODES_BYTES) q = (int8_t)codes[i];
    if (levels) q = levels[codes[i]];
    /* Without a min nothing may be added: -0 + 0 is +0. */
    out[i] = factor[i / 16] * (float)q;
    if (has_addend) out[i] += addend[i / 16];
  }
}

void hb_pack_group(const hb_matrix *m, size_t group, const void *raw) {
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
  uint64_t row_bytes, group_bytes = hb_packing_group(p, m->cols);
  hb_row_bytes(m->type, m->cols, &row_bytes);
  strip s = {
      .in = in,
      .row_bytes = (size_t)row_bytes,
      .block_bytes = layout->block_bytes,
      .rows = rows,
      .blocks = m->cols / layout->block_values,
      .packed_bytes = hb_packing_block(p) * (layout->block_values / p.values),
  };
  s.out = m->data + group * group_bytes;
  if (rows < HB_GROUP) memset(s.out, 0, group_bytes);
  layout->pack(&s);
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
  const uint8_t *group = m->data + row / HB_GROUP * hb_packing_group(p, cols);
  const uint8_t *in = group + hb_packing_start(p);
  for (size_t i = 0; i < cols / HB_BLOCK; i++)
    get_part(p, group, in + i / parts * block_bytes, i % parts, row % HB_GROUP, out + i * HB_BLOCK);
}
