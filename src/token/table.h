/* Hash tables of numbers, with open addressing. The keys stay with the owner of the table, who
 * compares them. No hash is looked for in more than HB_MAX_PROBES slots, so that names made to
 * collide cost no time: a table that would need more refuses the entry. */
#ifndef HB_TABLE_H
#define HB_TABLE_H

#include "base/base.h"

#define HB_TABLE_ENTRY_BITS 23 /* of a slot: entry + 1, or 0; above them some bits of the hash */
#define HB_TABLE_MAX_ENTRIES (1u << 22)
#define HB_MAX_PROBES 256 /* a table at most half full needs about 80 by chance */
#define HB_NO_ENTRY UINT32_MAX

typedef struct hb_table {
  uint32_t *slots;
  uint32_t size; /* a power of two */
} hb_table;

/* Room for `entries` of them. */
static inline bool hb_table_create(hb_table *t, const hb_allocator *allocator, uint32_t entries) {
  t->size = 64;
  while (t->size < 2 * entries) t->size *= 2;
  t->slots = hb_allocate_zero(allocator, (uint64_t)t->size * sizeof *t->slots);
  return t->slots != NULL;
}

static inline void hb_table_destroy(hb_table *t, const hb_allocator *allocator) {
  hb_release(allocator, t->slots, (uint64_t)t->size * sizeof *t->slots);
}

static inline uint32_t hb_table_tag(uint64_t hash) {
  return (uint32_t)(hash >> 32) >> HB_TABLE_ENTRY_BITS;
}

/* The next entry that may have this hash, or HB_NO_ENTRY; *probe starts at 0. */
static inline uint32_t hb_table_next(const hb_table *t, uint64_t hash, uint32_t *probe) {
  while (*probe < HB_MAX_PROBES) {
    uint32_t slot = t->slots[((uint32_t)hash + (*probe)++) & (t->size - 1)];
    if (slot == 0) break;
    if (slot >> HB_TABLE_ENTRY_BITS == hb_table_tag(hash))
      return (slot & ((1u << HB_TABLE_ENTRY_BITS) - 1)) - 1;
  }
  return HB_NO_ENTRY;
}

/* false if there is no slot for it. */
static inline bool hb_table_add(hb_table *t, uint64_t hash, uint32_t entry) {
  for (uint32_t probe = 0; probe < HB_MAX_PROBES; probe++) {
    uint32_t *slot = &t->slots[((uint32_t)hash + probe) & (t->size - 1)];
    if (*slot) continue;
    *slot = (entry + 1) | hb_table_tag(hash) << HB_TABLE_ENTRY_BITS;
    return true;
  }
  return false;
}

static inline uint64_t hb_hash_pair(uint32_t a, uint32_t b) {
  uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
  return h ^ h >> 32;
}

#endif
