/* Every architecture against logits of an independent implementation (llama.cpp, F32). */
#include "support.h"

static const hb_token vector_tokens[] = {1,  403, 407, 261, 378, 432, 429, 365, 282, 300,
                                         12, 500, 33,  77,  211, 309, 418, 11,  64,  490};
enum { TOKENS = 20, VOCABULARY = 512 };

/* The logits after each of the first `count` vector tokens, [count][VOCABULARY]. */
static void compute_logits(const hb_model *model, hb_kv_type kv, size_t count, float *out) {
  hb_session *session;
  hb_error error;
  hb_session_options options = {.context_length = 64, .kv = kv};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(hb_session_append(session, &vector_tokens[i], 1, &error), HB_OK);
    memcpy(out + i * VOCABULARY, hb_session_logits(session, 0), VOCABULARY * sizeof *out);
  }
  hb_session_destroy(session);
}

static void check_against_vectors(const char *name, double bound) {
  char file[64];
  static float logits[TOKENS * VOCABULARY];
  snprintf(file, sizeof file, "vectors/arch/%s.gguf", name);
  NEED_SHARED(file);
  hb_model *model = load_shared(file, HB_ISA_SCALAR);
  compute_logits(model, HB_KV_F32, TOKENS, logits);
  hb_model_destroy(model);

  size_t size;
  snprintf(file, sizeof file, "vectors/arch/%s.logits.f32", name);
  float *expected = (float *)(void *)read_shared(file, &size);
  assert_int_equal(size, sizeof logits);
  double error = normalized_squared_error(logits, expected, TOKENS * VOCABULARY);
  if (!(error < bound)) fail_msg("%s: normalized squared error %g, bound %g", name, error, bound);
  for (size_t i = 0; i < TOKENS; i++)
    assert_int_equal(index_of_largest(logits + i * VOCABULARY, VOCABULARY),
                     index_of_largest(expected + i * VOCABULARY, VOCABULARY));
  free(expected);
}

/* F32 against F32 differs by the order of sums only. */
#define SUMMATION_ORDER 1e-9
/* The reference rounds GELU through an fp16 table. */
#define FP16_GELU 1e-6

static void llama_matches(void **state) {
  (void)state;
  check_against_vectors("llama", SUMMATION_ORDER);
}
static void llama_with_tied_output_and_one_kv_head_a_head_matches(void **state) {
  (void)state;
  check_against_vectors("llama-tied-mha", SUMMATION_ORDER);
}
static void llama_with_rope_factors_matches(void **state) {
  (void)state;
  check_against_vectors("llama-ropefreqs", SUMMATION_ORDER);
}
static void qwen2_matches(void **state) {
  (void)state;
  check_against_vectors("qwen2", SUMMATION_ORDER);
}
static void qwen3_matches(void **state) {
  (void)state;
  check_against_vectors("qwen3", SUMMATION_ORDER);
}
static void gpt2_matches(void **state) {
  (void)state;
  check_against_vectors("gpt2", FP16_GELU);
}
static void gptneox_matches(void **state) {
  (void)state;
  check_against_vectors("gptneox", FP16_GELU);
}
static void gemma3_matches(void **state) {
  (void)state;
  check_against_vectors("gemma3", FP16_GELU);
}

/* ---- Quantized weights ---- */

/* Activations in int8 blocks cost about 1e-4 of the squared norm at each product; rivals round them
 * in blocks of their own, so logits differ by that much, not by the weights. */
#define INT8_ACTIVATIONS 4e-3

static void every_block_format_stays_near_the_reference(void **state) {
  (void)state;
  static const char *const names[] = {"f32",  "F16",    "BF16",   "Q4_0",   "Q4_1",   "Q5_0",
                                      "Q5_1", "Q8_0",   "Q2_K",   "Q3_K_M", "Q4_K_M", "Q5_K_M",
                                      "Q6_K", "IQ4_NL", "IQ4_XS", "TQ1_0",  "TQ2_0",  "MXFP4_MOE"};
  static float logits[TOKENS * VOCABULARY];
  NEED_SHARED("vectors/quant/f32.gguf");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char file[64];
    snprintf(file, sizeof file, "vectors/quant/%s.gguf", names[i]);
    hb_model *model = load_shared(file, hb_isa_best());
    compute_logits(model, HB_KV_F32, 16, logits);
    hb_model_destroy(model);
    size_t size;
    snprintf(file, sizeof file, "vectors/quant/%s.logits.f32", names[i]);
    float *expected = (float *)(void *)read_shared(file, &size);
    assert_int_equal(size, 16 * VOCABULARY * sizeof(float));
    double error = normalized_squared_error(logits, expected, 16 * VOCABULARY);
    if (!(error < INT8_ACTIVATIONS)) fail_msg("%s: normalized squared error %g", names[i], error);
    print_message("%-10s normalized squared error %.2g\n", names[i], error);
    free(expected);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(llama_matches),
      cmocka_unit_test(llama_with_tied_output_and_one_kv_head_a_head_matches),
      cmocka_unit_test(llama_with_rope_factors_matches),
      cmocka_unit_test(qwen2_matches),
      cmocka_unit_test(qwen3_matches),
      cmocka_unit_test(gpt2_matches),
      cmocka_unit_test(gptneox_matches),
      cmocka_unit_test(gemma3_matches),
      cmocka_unit_test(every_block_format_stays_near_the_reference),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
