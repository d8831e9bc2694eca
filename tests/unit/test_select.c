/* Selecting the likeliest against sorting everything. */
#include "support.h"

#include "sample/select.h"

#include <math.h>

enum { MOST = 500 };

static int likelier(const void *a, const void *b) {
  const hb_candidate *x = a, *y = b;
  if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
  return x->token < y->token ? -1 : 1;
}

typedef enum order { RANDOM, TIES, RISING, FALLING, EQUAL, ORDERS } order;

static void make_candidates(hb_candidate *c, uint32_t n, order kind, uint32_t seed) {
  for (uint32_t i = 0; i < n; i++) {
    seed = seed * 1664525 + 1013904223;
    float x = (float)(seed >> 8) * 0x1p-24f;
    if (kind == TIES) x = (float)(seed >> 29);
    if (kind == RISING) x = (float)i;
    if (kind == FALLING) x = -(float)i;
    if (kind == EQUAL) x = 0;
    /* Whole weights: their sums are exact in any order. The last ones weigh nothing. */
    c[i] = (hb_candidate){x, x > 0.2f || kind > TIES ? 1 + (float)(seed >> 30) : 0, (hb_token)i};
  }
}

/* How many of a sorted list are `most`, or weigh `enough`. */
static uint32_t count_likeliest(const hb_candidate *sorted, uint32_t n, uint32_t most,
                                double enough) {
  double sum = 0;
  for (uint32_t i = 0; i < n; i++) {
    sum += sorted[i].weight;
    if (i + 1 >= most || sum >= enough) return i + 1;
  }
  return n;
}

static void check(order kind, uint32_t n, uint32_t most, double enough) {
  hb_candidate given[MOST], sorted[MOST];
  make_candidates(given, n, kind, n);
  memcpy(sorted, given, n * sizeof *given);
  qsort(sorted, n, sizeof *sorted, likelier);
  uint32_t expected = count_likeliest(sorted, n, most, enough);
  assert_int_equal(hb_select_likeliest(given, n, most, enough), expected);
  assert_int_equal(given[expected - 1].token, sorted[expected - 1].token);
  qsort(given, expected, sizeof *given, likelier);
  qsort(given + expected, n - expected, sizeof *given, likelier);
  assert_memory_equal(given, sorted, n * sizeof *given);
}

static void as_many_are_selected_as_asked_for(void **state) {
  (void)state;
  for (order kind = 0; kind < ORDERS; kind++)
    for (uint32_t n = 1; n <= MOST; n = n < 30 ? n + 1 : n + 47)
      for (uint32_t most = 1; most <= n + 1; most = most < 20 ? most + 1 : most + 29)
        check(kind, n, most, INFINITY);
}

static void as_few_are_selected_as_weigh_enough(void **state) {
  (void)state;
  for (order kind = 0; kind < ORDERS; kind++)
    for (uint32_t n = 1; n <= MOST; n = n < 30 ? n + 1 : n + 47)
      for (double enough = 0; enough < 3 * n; enough += enough < 20 ? 1 : 31) {
        check(kind, n, n, enough);
        check(kind, n, n / 2 + 1, enough);
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_many_are_selected_as_asked_for),
      cmocka_unit_test(as_few_are_selected_as_weigh_enough),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
