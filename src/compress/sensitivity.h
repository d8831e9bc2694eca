/* How much rounding each matrix to each of several types disturbs a model. The loss of a type is
 *
 *   gain * sum over rows and columns of mean(x^2) * (w - w')^2
 *
 * w' being what plain rounding makes of the weight w, and x its inputs in calibration text, in full
 * precision. The gain makes matrices comparable: for one type, the relative squared change of the
 * residual stream behind the layer is measured, with that matrix alone rounded, and divided by the
 * sum. For the output matrix and tables of embeddings, the loss is the sum over that of the weights
 * themselves. */
#ifndef HB_SENSITIVITY_H
#define HB_SENSITIVITY_H

#include "compress/budget.h"
#include "compress/requantize.h"

typedef struct hb_sensitivity {
  const hb_tensor *tensor;
  uint64_t values;
  hb_type types[HB_BUDGET_CHOICES]; /* that it may become; their bytes and losses: */
  hb_budget_item item;
  bool measured; /* nothing is to be added to the losses */
} hb_sensitivity;

/* Fills in the losses of `count` items, whose types and bytes are given, from 0 on. job: options,
 * source and a method that rounds. */
hb_status hb_sensitivity_measure(hb_tensor_job *job, hb_sensitivity *items, size_t count,
                                 hb_error *error);

#endif
