/* K-quants: the layouts are drawn in quant/kquants.c. */
#include "base/half.h"
#include "compress/coders.h"
#include "compress/search.h"
#include "kernel/kernel.h"
#include "quant/bits.h"
#include "quant/formats.h"

enum { VALUES = 256 };

/* ---- Codes ---- */

/* The numbers of two bits, 0..3: the low ones of the codes shifted by `shift`. */
static void pack_two_bits(const uint8_t *q, uint32_t shift, uint8_t *qs) {
  memset(qs, 0, 64);
  for (uint32_t g = 0; g < 8; g++) /* groups of 32 */
    for (uint32_t l = 0; l < 32; l++)
      qs[32 * (g / 4) + l] |= (uint8_t)((q[32 * g + l] >> shift & 3) << 2 * (g % 4));
}

/* One bit of each code. */
static void pack_bits(const uint8_t *q, uint32_t bit, uint8_t *bits) {
  memset(bits, 0, 32);
  for (uint32_t g = 0; g < 8; g++)
    for (uint32_t l = 0; l < 32; l++) bits[l] |= (uint8_t)((q[32 * g + l] >> bit & 1) << g);
}

/* The four low bits, in pairs of groups of 32. */
static void pack_group_nibbles(const uint8_t *q, uint8_t *qs) {
  for (uint32_t c = 0; c < 4; c++)
    for (uint32_t l = 0; l < 32; l++)
      qs[32 * c + l] = (uint8_t)((q[64 * c + l] & 15) | (q[64 * c + l + 32] & 15) << 4);
}

static void q2_k_put(const uint8_t *codes, void *block) {
  pack_two_bits(codes, 0, (uint8_t *)block + 16);
}

static void q3_k_put(const uint8_t *codes, void *block) {
  pack_two_bits(codes, 0, (uint8_t *)block + 32);
  pack_bits(codes, 2, block);
}

static void q4_k_put(const uint8_t *codes, void *block) {
  pack_group_nibbles(codes, (uint8_t *)block + 16);
}

static void q5_k_put(const uint8_t *codes, void *block) {
  pack_bits(codes, 4, (uint8_t *)block + 16);
  pack_group_nibbles(codes, (uint8_t *)block + 48);
}

static void q6_k_put(const uint8_t *codes, void *block) {
  uint8_t *b = block;
  for (uint32_t h = 0; h < 2; h++)
    for (uint32_t l = 0; l < 64; l++)
      b[64 * h + l] = (uint8_t)((codes[128 * h + l] & 15) | (codes[128 * h + l + 64] & 15) << 4);
  pack_two_bits(codes, 4, b + 128);
}

/* ---- Parameters ---- */

static void q2_k_load(const void *block, hb_super *p) {
  const uint8_t *b = block;
  *p = (hb_super){.d = hb_load_u16(b + 80), .dmin = hb_load_u16(b + 82)};
  for (uint32_t k = 0; k < 16; k++) {
    p->scales[k] = b[k] & 15;
    p->minima[k] = b[k] >> 4;
  }
}

static void q2_k_store(const hb_super *p, void *block) {
  uint8_t *b = block;
  for (uint32_t k = 0; k < 16; k++) b[k] = (uint8_t)(p->scales[k] | p->minima[k] << 4);
  hb_store_u16(b + 80, p->d);
  hb_store_u16(b + 82, p->dmin);
}

static void q3_k_load(const void *block, hb_super *p) {
  const uint8_t *s = (const uint8_t *)block + 96;
  *p = (hb_super){.d = hb_load_u16(s + 12)};
  for (uint32_t k = 0; k < 16; k++) {
    uint32_t low = k < 8 ? s[k] & 15u : s[k - 8] >> 4;
    p->scales[k] = (int16_t)((int)(low | (s[8 + k % 4] >> 2 * (k / 4) & 3u) << 4) - 32);
  }
}

static void q3_k_store(const hb_super *p, void *block) {
  uint8_t *s = (uint8_t *)block + 96;
  memset(s, 0, 12);
  for (uint32_t k = 0; k < 16; k++) {
    uint32_t scale = (uint32_t)(p->scales[k] + 32);
    s[k % 8] |= (uint8_t)((scale & 15) << (k < 8 ? 0 : 4));
    s[8 + k % 4] |= (uint8_t)(scale >> 4 << 2 * (k / 4));
  }
  hb_store_u16(s + 12, p->d);
}

/* Q4_K and Q5_K. */
static void affine_load(const void *block, hb_super *p) {
  const uint8_t *b = block, *s = b + 4;
  *p = (hb_super){.d = hb_load_u16(b), .dmin = hb_load_u16(b + 2)};
  for (uint32_t k = 0; k < 4; k++) {
    p->scales[k] = s[k] & 63;
    p->minima[k] = s[k + 4] & 63;
    p->scales[k + 4] = (int16_t)((s[k + 8] & 15) | s[k] >> 6 << 4);
    p->minima[k + 4] = (int16_t)(s[k + 8] >> 4 | s[k + 4] >> 6 << 4);
  }
}

static void affine_store(const hb_super *p, void *block) {
  uint8_t *b = block, *s = b + 4;
  hb_store_u16(b, p->d);
  hb_store_u16(b + 2, p->dmin);
  for (uint32_t k = 0; k < 4; k++) {
    s[k] = (uint8_t)(p->scales[k] | p->scales[k + 4] >> 4 << 6);
    s[k + 4] = (uint8_t)(p->minima[k] | p->minima[k + 4] >> 4 << 6);
    s[k + 8] = (uint8_t)((p->scales[k + 4] & 15) | (p->minima[k + 4] & 15) << 4);
  }
}

static void q6_k_load(const void *block, hb_super *p) {
  const uint8_t *b = block;
  *p = (hb_super){.d = hb_load_u16(b + 208)};
  for (uint32_t k = 0; k < 16; k++) p->scales[k] = (int8_t)b[192 + k];
}

static void q6_k_store(const hb_super *p, void *block) {
  uint8_t *b = block;
  for (uint32_t k = 0; k < 16; k++) b[192 + k] = (uint8_t)p->scales[k];
  hb_store_u16(b + 208, p->d);
}

static const hb_parameters q2_k_parameters = {0, 15, true, q2_k_load, q2_k_store};
static const hb_parameters q3_k_parameters = {-32, 31, false, q3_k_load, q3_k_store};
static const hb_parameters affine_parameters = {0, 63, true, affine_load, affine_store};
static const hb_parameters q6_k_parameters = {-128, 127, false, q6_k_load, q6_k_store};

/* ---- Grids ---- */

static void super_grids(const hb_coder *coder, const void *block, hb_grid *out) {
  hb_super p;
  coder->parameters->load(block, &p);
  float d = hb_f32_of_f16(p.d), dmin = hb_f32_of_f16(p.dmin);
  for (int k = 0; k < coder->values / coder->step; k++) {
    float addend = coder->parameters->minima ? -(dmin * (float)p.minima[k]) : HB_NO_ADDEND;
    out[k] = (hb_grid){d * (float)p.scales[k], addend};
  }
}

static void q2_k_grids(const void *block, hb_grid *out) {
  super_grids(&hb_coder_q2_k, block, out);
}

static void q3_k_grids(const void *block, hb_grid *out) {
  super_grids(&hb_coder_q3_k, block, out);
}

static void q4_k_grids(const void *block, hb_grid *out) {
  super_grids(&hb_coder_q4_k, block, out);
}

static void q5_k_grids(const void *block, hb_grid *out) {
  super_grids(&hb_coder_q5_k, block, out);
}

static void q6_k_grids(const void *block, hb_grid *out) {
  super_grids(&hb_coder_q6_k, block, out);
}

/* ---- Searches ---- */

static void q2_k_fit(const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_super found;
  hb_fit_prepare(&fit, &hb_coder_q2_k, x, importance);
  hb_fit_super_affine(&fit, 15, &found);
  q2_k_store(&found, block);
  hb_put_nearest(&hb_coder_q2_k, x, block);
}

static void q3_k_fit(const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_super found;
  hb_fit_prepare(&fit, &hb_coder_q3_k, x, importance);
  hb_fit_super_scaled(&fit, -32, 31, &found);
  q3_k_store(&found, block);
  hb_put_nearest(&hb_coder_q3_k, x, block);
}

static void fit_affine(const hb_coder *c, const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_super found;
  hb_fit_prepare(&fit, c, x, importance);
  hb_fit_super_affine(&fit, 63, &found);
  affine_store(&found, block);
  hb_put_nearest(c, x, block);
}

static void q4_k_fit(const float *x, const float *importance, void *block) {
  fit_affine(&hb_coder_q4_k, x, importance, block);
}

static void q5_k_fit(const float *x, const float *importance, void *block) {
  fit_affine(&hb_coder_q5_k, x, importance, block);
}

static void q6_k_fit(const float *x, const float *importance, void *block) {
  hb_fit fit;
  hb_super found;
  hb_fit_prepare(&fit, &hb_coder_q6_k, x, importance);
  hb_fit_super_scaled(&fit, -128, 127, &found);
  q6_k_store(&found, block);
  hb_put_nearest(&hb_coder_q6_k, x, block);
}

/* ---- Plain rounding ---- */

static void q2_k_round(const float *x, void *block) {
  q2_k_fit(x, NULL, block);
}

static void q3_k_round(const float *x, void *block) {
  q3_k_fit(x, NULL, block);
}

static void q4_k_round(const float *x, void *block) {
  q4_k_fit(x, NULL, block);
}

static void q5_k_round(const float *x, void *block) {
  q5_k_fit(x, NULL, block);
}

static void q6_k_round(const float *x, void *block) {
  q6_k_fit(x, NULL, block);
}

const hb_coder hb_coder_q2_k = {.type = HB_TYPE_Q2_K,
                                .values = VALUES,
                                .step = 16,
                                .levels = 4,
                                .first = 0,
                                .block_bytes = 84,
                                .round = q2_k_round,
                                .fit = q2_k_fit,
                                .grids = q2_k_grids,
                                .put = q2_k_put,
                                .parameters = &q2_k_parameters};

const hb_coder hb_coder_q3_k = {.type = HB_TYPE_Q3_K,
                                .values = VALUES,
                                .step = 16,
                                .levels = 8,
                                .first = -4,
                                .block_bytes = 110,
                                .round = q3_k_round,
                                .fit = q3_k_fit,
                                .grids = q3_k_grids,
                                .put = q3_k_put,
                                .parameters = &q3_k_parameters};

const hb_coder hb_coder_q4_k = {.type = HB_TYPE_Q4_K,
                                .values = VALUES,
                                .step = 32,
                                .levels = 16,
                                .first = 0,
                                .block_bytes = 144,
                                .round = q4_k_round,
                                .fit = q4_k_fit,
                                .grids = q4_k_grids,
                                .put = q4_k_put,
                                .parameters = &affine_parameters};

const hb_coder hb_coder_q5_k = {.type = HB_TYPE_Q5_K,
                                .values = VALUES,
                                .step = 32,
                                .levels = 32,
                                .first = 0,
                                .block_bytes = 176,
                                .round = q5_k_round,
                                .fit = q5_k_fit,
                                .grids = q5_k_grids,
                                .put = q5_k_put,
                                .parameters = &affine_parameters};

const hb_coder hb_coder_q6_k = {.type = HB_TYPE_Q6_K,
                                .values = VALUES,
                                .step = 16,
                                .levels = 64,
                                .first = -32,
                                .block_bytes = 210,
                                .round = q6_k_round,
                                .fit = q6_k_fit,
                                .grids = q6_k_grids,
                                .put = q6_k_put,
                                .parameters = &q6_k_parameters};
