#include "kernel/lanes_scalar.h"

#include "rows.inc"

const hb_kernels hb_kernels_scalar = ROW_KERNELS(HB_ISA_SCALAR);
