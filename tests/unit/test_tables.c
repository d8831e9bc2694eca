/* Tables of levels for rows: that the bytes stand for the weights that are left, that levels lie
 * better than those of uniform grids, and which weights become outliers. */
#include "matrix_support.h"

#include "compress/tables.h"

enum { ROWS = 21, COLS = 160 };

/* A matrix, what it was, and what it becomes. */
typedef struct squeeze {
  hb_tables_options options;
  hb_type type;
  uint64_t row_bytes;
  float *original, *weights, *importance, *sensitivity;
  uint8_t *blocks;
  hb_outliers outliers;
} squeeze;

static hb_matrix_job job_for(squeeze *s) {
  return (hb_matrix_job){.rows = ROWS,
                         .cols = COLS,
                         .weights = s->weights,
                         .blocks = s->blocks,
                         .importance = s->importance};
}

/* Nearly normal rows, some with a few large values. */
static squeeze squeeze_create(uint32_t bits, double fraction) {
  squeeze s = {.options = {.bits = bits, .fraction = fraction}};
  uint64_t seed = 12;
  assert_int_equal(hb_tables_type(bits, &s.type, NULL), HB_OK);
  assert_true(hb_row_bytes(s.type, COLS, &s.row_bytes));
  s.original = calloc(ROWS * COLS, sizeof(float));
  s.weights = calloc(ROWS * COLS, sizeof(float));
  s.importance = calloc(COLS, sizeof(float));
  s.sensitivity = calloc(ROWS * COLS, sizeof(float));
  s.blocks = calloc(ROWS, s.row_bytes);
  for (uint32_t i = 0; i < ROWS * COLS; i++) {
    for (int k = 0; k < 6; k++) s.original[i] += uniform(&seed, -0.02f, 0.02f);
    if (i / COLS % 3 == 1 && i % 50 == 7) s.original[i] *= 8;
    s.sensitivity[i] = uniform(&seed, 0, 1);
  }
  for (uint32_t i = 0; i < COLS; i++) s.importance[i] = uniform(&seed, 0.1f, 4);
  memcpy(s.weights, s.original, ROWS * COLS * sizeof(float));
  assert_int_equal(hb_outlier_count(ROWS, COLS, fraction, &s.outliers.count, NULL), HB_OK);
  s.outliers.starts = calloc(ROWS + 1, sizeof(uint32_t));
  s.outliers.columns = calloc(s.outliers.count + 1u, sizeof(uint16_t));
  s.outliers.values = calloc(s.outliers.count + 1u, sizeof(uint16_t));
  return s;
}

static void squeeze_release(squeeze *s) {
  free(s->original);
  free(s->weights);
  free(s->importance);
  free(s->sensitivity);
  free(s->blocks);
  free(s->outliers.starts);
  free(s->outliers.columns);
  free(s->outliers.values);
}

static void run(squeeze *s) {
  hb_matrix_job job = job_for(s);
  hb_outliers *o = s->options.fraction > 0 ? &s->outliers : NULL;
  assert_int_equal(hb_matrix_tables(&job, &s->options, o, NULL), HB_OK);
}

static void bytes_and_outliers_stand_for_the_weights(void **state) {
  (void)state;
  for (uint32_t bits = 3; bits <= 4; bits++)
    for (int n = 0; n < 2; n++) {
      squeeze s = squeeze_create(bits, n ? 0.02 : 0);
      run(&s);
      for (uint32_t row = 0; row < ROWS; row++) {
        float values[COLS];
        hb_traits(s.type)->decode(s.blocks + row * s.row_bytes, values, COLS / 32);
        for (uint32_t i = s.outliers.starts[row]; n && i < s.outliers.starts[row + 1]; i++)
          values[s.outliers.columns[i]] += hb_f32_of_f16(s.outliers.values[i]);
        assert_memory_equal(values, s.weights + row * COLS, sizeof values);
      }
      squeeze_release(&s);
    }
}

static double row_error(const squeeze *s, uint32_t row) {
  double sum = 0;
  for (uint32_t i = 0; i < COLS; i++) {
    double d = (double)s->original[row * COLS + i] - (double)s->weights[row * COLS + i];
    sum += (double)s->importance[i] * d * d;
  }
  return sum;
}

/* The error of levels from the least to the largest value, `shrink` of their range, for nothing
 * lost in parameters. */
static double uniform_error(const squeeze *s, uint32_t row, double shrink) {
  const float *x = s->original + row * COLS;
  double low = 0, high = 0, steps = s->options.bits == 4 ? 15 : 7, sum = 0;
  for (uint32_t i = 0; i < COLS; i++) {
    low = fmin(low, shrink * (double)x[i]);
    high = fmax(high, shrink * (double)x[i]);
  }
  for (uint32_t i = 0; i < COLS; i++) {
    double q = fmin(fmax(nearbyint(((double)x[i] - low) / (high - low) * steps), 0), steps);
    sum += (double)s->importance[i] * pow((double)x[i] - low - (high - low) * q / steps, 2);
  }
  return sum;
}

static void no_uniform_grid_of_a_row_is_better(void **state) {
  (void)state;
  for (uint32_t bits = 3; bits <= 4; bits++) {
    squeeze s = squeeze_create(bits, 0);
    run(&s);
    for (uint32_t row = 0; row < ROWS; row++)
      for (int percent = 30; percent <= 100; percent += 5)
        if (row_error(&s, row) > uniform_error(&s, row, percent / 100.0))
          fail_msg("%u bits, row %u, %d%%: %g, not %g", bits, row, percent, row_error(&s, row),
                   uniform_error(&s, row, percent / 100.0));
    squeeze_release(&s);
  }
}

static void values_that_a_table_can_hold_come_back(void **state) {
  (void)state;
  squeeze s = squeeze_create(4, 0);
  static const int levels[16] = {-127, -90, -77, -50, -31, -20, -9, -1,
                                 2,    11,  25,  37,  59,  80,  99, 120};
  for (uint32_t i = 0; i < ROWS * COLS; i++)
    s.original[i] = s.weights[i] = 0.25f / 128 * (float)levels[i * 7 % 16];
  run(&s);
  for (uint32_t i = 0; i < ROWS * COLS; i++) assert_true(s.weights[i] == s.original[i]);
  squeeze_release(&s);
}

static void a_row_of_zeros_and_extreme_rows_stay_finite(void **state) {
  (void)state;
  static const float sizes[] = {0, 1e-45f, 1e-20f, 1e-7f, 7e4f, 3.4e38f};
  for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
    squeeze s = squeeze_create(3, 0.01);
    for (uint32_t i = 0; i < ROWS * COLS; i++) s.weights[i] = sizes[n] * (float)((int)(i % 3) - 1);
    if (n % 2) memset(s.importance, 0, COLS * sizeof(float));
    run(&s);
    for (uint32_t i = 0; i < ROWS * COLS; i++) {
      assert_true(isfinite(s.weights[i]));
      if (sizes[n] == 0) assert_true(s.weights[i] == 0);
    }
    squeeze_release(&s);
  }
}

/* ---- Outliers ---- */

static bool is_outlier(const squeeze *s, uint32_t row, uint32_t column) {
  for (uint32_t i = s->outliers.starts[row]; i < s->outliers.starts[row + 1]; i++)
    if (s->outliers.columns[i] == column) return true;
  return false;
}

/* How many weights have a larger number in `scores`, [ROWS][COLS], of those that are no outliers
 * for their sensitivity. */
static uint32_t rank_of(const float *scores, uint32_t at) {
  uint32_t rank = 0;
  for (uint32_t i = 0; i < ROWS * COLS; i++)
    rank +=
        fabsf(scores[i]) > fabsf(scores[at]) || (fabsf(scores[i]) == fabsf(scores[at]) && i < at);
  return rank;
}

static void the_largest_and_the_most_sensitive_are_outliers(void **state) {
  (void)state;
  squeeze s = squeeze_create(4, 0.02);
  s.options.sensitivity = s.sensitivity;
  s.options.sensitive = 0.005;
  run(&s);
  uint32_t sensitive = (uint32_t)(0.005 * ROWS * COLS), all = (uint32_t)(0.02 * ROWS * COLS);
  float *sizes = malloc(ROWS * COLS * sizeof *sizes);
  for (uint32_t i = 0; i < ROWS * COLS; i++)
    sizes[i] = rank_of(s.sensitivity, i) < sensitive ? 1000 : s.original[i];
  for (uint32_t i = 0; i < ROWS * COLS; i++)
    assert_int_equal(is_outlier(&s, i / COLS, i % COLS), rank_of(sizes, i) < all);
  assert_int_equal(s.outliers.count, all);
  assert_int_equal(s.outliers.starts[ROWS], all);
  for (uint32_t i = 0; i < ROWS * COLS; i++)
    if (is_outlier(&s, i / COLS, i % COLS))
      assert_true(fabsf(s.weights[i] - s.original[i]) <=
                  0x1p-11f * fabsf(s.original[i]) + 1e-7f + 0x1p-11f * 0.05f);
  free(sizes);
  squeeze_release(&s);
}

static void an_outlier_stands_on_the_level_nearest_to_zero(void **state) {
  (void)state;
  squeeze s = squeeze_create(3, 0.02);
  run(&s);
  for (uint32_t row = 0; row < ROWS; row++) {
    const uint8_t *bytes = s.blocks + row * s.row_bytes;
    float values[COLS], least = INFINITY;
    hb_traits(s.type)->decode(bytes, values, COLS / 32);
    for (int q = 0; q < 8; q++)
      least = fminf(least, hb_table_factor(hb_f32_of_f16(hb_load_u16(bytes))) *
                               fabsf((float)(int8_t)bytes[2 + q]));
    for (uint32_t i = s.outliers.starts[row]; i < s.outliers.starts[row + 1]; i++)
      assert_true(fabsf(values[s.outliers.columns[i]]) == least);
  }
  squeeze_release(&s);
}

static void outliers_and_sensitivity_do_what_they_are_for(void **state) {
  (void)state;
  squeeze dense = squeeze_create(3, 0), sparse = squeeze_create(3, 0.02);
  squeeze blind = squeeze_create(3, 0);
  memset(blind.importance, 0, COLS * sizeof(float));
  run(&dense);
  run(&sparse);
  run(&blind);
  memcpy(blind.importance, dense.importance, COLS * sizeof(float));
  double errors[3] = {0};
  for (uint32_t row = 0; row < ROWS; row++) {
    errors[0] += row_error(&dense, row);
    errors[1] += row_error(&sparse, row);
    errors[2] += row_error(&blind, row);
  }
  assert_true(errors[1] < 0.8 * errors[0]);
  assert_true(errors[0] < 0.97 * errors[2]);
  squeeze_release(&dense);
  squeeze_release(&sparse);
  squeeze_release(&blind);
}

/* Importance of columns is sensitivity that all rows share. */
static void sensitivity_by_weight_takes_the_place_of_importance(void **state) {
  (void)state;
  squeeze a = squeeze_create(4, 0), b = squeeze_create(4, 0);
  for (uint32_t i = 0; i < ROWS * COLS; i++) b.sensitivity[i] = b.importance[i % COLS];
  b.options.sensitivity = b.sensitivity;
  memset(b.importance, 0, COLS * sizeof(float));
  run(&a);
  run(&b);
  assert_memory_equal(a.blocks, b.blocks, ROWS * a.row_bytes);
  squeeze_release(&a);
  squeeze_release(&b);
}

static void threads_do_not_show(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  squeeze a = squeeze_create(4, 0.02), b = squeeze_create(4, 0.02);
  hb_matrix_job job = job_for(&b);
  job.parallel = hb_threads_parallel(threads);
  run(&a);
  assert_int_equal(hb_matrix_tables(&job, &b.options, &b.outliers, NULL), HB_OK);
  assert_memory_equal(a.blocks, b.blocks, ROWS * a.row_bytes);
  assert_memory_equal(a.outliers.values, b.outliers.values, a.outliers.count * sizeof(uint16_t));
  squeeze_release(&a);
  squeeze_release(&b);
  hb_threads_destroy(threads);
}

/* ---- Refusals ---- */

static hb_status refused(squeeze *s, hb_outliers *outliers, uint32_t cols) {
  hb_matrix_job job = job_for(s);
  job.cols = cols;
  return hb_matrix_tables(&job, &s->options, outliers, NULL);
}

static void what_cannot_be_done_is_refused(void **state) {
  (void)state;
  squeeze s = squeeze_create(4, 0.02);
  hb_outliers *o = &s.outliers;
  assert_int_equal(refused(&s, NULL, COLS), HB_ARGUMENT);
  assert_int_equal(refused(&s, o, 100), HB_ARGUMENT);
  s.options.sensitive = 0.03;
  assert_int_equal(refused(&s, o, COLS), HB_ARGUMENT);
  s.options.sensitive = NAN;
  assert_int_equal(refused(&s, o, COLS), HB_ARGUMENT);
  s.options.sensitive = 0;
  s.options.fraction = 1.5;
  assert_int_equal(refused(&s, o, COLS), HB_ARGUMENT);
  s.options.fraction = 0.02;
  s.options.bits = 5;
  assert_int_equal(refused(&s, o, COLS), HB_ARGUMENT);
  s.options.bits = 4;
  s.options.sensitivity = s.sensitivity;
  s.sensitivity[77] = NAN;
  assert_int_equal(refused(&s, o, COLS), HB_ARGUMENT);
  s.sensitivity[77] = -1;
  assert_int_equal(refused(&s, o, COLS), HB_ARGUMENT);
  s.options.sensitivity = NULL;
  s.weights[5] = INFINITY;
  assert_int_equal(refused(&s, o, COLS), HB_MODEL);
  squeeze_release(&s);
}

static void every_lack_of_memory_is_told(void **state) {
  (void)state;
  hb_status status = HB_MEMORY;
  for (int allowed = 0; status != HB_OK; allowed++) {
    squeeze s = squeeze_create(4, 0.02);
    budget b = {.left = allowed};
    const hb_allocator allocator = {&b, allocate_within, release_counted};
    hb_matrix_job job = job_for(&s);
    job.allocator = &allocator;
    s.options.sensitivity = s.sensitivity;
    s.options.sensitive = 0.01;
    status = hb_matrix_tables(&job, &s.options, &s.outliers, NULL);
    assert_true(status == HB_OK || status == HB_MEMORY);
    assert_int_equal(b.held, 0);
    assert_true(allowed < 20);
    squeeze_release(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_and_outliers_stand_for_the_weights),
      cmocka_unit_test(no_uniform_grid_of_a_row_is_better),
      cmocka_unit_test(values_that_a_table_can_hold_come_back),
      cmocka_unit_test(a_row_of_zeros_and_extreme_rows_stay_finite),
      cmocka_unit_test(the_largest_and_the_most_sensitive_are_outliers),
      cmocka_unit_test(an_outlier_stands_on_the_level_nearest_to_zero),
      cmocka_unit_test(outliers_and_sensitivity_do_what_they_are_for),
      cmocka_unit_test(sensitivity_by_weight_takes_the_place_of_importance),
      cmocka_unit_test(threads_do_not_show),
      cmocka_unit_test(what_cannot_be_done_is_refused),
      cmocka_unit_test(every_lack_of_memory_is_told),
  };
  return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
