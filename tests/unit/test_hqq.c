/* HQQ: that it finds what a second, slower implementation finds, and never leaves a block with a
 * larger sum of |error|^0.7 than plain rounding. */
#include "matrix_support.h"

#include "compress/hqq.h"

enum { ROWS = 24, COLS = 128, MOST_VALUES = 64 };

static const hb_type types[] = {HB_TYPE_Q4_1, HB_TYPE_Q5_1, HB_TYPE_INT2_64};
enum { TYPES = sizeof types / sizeof *types };

/* Sum of |x - value|^0.7 over `count` values. */
static double lp_error(const float *x, const float *values, uint32_t count) {
  double sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += pow(fabs((double)x[i] - (double)values[i]), 0.7);
  return sum;
}

static fixture random_matrix(hb_type type) {
  fixture f = fixture_create(hb_coder_of(type), ROWS, COLS);
  uint64_t seed = 11;
  for (uint32_t i = 0; i < ROWS * COLS; i++) { /* normal, skewed, with lonely large ones */
    float x = 0;
    for (int k = 0; k < 6; k++) x += uniform(&seed, -0.02f, 0.02f);
    f.weights[i] = i / 32 % 3 == 1 ? x + 0.03f : i % 32 == 9 && i / 32 % 3 == 2 ? 4 * x : x;
  }
  return f;
}

static hb_status hqq(fixture *f, hb_error *error) {
  hb_matrix_job job = job_of(f);
  return hb_matrix_hqq(&job, error);
}

/* In weights, not steps; looks at the whole block each time. */
static double slow_addend(const hb_coder *c, const float *x, double scale, float plain) {
  double addend = plain, best = plain, least = INFINITY, beta = 10;
  for (int turn = 0; turn <= 20; turn++) {
    double codes[MOST_VALUES], sum = 0, next = 0;
    for (int i = 0; i < c->values; i++) {
      double least_distance = INFINITY;
      for (int q = 0; q < c->levels; q++) {
        double d = fabs(x[i] - (double)((float)scale * (float)q + (float)addend));
        if (d < least_distance) codes[i] = q;
        least_distance = fmin(d, least_distance);
      }
      sum += pow(least_distance, 0.7);
    }
    if (sum < least * (1 - 1e-12)) best = addend;
    least = fmin(sum, least);
    for (int i = 0; i < c->values; i++) {
      double e = x[i] - (double)((float)scale * (float)codes[i] + (float)addend);
      double steps = fabs(e) / scale;
      double kept = steps > 0 ? fmax(steps - pow(steps, -0.3) / beta, 0) * scale : 0;
      next += (x[i] - copysign(kept, e) - scale * codes[i]) / c->values;
    }
    next = hb_f32_of_f16(hb_f16_of_f32((float)next));
    if (next == addend) break;
    addend = next;
    beta *= 1.01;
  }
  return best;
}

static void addends_are_those_of_a_slower_search(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    fixture f = random_matrix(types[t]), plain = fixture_copy(&f);
    float *x = malloc(ROWS * COLS * sizeof *x);
    memcpy(x, f.weights, ROWS * COLS * sizeof *x);
    hb_matrix_job job = job_of(&plain);
    assert_int_equal(hb_matrix_round(&job, NULL), HB_OK);
    assert_int_equal(hqq(&f, NULL), HB_OK);
    uint32_t moved = 0, blocks = ROWS * COLS / f.coder->values;
    for (uint32_t b = 0; b < blocks; b++) {
      const uint8_t *before = plain.blocks + b * f.coder->block_bytes;
      const uint8_t *after = f.blocks + b * f.coder->block_bytes;
      float scale = hb_f32_of_f16(hb_load_u16(before));
      float start = hb_f32_of_f16(hb_load_u16(before + 2));
      double expected = slow_addend(f.coder, x + f.coder->values * b, (double)scale, start);
      assert_int_equal(hb_load_u16(before), hb_load_u16(after));
      if ((double)hb_f32_of_f16(hb_load_u16(after + 2)) != expected)
        fail_msg("block %u: %g, not %g", b, (double)hb_f32_of_f16(hb_load_u16(after + 2)),
                 expected);
      moved += (double)start != expected;
    }
    assert_true(moved > blocks / 2);
    free(x);
    fixture_release(&f);
    fixture_release(&plain);
  }
}

static void errors_to_the_power_of_0_7_fall(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    fixture f = random_matrix(types[t]), plain = fixture_copy(&f);
    fixture original = fixture_copy(&f);
    hb_matrix_job job = job_of(&plain);
    assert_int_equal(hb_matrix_round(&job, NULL), HB_OK);
    assert_int_equal(hqq(&f, NULL), HB_OK);
    for (uint32_t at = 0; at < ROWS * COLS; at += f.coder->values) {
      double before = lp_error(original.weights + at, plain.weights + at, f.coder->values);
      double after = lp_error(original.weights + at, f.weights + at, f.coder->values);
      if (after > before * 1.000001) fail_msg("block at %u: %g after %g", at, after, before);
    }
    double before = lp_error(original.weights, plain.weights, ROWS * COLS);
    double after = lp_error(original.weights, f.weights, ROWS * COLS);
    if (after > 0.97 * before) fail_msg("%g after %g", after, before);
    fixture_release(&f);
    fixture_release(&plain);
    fixture_release(&original);
  }
}

static void weights_are_what_the_blocks_stand_for(void **state) {
  (void)state;
  fixture f = random_matrix(HB_TYPE_Q4_1);
  assert_int_equal(hqq(&f, NULL), HB_OK);
  float *values = decoded(&f, f.blocks);
  assert_memory_equal(values, f.weights, ROWS * COLS * sizeof *values);
  free(values);
  fixture_release(&f);
}

static void powers_of_two_change_nothing(void **state) {
  (void)state;
  fixture f = random_matrix(HB_TYPE_Q4_1), g = fixture_copy(&f);
  for (uint32_t i = 0; i < ROWS * COLS; i++) g.weights[i] *= 4;
  assert_int_equal(hqq(&f, NULL), HB_OK);
  assert_int_equal(hqq(&g, NULL), HB_OK);
  for (uint32_t i = 0; i < ROWS * COLS; i++) assert_true(g.weights[i] == 4 * f.weights[i]);
  fixture_release(&f);
  fixture_release(&g);
}

static void odd_values_leave_finite_blocks(void **state) {
  (void)state;
  static const float sizes[] = {0, 1e-45f, 1e-20f, 1e-7f, 3e4f};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    fixture f = random_matrix(HB_TYPE_Q4_1);
    for (uint32_t i = 0; i < ROWS * COLS; i++)
      f.weights[i] = i / 32 % 2 ? sizes[s] : sizes[s] * (float)(i % 5);
    assert_int_equal(hqq(&f, NULL), HB_OK);
    for (uint32_t i = 0; i < ROWS * COLS; i++) assert_true(isfinite(f.weights[i]));
    fixture_release(&f);
  }
}

static void types_without_an_addend_of_their_own_are_refused_by_name(void **state) {
  (void)state;
  static const hb_type others[] = {HB_TYPE_Q4_0, HB_TYPE_Q8_0, HB_TYPE_Q4_K, HB_TYPE_Q2_K};
  for (size_t t = 0; t < sizeof others / sizeof *others; t++) {
    fixture f = fixture_create(hb_coder_of(others[t]), 1, 256);
    hb_error error;
    assert_int_equal(hqq(&f, &error), HB_UNSUPPORTED);
    assert_non_null(strstr(error.message, hb_type_name(others[t])));
    fixture_release(&f);
  }
  fixture f = random_matrix(HB_TYPE_Q4_1);
  f.weights[77] = NAN;
  assert_int_equal(hqq(&f, NULL), HB_MODEL);
  fixture_release(&f);
}

static void threads_do_not_show(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  fixture f = random_matrix(HB_TYPE_Q5_1), g = fixture_copy(&f);
  hb_matrix_job job = job_of(&g);
  job.parallel = hb_threads_parallel(threads);
  assert_int_equal(hqq(&f, NULL), HB_OK);
  assert_int_equal(hb_matrix_hqq(&job, NULL), HB_OK);
  assert_memory_equal(f.blocks, g.blocks, ROWS * row_bytes(&f));
  fixture_release(&f);
  fixture_release(&g);
  hb_threads_destroy(threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(addends_are_those_of_a_slower_search),
      cmocka_unit_test(errors_to_the_power_of_0_7_fall),
      cmocka_unit_test(weights_are_what_the_blocks_stand_for),
      cmocka_unit_test(powers_of_two_change_nothing),
      cmocka_unit_test(odd_values_leave_finite_blocks),
      cmocka_unit_test(types_without_an_addend_of_their_own_are_refused_by_name),
      cmocka_unit_test(threads_do_not_show),
  };
  return cmocka_run_group_tests_name("hqq", tests, NULL, NULL);
}
