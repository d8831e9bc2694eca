/* The coders of the families of types; coder.c collects them in the table. */
#ifndef HB_CODERS_H
#define HB_CODERS_H

#include "compress/coder.h"

extern const hb_coder hb_coder_q4_0, hb_coder_q4_1, hb_coder_q5_0, hb_coder_q5_1, hb_coder_q8_0;
extern const hb_coder hb_coder_q2_k, hb_coder_q3_k, hb_coder_q4_k, hb_coder_q5_k, hb_coder_q6_k;
extern const hb_coder hb_coder_iq4_nl, hb_coder_iq4_xs;
extern const hb_coder hb_coder_tq1_0, hb_coder_tq2_0;
extern const hb_coder hb_coder_mxfp4;
extern const hb_coder hb_coder_nf4, hb_coder_fp4;
extern const hb_coder hb_coder_int2_64;

/* Of blocks with one grid that begin with its scale, and its addend, in half precision, which are
 * no codes but stand for themselves. */
extern const hb_parameters hb_scale_parameters, hb_affine_parameters;

/* The addend of grids without one: adding it changes no number, not even -0. */
#define HB_NO_ADDEND -0.0f

/* The exact answer of hb_nearest_code for a whole block whose grids are set in it. */
void hb_put_nearest(const hb_coder *coder, const float *x, void *block);

#endif
