#include "import/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>

/* Scores of tokens that no merge leads to, as llama.cpp has them. */
#define ADDED_SCORE (-1000.0f)
#define UNUSED_SCORE (-10000.0f)

hb_status hb_vocabulary_create(uint32_t count, hb_vocabulary *out, hb_error *error) {
  *out = (hb_vocabulary){.count = count,
                         .text = calloc(count, sizeof *out->text),
                         .score = calloc(count, sizeof *out->score),
                         .type = calloc(count, sizeof *out->type),
                         .bos = HB_NO_ID,
                         .eos = HB_NO_ID,
                         .unknown = HB_NO_ID,
                         .padding = HB_NO_ID,
                         .ends = {HB_NO_ID, HB_NO_ID}};
  if (out->text && out->score && out->type) return HB_OK;
  hb_vocabulary_close(out);
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a vocabulary of %u tokens",
                 (uint64_t)count);
}

void hb_vocabulary_close(hb_vocabulary *v) {
  free(v->text);
  free(v->score);
  free(v->type);
  free(v->merges);
  free(v->merge_text);
  *v = (hb_vocabulary){0};
}

uint64_t hb_vocabulary_find(const hb_vocabulary *v, hb_string text) {
  for (uint32_t i = 0; i < v->count; i++)
    if (v->type[i] != HB_TOKEN_TYPE_NONE && hb_string_equal(v->text[i], text)) return i;
  return HB_NO_ID;
}

void hb_vocabulary_add(hb_vocabulary *v, uint64_t id, hb_string text, bool special) {
  if (id >= v->count) return;
  v->text[id] = text;
  v->score[id] = ADDED_SCORE;
  /* The unknown token keeps its type, which says more. */
  if (v->type[id] == HB_TOKEN_TYPE_UNKNOWN) return;
  v->type[id] = special ? HB_TOKEN_TYPE_CONTROL : HB_TOKEN_TYPE_USER;
}

/* ---- Writing ---- */

#define KEY "tokenizer.ggml."
#define SPACE u8"\u2581" /* of SentencePiece */
#define PAD_BYTES 24

/* Texts that no file has: names of rows without a token; and user-defined tokens of SentencePiece
 * with spaces, since they are looked for in a text as it is. */
typedef struct made_texts {
  hb_string *text; /* [count] */
  int32_t *type;
  char *bytes;
} made_texts;

static char *name_gap(uint32_t id, char *to, hb_string *text) {
  int length = snprintf(to, PAD_BYTES, "[PAD%u]", (unsigned)id);
  *text = (hb_string){to, (size_t)length};
  return to + length;
}

static char *put_spaces(char *to, hb_string *text) {
  char *begin = to;
  size_t mark = sizeof SPACE - 1;
  for (size_t at = 0; at < text->length;) {
    bool space = text->length - at >= mark && memcmp(text->data + at, SPACE, mark) == 0;
    *to++ = space ? ' ' : text->data[at];
    at += space ? mark : 1;
  }
  *text = (hb_string){begin, (size_t)(to - begin)};
  return to;
}

static bool make_texts(const hb_vocabulary *v, bool pieces, made_texts *m) {
  size_t bytes = (size_t)v->count * PAD_BYTES;
  for (uint32_t i = 0; i < v->count; i++)
    if (v->type[i] == HB_TOKEN_TYPE_USER) bytes += v->text[i].length;
  m->text = malloc(v->count * sizeof *m->text);
  m->type = malloc(v->count * sizeof *m->type);
  char *to = m->bytes = malloc(bytes);
  if (!m->text || !m->type || !to) return false;
  for (uint32_t i = 0; i < v->count; i++) {
    m->text[i] = v->text[i];
    m->type[i] = v->type[i];
    if (m->type[i] == HB_TOKEN_TYPE_USER && pieces) to = put_spaces(to, &m->text[i]);
    if (m->type[i] != HB_TOKEN_TYPE_NONE) continue;
    m->type[i] = HB_TOKEN_TYPE_UNUSED;
    to = name_gap(i, to, &m->text[i]);
  }
  return true;
}

static hb_status write_tokens(const hb_vocabulary *v, bool pieces, hb_gguf_writer *w,
                              hb_error *error) {
  made_texts m = {0};
  hb_status status;
  if (make_texts(v, pieces, &m)) {
    status = hb_gguf_writer_set_strings(w, KEY "tokens", m.text, v->count, error);
    if (status == HB_OK)
      status = hb_gguf_writer_set_array(w, KEY "token_type", HB_VALUE_I32, m.type, v->count, error);
  } else {
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to write tokens");
  }
  free(m.text);
  free(m.type);
  free(m.bytes);
  return status;
}

static hb_status write_scores(const hb_vocabulary *v, hb_gguf_writer *w, hb_error *error) {
  for (uint32_t i = 0; i < v->count; i++)
    if (v->type[i] == HB_TOKEN_TYPE_NONE) v->score[i] = UNUSED_SCORE;
  return hb_gguf_writer_set_array(w, KEY "scores", HB_VALUE_F32, v->score, v->count, error);
}

static hb_status write_id(hb_gguf_writer *w, const char *key, uint64_t id, hb_error *error) {
  return id == HB_NO_ID ? HB_OK : hb_gguf_writer_set_u32(w, key, (uint32_t)id, error);
}

hb_status hb_vocabulary_set_keys(const hb_vocabulary *v, hb_gguf_writer *w, hb_error *error) {
  HB_TRY(
      hb_gguf_writer_set_string(w, KEY "model", hb_string_of(v->model ? v->model : "none"), error));
  if (!v->model) return HB_OK;
  bool pieces = strcmp(v->model, "llama") == 0;
  HB_TRY(hb_gguf_writer_set_string(w, KEY "pre", hb_string_of(v->pre), error));
  if (pieces) HB_TRY(write_scores(v, w, error));
  HB_TRY(write_tokens(v, pieces, w, error));
  if (!pieces)
    HB_TRY(hb_gguf_writer_set_strings(w, KEY "merges", v->merges, v->merge_count, error));
  HB_TRY(write_id(w, KEY "bos_token_id", v->bos, error));
  HB_TRY(write_id(w, KEY "eos_token_id", v->eos, error));
  HB_TRY(write_id(w, KEY "unknown_token_id", v->unknown, error));
  HB_TRY(write_id(w, KEY "padding_token_id", v->padding, error));
  HB_TRY(write_id(w, KEY "eot_token_id", v->ends[0], error));
  HB_TRY(write_id(w, KEY "eom_token_id", v->ends[1], error));
  HB_TRY(hb_gguf_writer_set_bool(w, KEY "add_bos_token", v->add_bos, error));
  HB_TRY(hb_gguf_writer_set_bool(w, KEY "add_eos_token", v->add_eos, error));
  if (!pieces) return HB_OK;
  return hb_gguf_writer_set_bool(w, KEY "add_space_prefix", v->add_space_prefix, error);
}
