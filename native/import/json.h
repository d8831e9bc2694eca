/* JSON texts (RFC 8259) as flat lists of nodes: a node is followed by those that it holds. Strings
 * are decoded in place. Whatever the text is, memory is bounded by its size. */
#ifndef HB_IMPORT_JSON_H
#define HB_IMPORT_JSON_H

#include "base/base.h"

#define HB_JSON_MAX_BYTES (256u << 20)
#define HB_JSON_MAX_NODES (1u << 24)
#define HB_JSON_MAX_DEPTH 64

typedef enum hb_json_kind {
  HB_JSON_NULL,
  HB_JSON_FALSE,
  HB_JSON_TRUE,
  HB_JSON_NUMBER,
  HB_JSON_STRING,
  HB_JSON_ARRAY,
  HB_JSON_OBJECT, /* holds a string and a value for each member */
} hb_json_kind;

typedef struct hb_json_node {
  hb_json_kind kind;
  uint32_t at, length; /* a number's or a decoded string's bytes in the text */
  uint32_t end;        /* the node behind this one and all that it holds */
} hb_json_node;

typedef struct hb_json {
  char *text;
  hb_json_node *nodes;
  uint32_t count, capacity;
} hb_json;

/* Takes over `text`, of `size` bytes from malloc, even if it fails. Strings must be UTF-8, without
 * lone surrogates; nothing may follow the value but white space. */
hb_status hb_json_parse(char *text, size_t size, hb_json *out, hb_error *error);
/* A file of at most HB_JSON_MAX_BYTES. The error names the path. */
hb_status hb_json_open(const char *path, hb_json *out, hb_error *error);
void hb_json_close(hb_json *json);

/* Whether a text from elsewhere is what a string of a JSON must be. */
bool hb_is_utf8(hb_string text);

/* ---- Looking into it ---- */

/* A value, or none: `in` is NULL. */
typedef struct hb_item {
  const hb_json *in;
  uint32_t node;
} hb_item;

hb_item hb_json_root(const hb_json *json);

/* The member of that name, the last if there are several as in Python's reader; none if it is null
 * or `object` is no object or none. */
hb_item hb_json_get(hb_item object, const char *name);

hb_json_kind hb_json_kind_of(hb_item item); /* of none: null */

/* Each gives false where the item is of another kind or out of range, or none. */
bool hb_json_string(hb_item item, hb_string *out);
bool hb_json_u64(hb_item item, uint64_t *out); /* written as digits alone */
bool hb_json_f64(hb_item item, double *out);
bool hb_json_bool(hb_item item, bool *out);

/* Walks what an array or an object holds; nothing for other items. */
typedef struct hb_json_walk {
  hb_string key; /* of objects */
  hb_item value;
  const hb_json *in;
  uint32_t next, end;
  bool keyed;
} hb_json_walk;

hb_json_walk hb_json_begin(hb_item item);
bool hb_json_step(hb_json_walk *walk);

#endif
