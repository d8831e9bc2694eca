/* Random weights: the same bytes from the same seed on every target. */
#ifndef HB_RANDOM_H
#define HB_RANDOM_H

#include "quant/quant.h"

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
typedef struct hb_random {
  uint64_t state;
} hb_random;

/* The generator number `index` of those that a seed gives. */
hb_random hb_random_begin(uint64_t seed, uint64_t index);

static inline uint64_t hb_random_next(hb_random *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Fills `count` blocks of a supported type with weights of about that mean and standard deviation.
 * Types other than F32, F16 and BF16 have the mean 0. Every block is one that an encoder might
 * write. */
void hb_random_blocks(hb_random *r, hb_type type, float mean, float deviation, void *out,
                      size_t count);

/* The same for rows of `cols` values of a type of halfbyte's own. */
void hb_random_rows(hb_random *r, hb_type type, uint64_t cols, float deviation, void *out,
                    size_t rows);

#endif
