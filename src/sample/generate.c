/* A generation: session, sampler, detokenizer and stop strings in one loop. */
#include "base/base.h"
#include "model/session.h"

enum { MAX_STOPS = 64, MAX_STOP_BYTES = 4096, FLUSHED_BYTES = 16 };

struct hb_generator {
  const hb_allocator *allocator;
  hb_session *session;
  const hb_tokenizer *tokenizer;
  hb_sampler *sampler;
  hb_detokenizer detokenizer;
  uint32_t max_tokens;
  bool ignore_end, logprobs;
  uint32_t generated;
  hb_finish finish;

  hb_string *stops; /* their bytes stand behind the list */
  size_t stop_count;
  uint64_t stop_bytes;

  char *text; /* not yet given out, but for the first `given` bytes */
  size_t length, given, capacity;
};

/* ---- Creating ---- */

/* Copies the stop strings into one block. */
static hb_status copy_stops(hb_generator *g, const hb_generate_options *o, hb_error *error) {
  if (o->stop_count > MAX_STOPS || (o->stop_count > 0 && !o->stop))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "at most %u stop strings are possible",
                   (uint64_t)MAX_STOPS);
  uint64_t bytes = o->stop_count * sizeof *g->stops;
  for (size_t i = 0; i < o->stop_count; i++) {
    if (!o->stop[i].data || o->stop[i].length < 1 || o->stop[i].length > MAX_STOP_BYTES)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "stop string %u has %u bytes, not 1 to %u",
                     (uint64_t)i, (uint64_t)o->stop[i].length, (uint64_t)MAX_STOP_BYTES);
    bytes += o->stop[i].length;
  }
  g->stops = hb_allocate(g->allocator, bytes);
  if (!g->stops) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for stop strings");
  g->stop_bytes = bytes;
  g->stop_count = o->stop_count;
  char *at = (char *)(g->stops + o->stop_count);
  for (size_t i = 0; i < o->stop_count; i++) {
    memcpy(at, o->stop[i].data, o->stop[i].length);
    g->stops[i] = (hb_string){at, o->stop[i].length};
    at += o->stop[i].length;
  }
  return HB_OK;
}

static hb_status prepare(hb_generator *g, const hb_generate_options *o, hb_error *error) {
  HB_TRY(copy_stops(g, o, error));
  hb_tokenizer_info info;
  hb_tokenizer_get_info(g->tokenizer, &info);
  g->capacity = MAX_STOP_BYTES + info.longest_token + FLUSHED_BYTES;
  g->text = hb_allocate(g->allocator, g->capacity);
  if (!g->text) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for generated text");
  return hb_sampler_create(g->allocator, g->session->model->h.vocabulary, &o->sampler, &g->sampler,
                           error);
}

hb_status hb_generator_create(hb_session *session, const hb_generate_options *options,
                              hb_generator **out, hb_error *error) {
  if (!session || !options || !out)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a generation needs a session and options");
  *out = NULL;
  if (!session->model->tokenizer)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "the model has no tokenizer");
  hb_generator *g = hb_allocate_zero(options->allocator, sizeof *g);
  if (!g) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a generation");
  g->allocator = options->allocator;
  g->session = session;
  g->tokenizer = session->model->tokenizer;
  g->max_tokens = options->max_tokens;
  g->ignore_end = options->ignore_end != 0;
  g->logprobs = options->logprobs != 0;
  /* The text continues another unless nothing but BOS stands before it. */
  g->detokenizer.started = session->position > 1;
  hb_status status = prepare(g, options, error);
  if (status != HB_OK) {
    hb_generator_destroy(g);
    return status;
  }
  *out = g;
  return HB_OK;
}

void hb_generator_destroy(hb_generator *g) {
  if (!g) return;
  hb_sampler_destroy(g->sampler);
  hb_release(g->allocator, g->stops, g->stop_bytes);
  hb_release(g->allocator, g->text, g->capacity);
  hb_release(g->allocator, g, sizeof *g);
}

void hb_generator_accept(hb_generator *g, const hb_token *tokens, size_t count) {
  hb_tokenizer_info info;
  hb_tokenizer_get_info(g->tokenizer, &info);
  for (size_t i = 0; i < count; i++) {
    hb_sampler_accept(g->sampler, tokens[i]);
    if (tokens[i] != info.bos) g->detokenizer.started = 1;
  }
}

/* ---- Text ---- */

static hb_status add_text(hb_generator *g, hb_token token, hb_error *error) {
  size_t length;
  hb_status status = hb_detokenize(g->tokenizer, &g->detokenizer, token, 0, g->text + g->length,
                                   g->capacity - g->length, &length);
  if (status != HB_OK)
    return hb_fail(error, status, HB_NO_OFFSET, "token %d has no text", (int64_t)token);
  g->length += length;
  return HB_OK;
}

/* Where the first stop string begins in the text, or its length. */
static size_t find_stop(const hb_generator *g) {
  for (size_t at = 0; at < g->length; at++)
    for (size_t i = 0; i < g->stop_count; i++) {
      hb_string stop = g->stops[i];
      if (stop.length <= g->length - at && memcmp(g->text + at, stop.data, stop.length) == 0)
        return at;
    }
  return g->length;
}

/* How much of the text's end may be the beginning of a stop string. */
static size_t held_back(const hb_generator *g) {
  size_t longest = 0;
  for (size_t i = 0; i < g->stop_count; i++) {
    size_t most = g->stops[i].length - 1 < g->length ? g->stops[i].length - 1 : g->length;
    for (size_t n = most; n > longest; n--)
      if (memcmp(g->text + g->length - n, g->stops[i].data, n) == 0) longest = n;
  }
  return longest;
}

static void drop_given(hb_generator *g) {
  memmove(g->text, g->text + g->given, g->length - g->given);
  g->length -= g->given;
  g->given = 0;
}

/* ---- Steps ---- */

/* Gives the rest of the text out and ends. */
static hb_status end(hb_generator *g, hb_finish finish, hb_piece *out, hb_error *error) {
  HB_TRY(add_text(g, HB_NO_TOKEN, error));
  g->length = find_stop(g);
  g->given = g->length;
  g->finish = out->finish = finish;
  out->text = (hb_string){g->text, g->given};
  return HB_OK;
}

hb_status hb_generator_next(hb_generator *g, hb_piece *out, hb_error *error) {
  if (!g || !out)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no generation, or nowhere to put its text");
  *out = (hb_piece){.text = {"", 0}, .token = HB_NO_TOKEN};
  float *logits =
      g->session->logit_count ? hb_session_logits(g->session, g->session->logit_count - 1) : NULL;
  if (g->finish != HB_FINISH_NONE || !logits)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET,
                   logits ? "the generation has finished" : "the session has no logits");
  drop_given(g);
  out->token = hb_sampler_sample(g->sampler, logits, g->logprobs ? &out->logprob : NULL);
  hb_sampler_accept(g->sampler, out->token);
  g->generated++;
  if (hb_token_ends(g->tokenizer, out->token) && !g->ignore_end)
    return end(g, HB_FINISH_STOP, out, error);
  HB_TRY(add_text(g, out->token, error));
  if (find_stop(g) < g->length) return end(g, HB_FINISH_STOP, out, error);
  if (g->max_tokens > 0 && g->generated >= g->max_tokens)
    return end(g, HB_FINISH_LENGTH, out, error);
  if (g->session->position >= g->session->context_length)
    return end(g, HB_FINISH_CONTEXT, out, error);
  HB_TRY(hb_session_append(g->session, &out->token, 1, error));
  g->given = g->length - held_back(g);
  out->text = (hb_string){g->text, g->given};
  return HB_OK;
}
