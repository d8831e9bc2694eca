#include "corpus.h"
#include "jsonl.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct reading {
  const hb_tokenizer *tokenizer;
  hb_tokenizer_info info;
  cli_corpus *corpus;
  hb_token *tokens;
  uint64_t *start;
} reading;

/* Room for `more` tokens and a document. */
static bool grow(reading *r, size_t more) {
  cli_corpus *c = r->corpus;
  size_t count = r->start ? r->start[c->text.documents] : 0;
  if (count + more > c->capacity) {
    size_t capacity = 2 * (count + more);
    hb_token *tokens = realloc(r->tokens, capacity * sizeof *tokens);
    if (!tokens) return false;
    r->tokens = tokens;
    c->capacity = capacity;
  }
  if (c->text.documents + (size_t)2 > c->document_capacity) {
    size_t capacity = 2 * c->document_capacity + 16;
    uint64_t *start = realloc(r->start, capacity * sizeof *start);
    if (!start) return false;
    if (!r->start) start[0] = 0;
    r->start = start;
    c->document_capacity = capacity;
  }
  return true;
}

static bool add_document(void *context, hb_string text) {
  reading *r = context;
  size_t count;
  hb_error error;
  if (text.length == 0) return true;
  /* A token has a byte of the text at least, but for one that a tokenizer may put before it. */
  if (!grow(r, text.length + 3) || r->corpus->text.documents == UINT32_MAX - 1) {
    cli_fail("no memory for the text");
    return false;
  }
  size_t from = r->start[r->corpus->text.documents], at = from;
  if (r->info.bos != HB_NO_TOKEN) r->tokens[at++] = r->info.bos;
  size_t room = r->corpus->capacity - at - 1;
  if (hb_tokenize(r->tokenizer, text, 0, NULL, r->tokens + at, room, &count, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  at += count < room ? count : room;
  if (r->info.eos != HB_NO_TOKEN) r->tokens[at++] = r->info.eos;
  r->start[++r->corpus->text.documents] = at;
  return true;
}

static bool is_line_end(char c) {
  return c == '\n' || c == '\r';
}

/* Cuts at three ends of lines and more. */
static bool add_plain(reading *r, const cli_text *text) {
  size_t first = 0, at = 0;
  while (at < text->length) {
    size_t lines = 0, gap = at;
    while (gap < text->length && is_line_end(text->data[gap])) lines += text->data[gap++] == '\n';
    if (lines >= 3) {
      if (!add_document(r, (hb_string){text->data + first, at - first})) return false;
      first = gap;
    }
    at = gap > at ? gap : at + 1;
  }
  return add_document(r, (hb_string){text->data + first, text->length - first});
}

static bool add_file(reading *r, const char *path) {
  cli_text text;
  if (!cli_read_file(path, &text)) return false;
  bool ok = cli_is_jsonl(path) ? cli_jsonl_each(path, &text, add_document, r) : add_plain(r, &text);
  free(text.data);
  return ok;
}

bool cli_corpus_read(const hb_source *source, const cli_list *files, cli_corpus *out) {
  hb_tokenizer *tokenizer;
  hb_error error;
  *out = (cli_corpus){0};
  if (hb_tokenizer_create(source->gguf, NULL, &tokenizer, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  reading r = {.tokenizer = tokenizer, .corpus = out};
  hb_tokenizer_get_info(tokenizer, &r.info);
  bool ok = true;
  for (uint32_t i = 0; i < files->count && ok; i++) ok = add_file(&r, files->texts[i]);
  hb_tokenizer_destroy(tokenizer);
  out->text.tokens = r.tokens;
  out->text.start = r.start;
  if (ok && out->text.documents == 0) {
    cli_fail("%s has no text", files->texts[0]);
    ok = false;
  }
  if (!ok) cli_corpus_free(out);
  return ok;
}

void cli_corpus_free(cli_corpus *corpus) {
  free((void *)corpus->text.tokens);
  free((void *)corpus->text.start);
  *corpus = (cli_corpus){0};
}
