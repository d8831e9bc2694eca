/* Finding the likeliest without sorting all. */
#ifndef HB_SELECT_H
#define HB_SELECT_H

#include "base/base.h"

/* A token that may be chosen. */
typedef struct hb_candidate {
  float logit;
  float weight; /* its probability, not normalized */
  hb_token token;
} hb_candidate;

/* Brings the likeliest of n > 0 candidates to the front, in no order but for the last of them,
 * which is the least likely: `most`, or as few as together weigh `enough`, at least one. Equals go
 * by their tokens. Returns how many they are. Takes O(n) time. */
uint32_t hb_select_likeliest(hb_candidate *c, uint32_t n, uint32_t most, double enough);

#endif
