/* Rotary frequencies: plain, divided, linear and YaRN, against the formulas in long double. */
#include "support.h"

#include "model/model.h"

#include <math.h>

enum { DIMS = 64, PAIRS = DIMS / 2 };

/* A model that has nothing but what RoPE reads. */
typedef struct stub {
  hb_model model;
  uint32_t empty_index[1];
} stub;

static void prepare(stub *s, hb_rope_scaling scaling, double factor) {
  hb_error error;
  *s = (stub){0};
  s->model.weight_index = s->empty_index;
  s->model.weight_index_size = 1;
  s->model.h = (hb_hyperparameters){.rope_dims = DIMS,
                                    .rope_base = 500000,
                                    .rope_scaling = scaling,
                                    .rope_factor = factor,
                                    .rope_attention_factor = 1,
                                    .yarn_beta_fast = 32,
                                    .yarn_beta_slow = 1,
                                    .context_length = 131072,
                                    .original_context_length = 8192};
  assert_int_equal(hb_rope_prepare(&s->model, &error), HB_OK);
}

static void finish(stub *s) {
  hb_release(NULL, s->model.rope[HB_ROPE_GLOBAL].frequency, PAIRS * sizeof(double));
}

static long double plain_frequency(int pair) {
  return powl(500000.0L, -2.0L * pair / DIMS);
}

static void assert_near(double got, long double expected) {
  if (!(fabsl(got - expected) <= 4e-15L * fabsl(expected)))
    fail_msg("got %.17g, expected %.17Lg", got, expected);
}

static void frequencies_are_powers_of_the_base(void **state) {
  (void)state;
  stub s;
  prepare(&s, HB_SCALING_NONE, 1);
  for (int i = 0; i < PAIRS; i++)
    assert_near(s.model.rope[HB_ROPE_GLOBAL].frequency[i], plain_frequency(i));
  assert_true(s.model.rope[HB_ROPE_GLOBAL].magnitude == 1);
  finish(&s);
}

static void linear_scaling_slows_every_pair_alike(void **state) {
  (void)state;
  stub s;
  prepare(&s, HB_SCALING_LINEAR, 8);
  for (int i = 0; i < PAIRS; i++)
    assert_near(s.model.rope[HB_ROPE_GLOBAL].frequency[i], plain_frequency(i) / 8);
  finish(&s);
}

/* arXiv 2309.00071, equations 17 to 23, with the bounds rounded outwards to whole pairs. */
static void yarn_slows_the_slow_pairs_and_widens_the_scores(void **state) {
  (void)state;
  stub s;
  prepare(&s, HB_SCALING_YARN, 16);
  long double pi = acosl(-1.0L), base = logl(500000.0L);
  long double low = floorl(DIMS * logl(8192 / (32 * 2 * pi)) / (2 * base));
  long double high = ceill(DIMS * logl(8192 / (1 * 2 * pi)) / (2 * base));
  for (int i = 0; i < PAIRS; i++) {
    long double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    long double f = plain_frequency(i);
    assert_near(s.model.rope[HB_ROPE_GLOBAL].frequency[i], f / 16 * ramp + f * (1 - ramp));
  }
  assert_near(s.model.rope[HB_ROPE_GLOBAL].magnitude, 1 + 0.1L * logl(16));
  finish(&s);
}

/* Half a unit in the last place of f32, and what double rounding may add to it. */
#define F32_ROUNDING 3.1e-8

static void angles_are_right_at_position_131071(void **state) {
  (void)state;
  stub s;
  float cosine[PAIRS], sine[PAIRS];
  prepare(&s, HB_SCALING_NONE, 1);
  hb_rope_angles(&s.model, &s.model.rope[HB_ROPE_GLOBAL], 131071, cosine, sine);
  for (int i = 0; i < PAIRS; i++) {
    long double angle = 131071 * plain_frequency(i);
    assert_true(fabsl(cosine[i] - cosl(angle)) < F32_ROUNDING);
    assert_true(fabsl(sine[i] - sinl(angle)) < F32_ROUNDING);
  }
  finish(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(frequencies_are_powers_of_the_base),
      cmocka_unit_test(linear_scaling_slows_every_pair_alike),
      cmocka_unit_test(yarn_slows_the_slow_pairs_and_widens_the_scores),
      cmocka_unit_test(angles_are_right_at_position_131071),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
