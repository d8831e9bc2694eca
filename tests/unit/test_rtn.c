/* Rounding to nearest with shared grids: answers computed by hand, a slow second implementation,
 * groups that do not mix, and what is refused. */
#include "random_blocks.h"
#include "support.h"

#include "compress/rtn.h"
#include "quant/quant.h"

#include <math.h>

enum { ROWS = 5, COLS = 256 };

typedef struct matrix {
  float weights[ROWS * COLS], importance[COLS];
  uint8_t blocks[ROWS * COLS * 2];
} matrix;

static hb_matrix_job job_of(matrix *m, hb_type type, uint32_t rows, uint32_t cols) {
  return (hb_matrix_job){.coder = hb_coder_of(type),
                         .rows = rows,
                         .cols = cols,
                         .weights = m->weights,
                         .blocks = m->blocks};
}

static hb_type type_of(const hb_rtn_options *o) {
  hb_type type = HB_TYPE_F32;
  assert_int_equal(hb_rtn_type(o, &type, NULL), HB_OK);
  return type;
}

static void round_matrix(matrix *m, const hb_rtn_options *o, uint32_t rows, uint32_t cols) {
  hb_error error = {0};
  hb_matrix_job job = job_of(m, type_of(o), rows, cols);
  if (hb_matrix_rtn(&job, o, &error) != HB_OK) fail_msg("%s", error.message);
}

static float half(double x) {
  return hb_f32_of_f16(hb_f16_of_f32((float)x));
}

static void fill(matrix *m, uint64_t seed) {
  memset(m, 0, sizeof *m);
  for (uint32_t i = 0; i < ROWS * COLS; i++)
    m->weights[i] = 0.1f * random_unit(&seed) * (float)(1 + i / COLS) + 0.02f;
  for (uint32_t i = 0; i < COLS; i++) m->importance[i] = fabsf(random_unit(&seed));
}

/* ---- By hand ---- */

static void first_values_are(const matrix *m, const float *expected, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (m->weights[i] != expected[i])
      fail_msg("value %zu is %g, not %g", i, (double)m->weights[i], (double)expected[i]);
}

static void symmetric_grids_take_the_signed_extreme_to_the_first_level(void **state) {
  (void)state;
  static matrix m;
  memset(&m, 0, sizeof m);
  /* d = 4 / -4 = -1: levels 4 .. -3; ties go to the lower code, the larger value here */
  static const float x[] = {4, -3, -3.6f, 0.5f, -0.5f, 1.4f}, expected[] = {4, -3, -3, 1, 0, 1};
  memcpy(m.weights, x, sizeof x);
  round_matrix(&m, &(hb_rtn_options){.bits = 3, .symmetric = true}, 1, 32);
  first_values_are(&m, expected, 6);
  /* 2 bits: d = -1 / -2 = 0.5: levels -1 -0.5 0 0.5 */
  static const float y[] = {-1, 1, 0.7f, -0.3f, -0.2f}, coarse[] = {-1, 0.5f, 0.5f, -0.5f, 0};
  memset(&m, 0, sizeof m);
  memcpy(m.weights, y, sizeof y);
  round_matrix(&m, &(hb_rtn_options){.bits = 2, .symmetric = true}, 1, 32);
  first_values_are(&m, coarse, 5);
  /* 8 bits: d = 127 / 127, and -128 is left out */
  static const float z[] = {127, -127, 3.4f, -0.6f};
  static const float fine[] = {127, -127, 3, -1};
  memset(&m, 0, sizeof m);
  memcpy(m.weights, z, sizeof z);
  round_matrix(&m, &(hb_rtn_options){.bits = 8, .symmetric = true}, 1, 32);
  first_values_are(&m, fine, 4);
}

static void asymmetric_grids_reach_from_the_least_to_the_largest_value(void **state) {
  (void)state;
  static matrix m;
  memset(&m, 0, sizeof m);
  /* d = (5 + 2.5) / 15 = 0.5, z = 5: levels -2.5 .. 5 */
  static const float x[] = {-2.5f, 5, 0.3f, 0.2f, 0.25f, -1},
                     expected[] = {-2.5f, 5, 0.5f, 0, 0, -1};
  memcpy(m.weights, x, sizeof x);
  round_matrix(&m, &(hb_rtn_options){.bits = 4}, 1, 32);
  first_values_are(&m, expected, 6);
  /* All above 0: the range begins at 0. d = 3 / 3, z = 0 */
  for (int i = 0; i < 32; i++) m.weights[i] = 2;
  m.weights[0] = 3;
  m.weights[1] = 2.6f;
  static const float above[] = {3, 3, 2, 2};
  round_matrix(&m, &(hb_rtn_options){.bits = 2}, 1, 32);
  first_values_are(&m, above, 4);
  /* All below 0: it ends there. d = 31 / 31, z = 31 */
  for (int i = 0; i < 32; i++) m.weights[i] = -31;
  m.weights[1] = -0.4f;
  static const float below[] = {-31, 0, -31};
  round_matrix(&m, &(hb_rtn_options){.bits = 5}, 1, 32);
  first_values_are(&m, below, 3);
}

static void groups_of_zeros_stay_zeros(void **state) {
  (void)state;
  static matrix m;
  static const float zeros[ROWS * COLS];
  for (uint32_t bits = 2; bits <= 8; bits++)
    for (int symmetric = bits <= 5 ? 0 : 1; symmetric < 2; symmetric++)
      for (int g = HB_RTN_TENSOR; g <= HB_RTN_BLOCK; g++) {
        memset(&m, 0, sizeof m);
        hb_rtn_options o = {bits, symmetric, (hb_rtn_granularity)g, 64, 5, NULL};
        round_matrix(&m, &o, ROWS, COLS);
        for (int i = 0; i < ROWS * COLS; i++) assert_true(m.weights[i] == zeros[i]);
      }
}

/* ---- A second implementation ---- */

/* Rounds x[count], which share a grid, by looking at every level. */
static void slow_round(const float *x, size_t count, uint32_t bits, bool symmetric, float *out) {
  double low = 0, high = 0, extreme = 0;
  for (size_t i = 0; i < count; i++) {
    low = fmin(low, (double)x[i]);
    high = fmax(high, (double)x[i]);
    if (fabs((double)x[i]) > fabs(extreme)) extreme = x[i];
  }
  int first = 0, last = (1 << bits) - 1;
  float d = half((high - low) / last), addend = 0;
  if (symmetric) {
    first = -(1 << (bits - 1));
    last = -first - 1;
    d = half(extreme / first);
    if (bits == 8) d = half(fabs(extreme) / (first = -127, 127));
  } else {
    double z = floor(-low / (double)d + 0.5);
    addend = half(-(double)d * fmin(fmax(z, 0), last));
  }
  for (size_t i = 0; i < count; i++) {
    out[i] = d * (float)first + addend;
    for (int q = first + 1; q <= last; q++) {
      float level = d * (float)q + addend;
      if (fabs((double)x[i] - (double)level) < fabs((double)x[i] - (double)out[i])) out[i] = level;
    }
  }
}

static void every_variant_is_what_a_slow_second_one_gives(void **state) {
  (void)state;
  static matrix m;
  static float expected[ROWS * COLS], decoded[ROWS * COLS];
  static const uint32_t groups[] = {ROWS * COLS, COLS, 64, 32};
  for (uint32_t bits = 2; bits <= 8; bits++)
    for (int symmetric = bits <= 5 ? 0 : 1; symmetric < 2; symmetric++)
      for (int g = HB_RTN_TENSOR; g <= HB_RTN_BLOCK; g++) {
        hb_rtn_options o = {bits, symmetric, (hb_rtn_granularity)g, 64, 0, NULL};
        fill(&m, bits * 10 + (uint32_t)g);
        for (size_t at = 0; at < ROWS * COLS; at += groups[g])
          slow_round(m.weights + at, groups[g], bits, symmetric, expected + at);
        round_matrix(&m, &o, ROWS, COLS);
        hb_traits(type_of(&o))->decode(m.blocks, decoded, ROWS * COLS / 32);
        for (int i = 0; i < ROWS * COLS; i++)
          if (m.weights[i] != expected[i] || decoded[i] != expected[i])
            fail_msg("%u bits, symmetric %d, granularity %d: value %d is %g, decoded %g, not %g",
                     bits, symmetric, g, i, (double)m.weights[i], (double)decoded[i],
                     (double)expected[i]);
      }
}

/* ---- Sharing, searching, threads ---- */

static double squared_error(const matrix *m, const float *original, const float *importance) {
  double sum = 0;
  for (int i = 0; i < ROWS * COLS; i++) {
    double d = (double)m->weights[i] - (double)original[i];
    sum += (importance ? (double)importance[i % COLS] : 1) * d * d;
  }
  return sum;
}

static void smaller_groups_and_more_bits_lose_less(void **state) {
  (void)state;
  static matrix m, original;
  fill(&original, 21);
  for (int symmetric = 0; symmetric < 2; symmetric++)
    for (uint32_t bits = 2; bits <= 5; bits++) {
      double errors[4];
      for (int g = HB_RTN_TENSOR; g <= HB_RTN_BLOCK; g++) {
        m = original;
        hb_rtn_options o = {bits, symmetric, (hb_rtn_granularity)g, 64, 0, NULL};
        round_matrix(&m, &o, ROWS, COLS);
        errors[g] = squared_error(&m, original.weights, NULL);
        if (bits == 2) continue;
        m = original;
        o.bits--;
        round_matrix(&m, &o, ROWS, COLS);
        assert_true(errors[g] < 0.5 * squared_error(&m, original.weights, NULL));
      }
      assert_true(errors[HB_RTN_CHANNEL] < 0.9 * errors[HB_RTN_TENSOR]);
      assert_true(errors[HB_RTN_BLOCK] < 0.9 * errors[HB_RTN_TENSOR]);
    }
}

static void a_symmetric_block_of_4_bits_is_plain_q4_0(void **state) {
  (void)state;
  static matrix m;
  static uint8_t expected[sizeof m.blocks];
  fill(&m, 22);
  hb_traits(HB_TYPE_Q8_0)->encode(m.weights, expected, ROWS * COLS / 32);
  round_matrix(&m, &(hb_rtn_options){8, true, HB_RTN_BLOCK, 0, 0, NULL}, ROWS, COLS);
  for (size_t b = 0; b < ROWS * COLS / 32; b++)
    assert_int_equal(hb_load_u16(m.blocks + 34 * b), hb_load_u16(expected + 34 * b));
  fill(&m, 22);
  hb_traits(HB_TYPE_Q4_0)->encode(m.weights, expected, ROWS * COLS / 32);
  round_matrix(&m, &(hb_rtn_options){4, true, HB_RTN_BLOCK, 0, 0, NULL}, ROWS, COLS);
  for (size_t b = 0; b < ROWS * COLS / 32; b++)
    assert_int_equal(hb_load_u16(m.blocks + 18 * b), hb_load_u16(expected + 18 * b));
}

static void a_smaller_range_is_taken_where_it_loses_less(void **state) {
  (void)state;
  static matrix original, plain, searched, directed;
  static float importance[COLS];
  fill(&original, 23);
  for (int r = 0; r < ROWS; r++) original.weights[r * COLS + 9] = 0.9f; /* beside values of 0.1 */
  for (int i = 0; i < COLS; i++) importance[i] = i == 9 ? 1e-3f : 1;
  for (int g = HB_RTN_TENSOR; g <= HB_RTN_BLOCK; g++)
    for (int symmetric = 0; symmetric < 2; symmetric++) {
      hb_rtn_options o = {2, symmetric, (hb_rtn_granularity)g, 64, 0, NULL};
      plain = searched = directed = original;
      round_matrix(&plain, &o, ROWS, COLS);
      o.most_shrink = 80;
      round_matrix(&searched, &o, ROWS, COLS);
      hb_matrix_job job = job_of(&directed, type_of(&o), ROWS, COLS);
      job.importance = importance;
      assert_int_equal(hb_matrix_rtn(&job, &o, NULL), HB_OK);
      assert_true(squared_error(&searched, original.weights, NULL) <
                  squared_error(&plain, original.weights, NULL));
      assert_true(squared_error(&directed, original.weights, importance) <
                  squared_error(&searched, original.weights, importance));
    }
}

static void run_in_turn(void *context, void (*body)(void *argument, uint32_t thread),
                        void *argument) {
  for (uint32_t t = *(uint32_t *)context; t-- > 0;) body(argument, t);
}

static void threads_do_not_matter(void **state) {
  (void)state;
  static matrix alone, shared;
  uint32_t threads = 3;
  hb_parallel parallel = {.context = &threads, .threads = threads, .run = run_in_turn};
  for (int g = HB_RTN_TENSOR; g <= HB_RTN_BLOCK; g++) {
    hb_rtn_options o = {3, false, (hb_rtn_granularity)g, 128, 30, NULL};
    fill(&alone, 24);
    shared = alone;
    round_matrix(&alone, &o, ROWS, COLS);
    hb_matrix_job job = job_of(&shared, type_of(&o), ROWS, COLS);
    job.parallel = &parallel;
    assert_int_equal(hb_matrix_rtn(&job, &o, NULL), HB_OK);
    assert_memory_equal(&alone, &shared, sizeof alone);
  }
}

static void huge_and_tiny_values_leave_finite_blocks(void **state) {
  (void)state;
  static const float sizes[] = {3e38f, 1e6f, 1e-7f, 1e-30f, 1e-45f};
  static matrix m;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int symmetric = 0; symmetric < 2; symmetric++)
      for (uint32_t most = 0; most < 100; most += 99) {
        uint64_t seed = 25;
        for (int i = 0; i < ROWS * COLS; i++) m.weights[i] = sizes[s] * random_unit(&seed);
        round_matrix(&m, &(hb_rtn_options){4, symmetric, HB_RTN_CHANNEL, 0, most, NULL}, ROWS,
                     COLS);
        for (int i = 0; i < ROWS * COLS; i++) assert_true(isfinite(m.weights[i]));
      }
}

/* ---- What is refused ---- */

static void assert_refused(const hb_rtn_options *o, hb_type type, hb_status status,
                           const char *message) {
  static matrix m;
  hb_error error = {0};
  fill(&m, 26);
  hb_matrix_job job = job_of(&m, type, ROWS, COLS);
  assert_int_equal(hb_matrix_rtn(&job, o, &error), status);
  assert_string_equal(error.message, message);
}

static void what_cannot_be_had_is_refused_by_name(void **state) {
  (void)state;
  assert_refused(&(hb_rtn_options){.bits = 1}, HB_TYPE_Q4_1, HB_ARGUMENT,
                 "rounding to 1 bits: there are 2 to 8");
  assert_refused(&(hb_rtn_options){.bits = 9, .symmetric = true}, HB_TYPE_Q8_0, HB_ARGUMENT,
                 "rounding to 9 bits: there are 2 to 8");
  assert_refused(&(hb_rtn_options){.bits = 6}, HB_TYPE_Q8_0, HB_UNSUPPORTED,
                 "no type of GGUF holds 6 bits with a zero point; 5 are the most");
  assert_refused(&(hb_rtn_options){.bits = 4}, HB_TYPE_Q4_0, HB_ARGUMENT,
                 "4 bits are held by Q4_1, not by Q4_0");
  assert_refused(&(hb_rtn_options){4, false, HB_RTN_GROUP, 0, 0, NULL}, HB_TYPE_Q4_1, HB_ARGUMENT,
                 "groups of 0 columns: a multiple of 32 that divides 256 is needed");
  assert_refused(&(hb_rtn_options){4, false, HB_RTN_GROUP, 48, 0, NULL}, HB_TYPE_Q4_1, HB_ARGUMENT,
                 "groups of 48 columns: a multiple of 32 that divides 256 is needed");
  assert_refused(&(hb_rtn_options){4, false, HB_RTN_GROUP, 96, 0, NULL}, HB_TYPE_Q4_1, HB_ARGUMENT,
                 "groups of 96 columns: a multiple of 32 that divides 256 is needed");
  assert_refused(&(hb_rtn_options){4, false, HB_RTN_BLOCK, 0, 100, NULL}, HB_TYPE_Q4_1, HB_ARGUMENT,
                 "a range cannot shrink by 100 percent");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(symmetric_grids_take_the_signed_extreme_to_the_first_level),
      cmocka_unit_test(asymmetric_grids_reach_from_the_least_to_the_largest_value),
      cmocka_unit_test(groups_of_zeros_stay_zeros),
      cmocka_unit_test(every_variant_is_what_a_slow_second_one_gives),
      cmocka_unit_test(smaller_groups_and_more_bits_lose_less),
      cmocka_unit_test(a_symmetric_block_of_4_bits_is_plain_q4_0),
      cmocka_unit_test(a_smaller_range_is_taken_where_it_loses_less),
      cmocka_unit_test(threads_do_not_matter),
      cmocka_unit_test(huge_and_tiny_values_leave_finite_blocks),
      cmocka_unit_test(what_cannot_be_had_is_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
