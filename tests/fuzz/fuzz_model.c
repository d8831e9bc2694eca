/* Any bytes as a model: loading ends in an error or in a model that runs, however the bytes are cut
 * into pieces, within memory that fits their number, and with the same bits on the scalar kernels
 * and the fastest ones. */
#include "base/base.h"
#include "meter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONTEXT = 8, PIECES = 20 };

/* ---- Loading ---- */

typedef struct outcome {
  hb_model *model;
  hb_status status;
  hb_error error;
} outcome;

static hb_status feed(hb_loader *loader, const uint8_t *data, size_t size, uint32_t seed,
                      hb_error *error) {
  HB_TRY(hb_loader_begin_file(loader, size, error));
  for (size_t at = 0; at < size;) {
    size_t piece = size - at;
    seed = seed * 1664525 + 1013904223;
    if (seed & 1 && piece > PIECES) piece = 1 + (seed >> 16) % (2 * (size / PIECES));
    if (piece > size - at) piece = size - at;
    HB_TRY(hb_loader_feed(loader, data + at, piece, error));
    at += piece;
  }
  return HB_OK;
}

/* Loads in one piece, or where `seed` is odd, in some. */
static outcome load(const uint8_t *data, size_t size, hb_isa isa, uint32_t seed, meter *m) {
  outcome o = {0};
  hb_loader *loader;
  hb_load_options options = {.allocator = &m->allocator, .isa = isa};
  expect(hb_loader_create(&options, &loader, NULL) == HB_OK);
  o.status = feed(loader, data, size, seed & 1 ? seed : 0, &o.error);
  if (o.status == HB_OK) o.status = hb_loader_finish(loader, &o.model, &o.error);
  expect((o.status == HB_OK) == (o.model != NULL));
  hb_loader_destroy(loader);
  return o;
}

/* ---- Running ---- */

static void generate(hb_session *session, meter *m) {
  hb_generator *g;
  hb_piece piece = {0};
  hb_generate_options options = {
      .allocator = &m->allocator, .sampler = hb_sampler_defaults(), .logprobs = 1};
  options.sampler.temperature = 1;
  options.sampler.top_p = 0.9f;
  if (hb_generator_create(session, &options, &g, NULL) != HB_OK) return;
  while (piece.finish == HB_FINISH_NONE && hb_generator_next(g, &piece, NULL) == HB_OK) continue;
  hb_generator_destroy(g);
}

/* A session that holds three tokens, or NULL where its memory cannot be had. */
static hb_session *start(const hb_model *model, uint32_t seed, meter *m) {
  hb_model_info info;
  hb_session *session;
  hb_session_options options = {.allocator = &m->allocator,
                                .context_length = CONTEXT,
                                .batch = 4,
                                .kv = seed & 4 ? HB_KV_F32 : HB_KV_F16};
  hb_model_get_info(model, &info);
  if (hb_session_create(model, &options, &session, NULL) != HB_OK) return NULL;
  const hb_token tokens[] = {0, (hb_token)info.vocabulary - 1, (hb_token)(seed % info.vocabulary)};
  expect(hb_session_append(session, tokens, 3, NULL) == HB_OK);
  expect(hb_session_logits(session, 0) != NULL);
  return session;
}

/* The same logits, but for NaN, whose bits no target promises. */
static void compare_logits(hb_session *a, hb_session *b, size_t count) {
  const float *x = hb_session_logits(a, 0), *y = hb_session_logits(b, 0);
  for (size_t i = 0; i < count; i++)
    expect(!memcmp(x + i, y + i, sizeof *x) || (x[i] != x[i] && y[i] != y[i]));
}

static void run(const hb_model *scalar, const hb_model *best, uint32_t seed, meter *m) {
  hb_model_info info;
  char line[128];
  hb_model_get_info(scalar, &info);
  for (size_t i = 0; hb_model_operation(scalar, i, line, sizeof line) > 0; i++) continue;
  hb_session *a = start(scalar, seed, m), *b = start(best, seed, m);
  if (a && b) {
    compare_logits(a, b, info.vocabulary);
    generate(b, m);
  }
  hb_session_destroy(a);
  hb_session_destroy(b);
}

static void tokenize(const hb_model *model, const uint8_t *data, size_t size, meter *m) {
  const hb_tokenizer *tokenizer = hb_model_tokenizer(model);
  hb_token tokens[64];
  size_t count;
  if (!tokenizer) return;
  hb_string text = {(const char *)data, size < 64 ? size : 64};
  hb_tokenize(tokenizer, text, HB_TOKENIZE_BOS | HB_TOKENIZE_SPECIAL, &m->allocator, tokens, 64,
              &count, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint32_t seed = (uint32_t)hb_hash(data, size);
  meter m = {{&m, meter_allocate, meter_release}, 0, (16u << 20) + 64 * (uint64_t)size};
  outcome whole = load(data, size, HB_ISA_SCALAR, 0, &m);
  outcome pieces = load(data, size, hb_isa_best(), seed | 1u, &m);
  expect(whole.status == pieces.status);
  if (whole.status != HB_OK) expect(!strcmp(whole.error.message, pieces.error.message));
  if (whole.model) {
    tokenize(whole.model, data, size, &m);
    run(whole.model, pieces.model, seed, &m);
  }
  hb_model_destroy(whole.model);
  hb_model_destroy(pieces.model);
  expect(m.held == 0);
  return 0;
}
