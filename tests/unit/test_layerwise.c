/* Quantizing with calibration text: what methods gain, what they leave as it was, and that results
 * depend on nothing but the arguments. */
#include "calibrating.h"
#include "model/model.h"

#define SMALL "vectors/quant/f32.gguf" /* random weights, rows of 256 and 512 */
#define TINY "vectors/arch/llama.gguf" /* the same, rows of 64 and more */
static gguf_file calibrated(const gguf_file *from, const char *type, const char *method,
                            const hb_parallel *parallel) {
  return quantized(from, &(hb_quantize_options){.parallel = parallel,
                                                .type = type,
                                                .method = method,
                                                .calibration = tokens,
                                                .calibration_samples = SAMPLES,
                                                .calibration_length = LENGTH});
}

static void calibration_brings_the_logits_closer(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = first_layers();
  read_tokens(&from);
  gguf_file plain = quantized(&from, &(hb_quantize_options){.type = "q4_0"});
  double worst = distance(&from, &plain);
  static const char *const methods[] = {"imatrix", "gptq"};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    gguf_file better = calibrated(&from, "q4_0", methods[i], NULL);
    double got = distance(&from, &better);
    if (!(got < worst)) fail_msg("%s: %g, rtn: %g", methods[i], got, worst);
    gguf_file_close(&better);
  }
  gguf_file_close(&plain);
  gguf_file_close(&from);
}

static bool differs(const gguf_file *a, const gguf_file *b, const char *name) {
  const hb_tensor *x = hb_gguf_tensor(a->gguf, name), *y = hb_gguf_tensor(b->gguf, name);
  assert_int_equal(x->bytes, y->bytes);
  return memcmp(gguf_file_data(a, x), gguf_file_data(b, y), (size_t)x->bytes) != 0;
}

/* The file has the inputs of the full model, text those behind layers that are quantized: with the
 * first layer's they agree, down to the bits as 512 inputs are. */
static void an_importance_file_takes_the_place_of_text(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = first_layers();
  read_tokens(&from);
  gguf_file measured = measured_inputs(&from);
  hb_source importance = {measured.gguf, &measured, read_bytes};
  gguf_file plain = quantized(&from, &(hb_quantize_options){.type = "q4_0"});
  gguf_file by_text = calibrated(&from, "q4_0", "imatrix", NULL);
  gguf_file by_file =
      quantized(&from, &(hb_quantize_options){.type = "q4_0", .importance = &importance});
  double off = distance(&from, &by_file), best = distance(&from, &by_text);
  assert_true(off < distance(&from, &plain));
  assert_true(off < 1.2 * best && best < 1.2 * off);
  assert_false(differs(&by_text, &by_file, "blk.0.attn_q.weight"));
  assert_true(differs(&plain, &by_file, "blk.0.attn_q.weight"));
  assert_true(differs(&plain, &by_file, "blk.1.ffn_down.weight"));
  gguf_file_close(&plain);
  gguf_file_close(&by_text);
  gguf_file_close(&by_file);
  gguf_file_close(&measured);
  gguf_file_close(&from);
}

/* What scales make larger in one place they make smaller in another: a mistake in either would
 * change logits by more than rounding to 8 bits, which is what remains. */
static void awq_scales_inputs_and_leaves_the_function_as_it_was(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  draw_tokens();
  gguf_file plain = quantized(&from, &(hb_quantize_options){.type = "q8_0"});
  gguf_file scaled = calibrated(&from, "q8_0", "awq+rtn", NULL);
  assert_true(distance(&from, &scaled) < 2 * distance(&from, &plain));
  assert_true(differs(&from, &scaled, "blk.0.attn_norm.weight"));
  assert_true(differs(&from, &scaled, "blk.0.ffn_norm.weight"));
  assert_true(differs(&plain, &scaled, "blk.0.attn_v.weight"));
  assert_true(differs(&plain, &scaled, "blk.0.ffn_up.weight"));
  gguf_file_close(&plain);
  gguf_file_close(&scaled);
  gguf_file_close(&from);
}

typedef struct method_case {
  const char *type, *method, *activations;
  int bits;
  double most;
} method_case;

static void assert_close(const gguf_file *from, const method_case *cases, size_t count) {
  gguf_file eight = quantized(from, &(hb_quantize_options){.type = "q8_0"});
  gguf_file four = quantized(from, &(hb_quantize_options){.type = "q4_0"});
  const double plain[] = {distance(from, &four), distance(from, &eight)};
  for (size_t i = 0; i < count; i++) {
    gguf_file got = quantized(from, &(hb_quantize_options){.type = cases[i].type,
                                                           .method = cases[i].method,
                                                           .activations = cases[i].activations,
                                                           .calibration = tokens,
                                                           .calibration_samples = SAMPLES,
                                                           .calibration_length = LENGTH});
    double off = distance(from, &got) / plain[cases[i].bits == 8];
    if (!(off < cases[i].most)) fail_msg("%s %s: %g", cases[i].type, cases[i].method, off);
    gguf_file_close(&got);
  }
  gguf_file_close(&eight);
  gguf_file_close(&four);
}

/* Compared with plain rounding to as many bits: a mistake in what is written or run brings the
 * distance to 1 and more, which is several times that of 4 bits. */
static void every_method_writes_a_file_that_runs_and_means_the_same(void **state) {
  (void)state;
  static const method_case tiny[] = {
      {"q8_0", "channel", NULL, 8, 3},
      {"q8_0", "smoothquant", NULL, 8, 4},
      {"q8_0", "llm.int8", NULL, 8, 4},
      {"q8_0", "smoothquant", "tensor", 8, 8},
      {"q8_0", "llm.int8", "tensor", 8, 8},
      {"q4_0", "zeroquant", NULL, 4, 1.5},
      {"q4_0", "spqr", NULL, 4, 1.5},
      {"q4_0", "smoothquant+gptq", NULL, 4, 1.5},
      {"q4_1", "hqq", NULL, 4, 1.5},
      {"nf4", "rtn", NULL, 4, 2},
      {"nf4", "gptq", NULL, 4, 1.5},
      {"fp4", "imatrix", NULL, 4, 3},
      {"int2_64", "gptq", NULL, 4, 9},
      {"int2_64", "hqq", NULL, 4, 15},
      {"table4", "squeezellm", NULL, 4, 1.5},
      {"table3", "squeezellm", NULL, 4, 5},
      {"table4", "awq+squeezellm", NULL, 4, 1.5},
  };
  static const method_case blocks_of_256[] = {
      {"q4_k_m", "gptq", NULL, 4, 1.2},
      {"q3_k", "spqr", NULL, 4, 3},
  };
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(TINY), wide = gguf_file_shared(SMALL);
  draw_tokens();
  assert_close(&from, tiny, sizeof tiny / sizeof *tiny);
  assert_close(&wide, blocks_of_256, sizeof blocks_of_256 / sizeof *blocks_of_256);
  gguf_file_close(&wide);
  gguf_file_close(&from);
}

static void threads_do_not_change_a_byte(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  draw_tokens();
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  gguf_file alone = calibrated(&from, "q4_0", "awq+gptq", NULL);
  gguf_file together = calibrated(&from, "q4_0", "awq+gptq", hb_threads_parallel(threads));
  assert_int_equal(alone.size, together.size);
  assert_memory_equal(alone.bytes, together.bytes, alone.size);
  hb_threads_destroy(threads);
  gguf_file_close(&alone);
  gguf_file_close(&together);
  gguf_file_close(&from);
}

static void methods_that_calibrate_refuse_to_go_without_text(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  bytes to = {0};
  hb_error error;
  hb_quantize_options options = {.type = "q4_0", .method = "gptq"};
  assert_int_equal(quantize(&from, &options, &to, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "method gptq needs text to calibrate with"));
  options = (hb_quantize_options){.type = "q4_0", .activations = "tensor"};
  assert_int_equal(quantize(&from, &options, &to, &error), HB_ARGUMENT);
  assert_non_null(
      strstr(error.message, "method rtn needs text to calibrate with, for its inputs'"));
  options = (hb_quantize_options){.type = "table4", .method = "rtn"};
  assert_int_equal(quantize(&from, &options, &to, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "cannot be rounded to TABLE4 by this method"));
  options.method = "awq+best";
  assert_int_equal(quantize(&from, &options, &to, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "unknown method best"));
  assert_int_equal(to.size, 0);
  gguf_file_close(&from);
}

static void layers_that_the_model_lacks_are_named(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  const hb_value *count = hb_gguf_value(from.gguf, "llama.block_count");
  assert_int_equal(count->bytes, 4);
  ((uint8_t *)count->data)[0] = 1; /* of 2 */
  draw_tokens();
  bytes to = {0};
  hb_error error;
  hb_quantize_options options = {.type = "q4_0",
                                 .method = "imatrix",
                                 .calibration = tokens,
                                 .calibration_samples = SAMPLES,
                                 .calibration_length = LENGTH};
  assert_int_equal(quantize(&from, &options, &to, &error), HB_MODEL);
  assert_non_null(strstr(error.message, "tensors of 2 layers, but its model has 1"));
  free(to.data);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calibration_brings_the_logits_closer),
      cmocka_unit_test(an_importance_file_takes_the_place_of_text),
      cmocka_unit_test(awq_scales_inputs_and_leaves_the_function_as_it_was),
      cmocka_unit_test(every_method_writes_a_file_that_runs_and_means_the_same),
      cmocka_unit_test(threads_do_not_change_a_byte),
      cmocka_unit_test(methods_that_calibrate_refuse_to_go_without_text),
      cmocka_unit_test(layers_that_the_model_lacks_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
