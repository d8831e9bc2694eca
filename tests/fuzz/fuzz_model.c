/* Any bytes as a model: loading ends in an error or in a model that runs, however the bytes are cut
 * into pieces, within memory that fits their number. */
#include "base/base.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONTEXT = 8, PIECES = 20 };

static void expect(int condition) {
  if (!condition) abort();
}

/* ---- Memory, counted ---- */

typedef struct meter {
  hb_allocator allocator;
  uint64_t held, limit;
} meter;

static void *meter_allocate(void *context, size_t size, size_t alignment) {
  meter *m = context;
  m->held += size;
  expect(m->held <= m->limit);
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void meter_release(void *context, void *block, size_t size) {
  ((meter *)context)->held -= size;
  free(block);
}

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
static outcome load(const uint8_t *data, size_t size, uint32_t seed, meter *m) {
  outcome o = {0};
  hb_loader *loader;
  hb_load_options options = {.allocator = &m->allocator,
                             .isa = seed & 2 ? hb_isa_best() : HB_ISA_SCALAR};
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
  hb_generate_options options = {.allocator = &m->allocator, .sampler = hb_sampler_defaults()};
  options.sampler.temperature = 1;
  options.sampler.top_p = 0.9f;
  if (hb_generator_create(session, &options, &g, NULL) != HB_OK) return;
  while (piece.finish == HB_FINISH_NONE && hb_generator_next(g, &piece, NULL) == HB_OK) continue;
  hb_generator_destroy(g);
}

static void run(const hb_model *model, uint32_t seed, meter *m) {
  hb_model_info info;
  hb_session *session;
  hb_error error;
  char line[128];
  hb_session_options options = {.allocator = &m->allocator,
                                .context_length = CONTEXT,
                                .batch = 4,
                                .kv = seed & 4 ? HB_KV_F32 : HB_KV_F16};
  hb_model_get_info(model, &info);
  for (size_t i = 0; hb_model_operation(model, i, line, sizeof line) > 0; i++) continue;
  if (hb_session_create(model, &options, &session, &error) != HB_OK) return;
  const hb_token tokens[] = {0, (hb_token)info.vocabulary - 1, (hb_token)(seed % info.vocabulary)};
  expect(hb_session_append(session, tokens, 3, &error) == HB_OK);
  expect(hb_session_logits(session, 0) != NULL);
  generate(session, m);
  hb_session_destroy(session);
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
  outcome whole = load(data, size, seed & ~1u, &m);
  outcome pieces = load(data, size, seed | 1u, &m);
  expect(whole.status == pieces.status);
  if (whole.status != HB_OK) expect(!strcmp(whole.error.message, pieces.error.message));
  if (whole.model) {
    tokenize(whole.model, data, size, &m);
    run(whole.model, seed, &m);
  }
  hb_model_destroy(whole.model);
  hb_model_destroy(pieces.model);
  expect(m.held == 0);
  return 0;
}
