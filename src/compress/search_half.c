/* Parameters in half precision. Rounding them moves the levels, so the numbers beside the rounded
 * ones are tried, too. */
#include "base/half.h"
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/quant.h"

uint16_t hb_finite_f16(float x) {
  uint16_t h = hb_f16_of_f32(x != x ? 0 : x);
  return (h & 0x7c00) == 0x7c00 ? (uint16_t)((h & 0x8000) | 0x7bff) : h;
}

float hb_fit_half(const hb_fit *fit, uint16_t bits) {
  return hb_f32_of_f16(bits) / fit->unit;
}

/* The number `step` further from 0 or, if negative, nearer to it; the same one at either end. */
static uint16_t half_beside(uint16_t h, int step) {
  int magnitude = (h & 0x7fff) + step;
  return magnitude < 0 || magnitude > 0x7bff ? h : (uint16_t)((h & 0x8000) | magnitude);
}

/* What a search in half precision has found so far. */
typedef struct best_halves {
  uint16_t scale, addend;
  float error;
} best_halves;

static void try_halves(const hb_fit *fit, uint16_t scale, uint16_t addend, best_halves *best) {
  float levels[HB_CODER_MOST_VALUES];
  hb_part part = hb_fit_part(fit, 0);
  float error = hb_part_error(&part, hb_fit_half(fit, scale), hb_fit_half(fit, addend), levels);
  if (error < best->error) *best = (best_halves){scale, addend, error};
}

/* What plain rounding chooses, unless that is this search. */
static best_halves rounded_halves(const hb_fit *fit, const float *x, bool affine) {
  best_halves best = {0, 0, 0x1.fffffep127f};
  uint8_t block[HB_CODER_MOST_VALUES];
  if (!affine && !hb_traits(fit->coder->type)->encode) return best;
  fit->coder->round(x, block);
  uint16_t scale = hb_finite_f16(hb_f32_of_f16(hb_load_u16(block)));
  uint16_t addend = hb_finite_f16(hb_f32_of_f16(hb_load_u16(block + 2)));
  try_halves(fit, scale, affine ? addend : 0, &best);
  return best;
}

void hb_fit_scaled(const hb_coder *coder, const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_fit_prepare(&fit, coder, x, importance);
  hb_part part = hb_fit_part(&fit, 0);
  hb_scale_choices choices;
  hb_search_scale(&part, &choices);
  best_halves best = rounded_halves(&fit, x, false);
  for (int i = 0; i < HB_SCALE_CHOICES; i++)
    for (int step = -1; step <= 1; step++) {
      uint16_t h = hb_finite_f16(choices.scales[i] * fit.unit);
      try_halves(&fit, half_beside(h, step), 0, &best);
    }
  hb_store_u16(block, best.scale);
  hb_put_nearest(coder, x, block);
}

/* Moves the values by a constant, so that sums of their squares do not drown their differences;
 * returns it. */
static float center(hb_fit *fit) {
  float low = fit->x[0], high = fit->x[0];
  for (uint32_t i = 1; i < fit->coder->values; i++) {
    low = fit->x[i] < low ? fit->x[i] : low;
    high = fit->x[i] > high ? fit->x[i] : high;
  }
  float middle = 0.5f * (low + high);
  for (uint32_t i = 0; i < fit->coder->values; i++) fit->x[i] -= middle;
  return middle;
}

void hb_fit_affine(const hb_coder *coder, const float *x, const float *importance, void *block) {
  hb_fit fit, centered;
  hb_fit_prepare(&fit, coder, x, importance);
  centered = fit;
  float middle = center(&centered);
  hb_part part = hb_fit_part(&centered, 0);
  hb_grid g = hb_search_grid(&part, 4); /* no bound */
  uint16_t scale = hb_finite_f16(g.scale * fit.unit);
  uint16_t addend = hb_finite_f16((g.addend + middle) * fit.unit);
  best_halves best = rounded_halves(&fit, x, true);
  for (int i = -1; i <= 1; i++)
    for (int k = -1; k <= 1; k++)
      try_halves(&fit, half_beside(scale, i), half_beside(addend, k), &best);
  hb_store_u16(block, best.scale);
  hb_store_u16((uint8_t *)block + 2, best.addend);
  hb_put_nearest(coder, x, block);
}
