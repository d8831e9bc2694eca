/* Training layer by layer (BRECQ, arXiv:2102.05426; EfficientQAT's Block-AP, 2407.11062; ZeroQuant,
 * 2206.01861): each layer learns to give, for the states that the layers before it leave, what the
 * original's layer gives. The states of a set of samples lie in memory, and go on through a layer
 * when its steps are done. */
#ifndef HB_TRAIN_BLOCKS_H
#define HB_TRAIN_BLOCKS_H

#include "train/signs.h"

typedef struct hb_blocks {
  uint64_t samples;
  uint64_t bytes;  /* of each: */
  float *states;   /* [samples][length][width]: before the layer, of the model in training */
  float *targets;  /* [samples][length][width]: what the layer is to give */
  uint32_t *order; /* [samples], of an epoch of the layer */
  uint64_t order_of;
  uint32_t *taken; /* [sequences]: samples of the batch */
  double *errors;  /* [rows] of the batch */
  uint32_t layer;  /* in training */
  uint32_t ready;  /* the layer that states and targets are of, or HB_NONE */
  uint32_t *first; /* [layers + 1]: where a layer's parameters begin in the trainer's */
  hb_best best;    /* of the layer; for autoround */
} hb_blocks;

/* Refuses what has no meaning where layers are trained, and what has one there alone. */
hb_status hb_blocks_check(const hb_trainer *trainer, hb_error *error);

/* When all else of the trainer stands. */
hb_status hb_blocks_begin(hb_trainer *trainer, hb_error *error);
void hb_blocks_end(hb_trainer *trainer);

/* Turns to the layer that a step belongs to. */
hb_status hb_blocks_enter(hb_trainer *trainer, uint64_t step, hb_error *error);
/* The same before all parameters are read from elsewhere. */
hb_status hb_blocks_restart(hb_trainer *trainer, uint64_t step, hb_error *error);

/* Whether a step of a layer has been done. */
bool hb_blocks_reached(const hb_trainer *trainer, uint32_t layer);

hb_status hb_blocks_step(hb_trainer *trainer, hb_train_report *out, hb_error *error);

#endif
