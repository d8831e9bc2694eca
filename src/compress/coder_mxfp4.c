/* MXFP4: four bits of floating point with a common power of two, as quant/mxfp4.c draws it. */
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/bits.h"
#include "quant/formats.h"

static void mxfp4_grids(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_mxfp4_scale(*(const uint8_t *)block), HB_NO_ADDEND};
}

static void mxfp4_put(const uint8_t *codes, void *block) {
  hb_pack_nibbles(codes, (uint8_t *)block + 1);
}

/* In units of the fit, with scales that may leave the range of f32. */
static double error_at(const hb_fit *fit, int exponent) {
  hb_grid g = {hb_mxfp4_scale((uint8_t)exponent) / fit->unit, HB_NO_ADDEND};
  double sum = 0;
  for (uint32_t i = 0; i < 32; i++) {
    uint8_t q = hb_nearest_code(fit->coder, g, fit->x[i]);
    double d = (double)fit->x[i] - (double)hb_grid_value(fit->coder, g, q);
    sum += (double)fit->w[i] * d * d;
  }
  return sum;
}

/* The largest level is 6, so the standard takes the exponent of the largest value less 2. The best
 * one lies near it, but lower where the largest values count little. */
static void mxfp4_fit(const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_fit_prepare(&fit, &hb_coder_mxfp4, x, importance);
  int standard = (int)(hb_bits_of_f32(fit.unit) >> 23) - 2, best = 0;
  double least = 0;
  for (int e = standard + 1; e >= standard - 6; e--) {
    int exponent = e < 0 ? 0 : e > 254 ? 254 : e;
    double error = error_at(&fit, exponent);
    if (e > standard || error < least) {
      least = error;
      best = exponent;
    }
  }
  *(uint8_t *)block = (uint8_t)best;
  hb_put_nearest(&hb_coder_mxfp4, x, block);
}

static void mxfp4_round(const float *x, void *block) {
  mxfp4_fit(x, NULL, block);
}

const hb_coder hb_coder_mxfp4 = {.type = HB_TYPE_MXFP4,
                                 .values = 32,
                                 .step = 32,
                                 .levels = 16,
                                 .table = hb_mxfp4_levels,
                                 .block_bytes = 17,
                                 .round = mxfp4_round,
                                 .fit = mxfp4_fit,
                                 .grids = mxfp4_grids,
                                 .put = mxfp4_put};
