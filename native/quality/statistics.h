/* Sums from which means, standard errors and quantiles follow, alike on every machine. */
#ifndef QUALITY_STATISTICS_H
#define QUALITY_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* A mean and its standard error. */
typedef struct estimate {
  double value, error;
} estimate;

typedef struct moments {
  uint64_t count;
  double sum, squares;
} moments;

void moments_add(moments *m, double value);
estimate moments_mean(const moments *m);

/* exp of the mean, as a perplexity is of losses. */
estimate moments_exp(const moments *m);

/* The square root of the mean of squares that were added. */
estimate moments_root(const moments *m);

/* The share of so many. */
estimate share_of(uint64_t count, uint64_t all);

void sort_values(double *values, size_t count);
/* The value below which that share of the values lies, between two of them in proportion. */
double quantile(const double *sorted, size_t count, double share);

#endif
