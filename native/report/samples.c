/* Text side by side: how both models go on where windows of the text begin. */
#include "report/report.h"

#include <stdlib.h>

enum { PROMPT = 24, GENERATED = 60 };

typedef struct text {
  char *data; /* NUL-terminated */
  size_t length, capacity;
} text;

static bool append(text *t, hb_string more) {
  if (t->capacity - t->length <= more.length) {
    size_t capacity = 2 * (t->capacity + more.length) + 64;
    char *grown = realloc(t->data, capacity);
    if (!grown) return false;
    t->data = grown;
    t->capacity = capacity;
  }
  memcpy(t->data + t->length, more.data, more.length);
  t->length += more.length;
  t->data[t->length] = 0;
  return true;
}

static char *read_prompt(const hb_tokenizer *tokenizer, const cli_tokens *prompt) {
  text out = {0};
  hb_detokenizer state = {0};
  hb_tokenizer_info info;
  hb_tokenizer_get_info(tokenizer, &info);
  char *piece = malloc(info.longest_token + 8);
  bool ok = piece && append(&out, (hb_string){"", 0});
  for (size_t i = 0; ok && i <= prompt->count; i++) {
    size_t length;
    hb_token token = i < prompt->count ? prompt->data[i] : HB_NO_TOKEN;
    if (hb_detokenize(tokenizer, &state, token, 0, piece, info.longest_token + 8, &length) == HB_OK)
      ok = append(&out, (hb_string){piece, length});
  }
  free(piece);
  if (ok) return out.data;
  free(out.data);
  return NULL;
}

static hb_status generate(hb_generator *generator, text *out, hb_error *error) {
  hb_piece piece = {0};
  while (piece.finish == HB_FINISH_NONE) {
    HB_TRY(hb_generator_next(generator, &piece, error));
    if (!append(out, piece.text)) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory");
  }
  return HB_OK;
}

static char *go_on(cli_engine *engine, const cli_tokens *prompt) {
  text out = {0};
  hb_error error;
  hb_generator *generator;
  hb_generate_options options = {.sampler = hb_sampler_defaults(), .max_tokens = GENERATED};
  hb_session_rewind(engine->session, 0);
  hb_status status = hb_session_append(engine->session, prompt->data, prompt->count, &error);
  if (status == HB_OK) status = hb_generator_create(engine->session, &options, &generator, &error);
  if (status == HB_OK) {
    if (!append(&out, (hb_string){"", 0}))
      status = hb_fail(&error, HB_MEMORY, HB_NO_OFFSET, "no memory for a sample");
    else
      status = generate(generator, &out, &error);
    hb_generator_destroy(generator);
  }
  if (status == HB_OK) return out.data;
  cli_fail_error(&error);
  free(out.data);
  return NULL;
}

bool report_samples(compared_pair *pair, report_run *out) {
  const windows *w = &pair->windows;
  size_t count = w->count < REPORT_MOST_SAMPLES ? w->count : REPORT_MOST_SAMPLES;
  for (size_t i = 0; i < count; i++) {
    cli_tokens prompt = windows_at(w, w->count * i / count);
    prompt.count = prompt.count / 2 < PROMPT ? prompt.count / 2 : PROMPT;
    report_sample *s = &out->samples[out->sample_count++];
    s->prompt = read_prompt(pair->reference.tokenizer, &prompt);
    s->reference = s->prompt ? go_on(&pair->reference, &prompt) : NULL;
    s->model = s->reference ? go_on(&pair->model, &prompt) : NULL;
    if (!s->model) return false;
  }
  return true;
}
