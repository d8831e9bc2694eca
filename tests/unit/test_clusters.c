/* Clusters of numbers on a line: the least error that any clusters have, by brute force. */
#include "numbers.h"

#include "compress/clusters.h"

#include <stdlib.h>

/* Sum of w * (x - mean)^2 over the values whose cluster is `cluster`. */
static double cluster_error(const hb_weighted *v, const uint32_t *of, uint32_t n,
                            uint32_t cluster) {
  double w = 0, x = 0, sum = 0;
  for (uint32_t i = 0; i < n; i++)
    if (of[i] == cluster) {
      w += (double)v[i].w;
      x += (double)v[i].w * (double)v[i].x;
    }
  for (uint32_t i = 0; i < n; i++)
    if (of[i] == cluster) sum += (double)v[i].w * pow((double)v[i].x - x / w, 2);
  return sum;
}

static double clustering_error(const hb_weighted *v, const uint32_t *of, uint32_t n, uint32_t k) {
  double sum = 0;
  for (uint32_t q = 0; q < k; q++) sum += cluster_error(v, of, n, q);
  return sum;
}

/* Over all ways to give n values to k clusters, sorted or not. */
static double least_error(const hb_weighted *v, uint32_t n, uint32_t k) {
  uint32_t of[10], ways = 1;
  double least = INFINITY;
  for (uint32_t i = 0; i < n; i++) ways *= k;
  for (uint32_t way = 0; way < ways; way++) {
    for (uint32_t i = 0, rest = way; i < n; i++, rest /= k) of[i] = rest % k;
    least = fmin(least, clustering_error(v, of, n, k));
  }
  return least;
}

/* Error of what hb_clusters_find finds. */
static double found_error(const hb_weighted *v, uint32_t n, uint32_t k) {
  uint32_t ends[32], *of = calloc(n + 1u, sizeof *of);
  void *room = malloc(hb_clusters_bytes(n, k));
  hb_clusters_find(v, n, k, room, ends);
  assert_int_equal(ends[k - 1], n);
  for (uint32_t q = 0, i = 0; q < k; q++) {
    assert_true(ends[q] >= i);
    for (; i < ends[q]; i++) of[i] = q;
  }
  double error = clustering_error(v, of, n, k);
  free(room);
  free(of);
  return error;
}

static void random_weighted(uint64_t *seed, hb_weighted *v, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    float x = uniform(seed, -1, 1);
    v[i] = (hb_weighted){x * x * x, i % 5 == 2 ? 100 : uniform(seed, 0.01f, 2)};
    if (i % 4 == 3) v[i].x = v[i - 1].x;
  }
}

static void no_clusters_of_few_numbers_are_better(void **state) {
  (void)state;
  uint64_t seed = 5;
  for (int round = 0; round < 60; round++)
    for (uint32_t k = 1; k <= 3; k++) {
      hb_weighted v[8], room[8];
      uint32_t n = 1 + next_random(&seed) % 8;
      random_weighted(&seed, v, n);
      hb_weighted_sort(v, n, room);
      double found = found_error(v, n, k), least = least_error(v, n, k);
      if (fabs(found - least) > 1e-12) fail_msg("%u in %u: %g, not %g", n, k, found, least);
    }
}

/* The same recurrence, each start tried for each end. */
static double slow_runs_error(const hb_weighted *v, uint32_t n, uint32_t k) {
  double *before = malloc((n + 1) * sizeof *before), *errors = malloc((n + 1) * sizeof *errors);
  for (uint32_t j = 0; j <= n; j++) before[j] = j == 0 ? 0 : INFINITY;
  for (uint32_t q = 0; q < k; q++) {
    for (uint32_t j = 0; j <= n; j++) {
      double w = 0, mean = 0, error = 0;
      errors[j] = before[j];
      for (uint32_t i = j; i > 0; i--) { /* Welford's way to add value i - 1 */
        double wi = (double)v[i - 1].w, d = (double)v[i - 1].x - mean;
        w += wi;
        mean += d * wi / w;
        error += wi * d * ((double)v[i - 1].x - mean);
        errors[j] = fmin(errors[j], before[i - 1] + error);
      }
    }
    memcpy(before, errors, (n + 1) * sizeof *before);
  }
  double error = errors[n];
  free(before);
  free(errors);
  return error;
}

static void no_runs_of_many_numbers_are_better(void **state) {
  (void)state;
  uint64_t seed = 6;
  static const uint32_t counts[] = {15, 16, 17, 100, 257, 500};
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
    for (uint32_t k = 2; k <= 16; k *= 2) {
      hb_weighted v[500], room[500];
      uint32_t n = counts[c];
      random_weighted(&seed, v, n);
      hb_weighted_sort(v, n, room);
      double found = found_error(v, n, k), least = slow_runs_error(v, n, k);
      if (fabs(found - least) > 1e-9 * (1e-3 + least))
        fail_msg("%u in %u: %.12g, not %.12g", n, k, found, least);
    }
}

static void as_many_numbers_as_clusters_have_no_error(void **state) {
  (void)state;
  uint64_t seed = 7;
  hb_weighted v[16], room[16];
  for (uint32_t i = 0; i < 16; i++) v[i] = (hb_weighted){uniform(&seed, -1, 1), 1};
  for (uint32_t n = 0; n <= 16; n++) {
    hb_weighted_sort(v, n, room);
    assert_true(found_error(v, n, 16) < 1e-15);
  }
}

static void sorting_keeps_the_order_of_equals(void **state) {
  (void)state;
  uint64_t seed = 8;
  for (uint32_t n = 0; n < 70; n++) {
    hb_weighted v[70], room[70];
    for (uint32_t i = 0; i < n; i++)
      v[i] = (hb_weighted){(float)(next_random(&seed) % 9) - 4, (float)i + 1};
    hb_weighted_sort(v, n, room);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)v[i].w;
    assert_true(sum == n * (n + 1) / 2);
    for (uint32_t i = 1; i < n; i++)
      assert_true(v[i - 1].x < v[i].x || (v[i - 1].x == v[i].x && v[i - 1].w < v[i].w));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_clusters_of_few_numbers_are_better),
      cmocka_unit_test(no_runs_of_many_numbers_are_better),
      cmocka_unit_test(as_many_numbers_as_clusters_have_no_error),
      cmocka_unit_test(sorting_keeps_the_order_of_equals),
  };
  return cmocka_run_group_tests_name("clusters", tests, NULL, NULL);
}
