#include "measure/random.h"
#include "base/half.h"
#include "kernel/kernel.h"
#include "quant/formats.h"
#include "quant/private.h"

enum { MOST_VALUES = 256 }; /* of a block */

hb_random hb_random_begin(uint64_t seed, uint64_t index) {
  hb_random r = {seed};
  r.state = hb_random_next(&r) ^ index;
  r.state = hb_random_next(&r);
  return r;
}

/* In 0..1, without 1. */
static float random_part(hb_random *r) {
  return (float)(uint32_t)(hb_random_next(r) >> 40) * 0x1p-24f;
}

/* About normal, mean 0, deviation 1: a sum of four uniform numbers of 16 bits, whose mean is 131070
 * and whose deviation is the square root of (2^32 - 1) / 3. */
static float random_normal(hb_random *r) {
  uint64_t u = hb_random_next(r);
  uint32_t sum = (uint32_t)(u & 65535) + (u >> 16 & 65535) + (u >> 32 & 65535) + (u >> 48);
  return (float)((int32_t)sum - 131070) * (1 / 37837.227f);
}

static void random_bytes(hb_random *r, uint8_t *out, size_t count) {
  uint64_t u = 0;
  for (size_t i = 0; i < count; i++) {
    if (i % 8 == 0) u = hb_random_next(r);
    out[i] = (uint8_t)u;
    u >>= 8;
  }
}

/* ---- Types with scales ---- */

/* Where a block has its scale and, if its numbers are not signed, the one of its minima: an f16 of
 * `ratio` times the scale, which makes the mean zero. */
typedef struct scale_fields {
  hb_type type;
  uint8_t scale, minimum;
  float ratio; /* 0: no minimum; the scale's sign is random */
} scale_fields;

static const scale_fields fields_table[] = {
    {HB_TYPE_Q4_0, 0, 0, 0},      {HB_TYPE_Q4_1, 0, 2, -7.5f}, {HB_TYPE_Q5_0, 0, 0, 0},
    {HB_TYPE_Q5_1, 0, 2, -15.5f}, {HB_TYPE_Q8_0, 0, 0, 0},     {HB_TYPE_Q2_K, 80, 82, 1.5f},
    {HB_TYPE_Q3_K, 108, 0, 0},    {HB_TYPE_Q4_K, 0, 2, 7.5f},  {HB_TYPE_Q5_K, 0, 2, 15.5f},
    {HB_TYPE_Q6_K, 208, 0, 0},    {HB_TYPE_IQ4_NL, 0, 0, 0},   {HB_TYPE_IQ4_XS, 0, 0, 0},
    {HB_TYPE_TQ1_0, 52, 0, 0},    {HB_TYPE_TQ2_0, 64, 0, 0},
};

/* NULL for MXFP4, whose scale is a power of two. */
static const scale_fields *fields_of(hb_type type) {
  for (size_t i = 0; i < sizeof fields_table / sizeof *fields_table; i++)
    if (fields_table[i].type == type) return &fields_table[i];
  return NULL;
}

static void store_scale(const scale_fields *f, float scale, uint8_t *block) {
  hb_store_u16(block + f->scale, hb_f16_of_f32(scale));
  if (f->ratio != 0)
    hb_store_u16(block + f->minimum, hb_f16_of_f32(f->ratio * hb_load_f16(block + f->scale)));
}

/* `digits` base-3 digits as TQ1_0 packs five: the fraction times 256, rounded up. */
static uint8_t pack_base3(uint8_t random, uint32_t digits) {
  uint32_t number = digits == 5 ? random % 243u : random % 81u * 3;
  return (uint8_t)((number * 256 + 242) / 243);
}

/* Turns random bytes into numbers that an encoder might write, with a mean of zero. */
static void adjust_numbers(hb_type type, uint8_t *b) {
  switch (type) {
  case HB_TYPE_Q8_0: /* -127..127 */
    for (uint32_t i = 2; i < 34; i++) b[i] = b[i] == 0x80 ? 0x81 : b[i];
    break;
  case HB_TYPE_Q2_K: /* each minimum is that of its scale */
    for (uint32_t k = 0; k < 16; k++) b[k] = (uint8_t)((b[k] & 15) * 17);
    break;
  case HB_TYPE_Q4_K:
  case HB_TYPE_Q5_K: /* likewise, six bits each: the layout is in quant/kquants.c */
    for (uint32_t k = 0; k < 4; k++) {
      b[8 + k] = b[4 + k];
      b[12 + k] = (uint8_t)((b[12 + k] & 15) * 17);
    }
    break;
  case HB_TYPE_TQ1_0:
    for (uint32_t i = 0; i < 52; i++) b[i] = pack_base3(b[i], i < 48 ? 5 : 4);
    break;
  case HB_TYPE_TQ2_0: /* 3 becomes 1 */
    for (uint32_t i = 0; i < 64; i++) b[i] &= (uint8_t)~((b[i] & b[i] >> 1 & 0x55) << 1);
    break;
  default: break;
  }
}

/* A block whose scale is near 1. */
static void random_block(hb_random *r, const hb_type_traits *t, uint8_t *b) {
  const scale_fields *f = fields_of(t->type);
  random_bytes(r, b, t->block_bytes);
  adjust_numbers(t->type, b);
  float scale = 0.75f + 0.5f * random_part(r);
  bool negative = (hb_random_next(r) & 1) != 0;
  if (!f)
    b[0] = 127;
  else
    store_scale(f, f->ratio == 0 && negative ? -scale : scale, b);
}

static float root_mean_square(const hb_type_traits *t, const uint8_t *b, size_t count) {
  float values[MOST_VALUES];
  double sum = 0;
  for (size_t n = 0; n < count; n++) {
    t->decode(b + n * t->block_bytes, values, 1);
    for (uint32_t i = 0; i < t->block_values; i++) sum += (double)values[i] * values[i];
  }
  return hb_sqrtf((float)(sum / (double)(count * t->block_values)));
}

/* The exponent, biased by 127, of one of the two powers of two about `gain`: drawn so that the mean
 * of their squares is that of gain. */
static uint8_t random_exponent(hb_random *r, float gain) {
  uint32_t bits = hb_bits_of_f32(gain);
  float rest = hb_f32_of_bits((bits & 0x7fffff) | 0x3f800000); /* gain = rest * 2^e, rest in 1..2 */
  return (uint8_t)((bits >> 23) + (random_part(r) * 3 < rest * rest - 1));
}

static void multiply_scale(hb_random *r, hb_type type, float gain, uint8_t *b) {
  const scale_fields *f = fields_of(type);
  if (!f)
    b[0] = random_exponent(r, gain);
  else
    store_scale(f, hb_load_f16(b + f->scale) * gain, b);
}

/* ---- All types ---- */

void hb_random_blocks(hb_random *r, hb_type type, float mean, float deviation, void *out,
                      size_t count) {
  const hb_type_traits *t = hb_traits(type);
  uint8_t *b = out;
  if (t->block_values == 1) {
    for (size_t n = 0; n < count; n++) {
      float value = mean + deviation * random_normal(r);
      t->encode(&value, b + n * t->block_bytes, 1);
    }
    return;
  }
  for (size_t n = 0; n < count; n++) random_block(r, t, b + n * t->block_bytes);
  float gain = deviation / root_mean_square(t, b, count);
  for (size_t n = 0; n < count; n++) multiply_scale(r, type, gain, b + n * t->block_bytes);
}

/* ---- Types of halfbyte's own: layouts in quant/levels.c and int2.c ---- */

static float root_of_levels(const int8_t *levels, uint32_t count) {
  int32_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += levels[i] * levels[i];
  return hb_sqrtf((float)sum / (float)count);
}

/* Scales of blocks are in 128..255, d is made for their mean. */
static void adjust_levels_row(const int8_t *levels, uint64_t cols, float deviation, uint8_t *row) {
  const float root_of_scales = 195;
  float d = deviation * 0x1p14f / (root_of_scales * root_of_levels(levels, 16));
  for (uint64_t left = cols / HB_LEVELS_BLOCK; left > 0;) {
    uint32_t blocks = left < HB_LEVELS_BLOCKS ? (uint32_t)left : HB_LEVELS_BLOCKS;
    hb_store_u16(row, hb_f16_of_f32(d));
    for (uint32_t b = 0; b < blocks; b++) row[2 + b] |= 128;
    row += 2 + blocks + blocks * HB_LEVELS_CODES;
    left -= blocks;
  }
}

/* Levels near those of NF4. */
static void adjust_table_row(hb_random *r, uint32_t count, float deviation, uint8_t *row) {
  int8_t levels[HB_TABLE4_COUNT];
  for (uint32_t i = 0; i < count; i++) {
    int middle = hb_nf4_levels[i * HB_TABLE4_COUNT / count];
    levels[i] = (int8_t)(middle * 15 / 16 + (int)(hb_random_next(r) & 7));
  }
  hb_store_u16(row, hb_f16_of_f32(deviation * 0x1p7f / root_of_levels(levels, count)));
  memcpy(row + HB_TABLE_LEVELS, levels, count);
}

/* INT2_64: levels around 0, steps drawn from 3/4 to 5/4 of one size. */
static void adjust_int2_row(hb_random *r, uint64_t cols, float deviation, uint8_t *row) {
  const float root_of_levels = 1.118034f; /* of -1.5, -0.5, 0.5, 1.5 */
  for (uint64_t left = cols / 64; left > 0; left--, row += 20) {
    float d = deviation / root_of_levels * (0.75f + 0.5f * random_part(r));
    hb_store_u16(row, hb_f16_of_f32(d));
    hb_store_u16(row + 2, hb_f16_of_f32(-1.5f * d));
  }
}

void hb_random_rows(hb_random *r, hb_type type, uint64_t cols, float deviation, void *out,
                    size_t rows) {
  uint64_t bytes;
  hb_row_bytes(type, cols, &bytes);
  uint8_t *row = out;
  for (size_t i = 0; i < rows; i++, row += bytes) {
    random_bytes(r, row, (size_t)bytes);
    switch (type) {
    case HB_TYPE_TABLE4: adjust_table_row(r, HB_TABLE4_COUNT, deviation, row); break;
    case HB_TYPE_TABLE3: adjust_table_row(r, HB_TABLE3_COUNT, deviation, row); break;
    case HB_TYPE_INT2_64: adjust_int2_row(r, cols, deviation, row); break;
    case HB_TYPE_FP4: adjust_levels_row(hb_fp4_levels, cols, deviation, row); break;
    default: adjust_levels_row(hb_nf4_levels, cols, deviation, row); break;
    }
  }
}
