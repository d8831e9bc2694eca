/* The functions of the module that trains adapters. */
#include "base/base.h"
#include "files.h"

/* A trainer and what has to outlive it. An instance has one. */
static hb_wasm_files files;
static hb_source source;
static hb_train_options options = {.method = "lora"};

const hb_allocator *hb_wasm_allocator(void);
int hb_wasm_set_option(const char *name, const char *text, double number);
hb_status hb_wasm_train(const hb_gguf *gguf, const hb_token *tokens, const uint64_t *start,
                        uint32_t documents, uint64_t seed, hb_isa isa, const hb_parallel *parallel,
                        hb_trainer **out, hb_error *error);
hb_status hb_wasm_train_step(hb_trainer *trainer, double *loss, hb_error *error);
hb_status hb_wasm_train_evaluate(hb_trainer *trainer, const hb_token *tokens, const uint64_t *start,
                                 uint32_t documents, double *entropy, hb_error *error);
hb_status hb_wasm_train_write(hb_trainer *trainer, hb_error *error);

/* Those of hb_train_options that are texts or numbers. */
#define TEXT_OPTIONS(X) X(schedule) X(matrices) X(adapter_type)
#define NUMBER_OPTIONS(X)                                                                          \
  X(steps, uint64_t)                                                                               \
  X(sequences, uint32_t)                                                                           \
  X(length, uint32_t)                                                                              \
  X(accumulate, uint32_t)                                                                          \
  X(rank, uint32_t)                                                                                \
  X(round_inputs, int)                                                                             \
  X(recompute, int)                                                                                \
  X(small_moments, int)                                                                            \
  X(rate, double)                                                                                  \
  X(rate_end, double) X(warmup, double) X(decay, double) X(clip, double) X(alpha, double)

/* Sets the option of that name: to a text, which is not copied, or to a number. Returns 0 if there
 * is no such option. */
int hb_wasm_set_option(const char *name, const char *text, double number) {
#define SET_TEXT(option)                                                                           \
  if (strcmp(name, #option) == 0) {                                                                \
    options.option = text;                                                                         \
    return 1;                                                                                      \
  }
#define SET_NUMBER(option, type)                                                                   \
  if (strcmp(name, #option) == 0) {                                                                \
    options.option = (type)number;                                                                 \
    return 1;                                                                                      \
  }
  TEXT_OPTIONS(SET_TEXT)
  NUMBER_OPTIONS(SET_NUMBER)
  return 0;
}

/* hb_trainer_create with the options that were set, of files whose headers were read. */
hb_status hb_wasm_train(const hb_gguf *gguf, const hb_token *tokens, const uint64_t *start,
                        uint32_t documents, uint64_t seed, hb_isa isa, const hb_parallel *parallel,
                        hb_trainer **out, hb_error *error) {
  source = hb_wasm_source(gguf, &files);
  options.allocator = hb_wasm_allocator();
  options.text = (hb_corpus){tokens, start, documents};
  options.seed = seed;
  options.isa = isa;
  options.parallel = parallel;
  return hb_trainer_create(&source, &options, out, error);
}

hb_status hb_wasm_train_step(hb_trainer *trainer, double *loss, hb_error *error) {
  hb_train_report report;
  HB_TRY(hb_trainer_step(trainer, &report, error));
  *loss = report.loss;
  return HB_OK;
}

hb_status hb_wasm_train_evaluate(hb_trainer *trainer, const hb_token *tokens, const uint64_t *start,
                                 uint32_t documents, double *entropy, hb_error *error) {
  const hb_corpus text = {tokens, start, documents};
  return hb_trainer_evaluate(trainer, &text, entropy, error);
}

hb_status hb_wasm_train_write(hb_trainer *trainer, hb_error *error) {
  return hb_trainer_write(trainer, &hb_wasm_sink, error);
}
