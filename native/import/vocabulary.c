#include "import/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>

/* The score of tokens that no merge may lead to, as llama.cpp has it. */
#define NEVER (-1000.0f)

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
  /* The unknown token keeps its type, which says more. */
  if (v->type[id] == HB_TOKEN_TYPE_UNKNOWN) return;
  v->type[id] = special ? HB_TOKEN_TYPE_CONTROL : HB_TOKEN_TYPE_USER;
}

/* ---- Writing ---- */

#define KEY "tokenizer.ggml."
#define PAD_BYTES 24

/* Names the rows that have no token, into pads[count][PAD_BYTES]. */
static void fill_gaps(const hb_vocabulary *v, hb_string *text, int32_t *type, char *pads) {
  for (uint32_t i = 0; i < v->count; i++) {
    text[i] = v->text[i];
    type[i] = v->type[i];
    if (type[i] != HB_TOKEN_TYPE_NONE) continue;
    char *pad = pads + (size_t)i * PAD_BYTES;
    int length = snprintf(pad, PAD_BYTES, "[PAD%u]", (unsigned)i);
    text[i] = (hb_string){pad, (size_t)length};
    type[i] = HB_TOKEN_TYPE_UNUSED;
  }
}

static hb_status write_tokens(const hb_vocabulary *v, hb_gguf_writer *w, hb_error *error) {
  hb_string *text = malloc(v->count * sizeof *text);
  int32_t *type = malloc(v->count * sizeof *type);
  char *pads = malloc((size_t)v->count * PAD_BYTES);
  hb_status status = HB_MEMORY;
  if (text && type && pads) {
    fill_gaps(v, text, type, pads);
    status = hb_gguf_writer_set_strings(w, KEY "tokens", text, v->count, error);
    if (status == HB_OK)
      status = hb_gguf_writer_set_array(w, KEY "token_type", HB_VALUE_I32, type, v->count, error);
  } else {
    hb_fail(error, status, HB_NO_OFFSET, "no memory to write tokens");
  }
  free(text);
  free(type);
  free(pads);
  return status;
}

static hb_status write_scores(const hb_vocabulary *v, hb_gguf_writer *w, hb_error *error) {
  for (uint32_t i = 0; i < v->count; i++)
    if (v->type[i] == HB_TOKEN_TYPE_NONE || v->type[i] == HB_TOKEN_TYPE_USER) v->score[i] = NEVER;
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
  HB_TRY(write_tokens(v, w, error));
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
