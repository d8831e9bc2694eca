/* Blocks of 32 values with a scale, and in the _1 forms an addend, in half precision. The layouts
 * are drawn in quant/legacy.c. */
#include "compress/coders.h"
#include "compress/search.h"
#include "quant/bits.h"
#include "quant/formats.h"

static void scale_grid(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_load_f16(block), HB_NO_ADDEND};
}

static void affine_grid(const void *block, hb_grid *out) {
  *out = (hb_grid){hb_load_f16(block), hb_load_f16((const uint8_t *)block + 2)};
}

/* ---- Parameters: one grid, whose scale and addend are no codes but stand for themselves ---- */

static void scale_load(const void *block, hb_super *p) {
  *p = (hb_super){.d = hb_load_u16(block), .scales = {1}};
}

static void scale_store(const hb_super *p, void *block) {
  hb_store_u16(block, p->d);
}

#define F16_SIGN 0x8000u

static void affine_load(const void *block, hb_super *p) {
  scale_load(block, p);
  p->dmin = hb_load_u16((const uint8_t *)block + 2) ^ F16_SIGN;
  p->minima[0] = 1;
}

static void affine_store(const hb_super *p, void *block) {
  scale_store(p, block);
  hb_store_u16((uint8_t *)block + 2, p->dmin ^ F16_SIGN);
}

const hb_parameters hb_scale_parameters = {1, 1, false, scale_load, scale_store};
const hb_parameters hb_affine_parameters = {1, 1, true, affine_load, affine_store};

/* ---- Types ---- */

/* The functions of a type; plain rounding is its encoder's. */
#define LEGACY_FUNCTIONS(name, kind)                                                               \
  static void name##_round(const float *x, void *block) {                                          \
    hb_encode_##name(x, block, 1);                                                                 \
  }                                                                                                \
  static void name##_fit(const float *x, const float *importance, void *block) {                   \
    hb_fit_##kind(&hb_coder_##name, x, importance, block);                                         \
  }

LEGACY_FUNCTIONS(q4_0, scaled)
LEGACY_FUNCTIONS(q4_1, affine)
LEGACY_FUNCTIONS(q5_0, scaled)
LEGACY_FUNCTIONS(q5_1, affine)
LEGACY_FUNCTIONS(q8_0, scaled)

static void q4_0_put(const uint8_t *codes, void *block) {
  hb_pack_nibbles(codes, (uint8_t *)block + 2);
}

static void q4_1_put(const uint8_t *codes, void *block) {
  hb_pack_nibbles(codes, (uint8_t *)block + 4);
}

static void q5_0_put(const uint8_t *codes, void *block) {
  hb_pack_fifth_bits(codes, (uint8_t *)block + 2);
  hb_pack_nibbles(codes, (uint8_t *)block + 6);
}

static void q5_1_put(const uint8_t *codes, void *block) {
  hb_pack_fifth_bits(codes, (uint8_t *)block + 4);
  hb_pack_nibbles(codes, (uint8_t *)block + 8);
}

static void q8_0_put(const uint8_t *codes, void *block) {
  uint8_t *b = block;
  for (uint32_t j = 0; j < 32; j++) b[2 + j] = (uint8_t)(codes[j] - 127);
}

const hb_coder hb_coder_q4_0 = {.type = HB_TYPE_Q4_0,
                                .values = 32,
                                .step = 32,
                                .levels = 16,
                                .first = -8,
                                .block_bytes = 18,
                                .round = q4_0_round,
                                .fit = q4_0_fit,
                                .grids = scale_grid,
                                .put = q4_0_put,
                                .parameters = &hb_scale_parameters};

const hb_coder hb_coder_q4_1 = {.type = HB_TYPE_Q4_1,
                                .values = 32,
                                .step = 32,
                                .levels = 16,
                                .first = 0,
                                .block_bytes = 20,
                                .round = q4_1_round,
                                .fit = q4_1_fit,
                                .grids = affine_grid,
                                .put = q4_1_put,
                                .parameters = &hb_affine_parameters};

const hb_coder hb_coder_q5_0 = {.type = HB_TYPE_Q5_0,
                                .values = 32,
                                .step = 32,
                                .levels = 32,
                                .first = -16,
                                .block_bytes = 22,
                                .round = q5_0_round,
                                .fit = q5_0_fit,
                                .grids = scale_grid,
                                .put = q5_0_put,
                                .parameters = &hb_scale_parameters};

const hb_coder hb_coder_q5_1 = {.type = HB_TYPE_Q5_1,
                                .values = 32,
                                .step = 32,
                                .levels = 32,
                                .first = 0,
                                .block_bytes = 24,
                                .round = q5_1_round,
                                .fit = q5_1_fit,
                                .grids = affine_grid,
                                .put = q5_1_put,
                                .parameters = &hb_affine_parameters};

/* The level -128 is left out, as ggml's encoder does: kernels are faster on blocks without it. */
const hb_coder hb_coder_q8_0 = {.type = HB_TYPE_Q8_0,
                                .values = 32,
                                .step = 32,
                                .levels = 255,
                                .first = -127,
                                .block_bytes = 34,
                                .round = q8_0_round,
                                .fit = q8_0_fit,
                                .grids = scale_grid,
                                .put = q8_0_put,
                                .parameters = &hb_scale_parameters};
