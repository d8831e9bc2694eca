/* Quantizing from memory to memory, for the tests of what quantizes. */
#ifndef HB_TEST_QUANTIZED_H
#define HB_TEST_QUANTIZED_H

#include "gguf_files.h"

typedef struct bytes {
  uint8_t *data;
  size_t size, capacity;
  size_t limit; /* writing beyond it fails, unless 0 */
} bytes;

static inline hb_status write_bytes(void *context, const void *data, size_t count,
                                    hb_error *error) {
  bytes *b = context;
  if (b->limit && b->size + count > b->limit) {
    *error = (hb_error){HB_IO, HB_NO_OFFSET, "the disk is full"};
    return HB_IO;
  }
  if (b->size + count > b->capacity) {
    b->capacity = 2 * (b->size + count);
    b->data = realloc(b->data, b->capacity);
    assert_non_null(b->data);
  }
  memcpy(b->data + b->size, data, count);
  b->size += count;
  return HB_OK;
}

static inline hb_status read_bytes(void *context, uint32_t shard, uint64_t offset, void *out,
                                   size_t count, hb_error *error) {
  const gguf_file *files = context;
  if (offset + count > files[shard].size) {
    *error = (hb_error){HB_IO, offset, "the file shrank"};
    return HB_IO;
  }
  memcpy(out, files[shard].bytes + offset, count);
  return HB_OK;
}

static inline hb_status quantize(const gguf_file *from, const hb_quantize_options *options,
                                 bytes *to, hb_error *error) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  hb_sink sink = {to, write_bytes};
  return hb_quantize(&source, options, &sink, error);
}

/* Quantizes and reads the result; fails the test if that fails. */
static inline gguf_file quantized(const gguf_file *from, const hb_quantize_options *options) {
  bytes to = {0};
  hb_error error = {0};
  if (quantize(from, options, &to, &error) != HB_OK) fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

#endif
