#include "import/json.h"
#include "host/host.h"
#include "token/unicode.h"

#include <stdlib.h>

typedef struct parser {
  hb_json *json;
  size_t at, size;
  hb_error *error;
} parser;

static hb_status fail(const parser *p, const char *what) {
  return hb_fail(p->error, HB_FORMAT, p->at, "no sound JSON at byte %u: %s", (uint64_t)p->at, what);
}

/* ---- Nodes ---- */

static hb_status add_node(parser *p, hb_json_kind kind, uint32_t *index) {
  hb_json *j = p->json;
  if (j->count == j->capacity) {
    uint32_t larger = j->capacity ? 2 * j->capacity : 64;
    if (larger > HB_JSON_MAX_NODES)
      return hb_fail(p->error, HB_UNSUPPORTED, p->at, "the JSON has more than %u values",
                     (uint64_t)HB_JSON_MAX_NODES / 2);
    hb_json_node *moved = realloc(j->nodes, larger * sizeof *moved);
    if (!moved) return hb_fail(p->error, HB_MEMORY, p->at, "no memory for the values of a JSON");
    j->nodes = moved;
    j->capacity = larger;
  }
  *index = j->count++;
  j->nodes[*index] = (hb_json_node){.kind = kind, .at = (uint32_t)p->at, .end = j->count};
  return HB_OK;
}

/* ---- Characters ---- */

static int peek(const parser *p) {
  return p->at < p->size ? (unsigned char)p->json->text[p->at] : -1;
}

static void skip_space(parser *p) {
  int c;
  while ((c = peek(p)) == ' ' || c == '\t' || c == '\n' || c == '\r') p->at++;
}

static bool take(parser *p, char c) {
  if (peek(p) != (unsigned char)c) return false;
  p->at++;
  return true;
}

static bool take_word(parser *p, const char *word) {
  size_t length = strlen(word);
  if (p->size - p->at < length || memcmp(p->json->text + p->at, word, length) != 0) return false;
  p->at += length;
  return true;
}

/* ---- Strings ---- */

bool hb_is_utf8(hb_string text) {
  uint32_t decoded;
  for (size_t at = 0; at < text.length;) {
    at += hb_utf8_decode(text.data + at, text.length - at, &decoded);
    if (decoded == HB_NOT_UNICODE) return false;
  }
  return true;
}

static bool four_hex_digits(parser *p, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < 4; i++) {
    int c = peek(p);
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return false;
    *out = *out * 16 + (uint32_t)digit;
    p->at++;
  }
  return true;
}

static size_t put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = length; --i > 0; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)((0xf00 >> length & 0xf0) | c);
  return length;
}

/* What follows \u: a code point, perhaps of two surrogates. */
static bool code_point(parser *p, uint32_t *out) {
  uint32_t low;
  if (!four_hex_digits(p, out)) return false;
  if (*out < 0xd800 || *out > 0xdfff) return true;
  if (*out > 0xdbff || !take_word(p, "\\u") || !four_hex_digits(p, &low)) return false;
  if (low < 0xdc00 || low > 0xdfff) return false;
  *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
  return true;
}

/* What follows a backslash; a decoded character is never longer than what it is decoded from. */
static bool escape(parser *p, size_t *to) {
  static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  int c = peek(p);
  const char *name = c > 0 ? strchr(names, c) : NULL;
  if (c >= 0) p->at++;
  if (name) {
    p->json->text[(*to)++] = meanings[name - names];
    return true;
  }
  uint32_t decoded;
  if (c != 'u' || !code_point(p, &decoded)) return false;
  *to += put_utf8(p->json->text + *to, decoded);
  return true;
}

static hb_status parse_string(parser *p) {
  uint32_t node;
  p->at++;
  HB_TRY(add_node(p, HB_JSON_STRING, &node));
  char *text = p->json->text;
  size_t to = p->at;
  for (int c; (c = peek(p)) != '"';) {
    if (c < 0x20) return fail(p, c < 0 ? "a string has no end" : "a control character");
    if (c == '\\') {
      p->at++;
      if (!escape(p, &to)) return fail(p, "no such escape in a string");
      continue;
    }
    uint32_t decoded;
    uint32_t length = hb_utf8_decode(text + p->at, p->size - p->at, &decoded);
    if (decoded == HB_NOT_UNICODE) return fail(p, "a string is not UTF-8");
    memmove(text + to, text + p->at, length);
    to += length;
    p->at += length;
  }
  p->at++;
  p->json->nodes[node].length = (uint32_t)to - p->json->nodes[node].at;
  return HB_OK;
}

/* ---- Numbers ---- */

static bool digits(parser *p) {
  size_t begin = p->at;
  for (int c; (c = peek(p)) >= '0' && c <= '9';) p->at++;
  return p->at > begin;
}

static hb_status parse_number(parser *p) {
  uint32_t node;
  HB_TRY(add_node(p, HB_JSON_NUMBER, &node));
  take(p, '-');
  bool good = take(p, '0') || digits(p);
  if (good && take(p, '.')) good = digits(p);
  if (good && (take(p, 'e') || take(p, 'E'))) {
    if (!take(p, '-')) take(p, '+');
    good = digits(p);
  }
  if (!good) return fail(p, "no value");
  p->json->nodes[node].length = (uint32_t)p->at - p->json->nodes[node].at;
  return HB_OK;
}

/* ---- Values ---- */

static hb_status parse_value(parser *p, uint32_t depth);

static hb_status parse_member(parser *p, uint32_t depth) {
  skip_space(p);
  if (peek(p) != '"') return fail(p, "no name of a member");
  HB_TRY(parse_string(p));
  skip_space(p);
  if (!take(p, ':')) return fail(p, "no colon");
  return parse_value(p, depth);
}

/* An array or an object, whose bracket comes next. */
static hb_status parse_list(parser *p, hb_json_kind kind, char closing, uint32_t depth) {
  uint32_t node;
  if (depth >= HB_JSON_MAX_DEPTH) return fail(p, "it nests too deeply");
  HB_TRY(add_node(p, kind, &node));
  p->at++;
  skip_space(p);
  if (!take(p, closing)) {
    do {
      HB_TRY(kind == HB_JSON_OBJECT ? parse_member(p, depth + 1) : parse_value(p, depth + 1));
      skip_space(p);
    } while (take(p, ','));
    if (!take(p, closing)) return fail(p, "a comma or a closing bracket is missing");
  }
  p->json->nodes[node].end = p->json->count;
  return HB_OK;
}

static hb_status parse_value(parser *p, uint32_t depth) {
  uint32_t node;
  skip_space(p);
  switch (peek(p)) {
  case '{': return parse_list(p, HB_JSON_OBJECT, '}', depth);
  case '[': return parse_list(p, HB_JSON_ARRAY, ']', depth);
  case '"': return parse_string(p);
  default: break;
  }
  if (take_word(p, "null")) return add_node(p, HB_JSON_NULL, &node);
  if (take_word(p, "true")) return add_node(p, HB_JSON_TRUE, &node);
  if (take_word(p, "false")) return add_node(p, HB_JSON_FALSE, &node);
  return parse_number(p);
}

hb_status hb_json_parse(char *text, size_t size, hb_json *out, hb_error *error) {
  *out = (hb_json){.text = text};
  parser p = {.json = out, .size = size, .error = error};
  hb_status status;
  if (size > HB_JSON_MAX_BYTES) {
    status = hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "a JSON text of %u bytes is too large",
                     (uint64_t)size);
  } else {
    status = parse_value(&p, 0);
    skip_space(&p);
    if (status == HB_OK && p.at < size) status = fail(&p, "something follows the value");
  }
  if (status != HB_OK) hb_json_close(out);
  return status;
}

hb_status hb_json_open(const char *path, hb_json *out, hb_error *error) {
  hb_file file;
  *out = (hb_json){0};
  HB_TRY(hb_file_open(path, &file, error));
  char *text = NULL;
  if (file.size <= HB_JSON_MAX_BYTES) {
    text = malloc((size_t)file.size + 1);
    if (text && file.size > 0) memcpy(text, file.data, (size_t)file.size);
  }
  hb_status status;
  if (text)
    status = hb_json_parse(text, (size_t)file.size, out, error);
  else
    status = hb_fail(error, file.size > HB_JSON_MAX_BYTES ? HB_UNSUPPORTED : HB_MEMORY,
                     HB_NO_OFFSET, "its %u bytes are too many", file.size);
  hb_file_close(&file);
  return hb_host_name_path(error, path, status);
}

void hb_json_close(hb_json *json) {
  free(json->text);
  free(json->nodes);
  *json = (hb_json){0};
}

/* ---- Looking into it ---- */

static const hb_json_node *node_of(hb_item item) {
  return &item.in->nodes[item.node];
}

hb_item hb_json_root(const hb_json *json) {
  return (hb_item){json->count > 0 ? json : NULL, 0};
}

hb_json_kind hb_json_kind_of(hb_item item) {
  return item.in ? node_of(item)->kind : HB_JSON_NULL;
}

hb_json_walk hb_json_begin(hb_item item) {
  hb_json_kind kind = hb_json_kind_of(item);
  if (kind != HB_JSON_ARRAY && kind != HB_JSON_OBJECT) return (hb_json_walk){.in = item.in};
  return (hb_json_walk){.in = item.in,
                        .next = item.node + 1,
                        .end = node_of(item)->end,
                        .keyed = kind == HB_JSON_OBJECT};
}

bool hb_json_step(hb_json_walk *w) {
  if (w->next >= w->end) return false;
  const hb_json_node *nodes = w->in->nodes;
  if (w->keyed) {
    w->key = (hb_string){w->in->text + nodes[w->next].at, nodes[w->next].length};
    w->next++;
  }
  w->value = (hb_item){w->in, w->next};
  w->next = nodes[w->next].end;
  return true;
}

hb_item hb_json_get(hb_item object, const char *name) {
  hb_item found = {NULL, 0};
  if (hb_json_kind_of(object) != HB_JSON_OBJECT) return found;
  hb_json_walk w = hb_json_begin(object);
  while (hb_json_step(&w))
    if (hb_string_equal(w.key, hb_string_of(name))) found = w.value;
  return hb_json_kind_of(found) == HB_JSON_NULL ? (hb_item){NULL, 0} : found;
}

bool hb_json_string(hb_item item, hb_string *out) {
  if (hb_json_kind_of(item) != HB_JSON_STRING) return false;
  *out = (hb_string){item.in->text + node_of(item)->at, node_of(item)->length};
  return true;
}

bool hb_json_bool(hb_item item, bool *out) {
  hb_json_kind kind = hb_json_kind_of(item);
  *out = kind == HB_JSON_TRUE;
  return kind == HB_JSON_TRUE || kind == HB_JSON_FALSE;
}

bool hb_json_u64(hb_item item, uint64_t *out) {
  *out = 0;
  if (hb_json_kind_of(item) != HB_JSON_NUMBER) return false;
  const char *text = item.in->text + node_of(item)->at;
  for (uint32_t i = 0; i < node_of(item)->length; i++) {
    if (text[i] < '0' || text[i] > '9' || !hb_mul_u64(*out, 10, out) ||
        !hb_add_u64(*out, (uint64_t)(text[i] - '0'), out))
      return false;
  }
  return true;
}

/* `mantissa` * 10^exponent: exact steps as long as the power is, which holds for the numbers that
 * people write. */
static double scale(double x, int64_t exponent) {
  for (; exponent > 0; exponent -= exponent < 22 ? exponent : 22) {
    double power = 1;
    for (int64_t i = 0; i < exponent && i < 22; i++) power *= 10;
    x *= power;
  }
  for (; exponent<0; exponent += exponent> - 22 ? -exponent : 22) {
    double power = 1;
    for (int64_t i = 0; i < -exponent && i < 22; i++) power *= 10;
    x /= power;
  }
  return x;
}

bool hb_json_f64(hb_item item, double *out) {
  *out = 0;
  if (hb_json_kind_of(item) != HB_JSON_NUMBER) return false;
  const char *at = item.in->text + node_of(item)->at, *end = at + node_of(item)->length;
  bool negative = *at == '-', fraction = false;
  uint64_t mantissa = 0;
  int64_t exponent = 0, written = 0;
  for (at += negative; at < end && *at != 'e' && *at != 'E'; at++) {
    if (*at == '.') {
      fraction = true;
    } else if (mantissa < UINT64_MAX / 100) { /* further digits are below the result's precision */
      mantissa = mantissa * 10 + (uint64_t)(*at - '0');
      exponent -= fraction;
    } else {
      exponent += !fraction;
    }
  }
  if (at < end) {
    bool down = *++at == '-';
    if (*at == '-' || *at == '+') at++;
    for (; at < end; at++)
      if (written < 100000) written = written * 10 + (*at - '0');
    exponent += down ? -written : written;
  }
  /* Beyond these a product is 0 or infinite anyway. */
  exponent = exponent > 400 ? 400 : exponent < -400 ? -400 : exponent;
  double value = mantissa ? scale((double)mantissa, exponent) : 0;
  *out = negative ? -value : value;
  return true;
}
