/* The portable kernels, which define what all the others compute. */

#include "kernel/lanes_scalar.h"
#include "kernel/codes_scalar.h"

#include "kernel/kernels.inc"

const hb_kernels hb_kernels_scalar = HB_KERNELS(HB_ISA_SCALAR, matmul);
