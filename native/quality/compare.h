/* A quantized model against the model that it was made from, on one text, in one pass: both read
 * the same tokens in step, and no more logits are kept than those of one step. */
#ifndef QUALITY_COMPARE_H
#define QUALITY_COMPARE_H

#include "quality/divergence.h"
#include "quality/speed.h"
#include "quality/windows.h"

typedef struct compared_model {
  const char *path;
  uint64_t file_bytes;                  /* headers and tensors */
  double bits_per_weight;               /* bits of its tensors for each value of the reference's */
  uint64_t weight_bytes, session_bytes; /* of memory, with a context of the comparison's */
  estimate perplexity;
  speed speed;
} compared_model;

typedef struct comparison {
  compared_model reference, model;
  cli_convention convention;
  uint32_t context; /* tokens of a chunk */
  size_t chunks;
  uint64_t tokens;    /* that were scored */
  estimate log_ratio; /* ln(perplexity / reference's) */
  estimate mean_kl;   /* nats a token; here and below */
  double median_kl, kl90, kl95, kl99, kl999, max_kl;
  estimate same_top;   /* share of tokens */
  estimate rms_change; /* of the probability of the token that follows */
  hb_overlap overlap;  /* of the text with that of the model's calibration */
  uint32_t threads;
} comparison;

/* Both models, loaded, with a session each for windows of the text. */
typedef struct compared_pair {
  const char *reference_path, *model_path;
  cli_engine reference, model;
  windows windows;
  hb_overlap overlap;
} compared_pair;

/* From so many times the reference's perplexity on, a model counts as spoiled: its text is visibly
 * worse. What 4 bits cost, also by plain rounding, is below 1.1 times. */
#define COLLAPSED_RATIO 1.5

/* Loads two models, which share the first one's threads, and cuts the text of the options. Says
 * what keeps them from being compared; then nothing is open. */
bool compared_open(const char *reference, const char *model, const cli_options *options,
                   compared_pair *out);
/* Without a text: `tokens`, in windows of `context`, are what the models can be looked at with, and
 * there may be none. They are copied. */
bool compared_open_plain(const char *reference, const char *model, const cli_options *options,
                         const cli_tokens *tokens, uint32_t context, compared_pair *out);
void compared_close(compared_pair *pair);

/* Sizes alone; all that a text would tell is no number. */
bool compared_describe(const compared_pair *pair, const cli_options *options, comparison *out);
bool compared_run(compared_pair *pair, const cli_options *options, comparison *out);

/* The figures as a table on stdout. */
void compared_print(const comparison *c);

/* Warns if the model is spoiled. */
void compared_warn(const comparison *c);

/* Bytes of a model's files up to the end of their last tensors. */
uint64_t model_file_bytes(const hb_gguf *gguf);

#endif
