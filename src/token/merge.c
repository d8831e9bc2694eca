#include "token/merge.h"

void hb_merger_destroy(hb_merger *m) {
  hb_release(m->allocator, m->symbols, (uint64_t)m->symbol_capacity * sizeof *m->symbols);
  hb_release(m->allocator, m->heap, (uint64_t)m->heap_capacity * sizeof *m->heap);
}

/* Doubles an array of `capacity` elements that is full. */
static hb_status grow(const hb_allocator *allocator, void **array, uint32_t *capacity,
                      size_t element) {
  uint32_t larger = *capacity ? *capacity * 2 : 64;
  if (*capacity > UINT32_MAX / 4) return HB_MEMORY;
  void *copy = hb_allocate(allocator, (uint64_t)larger * element);
  if (!copy) return HB_MEMORY;
  if (*array) memcpy(copy, *array, *capacity * element);
  hb_release(allocator, *array, (uint64_t)*capacity * element);
  *array = copy;
  *capacity = larger;
  return HB_OK;
}

hb_status hb_merger_add(hb_merger *m, uint32_t start, uint32_t length, hb_token token) {
  if (m->symbol_count == m->symbol_capacity) {
    void *symbols = m->symbols;
    HB_TRY(grow(m->allocator, &symbols, &m->symbol_capacity, sizeof *m->symbols));
    m->symbols = symbols;
  }
  uint32_t index = m->symbol_count++;
  if (index > 0) m->symbols[index - 1].next = index;
  m->symbols[index] =
      (hb_symbol){start, length, index > 0 ? index - 1 : HB_NO_SYMBOL, HB_NO_SYMBOL, token};
  return HB_OK;
}

/* ---- The heap: its root goes first ---- */

static bool before(const hb_merge_entry *a, const hb_merge_entry *b) {
  return a->merge.order < b->merge.order || (a->merge.order == b->merge.order && a->left < b->left);
}

static void push(hb_merger *m, hb_merge_entry entry) {
  uint32_t i = m->heap_count++;
  while (i > 0 && before(&entry, &m->heap[(i - 1) / 2])) {
    m->heap[i] = m->heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  m->heap[i] = entry;
}

static hb_merge_entry pop(hb_merger *m) {
  hb_merge_entry root = m->heap[0], last = m->heap[--m->heap_count];
  uint32_t i = 0;
  for (;;) {
    uint32_t child = 2 * i + 1;
    if (child >= m->heap_count) break;
    if (child + 1 < m->heap_count && before(&m->heap[child + 1], &m->heap[child])) child++;
    if (!before(&m->heap[child], &last)) break;
    m->heap[i] = m->heap[child];
    i = child;
  }
  m->heap[i] = last;
  return root;
}

/* Enters the pair if it merges. */
static hb_status offer(hb_merger *m, uint32_t left, uint32_t right, hb_merge_finder find,
                       const void *context) {
  hb_merge merge;
  if (left == HB_NO_SYMBOL || right == HB_NO_SYMBOL) return HB_OK;
  if (!find(context, &m->symbols[left], &m->symbols[right], &merge)) return HB_OK;
  if (m->heap_count == m->heap_capacity) {
    void *heap = m->heap;
    HB_TRY(grow(m->allocator, &heap, &m->heap_capacity, sizeof *m->heap));
    m->heap = heap;
  }
  push(m, (hb_merge_entry){merge, left, right, m->symbols[left].length + m->symbols[right].length});
  return HB_OK;
}

hb_status hb_merger_run(hb_merger *m, hb_merge_finder find, const void *context) {
  m->heap_count = 0;
  for (uint32_t i = 0; i + 1 < m->symbol_count; i++) HB_TRY(offer(m, i, i + 1, find, context));
  while (m->heap_count > 0) {
    hb_merge_entry entry = pop(m);
    hb_symbol *left = &m->symbols[entry.left], *right = &m->symbols[entry.right];
    bool stale = left->length == 0 || right->length == 0 || left->next != entry.right ||
                 left->length + right->length != entry.length;
    if (stale) continue;
    left->length = entry.length;
    left->token = entry.merge.token;
    left->next = right->next;
    right->length = 0;
    if (left->next != HB_NO_SYMBOL) m->symbols[left->next].previous = entry.left;
    HB_TRY(offer(m, left->previous, entry.left, find, context));
    HB_TRY(offer(m, entry.left, left->next, find, context));
  }
  return HB_OK;
}
