/* A matrix of a type whose blocks share bytes (NF4, FP4, TABLE4, TABLE3), where scales alone are
 * trained: codes, levels and codes of scales stay, and the half-precision d of each super-block, or
 * row, goes, in parts of what it was in the beginning. */
#ifndef HB_TRAIN_RESCALED_H
#define HB_TRAIN_RESCALED_H

#include "quant/quant.h"
#include "train/team.h"

typedef struct hb_rescaled {
  const hb_allocator *allocator;
  const hb_type_traits *traits;
  uint32_t rows, cols;
  uint64_t row_bytes;
  uint32_t groups;                      /* of a row: super-blocks, or the row itself */
  uint8_t *blocks;                      /* [rows][row_bytes]; d is that of the last projection */
  float *parameters, *gradients, *unit; /* [rows][groups] */
  uint64_t bytes;                       /* of all of these */
} hb_rescaled;

/* blocks: [rows][hb_row_bytes], copied. */
hb_status hb_rescaled_begin(hb_rescaled *r, const hb_allocator *allocator, hb_type type,
                            uint32_t rows, uint32_t cols, const uint8_t *blocks, hb_error *error);
void hb_rescaled_end(hb_rescaled *r);

/* Of parameters. */
uint64_t hb_rescaled_count(const hb_rescaled *r);

/* values[rows][cols] = what the matrix stands for as it is now: what its blocks decode to. */
void hb_rescaled_project(hb_rescaled *r, const hb_team *team, float *values);

/* The gradient of the parameters, from that of the values. */
void hb_rescaled_back(hb_rescaled *r, const hb_team *team, const float *gradient);

#endif
