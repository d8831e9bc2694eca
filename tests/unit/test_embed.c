/* Hidden states: what they are, that every instruction set gives the same bits, and that a session
 * that keeps them computes no logits. */
#include "model/model.h"
#include "support.h"

#define QUANTIZED "vectors/quant/Q4_0.gguf"
enum { TOKENS = 20, VOCABULARY = 512, MOST_WIDTH = 512 };

static const hb_token tokens[TOKENS] = {1,  403, 407, 261, 378, 432, 429, 365, 282, 300,
                                        12, 500, 33,  77,  211, 309, 418, 11,  64,  490};

static hb_session *open_session(const hb_model *model, uint32_t batch, int hidden) {
  hb_session *session;
  hb_error error;
  hb_session_options options = {
      .context_length = 64, .batch = batch, .logit_rows = TOKENS, .kv = HB_KV_F32};
  options.hidden = hidden;
  if (hb_session_create(model, &options, &session, &error) != HB_OK) fail_msg("%s", error.message);
  return session;
}

/* Appends all tokens in one step; the states of every one are kept. */
static void append(hb_session *session) {
  hb_row rows[TOKENS];
  hb_error error;
  for (size_t i = 0; i < TOKENS; i++) rows[i] = (hb_row){session, tokens[i], 1};
  assert_int_equal(hb_step(session, rows, TOKENS, &error), HB_OK);
}

static uint32_t width_of(const hb_model *model) {
  hb_model_info info;
  hb_model_get_info(model, &info);
  assert_true(info.width <= MOST_WIDTH);
  return info.width;
}

/* The product with the output matrix, in double: what the model's logits must be. */
static void multiply_by_output(const hb_model *model, const float *hidden, float *logits) {
  static float row[MOST_WIDTH];
  uint32_t output = hb_weight_find(model, HB_WEIGHT_OUTPUT, 0), width = width_of(model);
  if (output == HB_NONE) output = hb_weight_find(model, HB_WEIGHT_TOKEN_EMBD, 0);
  for (size_t i = 0; i < VOCABULARY; i++) {
    double sum = 0;
    hb_unpack_row(&model->weights[output].matrix, i, row);
    for (uint32_t k = 0; k < width; k++) sum += (double)row[k] * hidden[k];
    logits[i] = (float)sum;
  }
}

/* There are more logits than floats of a state, so the logits of an independent implementation
 * (llama.cpp, F32) leave no other states than these. */
static void the_output_matrix_makes_the_reference_logits_of_hidden_states(void **state) {
  (void)state;
  static const char *const names[] = {"llama", "llama-tied-mha", "qwen2", "qwen3",
                                      "gpt2",  "gptneox",        "gemma3"};
  static float logits[TOKENS * VOCABULARY];
  NEED_SHARED("vectors/arch/llama.gguf");
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char file[64];
    snprintf(file, sizeof file, "vectors/arch/%s.gguf", names[n]);
    hb_model *model = load_shared(file, HB_ISA_SCALAR);
    hb_session *session = open_session(model, 7, 1);
    append(session);
    for (size_t i = 0; i < TOKENS; i++)
      multiply_by_output(model, hb_session_hidden(session, i), logits + i * VOCABULARY);
    hb_session_destroy(session);
    hb_model_destroy(model);
    size_t size;
    snprintf(file, sizeof file, "vectors/arch/%s.logits.f32", names[n]);
    float *expected = (float *)(void *)read_shared(file, &size);
    assert_int_equal(size, sizeof logits);
    double error = normalized_squared_error(logits, expected, TOKENS * VOCABULARY);
    if (!(error < 1e-6)) fail_msg("%s: normalized squared error %g", names[n], error);
    free(expected);
  }
}

static void every_instruction_set_gives_the_bits_of_the_scalar_definition(void **state) {
  (void)state;
  static float expected[TOKENS * MOST_WIDTH];
  NEED_SHARED(QUANTIZED);
  for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++) {
    if (!hb_isa_available((hb_isa)isa)) continue;
    hb_model *model = load_shared(QUANTIZED, (hb_isa)isa);
    uint32_t width = width_of(model);
    hb_session *session = open_session(model, isa == HB_ISA_SCALAR ? 64 : 7, 1);
    append(session);
    for (size_t i = 0; i < TOKENS; i++) {
      const float *hidden = hb_session_hidden(session, i);
      if (isa == HB_ISA_SCALAR)
        memcpy(expected + i * width, hidden, width * sizeof *hidden);
      else
        assert_memory_equal(hidden, expected + i * width, width * sizeof *hidden);
    }
    hb_session_destroy(session);
    hb_model_destroy(model);
  }
}

static void the_states_of_wanted_rows_alone_are_kept(void **state) {
  (void)state;
  NEED_SHARED(QUANTIZED);
  hb_error error;
  hb_row rows[TOKENS];
  hb_model *model = load_shared(QUANTIZED, hb_isa_best());
  size_t bytes = width_of(model) * sizeof(float);
  hb_session *all = open_session(model, 64, 1), *some = open_session(model, 8, 1);
  append(all);
  for (size_t i = 0; i < TOKENS; i++) rows[i] = (hb_row){some, tokens[i], i % 3 == 2};
  assert_int_equal(hb_step(some, rows, TOKENS, &error), HB_OK);
  for (size_t i = 2, wanted = 0; i < TOKENS; i += 3, wanted++)
    assert_memory_equal(hb_session_hidden(some, wanted), hb_session_hidden(all, i), bytes);
  assert_null(hb_session_hidden(some, TOKENS / 3));
  hb_session_destroy(all);
  hb_session_destroy(some);
  hb_model_destroy(model);
}

static void a_session_keeps_either_logits_or_hidden_states(void **state) {
  (void)state;
  NEED_SHARED(QUANTIZED);
  hb_error error;
  hb_generator *generator;
  hb_piece piece;
  hb_model *model = load_shared(QUANTIZED, hb_isa_best());
  hb_session *hidden = open_session(model, 64, 1), *logits = open_session(model, 64, 0);
  append(hidden);
  append(logits);
  assert_null(hb_session_logits(hidden, 0));
  assert_null(hb_session_hidden(logits, 0));
  assert_null(hb_session_hidden(NULL, 0));
  hb_generate_options options = {.sampler = hb_sampler_defaults()};
  if (hb_generator_create(hidden, &options, &generator, &error) == HB_OK) {
    assert_int_equal(hb_generator_next(generator, &piece, &error), HB_STATE);
    hb_generator_destroy(generator);
  }
  hb_session_destroy(hidden);
  hb_session_destroy(logits);
  hb_model_destroy(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_output_matrix_makes_the_reference_logits_of_hidden_states),
      cmocka_unit_test(every_instruction_set_gives_the_bits_of_the_scalar_definition),
      cmocka_unit_test(the_states_of_wanted_rows_alone_are_kept),
      cmocka_unit_test(a_session_keeps_either_logits_or_hidden_states),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
