/* What the inputs of a product have become by all that was quantized before it. Where x is an input
 * in the model as it was and y the same one now, a product by w is to go on giving w x. The w' with
 * the least mean square of w x - w' y is
 *
 *   w' = w + w D (E[y y^T])^-1,  D = E[(x - y) y^T]
 *
 * so weights make good for a part of what was lost, before they are rounded themselves. GPTAQ
 * (arXiv:2504.02692) has the same aim within GPTQ's loop. */
#ifndef HB_DRIFT_H
#define HB_DRIFT_H

#include "compress/layerwise.h"

typedef struct hb_drift {
  const hb_allocator *allocator;
  uint32_t n;
  double *matrix; /* D (E[y y^T])^-1: [n][hb_product_stride(n)]; NULL: nothing is to be made good */
} hb_drift;

/* As hb_layer_gather with a gram, and finds the drift, if the walk has an original. Both *out and
 * *drift are to be released, whatever the status. */
hb_status hb_drift_gather(hb_layer_work *layer, hb_operand input, uint32_t op, hb_statistics *out,
                          float *importance, hb_drift *drift, hb_error *error);
void hb_drift_release(hb_drift *drift);

#endif
