/* Random weights in GGUF form, for the tests of packing and of the kernels. */
#ifndef HB_TEST_RANDOM_BLOCKS_H
#define HB_TEST_RANDOM_BLOCKS_H

#include "base/half.h"
#include "kernel/kernel.h"

#include <stdlib.h>

/* Quantized types and where their f16 fields stand in a block (count 0 to 2). */
typedef struct block_type {
  hb_type type;
  const char *name;
  size_t values, bytes;
  size_t halves[2];
  size_t half_count;
} block_type;

static const block_type block_types[] = {
    {HB_TYPE_Q4_0, "Q4_0", 32, 18, {0}, 1},      {HB_TYPE_Q4_1, "Q4_1", 32, 20, {0, 2}, 2},
    {HB_TYPE_Q5_0, "Q5_0", 32, 22, {0}, 1},      {HB_TYPE_Q5_1, "Q5_1", 32, 24, {0, 2}, 2},
    {HB_TYPE_Q8_0, "Q8_0", 32, 34, {0}, 1},      {HB_TYPE_Q2_K, "Q2_K", 256, 84, {80, 82}, 2},
    {HB_TYPE_Q3_K, "Q3_K", 256, 110, {108}, 1},  {HB_TYPE_Q4_K, "Q4_K", 256, 144, {0, 2}, 2},
    {HB_TYPE_Q5_K, "Q5_K", 256, 176, {0, 2}, 2}, {HB_TYPE_Q6_K, "Q6_K", 256, 210, {208}, 1},
    {HB_TYPE_IQ4_NL, "IQ4_NL", 32, 18, {0}, 1},  {HB_TYPE_IQ4_XS, "IQ4_XS", 256, 136, {0}, 1},
    {HB_TYPE_TQ1_0, "TQ1_0", 256, 54, {52}, 1},  {HB_TYPE_TQ2_0, "TQ2_0", 256, 66, {64}, 1},
    {HB_TYPE_MXFP4, "MXFP4", 32, 17, {0}, 0},    {HB_TYPE_INT2_64, "INT2_64", 64, 20, {0, 2}, 2},
};
enum { BLOCK_TYPES = sizeof block_types / sizeof *block_types };

/* splitmix64 */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* In -1 .. 1. */
static inline float random_unit(uint64_t *state) {
  return (float)(int32_t)(next_random(state) >> 32) * 0x1p-31f;
}

typedef enum block_kind {
  BLOCKS_PLAIN, /* scales as a model has them */
  BLOCKS_WIDE,  /* scales of any finite f16, subnormal ones too */
  BLOCKS_ANY,   /* any bytes at all, scales of infinity and NaN too */
  BLOCK_KINDS
} block_kind;

static inline uint16_t random_half(uint64_t *state, block_kind kind) {
  if (kind == BLOCKS_PLAIN) return hb_f16_of_f32(0.02f * random_unit(state));
  uint16_t h;
  do h = (uint16_t)(next_random(state) >> 17);
  while ((h & 0x7c00) == 0x7c00);
  return h;
}

static inline void random_blocks(const block_type *t, block_kind kind, uint64_t *state,
                                 uint8_t *out, size_t blocks) {
  for (size_t i = 0; i < blocks * t->bytes; i++) out[i] = (uint8_t)(next_random(state) >> 24);
  if (kind == BLOCKS_ANY) return;
  for (size_t b = 0; b < blocks; b++) {
    for (size_t h = 0; h < t->half_count; h++)
      hb_store_u16(out + b * t->bytes + t->halves[h], random_half(state, kind));
    if (t->type == HB_TYPE_MXFP4 && kind == BLOCKS_PLAIN)
      out[b * t->bytes] = (uint8_t)(118 + next_random(state) % 6);
  }
}

/* A packed matrix of `rows` rows made of raw; free(m.data). */
static inline hb_matrix packed_matrix(hb_type type, uint32_t rows, uint32_t cols,
                                      const uint8_t *raw, size_t row_bytes) {
  hb_matrix m = {.type = type, .rows = rows, .cols = cols};
  if (!hb_packed_size(type, rows, cols, &m.bytes)) return m;
  m.data = aligned_alloc(64, (m.bytes + 63) / 64 * 64 + 64);
  for (size_t g = 0; m.data && g < hb_group_count(&m); g++)
    hb_pack_group(&m, g, raw + g * HB_GROUP * row_bytes);
  return m;
}

/* Equal bits, or NaN both: the payload of a NaN is the machine's own. */
static inline bool same_float(float a, float b) {
  return hb_bits_of_f32(a) == hb_bits_of_f32(b) || (a != a && b != b);
}

#endif
