/* Special tokens in a text: a trie over their bytes. */
#include "token/internal.h"

/* The child of `node` for `byte`, or 0. */
static uint32_t child_of(const hb_tokenizer *t, uint32_t node, uint8_t byte) {
  uint32_t child = t->trie[node].child;
  while (child && t->trie[child].byte != byte) child = t->trie[child].sibling;
  return child;
}

static hb_status add_node(hb_tokenizer *t, uint32_t parent, uint8_t byte, uint32_t *out) {
  if (t->trie_count == t->trie_capacity) {
    uint32_t capacity = t->trie_capacity ? 2 * t->trie_capacity : 256;
    hb_trie_node *trie = hb_allocate(t->allocator, (uint64_t)capacity * sizeof *trie);
    if (!trie || capacity > UINT32_MAX / 4) {
      hb_release(t->allocator, trie, (uint64_t)capacity * sizeof *trie);
      return HB_MEMORY;
    }
    if (t->trie) memcpy(trie, t->trie, t->trie_count * sizeof *trie);
    hb_release(t->allocator, t->trie, (uint64_t)t->trie_capacity * sizeof *trie);
    t->trie = trie;
    t->trie_capacity = capacity;
  }
  *out = t->trie_count++;
  t->trie[*out] = (hb_trie_node){.byte = byte, .token = HB_NO_TOKEN};
  if (*out > 0) { /* all but the root hang below another */
    t->trie[*out].sibling = t->trie[parent].child;
    t->trie[parent].child = *out;
  }
  return HB_OK;
}

hb_status hb_special_add(hb_tokenizer *t, hb_token token) {
  hb_string text = t->text[token];
  uint32_t node = 0;
  if (text.length == 0 || text.length > HB_MAX_SPECIAL_BYTES) return HB_OK;
  if (t->trie_count == 0) HB_TRY(add_node(t, 0, 0, &node));
  for (size_t i = 0; i < text.length; i++) {
    uint8_t byte = (uint8_t)text.data[i];
    uint32_t child = child_of(t, node, byte);
    if (child == 0) HB_TRY(add_node(t, node, byte, &child));
    node = child;
  }
  if (t->trie[node].token == HB_NO_TOKEN) t->trie[node].token = token;
  return HB_OK;
}

hb_token hb_special_match(const hb_tokenizer *t, hb_string text, bool control) {
  hb_token best = HB_NO_TOKEN;
  uint32_t node = 0;
  if (t->trie_count == 0) return best;
  for (size_t i = 0; i < text.length; i++) {
    node = child_of(t, node, (uint8_t)text.data[i]);
    if (node == 0) break;
    hb_token token = t->trie[node].token;
    if (token != HB_NO_TOKEN && (control || t->kind[token] == HB_TOKEN_USER)) best = token;
  }
  return best;
}
