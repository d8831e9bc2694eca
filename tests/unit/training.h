/* A text to learn and runs of trainers, for the tests of training. */
#ifndef HB_TEST_TRAINING_H
#define HB_TEST_TRAINING_H

#include "quantized.h"

#define MODEL "vectors/arch/llama.gguf"
enum { DOCUMENTS = 6, DOCUMENT = 40, LENGTH = 16 };

static hb_token tokens[DOCUMENTS * DOCUMENT];
static uint64_t start[DOCUMENTS + 1];

/* Text with something to learn: a token tells the next. */
static inline hb_corpus make_text(void) {
  for (uint32_t d = 0; d < DOCUMENTS; d++) {
    start[d] = (uint64_t)d * DOCUMENT;
    tokens[start[d]] = (hb_token)(3 + 50 * d);
    for (uint64_t i = start[d] + 1; i < start[d] + DOCUMENT; i++)
      tokens[i] = (hb_token)((tokens[i - 1] * 7 + 11) % 512);
  }
  start[DOCUMENTS] = sizeof tokens / sizeof *tokens;
  return (hb_corpus){tokens, start, DOCUMENTS};
}

static inline hb_train_options usual_options(const char *method) {
  return (hb_train_options){.isa = hb_isa_best(),
                            .method = method,
                            .text = make_text(),
                            .steps = 8,
                            .sequences = 2,
                            .length = LENGTH,
                            .rate = 3e-3};
}

static inline hb_source source_of(const gguf_file *file) {
  return (hb_source){file->gguf, (void *)file, read_bytes};
}

static inline hb_trainer *open_trainer(const hb_source *source, const hb_train_options *options) {
  hb_trainer *t;
  hb_error error;
  if (hb_trainer_create(source, options, &t, &error) != HB_OK) fail_msg("%s", error.message);
  return t;
}

static inline void refuses(const hb_source *source, const hb_train_options *options,
                           const char *reason) {
  hb_trainer *t;
  hb_error error = {0};
  assert_int_not_equal(hb_trainer_create(source, options, &t, &error), HB_OK);
  if (!strstr(error.message, reason)) fail_msg("%s: not \"%s\"", error.message, reason);
  assert_null(t);
}

static inline hb_train_report run_steps(hb_trainer *t, uint32_t steps) {
  hb_train_report r = {0};
  hb_error error;
  for (uint32_t i = 0; i < steps; i++)
    if (hb_trainer_step(t, &r, &error) != HB_OK) fail_msg("%s", error.message);
  return r;
}

static inline gguf_file written(hb_trainer *t,
                                hb_status (*write)(hb_trainer *, const hb_sink *, hb_error *)) {
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_error error;
  if (write(t, &sink, &error) != HB_OK) fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

static inline void assert_same_files(const gguf_file *a, const gguf_file *b) {
  assert_int_equal(a->size, b->size);
  assert_memory_equal(a->bytes, b->bytes, a->size);
}

static inline double entropy_of(hb_trainer *t) {
  double entropy;
  hb_error error;
  hb_corpus text = make_text();
  if (hb_trainer_evaluate(t, &text, &entropy, &error) != HB_OK) fail_msg("%s", error.message);
  return entropy;
}

static inline gguf_file quantized_model(const gguf_file *from, const char *type) {
  return quantized(from, &(hb_quantize_options){.type = type});
}

#endif
