#include "heap.h"

#include <stdbool.h>

#define PAGE 65536u
#define UNIT 64u /* every block's size is a multiple of it, every payload is aligned to it */
#define GROWTH (16 * PAGE) /* more than is needed, if it can be had */
#define MAX_REQUEST 0xf0000000u
#define MAX_ADDRESS 0xffff0000u /* the last page stays unused, so that no end is 2^32 */

/* A block is a header of 16 bytes and its payload; headers stand 16 bytes below a multiple of 64,
 * so that payloads are aligned. Neighbours are found through the two sizes, free blocks are linked
 * within their bin through the start of the payload.
 *
 *   ... | size before | size, used | - - | payload ...            | header of the next block
 *                                         ^ multiple of 64
 */
typedef struct hb_heap_block {
  uint32_t before; /* size of the block in front; 0 for the first */
  uint32_t size;   /* of this block with its header; the sentinel's is 0 */
  uint32_t used;
  uint32_t unused_padding;
  struct hb_heap_block *next, *previous; /* payload of a free block */
} block;

#define HEADER 16u

_Static_assert(sizeof(void *) == 4, "for wasm32");
_Static_assert(offsetof(block, next) == HEADER, "the links lie in the payload");

extern unsigned char __heap_base; /* the linker's: where static data and the stack end */

static block *at(const block *b, uint32_t distance) {
  return (block *)((uintptr_t)b + distance);
}

static uint32_t bin_of(uint32_t size) {
  return 31u - (uint32_t)__builtin_clz(size / UNIT);
}

static void link_free(hb_heap *heap, block *b) {
  block **bin = &heap->bins[bin_of(b->size)];
  b->used = 0;
  b->previous = NULL;
  b->next = *bin;
  if (b->next) b->next->previous = b;
  *bin = b;
}

static void unlink_free(hb_heap *heap, block *b) {
  if (b->previous) {
    b->previous->next = b->next;
  } else {
    heap->bins[bin_of(b->size)] = b->next;
  }
  if (b->next) b->next->previous = b->previous;
}

static void set_size(block *b, uint32_t size) {
  b->size = size;
  at(b, size)->before = size;
}

/* Grows the memory, if that is needed, until it reaches to `limit`. */
static bool reach(uint64_t limit) {
  uint64_t now = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
  if (limit <= now) return true;
  return __builtin_wasm_memory_grow(0, (size_t)((limit - now + PAGE - 1) / PAGE)) != SIZE_MAX;
}

/* Makes a free block of at least `size` bytes at the end of the heap, from all memory behind it and
 * the last block, if that is free. */
static bool extend(hb_heap *heap, uint32_t size) {
  block *b = heap->end;
  bool joined = b->before && !at(b, 0u - b->before)->used;
  if (joined) b = at(b, 0u - b->before);
  uint64_t needed = (uint64_t)(uintptr_t)b + size + HEADER;
  if (needed > MAX_ADDRESS || (!reach(needed + GROWTH) && !reach(needed))) return false;
  uint64_t limit = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
  if (limit > MAX_ADDRESS) limit = MAX_ADDRESS;
  if (joined) unlink_free(heap, b);
  set_size(b, (uint32_t)((limit - HEADER - (uintptr_t)b) / UNIT * UNIT));
  heap->end = at(b, b->size);
  heap->end->size = 0;
  heap->end->used = 1;
  link_free(heap, b);
  return true;
}

static bool begin(hb_heap *heap) {
  uintptr_t first = ((uintptr_t)&__heap_base + HEADER + UNIT - 1) / UNIT * UNIT - HEADER;
  if (!reach((uint64_t)first + HEADER)) return false;
  heap->end = (block *)first;
  heap->end->before = 0;
  heap->end->size = 0;
  heap->end->used = 1;
  return true;
}

/* The first block that fits in the request's own bin, else any of a higher one. */
static block *find(const hb_heap *heap, uint32_t size) {
  uint32_t bin = bin_of(size);
  for (block *b = heap->bins[bin]; b; b = b->next)
    if (b->size >= size) return b;
  while (++bin < HB_HEAP_BINS)
    if (heap->bins[bin]) return heap->bins[bin];
  return NULL;
}

void *hb_heap_allocate(void *context, size_t request, size_t alignment) {
  hb_heap *heap = (hb_heap *)context;
  if (request > MAX_REQUEST || alignment > UNIT) return NULL;
  uint32_t size = (uint32_t)(request + HEADER + UNIT - 1) / UNIT * UNIT;
  if (!heap->end && !begin(heap)) return NULL;
  block *b = find(heap, size);
  if (!b) {
    if (!extend(heap, size)) return NULL;
    b = find(heap, size);
  }
  unlink_free(heap, b);
  if (b->size > size) {
    block *rest = at(b, size);
    set_size(rest, b->size - size);
    set_size(b, size);
    link_free(heap, rest);
  }
  b->used = 1;
  heap->used += size;
  return at(b, HEADER);
}

void hb_heap_release(void *context, void *payload, size_t request) {
  hb_heap *heap = (hb_heap *)context;
  (void)request;
  block *b = (block *)((uintptr_t)payload - HEADER);
  if (!b->used) __builtin_trap(); /* released twice */
  heap->used -= b->size;
  block *next = at(b, b->size);
  uint32_t size = b->size;
  if (!next->used) {
    unlink_free(heap, next);
    size += next->size;
  }
  if (b->before && !at(b, 0u - b->before)->used) {
    b = at(b, 0u - b->before);
    unlink_free(heap, b);
    size += b->size;
  }
  set_size(b, size);
  link_free(heap, b);
}
