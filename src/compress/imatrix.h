/* Importance files: how large the inputs of each matrix are, in the GGUF form that llama.cpp's
 * tools read and write. Of the matrix NAME there are two F32 tensors: NAME.in_sum2 [cols], sums of
 * squares over the inputs of a text, and NAME.counts [1], how many inputs that were. */
#ifndef HB_IMATRIX_H
#define HB_IMATRIX_H

#include "base/base.h"

#define HB_IMATRIX_TYPE "imatrix" /* general.type of such a file */
#define HB_IMATRIX_SQUARES ".in_sum2"
#define HB_IMATRIX_COUNTS ".counts"

#endif
