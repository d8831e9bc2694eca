/* Weights before training: drawn at random, the same from a seed on every target. */
#ifndef HB_IMPORT_INITIAL_H
#define HB_IMPORT_INITIAL_H

#include "import/weights.h"

/* Whether a path is that of a model without weights: a folder of Hugging Face that has a
 * config.json but no safetensors, or the config.json of any. */
bool hb_is_untrained(const char *path);

/* Opens one as a source whose weights are drawn: matrices normal with the deviation that the
 * configuration's initializer_range gives (0.02), those that end a residual branch with that over
 * sqrt(2 * layers); norms 1 and biases 0. */
hb_status hb_untrained_open(const char *path, uint64_t seed, hb_source *out, hb_error *error);

/* ---- For weights.c ---- */

/* The kinds of weights that a model of that configuration begins with, as HB_HAS bits. */
uint64_t hb_initial_kinds(const hb_config *config);

hb_import_weight hb_initial_weight(const hb_config *config, const hb_hyperparameters *h,
                                   hb_weight_kind kind, uint32_t layer, uint64_t seed);

/* As hb_import_read, of a weight that is drawn. */
void hb_initial_read(const hb_import_weight *weight, uint64_t at, void *bytes, size_t count);

#endif
