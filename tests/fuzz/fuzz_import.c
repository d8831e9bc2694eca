/* Any bytes as a file of a Hugging Face folder. The first says of which: 'j' JSON, 's' safetensors,
 * 'p' tokenizer.model, 't' tokenizer.json, 'c' config.json. It ends in an error or in something
 * sound: tensors that can be read, keys that a GGUF reader takes. */
#include "import/config.h"
#include "import/safetensors.h"
#include "import/vocabulary.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition) {
  if (!condition) abort();
}

/* A block of that size, so that a byte read beyond it is noticed. */
static uint8_t *copy_of(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  expect(copy != NULL);
  if (size) memcpy(copy, data, size);
  return copy;
}

/* ---- JSON ---- */

static uint32_t walk(hb_item item) {
  uint64_t whole;
  double real;
  bool truth;
  hb_string text;
  uint32_t nodes = 1;
  if (hb_json_u64(item, &whole) && whole < (uint64_t)1 << 53)
    expect(hb_json_f64(item, &real) && real == (double)whole);
  hb_json_f64(item, &real);
  hb_json_bool(item, &truth);
  hb_json_string(item, &text);
  for (hb_json_walk w = hb_json_begin(item); hb_json_step(&w);) nodes += walk(w.value) + w.keyed;
  return nodes;
}

static void try_json(const uint8_t *data, size_t size) {
  hb_json json;
  if (hb_json_parse((char *)copy_of(data, size), size, &json, NULL) != HB_OK) return;
  expect(walk(hb_json_root(&json)) == json.count);
  hb_json_close(&json);
}

/* ---- safetensors ---- */

static void try_safetensors(const uint8_t *data, size_t size) {
  hb_safetensors file;
  uint8_t *bytes = copy_of(data, size);
  uint64_t total = 0, sum = 0;
  if (hb_safetensors_open(bytes, size, &file, NULL) == HB_OK) {
    for (uint32_t i = 0; i < file.count; i++) {
      const hb_safetensor *t = &file.tensors[i];
      for (uint64_t b = 0; b < t->bytes; b++) sum += t->data[b];
      total += t->bytes;
      expect(hb_safetensors_find(&file, t->name) == t);
    }
    expect(total == size - 8 - hb_load_u64(data) && sum <= UINT8_MAX * total);
    hb_safetensors_close(&file);
  }
  free(bytes);
}

/* ---- What becomes keys ---- */

typedef struct header {
  uint8_t *bytes;
  size_t size;
} header;

static hb_status append(void *context, const void *bytes, size_t count, hb_error *error) {
  header *h = context;
  (void)error;
  h->bytes = realloc(h->bytes, h->size + count);
  expect(h->bytes != NULL);
  memcpy(h->bytes + h->size, bytes, count);
  h->size += count;
  return HB_OK;
}

static hb_gguf_writer *writer_to(header *h) {
  hb_sink sink = {h, append};
  hb_gguf_writer *w;
  expect(hb_gguf_writer_create(NULL, &sink, &w, NULL) == HB_OK);
  return w;
}

/* The keys that were set can be read. */
static void read_back(hb_gguf_writer *w, header *h) {
  hb_gguf *gguf;
  size_t used;
  bool done;
  expect(hb_gguf_writer_begin(w, NULL) == HB_OK);
  expect(hb_gguf_create(NULL, &gguf, NULL) == HB_OK);
  expect(hb_gguf_begin_shard(gguf, h->size, NULL) == HB_OK);
  expect(hb_gguf_feed(gguf, h->bytes, h->size, &used, &done, NULL) == HB_OK && done);
  hb_gguf_destroy(gguf);
}

static void check_vocabulary(const hb_vocabulary *v) {
  header h = {0};
  hb_gguf_writer *w = writer_to(&h);
  expect(hb_vocabulary_set_keys(v, w, NULL) == HB_OK);
  read_back(w, &h);
  hb_gguf_writer_destroy(w);
  free(h.bytes);
}

enum { TOKENS = 40 };

static void try_pieces(const uint8_t *data, size_t size) {
  hb_vocabulary v;
  uint8_t *bytes = copy_of(data, size);
  expect(hb_vocabulary_create(TOKENS, &v, NULL) == HB_OK);
  if (hb_sentencepiece_read(bytes, size, &v, NULL) == HB_OK) check_vocabulary(&v);
  hb_vocabulary_close(&v);
  free(bytes);
}

static void try_tokenizer(const uint8_t *data, size_t size) {
  hb_vocabulary v;
  hb_json json;
  if (hb_json_parse((char *)copy_of(data, size), size, &json, NULL) != HB_OK) return;
  hb_item root = hb_json_root(&json);
  const hb_special_files files = {root, root, root, root, root};
  expect(hb_vocabulary_create(TOKENS, &v, NULL) == HB_OK);
  if (hb_tokenizer_json_read(root, &v, NULL) == HB_OK && hb_special_read(&files, &v, NULL) == HB_OK)
    check_vocabulary(&v);
  hb_vocabulary_close(&v);
  hb_json_close(&json);
}

static void try_config(const uint8_t *data, size_t size) {
  hb_config config;
  hb_json json;
  if (hb_json_parse((char *)copy_of(data, size), size, &json, NULL) != HB_OK) return;
  header h = {0};
  hb_gguf_writer *w = writer_to(&h);
  if (hb_config_read(hb_json_root(&json), w, &config, NULL) == HB_OK) {
    read_back(w, &h);
    hb_config_close(&config);
  }
  hb_gguf_writer_destroy(w);
  free(h.bytes);
  hb_json_close(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  switch (data[0]) {
  case 'j': try_json(data + 1, size - 1); break;
  case 's': try_safetensors(data + 1, size - 1); break;
  case 'p': try_pieces(data + 1, size - 1); break;
  case 't': try_tokenizer(data + 1, size - 1); break;
  case 'c': try_config(data + 1, size - 1); break;
  default: break;
  }
  return 0;
}
