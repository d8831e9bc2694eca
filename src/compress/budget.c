/* Greedy steps from the smallest sizes on, each the one that lowers the loss most for its bytes.
 * The steps that fit run along the lower convex hull of each item's choices, so until the first one
 * that does not fit, no other choice of as many bytes loses less. */
#include "compress/budget.h"

/* Of choices of the same size, the one that loses least. */
static uint32_t smallest(const hb_budget_item *item) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < item->count; i++)
    if (item->bytes[i] < item->bytes[best] ||
        (item->bytes[i] == item->bytes[best] && item->loss[i] < item->loss[best]))
      best = i;
  return best;
}

typedef struct budget_step {
  hb_budget_item *item; /* NULL: none fits */
  uint32_t choice;
  double gain; /* for each byte */
} budget_step;

static void consider(hb_budget_item *item, uint64_t left, budget_step *best) {
  for (uint32_t i = 0; i < item->count; i++) {
    uint64_t now = item->bytes[item->chosen];
    if (item->bytes[i] <= now || item->bytes[i] - now > left) continue;
    double gain = (item->loss[item->chosen] - item->loss[i]) / (double)(item->bytes[i] - now);
    if (gain > best->gain) *best = (budget_step){item, i, gain};
  }
}

uint64_t hb_budget_solve(hb_budget_item *items, size_t count, uint64_t most) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    items[i].chosen = smallest(&items[i]);
    bytes += items[i].bytes[items[i].chosen];
  }
  while (bytes < most) {
    budget_step best = {0};
    for (size_t i = 0; i < count; i++) consider(&items[i], most - bytes, &best);
    if (!best.item) break;
    bytes += best.item->bytes[best.choice] - best.item->bytes[best.item->chosen];
    best.item->chosen = best.choice;
  }
  return bytes;
}
