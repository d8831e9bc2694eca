/* A heap over the linear memory of the module, from __heap_base up to whatever memory.grow gives.
 * Not thread-safe: only the thread that loads and runs models allocates. */
#ifndef HB_WASM_HEAP_H
#define HB_WASM_HEAP_H

#include "halfbyte.h"

#define HB_HEAP_BINS                                                                               \
  26 /* bin i holds free blocks of 64 * 2^i bytes and more, below 64 * 2^(i+1)                     \
      */

typedef struct hb_heap {
  struct hb_heap_block *bins[HB_HEAP_BINS];
  struct hb_heap_block *end; /* the sentinel behind the last block; NULL before the first use */
  size_t used;               /* bytes in blocks that are allocated, headers included */
} hb_heap;

/* Functions of an hb_allocator whose context is a zeroed hb_heap. */
void *hb_heap_allocate(void *heap, size_t size, size_t alignment);
void hb_heap_release(void *heap, void *block, size_t size);

#endif
