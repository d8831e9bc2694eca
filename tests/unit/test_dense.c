/* Products, Gram matrices and Cholesky factors in double: bit for bit what their definitions say,
 * whatever the blocks, threads and instruction set; and close to LAPACK's. */
#include "numbers.h"

#include "compress/dense.h"
#include "compress/tile.h"

#ifdef HB_LAPACKE
#include <lapacke.h>
#endif

static uint64_t seed = 20261121;

static double *square_of(size_t n) {
  double *a = calloc(n * n, sizeof *a);
  assert_non_null(a);
  return a;
}

static double *copy_of(const double *a, size_t n) {
  double *b = square_of(n);
  memcpy(b, a, n * n * sizeof *a);
  return b;
}

static float *inputs(size_t count) {
  float *x = malloc(count * sizeof *x + 1);
  assert_non_null(x);
  fill(x, count, USUAL, &seed);
  return x;
}

/* A positive definite matrix: products of more rows than columns. */
static double *positive_definite(uint32_t n) {
  uint32_t rows = n + 8;
  double *a = square_of(n);
  float *x = inputs((size_t)rows * n);
  assert_int_equal(hb_gram_add(NULL, NULL, a, n, x, n, rows, NULL), HB_OK);
  hb_gram_finish(NULL, a, n, rows);
  free(x);
  return a;
}

static void expect_same_doubles(const char *what, uint32_t n, const double *got,
                                const double *expected) {
  for (size_t i = 0; i < (size_t)n * n; i++)
    if (memcmp(&got[i], &expected[i], sizeof *got) != 0)
      fail_msg("%s, n = %u: [%zu][%zu] is %a, not %a", what, n, i / n, i % n, got[i], expected[i]);
}

/* ---- Tiles ---- */

static void every_instruction_set_gives_the_same_tile(void **state) {
  (void)state;
  enum { COUNT = 50, A_STRIDE = 9, B_STRIDE = 31, C_STRIDE = 25 };
  double a[COUNT * A_STRIDE], b[COUNT * B_STRIDE], c[HB_TILE_ROWS * C_STRIDE];
  float random;
  for (size_t i = 0; i < COUNT * A_STRIDE; i++) fill(&random, 1, WIDE, &seed), a[i] = random;
  for (size_t i = 0; i < COUNT * B_STRIDE; i++) fill(&random, 1, WIDE, &seed), b[i] = random;
  for (size_t i = 0; i < HB_TILE_ROWS * C_STRIDE; i++) c[i] = (double)i;
  for (int subtract = 0; subtract < 2; subtract++) {
    double expected[HB_TILE_ROWS * C_STRIDE];
    memcpy(expected, c, sizeof c);
    for (int i = 0; i < HB_TILE_ROWS; i++)
      for (int j = 0; j < HB_TILE_COLS; j++)
        for (int k = 0; k < COUNT; k++) {
          double product = a[k * A_STRIDE + i] * b[k * B_STRIDE + j];
          expected[i * C_STRIDE + j] += subtract ? -product : product;
        }
    for (int isa = 0; isa < ISA_COUNT; isa++) {
      if (!hb_isa_available((hb_isa)isa)) continue;
      double got[HB_TILE_ROWS * C_STRIDE];
      memcpy(got, c, sizeof c);
      hb_tiles tiles = hb_tiles_for((hb_isa)isa);
      (subtract ? tiles.subtract
                : tiles.add)(&(hb_tile){a, b, got, A_STRIDE, B_STRIDE, C_STRIDE, COUNT});
      assert_memory_equal(got, expected, sizeof got);
    }
  }
}

/* ---- Gram matrices ---- */

static double *plain_gram(const float *x, size_t stride, uint32_t n, uint32_t count) {
  double *gram = square_of(n);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t j = 0; j < n; j++) {
      double sum = 0;
      for (uint32_t k = 0; k < count; k++)
        sum += (double)x[k * stride + i] * (double)x[k * stride + j];
      gram[(size_t)i * n + j] = sum / count;
    }
  return gram;
}

static void a_gram_matrix_is_the_plain_sum_however_rows_are_cut_and_divided(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, 7, 8, 23, 24, 25, 47, 96, 130};
  static const uint32_t counts[] = {1, 5, 256, 257, 600};
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
      uint32_t n = sizes[s], count = counts[c], cut = count / 3;
      size_t stride = n + 3;
      float *x = inputs(count * stride);
      double *expected = plain_gram(x, stride, n, count), *got = square_of(n);
      assert_int_equal(hb_gram_add(NULL, NULL, got, n, x, stride, count, NULL), HB_OK);
      hb_gram_finish(NULL, got, n, count);
      expect_same_doubles("one thread", n, got, expected);
      const hb_parallel *parallel = hb_threads_parallel(threads);
      memset(got, 0, sizeof *got * n * n);
      assert_int_equal(hb_gram_add(NULL, parallel, got, n, x, stride, cut, NULL), HB_OK);
      assert_int_equal(
          hb_gram_add(NULL, parallel, got, n, x + cut * stride, stride, count - cut, NULL), HB_OK);
      hb_gram_finish(parallel, got, n, count);
      expect_same_doubles("three threads, two calls", n, got, expected);
      free(x);
      free(expected);
      free(got);
    }
  hb_threads_destroy(threads);
}

/* ---- Cholesky ---- */

/* The definition in dense.h, with L^T above the diagonal. */
static double *plain_cholesky(const double *a, uint32_t n) {
  double *l = square_of(n);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t j = 0; j <= i; j++) {
      double sum = a[(size_t)i * n + j];
      for (uint32_t k = 0; k < j; k++) sum -= l[(size_t)i * n + k] * l[(size_t)j * n + k];
      sum = i == j ? sqrt(sum) : sum / l[(size_t)j * n + j];
      l[(size_t)i * n + j] = l[(size_t)j * n + i] = sum;
    }
  return l;
}

static void a_factor_is_what_its_formula_gives_for_any_blocks_and_threads(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, 2, 8, 23, 24, 25, 95, 96, 97, 120, 191, 192, 193, 330};
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    uint32_t n = sizes[s], found = 0;
    double *a = positive_definite(n), *expected = plain_cholesky(a, n);
    for (int t = 0; t < 2; t++) {
      double *got = copy_of(a, n);
      const hb_parallel *parallel = t ? hb_threads_parallel(threads) : NULL;
      assert_int_equal(hb_cholesky(NULL, parallel, got, n, &found, NULL), HB_OK);
      assert_int_equal(found, n);
      expect_same_doubles(t ? "three threads" : "one thread", n, got, expected);
      free(got);
    }
    free(a);
    free(expected);
  }
  hb_threads_destroy(threads);
}

static void a_small_factor_is_the_one_found_by_hand(void **state) {
  (void)state;
  double a[] = {4, 12, -16, 12, 37, -43, -16, -43, 98};
  const double expected[] = {2, 6, -8, 6, 1, 5, -8, 5, 3};
  uint32_t found;
  assert_int_equal(hb_cholesky(NULL, NULL, a, 3, &found, NULL), HB_OK);
  assert_int_equal(found, 3);
  assert_memory_equal(a, expected, sizeof a);
}

static void a_factor_ends_where_the_matrix_is_not_positive_definite(void **state) {
  (void)state;
  const double odd[] = {0, -1, NAN, INFINITY};
  static const uint32_t places[] = {0, 5, 95, 96, 150, 199};
  enum { N = 200 };
  double *a = positive_definite(N);
  for (size_t o = 0; o < sizeof odd / sizeof *odd; o++)
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
      double *b = copy_of(a, N);
      uint32_t found = N;
      b[(size_t)places[p] * N + places[p]] = odd[o];
      assert_int_equal(hb_cholesky(NULL, NULL, b, N, &found, NULL), HB_OK);
      assert_int_equal(found, places[p]);
      free(b);
    }
  free(a);
}

/* Two equal columns: the second adds nothing to the first. */
static void equal_columns_are_not_positive_definite(void **state) {
  (void)state;
  double a[] = {4, 2, 2, 2, 5, 5, 2, 5, 5};
  uint32_t found;
  assert_int_equal(hb_cholesky(NULL, NULL, a, 3, &found, NULL), HB_OK);
  assert_int_equal(found, 2);
}

static void a_factor_is_close_to_that_of_lapack(void **state) {
  (void)state;
#ifdef HB_LAPACKE
  enum { N = 300 };
  double *a = positive_definite(N), *expected = copy_of(a, N), norm = 0, difference = 0;
  uint32_t found;
  assert_int_equal(hb_cholesky(NULL, NULL, a, N, &found, NULL), HB_OK);
  assert_int_equal(found, N);
  assert_int_equal(LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', N, expected, N), 0);
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j <= i; j++) {
      double d = a[i * N + j] - expected[i * N + j];
      norm += expected[i * N + j] * expected[i * N + j];
      difference += d * d;
    }
  /* Both are off by some roundings times the condition, which is below 10^5 here. */
  assert_true(sqrt(difference / norm) < 1e-11);
  free(a);
  free(expected);
#else
  print_message("skipped: built without LAPACKE\n");
  skip();
#endif
}

/* ---- Memory ---- */

static void *no_memory(void *context, size_t size, size_t alignment) {
  (void)context;
  (void)size;
  (void)alignment;
  return NULL;
}

static void give_nothing_back(void *context, void *block, size_t size) {
  (void)context;
  (void)size;
  assert_null(block);
}

static void what_needs_memory_says_so(void **state) {
  (void)state;
  const hb_allocator none = {NULL, no_memory, give_nothing_back};
  double a[4] = {1, 0, 0, 1};
  float x[2] = {1, 2};
  uint32_t found;
  hb_error error = {0};
  assert_int_equal(hb_gram_add(&none, NULL, a, 2, x, 2, 1, &error), HB_MEMORY);
  assert_int_equal(hb_cholesky(&none, NULL, a, 2, &found, &error), HB_MEMORY);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_instruction_set_gives_the_same_tile),
      cmocka_unit_test(a_gram_matrix_is_the_plain_sum_however_rows_are_cut_and_divided),
      cmocka_unit_test(a_factor_is_what_its_formula_gives_for_any_blocks_and_threads),
      cmocka_unit_test(a_small_factor_is_the_one_found_by_hand),
      cmocka_unit_test(a_factor_ends_where_the_matrix_is_not_positive_definite),
      cmocka_unit_test(equal_columns_are_not_positive_definite),
      cmocka_unit_test(a_factor_is_close_to_that_of_lapack),
      cmocka_unit_test(what_needs_memory_says_so),
  };
  return cmocka_run_group_tests_name("dense", tests, NULL, NULL);
}
