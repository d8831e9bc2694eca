/* Four bits that index a table: the layouts are drawn in quant/iq4.c. */
#include "base/half.h"
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/bits.h"
#include "quant/formats.h"

/* ---- IQ4_NL ---- */

static void iq4_nl_grids(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_load_f16(block), HB_NO_ADDEND};
}

static void iq4_nl_put(const uint8_t *codes, void *block) {
  hb_pack_nibbles(codes, (uint8_t *)block + 2);
}

static void iq4_nl_fit(const float *x, const float *importance, void *block) {
  hb_fit_scaled(&hb_coder_iq4_nl, x, importance, block);
}

static void iq4_nl_round(const float *x, void *block) {
  iq4_nl_fit(x, NULL, block);
}

const hb_coder hb_coder_iq4_nl = {.type = HB_TYPE_IQ4_NL,
                                  .values = 32,
                                  .step = 32,
                                  .levels = 16,
                                  .table = hb_iq4_levels,
                                  .block_bytes = 18,
                                  .round = iq4_nl_round,
                                  .fit = iq4_nl_fit,
                                  .grids = iq4_nl_grids,
                                  .put = iq4_nl_put,
                                  .parameters = &hb_scale_parameters};

/* ---- IQ4_XS ---- */

static void iq4_xs_load(const void *block, hb_super *p) {
  const uint8_t *b = block;
  uint32_t high = hb_load_u16(b + 2);
  *p = (hb_super){.d = hb_load_u16(b)};
  for (uint32_t k = 0; k < 8; k++) {
    uint32_t scale = (b[4 + k / 2] >> 4 * (k % 2) & 15u) | (high >> 2 * k & 3u) << 4;
    p->scales[k] = (int16_t)((int)scale - 32);
  }
}

static void iq4_xs_grids(const void *block, hb_grid *out) {
  hb_super p;
  iq4_xs_load(block, &p);
  for (uint32_t k = 0; k < 8; k++)
    out[k] = (hb_grid){hb_f32_of_f16(p.d) * (float)p.scales[k], HB_NO_ADDEND};
}

static void iq4_xs_put(const uint8_t *codes, void *block) {
  for (uint32_t k = 0; k < 8; k++) hb_pack_nibbles(codes + 32 * k, (uint8_t *)block + 8 + 16 * k);
}

static void iq4_xs_store(const hb_super *p, void *block) {
  uint8_t *b = block;
  uint32_t high = 0;
  memset(b + 4, 0, 4);
  for (uint32_t k = 0; k < 8; k++) {
    uint32_t scale = (uint32_t)(p->scales[k] + 32);
    b[4 + k / 2] |= (uint8_t)((scale & 15) << 4 * (k % 2));
    high |= scale >> 4 << 2 * k;
  }
  hb_store_u16(b, p->d);
  hb_store_u16(b + 2, (uint16_t)high);
}

static const hb_parameters iq4_xs_parameters = {-32, 31, false, iq4_xs_load, iq4_xs_store};

static void iq4_xs_fit(const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_super found;
  hb_fit_prepare(&fit, &hb_coder_iq4_xs, x, importance);
  hb_fit_super_scaled(&fit, iq4_xs_parameters.low, iq4_xs_parameters.high, &found);
  iq4_xs_store(&found, block);
  hb_put_nearest(&hb_coder_iq4_xs, x, block);
}

static void iq4_xs_round(const float *x, void *block) {
  iq4_xs_fit(x, NULL, block);
}

const hb_coder hb_coder_iq4_xs = {.type = HB_TYPE_IQ4_XS,
                                  .values = 256,
                                  .step = 32,
                                  .levels = 16,
                                  .table = hb_iq4_levels,
                                  .block_bytes = 136,
                                  .round = iq4_xs_round,
                                  .fit = iq4_xs_fit,
                                  .grids = iq4_xs_grids,
                                  .put = iq4_xs_put,
                                  .parameters = &iq4_xs_parameters};
