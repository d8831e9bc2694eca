/* A text, cut into the windows on which a model's predictions are scored. None overlaps another.
 *
 *   llama  llama.cpp's convention: one newline at the text's end is dropped; the first token of
 * each window is replaced by BOS if the model wants one; the second half is scored. hf     Hugging
 * Face's: the text as it is, with the token that the tokenizer puts first; all but the first token
 * of a window are scored.
 *
 * In both the mean is over all scored tokens, each as much as any other. */
#ifndef QUALITY_WINDOWS_H
#define QUALITY_WINDOWS_H

#include "cli/common.h"
#include "compress/provenance.h"

typedef struct windows {
  cli_convention convention;
  cli_tokens tokens; /* of the whole text */
  uint32_t context;  /* tokens of a window */
  size_t count;
  size_t first;       /* the logits after this token of a window are the first that are scored */
  hb_token lead;      /* what each window begins with instead of its own token, or HB_NO_TOKEN */
  hb_overlap overlap; /* with the text that the model was calibrated with */
} windows;

/* Cuts the text that the options name, as the options say. Says what is wrong; here and below.
 * Warns if the model was calibrated with some of it. */
bool windows_open(const cli_engine *engine, const cli_options *options, windows *out);
/* Windows of `context` tokens that are there already; perhaps none. They are copied. */
bool windows_of(const cli_tokens *tokens, uint32_t context, windows *out);
void windows_close(windows *w);

/* Window number `index`; `context` tokens, which stay the windows'. */
cli_tokens windows_at(const windows *w, size_t index);

/* Whether another model's tokenizer gives the same tokens. */
bool windows_same(const windows *a, const windows *b);

#endif
