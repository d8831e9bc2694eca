/* How values become blocks of a type. The parameters of a block (scales, minimums) give each of its
 * values a grid: the numbers that its codes stand for. Choosing parameters and choosing codes are
 * two steps here, so that a method may do either in its own way. */
#ifndef HB_CODER_H
#define HB_CODER_H

#include "base/base.h"

#define HB_CODER_MOST_VALUES 256 /* of a block */
#define HB_CODER_MOST_GRIDS 16   /* of a block */

/* The grid of `step` successive values: code q stands for scale * level(q) + addend, each operation
 * rounded, exactly as the type's decoder computes it. */
typedef struct hb_grid {
  float scale, addend;
} hb_grid;

/* The parameters of a block: grid k has the scale d * scales[k] and the addend -(dmin * minima[k]),
 * none in types without minima. */
typedef struct hb_super {
  uint16_t d, dmin; /* f16 */
  int16_t scales[HB_CODER_MOST_GRIDS], minima[HB_CODER_MOST_GRIDS];
} hb_super;

/* How they lie in a block. */
typedef struct hb_parameters {
  int16_t low, high; /* of scales and minima */
  bool minima;
  void (*load)(const void *block, hb_super *out);
  void (*store)(const hb_super *in, void *block); /* codes stay */
} hb_parameters;

typedef struct hb_coder {
  hb_type type;
  uint16_t values;     /* of a block */
  uint16_t step;       /* values that share a grid */
  uint16_t levels;     /* codes are 0 .. levels - 1 */
  int16_t first;       /* level(q) = first + q, unless there is a table */
  const int8_t *table; /* level(q) = table[q], or NULL */
  uint16_t block_bytes;

  /* Plain rounding: the parameters that ggml's reference chooses without calibration, or better
   * ones by the same measure, and the nearest codes. */
  void (*round)(const float *x, void *block);
  /* Searches for the parameters with the least sum of importance * (x - value)^2 over the block,
   * and takes the nearest codes. importance: [values], none negative; NULL: all alike. */
  void (*fit)(const float *x, const float *importance, void *block);
  /* The grids of a block, [values / step]. */
  void (*grids)(const void *block, hb_grid *out);
  /* Replaces the codes of a block, [values]; its parameters stay. */
  void (*put)(const uint8_t *codes, void *block);
  const hb_parameters *parameters; /* NULL: they cannot be set one by one */
} hb_coder;

/* NULL for types without blocks (F32 F16 BF16) and those that are not supported. A block of NF4 or
 * FP4 is a super-block of 256 values; wide.h handles rows that end within one. */
const hb_coder *hb_coder_of(hb_type type);

/* The code whose value lies nearest to x (of two, the lower code); NaN gives code 0. */
uint8_t hb_nearest_code(const hb_coder *coder, hb_grid grid, float x);

/* The value of a code. */
static inline float hb_grid_value(const hb_coder *coder, hb_grid grid, uint8_t code) {
  int level = coder->table ? coder->table[code] : coder->first + code;
  return grid.scale * (float)level + grid.addend;
}

#endif
