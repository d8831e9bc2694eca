#include "gguf/index.h"

bool hb_name_index_create(const hb_allocator *allocator, uint64_t count, hb_name_index *out) {
  uint64_t size = 16;
  while (size < 2 * count) size *= 2;
  *out = (hb_name_index){hb_allocate_zero(allocator, size * sizeof(uint32_t)), (uint32_t)size};
  if (!out->slots) out->size = 0;
  return out->slots != NULL;
}

void hb_name_index_destroy(const hb_allocator *allocator, hb_name_index *index) {
  hb_release(allocator, index->slots, (uint64_t)index->size * sizeof(uint32_t));
  *index = (hb_name_index){0};
}

/* The slot of that name, or the empty one where it would go. */
static uint32_t *slot_of(const hb_name_index *index, hb_string name, hb_name_of name_of,
                         const void *context) {
  uint32_t mask = index->size - 1;
  uint32_t at = (uint32_t)hb_hash(name.data, name.length) & mask;
  while (index->slots[at] && !hb_string_equal(name_of(context, index->slots[at] - 1), name))
    at = (at + 1) & mask;
  return &index->slots[at];
}

uint32_t hb_name_index_find(const hb_name_index *index, hb_string name, hb_name_of name_of,
                            const void *context) {
  if (index->size == 0) return UINT32_MAX;
  return *slot_of(index, name, name_of, context) - 1;
}

bool hb_name_index_add(hb_name_index *index, uint32_t entry, hb_name_of name_of,
                       const void *context) {
  uint32_t *slot = slot_of(index, name_of(context, entry), name_of, context);
  if (*slot) return false;
  *slot = entry + 1;
  return true;
}
