/* Weights that are kept beside the blocks of a matrix. */
#ifndef HB_COMPRESS_OUTLIERS_H
#define HB_COMPRESS_OUTLIERS_H

#include "compress/matrix.h"

/* In rows, as a sparse matrix has them: row r has entries starts[r] .. starts[r + 1] - 1, their
 * columns rising. The value of the matrix there is that of the block, the nearest to 0 that its
 * grid has, plus `values`, in half precision. */
typedef struct hb_outliers {
  uint32_t *starts;  /* [rows + 1] */
  uint16_t *columns; /* [count] */
  uint16_t *values;  /* [count] */
  uint32_t count;
} hb_outliers;

/* How many outliers that fraction is: rounded down. HB_ARGUMENT if it is no fraction, or they would
 * be 2^32 or more. */
hb_status hb_outlier_count(uint32_t rows, uint32_t cols, double fraction, uint32_t *count,
                           hb_error *error);

/* Chooses the out->count weights with the largest scores, of equal ones the first: fills starts and
 * columns. scores: [rows][cols], none negative. Rows have at most 65536 columns. */
hb_status hb_outliers_choose(const hb_matrix_job *job, const float *scores, hb_outliers *out,
                             hb_error *error);

/* HB_UNSUPPORTED if rows are too long for outliers. */
hb_status hb_outliers_check(const hb_matrix_job *job, hb_error *error);

#endif
