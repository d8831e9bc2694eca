/* Moving what makes inputs hard to round into the weights (SmoothQuant, arXiv 2211.10438). */
#ifndef HB_SMOOTH_H
#define HB_SMOOTH_H

#include "compress/layerwise.h"

/* Divides each input j of products that read a norm by max|x_j|^alpha / max|w_j|^(1 - alpha), where
 * the largest weight is that of all the products' columns j, which are multiplied with it. The
 * layer computes the same as before. */
hb_status hb_smooth_layer(hb_layer_work *layer, double alpha, hb_error *error);

#endif
