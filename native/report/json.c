#include "report/json.h"
#include "token/unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool reserve(json_text *j, size_t more) {
  if (j->failed) return false;
  if (j->capacity - j->length > more) return true;
  size_t capacity = j->capacity ? j->capacity : 4096;
  while (capacity - j->length <= more && capacity < SIZE_MAX / 2) capacity *= 2;
  char *grown = capacity - j->length > more ? realloc(j->data, capacity) : NULL;
  j->failed = !grown;
  if (!grown) return false;
  j->data = grown;
  j->capacity = capacity;
  return true;
}

static void put(json_text *j, const char *bytes, size_t count) {
  if (!reserve(j, count)) return;
  memcpy(j->data + j->length, bytes, count);
  j->length += count;
  j->data[j->length] = 0;
}

/* What stands before a value or key. */
static void begin(json_text *j) {
  if (j->comma) put(j, ",", 1);
  j->comma = true;
}

static void put_escaped(json_text *j, hb_string text) {
  char escape[12];
  put(j, "\"", 1);
  for (size_t at = 0; at < text.length;) {
    uint32_t c;
    size_t length = hb_utf8_decode(text.data + at, text.length - at, &c);
    if (c == HB_NOT_UNICODE) {
      put(j, "\\ufffd", 6);
    } else if (c == '"' || c == '\\') {
      put(j, (const char[]){'\\', (char)c}, 2);
    } else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x2028 || c == 0x2029) {
      snprintf(escape, sizeof escape, "\\u%04" PRIx32, c);
      put(j, escape, 6);
    } else {
      put(j, text.data + at, length);
    }
    at += length;
  }
  put(j, "\"", 1);
}

void json_close(json_text *j) {
  free(j->data);
  *j = (json_text){0};
}

void json_open(json_text *j, char bracket) {
  begin(j);
  put(j, &bracket, 1);
  j->comma = false;
}

void json_end(json_text *j, char bracket) {
  put(j, &bracket, 1);
  j->comma = true;
}

void json_key(json_text *j, const char *name) {
  begin(j);
  put_escaped(j, hb_string_of(name));
  put(j, ":", 1);
  j->comma = false;
}

void json_string(json_text *j, hb_string value) {
  begin(j);
  put_escaped(j, value);
}

void json_number(json_text *j, double value) {
  char text[40];
  if (!isfinite(value)) {
    json_null(j);
    return;
  }
  begin(j);
  int length = snprintf(text, sizeof text, "%.9g", value);
  put(j, text, (size_t)length);
}

void json_count(json_text *j, uint64_t value) {
  char text[24];
  begin(j);
  int length = snprintf(text, sizeof text, "%" PRIu64, value);
  put(j, text, (size_t)length);
}

void json_bool(json_text *j, bool value) {
  begin(j);
  put(j, value ? "true" : "false", value ? 4 : 5);
}

void json_null(json_text *j) {
  begin(j);
  put(j, "null", 4);
}

static void copy_list(json_text *j, hb_item item, bool keyed) {
  json_open(j, keyed ? '{' : '[');
  hb_json_walk walk = hb_json_begin(item);
  while (hb_json_step(&walk)) {
    if (keyed) {
      json_string(j, walk.key);
      put(j, ":", 1);
      j->comma = false;
    }
    json_copy(j, walk.value);
  }
  json_end(j, keyed ? '}' : ']');
}

void json_copy(json_text *j, hb_item item) {
  const hb_json_node *node = &item.in->nodes[item.node];
  hb_string text = {item.in->text + node->at, node->length};
  switch (node->kind) {
  case HB_JSON_OBJECT: copy_list(j, item, true); return;
  case HB_JSON_ARRAY: copy_list(j, item, false); return;
  case HB_JSON_STRING: json_string(j, text); return;
  case HB_JSON_NULL: json_null(j); return;
  case HB_JSON_NUMBER:
    begin(j);
    put(j, text.data, text.length);
    return;
  case HB_JSON_TRUE: json_bool(j, true); return;
  case HB_JSON_FALSE: json_bool(j, false); return;
  }
}

void json_member_string(json_text *j, const char *name, const char *value) {
  json_key(j, name);
  json_string(j, hb_string_of(value));
}

void json_member_number(json_text *j, const char *name, double value) {
  json_key(j, name);
  json_number(j, value);
}

void json_member_count(json_text *j, const char *name, uint64_t value) {
  json_key(j, name);
  json_count(j, value);
}
