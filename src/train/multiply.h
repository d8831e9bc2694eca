/* Products of matrices, divided over threads. */
#ifndef HB_TRAIN_MULTIPLY_H
#define HB_TRAIN_MULTIPLY_H

#include "train/kernels.h"

/* Bytes, at a multiple of 64, that hb_train_multiply works in with these threads. */
uint64_t hb_train_rooms(const hb_train_kernels *kernels, const hb_parallel *parallel);

/* kernels->gemm, or gemm_bf16 if `bf16` is set and there is one. The result does not depend on the
 * threads. */
void hb_train_multiply(const hb_train_kernels *kernels, const hb_parallel *parallel, bool bf16,
                       const hb_gemm *g, void *rooms);

#endif
