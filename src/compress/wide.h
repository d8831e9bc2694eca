/* Rows that end within a block of their coder: those of NF4 and FP4, whose last super-block may
 * have fewer blocks than the others. */
#ifndef HB_WIDE_H
#define HB_WIDE_H

#include "compress/matrix.h"

typedef hb_status hb_matrix_method(void *context, const hb_matrix_job *job, hb_error *error);

/* Bytes of a row in job->blocks: hb_row_bytes. False if a row does not fill blocks of the type. */
bool hb_matrix_row_bytes(const hb_matrix_job *job, uint64_t *bytes);

/* Has `method` quantize the job, in whose coder's blocks it works. Where rows end within one, it
 * gets a copy whose rows go on with columns of zeros that no input reaches, which change nothing
 * before them, and what is beyond the end of the row is left out of job->blocks afterwards. */
hb_status hb_matrix_widened(const hb_matrix_job *job, hb_matrix_method *method, void *context,
                            hb_error *error);

#endif
