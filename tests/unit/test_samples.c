/* Which pieces of a text a model is calibrated with. */
#include "compress/samples.h"
#include "gguf_builder.h"
#include "gguf_files.h"

enum { LENGTH = 16, PIECES = 300, TOKENS = LENGTH * PIECES + 5 };

static hb_token text[TOKENS];

/* A header and nothing more; `context` 0: it says nothing of that. */
static gguf_file model_of(uint32_t context) {
  buffer b = {0};
  put_header(&b, 0, context ? 2 : 1);
  put_key_string(&b, "general.architecture", "llama");
  if (context) put_key_u32(&b, "llama.context_length", context);
  put_padding(&b, 32);
  return gguf_file_of(b.data, b.size);
}

static hb_status plan(uint32_t context, size_t count, uint32_t *samples, uint32_t *length,
                      hb_error *error) {
  gguf_file model = model_of(context);
  hb_status status = hb_samples_plan(model.gguf, count, samples, length, error);
  gguf_file_close(&model);
  return status;
}

static void samples_are_no_longer_than_the_context_and_no_more_than_there_are(void **state) {
  (void)state;
  uint32_t samples = 1000, length = 512;
  assert_int_equal(plan(100, 5000, &samples, &length, NULL), HB_OK);
  assert_int_equal(length, 100);
  assert_int_equal(samples, 50);
  samples = 3, length = 64;
  assert_int_equal(plan(100, 5000, &samples, &length, NULL), HB_OK);
  assert_int_equal(length, 64);
  assert_int_equal(samples, 3);
}

static void a_text_that_is_too_short_is_refused(void **state) {
  (void)state;
  hb_error error;
  uint32_t samples = 1, length = 16;
  assert_int_equal(plan(100, HB_SAMPLES_LEAST_TOKENS - 1, &samples, &length, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "has 4095 tokens; at least 4096"));
  length = 5000; /* not one piece */
  assert_int_equal(plan(10000, 4999, &samples, &length, &error), HB_ARGUMENT);
}

static void a_model_without_a_context_is_refused(void **state) {
  (void)state;
  hb_error error;
  uint32_t samples = 1, length = 16;
  assert_int_equal(plan(0, 5000, &samples, &length, &error), HB_MODEL);
  assert_non_null(strstr(error.message, "llama.context_length"));
}

/* The text counts up, so that a sample's second token tells where it stood. */
static void take(uint32_t samples, const uint64_t *seed, hb_token bos, hb_token *out) {
  for (size_t i = 0; i < TOKENS; i++) text[i] = (hb_token)i;
  hb_samples_take(text, TOKENS, samples, LENGTH, seed, bos, out);
}

static void without_a_seed_they_are_spread_evenly(void **state) {
  (void)state;
  hb_token out[3 * LENGTH];
  take(3, NULL, HB_NO_TOKEN, out);
  for (size_t i = 0; i < 3 * LENGTH; i++)
    assert_int_equal(out[i], i / LENGTH * PIECES / 3 * LENGTH + i % LENGTH);
  take(3, NULL, 7777, out);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(out[i * LENGTH], 7777);
    assert_int_equal(out[i * LENGTH + 1], i * PIECES / 3 * LENGTH + 1);
  }
}

static void a_seed_draws_other_pieces_each_time_and_none_twice(void **state) {
  (void)state;
  enum { COUNT = 200 };
  static hb_token out[COUNT * LENGTH], again[COUNT * LENGTH];
  uint64_t one = 1, two = 2;
  take(COUNT, &one, HB_NO_TOKEN, out);
  take(COUNT, &one, HB_NO_TOKEN, again);
  assert_memory_equal(out, again, sizeof out);
  for (size_t i = 1; i < COUNT; i++) assert_true(out[i * LENGTH] > out[(i - 1) * LENGTH]);
  assert_true(out[(COUNT - 1) * LENGTH] < PIECES * LENGTH);
  take(COUNT, &two, HB_NO_TOKEN, again);
  assert_memory_not_equal(out, again, sizeof out);
  static hb_token all[PIECES * LENGTH];
  take(PIECES, &two, HB_NO_TOKEN, all);
  assert_memory_equal(all, text, sizeof all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(samples_are_no_longer_than_the_context_and_no_more_than_there_are),
      cmocka_unit_test(a_text_that_is_too_short_is_refused),
      cmocka_unit_test(a_model_without_a_context_is_refused),
      cmocka_unit_test(without_a_seed_they_are_spread_evenly),
      cmocka_unit_test(a_seed_draws_other_pieces_each_time_and_none_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
