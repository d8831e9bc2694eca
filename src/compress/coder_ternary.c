/* -1, 0 and 1 with one scale: the layouts are drawn in quant/ternary.c. */
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/formats.h"

enum { VALUES = 256, TQ1_0_D = 52, TQ2_0_D = 64 /* where the scale stands */ };

/* ---- The best scale ---- */

typedef struct weighted {
  float magnitude, weight;
} weighted;

/* A heap with the largest magnitude in front: item `at` sinks below its larger children. */
static void sink(weighted *heap, uint32_t count, uint32_t at) {
  for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
    if (child + 1 < count && heap[child + 1].magnitude > heap[child].magnitude) child++;
    if (heap[at].magnitude >= heap[child].magnitude) return;
    weighted item = heap[at];
    heap[at] = heap[child];
    heap[child] = item;
    at = child;
  }
}

/* With the n largest magnitudes as 1 and the others as 0, the best scale is their mean, and the
 * error is less than that of zeros by (sum of w * magnitude)^2 / (sum of w). */
static float best_scale(const hb_fit *fit) {
  weighted heap[VALUES];
  double wx = 0, w = 0, best = 0, scale = 0;
  for (uint32_t i = 0; i < VALUES; i++)
    heap[i] = (weighted){fit->x[i] < 0 ? -fit->x[i] : fit->x[i], fit->w[i]};
  for (uint32_t i = VALUES / 2; i-- > 0;) sink(heap, VALUES, i);
  for (uint32_t count = VALUES; count > 0; count--) {
    wx += (double)heap[0].weight * heap[0].magnitude;
    w += heap[0].weight;
    if (w > 0 && wx * wx > best * w) {
      best = wx * wx / w;
      scale = wx / w;
    }
    heap[0] = heap[count - 1];
    sink(heap, count - 1, 0);
  }
  return (float)scale;
}

/* Writes the scale at `d`; the codes follow. */
static void fit_scale(const hb_coder *c, const float *x, const float *importance, void *block,
                      uint32_t d) {
  hb_fit fit;
  hb_fit_prepare(&fit, c, x, importance);
  hb_store_u16((uint8_t *)block + d, hb_finite_f16(best_scale(&fit) * fit.unit));
  hb_put_nearest(c, x, block);
}

/* ---- TQ1_0 ---- */

static void tq1_0_grids(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_load_f16((const uint8_t *)block + TQ1_0_D), HB_NO_ADDEND};
}

/* `count` bytes with `digits` codes each, as a fraction of 3^5 in 256ths, rounded up. */
static void pack_digits(const uint8_t *q, uint32_t count, uint32_t digits, uint8_t *bytes) {
  for (uint32_t m = 0; m < count; m++) {
    uint32_t number = 0;
    for (uint32_t n = 0; n < 5; n++) number = 3 * number + (n < digits ? q[n * count + m] : 0);
    bytes[m] = (uint8_t)((number * 256 + 242) / 243);
  }
}

static void tq1_0_put(const uint8_t *codes, void *block) {
  uint8_t *b = block;
  pack_digits(codes, 32, 5, b);
  pack_digits(codes + 160, 16, 5, b + 32);
  pack_digits(codes + 240, 4, 4, b + 48);
}

static void tq1_0_load(const void *block, hb_super *p) {
  *p = (hb_super){.d = hb_load_u16((const uint8_t *)block + TQ1_0_D), .scales = {1}};
}

static void tq1_0_store(const hb_super *p, void *block) {
  hb_store_u16((uint8_t *)block + TQ1_0_D, p->d);
}

static const hb_parameters tq1_0_parameters = {1, 1, false, tq1_0_load, tq1_0_store};

static void tq1_0_fit(const float *x, const float *importance, void *block) {
  fit_scale(&hb_coder_tq1_0, x, importance, block, TQ1_0_D);
}

static void tq1_0_round(const float *x, void *block) {
  tq1_0_fit(x, NULL, block);
}

const hb_coder hb_coder_tq1_0 = {.type = HB_TYPE_TQ1_0,
                                 .values = VALUES,
                                 .step = VALUES,
                                 .levels = 3,
                                 .first = -1,
                                 .block_bytes = 54,
                                 .round = tq1_0_round,
                                 .fit = tq1_0_fit,
                                 .grids = tq1_0_grids,
                                 .put = tq1_0_put,
                                 .parameters = &tq1_0_parameters};

/* ---- TQ2_0 ---- */

static void tq2_0_grids(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_load_f16((const uint8_t *)block + TQ2_0_D), HB_NO_ADDEND};
}

static void tq2_0_put(const uint8_t *codes, void *block) {
  uint8_t *b = block;
  memset(b, 0, 64);
  for (uint32_t g = 0; g < 8; g++) /* groups of 32; a half has four */
    for (uint32_t l = 0; l < 32; l++)
      b[32 * (g / 4) + l] |= (uint8_t)((codes[32 * g + l] & 3) << 2 * (g % 4));
}

static void tq2_0_load(const void *block, hb_super *p) {
  *p = (hb_super){.d = hb_load_u16((const uint8_t *)block + TQ2_0_D), .scales = {1}};
}

static void tq2_0_store(const hb_super *p, void *block) {
  hb_store_u16((uint8_t *)block + TQ2_0_D, p->d);
}

static const hb_parameters tq2_0_parameters = {1, 1, false, tq2_0_load, tq2_0_store};

static void tq2_0_fit(const float *x, const float *importance, void *block) {
  fit_scale(&hb_coder_tq2_0, x, importance, block, TQ2_0_D);
}

static void tq2_0_round(const float *x, void *block) {
  tq2_0_fit(x, NULL, block);
}

const hb_coder hb_coder_tq2_0 = {.type = HB_TYPE_TQ2_0,
                                 .values = VALUES,
                                 .step = VALUES,
                                 .levels = 3,
                                 .first = -1,
                                 .block_bytes = 66,
                                 .round = tq2_0_round,
                                 .fit = tq2_0_fit,
                                 .grids = tq2_0_grids,
                                 .put = tq2_0_put,
                                 .parameters = &tq2_0_parameters};
