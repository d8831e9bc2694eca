/* GPTQ: against a plain reimplementation that updates an explicit inverse, by hand, against
 * rounding without compensation, and on inputs that say too little. */
#include "matrix_support.h"

#include "compress/gptq.h"
#include "compress/method.h"

/* ---- By hand ---- */

/* Two inputs of mean square 1 (damped) and covariance 0.5; the others are never there. Rounding 0.4
 * to 0 leaves an error of 0.4, so the second weight should be 0.35 + 0.5 * 0.4 = 0.55: rounds to 1.
 * The error is 0.4^2 + 0.65^2 - 2 * 0.5 * 0.4 * 0.65 = 0.3225, and were it 0, 0.4225. */
static void the_second_of_two_weights_makes_good_for_the_first(void **state) {
  (void)state;
  fixture f = fixture_create(&integers, 1, 32);
  f.gram[0] = f.gram[33] = 1 / 1.01;
  f.gram[1] = f.gram[32] = 0.5;
  f.weights[0] = 0.4f;
  f.weights[1] = 0.35f;
  f.weights[2] = 5;
  hb_gptq_report report;
  hb_matrix_job job = job_of(&f);
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &report, NULL), HB_OK);
  float *values = decoded(&f, f.blocks);
  assert_true(values[0] == 0 && values[1] == 1);
  for (int i = 2; i < 32; i++) assert_true(values[i] == 0);
  free(values);
  assert_true(fabs(report.loss - 0.3225) < 1e-7);
  assert_true(report.damping == 0.01);
  fixture_release(&f);
}

/* ---- A plain reimplementation ---- */

/* Optimal Brain Quantization in a fixed order: rounds a weight, moves the rest by the row of the
 * inverse Hessian, and takes the weight out of the inverse. */
typedef struct plain {
  const fixture *f;
  uint32_t *order; /* first to last */
  double *inverse; /* of the damped H */
  uint8_t *codes;  /* [rows][cols] */
  double loss;
} plain;

static uint32_t *plain_order(const fixture *f, bool natural) {
  uint32_t n = f->cols, *order = malloc(n * sizeof *order);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = i;
    while (!natural && at > 0 && diagonal(f, order[at - 1]) < diagonal(f, i)) {
      order[at] = order[at - 1];
      at--;
    }
    order[at] = i;
  }
  return order;
}

/* Gauss-Jordan elimination. */
static double *inverse_of(const double *a, uint32_t n) {
  double *work = malloc((size_t)n * n * sizeof *work), *inverse = calloc((size_t)n * n, sizeof *a);
  memcpy(work, a, (size_t)n * n * sizeof *a);
  for (uint32_t i = 0; i < n; i++) inverse[(size_t)i * n + i] = 1;
  for (uint32_t k = 0; k < n; k++) {
    double pivot = work[(size_t)k * n + k];
    for (uint32_t j = 0; j < n; j++) {
      work[(size_t)k * n + j] /= pivot;
      inverse[(size_t)k * n + j] /= pivot;
    }
    for (uint32_t i = 0; i < n; i++) {
      double factor = work[(size_t)i * n + k];
      if (i == k || factor == 0) continue;
      for (uint32_t j = 0; j < n; j++) {
        work[(size_t)i * n + j] -= factor * work[(size_t)k * n + j];
        inverse[(size_t)i * n + j] -= factor * inverse[(size_t)k * n + j];
      }
    }
  }
  free(work);
  return inverse;
}

static void plain_fit(const fixture *f, const double *w, uint32_t block, hb_grid *grids,
                      uint8_t *bytes) {
  float x[HB_CODER_MOST_VALUES], importance[HB_CODER_MOST_VALUES];
  uint32_t values = f->coder->values;
  for (uint32_t i = 0; i < values; i++) {
    importance[i] = (float)diagonal(f, block * values + i);
    x[i] = importance[i] == 0 ? 0 : (float)w[block * values + i];
  }
  f->coder->fit(x, importance, bytes);
  f->coder->grids(bytes, grids + block * (values / f->coder->step));
}

/* One row, of which `inverse` is used up. The blocks are left in `blocks`. */
static double plain_row(const plain *p, uint32_t row, double *inverse, bool natural,
                        uint8_t *blocks) {
  const fixture *f = p->f;
  const hb_coder *coder = f->coder;
  uint32_t n = f->cols, values = coder->values;
  double *w = malloc(n * sizeof *w), loss = 0;
  hb_grid *grids = malloc(n / coder->step * sizeof *grids);
  uint8_t *codes = malloc(n);
  for (uint32_t i = 0; i < n; i++) w[i] = f->weights[(size_t)row * n + i];
  for (uint32_t b = 0; b < n / values && !natural; b++)
    plain_fit(f, w, b, grids, blocks + b * coder->block_bytes);
  for (uint32_t t = 0; t < n; t++) {
    uint32_t c = p->order[t];
    if (natural && c % values == 0)
      plain_fit(f, w, c / values, grids, blocks + c / values * coder->block_bytes);
    hb_grid grid = grids[c / coder->step];
    if (diagonal(f, c) == 0) {
      codes[c] = hb_nearest_code(coder, grid, 0);
      continue;
    }
    codes[c] = hb_nearest_code(coder, grid, (float)w[c]);
    double e = w[c] - hb_grid_value(coder, grid, codes[c]), d = inverse[(size_t)c * n + c];
    loss += e * e / d;
    for (uint32_t j = 0; j < n; j++) w[j] -= e / d * inverse[(size_t)c * n + j];
    for (uint32_t i = 0; i < n; i++) {
      double factor = inverse[(size_t)i * n + c] / d;
      if (i == c || factor == 0) continue;
      for (uint32_t j = 0; j < n; j++)
        inverse[(size_t)i * n + j] -= factor * inverse[(size_t)c * n + j];
    }
    for (uint32_t i = 0; i < n; i++) inverse[(size_t)i * n + c] = inverse[(size_t)c * n + i] = 0;
  }
  for (uint32_t b = 0; b < n / values; b++)
    coder->put(codes + b * values, blocks + b * coder->block_bytes);
  free(w);
  free(grids);
  free(codes);
  return loss;
}

static double plain_gptq(const fixture *f, bool natural, double damping, uint8_t *blocks) {
  uint32_t n = f->cols, live = 0;
  size_t bytes = (size_t)n * n * sizeof(double);
  double mean = 0, loss = 0, *h = malloc(bytes), *used = malloc(bytes);
  for (uint32_t i = 0; i < n; i++) mean += diagonal(f, i), live += diagonal(f, i) > 0;
  mean /= live;
  memcpy(h, f->gram, bytes);
  for (uint32_t i = 0; i < n; i++)
    h[(size_t)i * n + i] += diagonal(f, i) > 0 ? damping * mean : (1 + damping) * mean;
  plain p = {.f = f, .order = plain_order(f, natural), .inverse = inverse_of(h, n)};
  for (uint32_t row = 0; row < f->rows; row++) {
    memcpy(used, p.inverse, bytes);
    loss += plain_row(&p, row, used, natural, blocks + row * row_bytes(f));
  }
  free(h);
  free(used);
  free(p.order);
  free(p.inverse);
  return loss;
}

static void expect_plain(const hb_coder *coder, uint32_t rows, uint32_t cols, bool natural) {
  fixture f = fixture_random(coder, rows, cols);
  for (uint32_t i = 0; i < cols; i++) /* an input that is never there */
    f.gram[(size_t)i * cols + 3] = f.gram[3 * (size_t)cols + i] = 0;
  uint8_t *expected = calloc(rows, row_bytes(&f));
  double loss = plain_gptq(&f, natural, 0.01, expected);
  hb_matrix_job job = job_of(&f);
  hb_gptq_options options = {.order = natural ? HB_GPTQ_NATURAL : HB_GPTQ_FALLING};
  hb_gptq_report report;
  assert_int_equal(hb_matrix_gptq(&job, &options, &report, NULL), HB_OK);
  assert_true(report.damping == 0.01);
  assert_int_equal(report.natural_rows, natural ? rows : 0);
  if (fabs(report.loss - loss) > 1e-5 * loss) fail_msg("loss %g, not %g", report.loss, loss);
  if (natural) { /* grids are fitted to numbers that differ in their last bits */
    float *a = decoded(&f, expected), *b = decoded(&f, f.blocks);
    for (uint32_t i = 0; i < rows * cols; i++)
      if (fabsf(a[i] - b[i]) > 1e-4f * (1 + fabsf(a[i])))
        fail_msg("row %u: value %u is %g, not %g", i / cols, i % cols, (double)b[i], (double)a[i]);
    free(a);
    free(b);
  } else {
    assert_memory_equal(f.blocks, expected, rows * row_bytes(&f));
  }
  free(expected);
  fixture_release(&f);
}

static void it_is_what_updating_the_inverse_gives(void **state) {
  (void)state;
  for (int natural = 0; natural < 2; natural++) {
    expect_plain(&affine32, 50, 96, natural);
    expect_plain(&halves8, 3, 40, natural);
    expect_plain(&signed256, 2, 256, natural);
  }
  expect_plain(&signed256, 1, 512, false);
  expect_plain(&affine32, 1, 320, false);
}

static const hb_type stock[] = {HB_TYPE_Q4_0,  HB_TYPE_Q4_1,   HB_TYPE_Q5_0,   HB_TYPE_Q8_0,
                                HB_TYPE_Q2_K,  HB_TYPE_Q3_K,   HB_TYPE_Q4_K,   HB_TYPE_Q5_K,
                                HB_TYPE_Q6_K,  HB_TYPE_IQ4_NL, HB_TYPE_IQ4_XS, HB_TYPE_TQ1_0,
                                HB_TYPE_TQ2_0, HB_TYPE_MXFP4};

static void it_is_so_for_the_stock_types(void **state) {
  (void)state;
  for (size_t t = 0; t < sizeof stock / sizeof *stock; t++)
    expect_plain(hb_coder_of(stock[t]), 1, 256, false);
}

static void weights_become_what_the_blocks_stand_for(void **state) {
  (void)state;
  for (size_t t = 0; t < sizeof stock / sizeof *stock; t++) {
    fixture f = fixture_random(hb_coder_of(stock[t]), 3, 256);
    hb_matrix_job job = job_of(&f);
    hb_gptq_report report;
    assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &report, NULL), HB_OK);
    float *values = decoded(&f, f.blocks);
    assert_memory_equal(values, f.weights, (size_t)f.rows * f.cols * sizeof *values);
    free(values);
    fixture_release(&f);
  }
}

/* ---- Against rounding alone ---- */

static void expect_lower_error(const hb_coder *coder, double most) {
  fixture f = fixture_random(coder, 20, 512);
  hb_matrix_job job = job_of(&f);
  double error[3], fitted;
  for (int order = 0; order < 3; order++) {
    fixture g = fixture_copy(&f);
    hb_matrix_job compensated = job_of(&g);
    hb_gptq_report report;
    assert_int_equal(
        hb_matrix_gptq(&compensated, &(hb_gptq_options){.order = order}, &report, NULL), HB_OK);
    error[order] = output_error(&f, g.blocks);
    fixture_release(&g);
  }
  fixture g = fixture_copy(&f);
  job.weights = g.weights;
  assert_int_equal(hb_matrix_fit(&job, NULL), HB_OK);
  fitted = output_error(&f, f.blocks);
  for (int order = 0; order < 3; order++)
    if (!(error[order] < most * fitted))
      fail_msg("%s, order %d: %g, and fitted alone %g", hb_type_name(coder->type), order,
               error[order], fitted);
  fixture_release(&f);
  fixture_release(&g);
}

static void compensation_lowers_the_error_of_the_output(void **state) {
  (void)state;
  expect_lower_error(&affine32, 0.8);
  expect_lower_error(&halves8, 0.8);
  expect_lower_error(&signed256, 0.8);
  for (size_t t = 0; t < sizeof stock / sizeof *stock; t++)
    expect_lower_error(hb_coder_of(stock[t]), 0.8);
}

static void the_better_of_two_orders_is_taken_row_by_row(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 60, 128);
  fixture results[3];
  double losses[3];
  uint32_t natural = 0, taken = 0;
  for (int order = 0; order < 3; order++) {
    results[order] = fixture_copy(&f);
    hb_matrix_job job = job_of(&results[order]);
    hb_gptq_report report;
    assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){.order = order}, &report, NULL),
                     HB_OK);
    losses[order] = report.loss;
    taken = report.natural_rows;
  }
  size_t bytes = row_bytes(&f);
  for (uint32_t row = 0; row < f.rows; row++) {
    const uint8_t *got = results[HB_GPTQ_BETTER].blocks + row * bytes;
    bool is_natural = memcmp(got, results[HB_GPTQ_NATURAL].blocks + row * bytes, bytes) == 0;
    if (!is_natural) assert_memory_equal(got, results[HB_GPTQ_FALLING].blocks + row * bytes, bytes);
    natural += is_natural;
  }
  assert_true(natural > 0 && natural < f.rows);
  assert_int_equal(natural, taken);
  assert_true(losses[HB_GPTQ_BETTER] < losses[HB_GPTQ_FALLING]);
  assert_true(losses[HB_GPTQ_BETTER] < losses[HB_GPTQ_NATURAL]);
  for (int order = 0; order < 3; order++) fixture_release(&results[order]);
  fixture_release(&f);
}

static void the_loss_is_the_damped_error_of_the_output(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 7, 96), g = fixture_copy(&f);
  hb_matrix_job job = job_of(&g);
  hb_gptq_report report;
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &report, NULL), HB_OK);
  double mean = 0;
  for (uint32_t i = 0; i < f.cols; i++) mean += diagonal(&f, i) / f.cols;
  for (uint32_t i = 0; i < f.cols; i++) f.gram[(size_t)i * f.cols + i] += 0.01 * mean;
  double expected = output_error(&f, g.blocks);
  assert_true(fabs(report.loss - expected) < 1e-6 * expected);
  fixture_release(&f);
  fixture_release(&g);
}

/* ---- Inputs that say little ---- */

/* Whether the result is what rounding by importance alone gives. */
static bool is_plain_fit(const fixture *before, const fixture *after) {
  fixture f = fixture_copy(before);
  hb_matrix_job job = job_of(&f);
  assert_int_equal(hb_matrix_fit(&job, NULL), HB_OK);
  bool same = memcmp(f.blocks, after->blocks, f.rows * row_bytes(&f)) == 0;
  fixture_release(&f);
  return same;
}

static void inputs_without_correlation_give_plain_rounding(void **state) {
  (void)state;
  for (int order = 0; order < 3; order++) {
    fixture f = fixture_random(&signed256, 50, 512);
    for (uint32_t i = 0; i < f.cols; i++)
      for (uint32_t j = 0; j < f.cols; j++) f.gram[(size_t)i * f.cols + j] = i == j;
    fixture g = fixture_copy(&f);
    hb_matrix_job job = job_of(&g);
    hb_gptq_report report;
    assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){.order = order}, &report, NULL),
                     HB_OK);
    assert_true(is_plain_fit(&f, &g));
    fixture_release(&f);
    fixture_release(&g);
  }
}

static double damping_for(fixture *f, int order, bool *is_plain) {
  fixture g = fixture_copy(f);
  hb_matrix_job job = job_of(&g);
  hb_gptq_report report;
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){.order = order}, &report, NULL), HB_OK);
  *is_plain = is_plain_fit(f, &g);
  assert_true(isfinite(report.loss));
  for (size_t i = 0; i < (size_t)g.rows * g.cols; i++) assert_true(isfinite(g.weights[i]));
  fixture_release(&g);
  return report.damping;
}

static void damping_rises_until_the_matrix_is_positive_definite(void **state) {
  (void)state;
  /* With [1 c; c 1] among uncorrelated inputs c - 1 has to be added. */
  const struct {
    double covariance, damping;
  } cases[] = {{1.005, 0.01}, {1.05, 0.1}, {1.5, 1}, {2.5, 0}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
    for (int order = 0; order < 3; order++) {
      fixture f = fixture_random(&affine32, 5, 64);
      for (uint32_t i = 0; i < f.cols; i++)
        for (uint32_t j = 0; j < f.cols; j++) f.gram[(size_t)i * f.cols + j] = i == j;
      f.gram[10 * f.cols + 50] = f.gram[50 * f.cols + 10] = cases[c].covariance;
      bool is_plain;
      double damping = damping_for(&f, order, &is_plain);
      if (fabs(damping - cases[c].damping) > 1e-12)
        fail_msg("damping %g, not %g", damping, cases[c].damping);
      assert_int_equal(is_plain, cases[c].damping == 0);
      fixture_release(&f);
    }
}

static void a_method_notes_what_it_could_not_compensate(void **state) {
  (void)state;
  static const char *const names[] = {"gptq", "spqr"};
  for (int n = 0; n < 2; n++)
    for (int sound = 0; sound < 2; sound++) {
      fixture f = fixture_random(hb_coder_of(HB_TYPE_Q4_1), 5, 64);
      for (uint32_t i = 0; i < f.cols; i++)
        for (uint32_t j = 0; j < f.cols; j++) f.gram[(size_t)i * f.cols + j] = i == j;
      f.gram[10 * f.cols + 50] = f.gram[50 * f.cols + 10] = sound ? 0.5 : 8;
      hb_method method;
      hb_matrix_job job = job_of(&f);
      const char *note = NULL;
      uint32_t starts[6];
      uint16_t columns[8], values[8];
      hb_outliers outliers = {.starts = starts, .columns = columns, .values = values, .count = 2};
      assert_int_equal(hb_method_find(names[n], &method, NULL), HB_OK);
      assert_int_equal(
          hb_method_apply(&method, HB_TYPE_F32, &job, NULL, n == 1 ? &outliers : NULL, &note, NULL),
          HB_OK);
      assert_int_equal(note == NULL, sound);
      fixture_release(&f);
    }
}

static void fewer_inputs_than_columns_are_enough(void **state) {
  (void)state;
  for (int order = 0; order < 3; order++) {
    fixture f = fixture_random(&affine32, 50, 96);
    set_inputs(&f, 3);
    bool is_plain;
    assert_true(damping_for(&f, order, &is_plain) == 0.01);
    assert_false(is_plain);
    fixture_release(&f);
  }
}

static void statistics_that_say_nothing_give_plain_rounding(void **state) {
  (void)state;
  const double odd[] = {NAN, INFINITY, -INFINITY, 1e300};
  for (int order = 0; order < 3; order++) {
    bool is_plain;
    fixture f = fixture_random(&affine32, 50, 96), g = fixture_copy(&f);
    memset(g.gram, 0, (size_t)g.cols * g.cols * sizeof *g.gram);
    assert_true(damping_for(&g, order, &is_plain) == 0 && is_plain);
    fixture_release(&g);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
      for (int place = 0; place < 2; place++) { /* on the diagonal, and beside it */
        g = fixture_copy(&f);
        g.gram[40 * g.cols + 40 + place] = g.gram[(40 + place) * g.cols + 40] = odd[i];
        assert_true(damping_for(&g, order, &is_plain) == 0 && is_plain);
        fixture_release(&g);
      }
    fixture_release(&f);
  }
}

static void what_meets_no_input_does_not_matter(void **state) {
  (void)state;
  for (size_t t = 0; t < sizeof stock / sizeof *stock; t++)
    for (int order = 0; order < 3; order++) {
      fixture f = fixture_random(hb_coder_of(stock[t]), 2, 256), g;
      for (uint32_t i = 0; i < f.cols; i++)
        f.gram[(size_t)i * f.cols + 70] = f.gram[70 * (size_t)f.cols + i] = 0;
      f.importance[70] = 0;
      g = fixture_copy(&f);
      for (uint32_t row = 0; row < f.rows; row++) g.weights[row * f.cols + 70] = 1e20f;
      hb_matrix_job a = job_of(&f), b = job_of(&g);
      hb_gptq_report report;
      hb_gptq_options options = {.order = order};
      assert_int_equal(hb_matrix_gptq(&a, &options, &report, NULL), HB_OK);
      assert_int_equal(hb_matrix_gptq(&b, &options, &report, NULL), HB_OK);
      if (memcmp(f.blocks, g.blocks, f.rows * row_bytes(&f)) != 0)
        fail_msg("%s, order %d", hb_type_name(stock[t]), order);
      fixture_release(&f);
      fixture_release(&g);
    }
}

/* ---- Threads, mistakes, memory ---- */

static void threads_do_not_show(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  for (int order = 0; order < 3; order++) {
    fixture f = fixture_random(&affine32, 200, 160), g = fixture_copy(&f);
    hb_matrix_job one = job_of(&f), three = job_of(&g);
    three.parallel = hb_threads_parallel(threads);
    hb_gptq_report a, b;
    assert_int_equal(hb_matrix_gptq(&one, &(hb_gptq_options){.order = order}, &a, NULL), HB_OK);
    assert_int_equal(hb_matrix_gptq(&three, &(hb_gptq_options){.order = order}, &b, NULL), HB_OK);
    assert_memory_equal(f.blocks, g.blocks, f.rows * row_bytes(&f));
    assert_memory_equal(f.weights, g.weights, (size_t)f.rows * f.cols * sizeof(float));
    assert_true(a.loss == b.loss);
    fixture_release(&f);
    fixture_release(&g);
  }
  hb_threads_destroy(threads);
}

static void what_cannot_be_done_is_refused(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 3, 64);
  hb_matrix_job job = job_of(&f);
  hb_gptq_report report;
  hb_error error = {0};
  job.gram = NULL;
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &report, &error), HB_ARGUMENT);
  job = job_of(&f);
  job.cols = 63;
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &report, &error), HB_ARGUMENT);
  job = job_of(&f);
  f.weights[2 * 64 + 7] = INFINITY;
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &report, &error), HB_MODEL);
  assert_string_equal(error.message, "row 2: value 7 is no finite number");
  fixture_release(&f);
}

static void every_lack_of_memory_is_told(void **state) {
  (void)state;
  for (int order = 0; order < 3; order++) {
    hb_status status = HB_MEMORY;
    for (int allowed = 0; status != HB_OK; allowed++) {
      fixture f = fixture_random(&affine32, 50, 64);
      budget b = {.left = allowed};
      const hb_allocator allocator = {&b, allocate_within, release_counted};
      hb_matrix_job job = job_of(&f);
      job.allocator = &allocator;
      hb_gptq_report report;
      status = hb_matrix_gptq(&job, &(hb_gptq_options){.order = order}, &report, NULL);
      assert_true(status == HB_OK || status == HB_MEMORY);
      assert_int_equal(b.held, 0);
      assert_true(allowed < 50);
      fixture_release(&f);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_second_of_two_weights_makes_good_for_the_first),
      cmocka_unit_test(it_is_what_updating_the_inverse_gives),
      cmocka_unit_test(it_is_so_for_the_stock_types),
      cmocka_unit_test(weights_become_what_the_blocks_stand_for),
      cmocka_unit_test(compensation_lowers_the_error_of_the_output),
      cmocka_unit_test(the_better_of_two_orders_is_taken_row_by_row),
      cmocka_unit_test(the_loss_is_the_damped_error_of_the_output),
      cmocka_unit_test(inputs_without_correlation_give_plain_rounding),
      cmocka_unit_test(damping_rises_until_the_matrix_is_positive_definite),
      cmocka_unit_test(a_method_notes_what_it_could_not_compensate),
      cmocka_unit_test(fewer_inputs_than_columns_are_enough),
      cmocka_unit_test(statistics_that_say_nothing_give_plain_rounding),
      cmocka_unit_test(what_meets_no_input_does_not_matter),
      cmocka_unit_test(threads_do_not_show),
      cmocka_unit_test(what_cannot_be_done_is_refused),
      cmocka_unit_test(every_lack_of_memory_is_told),
  };
  return cmocka_run_group_tests_name("gptq", tests, NULL, NULL);
}
