/* From tokens to text, as a stream of whole UTF-8 characters. */
#include "token/internal.h"

typedef struct decoder {
  hb_detokenizer state;
  char *out;
  size_t capacity, length;
} decoder;

static void put(decoder *d, const void *bytes, size_t count) {
  if (count <= d->capacity && d->length <= d->capacity - count)
    memcpy(d->out + d->length, bytes, count);
  d->length += count;
}

/* What is pending can no longer become a character. */
static void give_up(decoder *d) {
  if (d->state.pending_count > 0) put(d, "\xef\xbf\xbd", 3);
  d->state.pending_count = 0;
}

static void put_byte(decoder *d, uint8_t byte) {
  hb_detokenizer *s = &d->state;
  if (s->pending_count > 0 && !hb_utf8_continues(s->pending, s->pending_count, byte)) give_up(d);
  if (s->pending_count == 0 && hb_utf8_length(byte) == 0) {
    put(d, "\xef\xbf\xbd", 3);
    return;
  }
  s->pending[s->pending_count++] = byte;
  if (s->pending_count == hb_utf8_length(s->pending[0])) {
    put(d, s->pending, s->pending_count);
    s->pending_count = 0;
  }
}

static void put_raw(decoder *d, hb_string text) {
  for (size_t i = 0; i < text.length; i++) put_byte(d, (uint8_t)text.data[i]);
}

/* A byte-level token: its printable characters stand for bytes; others, for themselves. */
static void put_printable(decoder *d, hb_string text) {
  for (size_t at = 0; at < text.length;) {
    uint32_t code_point;
    uint32_t length = hb_utf8_decode(text.data + at, text.length - at, &code_point);
    int byte = hb_printable_to_byte(code_point);
    if (byte >= 0)
      put_byte(d, (uint8_t)byte);
    else
      put_raw(d, (hb_string){text.data + at, length});
    at += length;
  }
}

/* A SentencePiece token: U+2581 is a space; the first of a stream may be dropped. */
static void put_piece(decoder *d, hb_string text, bool drop_space) {
  for (size_t at = 0; at < text.length;) {
    uint32_t code_point;
    uint32_t length = hb_utf8_decode(text.data + at, text.length - at, &code_point);
    if (code_point != 0x2581)
      put_raw(d, (hb_string){text.data + at, length});
    else if (at > 0 || !drop_space)
      put_byte(d, ' ');
    at += length;
  }
}

/* The value of a byte token, whose form was checked when the tokenizer was built. */
static uint8_t byte_of(hb_string text) {
  static const char digits[] = "0123456789abcdef";
  uint32_t value = 0;
  for (size_t i = 3; i < 5; i++) {
    char c = text.data[i] >= 'A' && text.data[i] <= 'F' ? (char)(text.data[i] + 32) : text.data[i];
    value = value * 16 + (uint32_t)((const char *)memchr(digits, c, 16) - digits);
  }
  return (uint8_t)value;
}

static void put_token(decoder *d, const hb_tokenizer *t, hb_token token, bool special) {
  hb_string text = t->text[token];
  uint8_t kind = t->kind[token];
  bool first = !d->state.started;
  if (kind == HB_TOKEN_CONTROL || kind == HB_TOKEN_UNKNOWN) {
    if (special) put_raw(d, text);
    return; /* text has not begun */
  }
  if (!t->byte_level && kind == HB_TOKEN_BYTE)
    put_byte(d, byte_of(text));
  else if (!t->byte_level)
    put_piece(d, text, first && t->add_space_prefix);
  else if (kind == HB_TOKEN_USER)
    put_raw(d, text);
  else
    put_printable(d, text);
  d->state.started = 1;
}

hb_status hb_detokenize(const hb_tokenizer *t, hb_detokenizer *state, hb_token token,
                        uint32_t flags, char *out, size_t capacity, size_t *length) {
  if (!t || !state || !length || (!out && capacity > 0) || state->pending_count > 3)
    return HB_ARGUMENT;
  *length = 0;
  if (token != HB_NO_TOKEN && (token < 0 || (uint32_t)token >= t->count)) return HB_ARGUMENT;
  decoder d = {*state, out, capacity, 0};
  if (token == HB_NO_TOKEN)
    give_up(&d);
  else
    put_token(&d, t, token, (flags & HB_DETOKENIZE_SPECIAL) != 0);
  *length = d.length;
  if (d.length > capacity) return HB_ARGUMENT;
  *state = d.state;
  return HB_OK;
}
