/* phi3 has no vectors of its own, but it is llama in other words: q, k and v in one matrix, gate
 * and up in one, and RoPE on halves. So llama's vector model, rewritten as phi3, must give llama's
 * logits. */
#include "gguf_builder.h"

#include "gguf/gguf.h"

#define MODEL "vectors/arch/llama.gguf"
#define LOGITS "vectors/arch/llama.logits.f32"
enum { WIDTH = 64, HEADS = 4, KV_HEADS = 2, HEAD = 16, FF = 128, LAYERS = 2, VOCABULARY = 512 };

/* ---- llama's tensors ---- */

static hb_loader *source;
static uint8_t *source_bytes;

static const float *tensor(const char *format, int layer) {
  char name[64];
  snprintf(name, sizeof name, format, layer);
  const hb_gguf *gguf = hb_loader_gguf(source);
  const hb_tensor *t = hb_gguf_tensor(gguf, name);
  assert_non_null(t);
  return (const float *)(const void *)(source_bytes + hb_gguf_data_start(gguf) + t->offset);
}

/* Rows of heads whose pairs are adjacent, put down with the first of each pair in the first half.
 */
static void put_as_halves(buffer *data, const float *rows, int heads) {
  for (int head = 0; head < heads; head++)
    for (int i = 0; i < HEAD; i++) {
      int from = i < HEAD / 2 ? 2 * i : 2 * (i - HEAD / 2) + 1;
      put(data, rows + (head * HEAD + from) * WIDTH, WIDTH * sizeof(float));
    }
}

static void copy_tensor(buffer *head, buffer *data, const char *format, int layer, uint64_t cols,
                        uint64_t rows) {
  char name[64];
  snprintf(name, sizeof name, format, layer);
  put_tensor(head, name, cols, rows, HB_TYPE_F32, data->size);
  put(data, tensor(format, layer), cols * (rows ? rows : 1) * sizeof(float));
}

static void put_layer(buffer *head, buffer *data, int layer) {
  char name[64];
  copy_tensor(head, data, "blk.%d.attn_norm.weight", layer, WIDTH, 0);
  copy_tensor(head, data, "blk.%d.ffn_norm.weight", layer, WIDTH, 0);
  copy_tensor(head, data, "blk.%d.attn_output.weight", layer, WIDTH, WIDTH);
  copy_tensor(head, data, "blk.%d.ffn_down.weight", layer, FF, WIDTH);

  snprintf(name, sizeof name, "blk.%d.attn_qkv.weight", layer);
  put_tensor(head, name, WIDTH, (HEADS + 2 * KV_HEADS) * HEAD, HB_TYPE_F32, data->size);
  put_as_halves(data, tensor("blk.%d.attn_q.weight", layer), HEADS);
  put_as_halves(data, tensor("blk.%d.attn_k.weight", layer), KV_HEADS);
  put(data, tensor("blk.%d.attn_v.weight", layer), KV_HEADS * HEAD * WIDTH * sizeof(float));

  snprintf(name, sizeof name, "blk.%d.ffn_up.weight", layer);
  put_tensor(head, name, WIDTH, 2 * FF, HB_TYPE_F32, data->size);
  put(data, tensor("blk.%d.ffn_gate.weight", layer), FF * WIDTH * sizeof(float));
  put(data, tensor("blk.%d.ffn_up.weight", layer), FF * WIDTH * sizeof(float));
}

static void write_phi3(buffer *head, buffer *data) {
  put_header(head, 3 + 6 * LAYERS, 8);
  put_key_string(head, "general.architecture", "phi3");
  put_key_u32(head, "phi3.block_count", LAYERS);
  put_key_u32(head, "phi3.embedding_length", WIDTH);
  put_key_u32(head, "phi3.feed_forward_length", FF);
  put_key_u32(head, "phi3.context_length", 256);
  put_key_u32(head, "phi3.attention.head_count", HEADS);
  put_key_u32(head, "phi3.attention.head_count_kv", KV_HEADS);
  put_key_f32(head, "phi3.attention.layer_norm_rms_epsilon", 1e-6f); /* as the vector has it */
  copy_tensor(head, data, "token_embd.weight", 0, WIDTH, VOCABULARY);
  copy_tensor(head, data, "output_norm.weight", 0, WIDTH, 0);
  copy_tensor(head, data, "output.weight", 0, WIDTH, VOCABULARY);
  for (int layer = 0; layer < LAYERS; layer++) put_layer(head, data, layer);
  put_padding(head, 32);
  put(head, data->data, data->size);
}

static void a_llama_written_as_phi3_gives_the_logits_of_llama(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  buffer head = {0}, data = {0};
  size_t size;
  hb_error error;
  hb_load_options options = {.isa = HB_ISA_SCALAR, .header_only = 1};
  source_bytes = read_shared(MODEL, &size);
  assert_int_equal(hb_loader_create(&options, &source, &error), HB_OK);
  assert_int_equal(hb_loader_begin_file(source, size, &error), HB_OK);
  assert_int_equal(hb_loader_feed(source, source_bytes, size, &error), HB_OK);
  write_phi3(&head, &data);
  hb_loader_destroy(source);
  free(source_bytes);

  hb_model *model;
  if (load_bytes(head.data, head.size, HB_ISA_SCALAR, &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  free(head.data);
  free(data.data);
  static const hb_token tokens[] = {1,  403, 407, 261, 378, 432, 429, 365, 282, 300,
                                    12, 500, 33,  77,  211, 309, 418, 11,  64,  490};
  hb_session *session;
  hb_session_options with_f32_cache = {.context_length = 32, .kv = HB_KV_F32};
  assert_int_equal(hb_session_create(model, &with_f32_cache, &session, &error), HB_OK);
  assert_int_equal(hb_session_append(session, tokens, 20, &error), HB_OK);
  float *expected = (float *)(void *)read_shared(LOGITS, &size);
  double difference = normalized_squared_error(hb_session_logits(session, 0),
                                               expected + 19 * VOCABULARY, VOCABULARY);
  /* F32 against F32 differs by the order of sums only. */
  if (!(difference < 1e-9)) fail_msg("normalized squared error %g", difference);
  free(expected);
  hb_session_destroy(session);
  hb_model_destroy(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_llama_written_as_phi3_gives_the_logits_of_llama),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
