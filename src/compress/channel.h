/* Eight bits with one scale a row, the columns of large inputs beside them: what products with int8
 * activations of one scale want (LLM.int8(), arXiv 2208.07339; SmoothQuant, arXiv 2211.10438). */
#ifndef HB_CHANNEL_H
#define HB_CHANNEL_H

#include "compress/compensate.h"

/* The job's coder is that of Q8_0; each row's blocks have the same scale. outliers, unless NULL,
 * has the columns that are kept in half precision, count / rows of them, as those of row 0; it gets
 * the rest. Their dense values are 0. */
hb_status hb_matrix_channel(const hb_matrix_job *job, hb_outliers *outliers, hb_error *error);

#endif
