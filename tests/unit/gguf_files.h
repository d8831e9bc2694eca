/* GGUF files held in memory, for the tests that look at tensors themselves. */
#ifndef HB_TEST_GGUF_FILES_H
#define HB_TEST_GGUF_FILES_H

#include "support.h"

#include "gguf/gguf.h"

typedef struct gguf_file {
  uint8_t *bytes;
  size_t size;
  hb_gguf *gguf;
} gguf_file;

/* Takes over `bytes`, from malloc; fails the test if the header is not sound. */
static inline gguf_file gguf_file_of(uint8_t *bytes, size_t size) {
  gguf_file f = {bytes, size, NULL};
  hb_error error = {0};
  size_t used;
  bool done = false;
  hb_status status = hb_gguf_create(NULL, &f.gguf, &error);
  if (status == HB_OK) status = hb_gguf_begin_shard(f.gguf, size, &error);
  if (status == HB_OK) status = hb_gguf_feed(f.gguf, bytes, size, &used, &done, &error);
  if (status != HB_OK) fail_msg("%s", error.message);
  assert_true(done);
  return f;
}

static inline gguf_file gguf_file_shared(const char *relative) {
  size_t size;
  uint8_t *bytes = read_shared(relative, &size);
  return gguf_file_of(bytes, size);
}

static inline void gguf_file_close(gguf_file *f) {
  hb_gguf_destroy(f->gguf);
  free(f->bytes);
}

static inline const uint8_t *gguf_file_data(const gguf_file *f, const hb_tensor *tensor) {
  return f->bytes + hb_gguf_data_start(f->gguf) + tensor->offset;
}

static inline size_t tensor_values(const hb_tensor *tensor) {
  return (size_t)(tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3]);
}

/* All values of a tensor of a supported type, from malloc. */
static inline float *gguf_file_decode(const gguf_file *f, const hb_tensor *tensor) {
  const hb_type_traits *traits = hb_traits(tensor->type);
  size_t count = tensor_values(tensor);
  float *values = malloc(count * sizeof *values);
  assert_non_null(values);
  traits->decode(gguf_file_data(f, tensor), values, count / traits->block_values);
  return values;
}

#endif
