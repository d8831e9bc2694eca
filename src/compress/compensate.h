/* Rounding the columns of a matrix one after the other, each against the errors of those before it:
 * the loop that GPTQ and SpQR share. hessian.h has the formula. */
#ifndef HB_COMPENSATE_H
#define HB_COMPENSATE_H

#include "compress/hessian.h"
#include "compress/outliers.h"

typedef struct hb_compensation {
  const hb_matrix_job *job; /* its weights are read and not changed; blocks are written */
  const hb_hessian *hessian;
  const hb_outliers *outliers; /* with `values` to be filled in, or NULL */
  double *losses;              /* [rows]: e^T H e of each row, H damped */
} hb_compensation;

/* In natural order the parameters of a block are chosen when it is reached, for what its weights
 * have become by then; in another all are chosen before. */
hb_status hb_compensate(const hb_compensation *compensation, hb_error *error);

/* Whether a job can be done: as hb_matrix_check, and there is a gram, and blocks have a multiple of
 * 8 values. */
hb_status hb_compensate_check(const hb_matrix_job *job, hb_error *error);

#endif
