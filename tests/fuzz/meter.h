/* Memory that a fuzz target counts, and what has to hold. */
#ifndef HB_FUZZ_METER_H
#define HB_FUZZ_METER_H

#include "halfbyte.h"

#include <stdlib.h>

static inline void expect(bool condition) {
  if (!condition) abort();
}

typedef struct meter {
  hb_allocator allocator;
  uint64_t held, limit;
} meter;

static inline void *meter_allocate(void *context, size_t size, size_t alignment) {
  meter *m = context;
  m->held += size;
  expect(m->held <= m->limit);
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static inline void meter_release(void *context, void *block, size_t size) {
  ((meter *)context)->held -= size;
  free(block);
}

#endif
