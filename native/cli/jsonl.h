/* Texts in JSON Lines. */
#ifndef CLI_JSONL_H
#define CLI_JSONL_H

#include "common.h"

/* Whether the name of a file ends with ".jsonl". */
bool cli_is_jsonl(const char *path);

/* Turns the content of such a file, of which every line is a string or an object with a string
 * "text" or "prompt", into those texts, with an end of line behind each. Empty lines count as none.
 * On a mistake says the line and returns false. */
bool cli_jsonl_texts(const char *path, cli_text *content);

#endif
