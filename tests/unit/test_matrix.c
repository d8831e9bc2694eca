/* Matrices of blocks: what each method leaves, that threads do not matter, what is refused. */
#include "random_blocks.h"
#include "support.h"

#include "compress/matrix.h"
#include "quant/quant.h"

#include <math.h>

enum { ROWS = 7, COLS = 512 };

static void run_in_turn(void *context, void (*body)(void *argument, uint32_t thread),
                        void *argument) {
  const uint32_t *threads = context;
  for (uint32_t t = *threads; t-- > 0;) body(argument, t);
}

typedef struct matrix {
  float weights[ROWS * COLS], importance[COLS];
  uint8_t blocks[ROWS * COLS * 2];
} matrix;

static hb_matrix_job job_of(matrix *m, hb_type type) {
  return (hb_matrix_job){.coder = hb_coder_of(type),
                         .rows = ROWS,
                         .cols = COLS,
                         .weights = m->weights,
                         .blocks = m->blocks};
}

static void fill(matrix *m, uint64_t seed) {
  memset(m, 0, sizeof *m);
  for (uint32_t i = 0; i < ROWS * COLS; i++) m->weights[i] = 0.1f * random_unit(&seed);
  for (uint32_t i = 0; i < COLS; i++)
    m->importance[i] = i % 5 == 0 ? 50 : fabsf(random_unit(&seed));
}

static double weighted_error(const matrix *m, const float *original) {
  double sum = 0;
  for (uint32_t i = 0; i < ROWS * COLS; i++) {
    double d = (double)m->weights[i] - (double)original[i];
    sum += (double)m->importance[i % COLS] * d * d;
  }
  return sum;
}

static void rounding_gives_what_the_encoder_gives(void **state) {
  (void)state;
  static const hb_type types[] = {HB_TYPE_Q4_0, HB_TYPE_Q4_1, HB_TYPE_Q5_0, HB_TYPE_Q5_1,
                                  HB_TYPE_Q8_0};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    static matrix m;
    static uint8_t expected[sizeof m.blocks];
    fill(&m, 1);
    memset(expected, 0, sizeof expected);
    hb_matrix_job job = job_of(&m, types[t]);
    hb_traits(types[t])->encode(m.weights, expected, ROWS * COLS / 32);
    assert_int_equal(hb_matrix_round(&job, NULL), HB_OK);
    assert_memory_equal(m.blocks, expected, sizeof expected);
  }
}

static void the_weights_become_what_the_blocks_stand_for(void **state) {
  (void)state;
  static matrix m;
  static float values[ROWS * COLS];
  for (int fitted = 0; fitted < 2; fitted++) {
    fill(&m, 2);
    hb_matrix_job job = job_of(&m, HB_TYPE_Q5_1);
    assert_int_equal(fitted ? hb_matrix_fit(&job, NULL) : hb_matrix_round(&job, NULL), HB_OK);
    hb_traits(HB_TYPE_Q5_1)->decode(m.blocks, values, ROWS * COLS / 32);
    assert_memory_equal(m.weights, values, sizeof values);
    memset(m.weights, 0, sizeof m.weights);
    hb_matrix_decode(&job);
    assert_memory_equal(m.weights, values, sizeof values);
  }
}

static void importance_directs_the_search(void **state) {
  (void)state;
  static matrix plain, fitted, directed;
  fill(&plain, 3);
  fitted = directed = plain;
  float *original = malloc(sizeof plain.weights);
  assert_non_null(original);
  memcpy(original, plain.weights, sizeof plain.weights);
  hb_matrix_job p = job_of(&plain, HB_TYPE_Q4_0), f = job_of(&fitted, HB_TYPE_Q4_0),
                d = job_of(&directed, HB_TYPE_Q4_0);
  d.importance = directed.importance;
  assert_int_equal(hb_matrix_round(&p, NULL), HB_OK);
  assert_int_equal(hb_matrix_fit(&f, NULL), HB_OK);
  assert_int_equal(hb_matrix_fit(&d, NULL), HB_OK);
  assert_true(weighted_error(&directed, original) < 0.7 * weighted_error(&fitted, original));
  assert_true(weighted_error(&fitted, original) < weighted_error(&plain, original));
  free(original);
}

static void threads_do_not_matter(void **state) {
  (void)state;
  static matrix alone, shared;
  for (uint32_t threads = 2; threads <= 9; threads++) {
    hb_parallel parallel = {.threads = threads, .context = &threads, .run = run_in_turn};
    fill(&alone, 4);
    shared = alone;
    hb_matrix_job a = job_of(&alone, HB_TYPE_Q4_0), b = job_of(&shared, HB_TYPE_Q4_0);
    a.importance = alone.importance;
    b.importance = shared.importance;
    b.parallel = &parallel;
    assert_int_equal(hb_matrix_fit(&a, NULL), HB_OK);
    assert_int_equal(hb_matrix_fit(&b, NULL), HB_OK);
    assert_memory_equal(&alone, &shared, sizeof alone);
  }
}

/* ---- What is refused ---- */

static void assert_refused(const hb_matrix_job *job, hb_status status, const char *message) {
  hb_error error = {0};
  assert_int_equal(hb_matrix_round(job, &error), status);
  assert_string_equal(error.message, message);
  assert_int_equal(hb_matrix_fit(job, &error), status);
  assert_string_equal(error.message, message);
}

static void what_cannot_be_quantized_is_refused_by_its_place(void **state) {
  (void)state;
  static matrix m;
  static const float odd[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++) {
    fill(&m, 5);
    hb_matrix_job job = job_of(&m, HB_TYPE_Q4_0);
    m.weights[6 * COLS + 9] = m.weights[3 * COLS + 500] = odd[i];
    assert_refused(&job, HB_MODEL, "row 3: value 500 is no finite number");
  }
  static const float wrong[] = {NAN, INFINITY, -1};
  for (int i = 0; i < 3; i++) {
    fill(&m, 6);
    hb_matrix_job job = job_of(&m, HB_TYPE_Q4_0);
    job.importance = m.importance;
    m.importance[77] = wrong[i];
    assert_refused(&job, HB_ARGUMENT, "the importance of column 77 is no number from 0 on");
  }
  hb_matrix_job job = job_of(&m, HB_TYPE_Q4_0);
  job.cols = 500;
  assert_refused(&job, HB_ARGUMENT, "rows of 500 values do not divide into Q4_0 blocks");
}

static void *no_memory(void *context, size_t size, size_t alignment) {
  (void)context;
  (void)size;
  (void)alignment;
  return NULL;
}

static void memory_that_is_not_to_be_had_is_an_error(void **state) {
  (void)state;
  static matrix m;
  fill(&m, 7);
  hb_allocator allocator = {NULL, no_memory, NULL};
  hb_matrix_job job = job_of(&m, HB_TYPE_Q4_0);
  job.allocator = &allocator;
  assert_refused(&job, HB_MEMORY, "no memory to look at a matrix");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rounding_gives_what_the_encoder_gives),
      cmocka_unit_test(the_weights_become_what_the_blocks_stand_for),
      cmocka_unit_test(importance_directs_the_search),
      cmocka_unit_test(threads_do_not_matter),
      cmocka_unit_test(what_cannot_be_quantized_is_refused_by_its_place),
      cmocka_unit_test(memory_that_is_not_to_be_had_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
