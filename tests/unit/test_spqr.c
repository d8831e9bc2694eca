/* SpQR: which weights become outliers, by brute force; that blocks and outliers together lie closer
 * than blocks alone; and that there are exactly as many as were asked for. */
#include "matrix_support.h"

#include "compress/gptq.h"
#include "compress/spqr.h"

static hb_outliers outliers_for(const fixture *f, double fraction) {
  hb_outliers o = {0};
  assert_int_equal(hb_outlier_count(f->rows, f->cols, fraction, &o.count, NULL), HB_OK);
  o.starts = calloc(f->rows + 1, sizeof *o.starts);
  o.columns = calloc(o.count + 1u, sizeof *o.columns);
  o.values = calloc(o.count + 1u, sizeof *o.values);
  return o;
}

static void outliers_release(hb_outliers *o) {
  free(o->starts);
  free(o->columns);
  free(o->values);
}

static hb_outliers spqr(fixture *f, double fraction, hb_spqr_report *report) {
  hb_outliers o = outliers_for(f, fraction);
  hb_matrix_job job = job_of(f);
  uint32_t count = o.count;
  assert_int_equal(hb_matrix_spqr(&job, &(hb_spqr_options){.fraction = fraction}, &o, report, NULL),
                   HB_OK);
  assert_int_equal(o.count, count);
  return o;
}

/* ---- Leaving one out ---- */

static double group_error(const hb_coder *c, const float *x, const double *cost, uint32_t except) {
  float low = 0, high = 0;
  for (uint32_t i = 0; i < c->step; i++) {
    if (i != except && x[i] < low) low = x[i];
    if (i != except && x[i] > high) high = x[i];
  }
  hb_grid grid = {0, 0};
  if (c->first == 0 && !c->table) { /* low and high are values */
    grid = (hb_grid){(high - low) / (float)(c->levels - 1), low};
  } else { /* the larger one is the value of the level furthest from 0 */
    float level = c->table ? c->table[0] : c->first;
    grid.scale = (high > -low ? high : low) / level;
  }
  double sum = 0;
  for (uint32_t i = 0; i < c->step; i++) {
    double least = INFINITY;
    for (uint32_t q = 0; q < c->levels && i != except; q++) {
      double d = (double)x[i] - hb_grid_value(c, grid, (uint8_t)q);
      if (d * d < least) least = d * d;
    }
    if (i != except) sum += cost[i] * least;
  }
  return sum;
}

static void leaving_one_out_is_fitting_the_others_alone(void **state) {
  (void)state;
  const hb_coder *const coders[] = {&affine32,
                                    &halves8,
                                    &signed256,
                                    hb_coder_of(HB_TYPE_Q4_0),
                                    hb_coder_of(HB_TYPE_Q4_1),
                                    hb_coder_of(HB_TYPE_Q3_K),
                                    hb_coder_of(HB_TYPE_IQ4_NL)};
  uint64_t seed = 9;
  for (size_t c = 0; c < sizeof coders / sizeof *coders; c++)
    for (int round = 0; round < 40; round++) {
      uint32_t step = coders[c]->step;
      float x[HB_CODER_MOST_VALUES];
      double cost[HB_CODER_MOST_VALUES], falls[HB_CODER_MOST_VALUES];
      for (uint32_t i = 0; i < step; i++) {
        x[i] = uniform(&seed, -1, 1);
        cost[i] = uniform(&seed, 0, 2);
      }
      if (round % 4 == 1) x[1] = x[2] = 3;  /* a shared end */
      if (round % 4 == 2) x[step - 1] = -9; /* a lonely one */
      if (round % 4 == 3) memset(x, 0, sizeof x);
      hb_leave_one_out(coders[c], x, cost, falls);
      double all = group_error(coders[c], x, cost, step);
      for (uint32_t i = 0; i < step; i++) {
        double expected = all - group_error(coders[c], x, cost, i);
        if (fabs(falls[i] - expected) > 1e-9 * (1 + all))
          fail_msg("coder %zu, round %d, weight %u: %g, not %g", c, round, i, falls[i], expected);
      }
    }
}

/* ---- Which and how many ---- */

static void there_are_exactly_as_many_as_asked_for_in_order(void **state) {
  (void)state;
  const double fractions[] = {0, 0.0001, 0.01, 0.3, 1};
  for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++) {
    fixture f = fixture_random(&affine32, 61, 96);
    hb_spqr_report report;
    hb_outliers o = spqr(&f, fractions[i], &report);
    assert_int_equal(o.count, (uint32_t)(fractions[i] * 61 * 96));
    assert_int_equal(o.starts[0], 0);
    assert_int_equal(o.starts[f.rows], o.count);
    for (uint32_t row = 0; row < f.rows; row++) {
      assert_true(o.starts[row] <= o.starts[row + 1]);
      for (uint32_t k = o.starts[row]; k < o.starts[row + 1]; k++) {
        assert_true(o.columns[k] < f.cols);
        if (k > o.starts[row]) assert_true(o.columns[k - 1] < o.columns[k]);
      }
    }
    outliers_release(&o);
    fixture_release(&f);
  }
}

static void those_that_stand_out_are_taken(void **state) {
  (void)state;
  fixture f = fixture_random(&signed256, 50, 512);
  const uint32_t planted[][2] = {{0, 5}, {7, 0}, {7, 511}, {49, 300}};
  for (uint32_t i = 0; i < f.cols; i++) /* all columns alike */
    for (uint32_t j = 0; j < f.cols; j++) f.gram[(size_t)i * f.cols + j] = i == j;
  for (int i = 0; i < 4; i++) f.weights[planted[i][0] * f.cols + planted[i][1]] = 40;
  hb_spqr_report report;
  hb_outliers o = spqr(&f, 4.0 / (50 * 512), &report);
  uint32_t at = 0;
  assert_int_equal(o.count, 4);
  for (uint32_t row = 0; row < f.rows; row++)
    for (; at < o.starts[row + 1]; at++) {
      assert_int_equal(row, planted[at][0]);
      assert_int_equal(o.columns[at], planted[at][1]);
    }
  outliers_release(&o);
  fixture_release(&f);
}

static void of_equal_weights_the_first_are_taken(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 3, 64);
  memset(f.weights, 0, 3 * 64 * sizeof *f.weights);
  hb_spqr_report report;
  hb_outliers o = spqr(&f, 70.0 / (3 * 64), &report);
  assert_int_equal(o.count, 70);
  for (uint32_t i = 0; i < 70; i++) assert_int_equal(o.columns[i], i % 64);
  assert_int_equal(o.starts[2], 70);
  outliers_release(&o);
  fixture_release(&f);
}

/* ---- What they stand for ---- */

/* Blocks decoded, and outliers added exactly. */
static double *together(const fixture *f, const hb_outliers *o) {
  float *dense = decoded(f, f->blocks);
  double *sum = malloc((size_t)f->rows * f->cols * sizeof *sum);
  for (size_t i = 0; i < (size_t)f->rows * f->cols; i++) sum[i] = dense[i];
  for (uint32_t row = 0; row < f->rows; row++)
    for (uint32_t k = o->starts[row]; k < o->starts[row + 1]; k++)
      sum[(size_t)row * f->cols + o->columns[k]] += hb_f32_of_f16(o->values[k]);
  free(dense);
  return sum;
}

static double error_together(const fixture *f, const double *values) {
  double sum = 0;
  for (uint32_t row = 0; row < f->rows; row++)
    for (uint32_t i = 0; i < f->cols; i++)
      for (uint32_t j = 0; j < f->cols; j++) {
        size_t a = (size_t)row * f->cols + i, b = (size_t)row * f->cols + j;
        sum += (f->weights[a] - values[a]) * f->gram[(size_t)i * f->cols + j] *
               (f->weights[b] - values[b]);
      }
  return sum;
}

static void outliers_lower_the_error_of_the_output(void **state) {
  (void)state;
  const hb_coder *const coders[] = {&affine32, &signed256, hb_coder_of(HB_TYPE_Q4_0),
                                    hb_coder_of(HB_TYPE_Q3_K)};
  for (size_t c = 0; c < sizeof coders / sizeof *coders; c++) {
    fixture f = fixture_random(coders[c], 30, 256), g = fixture_copy(&f), h = fixture_copy(&f);
    hb_matrix_job dense = job_of(&h);
    hb_gptq_report alone;
    assert_int_equal(hb_matrix_gptq(&dense, &(hb_gptq_options){0}, &alone, NULL), HB_OK);
    hb_spqr_report report;
    hb_outliers o = spqr(&g, 0.02, &report);
    double *values = together(&g, &o);
    double error = error_together(&f, values), without = output_error(&f, h.blocks);
    if (!(error < 0.85 * without)) fail_msg("coder %zu: %g, without %g", c, error, without);
    if (coders[c]->type != HB_TYPE_F32)
      for (size_t i = 0; i < (size_t)f.rows * f.cols; i++)
        assert_true(g.weights[i] == (float)values[i]);

    double mean = 0; /* the loss is that of the damped matrix, with the outliers as stored */
    for (uint32_t i = 0; i < f.cols; i++) mean += diagonal(&f, i) / f.cols;
    for (uint32_t i = 0; i < f.cols; i++) f.gram[(size_t)i * f.cols + i] += 0.01 * mean;
    double damped = error_together(&f, values);
    assert_true(fabs(report.loss - damped) < 1e-6 * damped);
    free(values);
    outliers_release(&o);
    fixture_release(&f);
    fixture_release(&g);
    fixture_release(&h);
  }
}

static void the_block_below_an_outlier_is_as_good_as_zero(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 10, 64);
  hb_spqr_report report;
  hb_outliers o = spqr(&f, 0.05, &report);
  float *dense = decoded(&f, f.blocks);
  for (uint32_t row = 0; row < f.rows; row++)
    for (uint32_t k = o.starts[row]; k < o.starts[row + 1]; k++) {
      uint32_t column = o.columns[k];
      hb_grid grid;
      affine32.grids(f.blocks + row * row_bytes(&f) + column / 32 * affine32.block_bytes, &grid);
      float least = INFINITY;
      for (int q = 0; q < affine32.levels; q++)
        least = fminf(least, fabsf(hb_grid_value(&affine32, grid, (uint8_t)q)));
      assert_true(fabsf(dense[(size_t)row * f.cols + column]) == least);
    }
  free(dense);
  outliers_release(&o);
  fixture_release(&f);
}

static void without_outliers_it_is_gptq(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 50, 96), g = fixture_copy(&f);
  hb_matrix_job job = job_of(&g);
  hb_gptq_report gptq;
  hb_spqr_report report;
  assert_int_equal(hb_matrix_gptq(&job, &(hb_gptq_options){0}, &gptq, NULL), HB_OK);
  hb_outliers o = spqr(&f, 0, &report);
  assert_memory_equal(f.blocks, g.blocks, f.rows * row_bytes(&f));
  assert_true(report.loss == gptq.loss && report.damping == gptq.damping);
  outliers_release(&o);
  fixture_release(&f);
  fixture_release(&g);
}

static void what_meets_no_input_is_no_outlier(void **state) {
  (void)state;
  fixture f = fixture_random(hb_coder_of(HB_TYPE_Q4_K), 3, 256), g;
  for (uint32_t i = 0; i < f.cols; i++)
    f.gram[(size_t)i * f.cols + 70] = f.gram[70 * (size_t)f.cols + i] = 0;
  g = fixture_copy(&f);
  g.weights[70] = 1e20f;
  hb_spqr_report report;
  hb_outliers a = spqr(&f, 0.02, &report), b = spqr(&g, 0.02, &report);
  assert_memory_equal(f.blocks, g.blocks, f.rows * row_bytes(&f));
  assert_memory_equal(a.columns, b.columns, a.count * sizeof *a.columns);
  assert_memory_equal(a.values, b.values, a.count * sizeof *a.values);
  outliers_release(&a);
  outliers_release(&b);
  fixture_release(&f);
  fixture_release(&g);
}

/* Beyond the range of half precision the rest is left, and made good for. */
static void outliers_beyond_half_precision_are_cut(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 1, 32);
  f.weights[3] = 1e6f;
  f.weights[4] = -1e6f;
  hb_spqr_report report;
  hb_outliers o = spqr(&f, 2.0 / 32, &report);
  assert_int_equal(o.columns[0], 3);
  assert_int_equal(o.columns[1], 4);
  assert_int_equal(o.values[0], 0x7bff);
  assert_int_equal(o.values[1], 0xfbff);
  assert_true(isfinite(report.loss));
  outliers_release(&o);
  fixture_release(&f);
}

/* ---- Little to go by, threads, mistakes, memory ---- */

static void statistics_that_say_nothing_still_give_outliers(void **state) {
  (void)state;
  fixture f = fixture_random(&affine32, 50, 64);
  memset(f.gram, 0, 64 * 64 * sizeof *f.gram);
  f.gram[70] = NAN;
  f.weights[3 * 64 + 9] = 50;
  hb_spqr_report report;
  hb_outliers o = spqr(&f, 10.0 / (50 * 64), &report);
  assert_true(report.damping == 0 && report.loss == 0);
  assert_int_equal(o.starts[f.rows], 10);
  bool found = false;
  for (uint32_t k = o.starts[3]; k < o.starts[4]; k++) found |= o.columns[k] == 9;
  assert_true(found);
  outliers_release(&o);
  fixture_release(&f);
}

static void threads_do_not_show(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  fixture f = fixture_random(&affine32, 200, 96), g = fixture_copy(&f);
  hb_matrix_job job = job_of(&g);
  job.parallel = hb_threads_parallel(threads);
  hb_spqr_report a, b;
  hb_outliers one = spqr(&f, 0.03, &a), three = outliers_for(&g, 0.03);
  assert_int_equal(hb_matrix_spqr(&job, &(hb_spqr_options){.fraction = 0.03}, &three, &b, NULL),
                   HB_OK);
  assert_memory_equal(f.blocks, g.blocks, f.rows * row_bytes(&f));
  assert_memory_equal(one.starts, three.starts, (f.rows + 1) * sizeof *one.starts);
  assert_memory_equal(one.columns, three.columns, one.count * sizeof *one.columns);
  assert_memory_equal(one.values, three.values, one.count * sizeof *one.values);
  assert_true(a.loss == b.loss);
  outliers_release(&one);
  outliers_release(&three);
  fixture_release(&f);
  fixture_release(&g);
  hb_threads_destroy(threads);
}

static void what_cannot_be_done_is_refused(void **state) {
  (void)state;
  const double odd[] = {-0.1, 1.01, NAN, INFINITY};
  uint32_t count;
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    assert_int_equal(hb_outlier_count(2, 2, odd[i], &count, NULL), HB_ARGUMENT);
  assert_int_equal(hb_outlier_count(65536, 65536, 1, &count, NULL), HB_ARGUMENT);
  assert_int_equal(hb_outlier_count(65536, 65535, 1, &count, NULL), HB_OK);

  double gram = 1; /* not looked at: columns are numbered in 16 bits */
  float *weights = calloc(65568, sizeof *weights);
  hb_matrix_job job = {.coder = &affine32, .rows = 1, .cols = 65568, .weights = weights};
  job.gram = &gram;
  hb_outliers o = {0};
  hb_spqr_report report;
  assert_int_equal(hb_matrix_spqr(&job, &(hb_spqr_options){0}, &o, &report, NULL), HB_UNSUPPORTED);
  free(weights);
}

static void every_lack_of_memory_is_told(void **state) {
  (void)state;
  hb_status status = HB_MEMORY;
  for (int allowed = 0; status != HB_OK; allowed++) {
    fixture f = fixture_random(&affine32, 50, 64);
    budget b = {.left = allowed};
    const hb_allocator allocator = {&b, allocate_within, release_counted};
    hb_matrix_job job = job_of(&f);
    job.allocator = &allocator;
    hb_outliers o = outliers_for(&f, 0.01);
    hb_spqr_report report;
    status = hb_matrix_spqr(&job, &(hb_spqr_options){.fraction = 0.01}, &o, &report, NULL);
    assert_true(status == HB_OK || status == HB_MEMORY);
    assert_int_equal(b.held, 0);
    assert_true(allowed < 50);
    outliers_release(&o);
    fixture_release(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(leaving_one_out_is_fitting_the_others_alone),
      cmocka_unit_test(there_are_exactly_as_many_as_asked_for_in_order),
      cmocka_unit_test(those_that_stand_out_are_taken),
      cmocka_unit_test(of_equal_weights_the_first_are_taken),
      cmocka_unit_test(outliers_lower_the_error_of_the_output),
      cmocka_unit_test(the_block_below_an_outlier_is_as_good_as_zero),
      cmocka_unit_test(without_outliers_it_is_gptq),
      cmocka_unit_test(what_meets_no_input_is_no_outlier),
      cmocka_unit_test(outliers_beyond_half_precision_are_cut),
      cmocka_unit_test(statistics_that_say_nothing_still_give_outliers),
      cmocka_unit_test(threads_do_not_show),
      cmocka_unit_test(what_cannot_be_done_is_refused),
      cmocka_unit_test(every_lack_of_memory_is_told),
  };
  return cmocka_run_group_tests_name("spqr", tests, NULL, NULL);
}
