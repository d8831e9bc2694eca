#include "compress/clusters.h"

/* ---- Sorting ---- */

/* Merges the sorted runs from[0 .. half) and from[half .. count). */
static void merge(const hb_weighted *from, uint32_t half, uint32_t count, hb_weighted *to) {
  uint32_t a = 0, b = half;
  for (uint32_t i = 0; i < count; i++) {
    bool left = b == count || (a < half && from[a].x <= from[b].x);
    to[i] = from[left ? a++ : b++];
  }
}

void hb_weighted_sort(hb_weighted *values, uint32_t count, hb_weighted *room) {
  hb_weighted *from = values, *to = room;
  for (uint64_t width = 1; width < count; width *= 2) {
    for (uint64_t at = 0; at < count; at += 2 * width) {
      uint32_t part = (uint32_t)(count - at < 2 * width ? count - at : 2 * width);
      merge(from + at, width < part ? (uint32_t)width : part, part, to + at);
    }
    hb_weighted *swap = from;
    from = to;
    to = swap;
  }
  if (from != values) memcpy(values, from, count * sizeof *values);
}

/* ---- Clusters: the best division of the first j values into q runs ends in a run (i, j] behind
 * the best division of the first i into q - 1. The best i does not fall when j rises, so the j in
 * the middle narrows the search of all others. ---- */

typedef struct division {
  const double *w, *x, *xx; /* [count + 1]: sums of w, w x and w x^2 over the first j values */
  const double *before;     /* [count + 1]: least errors with one run less */
  double *errors;           /* [count + 1]: of this number of runs */
  uint32_t *starts;         /* [count + 1]: where the last run begins */
} division;

/* Error of the run of values i .. j - 1. */
static double run_error(const division *d, uint32_t i, uint32_t j) {
  double w = d->w[j] - d->w[i], x = d->x[j] - d->x[i], xx = d->xx[j] - d->xx[i];
  double error = w > 0 ? xx - x * x / w : 0;
  return error > 0 ? error : 0;
}

/* For the j values, given that the best start lies in low .. high. */
static void divide_at(const division *d, uint32_t j, uint32_t low, uint32_t high) {
  uint32_t last = high < j ? high : j, best = low;
  double least = d->before[low] + run_error(d, low, j);
  for (uint32_t i = low + 1; i <= last; i++) {
    double error = d->before[i] + run_error(d, i, j);
    if (error < least) {
      least = error;
      best = i;
    }
  }
  d->errors[j] = least;
  d->starts[j] = best;
}

/* For all j from `first` to `last`. */
static void divide_range(const division *d, uint32_t first, uint32_t last, uint32_t low,
                         uint32_t high) {
  while (first <= last) {
    uint32_t middle = first + (last - first) / 2;
    divide_at(d, middle, low, high);
    if (middle > first) divide_range(d, first, middle - 1, low, d->starts[middle]);
    low = d->starts[middle];
    first = middle + 1;
  }
}

uint64_t hb_clusters_bytes(uint32_t count, uint32_t clusters) {
  return ((uint64_t)count + 1) * (5 * sizeof(double) + clusters * sizeof(uint32_t));
}

void hb_clusters_find(const hb_weighted *values, uint32_t count, uint32_t clusters, void *room,
                      uint32_t *ends) {
  size_t size = (size_t)count + 1;
  double *w = room, *x = w + size, *xx = x + size, *errors[2] = {xx + size, xx + 2 * size};
  uint32_t *starts = (uint32_t *)(xx + 3 * size);
  w[0] = x[0] = xx[0] = 0;
  for (uint32_t i = 0; i < count; i++) {
    double wi = (double)values[i].w, xi = (double)values[i].x;
    w[i + 1] = w[i] + wi;
    x[i + 1] = x[i] + wi * xi;
    xx[i + 1] = xx[i] + wi * xi * xi;
  }
  division d = {.w = w, .x = x, .xx = xx};
  for (uint32_t j = 0; j <= count; j++) errors[0][j] = run_error(&d, 0, j);
  for (uint32_t q = 1; q < clusters; q++) {
    d.before = errors[(q - 1) % 2];
    d.errors = errors[q % 2];
    d.starts = starts + q * size;
    divide_range(&d, q + 1 < clusters ? 0 : count, count, 0, count);
  }
  for (uint32_t q = clusters, end = count; q > 0; q--) {
    ends[q - 1] = end;
    if (q > 1) end = starts[(q - 1) * size + end];
  }
}
