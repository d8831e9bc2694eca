/* GPTQ (arXiv:2210.17323): rounds the columns of a matrix one after the other, so that later
 * columns make good for the errors of earlier ones. */
#ifndef HB_GPTQ_H
#define HB_GPTQ_H

#include "compress/hessian.h"

typedef struct hb_gptq_options {
  /* By falling mean square of the input, on grids that are chosen before; or in natural order, on
   * grids chosen as blocks are reached; or each row in the way that leaves it the smaller error,
   * which takes twice as long. */
  enum { HB_GPTQ_FALLING, HB_GPTQ_NATURAL, HB_GPTQ_BETTER } order;
  double damping; /* first tried, part of the mean diagonal; 0: 0.01 */
  bool refine;    /* the result, by hb_matrix_refine */
} hb_gptq_options;

typedef struct hb_gptq_report {
  double loss;    /* sum over rows of e^T H e, H damped: the mean square error of the outputs */
  double damping; /* that was enough; 0: none was, and blocks were fitted by importance alone */
  uint32_t natural_rows; /* rounded in natural order */
} hb_gptq_report;

/* Needs job->gram; job->importance only for when that has no factor. Besides the gram it takes a
 * matrix of its size, and for each thread about 600 bytes a column. Errors as of hb_matrix_check,
 * and HB_UNSUPPORTED if blocks have no multiple of 8 values. */
hb_status hb_matrix_gptq(const hb_matrix_job *job, const hb_gptq_options *options,
                         hb_gptq_report *report, hb_error *error);

#endif
