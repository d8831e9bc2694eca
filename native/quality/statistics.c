#include "quality/statistics.h"
#include "kernel/kernel.h"

#include <math.h>
#include <stdlib.h>

void moments_add(moments *m, double value) {
  m->count++;
  m->sum += value;
  m->squares += value * value;
}

estimate moments_mean(const moments *m) {
  if (m->count == 0) return (estimate){0, 0};
  double mean = m->sum / (double)m->count;
  double variance = m->squares / (double)m->count - mean * mean;
  if (variance <= 0 || m->count < 2) return (estimate){mean, 0};
  return (estimate){mean, sqrt(variance / (double)(m->count - 1))};
}

estimate moments_exp(const moments *m) {
  estimate mean = moments_mean(m);
  double value = hb_exp(mean.value);
  return (estimate){value, value * mean.error};
}

estimate moments_root(const moments *m) {
  estimate mean = moments_mean(m);
  double root = sqrt(mean.value > 0 ? mean.value : 0);
  return (estimate){root, root > 0 ? mean.error / (2 * root) : 0};
}

estimate share_of(uint64_t count, uint64_t all) {
  if (all == 0) return (estimate){0, 0};
  double share = (double)count / (double)all;
  return (estimate){share, all < 2 ? 0 : sqrt(share * (1 - share) / (double)(all - 1))};
}

static int compare_values(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void sort_values(double *values, size_t count) {
  qsort(values, count, sizeof *values, compare_values);
}

double quantile(const double *sorted, size_t count, double share) {
  if (count == 0) return 0;
  double place = share * (double)(count - 1);
  size_t below = (size_t)place, above = below + (below + 1 < count);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - (double)below);
}
