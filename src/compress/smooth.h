/* Moving what makes inputs hard to round into the weights (SmoothQuant, arXiv 2211.10438). */
#ifndef HB_SMOOTH_H
#define HB_SMOOTH_H

#include "compress/layerwise.h"

/* Divides inputs j of products by max|x_j|^alpha / max|w_j|^(1 - alpha), where the largest weight
 * is that of all the products' columns j, which are multiplied with it. The layer computes the same
 * as before.
 *
 * alpha > 0: inputs that a norm makes, as published. alpha = 0: also those that attn_v or ffn_up
 * make, each with the alpha of a grid, or without any such scale, for which the module (attention,
 * or feed forward) changes least when inputs and weights are rounded as they will be at the run. */
hb_status hb_smooth_layer(hb_layer_work *layer, double alpha, hb_error *error);

#endif
