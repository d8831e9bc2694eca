/* The moments of AdamW in 8 bits, for 256 values at a time, each kind with one scale (after
 * bitsandbytes, arXiv:2110.02861, with levels of our own).
 *
 * Levels are those of small floats with 3 bits of mantissa, the highest 1.875 times the scale:
 *   m: sign, 4 bits of exponent: 2^-14 and more, and below that multiples of 2^-17, 0 among them
 *   v: 5 bits of exponent: 2^-31 and more. There is no 0, since what v divides would be huge.
 *
 * A step may change a moment by less than half of what the levels lie apart; rounded to the nearest
 * it would never move. So it is rounded up or down at random, with chances that make it right on
 * average, and that come from the step and the place alone. */
#ifndef HB_TRAIN_MOMENTS_H
#define HB_TRAIN_MOMENTS_H

#include "base/base.h"

enum { HB_MOMENT_GROUP = 256 };

typedef struct hb_coded_moments {
  float m_scale, v_scale;
  uint8_t m[HB_MOMENT_GROUP], v[HB_MOMENT_GROUP];
} hb_coded_moments;

/* `chance` differs with each step and each group. */
void hb_moments_encode(const float *m, const float *v, uint64_t chance, hb_coded_moments *coded);
void hb_moments_decode(const hb_coded_moments *coded, float *m, float *v);

#endif
