/* Writing JSON (RFC 8259) into memory. Characters that would end a <script> of HTML are escaped, so
 * that the same text can stand in a page; what is no UTF-8 becomes U+FFFD; numbers that JSON does
 * not have become null. */
#ifndef REPORT_JSON_H
#define REPORT_JSON_H

#include "import/json.h"

typedef struct json_text {
  char *data; /* NUL-terminated, from malloc */
  size_t length, capacity;
  bool comma;  /* one is due before the next value or key */
  bool failed; /* there was no memory */
} json_text;

void json_close(json_text *j);

/* '{' or '['; and the bracket that ends it. */
void json_open(json_text *j, char bracket);
void json_end(json_text *j, char bracket);

/* The name of the next value in an object. */
void json_key(json_text *j, const char *name);

void json_string(json_text *j, hb_string value);
void json_number(json_text *j, double value);
void json_count(json_text *j, uint64_t value);
void json_bool(json_text *j, bool value);
void json_null(json_text *j);

/* A value that was parsed, with all that it holds. */
void json_copy(json_text *j, hb_item item);

/* Members of an object. */
void json_member_string(json_text *j, const char *name, const char *value);
void json_member_number(json_text *j, const char *name, double value);
void json_member_count(json_text *j, const char *name, uint64_t value);

#endif
