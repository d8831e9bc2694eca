/* A model that is run layer by layer over calibration text. The weights of one layer at a time are
 * in memory, in F32; between layers, the residual stream of every token is kept. The layers are
 * those of the model's program (src/model), and so is the arithmetic. */
#ifndef HB_WALK_H
#define HB_WALK_H

#include "model/session.h"

typedef struct hb_walk hb_walk;

typedef struct hb_walk_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  hb_isa isa;
  const hb_source *source;       /* must outlive the walk */
  const hb_token *tokens;        /* [samples][length]; copied */
  uint32_t samples, length;      /* length: at most the model's context */
  bool original;                 /* keep the stream of the model as it was, too */
  void *context;                 /* of stopped */
  int (*stopped)(void *context); /* other than 0 ends a run with HB_ABORTED; may be NULL */
} hb_walk_options;

/* Starts before the first layer. */
hb_status hb_walk_create(const hb_walk_options *options, hb_walk **out, hb_error *error);
void hb_walk_destroy(hb_walk *walk);

/* Its weights have the shapes of the file's; only those of the current stage have data. */
const hb_model *hb_walk_model(const hb_walk *walk);
uint64_t hb_walk_tokens(const hb_walk *walk); /* samples * length */

/* Reads the weights of a layer, or of the output stage (its norm alone: the output matrix is as
 * large as it is) where layer = layers. Those of the stage before are given up. */
hb_status hb_walk_load(hb_walk *walk, uint32_t layer, hb_error *error);

/* The values of a weight of the current stage: a matrix [rows][cols] or a vector [cols]; NULL if it
 * has none. What is written to them counts in later runs. */
float *hb_walk_values(const hb_walk *walk, uint32_t weight);

/* Where the walk has an original: makes the stage's weights as they are now those of the original,
 * whose runs later changes do not reach. */
hb_status hb_walk_set_original(hb_walk *walk, hb_error *error);

/* The operations of the current stage: first .. end - 1. */
uint32_t hb_walk_first(const hb_walk *walk);
uint32_t hb_walk_end(const hb_walk *walk);

/* What looks at a run: called for every sample before each product, and at the run's end with op =
 * end. */
typedef struct hb_tap {
  void *context;
  void (*look)(void *context, const hb_walk *walk, uint32_t op);
} hb_tap;

/* While a tap looks: the rows of an operand, [length] of them, *stride floats from one to the next;
 * and the number of the sample. */
float *hb_walk_rows(const hb_walk *walk, hb_operand operand, size_t *stride);
uint32_t hb_walk_sample(const hb_walk *walk);
bool hb_walk_in_original(const hb_walk *walk);

bool hb_walk_has_original(const hb_walk *walk);

/* Runs the current stage up to operation `end` for samples 0 .. samples - 1, each from its stream
 * before the stage. With `keep`, which wants all samples and the stage's end, the stream goes on.
 * tap may be NULL. */
hb_status hb_walk_run(hb_walk *walk, uint32_t end, uint32_t samples, bool keep, const hb_tap *tap,
                      hb_error *error);

/* The same for all samples, each in the original first; no stream goes on. */
hb_status hb_walk_run_both(hb_walk *walk, uint32_t end, const hb_tap *tap, hb_error *error);

/* Lets the original's stream go on through the stage's weights as the file has them, which are read
 * again: what was quantized is given up. Nothing where the walk has no original. */
hb_status hb_walk_keep_original(hb_walk *walk, hb_error *error);

#endif
