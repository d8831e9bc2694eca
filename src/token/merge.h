/* Merging the symbols of a word, best pair first, as byte-level BPE and SentencePiece do: O(n log
 * n). */
#ifndef HB_MERGE_H
#define HB_MERGE_H

#include "base/base.h"

#define HB_NO_SYMBOL UINT32_MAX

typedef struct hb_symbol {
  uint32_t start, length;  /* in bytes of the text; length 0: merged into the one before */
  uint32_t previous, next; /* HB_NO_SYMBOL at the ends */
  hb_token token;          /* HB_NO_TOKEN if there is none for it */
} hb_symbol;

/* What two neighbours become. A smaller `order` goes first; of equals, the one further left. */
typedef struct hb_merge {
  uint32_t order;
  hb_token token;
} hb_merge;

/* false if the two do not merge. */
typedef bool (*hb_merge_finder)(const void *context, const hb_symbol *left, const hb_symbol *right,
                                hb_merge *out);

/* A pair that may be merged. */
typedef struct hb_merge_entry {
  hb_merge merge;
  uint32_t left, right;
  uint32_t length; /* of both, to notice that one has changed since */
} hb_merge_entry;

/* Symbols and the heap of pairs; kept from word to word. */
typedef struct hb_merger {
  const hb_allocator *allocator;
  hb_symbol *symbols;
  uint32_t symbol_count, symbol_capacity;
  hb_merge_entry *heap;
  uint32_t heap_count, heap_capacity;
} hb_merger;

void hb_merger_destroy(hb_merger *m);

/* Adds a symbol behind the last one. */
hb_status hb_merger_add(hb_merger *m, uint32_t start, uint32_t length, hb_token token);

/* Merges until no pair is left. The first symbol stays number 0; follow `next`. */
hb_status hb_merger_run(hb_merger *m, hb_merge_finder find, const void *context);

#endif
