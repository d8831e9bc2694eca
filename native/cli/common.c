#include "common.h"
#include "adapters.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell(const char *before, const char *format, va_list arguments) {
  fflush(stdout);
  fprintf(stderr, "halfbyte: %s", before);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
}

int cli_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  tell("", format, arguments);
  va_end(arguments);
  return CLI_FAILED;
}

void cli_warn(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  tell("warning: ", format, arguments);
  va_end(arguments);
}

int cli_fail_error(const hb_error *error) {
  if (error->offset == HB_NO_OFFSET) return cli_fail("%s", error->message);
  return cli_fail("%s (at byte %" PRIu64 ")", error->message, error->offset);
}

/* ---- Bytes, tokens, text ---- */

static void drop_tokens(cli_tokens *tokens) {
  free(tokens->data);
  *tokens = (cli_tokens){0};
}

static bool no_memory(void) {
  cli_fail("no memory");
  return false;
}

static bool copy_text(const void *data, size_t length, cli_text *out) {
  *out = (cli_text){malloc(length + 1), length};
  if (!out->data) return no_memory();
  if (length) memcpy(out->data, data, length);
  out->data[length] = 0;
  return true;
}

static bool read_stdin(cli_text *out) {
  size_t capacity = 1 << 16;
  *out = (cli_text){malloc(capacity), 0};
  if (!out->data) return no_memory();
  for (;;) {
    size_t got = fread(out->data + out->length, 1, capacity - out->length - 1, stdin);
    out->length += got;
    if (got == 0) break;
    if (capacity - out->length > 1) continue;
    char *grown = capacity < SIZE_MAX / 2 ? realloc(out->data, capacity * 2) : NULL;
    if (!grown) {
      free(out->data);
      return no_memory();
    }
    out->data = grown;
    capacity *= 2;
  }
  if (ferror(stdin)) {
    free(out->data);
    cli_fail("cannot read standard input: %s", strerror(errno));
    return false;
  }
  out->data[out->length] = 0;
  return true;
}

bool cli_read_text(const char *text, cli_text *out) {
  if (strcmp(text, "-") == 0) return read_stdin(out);
  return copy_text(text, strlen(text), out);
}

bool cli_read_file(const char *path, cli_text *out) {
  hb_file file;
  hb_error error;
  if (hb_file_open(path, &file, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  bool copied = copy_text(file.data, (size_t)file.size, out);
  hb_file_close(&file);
  return copied;
}

bool cli_parse_tokens(const char *list, uint32_t vocabulary, cli_tokens *out) {
  size_t most = strlen(list) / 2 + 1;
  *out = (cli_tokens){malloc(most * sizeof *out->data), 0};
  if (!out->data) return no_memory();
  for (const char *at = list;; at++) {
    char *end;
    errno = 0;
    unsigned long id = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : ULONG_MAX;
    if (id == ULONG_MAX || errno != 0 || (*end != ',' && *end != 0)) {
      cli_fail("--tokens takes ids with commas between them, not '%s'", list);
      break;
    }
    if (id >= vocabulary) {
      cli_fail("token %lu is not in the vocabulary of %" PRIu32, id, vocabulary);
      break;
    }
    out->data[out->count++] = (hb_token)id;
    if (*end == 0) return true;
    at = end;
  }
  drop_tokens(out);
  return false;
}

bool cli_tokenize(const hb_tokenizer *tokenizer, hb_string text, uint32_t flags, cli_tokens *out) {
  hb_error error;
  *out = (cli_tokens){0};
  if (!tokenizer) {
    cli_fail("the model has no tokenizer");
    return false;
  }
  size_t capacity = text.length + 2; /* seldom more tokens than bytes */
  for (;;) {
    *out = (cli_tokens){malloc(capacity * sizeof *out->data), 0};
    if (!out->data) return no_memory();
    hb_status status =
        hb_tokenize(tokenizer, text, flags, NULL, out->data, capacity, &out->count, &error);
    if (status == HB_OK && out->count <= capacity) return true;
    capacity = out->count;
    drop_tokens(out);
    if (status != HB_OK) {
      cli_fail_error(&error);
      return false;
    }
  }
}

/* ---- A model, ready to compute ---- */

bool cli_load(cli_engine *engine, const cli_options *options) {
  *engine = (cli_engine){0};
  hb_error error;
  progress bar;
  progress_begin(&bar, "loading");
  hb_file_progress report = {&bar, progress_report};
  hb_load_options load = {.isa = options->isa};
  if (!hb_isa_available(load.isa)) {
    cli_fail("this machine or build has no %s", hb_isa_name(load.isa));
    return false;
  }
  double start = hb_clock();
  hb_status status = hb_threads_create(options->threads, &engine->threads, &error);
  if (status == HB_OK) {
    load.parallel = hb_threads_parallel(engine->threads);
    status = hb_load_file(options->model, &load, &report, &engine->model, &error);
  }
  progress_end(&bar);
  if (status != HB_OK) cli_fail_error(&error);
  if (status != HB_OK || !cli_add_adapters(engine->model, options)) {
    cli_close(engine);
    return false;
  }
  engine->load_seconds = hb_clock() - start;
  engine->parallel = *hb_threads_parallel(engine->threads);
  engine->tokenizer = hb_model_tokenizer(engine->model);
  hb_model_get_info(engine->model, &engine->info);
  return true;
}

bool cli_open_session(cli_engine *engine, const cli_options *options, uint32_t context,
                      uint32_t batch, uint32_t logit_rows) {
  hb_session_options session = {
      .parallel = &engine->parallel,
      .context_length = context ? context : options->context,
      .batch = batch,
      .logit_rows = logit_rows,
      .kv = options->kv,
  };
  hb_error error;
  if (hb_session_create(engine->model, &session, &engine->session, &error) == HB_OK) return true;
  cli_fail_error(&error);
  return false;
}

void cli_close(cli_engine *engine) {
  hb_session_destroy(engine->session);
  hb_threads_destroy(engine->threads);
  hb_model_destroy(engine->model);
  *engine = (cli_engine){0};
}

bool cli_input_tokens(const cli_engine *engine, const cli_options *options, cli_tokens *out) {
  if (options->tokens) return cli_parse_tokens(options->tokens, engine->info.vocabulary, out);
  return cli_prompt_tokens(engine, options->prompt, out);
}

bool cli_prompt_tokens(const cli_engine *engine, const char *prompt, cli_tokens *out) {
  cli_text text;
  if (!cli_read_text(prompt, &text)) return false;
  bool ok =
      cli_tokenize(engine->tokenizer, (hb_string){text.data, text.length}, HB_TOKENIZE_BOS, out);
  free(text.data);
  if (!ok || out->count > 0) return ok;
  hb_tokenizer_info info;
  hb_tokenizer_get_info(engine->tokenizer, &info);
  out->data[0] = info.bos != HB_NO_TOKEN ? info.bos : info.eos;
  out->count = 1;
  if (out->data[0] != HB_NO_TOKEN) return true;
  drop_tokens(out);
  cli_fail("the model has no token that begins a text: it needs a prompt");
  return false;
}

/* ---- Printing ---- */

const char *cli_size(uint64_t bytes, char *buffer) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = (double)bytes;
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    unit++;
  }
  snprintf(buffer, 24, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
  return buffer;
}

void cli_print_string(hb_string text) {
  for (size_t i = 0; i < text.length; i++) {
    unsigned char c = (unsigned char)text.data[i];
    putchar(c < 32 || c == 127 ? '?' : c);
  }
}

int cli_finish_output(int code) {
  errno = 0;
  if (fflush(stdout) == 0 && !ferror(stdout)) return code;
  const char *cause = errno ? strerror(errno) : "an earlier write failed";
  fprintf(stderr, "halfbyte: cannot write standard output: %s\n", cause);
  return CLI_FAILED;
}
