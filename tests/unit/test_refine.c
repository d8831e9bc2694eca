/* Refining: the loss goes down to where no single code could be better, and never up. */
#include "matrix_support.h"

#include "compress/gptq.h"
#include "compress/refine.h"

static const hb_type types[] = {HB_TYPE_Q4_0, HB_TYPE_Q4_1,   HB_TYPE_Q5_0,   HB_TYPE_Q5_1,
                                HB_TYPE_Q8_0, HB_TYPE_IQ4_NL, HB_TYPE_IQ4_XS, HB_TYPE_MXFP4,
                                HB_TYPE_Q2_K, HB_TYPE_Q3_K,   HB_TYPE_Q4_K,   HB_TYPE_Q5_K,
                                HB_TYPE_Q6_K, HB_TYPE_INT2_64};
enum { TYPES = sizeof types / sizeof *types };

/* Nearest codes, from where GPTQ would not start. */
static fixture fitted(const hb_coder *coder, uint32_t rows, uint32_t cols) {
  fixture f = fixture_random(coder, rows, cols), copy = fixture_copy(&f);
  hb_matrix_job job = job_of(&copy);
  assert_int_equal(hb_matrix_fit(&job, NULL), HB_OK);
  memcpy(f.blocks, copy.blocks, rows * row_bytes(&f));
  fixture_release(&copy);
  return f;
}

static void every_type_loses_less_and_says_how_much(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    fixture f = fitted(hb_coder_of(types[t]), 26, 256);
    hb_refine_report report;
    hb_matrix_job job = job_of(&f);
    double before = output_error(&f, f.blocks);
    assert_int_equal(hb_matrix_refine(&job, 0, &report, NULL), HB_OK);
    double after = output_error(&f, f.blocks);
    if (!(after < 0.8 * before)) fail_msg("%s: %g of %g", hb_type_name(types[t]), after, before);
    assert_true(fabs(report.before / before - 1) < 1e-9); /* sums in another order */
    assert_true(fabs(report.after / after - 1) < 1e-9);
    fixture_release(&f);
  }
}

static void what_gptq_found_becomes_better_yet(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    fixture plain = fixture_random(hb_coder_of(types[t]), 26, 256), refined = fixture_copy(&plain);
    hb_matrix_job job = job_of(&plain), other = job_of(&refined);
    hb_gptq_report found, better;
    assert_int_equal(
        hb_matrix_gptq(&job, &(hb_gptq_options){.order = HB_GPTQ_BETTER}, &found, NULL), HB_OK);
    assert_int_equal(hb_matrix_gptq(&other,
                                    &(hb_gptq_options){.order = HB_GPTQ_BETTER, .refine = true},
                                    &better, NULL),
                     HB_OK);
    if (!(better.loss < 0.97 * found.loss))
      fail_msg("%s: %g of %g", hb_type_name(types[t]), better.loss, found.loss);
    fixture_release(&plain);
    fixture_release(&refined);
  }
}

/* Each code of a block, one step up and down. */
static void no_single_code_could_be_better(void **state) {
  (void)state;
  fixture f = fitted(hb_coder_of(HB_TYPE_Q4_0), 3, 64);
  hb_refine_report report;
  hb_matrix_job job = job_of(&f);
  assert_int_equal(hb_matrix_refine(&job, 0, &report, NULL), HB_OK);
  double least = output_error(&f, f.blocks);
  for (uint32_t at = 0; at < 3 * row_bytes(&f); at++) {
    if (at % 18 < 2) continue; /* the scale */
    for (int shift = 0; shift < 8; shift += 4)
      for (int step = -1; step <= 1; step += 2) {
        uint8_t kept = f.blocks[at];
        int code = (kept >> shift & 15) + step;
        if (code < 0 || code > 15) continue;
        f.blocks[at] = (uint8_t)((kept & ~(15 << shift)) | code << shift);
        assert_true(output_error(&f, f.blocks) > least * (1 - 1e-12));
        f.blocks[at] = kept;
      }
  }
  fixture_release(&f);
}

static void scales_and_minima_count_too(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    const hb_coder *coder = hb_coder_of(types[t]);
    hb_coder codes_only = *coder;
    codes_only.parameters = NULL;
    if (!coder->parameters) continue;
    fixture f = fitted(coder, 26, 256), g = fixture_copy(&f);
    memcpy(g.blocks, f.blocks, 26 * row_bytes(&f));
    hb_matrix_job job = job_of(&f), other = job_of(&g);
    hb_refine_report all, codes;
    other.coder = &codes_only;
    assert_int_equal(hb_matrix_refine(&job, 0.01, &all, NULL), HB_OK);
    assert_int_equal(hb_matrix_refine(&other, 0.01, &codes, NULL), HB_OK);
    assert_true(all.before == codes.before);
    if (!(all.after < codes.after)) fail_msg("%s: %g", hb_type_name(types[t]), all.after);
    fixture_release(&f);
    fixture_release(&g);
  }
}

static void columns_that_no_input_reaches_keep_their_codes(void **state) {
  (void)state;
  fixture f = fitted(hb_coder_of(HB_TYPE_Q4_0), 2, 64);
  for (uint32_t i = 0; i < 64; i++) f.gram[7 * 64 + i] = f.gram[i * 64 + 7] = 0;
  uint8_t code = f.blocks[2 + 7] & 15;
  hb_refine_report report;
  hb_matrix_job job = job_of(&f);
  assert_int_equal(hb_matrix_refine(&job, 0.01, &report, NULL), HB_OK);
  assert_int_equal(f.blocks[2 + 7] & 15, code);
  fixture_release(&f);
}

static void threads_do_not_show(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  fixture f = fitted(hb_coder_of(HB_TYPE_Q3_K), 61, 256), g = fixture_copy(&f);
  memcpy(g.blocks, f.blocks, 61 * row_bytes(&f));
  hb_matrix_job job = job_of(&f), other = job_of(&g);
  hb_refine_report one, three;
  other.parallel = hb_threads_parallel(threads);
  assert_int_equal(hb_matrix_refine(&job, 0.01, &one, NULL), HB_OK);
  assert_int_equal(hb_matrix_refine(&other, 0.01, &three, NULL), HB_OK);
  assert_memory_equal(f.blocks, g.blocks, 61 * row_bytes(&f));
  assert_true(one.after == three.after);
  fixture_release(&f);
  fixture_release(&g);
  hb_threads_destroy(threads);
}

static void what_cannot_be_done_is_refused(void **state) {
  (void)state;
  fixture f = fitted(hb_coder_of(HB_TYPE_Q4_0), 2, 64);
  hb_refine_report report;
  hb_error error;
  hb_matrix_job job = job_of(&f);
  job.gram = NULL;
  assert_int_equal(hb_matrix_refine(&job, 0.01, &report, &error), HB_ARGUMENT);
  budget none = {0, 0};
  hb_allocator allocator = {&none, allocate_within, release_counted};
  job = job_of(&f);
  job.allocator = &allocator;
  assert_int_equal(hb_matrix_refine(&job, 0.01, &report, &error), HB_MEMORY);
  assert_int_equal(none.held, 0);
  fixture_release(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type_loses_less_and_says_how_much),
      cmocka_unit_test(what_gptq_found_becomes_better_yet),
      cmocka_unit_test(no_single_code_could_be_better),
      cmocka_unit_test(scales_and_minima_count_too),
      cmocka_unit_test(columns_that_no_input_reaches_keep_their_codes),
      cmocka_unit_test(threads_do_not_show),
      cmocka_unit_test(what_cannot_be_done_is_refused),
  };
  return cmocka_run_group_tests_name("refine", tests, NULL, NULL);
}
