/* Importance files: how large the inputs of each matrix are, in the GGUF form that llama.cpp's
 * tools read and write. Of the matrix NAME there are two F32 tensors: NAME.in_sum2 [cols], sums of
 * squares over the inputs of a text, and NAME.counts [1], how many inputs that were. */
#ifndef HB_IMATRIX_H
#define HB_IMATRIX_H

#include "base/base.h"

#define HB_IMATRIX_TYPE "imatrix" /* general.type of such a file */
#define HB_IMATRIX_SQUARES ".in_sum2"
#define HB_IMATRIX_COUNTS ".counts"

/* HB_MODEL unless the file is such a one, knows a matrix of `model`, and has each that it knows
 * with as many inputs as the model. */
hb_status hb_imatrix_check(const hb_gguf *imatrix, const hb_gguf *model, hb_error *error);

/* The mean squares of a matrix's inputs into importance[dims[0]]. *known is false where the file,
 * which was checked, does not have the matrix. */
hb_status hb_imatrix_read(const hb_source *imatrix, const hb_tensor *matrix, float *importance,
                          bool *known, hb_error *error);

#endif
