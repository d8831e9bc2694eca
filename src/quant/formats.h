/* Decoders and encoders of the families of block formats; types.c collects them in the table. */
#ifndef HB_FORMATS_H
#define HB_FORMATS_H

#include "base/base.h"
#include "base/half.h"

#define HB_DECODER(name) void hb_decode_##name(const void *in, float *out, size_t blocks)
#define HB_ENCODER(name) void hb_encode_##name(const float *in, void *out, size_t blocks)

HB_DECODER(f32);
HB_DECODER(f16);
HB_DECODER(bf16);
HB_DECODER(q4_0);
HB_DECODER(q4_1);
HB_DECODER(q5_0);
HB_DECODER(q5_1);
HB_DECODER(q8_0);
HB_DECODER(q2_k);
HB_DECODER(q3_k);
HB_DECODER(q4_k);
HB_DECODER(q5_k);
HB_DECODER(q6_k);
HB_DECODER(iq4_nl);
HB_DECODER(iq4_xs);
HB_DECODER(tq1_0);
HB_DECODER(tq2_0);
HB_DECODER(mxfp4);
HB_DECODER(nf4);
HB_DECODER(fp4);
HB_DECODER(table4);
HB_DECODER(table3);
HB_DECODER(int2_64);

HB_ENCODER(f32);
HB_ENCODER(f16);
HB_ENCODER(bf16);
HB_ENCODER(q4_0);
HB_ENCODER(q4_1);
HB_ENCODER(q5_0);
HB_ENCODER(q5_1);
HB_ENCODER(q8_0);

static inline float hb_load_f16(const void *at) {
  return hb_f32_of_f16(hb_load_u16(at));
}

#endif
