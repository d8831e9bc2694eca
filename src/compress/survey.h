/* How often the inputs of every product of a model are large, in full precision: what has to be
 * known before the header of a result is written. */
#ifndef HB_SURVEY_H
#define HB_SURVEY_H

#include "compress/walk.h"

/* LLM.int8() (arXiv 2208.07339): inputs from here on are large, and a column is one of outliers
 * that is large at this part of the tokens. A column that is so at few of them is better rounded:
 * there it costs the other inputs of these tokens some precision, kept in half precision it costs
 * four bytes a weight. */
#define HB_OUTLIER_THRESHOLD 6.0
#define HB_OUTLIER_SHARE 0.06

typedef struct hb_survey {
  const hb_allocator *allocator;
  uint32_t weight_count; /* of the model */
  uint32_t **large;      /* [weight_count][cols] tokens at which |x| reaches the threshold, or NULL
                            where none is in a layer */
  uint32_t *cols;        /* [weight_count] */
  char (*names)[48];     /* [weight_count] */
  float threshold;
  uint64_t tokens; /* that were looked at */
} hb_survey;

/* Runs the whole model. *out is to be destroyed, whatever the status. */
hb_status hb_survey_create(const hb_walk_options *options, float threshold, hb_survey *out,
                           hb_error *error);
void hb_survey_destroy(hb_survey *survey);

/* The columns of outliers of a matrix, rising, into columns[] unless it is NULL; returns how many.
 */
uint32_t hb_survey_outliers(const hb_survey *survey, hb_string name, uint16_t *columns);

#endif
