/* Texts in JSON Lines. */
#ifndef CLI_JSONL_H
#define CLI_JSONL_H

#include "common.h"

/* Whether the name of a file ends with ".jsonl". */
bool cli_is_jsonl(const char *path);

/* Calls body(context, text) for every line of such a file's content, which is changed on the way: a
 * string, or an object with a string "text" or "prompt". Empty lines count as none. Ends where body
 * returns false; on a mistake says the line and returns false. */
bool cli_jsonl_each(const char *path, cli_text *content,
                    bool (*body)(void *context, hb_string text), void *context);

/* Turns the content of such a file into those texts, with an end of line behind each. */
bool cli_jsonl_texts(const char *path, cli_text *content);

#endif
