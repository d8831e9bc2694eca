/* config.json: the keys that follow from it, and the factors of its RoPE scaling. */
#include "gguf_files.h"

#include "import/config.h"

#include <math.h>

typedef struct outcome {
  hb_json json;
  hb_config config;
  gguf_file file; /* of the keys */
} outcome;

typedef struct bytes {
  uint8_t *data;
  size_t size;
} bytes;

static hb_status append(void *context, const void *more, size_t count, hb_error *error) {
  bytes *b = context;
  (void)error;
  b->data = realloc(b->data, b->size + count);
  memcpy(b->data + b->size, more, count);
  b->size += count;
  return HB_OK;
}

static outcome read_config(const char *text) {
  outcome o = {0};
  bytes header = {0};
  hb_sink sink = {&header, append};
  hb_gguf_writer *writer;
  hb_error error = {0};
  char *copy = malloc(strlen(text) + 1);
  strcpy(copy, text);
  assert_int_equal(hb_json_parse(copy, strlen(text), &o.json, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_create(NULL, &sink, &writer, &error), HB_OK);
  if (hb_config_read(hb_json_root(&o.json), writer, &o.config, &error) != HB_OK)
    fail_msg("%s", error.message);
  assert_int_equal(hb_gguf_writer_begin(writer, &error), HB_OK);
  hb_gguf_writer_destroy(writer);
  o.file = gguf_file_of(header.data, header.size);
  return o;
}

static void close_outcome(outcome *o) {
  gguf_file_close(&o->file);
  hb_config_close(&o->config);
  hb_json_close(&o->json);
}

static void expect_real(const outcome *o, const char *key, double expected) {
  double got;
  const hb_value *v = hb_gguf_value(o->file.gguf, key);
  if (!v) fail_msg("no key %s", key);
  assert_int_equal(hb_value_f64(v, 0, &got, NULL), HB_OK);
  if (fabs(got - expected) > 1e-6 * fabs(expected)) fail_msg("%s is %g", key, got);
}

static void expect_text(const outcome *o, const char *key, const char *expected) {
  hb_string got;
  const hb_value *v = hb_gguf_value(o->file.gguf, key);
  if (!v) fail_msg("no key %s", key);
  assert_int_equal(hb_value_string(v, &got, NULL), HB_OK);
  assert_int_equal(got.length, strlen(expected));
  assert_memory_equal(got.data, expected, got.length);
}

#define LLAMA(more)                                                                                \
  "{\"model_type\":\"llama\",\"vocab_size\":128256,\"hidden_size\":2048,"                          \
  "\"intermediate_size\":8192,\"num_attention_heads\":32,\"num_key_value_heads\":8,"               \
  "\"num_hidden_layers\":16,\"max_position_embeddings\":131072,\"rms_norm_eps\":1e-05" more "}"

/* Llama 3.2 1B, by the rule as its authors wrote it: in wavelengths. */
static void llama3_scaling_becomes_factors(void **state) {
  (void)state;
  outcome o = read_config(LLAMA(
      ",\"head_dim\":64,\"rope_theta\":500000.0,\"tie_word_embeddings\":true,\"rope_scaling\":{"
      "\"factor\":32.0,\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"
      "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}"));
  const float *factors = o.config.factors[HB_FACTORS_LLAMA3];
  assert_int_equal(o.config.pairs, 32);
  assert_non_null(factors);
  int kept = 0, slowed = 0;
  for (int i = 0; i < 32; i++) {
    double frequency = pow(500000, -2.0 * i / 64), wavelength = 2 * acos(-1) / frequency;
    double expected = frequency;
    if (wavelength > 8192 / 1.0) {
      expected = frequency / 32;
      slowed++;
    } else if (wavelength >= 8192 / 4.0) {
      double smooth = (8192 / wavelength - 1) / (4 - 1);
      expected = (1 - smooth) * frequency / 32 + smooth * frequency;
    } else {
      kept++;
    }
    if (fabs(frequency / factors[i] - expected) > 1e-6 * expected) fail_msg("factor %d", i);
  }
  assert_true(kept > 0 && slowed > 0 && kept + slowed < 32);
  assert_null(hb_gguf_value(o.file.gguf, "llama.rope.scaling.type"));
  expect_real(&o, "llama.rope.freq_base", 500000);
  expect_real(&o, "llama.rope.dimension_count", 64);
  expect_real(&o, "llama.attention.head_count_kv", 8);
  assert_true(o.config.tied);
  close_outcome(&o);
}

static void linear_scaling_is_kept(void **state) {
  (void)state;
  outcome o = read_config(LLAMA(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4.0}"));
  expect_text(&o, "llama.rope.scaling.type", "linear");
  expect_real(&o, "llama.rope.scaling.factor", 4);
  expect_real(&o, "llama.rope.freq_base", 10000);
  assert_false(o.config.tied);
  close_outcome(&o);
}

static void yarn_is_kept_with_what_its_magnitude_differs_by(void **state) {
  (void)state;
  outcome o = read_config(LLAMA(",\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":4.0,"
                                "\"rope_theta\":1e6,\"original_max_position_embeddings\":32768}"));
  expect_text(&o, "llama.rope.scaling.type", "yarn");
  expect_real(&o, "llama.rope.scaling.factor", 4);
  expect_real(&o, "llama.rope.scaling.original_context_length", 32768);
  expect_real(&o, "llama.rope.scaling.yarn_beta_fast", 32);
  expect_real(&o, "llama.rope.freq_base", 1e6);
  assert_null(hb_gguf_value(o.file.gguf, "llama.rope.scaling.attn_factor"));
  close_outcome(&o);
  o = read_config(LLAMA(",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,"
                        "\"beta_slow\":2,\"attention_factor\":1.0}"));
  /* 1 + 0.1 ln 4 always applies, and must go away again. */
  expect_real(&o, "llama.rope.scaling.attn_factor", 1 / (1 + 0.1 * log(4)));
  expect_real(&o, "llama.rope.scaling.yarn_beta_slow", 2);
  close_outcome(&o);
}

static void a_window_that_is_not_computed_ends_the_context(void **state) {
  (void)state;
  outcome o = read_config(LLAMA(",\"sliding_window\":4096"));
  expect_real(&o, "llama.context_length", 4096);
  close_outcome(&o);
  o = read_config(LLAMA(",\"sliding_window\":4096,\"use_sliding_window\":false"));
  expect_real(&o, "llama.context_length", 131072);
  close_outcome(&o);
  o = read_config(LLAMA(",\"sliding_window\":null"));
  expect_real(&o, "llama.context_length", 131072);
  close_outcome(&o);
}

static void phi3_has_factors_for_near_and_far(void **state) {
  (void)state;
  outcome o = read_config(
      "{\"model_type\":\"phi3\",\"vocab_size\":200064,\"hidden_size\":64,\"intermediate_size\":8,"
      "\"num_attention_heads\":4,\"num_hidden_layers\":1,\"max_position_embeddings\":131072,"
      "\"original_max_position_embeddings\":4096,\"partial_rotary_factor\":0.5,"
      "\"sliding_window\":262144,\"rope_scaling\":{\"type\":\"su\","
      "\"long_factor\":[1,2.5,40,64.125],\"short_factor\":[1.0,1.1,1.2,1.3]}}");
  expect_real(&o, "phi3.rope.dimension_count", 8);
  expect_text(&o, "phi3.rope.scaling.type", "longrope");
  expect_real(&o, "phi3.rope.scaling.original_context_length", 4096);
  expect_real(&o, "phi3.rope.scaling.attn_factor", sqrt(1 + log(32) / log(4096)));
  expect_real(&o, "phi3.context_length", 131072);
  assert_int_equal(o.config.pairs, 4);
  assert_true(o.config.factors[HB_FACTORS_LONG][3] == 64.125f);
  assert_true(o.config.factors[HB_FACTORS_SHORT][1] == 1.1f);
  assert_null(o.config.factors[HB_FACTORS_LLAMA3]);
  close_outcome(&o);
}

/* The file of Gemma 3 4B leaves out what its class supplies. */
static void gemma3_fills_in_what_its_authors_left_out(void **state) {
  (void)state;
  outcome o = read_config(
      "{\"model_type\":\"gemma3\",\"text_config\":{\"hidden_size\":2560,"
      "\"intermediate_size\":10240,\"model_type\":\"gemma3_text\",\"num_hidden_layers\":34,"
      "\"rope_scaling\":{\"factor\":8.0,\"rope_type\":\"linear\"},\"sliding_window\":1024}}");
  expect_text(&o, "general.architecture", "gemma3");
  expect_real(&o, "gemma3.attention.head_count", 8);
  expect_real(&o, "gemma3.attention.head_count_kv", 4);
  expect_real(&o, "gemma3.attention.key_length", 256);
  expect_real(&o, "gemma3.attention.sliding_window", 1024);
  expect_real(&o, "gemma3.context_length", 131072);
  expect_real(&o, "gemma3.rope.freq_base", 1e6);
  expect_real(&o, "gemma3.rope.freq_base_swa", 10000);
  expect_real(&o, "gemma3.rope.scaling.factor", 8);
  expect_real(&o, "gemma3.vocab_size", 262208);
  assert_true(o.config.tied);
  close_outcome(&o);
}

static void kinds_of_layers_may_have_their_own_rope(void **state) {
  (void)state;
  outcome o = read_config(
      "{\"model_type\":\"gemma3_text\",\"vocab_size\":262144,\"hidden_size\":640,"
      "\"intermediate_size\":2048,\"num_attention_heads\":4,\"num_key_value_heads\":1,"
      "\"head_dim\":256,\"num_hidden_layers\":7,\"max_position_embeddings\":32768,"
      "\"sliding_window\":512,\"layer_types\":[\"sliding_attention\",\"sliding_attention\","
      "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"full_attention\","
      "\"sliding_attention\"],\"rope_parameters\":{"
      "\"full_attention\":{\"rope_type\":\"default\",\"rope_theta\":2e6},"
      "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":20000.0}}}");
  expect_real(&o, "gemma3.rope.freq_base", 2e6);
  expect_real(&o, "gemma3.rope.freq_base_swa", 20000);
  close_outcome(&o);
}

static void gpt2_counts_its_feed_forward_from_the_width(void **state) {
  (void)state;
  outcome o = read_config("{\"model_type\":\"gpt2\",\"vocab_size\":50257,\"n_embd\":768,"
                          "\"n_layer\":12,\"n_head\":12,\"n_positions\":1024,\"n_inner\":null,"
                          "\"activation_function\":\"gelu_new\"}");
  expect_real(&o, "gpt2.feed_forward_length", 3072);
  expect_real(&o, "gpt2.attention.layer_norm_epsilon", 1e-5);
  assert_null(hb_gguf_value(o.file.gguf, "gpt2.rope.freq_base"));
  assert_true(o.config.tied);
  close_outcome(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(llama3_scaling_becomes_factors),
      cmocka_unit_test(linear_scaling_is_kept),
      cmocka_unit_test(yarn_is_kept_with_what_its_magnitude_differs_by),
      cmocka_unit_test(a_window_that_is_not_computed_ends_the_context),
      cmocka_unit_test(phi3_has_factors_for_near_and_far),
      cmocka_unit_test(gemma3_fills_in_what_its_authors_left_out),
      cmocka_unit_test(kinds_of_layers_may_have_their_own_rope),
      cmocka_unit_test(gpt2_counts_its_feed_forward_from_the_width),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
