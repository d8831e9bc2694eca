/* A layer that is being quantized: its products, and what became of them so far. */
#ifndef HB_LAYERWISE_H
#define HB_LAYERWISE_H

#include "compress/requantize.h"
#include "compress/statistics.h"
#include "compress/walk.h"

#define HB_LAYER_PRODUCTS 16 /* of a layer at most */

typedef struct hb_product {
  uint32_t op, weight; /* of the model */
  size_t plan;         /* index of its tensor */
  uint8_t *blocks;     /* the result; NULL: the tensor is copied */
  float *original;     /* the values before */
  uint8_t
      *sparse; /* what is kept beside the blocks, as the file has it (quant/private.h), or NULL */
  uint64_t block_bytes, value_bytes, sparse_bytes;
  float input_scale;
  const char *note; /* for the report, or NULL */
} hb_product;

typedef struct hb_layer_work {
  hb_tensor_job *job;
  hb_walk *walk;
  uint32_t layer;
  hb_product products[HB_LAYER_PRODUCTS];
  uint32_t count;
} hb_layer_work;

/* The end of the group of products that read the same input, which begins with number `first`. */
uint32_t hb_layer_group_end(const hb_layer_work *layer, uint32_t first);

/* Statistics of an operand where the walk stands before operation `op` (the stage's end, too), over
 * the whole calibration text. importance[width] gets the mean squares; may be NULL. *out is to be
 * destroyed, whatever the status. */
hb_status hb_layer_gather(hb_layer_work *layer, hb_operand input, uint32_t op, bool gram,
                          hb_statistics *out, float *importance, hb_error *error);

#endif
