/*
 * halfbyte's own formats, for what no type of GGUF can hold: where they stand in a file. Reader and
 * writer share this.
 *
 * A file with one of them has general.architecture = "halfbyte-" and the stock name; the keys of
 * the architecture keep the stock name ("llama.block_count"). These keys describe the rest:
 *
 *   halfbyte.features      strings: what a reader must know, of HB_FEATURE_LIST
 *   halfbyte.tensor_types  strings "NAME TYPE": the type of a matrix, of HB_PRIVATE_TYPE_LIST. Its
 *                          tensor is I8 with dims {bytes of a row (hb_row_bytes), rows}
 *   halfbyte.activations   how inputs of the matrices in layers become int8: "block" (as in every
 *                          other model), "token" (one scale a row) or "tensor" (a fixed scale)
 *   halfbyte.activations_skip_outliers  bool: there, columns with outliers count as 0
 *
 * These tensors stand beside "X.weight":
 *
 *   X.outliers     I8 {bytes}: values that are added to the matrix, sparse (below)
 *   X.input_scale  F32 {1}: the fixed scale of "tensor", an int8 of 1 in the input's unit; above 0
 *
 * Only matrices in layers can have them. q, k and v share one int8 input, and so do gate and up:
 * their fixed scales must be the same, and, where inputs skip them, the columns of their outliers.
 *
 * Outliers, little-endian, each part filled up with zeros to a multiple of 4 bytes:
 *
 *   | start:4 * (rows + 1) | column:2 * n | value:2 * n |        n = start[rows]
 *
 * Row r has the entries start[r] .. start[r + 1] - 1; columns increase in a row, values are f16.
 */
#ifndef HB_PRIVATE_H
#define HB_PRIVATE_H

#include "base/base.h"

#define HB_PRIVATE_PREFIX "halfbyte-" /* of general.architecture */
#define HB_OUTLIERS_SUFFIX ".outliers"
#define HB_INPUT_SCALE_SUFFIX ".input_scale"
#define HB_WEIGHT_SUFFIX ".weight" /* whose place those take */

/* X(NAME, "name"): what halfbyte.features may ask for. */
#define HB_FEATURE_LIST(X)                                                                         \
  X(NF4, "nf4")                                                                                    \
  X(FP4, "fp4")                                                                                    \
  X(TABLE4, "table4")                                                                              \
  X(TABLE3, "table3")                                                                              \
  X(INT2_64, "int2_64")                                                                            \
  X(OUTLIERS, "outliers")                                                                          \
  X(ACTIVATIONS, "activations") /* other than "block" */

/* Bits of a set of features. Those of types have the order of HB_PRIVATE_TYPE_LIST. */
typedef enum hb_feature {
#define HB_FEATURE_ENUM(name, text) HB_FEATURE_##name,
  HB_FEATURE_LIST(HB_FEATURE_ENUM)
#undef HB_FEATURE_ENUM
} hb_feature;

/* Levels of the codes of NF4 and FP4, 127 times the values of QLoRA (arXiv 2305.14314) and of
 * bitsandbytes, rounded. Bit 3 of a code of FP4 is its sign. */
static const int8_t hb_nf4_levels[16] = {-127, -88, -67, -50, -36, -23, -12, 0,
                                         10,   20,  31,  43,  56,  71,  92,  127};
static const int8_t hb_fp4_levels[16] = {0, 1,  21,  32,  42,  64,  85,  127,
                                         0, -1, -21, -32, -42, -64, -85, -127};

/* Integers of 8 bits are fractions of 128, so that d, an f16, is about as large as the weights and
 * not one of the subnormal numbers, which are coarse:
 *   NF4, FP4         w = d * (s / 128) * (level / 128)
 *   TABLE4, TABLE3   w = d * (level / 128)
 * The factor of the level is exact in f32. */
static inline float hb_levels_factor(float d, uint8_t s) {
  return d * (float)s * 0x1p-14f;
}

static inline float hb_table_factor(float d) {
  return d * 0x1p-7f;
}

/* NF4 and FP4: what each super-block of up to 4 blocks of 64 values consists of (levels.c). */
enum {
  HB_LEVELS_BLOCK = 64, /* values */
  HB_LEVELS_BLOCKS = 4, /* of a super-block, unless a row ends before */
  HB_LEVELS_CODES = 32, /* bytes of a block's codes */
};

/* TABLE4 and TABLE3: where the levels of a row stand (levels.c). */
enum { HB_TABLE_LEVELS = 2, HB_TABLE4_COUNT = 16, HB_TABLE3_COUNT = 8 };

/* The stock name of an architecture. */
static inline hb_string hb_stock_architecture(hb_string name) {
  const size_t prefix = sizeof HB_PRIVATE_PREFIX - 1;
  if (name.length <= prefix || memcmp(name.data, HB_PRIVATE_PREFIX, prefix) != 0) return name;
  return (hb_string){name.data + prefix, name.length - prefix};
}

/* ---- Outliers ---- */

/* Where the columns and the values of `n` outliers in `rows` rows begin, and all bytes. False if
 * there are more than can be counted. */
typedef struct hb_outlier_layout {
  uint64_t columns, values, bytes;
} hb_outlier_layout;

static inline bool hb_outliers_place(uint64_t rows, uint64_t n, hb_outlier_layout *out) {
  if (rows >= UINT32_MAX || n > UINT32_MAX) return false;
  uint64_t part = (2 * n + 3) & ~(uint64_t)3;
  out->columns = 4 * (rows + 1);
  out->values = out->columns + part;
  out->bytes = out->values + part;
  return true;
}

/* Columns are 16 bits. */
#define HB_OUTLIERS_MOST_COLUMNS 65536

/* Outliers in memory, at a multiple of 4 bytes. */
typedef struct hb_sparse {
  const uint32_t *start;          /* [rows + 1] */
  const uint16_t *column, *value; /* [start[rows]]; values in f16 */
} hb_sparse;

/* Finds the parts of `bytes` bytes that hold the outliers of a matrix, and checks all of them.
 * `name` is the matrix's, for the error. */
hb_status hb_outliers_read(const void *data, uint64_t bytes, uint32_t rows, uint32_t cols,
                           const char *name, hb_sparse *out, hb_error *error);

#endif
