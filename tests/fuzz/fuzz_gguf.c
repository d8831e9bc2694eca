/* Any bytes as a GGUF header: it ends in an error or in records that are sound, and however the
 * bytes are cut into pieces, the result is the same. */
#include "gguf/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition) {
  if (!condition) abort();
}

typedef struct outcome {
  hb_gguf *gguf;
  hb_status status;
  hb_error error;
  bool done;
  size_t used;
} outcome;

/* Reads the header, of a file of `file_size` bytes, in pieces whose sizes follow from `seed`; 0: in
 * one piece. Each piece is a block of its own, so that a byte read beyond it is noticed. */
static outcome read_header(const uint8_t *data, size_t size, uint64_t file_size, uint32_t seed) {
  outcome o = {.status = HB_OK};
  expect(hb_gguf_create(NULL, &o.gguf, NULL) == HB_OK);
  expect(hb_gguf_begin_shard(o.gguf, file_size, NULL) == HB_OK);
  for (size_t at = 0; at < size && o.status == HB_OK && !o.done;) {
    size_t piece = size - at, used;
    if (seed) {
      seed = seed * 1664525 + 1013904223;
      size_t wanted = 1 + (seed >> 16) % (1u << (seed >> 28) % 10);
      if (wanted < piece) piece = wanted;
    }
    uint8_t *copy = malloc(piece);
    memcpy(copy, data + at, piece);
    o.status = hb_gguf_feed(o.gguf, copy, piece, &used, &o.done, &o.error);
    free(copy);
    expect(used <= piece);
    at += used;
    o.used = at;
  }
  return o;
}

static void check_value(const hb_gguf *gguf, const hb_value *v) {
  char key[64];
  uint64_t u = 0, cursor = 0, strings = 0;
  int64_t i = 0;
  double f;
  int b;
  hb_string s;
  if (v->key.length < sizeof key && !memchr(v->key.data, 0, v->key.length)) {
    memcpy(key, v->key.data, v->key.length);
    key[v->key.length] = 0;
    expect(hb_gguf_value(gguf, key) == v);
  }
  if (hb_value_u64(v, v->count - 1, &u, NULL) == HB_OK &&
      hb_value_i64(v, v->count - 1, &i, NULL) == HB_OK)
    expect(u == (uint64_t)i);
  expect(hb_value_f64(v, v->count, &f, NULL) == HB_MODEL);
  hb_value_f64(v, 0, &f, NULL);
  hb_value_bool(v, &b, NULL);
  if (hb_value_string(v, &s, NULL) == HB_OK) expect(s.length + 8 == v->bytes);
  while (hb_value_next_string(v, &cursor, &s, NULL) == HB_OK) strings++;
  if (v->type == HB_VALUE_ARRAY && v->element == HB_VALUE_STRING)
    expect(strings == v->count && cursor == v->bytes);
}

static void check_records(const outcome *o, uint64_t file_size) {
  uint64_t end = 0;
  for (size_t i = 0; i < hb_gguf_value_count(o->gguf); i++)
    check_value(o->gguf, hb_gguf_value_at(o->gguf, i));
  for (size_t i = 0; i < hb_gguf_tensor_count(o->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(o->gguf, i);
    uint64_t row, bytes;
    expect(hb_row_bytes(t->type, t->dims[0], &row));
    expect(hb_mul_u64(row, t->dims[1] * t->dims[2] * t->dims[3], &bytes) && bytes == t->bytes);
    expect(t->bytes > 0 && t->offset >= end && t->offset % hb_gguf_alignment(o->gguf) == 0);
    end = t->offset + t->bytes;
  }
  expect(end == hb_gguf_data_bytes(o->gguf));
  expect(end == 0 || hb_gguf_data_start(o->gguf) + end <= file_size);
}

static void compare(const outcome *a, const outcome *b) {
  expect(a->status == b->status && a->done == b->done);
  if (a->status != HB_OK) {
    expect(a->error.offset == b->error.offset && !strcmp(a->error.message, b->error.message));
    return;
  }
  expect(a->used == b->used && hb_gguf_data_start(a->gguf) == hb_gguf_data_start(b->gguf));
  expect(hb_gguf_value_count(a->gguf) == hb_gguf_value_count(b->gguf));
  expect(hb_gguf_tensor_count(a->gguf) == hb_gguf_tensor_count(b->gguf));
  for (size_t i = 0; i < hb_gguf_value_count(a->gguf); i++) {
    const hb_value *v = hb_gguf_value_at(a->gguf, i), *w = hb_gguf_value_at(b->gguf, i);
    expect(v->type == w->type && v->element == w->element && v->count == w->count);
    expect(v->bytes == w->bytes && !memcmp(v->data, w->data, (size_t)v->bytes));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint32_t seed = (uint32_t)hb_hash(data, size) | 1;
  outcome whole = read_header(data, size, size, 0);
  outcome pieces = read_header(data, size, size, seed);
  outcome endless = read_header(data, size, HB_SIZE_UNKNOWN, seed);
  compare(&whole, &pieces);
  if (whole.done) {
    check_records(&whole, size);
    compare(&whole, &endless);
  }
  if (endless.done) check_records(&endless, UINT64_MAX);
  hb_gguf_destroy(whole.gguf);
  hb_gguf_destroy(pieces.gguf);
  hb_gguf_destroy(endless.gguf);
  return 0;
}
