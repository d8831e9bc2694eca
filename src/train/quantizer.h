/* A matrix that is trained through its rounding: the forward pass multiplies by the values that its
 * blocks stand for, the gradient goes to what they are made of (straight through each rounding; the
 * steps as in LSQ, arXiv:1902.08153):
 *
 *   weights     before rounding; or the codes are fixed, and there are none
 *   parameters  of the blocks, where they can be set one by one, in parts of what they were in the
 * beginning, so that one learning rate suits all: the half-precision scales d and minima dmin, as
 * multiples; the codes of scales and minima, as parts of the largest code
 *
 * Where blocks share bytes, rescaled.h does all of it. */
#ifndef HB_TRAIN_QUANTIZER_H
#define HB_TRAIN_QUANTIZER_H

#include "compress/coder.h"
#include "train/rescaled.h"

typedef struct hb_quantizer {
  const hb_allocator *allocator;
  const hb_coder *coder; /* NULL where blocks share bytes */
  hb_rescaled shared;    /* then this; of what follows there are parameters alone */
  uint32_t rows, cols;   /* 0: this is no quantizer */
  uint64_t block_count, grid_count;
  float low, high;      /* levels: the outermost ones */
  float *weights;       /* [rows][cols], or NULL */
  const float *centers; /* [rows][cols]: a projection takes weights back to half a step from these;
                           NULL: they go anywhere */
  uint8_t *codes;       /* [rows][cols]: of the last projection, or fixed */
  uint64_t parameter_count;
  float *parameters; /* d[blocks], dmin[blocks], scale[grids], minimum[grids]: those there are */
  float *parameter_gradients; /* the same */
  float *unit_d, *unit_dmin;  /* [blocks] */
  hb_grid *grids;             /* [grids]: of the last projection */
  uint8_t *blocks;            /* as they were, where parameters cannot be set; else NULL */
  uint8_t *memory;
  uint64_t bytes;
} hb_quantizer;

/* Whether matrices of a type can have one. */
bool hb_quantizer_takes(hb_type type);
static inline bool hb_quantizer_begun(const hb_quantizer *q) {
  return q->rows > 0;
}

/* Begins with the parameters of `blocks`, [rows][bytes of a row]. weights:
 * [rows][cols], copied, from which the codes follow, which is HB_UNSUPPORTED where blocks share
 * bytes; or NULL: the blocks' codes stay, which it is for a type whose parameters cannot be set. */
hb_status hb_quantizer_begin(hb_quantizer *q, const hb_allocator *allocator, hb_type type,
                             uint32_t rows, uint32_t cols, const uint8_t *blocks,
                             const float *weights, hb_error *error);
/* Brings the weights it began with into the cells of the blocks' codes, so that these are what they
 * round to. */
void hb_quantizer_keep_codes(hb_quantizer *q, const uint8_t *blocks);
void hb_quantizer_end(hb_quantizer *q);

/* The step of a grid: from a level to the next, where they are not even on average. */
float hb_quantizer_step(const hb_quantizer *q, hb_grid grid);

/* values[rows][cols] = what the matrix stands for as it is now. */
void hb_quantizer_project(hb_quantizer *q, const hb_team *team, float *values);

/* From the gradient of the last projection's values: that of the weights takes its place, and that
 * of the parameters is written. */
void hb_quantizer_back(hb_quantizer *q, const hb_team *team, float *gradient);

/* Brings weights nearer to `values`, those of the last projection, by a part of the way: or else
 * many come to lie between two values, and are rounded to the one and the other in turns (Nagel et
 * al., arXiv:2203.11086). */
void hb_quantizer_damp(hb_quantizer *q, const hb_team *team, const float *values, float part);

/* The blocks, which decode to the last projection's values bit for bit. */
void hb_quantizer_write(const hb_quantizer *q, uint8_t *blocks);

#endif
