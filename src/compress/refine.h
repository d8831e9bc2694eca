/* Choosing the codes and parameters of blocks once more, one at a time, each the best one beside
 * all others as they are: descent along coordinates, on codes as in QuantEase (arXiv:2309.01885),
 * here on scales and minima, too. Where GPTQ rounds each column once and can only make good for
 * those before it, this looks at all columns. */
#ifndef HB_REFINE_H
#define HB_REFINE_H

#include "compress/matrix.h"

typedef struct hb_refine_report {
  double before, after; /* sum over rows of e^T H e, H damped */
} hb_refine_report;

/* Lets the loss of each row go down, or stay: job->weights are what is wanted and stay, job->blocks
 * are where it starts. `damping`: part of the mean of the diagonal that is added to job->gram. For
 * each thread it takes about 450 bytes a column. Errors as of hb_matrix_check, and HB_UNSUPPORTED
 * if blocks have no multiple of 8 values. */
hb_status hb_matrix_refine(const hb_matrix_job *job, double damping, hb_refine_report *report,
                           hb_error *error);

#endif
