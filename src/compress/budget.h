/* Which of several sizes each of many things gets, when they must not be larger than so much
 * together. */
#ifndef HB_BUDGET_H
#define HB_BUDGET_H

#include "base/base.h"

#define HB_BUDGET_CHOICES 8

typedef struct hb_budget_item {
  uint32_t count; /* of choices, at least one */
  uint32_t chosen;
  uint64_t bytes[HB_BUDGET_CHOICES];
  double loss[HB_BUDGET_CHOICES]; /* not negative; losses of items add up */
} hb_budget_item;

/* Chooses for every item, so that the sum of losses is small and that of bytes `most` at most.
 * Returns the sum of bytes; more than `most` if even the smallest choices need more, which then are
 * the result. The loss is no larger than the least one that could be reached with a budget smaller
 * by the largest difference between two sizes of an item. */
uint64_t hb_budget_solve(hb_budget_item *items, size_t count, uint64_t most);

#endif
