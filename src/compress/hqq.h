/* Half-quadratic quantization (HQQ, Badri and Shaji 2023): needs no calibration. The scale of a
 * block stays that of plain rounding; its addend is moved so that the sum of |x - value|^0.7 falls,
 * a measure that forgives a few large errors. */
#ifndef HB_HQQ_H
#define HB_HQQ_H

#include "compress/matrix.h"

/* Quantizes a job whose type has a scale and an addend for each block: Q4_1, Q5_1. Others are
 * HB_UNSUPPORTED. Importance and gram are not looked at. No block's sum is larger than that of
 * hb_matrix_round. */
hb_status hb_matrix_hqq(const hb_matrix_job *job, hb_error *error);

#endif
