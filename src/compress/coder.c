#include "compress/coders.h"
#include "base/half.h"

static const hb_coder *const coders[] = {
    &hb_coder_q4_0,   &hb_coder_q4_1,   &hb_coder_q5_0,    &hb_coder_q5_1,  &hb_coder_q8_0,
    &hb_coder_q2_k,   &hb_coder_q3_k,   &hb_coder_q4_k,    &hb_coder_q5_k,  &hb_coder_q6_k,
    &hb_coder_iq4_nl, &hb_coder_iq4_xs, &hb_coder_tq1_0,   &hb_coder_tq2_0, &hb_coder_mxfp4,
    &hb_coder_nf4,    &hb_coder_fp4,    &hb_coder_int2_64,
};

const hb_coder *hb_coder_of(hb_type type) {
  for (size_t i = 0; i < sizeof coders / sizeof *coders; i++)
    if (coders[i]->type == type) return coders[i];
  return NULL;
}

/* ---- The nearest code ---- */

static double distance(const hb_coder *c, hb_grid g, uint32_t code, double x) {
  double d = x - (double)hb_grid_value(c, g, (uint8_t)code);
  return d < 0 ? -d : d;
}

/* Looks at every code. What lies beyond all values is as near as the outermost one. */
static uint8_t search_codes(const hb_coder *c, hb_grid g, double x) {
  double low = (double)hb_grid_value(c, g, 0), high = low;
  uint32_t best = 0;
  for (uint32_t q = 1; q < c->levels; q++) {
    double v = (double)hb_grid_value(c, g, (uint8_t)q);
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  x = x < low ? low : x > high ? high : x;
  double least = distance(c, g, 0, x);
  for (uint32_t q = 1; q < c->levels; q++) {
    double d = distance(c, g, q, x);
    if (d < least) {
      least = d;
      best = q;
    }
  }
  return (uint8_t)best;
}

/* Walks from the estimate to the lowest of the nearest codes; values rise or fall with the code. */
static uint8_t walk_codes(const hb_coder *c, hb_grid g, double x) {
  double top = c->levels - 1, t = (x - (double)g.addend) / (double)g.scale - c->first;
  if (t > top) x = (double)hb_grid_value(c, g, (uint8_t)top);
  if (t < 0) x = (double)hb_grid_value(c, g, 0);
  t = t > 0 ? t : 0;
  uint32_t q = (uint32_t)((t < top ? t : top) + 0.5);
  double d = distance(c, g, q, x), next;
  while (q + 1 < c->levels && (next = distance(c, g, q + 1, x)) < d) {
    q++;
    d = next;
  }
  while (q > 0 && (next = distance(c, g, q - 1, x)) <= d) {
    q--;
    d = next;
  }
  return (uint8_t)q;
}

uint8_t hb_nearest_code(const hb_coder *coder, hb_grid grid, float x) {
  const float limit = 0x1.fffffep127f;
  if (x != x) return 0;
  x = x > limit ? limit : x < -limit ? -limit : x;
  float scale = grid.scale < 0 ? -grid.scale : grid.scale;
  float addend = grid.addend < 0 ? -grid.addend : grid.addend;
  /* Codes whose values run together in rounding do not step evenly; nor do those of a table. */
  bool even = scale > 0x1p-120f && scale > addend * 0x1p-20f && scale < 0x1p120f;
  return coder->table || !even ? search_codes(coder, grid, x) : walk_codes(coder, grid, x);
}

void hb_put_nearest(const hb_coder *coder, const float *x, void *block) {
  hb_grid grids[HB_CODER_MOST_GRIDS];
  uint8_t codes[HB_CODER_MOST_VALUES];
  coder->grids(block, grids);
  for (uint32_t i = 0; i < coder->values; i++)
    codes[i] = hb_nearest_code(coder, grids[i / coder->step], x[i]);
  coder->put(codes, block);
}
