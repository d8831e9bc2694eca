/* Parameters of blocks of 256 values, whose scales (and minima) are small integers times a number
 * of the whole block in half precision. Each part is fitted alone first. Then, in turns, every part
 * takes the best integers that stand next to what it wants, and the common numbers become the best
 * ones for the codes that follow. No turn is kept that makes the error larger. */
#include "base/half.h"
#include "compress/search.h"

enum { TURNS = 6 };

static const float worst = 0x1.fffffep127f;

static uint32_t part_count(const hb_fit *fit) {
  return fit->coder->values / fit->coder->step;
}

static float magnitude(float x) {
  return x < 0 ? -x : x;
}

static int clamp(float x, int low, int high) {
  float t = x > (float)low ? x : (float)low;
  t = t < (float)high ? t : (float)high;
  return (int)(t < 0 ? t - 0.5f : t + 0.5f);
}

/* f16 of a common number: not 0 unless it is, so that something of tiny values is kept. */
static uint16_t common_half(const hb_fit *fit, double x) {
  uint16_t h = hb_finite_f16((float)x * fit->unit);
  return x != 0 && (h & 0x7fff) == 0 ? (uint16_t)(h | 1) : h;
}

/* ---- Scales alone ---- */

/* What a part has chosen. */
typedef struct scaled_choice {
  int scale;
  float error;
  float levels[HB_CODER_MOST_VALUES];
} scaled_choice;

static void try_scale(const hb_part *p, float d, int scale, scaled_choice *best) {
  float levels[HB_CODER_MOST_VALUES];
  float error = hb_part_error(p, d * (float)scale, 0, levels);
  if (error >= best->error) return;
  best->scale = scale;
  best->error = error;
  memcpy(best->levels, levels, p->count * sizeof *levels);
}

typedef struct scaled_search {
  const hb_fit *fit;
  int low, high;
  hb_scale_choices wanted[HB_CODER_MOST_GRIDS];
  hb_super *best;
  float error; /* of the best */
} scaled_search;

/* Chooses the scales of all parts for a common d. Returns the best d for the codes that follow. */
static double choose_scales(scaled_search *s, uint16_t half) {
  float d = hb_fit_half(s->fit, half), error = 0;
  hb_super chosen = {.d = half};
  double xl = 0, ll = 0;
  for (uint32_t k = 0; k < part_count(s->fit); k++) {
    hb_part p = hb_fit_part(s->fit, k);
    scaled_choice c = {.error = worst};
    for (int i = 0; i < HB_SCALE_CHOICES; i++) {
      float wanted = d != 0 ? s->wanted[k].scales[i] / d : 0;
      int middle = clamp(wanted, s->low, s->high);
      try_scale(&p, d, middle, &c);
      int beside = wanted > (float)middle ? middle + 1 : middle - 1;
      if (beside >= s->low && beside <= s->high) try_scale(&p, d, beside, &c);
    }
    hb_part_sums sums = hb_part_sum(&p, c.levels);
    chosen.scales[k] = (int16_t)c.scale;
    xl += c.scale * sums.xl;
    ll += (double)c.scale * c.scale * sums.ll;
    error += c.error;
  }
  if (error < s->error) {
    s->error = error;
    *s->best = chosen;
  }
  return ll > 0 ? xl / ll : 0;
}

void hb_fit_super_scaled(const hb_fit *fit, int low, int high, hb_super *out) {
  static const float stretches[] = {1, 0.95f, 1.06f};
  scaled_search s = {.fit = fit, .low = low, .high = high, .best = out, .error = worst};
  float extreme = 0, furthest = (float)(-low >= high ? low : high);
  *out = (hb_super){0};
  for (uint32_t k = 0; k < part_count(fit); k++) {
    hb_part p = hb_fit_part(fit, k);
    hb_search_scale(&p, &s.wanted[k]);
    float scale = s.wanted[k].scales[0];
    if (magnitude(scale) > magnitude(extreme)) extreme = scale;
  }
  for (int i = 0; i < 3; i++) {
    double d = (double)(extreme * stretches[i] / furthest);
    for (int turn = 0; turn < TURNS; turn++) {
      float before = s.error;
      double next = choose_scales(&s, common_half(fit, d));
      if (turn > 0 && s.error >= before) break;
      d = next;
    }
  }
}

/* ---- Scales and minima ---- */

typedef struct affine_choice {
  int scale, min;
  float error;
  float levels[HB_CODER_MOST_VALUES];
} affine_choice;

typedef struct affine_search {
  const hb_fit *fit;
  int high;
  hb_grid wanted[HB_CODER_MOST_GRIDS];
  hb_super *best;
  float error; /* of the best */
} affine_search;

static void try_grid(const hb_part *p, hb_grid common, int scale, int min, affine_choice *best) {
  float levels[HB_CODER_MOST_VALUES];
  float error =
      hb_part_error(p, common.scale * (float)scale, -(common.addend * (float)min), levels);
  if (error >= best->error) return;
  best->scale = scale;
  best->min = min;
  best->error = error;
  memcpy(best->levels, levels, p->count * sizeof *levels);
}

static affine_choice choose_grid(const affine_search *s, uint32_t k, hb_grid common) {
  hb_part p = hb_fit_part(s->fit, k);
  affine_choice c = {.error = worst};
  float scale = common.scale > 0 ? s->wanted[k].scale / common.scale : 0;
  float min = common.addend > 0 ? -s->wanted[k].addend / common.addend : 0;
  int scale0 = clamp(scale, 0, s->high), min0 = clamp(min, 0, s->high);
  for (int i = scale0 - 1; i <= scale0 + 1; i++)
    for (int j = min0 - 1; j <= min0 + 1; j++)
      if (i >= 0 && j >= 0 && i <= s->high && j <= s->high) try_grid(&p, common, i, j, &c);
  return c;
}

/* Sums for the common numbers, d and dmin: with L = scale * level and M = min of each value, the
 * values are near d * L - dmin * M. */
typedef struct common_sums {
  double ll, lm, mm, xl, xm;
} common_sums;

static hb_grid solve_common(common_sums s, hb_grid before) {
  double determinant = s.ll * s.mm - s.lm * s.lm;
  double d = (double)before.scale, dmin = (double)before.addend;
  if (determinant > 1e-9 * s.ll * s.mm) {
    d = (s.xl * s.mm - s.lm * s.xm) / determinant;
    dmin = (s.lm * s.xl - s.ll * s.xm) / determinant;
  } else if (s.ll > 0) {
    d = (s.xl + dmin * s.lm) / s.ll;
  }
  return (hb_grid){d > 0 ? (float)d : before.scale, dmin > 0 ? (float)dmin : before.addend};
}

/* Chooses the grids of all parts; returns the best common numbers for the codes that follow. */
static hb_grid choose_grids(affine_search *s, hb_grid common) {
  hb_super chosen = {.d = common_half(s->fit, (double)common.scale),
                     .dmin = common_half(s->fit, (double)common.addend)};
  hb_grid halves = {hb_fit_half(s->fit, chosen.d), hb_fit_half(s->fit, chosen.dmin)};
  common_sums sums = {0, 0, 0, 0, 0};
  float error = 0;
  for (uint32_t k = 0; k < part_count(s->fit); k++) {
    hb_part p = hb_fit_part(s->fit, k);
    affine_choice c = choose_grid(s, k, halves);
    hb_part_sums t = hb_part_sum(&p, c.levels);
    chosen.scales[k] = (int16_t)c.scale;
    chosen.minima[k] = (int16_t)c.min;
    sums.ll += (double)c.scale * c.scale * t.ll;
    sums.lm += (double)c.scale * c.min * t.l;
    sums.mm += (double)c.min * c.min * t.w;
    sums.xl += c.scale * t.xl;
    sums.xm += c.min * t.x;
    error += c.error;
  }
  if (error < s->error) {
    s->error = error;
    *s->best = chosen;
  }
  return solve_common(sums, common);
}

void hb_fit_super_affine(const hb_fit *fit, int high, hb_super *out) {
  static const float stretches[] = {1, 0.93f, 1.08f};
  affine_search s = {.fit = fit, .high = high, .best = out, .error = worst};
  float scale = 0, min = 0;
  *out = (hb_super){0};
  for (uint32_t k = 0; k < part_count(fit); k++) {
    hb_part p = hb_fit_part(fit, k);
    s.wanted[k] = hb_search_grid(&p, 0);
    if (s.wanted[k].scale > scale) scale = s.wanted[k].scale;
    if (-s.wanted[k].addend > min) min = -s.wanted[k].addend;
  }
  for (int i = 0; i < 3; i++) {
    hb_grid common = {scale * stretches[i] / (float)high, min * stretches[i] / (float)high};
    for (int turn = 0; turn < TURNS; turn++) {
      float before = s.error;
      hb_grid next = choose_grids(&s, common);
      if (turn > 0 && s.error >= before) break;
      common = next;
    }
  }
}
