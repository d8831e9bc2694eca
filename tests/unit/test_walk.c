/* Walking through a model layer by layer: the same states as the whole model gives, and changes of
 * weights that count. */
#include "compress/walk.h"
#include "quantized.h"

enum { LENGTH = 20, SAMPLES = 2, MOST_WIDTH = 512 };

static const hb_token tokens[SAMPLES * LENGTH] = {1,   403, 407, 261, 378, 432, 429, 365, 282, 300,
                                                  12,  500, 33,  77,  211, 309, 418, 11,  64,  490,
                                                  490, 64,  11,  418, 309, 211, 77,  33,  500, 12,
                                                  1,   300, 2,   3,   365, 429, 432, 378, 261, 407};

typedef struct taken {
  float values[SAMPLES][LENGTH * MOST_WIDTH];
  uint32_t width;
} taken;

static void take_hidden(void *context, const hb_walk *walk, uint32_t op) {
  taken *t = context;
  if (op != hb_walk_end(walk)) return;
  size_t stride;
  const float *rows = hb_walk_rows(walk, (hb_operand){HB_BUFFER_HIDDEN, 0, t->width}, &stride);
  for (size_t i = 0; i < LENGTH; i++)
    memcpy(t->values[hb_walk_sample(walk)] + i * t->width, rows + i * stride, t->width * 4);
}

static hb_walk *open_walk_of(hb_source *source, const gguf_file *from, bool original) {
  hb_walk *walk;
  hb_error error;
  *source = (hb_source){from->gguf, (void *)from, read_bytes};
  hb_walk_options options = {.isa = hb_isa_best(),
                             .source = source,
                             .tokens = tokens,
                             .samples = SAMPLES,
                             .length = LENGTH,
                             .original = original};
  if (hb_walk_create(&options, &walk, &error) != HB_OK) fail_msg("%s", error.message);
  return walk;
}

static hb_walk *open_walk(hb_source *source, const gguf_file *from) {
  return open_walk_of(source, from, false);
}

static void run_stage(hb_walk *walk, uint32_t layer, bool keep, const hb_tap *tap) {
  hb_error error;
  if (hb_walk_load(walk, layer, &error) != HB_OK ||
      hb_walk_run(walk, hb_walk_end(walk), SAMPLES, keep, tap, &error) != HB_OK)
    fail_msg("%s", error.message);
}

/* The states behind the last norm, of every layer as it is in the file. */
static void walk_through(const gguf_file *from, taken *out) {
  hb_source source;
  hb_walk *walk = open_walk(&source, from);
  uint32_t layers = hb_walk_model(walk)->h.layers;
  hb_tap tap = {out, take_hidden};
  out->width = hb_walk_model(walk)->h.width;
  assert_true(out->width <= MOST_WIDTH);
  for (uint32_t layer = 0; layer < layers; layer++) run_stage(walk, layer, true, NULL);
  run_stage(walk, layers, false, &tap);
  hb_walk_destroy(walk);
}

static void assert_same_as_session(const gguf_file *from, const taken *got) {
  hb_model *model;
  hb_session *session;
  hb_error error;
  if (load_bytes(from->bytes, from->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_session_options options = {.context_length = LENGTH, .logit_rows = LENGTH, .hidden = 1};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (size_t s = 0; s < SAMPLES; s++) {
    hb_row rows[LENGTH];
    for (size_t i = 0; i < LENGTH; i++) rows[i] = (hb_row){session, tokens[s * LENGTH + i], 1};
    hb_session_rewind(session, 0);
    assert_int_equal(hb_step(session, rows, LENGTH, &error), HB_OK);
    for (size_t i = 0; i < LENGTH; i++)
      assert_memory_equal(hb_session_hidden(session, i), got->values[s] + i * got->width,
                          got->width * 4);
  }
  hb_session_destroy(session);
  hb_model_destroy(model);
}

static void the_states_are_those_of_the_whole_model_bit_for_bit(void **state) {
  (void)state;
  static const char *const names[] = {"llama", "llama-tied-mha", "llama-ropefreqs", "qwen2",
                                      "qwen3", "gpt2",           "gptneox",         "gemma3"};
  static taken got;
  NEED_SHARED("vectors/arch/llama.gguf");
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char file[64];
    snprintf(file, sizeof file, "vectors/arch/%s.gguf", names[n]);
    gguf_file from = gguf_file_shared(file);
    walk_through(&from, &got);
    assert_same_as_session(&from, &got);
    gguf_file_close(&from);
  }
}

/* With attn_output and ffn_down at zero, a layer adds nothing to the stream. */
static void changed_weights_count(void **state) {
  (void)state;
  static taken without, changed;
  NEED_SHARED("vectors/arch/llama.gguf");
  gguf_file from = gguf_file_shared("vectors/arch/llama.gguf");
  hb_source source;
  hb_error error;
  for (int silent = 0; silent < 2; silent++) {
    taken *out = silent ? &changed : &without;
    hb_walk *walk = open_walk(&source, &from);
    hb_tap tap = {out, take_hidden};
    out->width = hb_walk_model(walk)->h.width;
    if (silent) {
      assert_int_equal(hb_walk_load(walk, 0, &error), HB_OK);
      static const hb_weight_kind kinds[] = {HB_WEIGHT_ATTN_OUTPUT, HB_WEIGHT_DOWN};
      for (int k = 0; k < 2; k++) {
        uint32_t i = hb_weight_find(hb_walk_model(walk), kinds[k], 0);
        memset(hb_walk_values(walk, i), 0, hb_walk_model(walk)->weights[i].matrix.bytes);
      }
      assert_int_equal(hb_walk_run(walk, hb_walk_end(walk), SAMPLES, true, NULL, &error), HB_OK);
    }
    run_stage(walk, hb_walk_model(walk)->h.layers, false, &tap);
    hb_walk_destroy(walk);
  }
  assert_memory_equal(without.values, changed.values, sizeof without.values);
  gguf_file_close(&from);
}

typedef struct both {
  taken original, changed;
} both;

static void take_both(void *context, const hb_walk *walk, uint32_t op) {
  both *b = context;
  take_hidden(hb_walk_in_original(walk) ? &b->original : &b->changed, walk, op);
}

static void double_weights(hb_walk *walk, hb_weight_kind kind, uint32_t layer) {
  uint32_t i = hb_weight_find(hb_walk_model(walk), kind, layer);
  uint64_t count = hb_walk_model(walk)->weights[i].matrix.bytes / sizeof(float);
  for (uint64_t k = 0; k < count; k++) hb_walk_values(walk, i)[k] *= 2;
}

/* Through weights that change after they were set, and by a stream through those of the file. */
static void the_original_goes_on_beside_what_becomes_of_it(void **state) {
  (void)state;
  static taken without, changed;
  static both got;
  NEED_SHARED("vectors/arch/llama.gguf");
  gguf_file from = gguf_file_shared("vectors/arch/llama.gguf");
  hb_source source;
  hb_error error;
  walk_through(&from, &without);
  hb_walk *walk = open_walk_of(&source, &from, true), *single = open_walk(&source, &from);
  uint32_t layers = hb_walk_model(walk)->h.layers;
  got.original.width = got.changed.width = changed.width = without.width;
  for (uint32_t layer = 0; layer < layers; layer++) {
    assert_int_equal(hb_walk_load(walk, layer, &error), HB_OK);
    assert_int_equal(hb_walk_set_original(walk, &error), HB_OK);
    double_weights(walk, HB_WEIGHT_DOWN, layer);
    hb_tap tap = {&got, take_both};
    assert_int_equal(hb_walk_run_both(walk, hb_walk_end(walk), &tap, &error), HB_OK);
    if (layer == 0)
      assert_memory_not_equal(got.original.values, got.changed.values, sizeof got.changed.values);
    assert_int_equal(hb_walk_run(walk, hb_walk_end(walk), SAMPLES, true, NULL, &error), HB_OK);
    assert_int_equal(hb_walk_keep_original(walk, &error), HB_OK);
    assert_int_equal(hb_walk_load(single, layer, &error), HB_OK);
    double_weights(single, HB_WEIGHT_DOWN, layer);
    assert_int_equal(hb_walk_run(single, hb_walk_end(single), SAMPLES, true, NULL, &error), HB_OK);
  }
  hb_tap tap = {&got, take_both}, alone = {&changed, take_hidden};
  assert_int_equal(hb_walk_load(walk, layers, &error), HB_OK);
  assert_int_equal(hb_walk_run_both(walk, hb_walk_end(walk), &tap, &error), HB_OK);
  run_stage(single, layers, false, &alone);
  assert_memory_equal(got.original.values, without.values, sizeof without.values);
  assert_memory_equal(got.changed.values, changed.values, sizeof changed.values);
  assert_memory_not_equal(changed.values, without.values, sizeof without.values);
  hb_walk_destroy(walk);
  hb_walk_destroy(single);
  gguf_file_close(&from);
}

static void what_cannot_be_walked_is_refused(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  gguf_file from = gguf_file_shared("vectors/arch/llama.gguf");
  hb_source source = {from.gguf, &from, read_bytes};
  static const hb_token bad[LENGTH] = {1, 512};
  hb_walk *walk;
  hb_error error;
  hb_walk_options options = {
      .isa = hb_isa_best(), .source = &source, .tokens = bad, .samples = 1, .length = LENGTH};
  assert_int_equal(hb_walk_create(&options, &walk, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "token 512 of the calibration is not in 0..511"));
  options.length = 1u << 20;
  assert_int_equal(hb_walk_create(&options, &walk, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "a sample has 1 to"));
  assert_null(walk);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_states_are_those_of_the_whole_model_bit_for_bit),
      cmocka_unit_test(changed_weights_count),
      cmocka_unit_test(the_original_goes_on_beside_what_becomes_of_it),
      cmocka_unit_test(what_cannot_be_walked_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
