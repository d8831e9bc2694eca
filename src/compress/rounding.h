/* Inputs as a run rounds them to int8 (kernel/quantize.inc), in floats. */
#ifndef HB_ROUNDING_H
#define HB_ROUNDING_H

#include "compress/layerwise.h"

typedef struct hb_rounding {
  bool rounds; /* otherwise inputs stay as they are */
  hb_activations how;
  float fixed; /* HB_ACTIVATIONS_TENSOR: what an int8 of 1 is */
} hb_rounding;

/* Rounds row[width] over scales[width], which it is multiplied with again. scales may be NULL. */
void hb_round_row(const hb_rounding *rounding, float *row, const float *scales, uint32_t width);

/* What a fixed int8 of 1 should be for products first .. end - 1, which read the same input, over
 * scales (or NULL), where weights are multiplied with them. Of scales by which the largest input,
 * or less, becomes 127, the one that changes the products' outputs least, errors of inputs being
 * independent: sum over columns of their weights' squares times their squared error, on the samples
 * that are held out (compress/trial.h). largest: [width] of the inputs' magnitudes. skip: [width]
 * 1 where inputs do not become int8, or NULL. */
hb_status hb_fixed_scale(hb_layer_work *layer, uint32_t first, uint32_t end, const float *largest,
                         const float *scales, const uint8_t *skip, float *out, hb_error *error);

#endif
