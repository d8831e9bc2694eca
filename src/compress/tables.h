/* SqueezeLLM (arXiv:2306.07629): each row has a table of its own, of the 16 or 8 levels that lie
 * nearest to its weights, errors counted by how sensitive the model is to each. What lies far out,
 * or matters most, is kept beside it. */
#ifndef HB_TABLES_H
#define HB_TABLES_H

#include "compress/outliers.h"

typedef struct hb_tables_options {
  uint32_t bits; /* of a code: 4 or 3 */
  /* [rows][cols], none negative: what the square of an error costs, such as the mean square of the
   * loss's gradient. NULL: job->importance counts for every row. */
  const float *sensitivity;
  double fraction;  /* of the weights that become outliers, 0 .. 1 */
  double sensitive; /* part of the weights, at most `fraction`, that become outliers for their
                       sensitivity; the others, and all without `sensitivity`, for their size */
} hb_tables_options;

/* The parts of outliers in the paper. */
#define HB_TABLES_FRACTION 0.0045
#define HB_TABLES_SENSITIVE 0.0005

/* TABLE4 or TABLE3; HB_ARGUMENT for other bits. */
hb_status hb_tables_type(uint32_t bits, hb_type *type, hb_error *error);

/* Quantizes a job, whose coder and gram are not looked at. Its columns are a multiple of 32;
 * job->blocks has rows of hb_row_bytes. `outliers` has room for hb_outlier_count entries, which is
 * how many there will be; it may be NULL where the fraction is 0. job->weights becomes what table
 * and outliers stand for together, rounded to float. */
hb_status hb_matrix_tables(const hb_matrix_job *job, const hb_tables_options *options,
                           hb_outliers *outliers, hb_error *error);

#endif
