/* What is known of the inputs of a product: sums over the tokens of calibration text. */
#ifndef HB_STATISTICS_H
#define HB_STATISTICS_H

#include "base/base.h"

typedef struct hb_statistics {
  const hb_allocator *allocator;
  uint32_t cols;
  uint64_t rows;     /* that were added */
  double *squares;   /* [cols] sum of x^2 */
  double *magnitude; /* [cols] sum of |x| */
  float *largest;    /* [cols] of |x| */
  double *gram;      /* [cols][cols] mean of x x^T, once finished; or NULL */
} hb_statistics;

hb_status hb_statistics_create(const hb_allocator *allocator, uint32_t cols, bool with_gram,
                               hb_statistics *out, hb_error *error);
void hb_statistics_destroy(hb_statistics *statistics);

/* Adds rows of inputs, `stride` floats from one to the next, in order. */
hb_status hb_statistics_add(hb_statistics *statistics, const float *x, size_t stride, uint32_t rows,
                            const hb_parallel *parallel, hb_error *error);

/* After the last row, of at least one: sums become means. importance[cols] (may be NULL) gets the
 * mean squares. */
void hb_statistics_finish(hb_statistics *statistics, const hb_parallel *parallel,
                          float *importance);

#endif
