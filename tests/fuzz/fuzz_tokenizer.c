/* Any vocabulary and any text. The input is lines: the first is "l", "l+" (SentencePiece, without
 * and with a space before a text) or "b" and the name of a pre-tokenizer; each one until an empty
 * line adds a token, its type as a digit before it, or after "m" a merge; the rest is the text.
 * There is always a token for every byte, so that every text must come back. */
#include "token/internal.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition) {
  if (!condition) abort();
}

typedef struct bytes {
  uint8_t *data;
  size_t size, capacity;
} bytes;

static void put(bytes *b, const void *data, size_t size) {
  while (b->capacity - b->size < size) {
    b->capacity = b->capacity ? 2 * b->capacity : 1 << 14;
    b->data = realloc(b->data, b->capacity);
    expect(b->data != NULL);
  }
  if (size) memcpy(b->data + b->size, data, size);
  b->size += size;
}

static void put_u32(bytes *b, uint32_t v) {
  const uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
  put(b, le, 4);
}

static void put_u64(bytes *b, uint64_t v) {
  put_u32(b, (uint32_t)v);
  put_u32(b, (uint32_t)(v >> 32));
}

static void put_string(bytes *b, hb_string s) {
  put_u64(b, s.length);
  put(b, s.data, s.length);
}

static void put_key(bytes *b, const char *key, uint32_t type) {
  put_string(b, hb_string_of(key));
  put_u32(b, type);
}

static void put_array(bytes *b, const char *key, uint32_t element, uint64_t count,
                      const bytes *elements) {
  put_key(b, key, HB_VALUE_ARRAY);
  put_u32(b, element);
  put_u64(b, count);
  put(b, elements->data, elements->size);
}

/* What the lines say. */
typedef struct plan {
  bool byte_level, space, user;
  hb_string pre, text;
  bytes tokens, kinds, scores, merges;
  uint32_t token_count, merge_count;
} plan;

static void add_token(plan *p, uint32_t kind, hb_string text) {
  const float score = -(float)p->token_count;
  uint32_t bits;
  memcpy(&bits, &score, sizeof bits);
  put_string(&p->tokens, text);
  put_u32(&p->kinds, kind);
  put_u32(&p->scores, bits);
  p->user |= kind == HB_TOKEN_USER;
  p->token_count++;
}

static void add_byte_tokens(plan *p) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    char text[8];
    uint32_t length = 6;
    if (p->byte_level)
      length = hb_utf8_encode_short(hb_byte_to_printable((uint8_t)byte), text);
    else
      snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
    add_token(p, p->byte_level ? HB_TOKEN_NORMAL : HB_TOKEN_BYTE, (hb_string){text, length});
  }
}

/* Takes a line off `rest`. */
static hb_string next_line(hb_string *rest) {
  const char *end = rest->length ? memchr(rest->data, '\n', rest->length) : NULL;
  hb_string line = {rest->data, end ? (size_t)(end - rest->data) : rest->length};
  size_t taken = line.length + (end ? 1 : 0);
  *rest = (hb_string){rest->data + taken, rest->length - taken};
  return line;
}

static void read_plan(plan *p, hb_string input) {
  hb_string head = next_line(&input), line;
  p->byte_level = head.length > 0 && head.data[0] == 'b';
  p->space = !p->byte_level && head.length > 1;
  p->pre = p->byte_level ? (hb_string){head.data + 1, head.length - 1} : head;
  add_byte_tokens(p);
  if (!p->byte_level) add_token(p, HB_TOKEN_NORMAL, hb_string_of("\xe2\x96\x81"));
  while ((line = next_line(&input)).length > 0) {
    hb_string text = {line.data + 1, line.length - 1};
    if (line.data[0] == 'm') {
      put_string(&p->merges, text);
      p->merge_count++;
    } else {
      add_token(p, (uint32_t)line.data[0] & 7, text);
    }
  }
  p->text = input;
}

static void write_file(const plan *p, bytes *b) {
  const uint8_t space = p->space;
  put(b, "GGUF", 4);
  put_u32(b, 3);
  put_u64(b, 0);
  put_u64(b, 7);
  put_key(b, "tokenizer.ggml.model", HB_VALUE_STRING);
  put_string(b, hb_string_of(p->byte_level ? "gpt2" : "llama"));
  put_key(b, "tokenizer.ggml.pre", HB_VALUE_STRING);
  put_string(b, p->pre);
  put_array(b, "tokenizer.ggml.tokens", HB_VALUE_STRING, p->token_count, &p->tokens);
  put_array(b, "tokenizer.ggml.token_type", HB_VALUE_I32, p->token_count, &p->kinds);
  put_array(b, "tokenizer.ggml.scores", HB_VALUE_F32, p->token_count, &p->scores);
  put_array(b, "tokenizer.ggml.merges", HB_VALUE_STRING, p->merge_count, &p->merges);
  put_key(b, "tokenizer.ggml.add_space_prefix", HB_VALUE_BOOL);
  put(b, &space, 1);
}

/* Can the text come back as it was? Not if it is no UTF-8 or has SentencePiece's sign for a space,
 * nor if spaces are set between it and user-defined tokens. */
static bool comes_back(const plan *p) {
  if (p->space && p->user) return false;
  for (size_t at = 0; at < p->text.length;) {
    uint32_t code_point;
    at += hb_utf8_decode(p->text.data + at, p->text.length - at, &code_point);
    if (code_point == HB_NOT_UNICODE || (!p->byte_level && code_point == 0x2581)) return false;
  }
  return true;
}

static void check_utf8(const char *text, size_t length) {
  for (size_t at = 0; at < length;) {
    uint32_t code_point;
    at += hb_utf8_decode(text + at, length - at, &code_point);
    expect(code_point != HB_NOT_UNICODE);
  }
}

static void check_way_back(const hb_tokenizer *t, const plan *p, const hb_token *tokens,
                           size_t count) {
  hb_detokenizer stream = {0};
  hb_tokenizer_info info;
  bytes out = {0};
  hb_tokenizer_get_info(t, &info);
  size_t capacity = info.longest_token + 4;
  char *piece = malloc(capacity);
  for (size_t i = 0; i <= count; i++) {
    size_t length;
    hb_token token = i < count ? tokens[i] : HB_NO_TOKEN;
    expect(token < (hb_token)info.vocabulary);
    expect(hb_detokenize(t, &stream, token, 0, piece, capacity, &length) == HB_OK);
    check_utf8(piece, length);
    put(&out, piece, length);
  }
  if (comes_back(p)) {
    expect(out.size == p->text.length);
    expect(out.size == 0 || memcmp(out.data, p->text.data, out.size) == 0);
  }
  free(piece);
  free(out.data);
}

static void check_text(const hb_tokenizer *t, const plan *p, uint32_t flags) {
  size_t count, again;
  expect(hb_tokenize(t, p->text, flags, NULL, NULL, 0, &count, NULL) == HB_OK);
  hb_token *tokens = malloc((count + 1) * sizeof *tokens);
  expect(hb_tokenize(t, p->text, flags, NULL, tokens, count, &again, NULL) == HB_OK);
  expect(again == count);
  if (flags == 0) {
    for (size_t i = 0; i < count; i++)
      expect(t->kind[tokens[i]] != HB_TOKEN_CONTROL && t->kind[tokens[i]] != HB_TOKEN_UNKNOWN);
    check_way_back(t, p, tokens, count);
  }
  free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  plan p = {0};
  bytes file = {0};
  hb_gguf *gguf;
  hb_tokenizer *t;
  size_t used;
  bool done;
  read_plan(&p, (hb_string){(const char *)data, size});
  write_file(&p, &file);
  expect(hb_gguf_create(NULL, &gguf, NULL) == HB_OK);
  expect(hb_gguf_begin_shard(gguf, file.size, NULL) == HB_OK);
  expect(hb_gguf_feed(gguf, file.data, file.size, &used, &done, NULL) == HB_OK && done);
  if (hb_tokenizer_create(gguf, NULL, &t, NULL) == HB_OK) {
    check_text(t, &p, 0);
    check_text(t, &p, HB_TOKENIZE_BOS | HB_TOKENIZE_SPECIAL);
    hb_tokenizer_destroy(t);
  }
  hb_gguf_destroy(gguf);
  free(file.data);
  free(p.tokens.data);
  free(p.kinds.data);
  free(p.scores.data);
  free(p.merges.data);
  return 0;
}
