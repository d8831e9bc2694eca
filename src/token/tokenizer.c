/* Building a tokenizer from tokenizer.ggml.*, every key of which is checked. */
#include "token/internal.h"

#include "base/half.h"
#include "quant/private.h"

#define MAX_TOKENS HB_TABLE_MAX_ENTRIES
#define MAX_TOKEN_BYTES (1u << 16)
#define KEY "tokenizer.ggml."

/* ---- The printable alphabet of byte-level BPE (GPT-2): bytes that print stand for themselves, the
 * others, in order, for the code points from 256 on ---- */

static bool prints(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad && byte <= 0xff);
}

uint32_t hb_byte_to_printable(uint8_t byte) {
  if (prints(byte)) return byte;
  if (byte <= 0x20) return 256u + byte;
  return byte == 0xad ? 256u + 67 : 256u + 33 + (byte - 0x7fu);
}

int hb_printable_to_byte(uint32_t c) {
  if (c < 256) return prints(c) ? (int)c : -1;
  c -= 256;
  if (c <= 0x20) return (int)c;
  if (c < 67) return (int)(c - 33 + 0x7f);
  return c == 67 ? 0xad : -1;
}

/* ---- Lookup ---- */

hb_token hb_tokenizer_lookup(const hb_tokenizer *t, hb_string text) {
  uint64_t hash = hb_hash(text.data, text.length);
  uint32_t probe = 0, entry;
  while ((entry = hb_table_next(&t->texts, hash, &probe)) != HB_NO_ENTRY)
    if (hb_string_equal(t->text[entry], text)) return (hb_token)entry;
  return HB_NO_TOKEN;
}

uint32_t hb_tokenizer_merge_rank(const hb_tokenizer *t, hb_token left, hb_token right) {
  uint64_t hash = hb_hash_pair((uint32_t)left, (uint32_t)right);
  uint32_t probe = 0, rank;
  while ((rank = hb_table_next(&t->merges, hash, &probe)) != HB_NO_ENTRY)
    if (t->merge_left[rank] == left && t->merge_right[rank] == right) break;
  return rank;
}

/* ---- Reading keys ---- */

static hb_status no_memory(uint64_t count, hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a tokenizer of %u tokens", count);
}

static hb_status colliding(hb_error *error) {
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                 "the vocabulary or its merges are made to collide in a hash table");
}

static hb_status wrong_array(const char *key, const char *elements, uint64_t count,
                             hb_error *error) {
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %s is no array of %u %s", key, count,
                 elements);
}

static hb_status read_flag(const hb_gguf *gguf, const char *key, bool *out, hb_error *error) {
  const hb_value *v = hb_gguf_value(gguf, key);
  int flag;
  if (!v) return HB_OK;
  HB_TRY(hb_value_bool(v, &flag, error));
  *out = flag;
  return HB_OK;
}

/* A token's number, which must be in the vocabulary; *out keeps its value where the key is absent.
 */
static hb_status read_token(const hb_tokenizer *t, const hb_gguf *gguf, const char *key,
                            hb_token *out, hb_error *error) {
  const hb_value *v = hb_gguf_value(gguf, key);
  uint64_t token;
  if (!v) return HB_OK;
  HB_TRY(hb_value_u64(v, 0, &token, error));
  if (token >= t->count)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "%s is %u, not below %u", key, token,
                   (uint64_t)t->count);
  *out = (hb_token)token;
  return HB_OK;
}

static hb_status read_texts(hb_tokenizer *t, const hb_value *tokens, hb_error *error) {
  if (tokens->type != HB_VALUE_ARRAY || tokens->element != HB_VALUE_STRING || tokens->count < 1 ||
      tokens->count > MAX_TOKENS)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %S is no array of 1 to %u strings",
                   tokens->key, (uint64_t)MAX_TOKENS);
  t->count = (uint32_t)tokens->count;
  t->text = hb_allocate(t->allocator, (uint64_t)t->count * sizeof *t->text);
  t->kind = hb_allocate(t->allocator, t->count);
  t->flags = hb_allocate_zero(t->allocator, t->count);
  if (!t->text || !t->kind || !t->flags) return no_memory(t->count, error);
  memset(t->kind, HB_TOKEN_NORMAL, t->count);
  uint64_t cursor = 0;
  for (uint32_t i = 0; i < t->count; i++) {
    HB_TRY(hb_value_next_string(tokens, &cursor, &t->text[i], error));
    if (t->text[i].length > MAX_TOKEN_BYTES)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "token %u has %u bytes, more than %u",
                     (uint64_t)i, (uint64_t)t->text[i].length, (uint64_t)MAX_TOKEN_BYTES);
    if (t->text[i].length > t->longest_text) t->longest_text = t->text[i].length;
  }
  return HB_OK;
}

/* Is the text the same in the printable alphabet? */
static bool reads_the_same(hb_string text) {
  for (size_t i = 0; i < text.length; i++)
    if (text.data[i] <= ' ' || text.data[i] > '~') return false;
  return true;
}

/* No merge may lead to this token: text must not turn into special tokens by itself, whoever wrote
 * it, and user-defined tokens are not written in the printable alphabet that merges speak. */
static bool is_out_of_reach(const hb_tokenizer *t, uint32_t token) {
  switch (t->kind[token]) {
  case HB_TOKEN_CONTROL:
  case HB_TOKEN_UNKNOWN: return true;
  case HB_TOKEN_BYTE: return !t->byte_level;
  case HB_TOKEN_USER: return t->byte_level && !reads_the_same(t->text[token]);
  default: return false;
  }
}

static hb_status index_texts(hb_tokenizer *t, hb_error *error) {
  if (!hb_table_create(&t->texts, t->allocator, t->count)) return no_memory(t->count, error);
  for (uint32_t i = 0; i < t->count; i++) {
    hb_string text = t->text[i];
    if (is_out_of_reach(t, i) || hb_tokenizer_lookup(t, text) != HB_NO_TOKEN) continue;
    if (!hb_table_add(&t->texts, hb_hash(text.data, text.length), i)) return colliding(error);
  }
  return HB_OK;
}

static hb_status read_kinds(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  const hb_value *kinds = hb_gguf_value(gguf, KEY "token_type");
  if (!kinds) return HB_OK;
  if (kinds->type != HB_VALUE_ARRAY || kinds->count != t->count ||
      (kinds->element != HB_VALUE_I32 && kinds->element != HB_VALUE_U32))
    return wrong_array(KEY "token_type", "32-bit integers", t->count, error);
  for (uint32_t i = 0; i < t->count; i++) {
    uint32_t kind = hb_load_u32(kinds->data + 4 * (uint64_t)i);
    if (kind > HB_TOKEN_BYTE)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "token %u has the unknown type %u", (uint64_t)i,
                     (uint64_t)kind);
    t->kind[i] = (uint8_t)kind;
  }
  return HB_OK;
}

static hb_status read_scores(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  const hb_value *scores = hb_gguf_value(gguf, KEY "scores");
  if (!scores || scores->type != HB_VALUE_ARRAY || scores->element != HB_VALUE_F32 ||
      scores->count != t->count)
    return wrong_array(KEY "scores", "F32", t->count, error);
  t->score = hb_allocate(t->allocator, (uint64_t)t->count * sizeof *t->score);
  if (!t->score) return no_memory(t->count, error);
  for (uint32_t i = 0; i < t->count; i++)
    t->score[i] = hb_f32_of_bits(hb_load_u32(scores->data + 4 * (uint64_t)i));
  return HB_OK;
}

/* ---- SentencePiece ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "<0xHH>". */
static hb_status byte_of(hb_string text, uint32_t token, uint32_t *byte, hb_error *error) {
  int high = -1, low = -1;
  if (text.length == 6 && memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>') {
    high = hex_digit(text.data[3]);
    low = hex_digit(text.data[4]);
  }
  if (high < 0 || low < 0)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "byte token %u is \"%S\", not <0xHH>",
                   (uint64_t)token, text);
  *byte = (uint32_t)(high * 16 + low);
  return HB_OK;
}

/* Has it U+2581, which stands for a space, behind another character? */
static bool spans_words(hb_string text) {
  bool begun = false;
  for (size_t at = 0; at < text.length;) {
    uint32_t code_point;
    at += hb_utf8_decode(text.data + at, text.length - at, &code_point);
    if (code_point == 0x2581 && begun) return true;
    begun |= code_point != 0x2581;
  }
  return false;
}

static bool is_one_of(hb_string text, const char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (hb_string_equal(text, hb_string_of(names[i]))) return true;
  return false;
}

/* Phi-3's special tokens, but for these, take the white space behind them. No key says so;
 * llama.cpp goes by the model's name. */
static hb_status mark_phi3_strips(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  static const char *const others[] = {"<unk>", "<s>", "<|endoftext|>"};
  const hb_value *architecture = hb_gguf_value(gguf, "general.architecture");
  hb_string name = {"", 0};
  if (architecture) HB_TRY(hb_value_string(architecture, &name, error));
  if (!hb_string_equal(hb_stock_architecture(name), hb_string_of("phi3"))) return HB_OK;
  for (uint32_t i = 0; i < t->count; i++)
    if (!is_one_of(t->text[i], others, sizeof others / sizeof *others))
      t->flags[i] |= HB_TOKEN_STRIPS;
  return HB_OK;
}

static hb_status prepare_sentencepiece(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  HB_TRY(index_texts(t, error));
  HB_TRY(read_scores(t, gguf, error));
  t->cuts_words = true;
  for (uint32_t i = 0; i < t->count && t->cuts_words; i++)
    t->cuts_words = is_out_of_reach(t, i) || !spans_words(t->text[i]);
  for (uint32_t i = 0; i < t->count; i++) {
    if (t->kind[i] != HB_TOKEN_BYTE) continue;
    uint32_t byte = 0;
    HB_TRY(byte_of(t->text[i], i, &byte, error));
    if (t->byte_token[byte] == HB_NO_TOKEN) t->byte_token[byte] = (hb_token)i;
  }
  t->add_bos = true;
  t->add_space_prefix = true;
  return mark_phi3_strips(t, gguf, error);
}

/* ---- Byte-level BPE ---- */

/* A merge is "left right"; those whose parts or result are no tokens are passed over. */
static hb_status add_merge(hb_tokenizer *t, hb_string line, hb_error *error) {
  const char *space = line.length > 1 ? memchr(line.data + 1, ' ', line.length - 1) : NULL;
  char joined[2 * 512];
  if (!space || line.length - 1 > sizeof joined) return HB_OK;
  hb_string left = {line.data, (size_t)(space - line.data)};
  hb_string right = {space + 1, line.length - left.length - 1};
  memcpy(joined, left.data, left.length);
  memcpy(joined + left.length, right.data, right.length);
  uint32_t rank = t->merge_count;
  hb_token l = hb_tokenizer_lookup(t, left), r = hb_tokenizer_lookup(t, right);
  hb_token result = hb_tokenizer_lookup(t, (hb_string){joined, line.length - 1});
  if (l == HB_NO_TOKEN || r == HB_NO_TOKEN || result == HB_NO_TOKEN) return HB_OK;
  if (hb_tokenizer_merge_rank(t, l, r) != HB_NO_ENTRY) return HB_OK;
  if (!hb_table_add(&t->merges, hb_hash_pair((uint32_t)l, (uint32_t)r), rank))
    return colliding(error);
  t->merge_left[rank] = l;
  t->merge_right[rank] = r;
  t->merge_result[rank] = result;
  t->merge_count++;
  return HB_OK;
}

static hb_status read_merges(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  const hb_value *merges = hb_gguf_value(gguf, KEY "merges");
  if (!merges || merges->type != HB_VALUE_ARRAY || merges->element != HB_VALUE_STRING ||
      merges->count > MAX_TOKENS)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "key " KEY "merges is no array of at most %u strings", (uint64_t)MAX_TOKENS);
  uint64_t bytes = merges->count * sizeof(hb_token);
  t->merge_capacity = (uint32_t)merges->count;
  t->merge_left = hb_allocate(t->allocator, bytes);
  t->merge_right = hb_allocate(t->allocator, bytes);
  t->merge_result = hb_allocate(t->allocator, bytes);
  if (!t->merge_left || !t->merge_right || !t->merge_result ||
      !hb_table_create(&t->merges, t->allocator, t->merge_capacity))
    return no_memory(t->count, error);
  uint64_t cursor = 0;
  for (uint64_t i = 0; i < merges->count; i++) {
    hb_string line;
    HB_TRY(hb_value_next_string(merges, &cursor, &line, error));
    HB_TRY(add_merge(t, line, error));
  }
  return HB_OK;
}

static hb_status prepare_byte_level(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  const hb_value *pre = hb_gguf_value(gguf, KEY "pre");
  hb_string name = {"", 0};
  if (pre) HB_TRY(hb_value_string(pre, &name, error));
  if (name.length == 0) name = hb_string_of("default");
  t->byte_level = true;
  HB_TRY(index_texts(t, error));
  t->pretokenizer = hb_pretokenizer_find(name);
  if (!t->pretokenizer)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "unknown pre-tokenizer \"%S\"", name);
  t->add_bos = t->pretokenizer->add_bos;
  for (uint32_t byte = 0; byte < 256; byte++) {
    char printable[2];
    uint32_t length = hb_utf8_encode_short(hb_byte_to_printable((uint8_t)byte), printable);
    t->byte_token[byte] = hb_tokenizer_lookup(t, (hb_string){printable, length});
  }
  return read_merges(t, gguf, error);
}

/* ---- Ends ---- */

static void mark_end(hb_tokenizer *t, hb_token token) {
  if (token != HB_NO_TOKEN) t->flags[token] |= HB_TOKEN_ENDS;
}

static bool is_named_like_an_end(hb_string text) {
  static const char *const names[] = {"<|im_end|>",
                                      "<|eot_id|>",
                                      "<|eom_id|>",
                                      "<|end|>",
                                      "<end_of_turn>",
                                      "<|endoftext|>",
                                      "<|end_of_text|>",
                                      "<|end_of_turn|>",
                                      "<end_of_utterance>",
                                      "<EOT>",
                                      "[EOS]",
                                      "</s>",
                                      u8"<\uff5cend\u2581of\u2581sentence\uff5c>"};
  return is_one_of(text, names, sizeof names / sizeof *names);
}

/* Tokens that end a generation, by their key or, if they are special, by their usual name. */
static hb_status read_ends(hb_tokenizer *t, const hb_gguf *gguf, hb_error *error) {
  static const char *const keys[] = {KEY "eot_token_id", KEY "eom_token_id"};
  mark_end(t, t->eos);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    hb_token token = HB_NO_TOKEN;
    HB_TRY(read_token(t, gguf, keys[i], &token, error));
    mark_end(t, token);
  }
  for (uint32_t i = 0; i < t->count; i++)
    if ((t->kind[i] == HB_TOKEN_CONTROL || t->kind[i] == HB_TOKEN_USER) &&
        is_named_like_an_end(t->text[i]))
      mark_end(t, (hb_token)i);
  return HB_OK;
}

/* ---- Whole ---- */

static hb_status build(hb_tokenizer *t, const hb_gguf *gguf, hb_string model,
                       const hb_value *tokens, hb_error *error) {
  HB_TRY(read_texts(t, tokens, error));
  HB_TRY(read_kinds(t, gguf, error));
  HB_TRY(hb_special_create(t, error));
  if (hb_string_equal(model, hb_string_of("llama")))
    HB_TRY(prepare_sentencepiece(t, gguf, error));
  else if (hb_string_equal(model, hb_string_of("gpt2")))
    HB_TRY(prepare_byte_level(t, gguf, error));
  else
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "unknown tokenizer \"%S\"", model);
  HB_TRY(read_token(t, gguf, KEY "bos_token_id", &t->bos, error));
  HB_TRY(read_token(t, gguf, KEY "eos_token_id", &t->eos, error));
  HB_TRY(read_token(t, gguf, KEY "unknown_token_id", &t->unknown, error));
  HB_TRY(read_flag(gguf, KEY "add_bos_token", &t->add_bos, error));
  HB_TRY(read_flag(gguf, KEY "add_eos_token", &t->add_eos, error));
  HB_TRY(read_flag(gguf, KEY "add_space_prefix", &t->add_space_prefix, error));
  return read_ends(t, gguf, error);
}

hb_status hb_tokenizer_create(const hb_gguf *gguf, const hb_allocator *allocator,
                              hb_tokenizer **out, hb_error *error) {
  const hb_value *model = hb_gguf_value(gguf, KEY "model");
  const hb_value *tokens = hb_gguf_value(gguf, KEY "tokens");
  hb_string name = hb_string_of("none");
  *out = NULL;
  if (model) HB_TRY(hb_value_string(model, &name, error));
  if (!tokens || hb_string_equal(name, hb_string_of("none"))) return HB_OK;
  hb_tokenizer *t = hb_allocate_zero(allocator, sizeof *t);
  if (!t) return no_memory(0, error);
  t->allocator = allocator;
  t->bos = t->eos = t->unknown = HB_NO_TOKEN;
  for (uint32_t i = 0; i < 256; i++) t->byte_token[i] = HB_NO_TOKEN;
  hb_status status = build(t, gguf, name, tokens, error);
  if (status != HB_OK) {
    hb_tokenizer_destroy(t);
    return status;
  }
  *out = t;
  return HB_OK;
}

void hb_tokenizer_destroy(hb_tokenizer *t) {
  if (!t) return;
  const hb_allocator *a = t->allocator;
  uint64_t merges = (uint64_t)t->merge_capacity * sizeof(hb_token);
  hb_release(a, t->text, (uint64_t)t->count * sizeof *t->text);
  hb_release(a, t->kind, t->count);
  hb_release(a, t->flags, t->count);
  hb_table_destroy(&t->texts, a);
  hb_release(a, t->score, (uint64_t)t->count * sizeof *t->score);
  hb_release(a, t->merge_left, merges);
  hb_release(a, t->merge_right, merges);
  hb_release(a, t->merge_result, merges);
  hb_table_destroy(&t->merges, a);
  hb_table_destroy(&t->trie_edges, a);
  hb_release(a, t->trie, (uint64_t)t->trie_capacity * sizeof *t->trie);
  hb_release(a, t, sizeof *t);
}

/* ---- Asking ---- */

hb_string hb_token_text(const hb_tokenizer *t, hb_token token) {
  if (token < 0 || (uint32_t)token >= t->count) return (hb_string){"", 0};
  return t->text[token];
}

void hb_tokenizer_get_info(const hb_tokenizer *t, hb_tokenizer_info *out) {
  *out = (hb_tokenizer_info){
      .vocabulary = t->count,
      .bos = t->bos,
      .eos = t->eos,
      .unknown = t->unknown,
      .add_bos = t->add_bos,
      .add_eos = t->add_eos,
      .longest_token = 3 * t->longest_text, /* each byte may become U+FFFD */
  };
}

int hb_token_ends(const hb_tokenizer *t, hb_token token) {
  return token >= 0 && (uint32_t)token < t->count && (t->flags[token] & HB_TOKEN_ENDS);
}
