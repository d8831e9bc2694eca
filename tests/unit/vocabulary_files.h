/* The vocabularies of the vectors, texts to write them with, and a model that is no more than its
 * vocabulary. */
#ifndef HB_TEST_VOCABULARY_FILES_H
#define HB_TEST_VOCABULARY_FILES_H

#include "folder_files.h"
#include "gguf_files.h"

/* ---- Text that grows ---- */

typedef struct text {
  char *data;
  size_t size, capacity;
} text;

static inline void put(text *t, const char *bytes, size_t count) {
  tensors_grow(&t->data, &t->capacity, t->size + count);
  memcpy(t->data + t->size, bytes, count);
  t->size += count;
}

static inline void print(text *t, const char *words) {
  put(t, words, strlen(words));
}

/* As a JSON string; every third character that can be is escaped. */
static inline void print_quoted(text *t, hb_string s) {
  char escape[8];
  print(t, "\"");
  for (size_t i = 0; i < s.length; i++) {
    unsigned char c = (unsigned char)s.data[i];
    if (c < 0x20 || c == '"' || c == '\\' || (c < 0x80 && i % 3 == 2)) {
      snprintf(escape, sizeof escape, "\\u%04x", c);
      print(t, escape);
    } else {
      put(t, s.data + i, 1);
    }
  }
  print(t, "\"");
}

static inline void write_text(text *t, const test_folder *f, const char *name) {
  folder_write(f, name, t->data, t->size);
  free(t->data);
  *t = (text){0};
}

/* ---- A model that is no more than its vocabulary ---- */

static inline void write_tiny_model(const test_folder *f, uint64_t vocabulary, const char *more) {
  static const char *const vectors[] = {"norm", "layers.0.input_layernorm",
                                        "layers.0.post_attention_layernorm"};
  static const char *const matrices[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                         "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                         "mlp.down_proj"};
  tensors_file tensors = {0};
  char name[96], config[512];
  uint8_t *zeros = calloc(vocabulary, 16);
  tensors_add(&tensors, "model.embed_tokens.weight", "BF16", (uint64_t[]){vocabulary, 8, 0}, zeros,
              vocabulary * 16);
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    snprintf(name, sizeof name, "model.%s.weight", vectors[i]);
    tensors_add(&tensors, name, "BF16", (uint64_t[]){8, 0}, zeros, 16);
  }
  for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
    snprintf(name, sizeof name, "model.layers.0.%s.weight", matrices[i]);
    tensors_add(&tensors, name, "BF16", (uint64_t[]){8, 8, 0}, zeros, 128);
  }
  tensors_write(&tensors, f, "model.safetensors");
  snprintf(config, sizeof config,
           "{\"model_type\":\"llama\",\"vocab_size\":%llu,\"hidden_size\":8,"
           "\"intermediate_size\":8,\"num_attention_heads\":1,\"num_hidden_layers\":1,"
           "\"max_position_embeddings\":64,\"tie_word_embeddings\":true%s}",
           (unsigned long long)vocabulary, more);
  folder_text(f, "config.json", config);
  free(zeros);
}

/* ---- Vocabularies of the vectors ---- */

#define KEY "tokenizer.ggml."

typedef struct vocabulary {
  gguf_file file;
  uint32_t count;
  hb_string *text;
  const uint8_t *type; /* [count] i32 */
} vocabulary;

static inline vocabulary open_vocabulary(const char *name) {
  char path[128];
  uint64_t cursor = 0;
  snprintf(path, sizeof path, "vectors/tokenizer/%s.gguf", name);
  vocabulary v = {.file = gguf_file_shared(path)};
  const hb_value *tokens = hb_gguf_value(v.file.gguf, KEY "tokens");
  v.count = (uint32_t)tokens->count;
  v.text = malloc(v.count * sizeof *v.text);
  for (uint32_t i = 0; i < v.count; i++)
    assert_int_equal(hb_value_next_string(tokens, &cursor, &v.text[i], NULL), HB_OK);
  v.type = hb_gguf_value(v.file.gguf, KEY "token_type")->data;
  return v;
}

static inline void close_vocabulary(vocabulary *v) {
  free(v->text);
  gguf_file_close(&v->file);
}

static inline uint32_t type_of(const vocabulary *v, uint32_t i) {
  return hb_load_u32(v->type + 4 * (size_t)i);
}

/* Rows that have no token in the folder's files. */
static inline bool is_gap(const vocabulary *v, uint32_t i) {
  return v->text[i].length > 4 && memcmp(v->text[i].data, "[PAD", 4) == 0;
}

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5 };

/* ---- tokenizer.model ---- */

static inline void put_varint(text *t, uint64_t x) {
  for (; x >= 0x80; x >>= 7) put(t, &(char){(char)(x | 0x80)}, 1);
  put(t, &(char){(char)x}, 1);
}

static inline void put_number(text *t, uint32_t field, uint64_t x) {
  put_varint(t, field << 3);
  put_varint(t, x);
}

static inline void put_message(text *t, uint32_t field, text *message) {
  put_varint(t, field << 3 | 2);
  put_varint(t, message->size);
  put(t, message->data ? message->data : "", message->size);
  free(message->data);
  *message = (text){0};
}

static inline const uint8_t *scores_of(const vocabulary *v) {
  return hb_gguf_value(v->file.gguf, KEY "scores")->data;
}

/* A tokenizer.model with those pieces. Protocol Buffers leave out what is 0 or usual. */
static inline void write_pieces(const test_folder *f, const vocabulary *v) {
  text model = {0}, message = {0};
  for (uint32_t i = 0; i < v->count; i++) {
    put_varint(&message, 1 << 3 | 2);
    put_varint(&message, v->text[i].length);
    put(&message, v->text[i].data, v->text[i].length);
    put_varint(&message, 2 << 3 | 5);
    put(&message, (const char *)scores_of(v) + 4 * (size_t)i, 4);
    if (type_of(v, i) != NORMAL) put_number(&message, 3, type_of(v, i));
    put_message(&model, 1, &message);
  }
  put_number(&message, 3, 2); /* BPE */
  put_number(&message, 35, 1);
  put_number(&message, 43, UINT64_MAX); /* no padding: -1 */
  put_message(&model, 2, &message);
  put_varint(&message, 1 << 3 | 2);
  put_varint(&message, 8);
  print(&message, "identity");
  put_number(&message, 3, 1);
  put_number(&message, 4, 0);
  put_number(&message, 5, 1);
  put_message(&model, 3, &message);
  write_text(&model, f, "tokenizer.model");
}

#endif
