/* Inputs that are hard to round to int8: scales that move what makes them so into the weights,
 * fixed scales of least error, and the columns that are kept apart. */
#include "calibrating.h"
#include "compress/survey.h"

enum { FEW = 4 }; /* samples, as a search takes long */

static gguf_file int8_of(const gguf_file *from, const char *method, const char *activations,
                         double alpha) {
  return quantized(from, &(hb_quantize_options){.type = "q8_0",
                                                .method = method,
                                                .activations = activations,
                                                .smooth_alpha = alpha,
                                                .calibration = tokens,
                                                .calibration_samples = FEW,
                                                .calibration_length = LENGTH});
}

static double distance_of(const gguf_file *from, const char *method, const char *activations,
                          double alpha) {
  gguf_file to = int8_of(from, method, activations, alpha);
  double off = distance(from, &to);
  gguf_file_close(&to);
  return off;
}

static gguf_file planted(const gguf_file *from) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_error error;
  assert_int_equal(hb_plant_outliers(&source, &(hb_outlier_options){.seed = 1}, &sink, &error),
                   HB_OK);
  return gguf_file_of(to.data, to.size);
}

/* ---- Scales ---- */

static bool changed(const gguf_file *a, const gguf_file *b, const char *name) {
  const hb_tensor *x = hb_gguf_tensor(a->gguf, name), *y = hb_gguf_tensor(b->gguf, name);
  return x && memcmp(gguf_file_data(a, x), gguf_file_data(b, y), (size_t)x->bytes) != 0;
}

static bool any_changed(const gguf_file *a, const gguf_file *b, const char *end) {
  for (size_t i = 0; i < hb_gguf_tensor_count(a->gguf); i++) {
    char name[64];
    hb_string full = hb_gguf_tensor_at(a->gguf, i)->name;
    if (full.length < strlen(end) ||
        memcmp(full.data + full.length - strlen(end), end, strlen(end)) != 0)
      continue;
    snprintf(name, sizeof name, "%.*s", (int)full.length, full.data);
    if (changed(a, b, name)) return true;
  }
  return false;
}

/* Weights stay F32, so that nothing but the scales can change the logits. */
static void scales_leave_the_function_of_every_architecture_as_it_was(void **state) {
  (void)state;
  static const char *const models[] = {"vectors/arch/llama.gguf", "vectors/arch/qwen2.gguf",
                                       "vectors/arch/gemma3.gguf", "vectors/arch/gpt2.gguf",
                                       "vectors/arch/gptneox.gguf"};
  draw_tokens();
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    NEED_SHARED(models[i]);
    gguf_file from = gguf_file_shared(models[i]);
    gguf_file to = quantized(&from, &(hb_quantize_options){.type = "f32",
                                                           .method = "smoothquant+rtn",
                                                           .activations = "tensor",
                                                           .calibration = tokens,
                                                           .calibration_samples = FEW,
                                                           .calibration_length = LENGTH});
    double off = distance(&from, &to);
    if (!(off < 1e-9)) fail_msg("%s: %g", models[i], off);
    assert_true(any_changed(&from, &to, "_norm.weight"));
    gguf_file_close(&to);
    gguf_file_close(&from);
  }
}

static void a_fixed_alpha_scales_norms_alone_and_a_search_all_that_can_be(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  read_tokens(&from);
  gguf_file fixed = int8_of(&from, "smoothquant+rtn", "tensor", 0.5);
  gguf_file searched = int8_of(&from, "smoothquant+rtn", "tensor", 0);
  gguf_file plain = int8_of(&from, "rtn", "tensor", 0);
  assert_true(any_changed(&plain, &fixed, "_norm.weight"));
  assert_true(any_changed(&plain, &searched, "_norm.weight"));
  assert_false(any_changed(&plain, &fixed, "attn_output.weight"));
  assert_false(any_changed(&plain, &fixed, "ffn_down.weight"));
  assert_true(any_changed(&plain, &searched, "attn_output.weight"));
  assert_true(any_changed(&plain, &searched, "ffn_down.weight"));
  gguf_file_close(&fixed);
  gguf_file_close(&searched);
  gguf_file_close(&plain);
  gguf_file_close(&from);
}

/* One piece of text is enough neither to find an alpha nor to tell whether it is better. */
static void a_single_sample_means_the_usual_alpha(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  gguf_file from = gguf_file_shared("vectors/arch/llama.gguf");
  draw_tokens();
  hb_quantize_options options = {.type = "q8_0",
                                 .method = "smoothquant",
                                 .calibration = tokens,
                                 .calibration_samples = 1,
                                 .calibration_length = LENGTH};
  gguf_file searched = quantized(&from, &options);
  options.smooth_alpha = 0.5;
  gguf_file fixed = quantized(&from, &options);
  assert_int_equal(searched.size, fixed.size);
  assert_memory_equal(searched.bytes, fixed.bytes, fixed.size);
  gguf_file_close(&fixed);
  gguf_file_close(&searched);
  gguf_file_close(&from);
}

static void a_fixed_scale_of_least_error_is_better_than_that_of_the_largest_input(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  read_tokens(&from);
  double least = distance_of(&from, "channel", "tensor", 0);
  double largest = distance_of(&from, "channel", "tensor-max", 0);
  if (!(least < 0.9 * largest)) fail_msg("%g, by the largest input %g", least, largest);
  gguf_file_close(&from);
}

/* ---- Columns ---- */

/* Of the inputs of attention in layer 0. */
static uint32_t columns_of(const gguf_file *file, float threshold, uint16_t *columns) {
  hb_source source = {file->gguf, (void *)file, read_bytes};
  hb_survey survey;
  hb_error error;
  hb_walk_options options = {.isa = hb_isa_best(),
                             .source = &source,
                             .tokens = tokens,
                             .samples = SAMPLES,
                             .length = LENGTH};
  assert_int_equal(hb_survey_create(&options, threshold, &survey, &error), HB_OK);
  uint32_t count = hb_survey_outliers(&survey, hb_string_of("blk.0.attn_q.weight"), columns);
  hb_survey_destroy(&survey);
  return count;
}

/* A column that is large at few tokens does not: of this model many are so. */
static void columns_that_are_often_large_count_as_outliers(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), with = planted(&from);
  read_tokens(&from);
  uint16_t columns[256];
  const char *norm = "blk.0.attn_norm.weight";
  const float *before = (const void *)gguf_file_data(&from, hb_gguf_tensor(from.gguf, norm));
  const float *after = (const void *)gguf_file_data(&with, hb_gguf_tensor(with.gguf, norm));
  assert_int_equal(columns_of(&from, 6, columns), 0);
  assert_int_equal(columns_of(&with, 6, columns), 4);
  for (int i = 0; i < 4; i++) assert_true(before[columns[i]] != after[columns[i]]);
  assert_int_equal(columns_of(&with, 1e6f, columns), 0);
  assert_int_equal(columns_of(&with, 1e-9f, columns), 256);
  gguf_file_close(&with);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scales_leave_the_function_of_every_architecture_as_it_was),
      cmocka_unit_test(a_fixed_alpha_scales_norms_alone_and_a_search_all_that_can_be),
      cmocka_unit_test(a_single_sample_means_the_usual_alpha),
      cmocka_unit_test(a_fixed_scale_of_least_error_is_better_than_that_of_the_largest_input),
      cmocka_unit_test(columns_that_are_often_large_count_as_outliers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
