/* How far the predictions of a model are from those of a reference, token by token. */
#ifndef QUALITY_DIVERGENCE_H
#define QUALITY_DIVERGENCE_H

#include "cli/common.h"
#include "kernel/kernel.h"
#include "quality/statistics.h"

/* What both models say of one token: the divergence of all that may follow, and the token that does
 * follow. */
typedef struct divergence_row {
  const float *reference, *logits; /* [vocabulary] after the token */
  hb_token next;
  double divergence;           /* Kullback-Leibler, from the reference, in nats */
  double reference_loss, loss; /* minus the logarithms of the next token's probabilities */
  bool same_top;               /* both hold the same token for the likeliest */
  bool finite;                 /* false: a model's logits are no numbers */
} divergence_row;

typedef struct divergence {
  double *values; /* of each token, from malloc */
  size_t count, capacity;
  uint64_t same_top;
  moments divergences;
  moments reference_losses, losses;
  moments changes; /* of a loss: loss - reference_loss */
  moments squares; /* of changes of the next token's probability */
} divergence;

/* Memory for `most` tokens. */
bool divergence_open(divergence *d, size_t most);
void divergence_close(divergence *d);

/* Computes what rows say, divided over threads; scratch: [threads][vocabulary]. */
void divergence_compute(const hb_kernels *kernels, const hb_parallel *parallel, uint32_t vocabulary,
                        divergence_row *rows, size_t count, float *scratch);

/* Adds rows in order; false, after saying so, if one is not finite. */
bool divergence_add(divergence *d, const divergence_row *rows, size_t count);

#endif
