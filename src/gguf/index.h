/* A hash table of names: each slot holds the index of its entry + 1, or 0. The names themselves
 * stay where they are; `name_of` tells them. */
#ifndef HB_GGUF_INDEX_H
#define HB_GGUF_INDEX_H

#include "base/base.h"

typedef struct hb_name_index {
  uint32_t *slots;
  uint32_t size; /* a power of two, at least twice the entries; 0: empty */
} hb_name_index;

typedef hb_string (*hb_name_of)(const void *context, uint32_t entry);

/* Makes room for `count` names, all slots empty. false without memory. */
bool hb_name_index_create(const hb_allocator *allocator, uint64_t count, hb_name_index *out);
void hb_name_index_destroy(const hb_allocator *allocator, hb_name_index *index);

/* The entry with that name, or UINT32_MAX. */
uint32_t hb_name_index_find(const hb_name_index *index, hb_string name, hb_name_of name_of,
                            const void *context);
/* Adds an entry; false if its name is there already. */
bool hb_name_index_add(hb_name_index *index, uint32_t entry, hb_name_of name_of,
                       const void *context);

#endif
