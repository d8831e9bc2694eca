/* Special tokens in a text: a trie over their bytes. */
#include "token/internal.h"

static bool is_special(const hb_tokenizer *t, uint32_t token) {
  uint8_t kind = t->kind[token];
  size_t length = t->text[token].length;
  return (kind == HB_TOKEN_UNKNOWN || kind == HB_TOKEN_CONTROL || kind == HB_TOKEN_USER) &&
         length > 0 && length <= HB_MAX_SPECIAL_BYTES;
}

/* The child of `node` for `byte`, or HB_NO_ENTRY. */
static uint32_t child_of(const hb_tokenizer *t, uint32_t node, uint8_t byte) {
  uint64_t hash = hb_hash_pair(node, byte);
  uint32_t probe = 0, child;
  while ((child = hb_table_next(&t->trie_edges, hash, &probe)) != HB_NO_ENTRY)
    if (t->trie[child].parent == node && t->trie[child].byte == byte) break;
  return child;
}

/* false if the table has no slot for it. */
static bool add(hb_tokenizer *t, hb_token token) {
  hb_string text = t->text[token];
  uint32_t node = 0;
  for (size_t i = 0; i < text.length; i++) {
    uint8_t byte = (uint8_t)text.data[i];
    uint32_t child = child_of(t, node, byte);
    if (child == HB_NO_ENTRY) {
      child = t->trie_count++;
      t->trie[child] = (hb_trie_node){node, byte, HB_NO_TOKEN};
      if (!hb_table_add(&t->trie_edges, hb_hash_pair(node, byte), child)) return false;
    }
    node = child;
  }
  if (t->trie[node].token == HB_NO_TOKEN) t->trie[node].token = token;
  return true;
}

hb_status hb_special_create(hb_tokenizer *t, hb_error *error) {
  uint64_t nodes = 1;
  for (uint32_t i = 0; i < t->count; i++)
    if (is_special(t, i)) nodes += t->text[i].length;
  if (nodes == 1) return HB_OK;
  if (nodes > HB_TABLE_MAX_ENTRIES)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "special tokens have %u bytes in all",
                   nodes - 1);
  t->trie_capacity = (uint32_t)nodes;
  t->trie = hb_allocate(t->allocator, nodes * sizeof *t->trie);
  if (!t->trie || !hb_table_create(&t->trie_edges, t->allocator, t->trie_capacity))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for special tokens");
  t->trie_count = 1;
  t->trie[0] = (hb_trie_node){HB_NO_ENTRY, 0, HB_NO_TOKEN};
  for (uint32_t i = 0; i < t->count; i++)
    if (is_special(t, i) && !add(t, (hb_token)i))
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                     "special tokens are made to collide in a hash table");
  return HB_OK;
}

hb_token hb_special_match(const hb_tokenizer *t, hb_string text, bool control) {
  hb_token best = HB_NO_TOKEN;
  uint32_t node = 0;
  if (!t->trie) return best;
  for (size_t i = 0; i < text.length; i++) {
    node = child_of(t, node, (uint8_t)text.data[i]);
    if (node == HB_NO_ENTRY) break;
    hb_token token = t->trie[node].token;
    if (token != HB_NO_TOKEN && (control || t->kind[token] == HB_TOKEN_USER)) best = token;
  }
  return best;
}
