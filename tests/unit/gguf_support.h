/* What the GGUF tests share: an allocator that counts and can fail, reading a header in pieces. */
#ifndef HB_TEST_GGUF_SUPPORT_H
#define HB_TEST_GGUF_SUPPORT_H

#include "gguf/gguf.h"
#include "support.h"

/* ---- Memory ---- */

/* Counts what is held, and fails once `left` allocations were made. */
typedef struct meter {
  hb_allocator allocator;
  uint64_t held, peak;
  uint64_t left;
} meter;

static inline void *meter_allocate(void *context, size_t size, size_t alignment) {
  meter *m = context;
  if (m->left == 0) return NULL;
  m->left--;
  m->held += size;
  if (m->held > m->peak) m->peak = m->held;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static inline void meter_release(void *context, void *block, size_t size) {
  ((meter *)context)->held -= size;
  free(block);
}

static inline void meter_start(meter *m) {
  *m = (meter){.allocator = {m, meter_allocate, meter_release}, .left = UINT64_MAX};
}

/* ---- Reading ---- */

/* Feeds a header in pieces of `piece` bytes until it is done or fails. HB_TRUNCATED if the bytes
 * end first. */
static inline hb_status feed_pieces(hb_gguf *g, const uint8_t *data, size_t size, size_t piece,
                                    size_t *taken, hb_error *error) {
  bool done = false;
  *taken = 0;
  while (!done) {
    size_t count = size - *taken < piece ? size - *taken : piece, used;
    if (count == 0) return HB_TRUNCATED;
    hb_status status = hb_gguf_feed(g, data + *taken, count, &used, &done, error);
    if (status != HB_OK) return status;
    *taken += used;
  }
  return HB_OK;
}

/* A reader that has read a sound header whole. */
static inline hb_gguf *open_gguf(const uint8_t *data, size_t size) {
  hb_gguf *g;
  hb_error error = {0};
  size_t taken;
  assert_int_equal(hb_gguf_create(NULL, &g, &error), HB_OK);
  assert_int_equal(hb_gguf_begin_shard(g, size, &error), HB_OK);
  hb_status status = feed_pieces(g, data, size, SIZE_MAX, &taken, &error);
  if (status != HB_OK) fail_msg("%s", error.message);
  return g;
}

#endif
