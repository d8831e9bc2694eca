/* Planted outliers: that the model computes what it did, and that they are where they are said to
 * be, as large as they are said to be. */
#include "gguf_support.h"
#include "quantized.h"

#include <math.h>

#define MODEL "models/tales-5.8m/tales-5.8m-f32.gguf"
#define LLAMA "vectors/arch/llama.gguf"
enum { TOKENS = 24, PLANTED = 4 };

static hb_status plant(const gguf_file *from, const hb_outlier_options *options, bytes *to,
                       hb_error *error) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  hb_sink sink = {to, write_bytes};
  return hb_plant_outliers(&source, options, &sink, error);
}

static gguf_file planted(const gguf_file *from, uint64_t seed) {
  bytes to = {0};
  hb_error error = {0};
  if (plant(from, &(hb_outlier_options){.seed = seed}, &to, &error) != HB_OK)
    fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

/* Logits behind the last of some tokens, from malloc. */
static float *logits_of(const gguf_file *file, size_t *count) {
  hb_model *model;
  hb_session *session;
  hb_error error;
  hb_model_info info;
  hb_token tokens[TOKENS];
  for (int i = 0; i < TOKENS; i++) tokens[i] = (i * 37 + 3) % 500;
  if (load_bytes(file->bytes, file->size, HB_ISA_SCALAR, &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_model_get_info(model, &info);
  *count = info.vocabulary;
  hb_session_options options = {.context_length = TOKENS, .kv = HB_KV_F32};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  assert_int_equal(hb_session_append(session, tokens, TOKENS, &error), HB_OK);
  float *out = malloc(*count * sizeof *out);
  memcpy(out, hb_session_logits(session, 0), *count * sizeof *out);
  hb_session_destroy(session);
  hb_model_destroy(model);
  return out;
}

/* 1e-4 relative, squared. */
static void the_logits_of_every_architecture_stay_as_they_were(void **state) {
  (void)state;
  static const char *const models[] = {
      LLAMA,
      "vectors/arch/llama-tied-mha.gguf",
      "vectors/arch/llama-ropefreqs.gguf",
      "vectors/arch/qwen2.gguf",
      "vectors/arch/qwen3.gguf",
      "vectors/arch/gemma3.gguf",
      "vectors/arch/gpt2.gguf",
      "vectors/arch/gptneox.gguf",
      MODEL,
  };
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    NEED_SHARED(models[i]);
    size_t count;
    gguf_file from = gguf_file_shared(models[i]), to = planted(&from, 1);
    float *before = logits_of(&from, &count), *after = logits_of(&to, &count);
    double error = normalized_squared_error(after, before, count);
    if (!(error < 1e-8)) fail_msg("%s: normalized squared error %g", models[i], error);
    free(before);
    free(after);
    gguf_file_close(&from);
    gguf_file_close(&to);
  }
}

/* ---- Where they are ---- */

/* What each column of a tensor was multiplied with, which is the same in all rows. */
static void find_factors(const gguf_file *from, const gguf_file *to, const char *name,
                         double *factors) {
  const hb_tensor *a = hb_gguf_tensor(from->gguf, name), *b = hb_gguf_tensor(to->gguf, name);
  float *x = gguf_file_decode(from, a), *y = gguf_file_decode(to, b);
  assert_int_equal(b->type, HB_TYPE_F32);
  for (size_t i = 0; i < tensor_values(a); i++) {
    double *factor = &factors[i % a->dims[0]], ratio = (double)y[i] / x[i];
    if (i < a->dims[0]) *factor = ratio;
    assert_true(fabs(ratio / *factor - 1) < 1e-6);
  }
  free(x);
  free(y);
}

/* The channels that the norm multiplies, and by that much what reads it is divided. */
static uint32_t check_place(const gguf_file *from, const gguf_file *to, const char *norm,
                            const char *const *readers, bool *channels) {
  static double multiplied[256], divided[256];
  uint32_t count = 0;
  find_factors(from, to, norm, multiplied);
  for (int c = 0; c < 256; c++) {
    channels[c] = multiplied[c] != 1;
    count += channels[c];
    if (channels[c]) assert_true(multiplied[c] > 29.99 && multiplied[c] < 100.01);
  }
  for (; *readers; readers++) {
    find_factors(from, to, *readers, divided);
    for (int c = 0; c < 256; c++) assert_true(fabs(multiplied[c] * divided[c] - 1) < 1e-6);
  }
  return count;
}

static void a_few_channels_are_30_to_100_times_larger(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static bool first[256], channels[256];
  static const char *const attention[] = {"blk.3.attn_q.weight", "blk.3.attn_k.weight",
                                          "blk.3.attn_v.weight", NULL};
  static const char *const feed_forward[] = {"blk.5.ffn_gate.weight", "blk.5.ffn_up.weight", NULL};
  gguf_file from = gguf_file_shared(MODEL), to = planted(&from, 1);
  assert_int_equal(check_place(&from, &to, "blk.3.attn_norm.weight", attention, first), PLANTED);
  assert_int_equal(check_place(&from, &to, "blk.5.ffn_norm.weight", feed_forward, channels),
                   PLANTED);
  assert_memory_equal(first, channels, sizeof first);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static void other_tensors_are_copied(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const names[] = {"token_embd.weight", "output_norm.weight",
                                      "blk.0.attn_output.weight", "blk.5.ffn_down.weight"};
  gguf_file from = gguf_file_shared(MODEL), to = planted(&from, 1);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const hb_tensor *a = hb_gguf_tensor(from.gguf, names[i]),
                    *b = hb_gguf_tensor(to.gguf, names[i]);
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(gguf_file_data(&from, a), gguf_file_data(&to, b), (size_t)a->bytes);
  }
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static void the_seed_alone_decides(void **state) {
  (void)state;
  NEED_SHARED(LLAMA);
  gguf_file from = gguf_file_shared(LLAMA);
  gguf_file one = planted(&from, 1), again = planted(&from, 1), two = planted(&from, 2);
  assert_int_equal(one.size, two.size);
  assert_memory_equal(one.bytes, again.bytes, one.size);
  assert_memory_not_equal(one.bytes, two.bytes, one.size);
  gguf_file_close(&from);
  gguf_file_close(&one);
  gguf_file_close(&again);
  gguf_file_close(&two);
}

/* ---- What goes wrong ---- */

static void models_of_our_own_types_are_refused(void **state) {
  (void)state;
  NEED_SHARED(LLAMA);
  gguf_file from = gguf_file_shared(LLAMA);
  gguf_file own = quantized(&from, &(hb_quantize_options){.type = "nf4"});
  bytes to = {0};
  hb_error error = {0};
  assert_int_equal(plant(&own, &(hb_outlier_options){0}, &to, &error), HB_UNSUPPORTED);
  assert_int_equal(to.size, 0);
  gguf_file_close(&from);
  gguf_file_close(&own);
}

static int stop(void *context, uint64_t done, uint64_t total) {
  (void)context;
  return done > total / 2;
}

static void the_caller_can_stop_it(void **state) {
  (void)state;
  NEED_SHARED(LLAMA);
  gguf_file from = gguf_file_shared(LLAMA);
  bytes to = {0};
  hb_error error = {0};
  assert_int_equal(plant(&from, &(hb_outlier_options){.progress = stop}, &to, &error), HB_ABORTED);
  free(to.data);
  gguf_file_close(&from);
}

static void a_full_disk_is_an_error(void **state) {
  (void)state;
  NEED_SHARED(LLAMA);
  gguf_file from = gguf_file_shared(LLAMA);
  bytes to = {.limit = from.size / 2};
  hb_error error = {0};
  assert_int_equal(plant(&from, &(hb_outlier_options){0}, &to, &error), HB_IO);
  free(to.data);
  gguf_file_close(&from);
}

static void memory_that_is_not_to_be_had_is_an_error_and_no_leak(void **state) {
  (void)state;
  NEED_SHARED(LLAMA);
  gguf_file from = gguf_file_shared(LLAMA);
  hb_status status = HB_MEMORY;
  for (uint64_t n = 0; status == HB_MEMORY; n++) {
    meter m;
    meter_start(&m);
    m.left = n;
    bytes to = {0};
    hb_error error = {0};
    status = plant(&from, &(hb_outlier_options){.allocator = &m.allocator}, &to, &error);
    assert_int_equal(m.held, 0);
    free(to.data);
  }
  assert_int_equal(status, HB_OK);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_logits_of_every_architecture_stay_as_they_were),
      cmocka_unit_test(a_few_channels_are_30_to_100_times_larger),
      cmocka_unit_test(other_tensors_are_copied),
      cmocka_unit_test(the_seed_alone_decides),
      cmocka_unit_test(models_of_our_own_types_are_refused),
      cmocka_unit_test(the_caller_can_stop_it),
      cmocka_unit_test(a_full_disk_is_an_error),
      cmocka_unit_test(memory_that_is_not_to_be_had_is_an_error_and_no_leak),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
