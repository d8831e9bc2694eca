/* The largest inputs of every product of a model, in full precision: what has to be known before
 * the header of a result is written. */
#ifndef HB_SURVEY_H
#define HB_SURVEY_H

#include "compress/walk.h"

#define HB_OUTLIER_THRESHOLD                                                                       \
  6.0f /* LLM.int8(), arXiv 2208.07339: inputs from here on are outliers */

typedef struct hb_survey {
  const hb_allocator *allocator;
  uint32_t weight_count; /* of the model */
  float **largest;       /* [weight_count][cols] of |x|, or NULL where none is in a layer */
  uint32_t *cols;        /* [weight_count] */
  char (*names)[48];     /* [weight_count] */
} hb_survey;

/* Runs the whole model. *out is to be destroyed, whatever the status. */
hb_status hb_survey_create(const hb_walk_options *options, hb_survey *out, hb_error *error);
void hb_survey_destroy(hb_survey *survey);

/* The columns of a matrix whose inputs reach the threshold, rising, into columns[] unless it is
 * NULL; returns how many. */
uint32_t hb_survey_outliers(const hb_survey *survey, hb_string name, uint16_t *columns);

#endif
