#include "report/report.h"

#include <math.h>

#define OUTLIER 6.0

void histogram_measure(report_histogram *h, const float *x, size_t count) {
  double sum = 0, largest = h->largest;
  for (size_t i = 0; i < count; i++) {
    double magnitude = fabs((double)x[i]);
    sum += magnitude * magnitude;
    if (magnitude > largest) largest = magnitude;
  }
  double before = h->root_mean_square * h->root_mean_square * (double)h->count;
  h->count += count;
  h->root_mean_square = h->count ? sqrt((before + sum) / (double)h->count) : 0;
  h->largest = largest;
}

void histogram_count(report_histogram *h, const float *x, size_t count) {
  double unit = h->root_mean_square > 0 ? 1 / h->root_mean_square : 0;
  for (size_t i = 0; i < count; i++) {
    double place = (double)x[i] * unit;
    h->outliers += fabs(place) > OUTLIER;
    double bin = 4 * place + REPORT_BINS / 2;
    /* What is no number counts as beyond. */
    h->bins[bin >= 0 ? (bin < REPORT_BINS ? (int)bin : REPORT_BINS - 1) : 0]++;
  }
}
