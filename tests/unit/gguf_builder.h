/* Writes GGUF files in memory for tests, byte by byte and with no regard for sense, so that broken
 * ones can be written too. Little-endian hosts only. */
#ifndef HB_TEST_GGUF_BUILDER_H
#define HB_TEST_GGUF_BUILDER_H

#include "support.h"

/* Begins empty, {0}; whoever fills it frees `data`. */
typedef struct buffer {
  uint8_t *data;
  size_t size, capacity;
} buffer;

static inline void put(buffer *b, const void *data, size_t count) {
  if (b->size + count > b->capacity) {
    b->capacity = 2 * (b->size + count);
    b->data = realloc(b->data, b->capacity);
    assert_non_null(b->data);
  }
  if (count) memcpy(b->data + b->size, data, count);
  b->size += count;
}

static inline void put_u8(buffer *b, uint8_t v) {
  put(b, &v, 1);
}

static inline void put_u16(buffer *b, uint16_t v) {
  put(b, &v, 2);
}

static inline void put_u32(buffer *b, uint32_t v) {
  put(b, &v, 4);
}

static inline void put_u64(buffer *b, uint64_t v) {
  put(b, &v, 8);
}

static inline void put_string(buffer *b, const char *text) {
  put_u64(b, strlen(text));
  put(b, text, strlen(text));
}

/* Begins a file anew. */
static inline void put_header(buffer *b, uint64_t tensors, uint64_t values) {
  b->size = 0;
  put(b, "GGUF", 4);
  put_u32(b, 3);
  put_u64(b, tensors);
  put_u64(b, values);
}

static inline void put_key(buffer *b, const char *key, hb_value_type type) {
  put_string(b, key);
  put_u32(b, type);
}

static inline void put_key_u8(buffer *b, const char *key, uint8_t v) {
  put_key(b, key, HB_VALUE_U8);
  put_u8(b, v);
}

static inline void put_key_u16(buffer *b, const char *key, uint16_t v) {
  put_key(b, key, HB_VALUE_U16);
  put_u16(b, v);
}

static inline void put_key_u32(buffer *b, const char *key, uint32_t v) {
  put_key(b, key, HB_VALUE_U32);
  put_u32(b, v);
}

static inline void put_key_f32(buffer *b, const char *key, float v) {
  put_key(b, key, HB_VALUE_F32);
  put(b, &v, 4);
}

static inline void put_key_string(buffer *b, const char *key, const char *text) {
  put_key(b, key, HB_VALUE_STRING);
  put_string(b, text);
}

static inline void put_key_array(buffer *b, const char *key, hb_value_type element,
                                 uint64_t count) {
  put_key(b, key, HB_VALUE_ARRAY);
  put_u32(b, element);
  put_u64(b, count);
}

/* A tensor's record; rows = 0: a vector. */
static inline void put_tensor(buffer *b, const char *name, uint64_t cols, uint64_t rows,
                              uint32_t type, uint64_t offset) {
  put_string(b, name);
  put_u32(b, rows ? 2 : 1);
  put_u64(b, cols);
  if (rows) put_u64(b, rows);
  put_u32(b, type);
  put_u64(b, offset);
}

static inline void put_padding(buffer *b, size_t alignment) {
  while (b->size % alignment != 0) put_u8(b, 0);
}

#endif
