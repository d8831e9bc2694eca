/* Searches for the parameters of grids with the least sum of weight * (value - grid)^2. They work
 * on the values of a block divided by a power of two, so that sums neither overflow nor vanish. */
#ifndef HB_SEARCH_H
#define HB_SEARCH_H

#include "compress/coder.h"

typedef struct hb_fit {
  const hb_coder *coder;
  float unit;                    /* a power of two; values of the block = x * unit */
  float x[HB_CODER_MOST_VALUES]; /* below 2 in magnitude; NaN became 0 */
  float w[HB_CODER_MOST_VALUES]; /* 0 to 1, not all 0 */
} hb_fit;

/* Part of it: successive values that share a grid. Count is a multiple of 8. */
typedef struct hb_part {
  const hb_coder *coder;
  const float *x, *w;
  uint32_t count;
} hb_part;

/* A block as the searches want it. Without importance, or where all of it is 0, every weight is 1.
 */
void hb_fit_prepare(hb_fit *fit, const hb_coder *coder, const float *x, const float *importance);

/* Part number `index` of step values. */
static inline hb_part hb_fit_part(const hb_fit *fit, uint32_t index) {
  uint32_t first = index * fit->coder->step;
  return (hb_part){fit->coder, fit->x + first, fit->w + first, fit->coder->step};
}

/* The level nearest to (x - addend) * inverse for each value; an inverse of 0 gives that of 0. */
void hb_part_levels(const hb_part *part, float inverse, float addend, float *levels);

/* Sum of w * (x - scale * level - addend)^2 over the values, each with its nearest level, which
 * `levels` gets. */
float hb_part_error(const hb_part *part, float scale, float addend, float *levels);

#define HB_SCALE_CHOICES 4

/* The scales with the least errors, of either sign, the best first. Each is the best one for the
 * levels that its neighbourhood leads to. */
typedef struct hb_scale_choices {
  float scales[HB_SCALE_CHOICES];
  double gains[HB_SCALE_CHOICES]; /* the error is less than that of a scale of 0 by this */
} hb_scale_choices;

/* For a part of at most 64 values and a grid without addend, of ascending levels. */
void hb_search_scale(const hb_part *part, hb_scale_choices *best);

/* The best scale, not negative, and addend; `most` bounds the addend from above. */
hb_grid hb_search_grid(const hb_part *part, float most);

/* Sums with levels of a part: of w * value * level, w * level^2 and so on. */
typedef struct hb_part_sums {
  double w, x, l, xl, ll;
} hb_part_sums;

hb_part_sums hb_part_sum(const hb_part *part, const float *levels);

/* The nearest f16 within its finite range, as bits. */
uint16_t hb_finite_f16(float x);

/* What the f16 `bits` stands for, in units of the fit. */
float hb_fit_half(const hb_fit *fit, uint16_t bits);

/* The `fit` of types whose blocks have one grid and begin with its scale in half precision, and
 * with its addend behind that in the affine ones. */
void hb_fit_scaled(const hb_coder *coder, const float *x, const float *importance, void *block);
void hb_fit_affine(const hb_coder *coder, const float *x, const float *importance, void *block);

/* Parameters with scales from `low`, which is not positive, to `high`, and no minima. */
void hb_fit_super_scaled(const hb_fit *fit, int low, int high, hb_super *out);
/* Parameters with scales and minima from 0 to `high`. */
void hb_fit_super_affine(const hb_fit *fit, int high, hb_super *out);

#endif
