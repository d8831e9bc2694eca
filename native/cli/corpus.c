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

/* ---- Plain text ---- */

#define SEPARATOR "<|endoftext|>"

static bool is_blank(char c) {
  return c == '\n' || c == ' ' || c == '\t';
}

/* A document without the empty lines around it. */
static bool add_piece(reading *r, const char *text, size_t length) {
  size_t blank = 0;
  while (blank < length && is_blank(text[blank])) blank++;
  if (blank == length) return true;
  while (text[length - 1] == '\n') length--;
  size_t first = 0;
  for (size_t i = 0; i < blank; i++)
    if (text[i] == '\n') first = i + 1;
  return add_document(r, (hb_string){text + first, length - first});
}

/* Ends of lines as they are elsewhere, not as in Windows; and no mark of the order of bytes. */
static void clean(cli_text *text) {
  size_t from = text->length >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, to = 0;
  for (; from < text->length; from++)
    if (text->data[from] != '\r' || text->data[from + 1] != '\n')
      text->data[to++] = text->data[from];
  text->length = to;
  text->data[to] = 0;
}

/* The next place in text[at .. length - 1] that is `mark`, or length. */
static size_t find(const cli_text *text, size_t at, const char *mark) {
  size_t size = strlen(mark);
  for (; at + size <= text->length; at++) {
    const char *found = memchr(text->data + at, mark[0], text->length - size + 1 - at);
    if (!found) break;
    at = (size_t)(found - text->data);
    if (memcmp(found, mark, size) == 0) return at;
  }
  return text->length;
}

/* Cuts at <|endoftext|>; where a file has none, at two empty lines. */
static bool add_plain(reading *r, cli_text *text) {
  clean(text);
  const char *mark = find(text, 0, SEPARATOR) < text->length ? SEPARATOR : "\n\n\n";
  for (size_t at = 0; at < text->length;) {
    size_t end = find(text, at, mark);
    if (!add_piece(r, text->data + at, end - at)) return false;
    at = end + strlen(mark);
  }
  return true;
}

static bool add_file(reading *r, const char *path) {
  cli_text text;
  uint32_t before = r->corpus->text.documents;
  if (!cli_read_file(path, &text)) return false;
  bool ok = cli_is_jsonl(path) ? cli_jsonl_each(path, &text, add_document, r) : add_plain(r, &text);
  free(text.data);
  if (ok && r->corpus->text.documents == before) cli_warn("%s has no text", path);
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
  if (!tokenizer) {
    cli_fail("the model has no tokenizer to read text with");
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
    cli_fail("there is no text");
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
