/* Descent by the signs of gradients (SignRound, arXiv:2309.05516) on what matrices are rounded
 * from: every number moves by the same part of its step, whatever the gradient's size. What had the
 * least loss is kept. */
#ifndef HB_TRAIN_SIGNS_H
#define HB_TRAIN_SIGNS_H

#include "train/optimizer.h"
#include "train/quantizer.h"

/* After hb_quantizer_back: weights move by `rate` steps of their grids, parameters by `scale_rate`.
 * A gradient of 0 moves nothing. */
void hb_quantizer_descend(hb_quantizer *q, const hb_team *team, const float *gradient, float rate,
                          float scale_rate);

/* The best values of parameters so far. */
typedef struct hb_best {
  const hb_allocator *allocator;
  const hb_parameter *parameters;
  uint32_t count;
  uint8_t *state; /* the least loss, and the values; which a checkpoint writes as they are */
  uint64_t bytes;
} hb_best;

/* The list is not copied. */
hb_status hb_best_begin(hb_best *best, const hb_allocator *allocator,
                        const hb_parameter *parameters, uint32_t count, hb_error *error);
void hb_best_end(hb_best *best);

/* Keeps the values as they are now, which had this loss, if it is the least so far. */
void hb_best_offer(hb_best *best, double loss);
/* Puts back what was kept. */
void hb_best_put_back(const hb_best *best);

#endif
