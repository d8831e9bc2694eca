/* Matrices that are trained through their rounding. */
#include "numbers.h"

#include "quant/quant.h"
#include "train/quantizer.h"

#include <math.h>

enum { ROWS = 3, COLS = 512, VALUES = ROWS * COLS, MOST_BLOCK_BYTES = VALUES / 32 * 34 };

static const hb_type types[] = {HB_TYPE_Q4_0,  HB_TYPE_Q4_1,  HB_TYPE_Q5_0,   HB_TYPE_Q5_1,
                                HB_TYPE_Q8_0,  HB_TYPE_Q2_K,  HB_TYPE_Q3_K,   HB_TYPE_Q4_K,
                                HB_TYPE_Q5_K,  HB_TYPE_Q6_K,  HB_TYPE_IQ4_NL, HB_TYPE_IQ4_XS,
                                HB_TYPE_TQ1_0, HB_TYPE_TQ2_0, HB_TYPE_MXFP4};
enum { TYPES = sizeof types / sizeof *types, WITH_PARAMETERS = TYPES - 1 };

typedef struct sample {
  float weights[VALUES], decoded[VALUES];
  uint8_t blocks[MOST_BLOCK_BYTES];
  hb_quantizer q;
} sample;

static hb_team team;

static int begin_team(void **state) {
  (void)state;
  hb_error error;
  return hb_team_begin(&team, hb_allocator_or_default(NULL), NULL, hb_isa_best(), false, 0, &error);
}

static int end_team(void **state) {
  (void)state;
  hb_team_end(&team);
  return 0;
}

/* Random weights, rounded to a type. `fixed`: codes stay. */
static void begin(sample *s, hb_type type, bool fixed) {
  uint64_t seed = 7 + (uint64_t)type;
  const hb_coder *coder = hb_coder_of(type);
  hb_error error;
  for (size_t i = 0; i < VALUES; i++)
    s->weights[i] = uniform(&seed, -1, 1) * uniform(&seed, 0, 0.1f);
  for (size_t i = 0; i < VALUES / coder->values; i++)
    coder->round(s->weights + i * coder->values, s->blocks + i * coder->block_bytes);
  hb_traits(type)->decode(s->blocks, s->decoded, VALUES / coder->values);
  if (hb_quantizer_begin(&s->q, hb_allocator_or_default(NULL), type, ROWS, COLS, s->blocks,
                         fixed ? NULL : s->weights, &error) != HB_OK)
    fail_msg("%s", error.message);
}

/* Moves all that is trained a little. */
static void disturb(sample *s) {
  uint64_t seed = 99;
  for (uint64_t i = 0; i < s->q.parameter_count; i++)
    s->q.parameters[i] *= uniform(&seed, 0.9f, 1.1f);
  for (uint64_t i = 0; i < VALUES && s->q.weights; i++)
    s->q.weights[i] += uniform(&seed, -0.01f, 0.01f);
}

static void fill_gradient(float *gradient) {
  uint64_t seed = 5;
  for (size_t i = 0; i < VALUES; i++) gradient[i] = uniform(&seed, -1, 1);
}

static void fixed_codes_begin_as_the_blocks_are(void **state) {
  (void)state;
  for (size_t i = 0; i < WITH_PARAMETERS; i++) {
    sample s;
    float values[VALUES];
    begin(&s, types[i], true);
    hb_quantizer_project(&s.q, &team, values);
    assert_memory_equal(values, s.decoded, sizeof values);
    hb_quantizer_end(&s.q);
  }
}

static void weights_begin_at_the_nearest_values_of_their_blocks(void **state) {
  (void)state;
  for (size_t i = 0; i < TYPES; i++) {
    sample s;
    float values[VALUES];
    begin(&s, types[i], false);
    hb_quantizer_project(&s.q, &team, values);
    for (size_t k = 0; k < VALUES; k++)
      assert_true(fabsf(values[k] - s.weights[k]) <= fabsf(s.decoded[k] - s.weights[k]));
    hb_quantizer_end(&s.q);
  }
}

/* Wherever weights lie, in or out of the cell of their code. */
static void weights_brought_into_cells_round_to_the_codes_of_the_blocks(void **state) {
  (void)state;
  for (size_t i = 0; i < TYPES; i++) {
    sample s;
    float values[VALUES];
    uint64_t seed = 31;
    size_t kept = 0;
    begin(&s, types[i], false);
    for (size_t k = 0; k < VALUES; k++) s.q.weights[k] += uniform(&seed, -0.02f, 0.02f);
    memcpy(s.weights, s.q.weights, sizeof s.weights);
    hb_quantizer_keep_codes(&s.q, s.blocks);
    hb_quantizer_project(&s.q, &team, values);
    assert_memory_equal(values, s.decoded, sizeof values);
    for (size_t k = 0; k < VALUES; k++) {
      kept += s.q.weights[k] == s.weights[k];
      assert_true(fabsf(s.q.weights[k] - s.weights[k]) <= fabsf(values[k] - s.weights[k]));
    }
    assert_true(kept > 0 && kept < VALUES);
    hb_quantizer_end(&s.q);
  }
}

static void weights_of_every_type_get_a_gradient(void **state) {
  (void)state;
  for (size_t i = 0; i < TYPES; i++) {
    sample s;
    float gradient[VALUES], values[VALUES];
    size_t got = 0;
    begin(&s, types[i], false);
    fill_gradient(gradient);
    hb_quantizer_project(&s.q, &team, values);
    hb_quantizer_back(&s.q, &team, gradient);
    for (size_t k = 0; k < VALUES; k++) got += gradient[k] != 0;
    if (got < VALUES * 3 / 4) fail_msg("%s: %u", hb_type_name(types[i]), (unsigned)got);
    hb_quantizer_end(&s.q);
  }
}

static void damping_brings_weights_nearer_to_what_they_are_rounded_to(void **state) {
  (void)state;
  sample s;
  float values[VALUES], before[VALUES];
  begin(&s, HB_TYPE_Q2_K, false);
  hb_quantizer_project(&s.q, &team, values);
  memcpy(before, s.q.weights, sizeof before);
  hb_quantizer_damp(&s.q, &team, values, 0.25f);
  for (size_t k = 0; k < VALUES; k++)
    assert_float_equal(s.q.weights[k], before[k] + 0.25f * (values[k] - before[k]), 0);
  hb_quantizer_end(&s.q);
}

static void the_blocks_written_decode_to_the_values_trained_with(void **state) {
  (void)state;
  for (size_t i = 0; i < TYPES + WITH_PARAMETERS; i++) {
    sample s;
    float values[VALUES], decoded[VALUES];
    uint8_t blocks[MOST_BLOCK_BYTES];
    hb_type type = types[i % TYPES];
    begin(&s, type, i >= TYPES);
    disturb(&s);
    hb_quantizer_project(&s.q, &team, values);
    hb_quantizer_write(&s.q, blocks);
    hb_traits(type)->decode(blocks, decoded, VALUES / s.q.coder->values);
    assert_memory_equal(values, decoded, sizeof values);
    assert_memory_not_equal(decoded, s.decoded, sizeof decoded);
    hb_quantizer_end(&s.q);
  }
}

/* Sum of gradient * value, by which gradients of parameters can be checked with differences. */
static double total(sample *s, const float *gradient) {
  static float values[VALUES];
  double sum = 0;
  hb_quantizer_project(&s->q, &team, values);
  for (size_t i = 0; i < VALUES; i++) sum += (double)gradient[i] * values[i];
  return sum;
}

/* With codes that stay, values are products of the parameters; the steps are so long that their
 * rounding, to half precision or whole codes, counts little or nothing. */
static void parameters_of_fixed_codes_have_the_gradient_of_differences(void **state) {
  (void)state;
  for (size_t i = 0; i < WITH_PARAMETERS; i++) {
    sample s;
    float gradient[VALUES], kept[VALUES];
    begin(&s, types[i], true);
    fill_gradient(gradient);
    memcpy(kept, gradient, sizeof kept);
    total(&s, gradient);
    hb_quantizer_back(&s.q, &team, gradient);
    double whole = s.q.coder->parameters->high, largest = 0, wanted, got;
    for (uint64_t k = 0; k < s.q.parameter_count; k++)
      largest = fmax(largest, fabs((double)s.q.parameter_gradients[k]));
    assert_true(largest > 0);
    uint64_t scales = s.q.block_count * (s.q.coder->parameters->minima ? 2 : 1);
    for (uint64_t k = 0; k < s.q.parameter_count; k += 7) {
      float was = s.q.parameters[k];
      /* A code moves by one; half precision by a power of two, exactly. */
      double to = k < scales ? 2 * was : was + (was > 0 ? -1 : 1) / whole;
      got = s.q.parameter_gradients[k];
      double before = total(&s, kept);
      s.q.parameters[k] = (float)to;
      wanted = (total(&s, kept) - before) / (to - was);
      s.q.parameters[k] = was;
      if (fabs(got - wanted) > 1e-4 * largest)
        fail_msg("%s, parameter %u: %g, not %g", hb_type_name(types[i]), (unsigned)k, got, wanted);
    }
    hb_quantizer_end(&s.q);
  }
}

/* LSQ in double: a scale's gradient is that of the level less that of the place between levels. */
static void weights_get_the_gradient_but_for_those_out_of_range(void **state) {
  (void)state;
  sample s;
  float gradient[VALUES], kept[VALUES], values[VALUES];
  begin(&s, HB_TYPE_Q4_0, false);
  for (size_t i = 0; i < VALUES; i += 17) s.q.weights[i] *= 3;
  fill_gradient(gradient);
  memcpy(kept, gradient, sizeof kept);
  hb_quantizer_project(&s.q, &team, values);
  hb_quantizer_back(&s.q, &team, gradient);
  size_t clipped = 0;
  for (uint64_t b = 0; b < s.q.block_count; b++) {
    double d = (double)s.q.grids[b].scale, sum = 0;
    for (size_t i = b * 32; i < b * 32 + 32; i++) {
      double place = (double)s.q.weights[i] / d, level = (double)values[i] / d;
      bool outside = place < -8 || place > 7;
      sum += (double)kept[i] * (outside ? level : level - place);
      assert_float_equal(gradient[i], outside ? 0 : kept[i], 0);
      clipped += outside;
    }
    assert_float_equal(s.q.parameter_gradients[b], sum * (double)s.q.unit_d[b], 1e-4);
  }
  assert_true(clipped > 10);
  hb_quantizer_end(&s.q);
}

static void threads_do_not_change_a_bit(void **state) {
  (void)state;
  hb_threads *threads;
  hb_team many;
  hb_error error;
  sample s;
  float alone[VALUES], together[VALUES], gradient[VALUES], other[VALUES];
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  assert_int_equal(hb_team_begin(&many, hb_allocator_or_default(NULL), hb_threads_parallel(threads),
                                 hb_isa_best(), false, 0, &error),
                   HB_OK);
  begin(&s, HB_TYPE_Q2_K, false);
  fill_gradient(gradient);
  fill_gradient(other);
  hb_quantizer_project(&s.q, &team, alone);
  hb_quantizer_back(&s.q, &team, gradient);
  hb_quantizer_project(&s.q, &many, together);
  hb_quantizer_back(&s.q, &many, other);
  assert_memory_equal(alone, together, sizeof alone);
  assert_memory_equal(gradient, other, sizeof gradient);
  hb_quantizer_end(&s.q);
  hb_team_end(&many);
  hb_threads_destroy(threads);
}

static void fixed_codes_with_fixed_scales_are_refused(void **state) {
  (void)state;
  hb_quantizer q;
  hb_error error;
  uint8_t blocks[8 * 17] = {0};
  assert_int_equal(hb_quantizer_begin(&q, hb_allocator_or_default(NULL), HB_TYPE_MXFP4, 1, 256,
                                      blocks, NULL, &error),
                   HB_UNSUPPORTED);
  assert_non_null(strstr(error.message, "MXFP4"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fixed_codes_begin_as_the_blocks_are),
      cmocka_unit_test(weights_begin_at_the_nearest_values_of_their_blocks),
      cmocka_unit_test(weights_brought_into_cells_round_to_the_codes_of_the_blocks),
      cmocka_unit_test(weights_of_every_type_get_a_gradient),
      cmocka_unit_test(damping_brings_weights_nearer_to_what_they_are_rounded_to),
      cmocka_unit_test(the_blocks_written_decode_to_the_values_trained_with),
      cmocka_unit_test(parameters_of_fixed_codes_have_the_gradient_of_differences),
      cmocka_unit_test(weights_get_the_gradient_but_for_those_out_of_range),
      cmocka_unit_test(threads_do_not_change_a_bit),
      cmocka_unit_test(fixed_codes_with_fixed_scales_are_refused),
  };
  return cmocka_run_group_tests(tests, begin_team, end_team);
}
