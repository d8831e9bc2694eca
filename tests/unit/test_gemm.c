/* Products of training: chains of fused multiply-adds on every instruction set, however operands
 * lie and however results are divided. */
#include "numbers.h"

#include "train/kernels.h"
#include "train/team.h"

static uint64_t seed = 20261122;

/* ---- Products to try ---- */

/* How an operand lies: a row of it is contiguous, or a column, or neither. */
typedef enum { BY_ROWS, BY_COLUMNS, SPREAD, LAYOUTS } layout;

typedef struct product {
  hb_gemm g;
  float *a, *b, *c, *before; /* c: rows, with PADDING between them; `before`: what stood there */
  size_t c_count;
} product;

enum { PADDING = 3 };

/* Numbers that bf16 holds, whose products add up without rounding. */
static const number_kind whole = KINDS;

static float *filled(size_t count, number_kind kind) {
  float *x = malloc((count + 1) * sizeof *x);
  assert_non_null(x);
  fill(x, count, kind, &seed);
  for (size_t i = 0; kind == whole && i < count; i++)
    x[i] = (float)(int)(next_random(&seed) % 17) - 8.0f;
  return x;
}

static size_t lay(layout how, size_t rows, size_t columns, size_t *row, size_t *column) {
  *row = how == BY_ROWS ? columns + 2 : how == BY_COLUMNS ? 1 : 2;
  *column = how == BY_ROWS ? 1 : how == BY_COLUMNS ? rows + 1 : 2 * rows + 3;
  return rows * *row + columns * *column;
}

static product make(uint32_t m, uint32_t n, uint32_t k, layout a, layout b, bool add,
                    number_kind kind) {
  product p = {.g = {.m = m, .n = n, .k = k, .c_row = n + PADDING, .add = add}};
  p.a = filled(lay(a, m, k, &p.g.a_row, &p.g.a_col), kind);
  p.b = filled(lay(b, k, n, &p.g.b_row, &p.g.b_col), kind);
  p.c_count = m * p.g.c_row;
  p.before = filled(p.c_count, kind);
  p.c = filled(p.c_count, kind);
  p.g.a = p.a;
  p.g.b = p.b;
  p.g.c = p.c;
  return p;
}

static void drop(product *p) {
  free(p->a);
  free(p->b);
  free(p->c);
  free(p->before);
}

static float a_of(const product *p, size_t i, size_t l) {
  return p->a[i * p->g.a_row + l * p->g.a_col];
}

static float b_of(const product *p, size_t l, size_t j) {
  return p->b[l * p->g.b_row + j * p->g.b_col];
}

typedef void gemm_function(const hb_gemm *g, void *room);

static void multiply(product *p, const hb_train_kernels *kernels, gemm_function *gemm) {
  uint8_t *room = malloc(kernels->gemm_room + 64);
  assert_non_null(room);
  memcpy(p->c, p->before, p->c_count * sizeof *p->c);
  gemm(&p->g, room + (64 - (uintptr_t)room % 64) % 64);
  free(room);
}

/* ---- What must come out ---- */

/* The definition, and what stood between the rows. */
static float *chains(const product *p) {
  float *out = malloc((p->c_count + 1) * sizeof *out);
  assert_non_null(out);
  memcpy(out, p->before, p->c_count * sizeof *out);
  for (size_t i = 0; i < p->g.m; i++)
    for (size_t j = 0; j < p->g.n; j++) {
      float *c = out + i * p->g.c_row + j;
      if (!p->g.add) *c = 0;
      for (size_t l = 0; l < p->g.k; l++) *c = fmaf(a_of(p, i, l), b_of(p, l, j), *c);
    }
  return out;
}

static void expect_chains(product *p, bool bf16) {
  float *expected = chains(p);
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_train_kernels *kernels = hb_train_kernels_for((hb_isa)isa);
    if (!kernels || (bf16 && !kernels->gemm_bf16)) continue;
    multiply(p, kernels, bf16 ? kernels->gemm_bf16 : kernels->gemm);
    if (memcmp(p->c, expected, p->c_count * sizeof *expected) != 0)
      fail_msg("%s: %u x %u x %u, strides %zu %zu, %zu %zu", hb_isa_name((hb_isa)isa), p->g.m,
               p->g.n, p->g.k, p->g.a_row, p->g.a_col, p->g.b_row, p->g.b_col);
  }
  free(expected);
}

static void expect_chains_of_all_sizes(number_kind kind, bool bf16) {
  static const uint32_t sizes[][3] = {{1, 1, 1},    {2, 3, 0},    {3, 2, 5},    {7, 31, 4},
                                      {13, 33, 17}, {14, 32, 32}, {15, 64, 31}, {29, 9, 257},
                                      {64, 50, 70}, {0, 5, 3},    {5, 0, 3}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int form = 0; form < LAYOUTS * LAYOUTS * 2; form++) {
      product p = make(sizes[s][0], sizes[s][1], sizes[s][2], (layout)(form % LAYOUTS),
                       (layout)(form / LAYOUTS % LAYOUTS), form / (LAYOUTS * LAYOUTS), kind);
      expect_chains(&p, bf16);
      drop(&p);
    }
}

static void every_size_and_layout_gives_the_chain_of_the_definition(void **state) {
  (void)state;
  expect_chains_of_all_sizes(USUAL, false);
}

static void expect_chains_of_blocks(number_kind kind, bool bf16) {
  static const uint32_t sizes[][3] = {{260, 17, 9}, {5, 790, 7}, {17, 33, 800}};
  for (int s = 0; s < 3; s++)
    for (int add = 0; add < 2; add++) {
      product p = make(sizes[s][0], sizes[s][1], sizes[s][2], BY_ROWS, BY_COLUMNS, add, kind);
      expect_chains(&p, bf16);
      drop(&p);
    }
}

static void blocks_go_on_where_others_end(void **state) {
  (void)state;
  expect_chains_of_blocks(USUAL, false);
}

/* Where a product is rounded by itself, or a sum below the normal numbers, bits show it. */
static void sums_of_every_magnitude_are_rounded_once(void **state) {
  (void)state;
  static const number_kind kinds[] = {WIDE, SUBNORMALS, HUGE_ONES};
  for (int i = 0; i < 3; i++) {
    product p = make(40, 40, 8, BY_ROWS, BY_ROWS, true, kinds[i]);
    if (kinds[i] != WIDE)
      for (size_t l = 0; l < 40 * p.g.a_row; l++) p.a[l] = uniform(&seed, -1, 1);
    expect_chains(&p, false);
    drop(&p);
  }
}

/* Beside the middle of two floats, by less than a double tells: rounding to double first goes to
 * the middle, and from there to the wrong one. */
static void a_sum_beside_the_middle_of_two_floats_is_rounded_once(void **state) {
  (void)state;
  const float a = 0x1p-24f * (1 + 0x1p-23f), b = 1 - 0x1p-23f, c = 1 + 0x1p-23f;
  for (int sign = 0; sign < 4; sign++) {
    product p = make(1, 1, 1, BY_ROWS, BY_ROWS, true, USUAL);
    p.a[0] = sign & 1 ? -a : a;
    p.b[0] = b;
    p.before[0] = sign & 2 ? -c : c;
    expect_chains(&p, false);
    assert_true(p.c[0] == p.before[0]);
    drop(&p);
  }
}

/* ---- Against sums in double ---- */

/* Each rounding is wrong by 2^-24 of a partial sum at most, which the sum of magnitudes bounds. */
static void expect_close(const product *p, float (*operand)(float), double roundings) {
  for (size_t i = 0; i < p->g.m; i++)
    for (size_t j = 0; j < p->g.n; j++) {
      size_t at = i * p->g.c_row + j;
      double sum = p->g.add ? p->before[at] : 0, most = fabs(sum);
      for (size_t l = 0; l < p->g.k; l++) {
        double term = (double)operand(a_of(p, i, l)) * operand(b_of(p, l, j));
        sum += term;
        most += fabs(term);
      }
      if (!(fabs(p->c[at] - sum) <= roundings * 0x1p-24 * most))
        fail_msg("%u x %u x %u at %zu, %zu: %g is not %g", p->g.m, p->g.n, p->g.k, i, j, p->c[at],
                 sum);
    }
}

static float as_it_is(float x) {
  return x;
}

static void chains_are_close_to_sums_in_double(void **state) {
  (void)state;
  const hb_train_kernels *kernels = hb_train_kernels_for(hb_isa_best());
  product p = make(50, 70, 400, BY_ROWS, BY_COLUMNS, true, USUAL);
  multiply(&p, kernels, kernels->gemm);
  expect_close(&p, as_it_is, p.g.k * 1.01);
  drop(&p);
}

/* ---- Products of bf16 ---- */

static void whole_numbers_are_multiplied_exactly_by_bf16(void **state) {
  (void)state;
  expect_chains_of_all_sizes(whole, true);
  expect_chains_of_blocks(whole, true);
}

static float rounded_to_bf16(float x) {
  uint32_t bits = hb_bits_of_f32(x);
  return hb_f32_of_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u);
}

/* Products are exact; each addition may truncate. */
static void sums_of_rounded_operands_are_close_to_those_in_double(void **state) {
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_train_kernels *kernels = hb_train_kernels_for((hb_isa)isa);
    if (!kernels || !kernels->gemm_bf16) continue;
    for (int form = 0; form < LAYOUTS * LAYOUTS; form++) {
      product p = make(50, 70, 100 + 83 * (uint32_t)form, (layout)(form % LAYOUTS),
                       (layout)(form / LAYOUTS), form % 2, USUAL);
      multiply(&p, kernels, kernels->gemm_bf16);
      expect_close(&p, rounded_to_bf16, p.g.k * 2.02);
      drop(&p);
    }
  }
}

/* ---- Threads ---- */

static void expect_same_for_all_threads(product *p, hb_isa isa, bool bf16) {
  const hb_train_kernels *kernels = hb_train_kernels_for(isa);
  size_t bytes = p->c_count * sizeof *p->c;
  multiply(p, kernels, bf16 ? kernels->gemm_bf16 : kernels->gemm);
  float *expected = malloc(bytes);
  assert_non_null(expected);
  memcpy(expected, p->c, bytes);
  for (uint32_t count = 1; count <= 4; count++) {
    hb_threads *threads;
    assert_int_equal(hb_threads_create(count, &threads, NULL), HB_OK);
    const hb_parallel *parallel = count > 1 ? hb_threads_parallel(threads) : NULL;
    hb_team team;
    assert_int_equal(
        hb_team_begin(&team, hb_allocator_or_default(NULL), parallel, isa, bf16, 0, NULL), HB_OK);
    memcpy(p->c, p->before, bytes);
    hb_team_multiply(&team, &p->g);
    assert_memory_equal(p->c, expected, bytes);
    hb_team_end(&team);
    hb_threads_destroy(threads);
  }
  free(expected);
}

static void the_number_of_threads_does_not_show(void **state) {
  (void)state;
  static const uint32_t sizes[][3] = {{150, 60, 40}, {45, 170, 300}, {20, 20, 20}, {0, 0, 5}};
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (int s = 0; s < 4; s++) {
      const hb_train_kernels *kernels = hb_train_kernels_for((hb_isa)isa);
      if (!kernels) continue;
      product p = make(sizes[s][0], sizes[s][1], sizes[s][2], BY_COLUMNS, BY_ROWS, s % 2, USUAL);
      expect_same_for_all_threads(&p, (hb_isa)isa, false);
      if (kernels->gemm_bf16) expect_same_for_all_threads(&p, (hb_isa)isa, true);
      drop(&p);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_size_and_layout_gives_the_chain_of_the_definition),
      cmocka_unit_test(blocks_go_on_where_others_end),
      cmocka_unit_test(sums_of_every_magnitude_are_rounded_once),
      cmocka_unit_test(a_sum_beside_the_middle_of_two_floats_is_rounded_once),
      cmocka_unit_test(chains_are_close_to_sums_in_double),
      cmocka_unit_test(whole_numbers_are_multiplied_exactly_by_bf16),
      cmocka_unit_test(sums_of_rounded_operands_are_close_to_those_in_double),
      cmocka_unit_test(the_number_of_threads_does_not_show),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
