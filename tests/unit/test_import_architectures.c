/* Folders of Hugging Face, made from the GGUF vectors by undoing what a converter does, give the
 * tensors of those GGUF files and the logits of the independent implementation. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "folder_files.h"
#include "gguf_files.h"

#include <math.h>

/* ---- Undoing the conversion ---- */

/* What a converter does to a tensor; all that follows is written anew, from how Hugging Face's
 * models compute. */
typedef enum change { SAME, ADJACENT, CONV1D, INTERLEAVED, ONE_LESS } change;

typedef struct name_pair {
  const char *gguf, *folder; /* behind the layer's prefix, if any */
  change change;
} name_pair;

typedef struct layout {
  const char *layer; /* prefix of a layer's tensors */
  name_pair names[24];
} layout;

static const layout llama = {"model.layers.%u.",
                             {{"token_embd.weight", "model.embed_tokens.weight", SAME},
                              {"output_norm.weight", "model.norm.weight", SAME},
                              {"output.weight", "lm_head.weight", SAME},
                              {"attn_norm.weight", "input_layernorm.weight", SAME},
                              {"ffn_norm.weight", "post_attention_layernorm.weight", SAME},
                              {"attn_q.weight", "self_attn.q_proj.weight", ADJACENT},
                              {"attn_k.weight", "self_attn.k_proj.weight", ADJACENT},
                              {"attn_v.weight", "self_attn.v_proj.weight", SAME},
                              {"attn_output.weight", "self_attn.o_proj.weight", SAME},
                              {"ffn_gate.weight", "mlp.gate_proj.weight", SAME},
                              {"ffn_up.weight", "mlp.up_proj.weight", SAME},
                              {"ffn_down.weight", "mlp.down_proj.weight", SAME}}};

static const layout qwen = {"model.layers.%u.",
                            {{"token_embd.weight", "model.embed_tokens.weight", SAME},
                             {"output_norm.weight", "model.norm.weight", SAME},
                             {"output.weight", "lm_head.weight", SAME},
                             {"attn_norm.weight", "input_layernorm.weight", SAME},
                             {"ffn_norm.weight", "post_attention_layernorm.weight", SAME},
                             {"attn_q.weight", "self_attn.q_proj.weight", SAME},
                             {"attn_k.weight", "self_attn.k_proj.weight", SAME},
                             {"attn_v.weight", "self_attn.v_proj.weight", SAME},
                             {"attn_q.bias", "self_attn.q_proj.bias", SAME},
                             {"attn_k.bias", "self_attn.k_proj.bias", SAME},
                             {"attn_v.bias", "self_attn.v_proj.bias", SAME},
                             {"attn_q_norm.weight", "self_attn.q_norm.weight", SAME},
                             {"attn_k_norm.weight", "self_attn.k_norm.weight", SAME},
                             {"attn_output.weight", "self_attn.o_proj.weight", SAME},
                             {"ffn_gate.weight", "mlp.gate_proj.weight", SAME},
                             {"ffn_up.weight", "mlp.up_proj.weight", SAME},
                             {"ffn_down.weight", "mlp.down_proj.weight", SAME}}};

static const layout gemma = {
    "language_model.model.layers.%u.",
    {{"token_embd.weight", "language_model.model.embed_tokens.weight", SAME},
     {"output_norm.weight", "language_model.model.norm.weight", ONE_LESS},
     {"attn_norm.weight", "input_layernorm.weight", ONE_LESS},
     {"post_attention_norm.weight", "post_attention_layernorm.weight", ONE_LESS},
     {"ffn_norm.weight", "pre_feedforward_layernorm.weight", ONE_LESS},
     {"post_ffw_norm.weight", "post_feedforward_layernorm.weight", ONE_LESS},
     {"attn_q.weight", "self_attn.q_proj.weight", SAME},
     {"attn_k.weight", "self_attn.k_proj.weight", SAME},
     {"attn_v.weight", "self_attn.v_proj.weight", SAME},
     {"attn_q_norm.weight", "self_attn.q_norm.weight", ONE_LESS},
     {"attn_k_norm.weight", "self_attn.k_norm.weight", ONE_LESS},
     {"attn_output.weight", "self_attn.o_proj.weight", SAME},
     {"ffn_gate.weight", "mlp.gate_proj.weight", SAME},
     {"ffn_up.weight", "mlp.up_proj.weight", SAME},
     {"ffn_down.weight", "mlp.down_proj.weight", SAME}}};

static const layout gpt2 = {"h.%u.",
                            {{"token_embd.weight", "wte.weight", SAME},
                             {"position_embd.weight", "wpe.weight", SAME},
                             {"output_norm.weight", "ln_f.weight", SAME},
                             {"output_norm.bias", "ln_f.bias", SAME},
                             {"attn_norm.weight", "ln_1.weight", SAME},
                             {"attn_norm.bias", "ln_1.bias", SAME},
                             {"attn_qkv.weight", "attn.c_attn.weight", CONV1D},
                             {"attn_qkv.bias", "attn.c_attn.bias", SAME},
                             {"attn_output.weight", "attn.c_proj.weight", CONV1D},
                             {"attn_output.bias", "attn.c_proj.bias", SAME},
                             {"ffn_norm.weight", "ln_2.weight", SAME},
                             {"ffn_norm.bias", "ln_2.bias", SAME},
                             {"ffn_up.weight", "mlp.c_fc.weight", CONV1D},
                             {"ffn_up.bias", "mlp.c_fc.bias", SAME},
                             {"ffn_down.weight", "mlp.c_proj.weight", CONV1D},
                             {"ffn_down.bias", "mlp.c_proj.bias", SAME}}};

static const layout neox = {"gpt_neox.layers.%u.",
                            {{"token_embd.weight", "gpt_neox.embed_in.weight", SAME},
                             {"output.weight", "embed_out.weight", SAME},
                             {"output_norm.weight", "gpt_neox.final_layer_norm.weight", SAME},
                             {"output_norm.bias", "gpt_neox.final_layer_norm.bias", SAME},
                             {"attn_norm.weight", "input_layernorm.weight", SAME},
                             {"attn_norm.bias", "input_layernorm.bias", SAME},
                             {"attn_qkv.weight", "attention.query_key_value.weight", INTERLEAVED},
                             {"attn_qkv.bias", "attention.query_key_value.bias", INTERLEAVED},
                             {"attn_output.weight", "attention.dense.weight", SAME},
                             {"attn_output.bias", "attention.dense.bias", SAME},
                             {"ffn_norm.weight", "post_attention_layernorm.weight", SAME},
                             {"ffn_norm.bias", "post_attention_layernorm.bias", SAME},
                             {"ffn_up.weight", "mlp.dense_h_to_4h.weight", SAME},
                             {"ffn_up.bias", "mlp.dense_h_to_4h.bias", SAME},
                             {"ffn_down.weight", "mlp.dense_4h_to_h.weight", SAME},
                             {"ffn_down.bias", "mlp.dense_4h_to_h.bias", SAME}}};

enum { HEAD = 16, HEADS = 4 }; /* of the vectors whose rows change places */

/* [rows][cols] as GGUF has them to as the folder has them. */
static void undo(change what, const float *in, float *out, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; r++) {
    size_t head = r / HEAD, i = r % HEAD, to = r;
    if (what == ADJACENT) to = head * HEAD + (i % 2 ? HEAD / 2 : 0) + i / 2;
    if (what == INTERLEAVED) to = ((head % HEADS) * 3 + head / HEADS) * HEAD + i;
    for (size_t c = 0; c < cols; c++) {
      float x = in[r * cols + c];
      if (what == ONE_LESS) x -= 1;
      out[what == CONV1D ? c * rows + r : to * cols + c] = x;
    }
  }
}

static const name_pair *find_pair(const layout *l, const char *name) {
  for (const name_pair *p = l->names; p->gguf; p++)
    if (strcmp(p->gguf, name) == 0) return p;
  fail_msg("no name for %s", name);
  return NULL;
}

static void add_undone(tensors_file *out, const gguf_file *from, const hb_tensor *t,
                       const layout *l) {
  char name[80], folder_name[160];
  unsigned layer;
  int prefix = 0;
  snprintf(name, sizeof name, "%.*s", (int)t->name.length, t->name.data);
  if (sscanf(name, "blk.%u.%n", &layer, &prefix) != 1) prefix = 0;
  const name_pair *pair = find_pair(l, name + prefix);
  int length = 0;
  if (prefix) length = snprintf(folder_name, sizeof folder_name, l->layer, layer);
  snprintf(folder_name + length, sizeof folder_name - (size_t)length, "%s", pair->folder);

  size_t count = tensor_values(t);
  float *values = gguf_file_decode(from, t), *undone = malloc(count * sizeof *undone);
  /* The rows of a bias are its values. */
  bool vector = t->dim_count == 1;
  size_t rows = vector ? (size_t)t->dims[0] : (size_t)t->dims[1];
  undo(pair->change, values, undone, rows, vector ? 1 : (size_t)t->dims[0]);
  uint64_t dims[3] = {t->dims[1], t->dims[0], 0};
  if (pair->change == CONV1D) {
    dims[0] = t->dims[0];
    dims[1] = t->dims[1];
  }
  if (vector) {
    dims[0] = t->dims[0];
    dims[1] = 0;
  }
  tensors_add(out, folder_name, "F32", dims, undone, count * sizeof *undone);
  free(values);
  free(undone);
}

/* ---- Comparing ---- */

static const hb_token vector_tokens[] = {1,  403, 407, 261, 378, 432, 429, 365, 282, 300,
                                         12, 500, 33,  77,  211, 309, 418, 11,  64,  490};
enum { TOKENS = 20, VOCABULARY = 512 };

static void expect_logits(const test_folder *folder, const char *vector, double bound) {
  char file[80];
  size_t size;
  static float logits[TOKENS * VOCABULARY];
  hb_load_options load = {.isa = HB_ISA_SCALAR};
  hb_session_options options = {.context_length = 64, .kv = HB_KV_F32};
  hb_model *model;
  hb_session *session;
  hb_error error = {0};
  if (hb_load_file(folder->path, &load, NULL, &model, &error) != HB_OK)
    fail_msg("%s: %s", vector, error.message);
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (size_t i = 0; i < TOKENS; i++) {
    assert_int_equal(hb_session_append(session, &vector_tokens[i], 1, &error), HB_OK);
    memcpy(logits + i * VOCABULARY, hb_session_logits(session, 0), VOCABULARY * sizeof *logits);
  }
  hb_session_destroy(session);
  hb_model_destroy(model);
  snprintf(file, sizeof file, "vectors/arch/%s.logits.f32", vector);
  float *expected = (float *)(void *)read_shared(file, &size);
  assert_int_equal(size, sizeof logits);
  double difference = normalized_squared_error(logits, expected, TOKENS * VOCABULARY);
  if (!(difference < bound)) fail_msg("%s: normalized squared error %g", vector, difference);
  free(expected);
}

/* Tensors are those of the vector, bit by bit where nothing was added. */
static void expect_tensors(const test_folder *folder, const gguf_file *expected, bool exact) {
  hb_source source = source_of(folder->path);
  for (size_t i = 0; i < hb_gguf_tensor_count(expected->gguf); i++) {
    const hb_tensor *e = hb_gguf_tensor_at(expected->gguf, i);
    char name[80];
    snprintf(name, sizeof name, "%.*s", (int)e->name.length, e->name.data);
    const hb_tensor *t = hb_gguf_tensor(source.gguf, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_int_equal(t->bytes, e->bytes);
    float *got = malloc((size_t)t->bytes);
    const float *want = (const float *)(const void *)gguf_file_data(expected, e);
    uint64_t start = hb_gguf_shard_data_start(source.gguf, 0);
    assert_int_equal(source.read(source.context, 0, start + t->offset, got, (size_t)t->bytes, NULL),
                     HB_OK);
    if (exact && memcmp(got, want, (size_t)t->bytes) != 0) fail_msg("%s differs", name);
    for (size_t v = 0; v < tensor_values(e); v++)
      if (!(fabsf(got[v] - want[v]) < 1e-6f)) fail_msg("%s: value %zu differs", name, v);
    free(got);
  }
  hb_source_close(&source);
}

#define SUMMATION_ORDER 1e-9 /* as in test_architectures.c */
#define FP16_GELU 1e-6

static void check_vector(const char *vector, const layout *l, const char *config, double bound) {
  char file[80];
  test_folder folder;
  tensors_file tensors = {0};
  snprintf(file, sizeof file, "vectors/arch/%s.gguf", vector);
  NEED_SHARED(file);
  gguf_file from = gguf_file_shared(file);
  folder_create(&folder);
  for (size_t i = 0; i < hb_gguf_tensor_count(from.gguf); i++)
    add_undone(&tensors, &from, hb_gguf_tensor_at(from.gguf, i), l);
  tensors_write(&tensors, &folder, "model.safetensors");
  folder_text(&folder, "config.json", config);
  expect_tensors(&folder, &from, l != &gemma);
  expect_logits(&folder, vector, bound);
  folder_destroy(&folder);
  gguf_file_close(&from);
}

#define SIZES                                                                                      \
  "\"vocab_size\":512,\"hidden_size\":64,\"intermediate_size\":128,\"num_attention_heads\":4,"     \
  "\"max_position_embeddings\":256,"
#define RMS "\"rms_norm_eps\":1e-06,"

static void llama_folders_match(void **state) {
  (void)state;
  check_vector("llama", &llama,
               "{\"model_type\":\"llama\"," SIZES RMS "\"num_hidden_layers\":2,"
               "\"num_key_value_heads\":2,\"rope_theta\":10000.0,\"tie_word_embeddings\":false}",
               SUMMATION_ORDER);
}

static void tied_mistral_folders_match(void **state) {
  (void)state;
  check_vector("llama-tied-mha", &llama,
               "{\"model_type\":\"mistral\"," SIZES RMS "\"num_hidden_layers\":3,"
               "\"head_dim\":null,\"rope_scaling\":null,\"tie_word_embeddings\":true}",
               SUMMATION_ORDER);
}

static void qwen2_folders_match(void **state) {
  (void)state;
  check_vector("qwen2", &qwen,
               "{\"model_type\":\"qwen2\"," SIZES RMS "\"num_hidden_layers\":2,"
               "\"num_key_value_heads\":2,\"rope_theta\":1000000.0,\"sliding_window\":16,"
               "\"use_sliding_window\":false,\"tie_word_embeddings\":true}",
               SUMMATION_ORDER);
}

static void qwen3_folders_match(void **state) {
  (void)state;
  check_vector("qwen3", &qwen,
               "{\"model_type\":\"qwen3\"," SIZES RMS "\"num_hidden_layers\":2,"
               "\"num_key_value_heads\":2,\"head_dim\":32,"
               "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e6}}",
               SUMMATION_ORDER);
}

static void gemma3_folders_match(void **state) {
  (void)state;
  check_vector(
      "gemma3", &gemma,
      "{\"model_type\":\"gemma3\",\"text_config\":{\"model_type\":\"gemma3_text\"," SIZES RMS
      "\"num_hidden_layers\":7,\"num_key_value_heads\":2,\"head_dim\":32,"
      "\"query_pre_attn_scalar\":32,\"sliding_window\":16,"
      "\"hidden_activation\":\"gelu_pytorch_tanh\",\"sliding_window_pattern\":6}}",
      FP16_GELU);
}

static void gpt2_folders_match(void **state) {
  (void)state;
  check_vector("gpt2", &gpt2,
               "{\"model_type\":\"gpt2\",\"vocab_size\":512,\"n_embd\":64,\"n_layer\":2,"
               "\"n_head\":4,\"n_inner\":128,\"n_positions\":256,\"layer_norm_epsilon\":1e-05,"
               "\"activation_function\":\"gelu_new\"}",
               FP16_GELU);
}

static void gptneox_folders_match(void **state) {
  (void)state;
  check_vector("gptneox", &neox,
               "{\"model_type\":\"gpt_neox\"," SIZES "\"num_hidden_layers\":2,\"rotary_pct\":0.5,"
               "\"rotary_emb_base\":10000,\"layer_norm_eps\":1e-05,\"hidden_act\":\"gelu\","
               "\"use_parallel_residual\":true,\"tie_word_embeddings\":false}",
               FP16_GELU);
}

/* ---- Phi-3: a Llama whose matrices are fused, so it has the Llama's logits ---- */

/* Adds tensors, one under the other, as one. */
static void add_fused(tensors_file *out, const gguf_file *from, unsigned layer, const char *name,
                      const char *const *parts, const change *changes, size_t count) {
  char part[80], fused[80];
  float *all = NULL;
  uint64_t dims[3] = {0, 64, 0};
  for (size_t i = 0; i < count; i++) {
    snprintf(part, sizeof part, "blk.%u.%s", layer, parts[i]);
    const hb_tensor *t = hb_gguf_tensor(from->gguf, part);
    assert_non_null(t);
    float *values = gguf_file_decode(from, t);
    all = realloc(all, (size_t)(dims[0] + t->dims[1]) * 64 * sizeof *all);
    undo(changes[i], values, all + dims[0] * 64, (size_t)t->dims[1], 64);
    dims[0] += t->dims[1];
    free(values);
  }
  snprintf(fused, sizeof fused, "model.layers.%u.%s", layer, name);
  tensors_add(out, fused, "F32", dims, all, (size_t)dims[0] * 64 * sizeof *all);
  free(all);
}

static void phi3_folders_match_the_llama_that_they_fuse(void **state) {
  (void)state;
  static const char *const qkv[] = {"attn_q.weight", "attn_k.weight", "attn_v.weight"};
  static const char *const gate_up[] = {"ffn_gate.weight", "ffn_up.weight"};
  static const change turns[] = {ADJACENT, ADJACENT, SAME}, none[] = {SAME, SAME};
  NEED_SHARED("vectors/arch/llama.gguf");
  gguf_file from = gguf_file_shared("vectors/arch/llama.gguf");
  test_folder folder;
  tensors_file tensors = {0};
  folder_create(&folder);
  for (size_t i = 0; i < hb_gguf_tensor_count(from.gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(from.gguf, i);
    bool fused = false;
    for (size_t p = 0; p < 3; p++) {
      char name[80];
      snprintf(name, sizeof name, "%.*s", (int)t->name.length, t->name.data);
      fused |= strstr(name, qkv[p]) || (p < 2 && strstr(name, gate_up[p]));
    }
    if (!fused) add_undone(&tensors, &from, t, &llama);
  }
  for (unsigned layer = 0; layer < 2; layer++) {
    add_fused(&tensors, &from, layer, "self_attn.qkv_proj.weight", qkv, turns, 3);
    add_fused(&tensors, &from, layer, "mlp.gate_up_proj.weight", gate_up, none, 2);
  }
  tensors_write(&tensors, &folder, "model.safetensors");
  folder_text(&folder, "config.json",
              "{\"model_type\":\"phi3\"," SIZES RMS "\"num_hidden_layers\":2,"
              "\"num_key_value_heads\":2,\"rope_theta\":10000.0,"
              "\"original_max_position_embeddings\":256,\"sliding_window\":2047}");
  expect_logits(&folder, "llama", SUMMATION_ORDER);
  folder_destroy(&folder);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(llama_folders_match),
      cmocka_unit_test(tied_mistral_folders_match),
      cmocka_unit_test(qwen2_folders_match),
      cmocka_unit_test(qwen3_folders_match),
      cmocka_unit_test(gemma3_folders_match),
      cmocka_unit_test(gpt2_folders_match),
      cmocka_unit_test(gptneox_folders_match),
      cmocka_unit_test(phi3_folders_match_the_llama_that_they_fuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
