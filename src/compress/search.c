#include "compress/search.h"
#include "base/half.h"
#include "kernel/kernel.h"

/* Sums run in four lanes, folded in one order: the same bits on every target. */
typedef float f32x4 __attribute__((vector_size(16)));

static f32x4 load(const float *x) {
  f32x4 v;
  memcpy(&v, x, sizeof v);
  return v;
}

static float fold(f32x4 v) {
  return (v[0] + v[1]) + (v[2] + v[3]);
}

/* ---- Preparing a block ---- */

static float finite(float x) {
  if (x != x) return 0;
  float limit = 0x1.fffffep127f;
  return x > limit ? limit : x < -limit ? -limit : x;
}

/* 2^k with 2^k <= largest < 2^(k+1); 1 for 0, and the least normal power for subnormals. */
static float power_below(float largest) {
  uint32_t exponent = hb_bits_of_f32(largest) & 0x7f800000u;
  if (largest == 0) return 1;
  return hb_f32_of_bits(exponent ? exponent : 0x00800000u);
}

static void prepare_weights(float *w, const float *importance, uint32_t count) {
  float largest = 0;
  for (uint32_t i = 0; importance && i < count; i++)
    if (finite(importance[i]) > largest) largest = finite(importance[i]);
  for (uint32_t i = 0; i < count; i++) {
    float share = largest > 0 ? finite(importance[i]) / largest : 1;
    w[i] = share > 0 ? share : 0;
  }
}

void hb_fit_prepare(hb_fit *fit, const hb_coder *coder, const float *x, const float *importance) {
  float largest = 0;
  fit->coder = coder;
  for (uint32_t i = 0; i < coder->values; i++) {
    fit->x[i] = finite(x[i]);
    float magnitude = fit->x[i] < 0 ? -fit->x[i] : fit->x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  fit->unit = power_below(largest);
  float inverse = 1 / fit->unit;
  for (uint32_t i = 0; i < coder->values; i++) fit->x[i] *= inverse;
  prepare_weights(fit->w, importance, coder->values);
}

/* ---- Levels ---- */

static float first_level(const hb_coder *c) {
  return (float)(c->table ? c->table[0] : c->first);
}

static float last_level(const hb_coder *c) {
  return (float)(c->table ? c->table[c->levels - 1] : c->first + c->levels - 1);
}

/* Of an ascending table: its first level and the steps up to x. */
static void table_levels(const hb_coder *c, uint32_t count, float *values) {
  float levels[HB_CODER_MOST_VALUES];
  for (uint32_t i = 0; i < count; i++) levels[i] = (float)c->table[0];
  for (uint32_t k = 1; k < c->levels; k++) {
    float step = (float)(c->table[k] - c->table[k - 1]);
    float middle = 0.5f * (float)(c->table[k] + c->table[k - 1]);
    for (uint32_t i = 0; i < count; i++) levels[i] += values[i] > middle ? step : 0;
  }
  memcpy(values, levels, count * sizeof *values);
}

void hb_part_levels(const hb_part *p, float inverse, float addend, float *levels) {
  const float whole = 0x1.8p23f; /* adding it leaves no bits behind the point */
  float first = first_level(p->coder), last = last_level(p->coder);
  for (uint32_t i = 0; i < p->count; i++) levels[i] = (p->x[i] - addend) * inverse;
  if (p->coder->table) {
    table_levels(p->coder, p->count, levels);
    return;
  }
  for (uint32_t i = 0; i < p->count; i++) {
    float t = levels[i] > first ? levels[i] : first;
    t = t < last ? t : last;
    levels[i] = (t + whole) - whole;
  }
}

float hb_part_error(const hb_part *p, float scale, float addend, float *levels) {
  f32x4 sum = {0};
  hb_part_levels(p, scale != 0 ? 1 / scale : 0, addend, levels);
  for (uint32_t i = 0; i < p->count; i += 4) {
    f32x4 difference = load(p->x + i) - (load(levels + i) * scale + addend);
    sum += load(p->w + i) * difference * difference;
  }
  return fold(sum);
}

/* ---- Scale and addend ---- */

hb_part_sums hb_part_sum(const hb_part *p, const float *levels) {
  f32x4 w = {0}, x = {0}, l = {0}, xl = {0}, ll = {0};
  for (uint32_t i = 0; i < p->count; i += 4) {
    f32x4 wi = load(p->w + i), xi = load(p->x + i), li = load(levels + i);
    w += wi;
    x += wi * xi;
    l += wi * li;
    xl += wi * li * xi;
    ll += wi * li * li;
  }
  return (hb_part_sums){(double)fold(w), (double)fold(x), (double)fold(l), (double)fold(xl),
                        (double)fold(ll)};
}

/* The best grid for these levels, and by how much its error is less than that of zeros. */
static hb_grid solve_grid(hb_part_sums s, float most, float *gain) {
  double determinant = s.w * s.ll - s.l * s.l, scale = 0, addend = s.x / s.w;
  if (determinant > 1e-6 * s.w * s.ll) {
    scale = (s.w * s.xl - s.x * s.l) / determinant;
    addend = (s.x * s.ll - s.l * s.xl) / determinant;
  }
  if (addend > (double)most || scale < 0) {
    addend = addend > (double)most ? (double)most : addend;
    scale = s.ll > 0 ? (s.xl - addend * s.l) / s.ll : 0;
    scale = scale > 0 ? scale : 0;
  }
  *gain = (float)(2 * (scale * s.xl + addend * s.x) -
                  (scale * scale * s.ll + 2 * scale * addend * s.l + addend * addend * s.w));
  return (hb_grid){(float)scale, (float)addend};
}

/* The best grid for the levels that `g` leads to. */
static hb_grid improved(const hb_part *p, hb_grid g, float most, float *gain) {
  float levels[HB_CODER_MOST_VALUES];
  hb_part_levels(p, g.scale > 0 ? 1 / g.scale : 0, g.addend, levels);
  return solve_grid(hb_part_sum(p, levels), most, gain);
}

static hb_grid settle_grid(const hb_part *p, hb_grid g, float most, float *gain) {
  for (int i = 0; i < 8; i++) {
    float next_gain;
    hb_grid next = improved(p, g, most, &next_gain);
    if (next_gain <= *gain) break;
    g = next;
    *gain = next_gain;
  }
  return g;
}

typedef struct bounds {
  float low, high;
} bounds;

/* Of the values that have a weight. */
static bounds bounds_of(const hb_part *p) {
  bounds b = {4, -4}; /* values are below 2; centred ones below 4 */
  for (uint32_t i = 0; i < p->count; i++) {
    if (p->w[i] == 0) continue;
    if (p->x[i] < b.low) b.low = p->x[i];
    if (p->x[i] > b.high) b.high = p->x[i];
  }
  return b;
}

/* Mean and one standard deviation around it; weights that differ much make bounds meaningless. */
static bounds spread_of(const hb_part *p) {
  f32x4 w = {0}, x = {0}, xx = {0};
  for (uint32_t i = 0; i < p->count; i += 4) {
    f32x4 wi = load(p->w + i), xi = load(p->x + i);
    w += wi;
    x += wi * xi;
    xx += wi * xi * xi;
  }
  float weight = fold(w), mean = fold(x) / weight, variance = fold(xx) / weight - mean * mean;
  float deviation = variance > 0 ? hb_sqrtf(variance) : 0;
  return (bounds){mean - deviation, mean + deviation};
}

typedef struct grid_search {
  const hb_part *part;
  float most;
  hb_grid best[2]; /* the better first */
  float gain[2];
} grid_search;

static void try_ends(grid_search *s, float low, float high) {
  float gain, steps = (float)(s->part->coder->levels - 1);
  if (low > s->most) low = s->most;
  if (high <= low) return;
  hb_grid g = improved(s->part, (hb_grid){(high - low) / steps, low}, s->most, &gain);
  int place = gain > s->gain[0] ? 0 : 1;
  if (gain <= s->gain[1]) return;
  if (place == 0) {
    s->best[1] = s->best[0];
    s->gain[1] = s->gain[0];
  }
  s->best[place] = g;
  s->gain[place] = gain;
}

hb_grid hb_search_grid(const hb_part *p, float most) {
  static const float shifts[] = {-0.4f, 0, 0.3f, 0.6f, 1, 1.5f, 2.1f};
  enum { SHIFTS = sizeof shifts / sizeof *shifts };
  grid_search s = {p, most, {{0, 0}, {0, 0}}, {-1, -1}};
  bounds b = bounds_of(p), middle = spread_of(p);
  if (b.low > most) b.low = most;
  float unit = (b.high - b.low) / (float)p->coder->levels;
  if (!(unit > 0)) return (hb_grid){0, b.low};
  for (int i = 0; i < SHIFTS; i++)
    for (int k = 0; k < SHIFTS; k++)
      try_ends(&s, b.low + shifts[i] * unit, b.high - shifts[k] * unit);
  float deviation = 0.5f * (middle.high - middle.low);
  for (int i = 0; i < 3; i++)
    try_ends(&s, middle.low - 0.5f * (float)i * deviation,
             middle.high + 0.5f * (float)i * deviation);
  for (int i = 0; i < 2; i++)
    if (s.gain[i] >= 0) s.best[i] = settle_grid(p, s.best[i], most, &s.gain[i]);
  return s.gain[1] > s.gain[0] ? s.best[1] : s.best[0];
}
