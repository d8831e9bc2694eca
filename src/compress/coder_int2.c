/* INT2_64: four levels for 64 values, as quant/int2.c draws them. */
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/formats.h"

enum { VALUES = 64, LEVELS = 4, CODES_AT = 4 };

static void int2_grids(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_load_f16(block), hb_load_f16((const uint8_t *)block + 2)};
}

static void int2_put(const uint8_t *codes, void *block) {
  uint8_t *qs = (uint8_t *)block + CODES_AT;
  for (uint32_t j = 0; j < 16; j++)
    qs[j] = (uint8_t)((codes[j] & 3) | (codes[j + 16] & 3) << 2 | (codes[j + 32] & 3) << 4 |
                      (codes[j + 48] & 3) << 6);
}

/* The levels reach from the least value to the largest. */
static void int2_round(const float *x, void *block) {
  float low = 0x1.fffffep127f, high = -low;
  for (uint32_t i = 0; i < VALUES; i++) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
  }
  double range = high > low ? (double)high - (double)low : 0;
  hb_store_u16(block, hb_finite_f16((float)(range / (LEVELS - 1))));
  hb_store_u16((uint8_t *)block + 2, hb_finite_f16(low));
  hb_put_nearest(&hb_coder_int2_64, x, block);
}

static void int2_fit(const float *x, const float *importance, void *block) {
  hb_fit_affine(&hb_coder_int2_64, x, importance, block);
}

const hb_coder hb_coder_int2_64 = {.type = HB_TYPE_INT2_64,
                                   .values = VALUES,
                                   .step = VALUES,
                                   .levels = LEVELS,
                                   .first = 0,
                                   .block_bytes = CODES_AT + VALUES / 4,
                                   .round = int2_round,
                                   .fit = int2_fit,
                                   .grids = int2_grids,
                                   .put = int2_put,
                                   .parameters = &hb_affine_parameters};
