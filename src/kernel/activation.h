/* 32 activations of a row in int8: x = d * q. simd128 has its own form of the same numbers. */
#ifndef HB_KERNEL_ACTIVATION_H
#define HB_KERNEL_ACTIVATION_H

#include "kernel/kernel.h"

typedef struct activation {
  float d;
  int16_t sum[2]; /* of q[0..15] and q[16..31] */
  int8_t q[32];
} activation;

static inline void activation_store(activation *a, const int8_t *q) {
  memcpy(a->q, q, 32);
}

#endif
