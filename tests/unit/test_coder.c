/* Coders of blocks: what their codes stand for, what the searches for parameters find, against slow
 * searches that look everywhere, and what they do with values out of the ordinary. */
#include "random_blocks.h"
#include "support.h"

#include "compress/coder.h"
#include "quant/quant.h"

#include <float.h>
#include <math.h>

enum { MOST_BYTES = 256 };

static float normal(uint64_t *seed) {
  float sum = 0;
  for (int i = 0; i < 12; i++) sum += 0.5f * random_unit(seed);
  return sum;
}

static void decode(const hb_coder *c, const void *block, float *out) {
  hb_traits(c->type)->decode(block, out, 1);
}

/* Sum of w * (x - value)^2 over the block; without importance w is 1. */
static double block_error(const hb_coder *c, const float *x, const float *importance,
                          const void *block) {
  float values[HB_CODER_MOST_VALUES];
  double sum = 0;
  decode(c, block, values);
  for (uint32_t i = 0; i < c->values; i++) {
    double d = (double)x[i] - values[i];
    sum += (importance ? (double)importance[i] : 1) * d * d;
  }
  return sum;
}

/* ---- Grids and codes ---- */

static void every_block_type_has_a_coder(void **state) {
  (void)state;
  for (size_t i = 0; i < BLOCK_TYPES; i++) {
    const hb_coder *c = hb_coder_of(block_types[i].type);
    assert_non_null(c);
    assert_int_equal(c->type, block_types[i].type);
    assert_int_equal(c->values, block_types[i].values);
    assert_int_equal(c->block_bytes, block_types[i].bytes);
    assert_int_equal(c->values % c->step, 0);
    assert_true(c->values <= HB_CODER_MOST_VALUES && c->values / c->step <= HB_CODER_MOST_GRIDS);
  }
  assert_null(hb_coder_of(HB_TYPE_F16));
  assert_null(hb_coder_of(HB_TYPE_IQ3_S));
  assert_null(hb_coder_of((hb_type)4));
}

static void codes_decode_to_the_values_of_their_grids(void **state) {
  (void)state;
  uint64_t seed = 1;
  for (size_t t = 0; t < BLOCK_TYPES; t++)
    for (int n = 0; n < 400; n++) {
      const hb_coder *c = hb_coder_of(block_types[t].type);
      uint8_t block[MOST_BYTES], codes[HB_CODER_MOST_VALUES];
      hb_grid before[HB_CODER_MOST_GRIDS], grids[HB_CODER_MOST_GRIDS];
      float values[HB_CODER_MOST_VALUES];
      random_blocks(&block_types[t], n % 2 ? BLOCKS_WIDE : BLOCKS_PLAIN, &seed, block, 1);
      for (uint32_t i = 0; i < c->values; i++) codes[i] = (uint8_t)(next_random(&seed) % c->levels);
      c->grids(block, before);
      c->put(codes, block);
      c->grids(block, grids);
      assert_memory_equal(before, grids, c->values / c->step * sizeof *grids);
      decode(c, block, values);
      for (uint32_t i = 0; i < c->values; i++) {
        float expected = hb_grid_value(c, grids[i / c->step], codes[i]);
        if (hb_bits_of_f32(values[i]) != hb_bits_of_f32(expected))
          fail_msg("%s: value %u is %a, not %a", block_types[t].name, i, (double)values[i],
                   (double)expected);
      }
    }
}

/* The lowest of the codes at the least distance, by looking at all of them. */
static uint8_t slow_nearest(const hb_coder *c, hb_grid g, float x) {
  uint32_t best = 0;
  for (uint32_t q = 1; q < c->levels; q++)
    if (fabs((double)x - (double)hb_grid_value(c, g, (uint8_t)q)) <
        fabs((double)x - (double)hb_grid_value(c, g, (uint8_t)best)))
      best = q;
  return (uint8_t)best;
}

/* Whatever the bytes of a block are, nothing is lost. */
static void parameters_are_stored_as_they_are_loaded(void **state) {
  (void)state;
  uint64_t seed = 9;
  int known = 0;
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const hb_coder *c = hb_coder_of(block_types[t].type);
    if (!c->parameters) continue;
    known++;
    for (int n = 0; n < 200; n++) {
      uint8_t block[MOST_BYTES], again[MOST_BYTES];
      hb_super p;
      for (uint32_t i = 0; i < c->block_bytes; i++) block[i] = (uint8_t)next_random(&seed);
      memcpy(again, block, sizeof block);
      c->parameters->load(block, &p);
      for (uint32_t k = 0; k < (uint32_t)(c->values / c->step); k++)
        assert_true(p.scales[k] >= c->parameters->low && p.scales[k] <= c->parameters->high);
      c->parameters->store(&p, again);
      assert_memory_equal(again, block, c->block_bytes);
    }
  }
  assert_int_equal(known, 15);
}

static void the_nearest_code_is_the_lowest_of_the_nearest(void **state) {
  (void)state;
  uint64_t seed = 2;
  static const float scales[] = {1, 0.013f, 1e-30f, 1e30f, 0x1p-149f, 0};
  static const float addends[] = {0, -1, 7.3f, -1e6f, 1e-20f};
  for (size_t t = 0; t < BLOCK_TYPES; t++)
    for (int n = 0; n < 20000; n++) {
      const hb_coder *c = hb_coder_of(block_types[t].type);
      float scale = scales[next_random(&seed) % 6] * random_unit(&seed);
      hb_grid g = {scale, next_random(&seed) % 2 ? -0.0f : addends[next_random(&seed) % 5] * scale};
      float x = g.addend + scale * (float)c->levels * random_unit(&seed);
      uint8_t q = (uint8_t)(next_random(&seed) % c->levels);
      float value = hb_grid_value(c, g, q);
      if (n % 4 == 0) x = value;
      if (n % 4 == 1) x = 0.5f * (value + hb_grid_value(c, g, q ? q - 1 : 0)); /* often a tie */
      if (n % 16 == 2) g.addend = 1e7f * scale;
      assert_int_equal(hb_nearest_code(c, g, x), slow_nearest(c, g, x));
    }
}

static void what_is_no_number_gets_code_0_and_infinity_an_end(void **state) {
  (void)state;
  const hb_coder *c = hb_coder_of(HB_TYPE_Q4_0);
  hb_grid g = {0.5f, -0.0f};
  assert_int_equal(hb_nearest_code(c, g, NAN), 0);
  assert_int_equal(hb_nearest_code(c, g, INFINITY), 15);
  assert_int_equal(hb_nearest_code(c, g, -INFINITY), 0);
  assert_int_equal(hb_nearest_code(c, g, 0.25f), 8); /* between 0 and 0.5 */
  assert_int_equal(hb_nearest_code(c, (hb_grid){-0.5f, -0.0f}, 0.25f), 7);
}

/* ---- Searches ---- */

typedef enum { NORMAL, SKEWED, OUTLIER, UNIFORM, KINDS } kind;

static void random_values(kind k, uint64_t *seed, float *x, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    x[i] = 0.03f * (k == UNIFORM ? random_unit(seed) : normal(seed)) + (k == SKEWED ? 0.05f : 0);
  if (k == OUTLIER) x[next_random(seed) % count] *= 10;
}

/* Some of them 0. */
static void random_importance(uint64_t *seed, float *w, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    float z = normal(seed);
    w[i] = i % 7 == 3 ? 0 : z * z;
  }
}

/* The least error of any scale in half precision, each with its nearest codes; of 8 bits, those
 * that use all but 8 levels. */
static double slow_scale_error(const hb_coder *c, const float *x, const float *w) {
  double least = DBL_MAX, zeros = 0;
  float most = 0.2f;
  for (uint32_t i = 0; i < c->values; i++) zeros += w[i] * (double)x[i] * x[i];
  if (c->type == HB_TYPE_Q8_0) {
    most = 0;
    for (uint32_t i = 0; i < c->values; i++)
      if (w[i] > 0) most = fmaxf(most, fabsf(x[i]) / 119);
  }
  for (uint32_t h = 0; h < 0x7c00; h++)
    for (int sign = 0; sign < 2; sign++) {
      hb_grid g = {hb_f32_of_f16((uint16_t)(h | (uint32_t)sign << 15)), -0.0f};
      double sum = 0;
      if (fabsf(g.scale) > most || fabsf(g.scale) < 3e-5f) continue;
      for (uint32_t i = 0; i < c->values && sum < least; i++) {
        double d = (double)x[i] - hb_grid_value(c, g, hb_nearest_code(c, g, x[i]));
        sum += w[i] * d * d;
      }
      least = sum < least ? sum : least;
    }
  return least < zeros ? least : zeros;
}

static void the_search_for_a_scale_finds_the_best_one(void **state) {
  (void)state;
  static const hb_type types[] = {HB_TYPE_Q4_0, HB_TYPE_Q5_0, HB_TYPE_Q8_0, HB_TYPE_IQ4_NL};
  uint64_t seed = 3;
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (int k = 0; k < KINDS; k++) {
      const hb_coder *c = hb_coder_of(types[t]);
      double best = 0, found = 0;
      for (int n = 0; n < 12; n++) {
        float x[32], w[32];
        uint8_t block[MOST_BYTES];
        random_values((kind)k, &seed, x, 32);
        for (int i = 0; i < 32; i++) w[i] = 1;
        if (n % 2) random_importance(&seed, w, 32);
        best += slow_scale_error(c, x, w);
        c->fit(x, w, block);
        found += block_error(c, x, w, block);
      }
      if (found > 1.001 * best)
        fail_msg("%s, kind %d: %g, but %g can be had", hb_type_name(types[t]), k, found, best);
    }
}

/* The least error that levels `scale * q + addend` reach with the best scale and addend for the
 * codes that any of many ranges leads to, improved in turns; nothing is rounded to f16. */
static double slow_affine_error(const hb_coder *c, const float *x, const float *w) {
  enum { ENDS = 60 };
  double least = DBL_MAX, low = DBL_MAX, high = -DBL_MAX, top = c->levels - 1;
  for (uint32_t i = 0; i < c->values; i++) {
    low = fmin(low, (double)x[i]);
    high = fmax(high, (double)x[i]);
  }
  for (int a = -2; a < ENDS / 2; a++)
    for (int b = -2; b < ENDS / 2; b++) {
      double scale = (high - low) * (1 - (a + b) / (double)ENDS) / top, error = DBL_MAX / 2;
      double addend = low + (high - low) * a / ENDS, before = DBL_MAX;
      while (error < before && scale > 0) {
        double sw = 0, sx = 0, sq = 0, sxq = 0, sqq = 0, sxx = 0;
        for (uint32_t i = 0; i < c->values; i++) {
          double q = fmin(fmax(nearbyint(((double)x[i] - addend) / scale), 0), top);
          double wi = (double)w[i], xi = (double)x[i] - low;
          sw += wi;
          sx += wi * xi;
          sq += wi * q;
          sxq += wi * xi * q;
          sqq += wi * q * q;
          sxx += wi * xi * xi;
        }
        before = error;
        scale = (sw * sxq - sx * sq) / (sw * sqq - sq * sq);
        addend = (sx - scale * sq) / sw;
        error = sxx + scale * scale * sqq + addend * addend * sw - 2 * scale * sxq -
                2 * addend * sx + 2 * scale * addend * sq;
        addend += low;
        least = fmin(least, error);
      }
    }
  return least;
}

static void the_search_for_scale_and_addend_comes_near_the_best_ones(void **state) {
  (void)state;
  static const hb_type types[] = {HB_TYPE_Q4_1, HB_TYPE_Q5_1, HB_TYPE_INT2_64};
  uint64_t seed = 8;
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (int k = 0; k < KINDS; k++) {
      const hb_coder *c = hb_coder_of(types[t]);
      double best = 0, found = 0;
      for (int n = 0; n < 12; n++) {
        float x[64], w[64];
        uint8_t block[MOST_BYTES];
        random_values((kind)k, &seed, x, c->values);
        for (uint32_t i = 0; i < c->values; i++)
          w[i] = n % 2 ? 0.2f + fabsf(random_unit(&seed)) : 1;
        best += slow_affine_error(c, x, w);
        c->fit(x, w, block);
        found += block_error(c, x, w, block);
      }
      if (found > 1.1 * best)
        fail_msg("%s, kind %d: %g, but %g can be had", hb_type_name(types[t]), k, found, best);
    }
}

/* What a block holds can be held again. */
static void values_of_a_block_are_nearly_found_again(void **state) {
  (void)state;
  uint64_t seed = 9;
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const hb_coder *c = hb_coder_of(block_types[t].type);
    double error = 0, square = 0;
    for (int n = 0; n < 40; n++) {
      float x[HB_CODER_MOST_VALUES];
      uint8_t block[MOST_BYTES], codes[HB_CODER_MOST_VALUES];
      random_blocks(&block_types[t], BLOCKS_PLAIN, &seed, block, 1);
      for (uint32_t i = 0; i < c->values; i++) codes[i] = (uint8_t)(next_random(&seed) % c->levels);
      c->put(codes, block);
      decode(c, block, x);
      for (uint32_t i = 0; i < c->values; i++) square += (double)x[i] * x[i];
      c->fit(x, NULL, block);
      error += block_error(c, x, NULL, block);
    }
    if (error > (c->type == HB_TYPE_Q2_K ? 1e-2 : 2e-4) * square)
      fail_msg("%s: lost %g of the squares", block_types[t].name, error / square);
  }
}

/* Where scales have a scale, both are searches that may end elsewhere. */
static void a_search_is_no_worse_than_plain_rounding(void **state) {
  (void)state;
  uint64_t seed = 4;
  for (size_t t = 0; t < BLOCK_TYPES; t++)
    for (int n = 0; n < 300; n++) {
      const hb_coder *c = hb_coder_of(block_types[t].type);
      float x[HB_CODER_MOST_VALUES], w[HB_CODER_MOST_VALUES];
      uint8_t block[MOST_BYTES];
      random_values((kind)(n % KINDS), &seed, x, c->values);
      random_importance(&seed, w, c->values);
      const float *importance = n % 8 < 4 ? w : NULL;
      c->round(x, block);
      double plain = block_error(c, x, importance, block);
      c->fit(x, importance, block);
      double found = block_error(c, x, importance, block);
      if (found > plain * (c->values == c->step ? 1.000001 : 1.01))
        fail_msg("%s, block %d: %g after %g", block_types[t].name, n, found, plain);
    }
}

/* ---- Values out of the ordinary ---- */

static void all_blocks_are_finite(const float *x, const float *importance) {
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const hb_coder *c = hb_coder_of(block_types[t].type);
    float values[HB_CODER_MOST_VALUES];
    uint8_t block[MOST_BYTES];
    c->fit(x, importance, block);
    decode(c, block, values);
    for (uint32_t i = 0; i < c->values; i++) assert_true(isfinite(values[i]));
  }
}

static void a_block_of_zeros_stays_one(void **state) {
  (void)state;
  static const float x[HB_CODER_MOST_VALUES];
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const hb_coder *c = hb_coder_of(block_types[t].type);
    float values[HB_CODER_MOST_VALUES];
    uint8_t block[MOST_BYTES];
    for (int searched = 0; searched < 2; searched++) {
      if (searched)
        c->fit(x, NULL, block);
      else
        c->round(x, block);
      decode(c, block, values);
      for (uint32_t i = 0; i < c->values; i++) assert_true(values[i] == 0);
    }
  }
}

static void huge_tiny_and_odd_values_leave_finite_blocks(void **state) {
  (void)state;
  uint64_t seed = 5;
  static const float sizes[] = {3.4e38f, 1e30f, 1e6f, 7e4f, 1e-7f, 1e-20f, 1e-38f, 1e-45f};
  float x[HB_CODER_MOST_VALUES], w[HB_CODER_MOST_VALUES];
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int n = 0; n < 8; n++) {
      for (int i = 0; i < HB_CODER_MOST_VALUES; i++) {
        x[i] = sizes[s] * random_unit(&seed);
        w[i] = n % 2 ? 3e38f * fabsf(random_unit(&seed)) : 0;
      }
      if (n >= 4) x[7] = n == 4 ? NAN : n == 5 ? INFINITY : n == 6 ? -INFINITY : -0.0f;
      if (n >= 4) w[9] = n == 4 ? NAN : n == 5 ? INFINITY : -1;
      all_blocks_are_finite(x, n == 0 ? NULL : w);
    }
}

static void importance_that_is_0_everywhere_counts_as_none(void **state) {
  (void)state;
  uint64_t seed = 6;
  static const float none[HB_CODER_MOST_VALUES];
  float x[HB_CODER_MOST_VALUES];
  random_values(NORMAL, &seed, x, HB_CODER_MOST_VALUES);
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const hb_coder *c = hb_coder_of(block_types[t].type);
    uint8_t block[MOST_BYTES], other[MOST_BYTES];
    c->fit(x, none, block);
    c->fit(x, NULL, other);
    assert_memory_equal(block, other, c->block_bytes);
  }
}

/* The scale of importance is arbitrary, and powers of two change nothing at all. */
static void only_ratios_of_importance_count(void **state) {
  (void)state;
  uint64_t seed = 7;
  float x[HB_CODER_MOST_VALUES], w[HB_CODER_MOST_VALUES];
  random_values(NORMAL, &seed, x, HB_CODER_MOST_VALUES);
  random_importance(&seed, w, HB_CODER_MOST_VALUES);
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const hb_coder *c = hb_coder_of(block_types[t].type);
    uint8_t block[MOST_BYTES], other[MOST_BYTES];
    float scaled[HB_CODER_MOST_VALUES];
    c->fit(x, w, block);
    for (int i = 0; i < HB_CODER_MOST_VALUES; i++) scaled[i] = w[i] * 0x1p60f;
    c->fit(x, scaled, other);
    assert_memory_equal(block, other, c->block_bytes);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_block_type_has_a_coder),
      cmocka_unit_test(codes_decode_to_the_values_of_their_grids),
      cmocka_unit_test(parameters_are_stored_as_they_are_loaded),
      cmocka_unit_test(the_nearest_code_is_the_lowest_of_the_nearest),
      cmocka_unit_test(what_is_no_number_gets_code_0_and_infinity_an_end),
      cmocka_unit_test(the_search_for_a_scale_finds_the_best_one),
      cmocka_unit_test(the_search_for_scale_and_addend_comes_near_the_best_ones),
      cmocka_unit_test(values_of_a_block_are_nearly_found_again),
      cmocka_unit_test(a_search_is_no_worse_than_plain_rounding),
      cmocka_unit_test(a_block_of_zeros_stays_one),
      cmocka_unit_test(huge_tiny_and_odd_values_leave_finite_blocks),
      cmocka_unit_test(importance_that_is_0_everywhere_counts_as_none),
      cmocka_unit_test(only_ratios_of_importance_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
