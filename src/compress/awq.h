/* Activation-aware scaling (Lin et al., arXiv 2306.00978). */
#ifndef HB_AWQ_H
#define HB_AWQ_H

#include "compress/layerwise.h"

/* Scales the inputs of a layer's products, the larger the larger they are in the calibration text,
 * and makes up for it where they come from: in a norm, in the rows of attn_v or of ffn_up. The
 * layer computes the same as before; its large inputs meet weights that rounding hurts less. How
 * much is searched for each input: the scale for which the module (attention, or feed forward)
 * changes least when the products that read the input are quantized. */
hb_status hb_awq_layer(hb_layer_work *layer, hb_error *error);

#endif
