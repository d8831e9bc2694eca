/* Numbers of every kind for the tests of kernels, and how their results are compared. */
#ifndef HB_TEST_NUMBERS_H
#define HB_TEST_NUMBERS_H

#include "support.h"

#include "base/half.h"
#include "kernel/kernel.h"

#include <math.h>

/* xorshift64*: the same numbers on every target. */
static inline uint32_t next_random(uint64_t *seed) {
  *seed ^= *seed >> 12;
  *seed ^= *seed << 25;
  *seed ^= *seed >> 27;
  return (uint32_t)(*seed * 2685821657736338717u >> 32);
}

static inline float uniform(uint64_t *seed, float low, float high) {
  return low + (high - low) * (float)(next_random(seed) >> 8) * 0x1p-24f;
}

typedef enum {
  USUAL,      /* -4 .. 4 */
  WIDE,       /* any exponent from 2^-60 to 2^60 */
  SUBNORMALS, /* below 2^-120 */
  HUGE_ONES,  /* above 2^120: sums overflow */
  ANY_BITS,   /* infinities and NaN among them */
  KINDS
} number_kind;

static inline void fill(float *x, size_t n, number_kind kind, uint64_t *seed) {
  for (size_t i = 0; i < n; i++) {
    uint32_t bits = next_random(seed);
    switch (kind) {
    case USUAL: x[i] = uniform(seed, -4.0f, 4.0f); break;
    case WIDE: x[i] = hb_f32_of_bits((bits & 0x807fffffu) | (67 + bits % 121) << 23); break;
    case SUBNORMALS: x[i] = hb_f32_of_bits(bits & 0x81ffffffu); break;
    case HUGE_ONES:
      x[i] = hb_f32_of_bits((bits & 0x83ffffffu) | 0x7c000000u);
      if (!isfinite(x[i])) x[i] = 0x1p127f;
      break;
    default: x[i] = hb_f32_of_bits(bits);
    }
  }
}

/* A NaN equals any other: payloads differ by CPU. */
static inline bool same_bits(float a, float b) {
  return (isnan(a) && isnan(b)) || hb_bits_of_f32(a) == hb_bits_of_f32(b);
}

static inline void expect_same(const char *what, hb_isa isa, size_t n, const float *got,
                               const float *expected, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!same_bits(got[i], expected[i]))
      fail_msg("%s on %s, n = %zu: [%zu] is %a, not %a", what, hb_isa_name(isa), n, i,
               (double)got[i], (double)expected[i]);
}

/* The table of an ISA other than the scalar one; NULL where it is not to be had here. */
static inline const hb_kernels *kernels_besides_scalar(int isa) {
  return isa == HB_ISA_SCALAR ? NULL : hb_kernels_for((hb_isa)isa);
}

#endif
