/*
 * The packed form of quantized weights: 16 rows of a matrix interleaved, the same bytes for every
 * ISA. Nothing of a block is lost or recomputed; its fields are only moved.
 *
 * A group (16 rows) is an array of blocks along the columns, before which may stand what all of
 * them share. A block holds 32 or 256 values of each of the 16 rows: first what all of them share,
 * then one part for every 32 values.
 *
 *   block of 32   | header            | codes 0..31 |
 *   block of 64   | header            | codes 0..31 | codes 32..63 |
 *   block of 256  | header            | part 0: scales, codes 0..31 | ... | part 7 |
 *
 * Headers and scales are arrays over the rows:
 *
 *   scaling    header              scales of a part            value of code q
 *   F16        f16 d[16]           -                           d * q
 *   F16_MIN    f16 d[16], m[16]    -                           d * q + m
 *   F32        f32 d[16]           -                           d * q
 *   ROW        -                   -                           d * q, f32 d[16] begins the group
 *   E8M0       u8 e[16]            -                           2^(e - 128) * q
 *   ONE        f16 d[16]           i8 s[16]                    (d * s) * q
 *   ONE_MIN    f16 d[16], m[16]    u8 s[16], u8 t[16]          (d * s) * q - (m * t)
 *   TWO        f16 d[16]           i8 s[2][16]                 (d * s[i / 16]) * q
 *   TWO_MIN    f16 d[16], m[16]    u8 (s | t << 4)[2][16]      (d * s[i / 16]) * q - (m * t[i /
 * 16])
 *
 * The codes of a part, so that one load brings 4 codes of every row to the row's 32-bit lane:
 *
 *   byte      0     1     2     3   |  4     5     6     7   | ... |  60 .. 63
 *           +-----+-----+-----+-----+-----+-----+-----+-----+-----+-----------+
 *   chunk c | row 0                 | row 1                 | ... | row 15    |   4 chunks
 *           +-----+-----+-----+-----+-----+-----+-----+-----+-----+-----------+
 *   byte j of a row in chunk c:   bits 0-3 code 4c + j,   bits 4-7 code 16 + 4c + j
 *
 *   NIBBLES  the 4 chunks
 *   FIVE     the 4 chunks, then 64 bytes with bit 4 of the codes. Byte j of a row:
 *            bit c of code 4c + j, bit 4 + c of code 16 + 4c + j (c = 0..3)
 *   SIX      the 4 chunks, then 2 x 64 bytes with bits 4-5 of the codes. Byte j of a row:
 *            bits 2c, 2c + 1 of code 4c + j (first 64 bytes) or 16 + 4c + j (second)
 *   BYTES    8 chunks of int8: byte j of a row in chunk c is value 4c + j
 *   IQ4      NIBBLES that index hb_iq4_values
 *   E2M1     NIBBLES that index hb_e2m1_values (twice the value)
 *   LEVELS   NIBBLES that index i8 level[16], with which the group begins (64 bytes)
 *   TABLES   NIBBLES that index the row's own levels, i8 level[4][4][16] behind the group's d:
 *            those of row 4i + k are level[k][i]
 *
 * Codes are stored unsigned; `offset` is subtracted from them to get q.
 */
#ifndef HB_KERNEL_PACK_H
#define HB_KERNEL_PACK_H

#include "kernel/kernel.h"

typedef enum hb_scaling {
  HB_SCALING_F16,
  HB_SCALING_F32,
  HB_SCALING_ROW,
  HB_SCALING_F16_MIN,
  HB_SCALING_E8M0,
  HB_SCALING_ONE,
  HB_SCALING_ONE_MIN,
  HB_SCALING_TWO,
  HB_SCALING_TWO_MIN
} hb_scaling;

typedef enum hb_codes {
  HB_CODES_NIBBLES,
  HB_CODES_FIVE,
  HB_CODES_SIX,
  HB_CODES_BYTES,
  HB_CODES_IQ4,
  HB_CODES_E2M1,
  HB_CODES_LEVELS,
  HB_CODES_TABLES
} hb_codes;

/* X(NAME, values a block, scaling, codes, offset): one packing for each type of that name. The
 * ternary types TQ1_0 and TQ2_0 become Q4_0, their d repeated for every 32 values, and INT2_64 Q4_1
 * with d and m twice. LEVELS is that
 * of NF4 and FP4, the factor of their levels made of d and s, exactly; TABLES that of TABLE4 and
 * TABLE3. */
#define HB_PACKING_LIST(X)                                                                         \
  X(Q4_0, 32, F16, NIBBLES, 8)                                                                     \
  X(Q4_1, 32, F16_MIN, NIBBLES, 0)                                                                 \
  X(Q5_0, 32, F16, FIVE, 16)                                                                       \
  X(Q5_1, 32, F16_MIN, FIVE, 0)                                                                    \
  X(Q8_0, 32, F16, BYTES, 0)                                                                       \
  X(IQ4_NL, 32, F16, IQ4, 0)                                                                       \
  X(MXFP4, 32, E8M0, E2M1, 0)                                                                      \
  X(Q2_K, 256, TWO_MIN, NIBBLES, 0)                                                                \
  X(Q3_K, 256, TWO, NIBBLES, 4)                                                                    \
  X(Q4_K, 256, ONE_MIN, NIBBLES, 0)                                                                \
  X(Q5_K, 256, ONE_MIN, FIVE, 0)                                                                   \
  X(Q6_K, 256, TWO, SIX, 32)                                                                       \
  X(IQ4_XS, 256, ONE, IQ4, 0)                                                                      \
  X(LEVELS, 64, F32, LEVELS, 0)                                                                    \
  X(TABLES, 32, ROW, TABLES, 0)

typedef enum hb_packing_id {
#define HB_PACKING_ENUM(name, values, scaling, codes, offset) HB_PACKING_##name,
  HB_PACKING_LIST(HB_PACKING_ENUM)
#undef HB_PACKING_ENUM
      HB_PACKING_COUNT
} hb_packing_id;

typedef struct hb_packing {
  uint16_t values; /* of one row in a block */
  hb_scaling scaling;
  hb_codes codes;
  uint8_t offset;
} hb_packing;

static const int8_t hb_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t hb_e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Sizes in bytes. Constant wherever the packing is. */

enum { HB_TABLES_AT = 4 * HB_GROUP }; /* where the tables of TABLES begin in a group */

/* What stands before a group's blocks. */
static inline size_t hb_packing_start(hb_packing p) {
  switch (p.codes) {
  case HB_CODES_LEVELS: return 64;
  case HB_CODES_TABLES: return HB_TABLES_AT + 16 * HB_GROUP;
  default: return 0;
  }
}

static inline size_t hb_packing_header(hb_packing p) {
  switch (p.scaling) {
  case HB_SCALING_F16_MIN:
  case HB_SCALING_ONE_MIN:
  case HB_SCALING_TWO_MIN: return 4 * HB_GROUP;
  case HB_SCALING_F32: return 4 * HB_GROUP;
  case HB_SCALING_E8M0: return HB_GROUP;
  case HB_SCALING_ROW: return 0;
  default: return 2 * HB_GROUP;
  }
}

static inline size_t hb_packing_scales(hb_packing p) {
  switch (p.scaling) {
  case HB_SCALING_ONE: return HB_GROUP;
  case HB_SCALING_ONE_MIN:
  case HB_SCALING_TWO:
  case HB_SCALING_TWO_MIN: return 2 * HB_GROUP;
  default: return 0;
  }
}

static inline size_t hb_packing_codes(hb_packing p) {
  switch (p.codes) {
  case HB_CODES_FIVE: return (4 + 1) * 64;
  case HB_CODES_SIX: return (4 + 2) * 64;
  case HB_CODES_BYTES: return 8 * 64;
  default: return 4 * 64;
  }
}

static inline size_t hb_packing_part(hb_packing p) {
  return hb_packing_scales(p) + hb_packing_codes(p);
}

static inline size_t hb_packing_block(hb_packing p) {
  return hb_packing_header(p) + p.values / HB_BLOCK * hb_packing_part(p);
}

/* A group of rows of `cols` values. */
static inline size_t hb_packing_group(hb_packing p, size_t cols) {
  return hb_packing_start(p) + cols / p.values * hb_packing_block(p);
}

/* Where the levels of a row of a group stand behind HB_TABLES_AT. */
static inline size_t hb_table_at(size_t row) {
  return 64 * (row % 4) + 16 * (row / 4);
}

/* The packing of a quantized type; false if the type has none. */
bool hb_packing_of(hb_type type, hb_packing_id *id, hb_packing *packing);

#endif
