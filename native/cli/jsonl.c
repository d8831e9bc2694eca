#include "jsonl.h"
#include "import/json.h"

#include <stdlib.h>
#include <string.h>

bool cli_is_jsonl(const char *path) {
  size_t length = strlen(path);
  return length >= 6 && strcmp(path + length - 6, ".jsonl") == 0;
}

static bool find_text(const hb_json *json, hb_string *out) {
  hb_item root = hb_json_root(json);
  return hb_json_string(root, out) || hb_json_string(hb_json_get(root, "text"), out) ||
         hb_json_string(hb_json_get(root, "prompt"), out);
}

/* Writes the line's text to `to`; it is shorter than the line, whose quotes go. */
static hb_status decode_line(hb_string line, char *to, size_t *length, hb_error *error) {
  hb_json json;
  hb_string text;
  char *copy = malloc(line.length);
  if (!copy) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for it");
  memcpy(copy, line.data, line.length);
  HB_TRY(hb_json_parse(copy, line.length, &json, error));
  bool found = find_text(&json, &text);
  *length = found ? text.length : 0;
  if (*length > 0) memcpy(to, text.data, text.length);
  hb_json_close(&json);
  if (found) return HB_OK;
  return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                 "neither a string nor an object with a \"text\" or \"prompt\"");
}

static bool is_blank(hb_string line) {
  for (size_t i = 0; i < line.length; i++)
    if (!strchr(" \t\r", line.data[i]) || line.data[i] == 0) return false;
  return true;
}

bool cli_jsonl_each(const char *path, cli_text *content,
                    bool (*body)(void *context, hb_string text), void *context) {
  size_t number = 0;
  for (size_t at = 0; at < content->length;) {
    char *begin = content->data + at;
    const char *end = memchr(begin, '\n', content->length - at);
    hb_string line = {begin, end ? (size_t)(end - begin) : content->length - at};
    size_t length;
    hb_error error;
    at += line.length + 1;
    number++;
    if (is_blank(line)) continue;
    if (decode_line(line, begin, &length, &error) != HB_OK) {
      cli_fail("%s, line %zu: %s", path, number, error.message);
      return false;
    }
    if (!body(context, (hb_string){begin, length})) return false;
  }
  return true;
}

/* Moves a text behind those before it; it lies behind them, as it was shorter than its line. */
static bool append(void *context, hb_string text) {
  cli_text *joined = context;
  memmove(joined->data + joined->length, text.data, text.length);
  joined->length += text.length;
  joined->data[joined->length++] = '\n';
  return true;
}

bool cli_jsonl_texts(const char *path, cli_text *content) {
  cli_text joined = {content->data, 0};
  if (!cli_jsonl_each(path, content, append, &joined)) return false;
  content->length = joined.length;
  content->data[joined.length] = 0;
  return true;
}
