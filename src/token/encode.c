/* From text to tokens. */
#include "token/internal.h"

#include "base/half.h"

typedef struct encoder {
  const hb_tokenizer *t;
  const hb_allocator *allocator;
  hb_merger merger;
  hb_string word; /* whose symbols the merger holds */
  hb_token *out;
  size_t capacity, count;
} encoder;

static void put(encoder *e, hb_token token) {
  if (e->count < e->capacity) e->out[e->count] = token;
  e->count++;
}

/* ---- Byte-level BPE ---- */

static bool find_bpe_merge(const void *context, const hb_symbol *left, const hb_symbol *right,
                           hb_merge *out) {
  const encoder *e = context;
  if (left->token == HB_NO_TOKEN || right->token == HB_NO_TOKEN) return false;
  out->order = hb_tokenizer_merge_rank(e->t, left->token, right->token);
  if (out->order == UINT32_MAX) return false;
  out->token = e->t->merge_result[out->order];
  return true;
}

/* The word in the printable alphabet, if it is short, as a token. */
static hb_token whole_word(const hb_tokenizer *t, hb_string word) {
  char printable[2 * 128];
  size_t length = 0;
  if (word.length > sizeof printable / 2) return HB_NO_TOKEN;
  for (size_t i = 0; i < word.length; i++)
    length += hb_utf8_encode_short(hb_byte_to_printable((uint8_t)word.data[i]), printable + length);
  return hb_tokenizer_lookup(t, (hb_string){printable, length});
}

static hb_status encode_word(void *context, hb_string word) {
  encoder *e = context;
  if (e->t->pretokenizer->ignore_merges) {
    hb_token token = whole_word(e->t, word);
    if (token != HB_NO_TOKEN) {
      put(e, token);
      return HB_OK;
    }
  }
  e->merger.symbol_count = 0;
  for (size_t i = 0; i < word.length; i++)
    HB_TRY(hb_merger_add(&e->merger, (uint32_t)i, 1, e->t->byte_token[(uint8_t)word.data[i]]));
  HB_TRY(hb_merger_run(&e->merger, find_bpe_merge, e));
  for (uint32_t i = 0; i != HB_NO_SYMBOL; i = e->merger.symbols[i].next) {
    hb_token token = e->merger.symbols[i].token;
    if (token == HB_NO_TOKEN) token = e->t->unknown; /* a vocabulary without this byte */
    if (token != HB_NO_TOKEN) put(e, token);
  }
  return HB_OK;
}

static hb_status encode_byte_level(encoder *e, hb_string text) {
  uint64_t each = sizeof(uint32_t) * 2 + 1;
  uint64_t bytes = (text.length + (uint64_t)1) * each;
  uint8_t *block = hb_allocate(e->allocator, bytes);
  if (!block) return HB_MEMORY;
  hb_characters c = {.text = text.data, .code_point = (uint32_t *)(void *)block};
  c.offset = c.code_point + text.length + 1;
  c.class_of = (uint8_t *)(c.offset + text.length + 1);
  for (size_t at = 0; at < text.length; c.count++) {
    c.offset[c.count] = (uint32_t)at;
    at += hb_utf8_decode(text.data + at, text.length - at, &c.code_point[c.count]);
    c.class_of[c.count] = hb_unicode_class(c.code_point[c.count]);
  }
  c.offset[c.count] = (uint32_t)text.length;
  hb_status status = hb_pretokenize(e->t->pretokenizer, &c, encode_word, e);
  hb_release(e->allocator, block, bytes);
  return status;
}

/* ---- SentencePiece ---- */

#define SPACE_SIGN "\xe2\x96\x81" /* U+2581 */

/* Orders floats from the largest down as integers do from the smallest up. */
static uint32_t descending(float score) {
  uint32_t u = hb_bits_of_f32(score + 0.0f);
  return u & 0x80000000u ? u : ~u & 0x7fffffffu;
}

static bool find_piece(const void *context, const hb_symbol *left, const hb_symbol *right,
                       hb_merge *out) {
  const encoder *e = context;
  hb_string joined = {e->word.data + left->start, left->length + right->length};
  if (joined.length > e->t->longest_text) return false;
  out->token = hb_tokenizer_lookup(e->t, joined);
  if (out->token == HB_NO_TOKEN) return false;
  out->order = descending(e->t->score[out->token]);
  return true;
}

/* A character that is no token: its bytes. */
static void put_bytes(encoder *e, hb_string text) {
  for (size_t i = 0; i < text.length; i++) {
    hb_token token = e->t->byte_token[(uint8_t)text.data[i]];
    if (token == HB_NO_TOKEN) token = e->t->unknown;
    if (token != HB_NO_TOKEN) put(e, token);
  }
}

/* `text` with U+2581 for each space, and before it with `prefix`. */
static hb_status escape_spaces(encoder *e, hb_string text, bool prefix, char **out,
                               uint64_t *capacity, size_t *length) {
  *capacity = ((uint64_t)text.length + 1) * 3;
  *out = hb_allocate(e->allocator, *capacity);
  if (!*out) return HB_MEMORY;
  *length = 0;
  for (size_t i = prefix ? 0 : 1; i <= text.length; i++) {
    if (i == 0 || text.data[i - 1] == ' ') {
      memcpy(*out + *length, SPACE_SIGN, 3);
      *length += 3;
    } else {
      (*out)[(*length)++] = text.data[i - 1];
    }
  }
  return HB_OK;
}

static hb_status encode_pieces(encoder *e) {
  e->merger.symbol_count = 0;
  for (size_t at = 0; at < e->word.length;) {
    uint32_t code_point;
    uint32_t length = hb_utf8_decode(e->word.data + at, e->word.length - at, &code_point);
    hb_token token = hb_tokenizer_lookup(e->t, (hb_string){e->word.data + at, length});
    HB_TRY(hb_merger_add(&e->merger, (uint32_t)at, length, token));
    at += length;
  }
  HB_TRY(hb_merger_run(&e->merger, find_piece, e));
  for (uint32_t i = 0; i != HB_NO_SYMBOL; i = e->merger.symbols[i].next) {
    const hb_symbol *s = &e->merger.symbols[i];
    if (s->token != HB_NO_TOKEN)
      put(e, s->token);
    else
      put_bytes(e, (hb_string){e->word.data + s->start, s->length});
  }
  return HB_OK;
}

static bool is_space_sign(hb_string text, size_t at) {
  return text.length - at >= 3 && memcmp(text.data + at, SPACE_SIGN, 3) == 0;
}

/* The length of the first word: spaces, then what is none. No merge reaches beyond it if no token
 * does. */
static size_t word_length(hb_string text) {
  size_t at = 0;
  while (is_space_sign(text, at)) at += 3;
  while (at < text.length && !is_space_sign(text, at)) at++;
  return at;
}

static hb_status encode_sentencepiece(encoder *e, hb_string text) {
  char *escaped;
  uint64_t capacity;
  size_t length;
  hb_status status = HB_OK;
  HB_TRY(escape_spaces(e, text, e->t->add_space_prefix, &escaped, &capacity, &length));
  for (size_t at = 0; at < length && status == HB_OK; at += e->word.length) {
    e->word = (hb_string){escaped + at, length - at};
    if (e->t->cuts_words) e->word.length = word_length(e->word);
    status = encode_pieces(e);
  }
  hb_release(e->allocator, escaped, capacity);
  return status;
}

/* ---- Whole texts ---- */

static hb_status encode_plain(encoder *e, hb_string text) {
  if (text.length == 0) return HB_OK;
  return e->t->byte_level ? encode_byte_level(e, text) : encode_sentencepiece(e, text);
}

/* How many bytes of ASCII white space a text begins with. */
static size_t white_space(hb_string text) {
  size_t n = 0;
  while (n < text.length && (text.data[n] == ' ' || (text.data[n] >= '\t' && text.data[n] <= '\r')))
    n++;
  return n;
}

/* Special tokens stand for themselves; what lies between them is plain text. */
static hb_status encode_text(encoder *e, hb_string text, bool control) {
  size_t plain = 0, at = 0;
  while (at < text.length) {
    hb_string rest = {text.data + at, text.length - at};
    hb_token token = hb_special_match(e->t, rest, control);
    if (token == HB_NO_TOKEN) {
      at++;
      continue;
    }
    HB_TRY(encode_plain(e, (hb_string){text.data + plain, at - plain}));
    put(e, token);
    at += e->t->text[token].length;
    if (e->t->flags[token] & HB_TOKEN_STRIPS)
      at += white_space((hb_string){text.data + at, text.length - at});
    plain = at;
  }
  return encode_plain(e, (hb_string){text.data + plain, at - plain});
}

hb_status hb_tokenize(const hb_tokenizer *t, hb_string text, uint32_t flags,
                      const hb_allocator *allocator, hb_token *out, size_t capacity, size_t *count,
                      hb_error *error) {
  if (!t || !count || (!text.data && text.length > 0) || (!out && capacity > 0))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "nothing to tokenize, or nowhere to put it");
  *count = 0;
  if (text.length > INT32_MAX / 4)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a text of %u bytes is too long to tokenize",
                   (uint64_t)text.length);
  encoder e = {.t = t, .allocator = allocator, .out = out, .capacity = capacity};
  e.merger.allocator = allocator;
  bool bounds = (flags & HB_TOKENIZE_BOS) != 0;
  if (bounds && t->add_bos && t->bos != HB_NO_TOKEN) put(&e, t->bos);
  hb_status status = encode_text(&e, text, (flags & HB_TOKENIZE_SPECIAL) != 0);
  if (bounds && t->add_eos && t->eos != HB_NO_TOKEN) put(&e, t->eos);
  hb_merger_destroy(&e.merger);
  if (status != HB_OK)
    return hb_fail(error, status, HB_NO_OFFSET, "no memory to tokenize a text of %u bytes",
                   (uint64_t)text.length);
  *count = e.count;
  return HB_OK;
}
