/* SpQR (arXiv:2306.03078): the weights that cost most in their group are kept beside the blocks, as
 * outliers; then columns are rounded one after the other, as GPTQ does it. */
#ifndef HB_SPQR_H
#define HB_SPQR_H

#include "compress/compensate.h"

#define HB_SPQR_FRACTION 0.01 /* where nobody says another */

typedef struct hb_spqr_options {
  double fraction; /* of the weights that become outliers, 0 .. 1 */
  double damping;  /* first tried, part of the mean diagonal; 0: 0.01 */
} hb_spqr_options;

typedef struct hb_spqr_report {
  double loss;    /* sum over rows of e^T H e, H damped, outliers included */
  double damping; /* that was enough; 0: none was, and nothing is compensated */
} hb_spqr_report;

/* Needs job->gram and at most 65536 columns. The arrays of `outliers` are the caller's and have
 * room for hb_outlier_count entries, which is how many there will be. job->weights becomes what
 * blocks and outliers stand for together, rounded to float. Besides the gram it takes a matrix of
 * its size and one of the size of the weights. Errors as for hb_matrix_gptq. */
hb_status hb_matrix_spqr(const hb_matrix_job *job, const hb_spqr_options *options,
                         hb_outliers *outliers, hb_spqr_report *report, hb_error *error);

/* For each weight x of a group of coder->step: by how much the group's error, the sum of
 * cost * (x - value)^2, falls when the weight is taken out and the grid spans the others. */
void hb_leave_one_out(const hb_coder *coder, const float *x, const double *cost, double *falls);

#endif
