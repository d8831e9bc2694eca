/* Products, solutions and what weights are moved by: bit for bit what their definitions say,
 * whatever the threads, and solutions of what they claim to solve. */
#include "numbers.h"

#include "compress/dense.h"
#include "compress/product.h"

static uint64_t seed = 20261122;

static float *floats(size_t count) {
  float *x = malloc(count * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < count; i++) x[i] = uniform(&seed, -1, 1);
  return x;
}

static double *zeros(size_t count) {
  double *x = calloc(count, sizeof *x);
  assert_non_null(x);
  return x;
}

static const hb_parallel *three_threads(hb_threads **threads) {
  assert_int_equal(hb_threads_create(3, threads, NULL), HB_OK);
  return hb_threads_parallel(*threads);
}

/* ---- Sums ---- */

static void a_drift_is_the_plain_sum_however_it_is_cut_and_divided(void **state) {
  (void)state;
  static const uint32_t sizes[] = {8, 24, 40, 104};
  static const uint32_t counts[] = {1, 127, 128, 300};
  hb_threads *threads;
  const hb_parallel *parallel = three_threads(&threads);
  for (int s = 0; s < 4; s++)
    for (int c = 0; c < 4; c++) {
      uint32_t n = sizes[s], count = counts[c], stride = hb_product_stride(n), cut = count / 3;
      size_t apart = n + 5;
      float *x = floats(count * apart), *y = floats(count * apart);
      double *got = zeros((size_t)n * stride);
      assert_int_equal(hb_product_add_drift(NULL, parallel, got, n, x, apart, y, apart, cut, NULL),
                       HB_OK);
      assert_int_equal(hb_product_add_drift(NULL, NULL, got, n, x + cut * apart, apart,
                                            y + cut * apart, apart, count - cut, NULL),
                       HB_OK);
      for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < stride; j++) {
          double sum = 0;
          for (uint32_t k = 0; j < n && k < count; k++)
            sum += ((double)x[k * apart + i] - y[k * apart + i]) * y[k * apart + j];
          assert_true(got[(size_t)i * stride + j] == sum);
        }
      free(x);
      free(y);
      free(got);
    }
  hb_threads_destroy(threads);
}

/* ---- Solutions ---- */

/* E[y y^T] and a little on its diagonal, and its factor. */
static void factored(const float *y, uint32_t n, uint32_t count, double *a, double *factor) {
  uint32_t found;
  assert_int_equal(hb_gram_add(NULL, NULL, a, n, y, n, count, NULL), HB_OK);
  hb_gram_finish(NULL, a, n, count);
  for (uint32_t i = 0; i < n; i++) a[(size_t)i * n + i] += 1e-9;
  memcpy(factor, a, (size_t)n * n * sizeof *a);
  assert_int_equal(hb_cholesky(NULL, NULL, factor, n, &found, NULL), HB_OK);
  assert_int_equal(found, n);
}

static void a_solution_times_its_matrix_is_what_was_asked_for(void **state) {
  (void)state;
  static const uint32_t sizes[] = {8, 16, 24, 56, 136};
  hb_threads *threads;
  const hb_parallel *parallel = three_threads(&threads);
  for (int s = 0; s < 5; s++) {
    uint32_t n = sizes[s], stride = hb_product_stride(n);
    float *y = floats((size_t)2 * n * n), *b = floats((size_t)n * n);
    double *a = zeros((size_t)n * n), *factor = zeros((size_t)n * n);
    double *x = zeros((size_t)n * stride), *divided = zeros((size_t)n * stride);
    factored(y, n, 2 * n, a, factor);
    for (uint32_t i = 0; i < n; i++)
      for (uint32_t j = 0; j < n; j++) x[(size_t)i * stride + j] = b[(size_t)i * n + j];
    memcpy(divided, x, (size_t)n * stride * sizeof *x);
    assert_int_equal(hb_product_solve(NULL, NULL, factor, n, x, NULL), HB_OK);
    assert_int_equal(hb_product_solve(NULL, parallel, factor, n, divided, NULL), HB_OK);
    assert_memory_equal(x, divided, (size_t)n * stride * sizeof *x);
    for (uint32_t i = 0; i < n; i++)
      for (uint32_t j = 0; j < n; j++) {
        double sum = 0;
        for (uint32_t k = 0; k < n; k++) sum += x[(size_t)i * stride + k] * a[(size_t)k * n + j];
        /* the condition of a, some thousands, times the rounding of doubles */
        assert_true(fabs(sum - b[(size_t)i * n + j]) < 1e-10);
      }
    free(y);
    free(b);
    free(a);
    free(factor);
    free(x);
    free(divided);
  }
  hb_threads_destroy(threads);
}

/* ---- Weights ---- */

static void weights_move_by_themselves_times_the_matrix(void **state) {
  (void)state;
  static const uint32_t sizes[] = {8, 40, 72}, rows[] = {1, 8, 29};
  hb_threads *threads;
  const hb_parallel *parallel = three_threads(&threads);
  for (int s = 0; s < 3; s++) {
    uint32_t n = sizes[s], stride = hb_product_stride(n);
    float *w = floats((size_t)rows[s] * n), *from = floats((size_t)n * n);
    float *moved = malloc((size_t)rows[s] * n * sizeof *w);
    double *m = zeros((size_t)n * stride);
    for (uint32_t i = 0; i < n; i++)
      for (uint32_t j = 0; j < n; j++) m[(size_t)i * stride + j] = from[(size_t)i * n + j];
    memcpy(moved, w, (size_t)rows[s] * n * sizeof *w);
    assert_int_equal(hb_product_move(NULL, s == 0 ? NULL : parallel, m, n, moved, rows[s], NULL),
                     HB_OK);
    for (uint32_t r = 0; r < rows[s]; r++)
      for (uint32_t j = 0; j < n; j++) {
        double sum = 0;
        for (uint32_t k = 0; k < n; k++)
          sum += (double)w[(size_t)r * n + k] * from[(size_t)k * n + j];
        assert_true(moved[(size_t)r * n + j] == (float)(w[(size_t)r * n + j] + sum));
      }
    free(w);
    free(from);
    free(moved);
    free(m);
  }
  hb_threads_destroy(threads);
}

/* Mean square of w x - v y over `count` inputs. */
static double off(const float *w, const float *x, const float *v, const float *y, uint32_t n,
                  uint32_t count) {
  double squares = 0;
  for (uint32_t k = 0; k < count; k++) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
      sum += (double)w[i] * x[(size_t)k * n + i] - (double)v[i] * y[(size_t)k * n + i];
    squares += sum * sum;
  }
  return squares / count;
}

/* y is x, disturbed in proportion to another input: of that, weights can make good. */
static void moved_weights_make_good_for_what_inputs_lost(void **state) {
  (void)state;
  enum { N = 32, COUNT = 400 };
  float *x = floats(COUNT * N), *y = malloc(COUNT * N * sizeof *y), *w = floats(N), v[N];
  uint32_t stride = hb_product_stride(N);
  double *m = zeros((size_t)N * stride), *a = zeros(N * N), *factor = zeros(N * N);
  for (uint32_t k = 0; k < COUNT; k++)
    for (uint32_t i = 0; i < N; i++)
      y[k * N + i] = x[k * N + i] + 0.2f * x[k * N + (i + 5) % N] + uniform(&seed, -0.02f, 0.02f);
  assert_int_equal(hb_product_add_drift(NULL, NULL, m, N, x, N, y, N, COUNT, NULL), HB_OK);
  for (size_t i = 0; i < (size_t)N * stride; i++) m[i] /= COUNT;
  factored(y, N, COUNT, a, factor);
  assert_int_equal(hb_product_solve(NULL, NULL, factor, N, m, NULL), HB_OK);
  memcpy(v, w, sizeof v);
  assert_int_equal(hb_product_move(NULL, NULL, m, N, v, 1, NULL), HB_OK);
  double least = off(w, x, v, y, N, COUNT);
  assert_true(least < 0.02 * off(w, x, w, y, N, COUNT));
  for (int i = 0; i < N; i++) /* and nothing near is better */
    for (int sign = -1; sign <= 1; sign += 2) {
      float near[N];
      memcpy(near, v, sizeof near);
      near[i] += sign * 0.01f;
      assert_true(off(w, x, near, y, N, COUNT) > least);
    }
  free(x);
  free(y);
  free(w);
  free(m);
  free(a);
  free(factor);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_drift_is_the_plain_sum_however_it_is_cut_and_divided),
      cmocka_unit_test(a_solution_times_its_matrix_is_what_was_asked_for),
      cmocka_unit_test(weights_move_by_themselves_times_the_matrix),
      cmocka_unit_test(moved_weights_make_good_for_what_inputs_lost),
  };
  return cmocka_run_group_tests_name("product", tests, NULL, NULL);
}
