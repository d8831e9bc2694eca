/* What the subcommands share: an opened model, texts and tokens from the command line, and how
 * failures are told. */
#ifndef CLI_COMMON_H
#define CLI_COMMON_H

#include "options.h"
#include "progress.h"

#include <stddef.h>

/* Prints "halfbyte: " and a sentence on stderr; returns CLI_FAILED. */
int cli_fail(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/* Prints "halfbyte: warning: " and a sentence on stderr. */
void cli_warn(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/* As cli_fail for an error of the library, with its place in the file. */
int cli_fail_error(const hb_error *error);

/* ---- Bytes, tokens, text ---- */

/* A buffer from malloc, NUL-terminated. */
typedef struct cli_text {
  char *data;
  size_t length;
} cli_text;

/* A copy of `text`; what stdin holds if it is "-". */
bool cli_read_text(const char *text, cli_text *out);
bool cli_read_file(const char *path, cli_text *out);

typedef struct cli_tokens {
  hb_token *data; /* from malloc; NULL after a failure of what makes them */
  size_t count;
} cli_tokens;

/* Parses "1,2,3"; every id must be below `vocabulary`. */
bool cli_parse_tokens(const char *list, uint32_t vocabulary, cli_tokens *out);

/* Splits a text with the model's tokenizer; `flags` as for hb_tokenize. */
bool cli_tokenize(const hb_tokenizer *tokenizer, hb_string text, uint32_t flags, cli_tokens *out);

/* ---- A model, ready to compute ---- */

typedef struct cli_engine {
  hb_model *model;
  hb_threads *threads;
  hb_parallel parallel; /* of the threads */
  hb_session *session;
  const hb_tokenizer *tokenizer; /* NULL if the file has none */
  hb_model_info info;
  double load_seconds;
} cli_engine;

/* Loads the model that the options name and starts their threads. On failure says so and leaves
 * nothing open; here and below. */
bool cli_load(cli_engine *engine, const cli_options *options);

/* Makes the engine's session: `context` positions (0: the options', else the model's). */
bool cli_open_session(cli_engine *engine, const cli_options *options, uint32_t context,
                      uint32_t batch, uint32_t logit_rows);
void cli_close(cli_engine *engine);

/* The tokens of --tokens or, tokenized, of -p. */
bool cli_input_tokens(const cli_engine *engine, const cli_options *options, cli_tokens *out);

/* What -p says with the tokens that begin a text; for an empty prompt, a token to begin with. */
bool cli_prompt_tokens(const cli_engine *engine, const char *prompt, cli_tokens *out);

/* ---- Printing ---- */

/* "3.2 MiB" into a buffer of 24 bytes, which is returned. */
const char *cli_size(uint64_t bytes, char *buffer);

/* Writes a text from a file or a model for reading: control characters as '?'. */
void cli_print_string(hb_string text);

/* Flushes stdout; on an error, says so and returns CLI_FAILED instead of `code`. */
int cli_finish_output(int code);

#endif
