/* Which pieces of a text a model is calibrated with. */
#ifndef HB_SAMPLES_H
#define HB_SAMPLES_H

#include "base/base.h"

#define HB_SAMPLES_LEAST_TOKENS 4096 /* fewer say little of the inputs that a layer gets */

/* How many samples of which length are taken from `tokens` tokens: as *samples and *length want,
 * but no longer than the context that the model was made for, and no more than there are. */
hb_status hb_samples_plan(const hb_gguf *gguf, size_t tokens, uint32_t *samples, uint32_t *length,
                          hb_error *error);

/* Copies the planned samples to out[samples][length]: evenly spread pieces of the text, or those
 * that the seed draws, unless it is NULL. A `bos` other than HB_NO_TOKEN stands first in each. */
void hb_samples_take(const hb_token *tokens, size_t count, uint32_t samples, uint32_t length,
                     const uint64_t *seed, hb_token bos, hb_token *out);

#endif
