/* What a model would be like here in each of some types: how large, how fast, how good. Speeds
 * follow from each type's product, measured for a moment with matrices as wide as the model's, and
 * from what a layer takes besides. */
#ifndef QUALITY_PROSPECTS_H
#define QUALITY_PROSPECTS_H

#include "cli/common.h"

enum { PROSPECTS = 12 };

typedef struct prospect {
  const char *type;       /* a tensor type or a mixture, as quantize takes it */
  uint64_t file_bytes;    /* about */
  uint64_t memory_bytes;  /* weights and a context */
  double bits_per_weight; /* of the file */
  double speed;           /* tokens a second in decoding, expected */
  bool measured;          /* a report has a run of these types */
  double excess;          /* ln(perplexity / reference's) of the best such run */
} prospect;

/* From the best to the worst, as measured on many models. */
typedef struct prospects {
  prospect at[PROSPECTS];
  uint32_t context; /* positions that the memory is told for */
  uint32_t threads;
} prospects;

/* `model` may have been loaded with its header only. `report` is a folder or NULL. Says what is
 * wrong. */
bool prospects_find(const hb_model *model, const cli_options *options, const char *report,
                    prospects *out);

/* The parts of it: seconds for a token's products in each type, and the runs of a report. */
bool prospects_time(const hb_model *model, const cli_options *options, prospects *out);
bool prospects_rate(const hb_model *model, const char *report, prospects *out);

/* The type that a weight of the model would have; `name` is that of a prospect. */
hb_type prospect_type(const hb_model *model, const char *name, uint32_t weight);

/* The one to take: the best that fits into the memory and is fast enough; of those that were
 * measured, the best by that. -1: none. */
int prospects_choose(const prospects *p, uint64_t memory, double speed);

#endif
