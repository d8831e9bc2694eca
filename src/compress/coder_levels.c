/* NF4 and FP4: four bits that index a table, as quant/levels.c draws them. A block of the coder is
 * a whole super-block; wide.h is for rows that end within one. */
#include "base/half.h"
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/bits.h"
#include "quant/formats.h"
#include "quant/private.h"

enum {
  VALUES = HB_LEVELS_BLOCKS * HB_LEVELS_BLOCK,
  CODES_AT = 2 + HB_LEVELS_BLOCKS,
  BYTES = CODES_AT + HB_LEVELS_BLOCKS * HB_LEVELS_CODES,
  MOST_SCALE = 255,
  FURTHEST = 127 /* of the levels, at both ends */
};

/* The levels of FP4, ascending and each once, for the searches. */
static const int8_t fp4_ascending[15] = {-127, -85, -64, -42, -32, -21, -1, 0,
                                         1,    21,  32,  42,  64,  85,  127};

static void levels_grids(const void *block, hb_grid *out) {
  const uint8_t *b = block;
  for (uint32_t k = 0; k < HB_LEVELS_BLOCKS; k++)
    out[k] = (hb_grid){hb_levels_factor(hb_load_f16(b), b[2 + k]), HB_NO_ADDEND};
}

static void levels_put(const uint8_t *codes, void *block) {
  for (uint32_t k = 0; k < VALUES / 32; k++)
    hb_pack_nibbles(codes + 32 * k, (uint8_t *)block + CODES_AT + 16 * k);
}

/* ---- Plain rounding, as bitsandbytes does it: the largest value of a block is at an end of the
 * levels, and these largest values are rounded to 8 bits, here without their mean taken off. ----
 */

static float largest_of(const float *x) {
  float largest = 0;
  for (uint32_t i = 0; i < HB_LEVELS_BLOCK; i++) {
    float magnitude = x[i] < 0 ? -x[i] : x[i];
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

static void levels_round(const hb_coder *coder, const float *x, uint8_t *block) {
  float largest[HB_LEVELS_BLOCKS], all = 0;
  for (uint32_t k = 0; k < HB_LEVELS_BLOCKS; k++) {
    largest[k] = largest_of(x + k * HB_LEVELS_BLOCK);
    if (largest[k] > all) all = largest[k];
  }
  uint16_t half = hb_finite_f16(all / (hb_levels_factor(1, MOST_SCALE) * FURTHEST));
  if (half == 0 && all > 0) half = 1;
  float unit = hb_levels_factor(hb_f32_of_f16(half), 1) * FURTHEST;
  hb_store_u16(block, half);
  for (uint32_t k = 0; k < HB_LEVELS_BLOCKS; k++) {
    float scale = unit > 0 ? largest[k] / unit + 0.5f : 0;
    block[2 + k] = (uint8_t)(scale < MOST_SCALE ? scale : MOST_SCALE);
  }
  hb_put_nearest(coder, x, block);
}

/* ---- The search ---- */

/* `searched` has the levels of `coder` in ascending order. */
static void levels_fit(const hb_coder *coder, const hb_coder *searched, const float *x,
                       const float *importance, uint8_t *block) {
  hb_fit fit;
  hb_super found;
  hb_fit_prepare(&fit, searched, x, importance);
  /* Scales are fractions: d * s / 2^14. */
  fit.unit = fit.unit < 0x1p113f ? fit.unit * 0x1p14f : 0x1p127f;
  hb_fit_super_scaled(&fit, 0, MOST_SCALE, &found);
  hb_store_u16(block, found.d);
  for (uint32_t k = 0; k < HB_LEVELS_BLOCKS; k++) block[2 + k] = (uint8_t)found.scales[k];
  hb_put_nearest(coder, x, block);
}

/* ---- The types ---- */

static const hb_coder fp4_search = {
    .values = VALUES, .step = HB_LEVELS_BLOCK, .levels = 15, .table = fp4_ascending};

static void nf4_round(const float *x, void *block) {
  levels_round(&hb_coder_nf4, x, block);
}

static void nf4_fit(const float *x, const float *importance, void *block) {
  levels_fit(&hb_coder_nf4, &hb_coder_nf4, x, importance, block);
}

static void fp4_round(const float *x, void *block) {
  levels_round(&hb_coder_fp4, x, block);
}

static void fp4_fit(const float *x, const float *importance, void *block) {
  levels_fit(&hb_coder_fp4, &fp4_search, x, importance, block);
}

const hb_coder hb_coder_nf4 = {.type = HB_TYPE_NF4,
                               .values = VALUES,
                               .step = HB_LEVELS_BLOCK,
                               .levels = 16,
                               .table = hb_nf4_levels,
                               .block_bytes = BYTES,
                               .round = nf4_round,
                               .fit = nf4_fit,
                               .grids = levels_grids,
                               .put = levels_put};

const hb_coder hb_coder_fp4 = {.type = HB_TYPE_FP4,
                               .values = VALUES,
                               .step = HB_LEVELS_BLOCK,
                               .levels = 16,
                               .table = hb_fp4_levels,
                               .block_bytes = BYTES,
                               .round = fp4_round,
                               .fit = fp4_fit,
                               .grids = levels_grids,
                               .put = levels_put};
