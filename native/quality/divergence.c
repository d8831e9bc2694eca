#include "quality/divergence.h"

#include <stdlib.h>

enum { LANES = 8 };

/* Folds the sums of eight lanes in one order. */
static double fold(const double *lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static double sum_of(const float *x, uint32_t count) {
  double lanes[LANES] = {0};
  for (uint32_t i = 0; i < count; i++) lanes[i % LANES] += (double)x[i];
  return fold(lanes);
}

/* Sum of p (a - b), where p is not 0. */
static double weighted_difference(const float *p, const float *a, const float *b, uint32_t count) {
  double lanes[LANES] = {0};
  for (uint32_t i = 0; i < count; i++)
    lanes[i % LANES] += p[i] > 0 ? (double)p[i] * ((double)a[i] - (double)b[i]) : 0;
  return fold(lanes);
}

/* The first of the largest; false if that is not finite or something is no number. */
static bool find_top(const float *x, uint32_t count, uint32_t *top) {
  bool numbers = true;
  *top = 0;
  for (uint32_t i = 0; i < count; i++) {
    numbers &= x[i] == x[i];
    if (x[i] > x[*top]) *top = i;
  }
  return numbers && x[*top] - x[*top] == 0;
}

/* A row of logits: weights exp(x - max) into `out`, and their sum. */
static double weigh(const hb_kernels *kernels, const float *x, uint32_t count, uint32_t top,
                    float *out) {
  kernels->weights(x, count, x[top], 1.44269504f, out); /* 2^((x - max) log2 e) */
  return sum_of(out, count);
}

static void compute_row(const hb_kernels *kernels, uint32_t count, divergence_row *row,
                        float *scratch) {
  uint32_t top, reference_top;
  const float *x = row->logits, *reference = row->reference;
  row->finite = find_top(x, count, &top) && find_top(reference, count, &reference_top);
  if (!row->finite) return;
  row->same_top = top == reference_top;
  double log_sum = (double)x[top] + hb_log(weigh(kernels, x, count, top, scratch));
  double sum = weigh(kernels, reference, count, reference_top, scratch);
  double reference_log_sum = (double)reference[reference_top] + hb_log(sum);
  row->loss = log_sum - (double)x[row->next];
  row->reference_loss = reference_log_sum - (double)reference[row->next];
  double value = weighted_difference(scratch, reference, x, count) / sum;
  value += log_sum - reference_log_sum;
  row->divergence = value > 0 ? value : 0; /* below 0 by rounding only */
}

typedef struct division {
  const hb_kernels *kernels;
  uint32_t threads, vocabulary;
  divergence_row *rows;
  size_t count;
  float *scratch;
} division;

static void compute_share(void *argument, uint32_t index) {
  const division *d = argument;
  for (size_t i = index; i < d->count; i += d->threads)
    compute_row(d->kernels, d->vocabulary, &d->rows[i], d->scratch + (size_t)index * d->vocabulary);
}

void divergence_compute(const hb_kernels *kernels, const hb_parallel *parallel, uint32_t vocabulary,
                        divergence_row *rows, size_t count, float *scratch) {
  division d = {kernels, parallel->threads, vocabulary, rows, count, scratch};
  parallel->run(parallel->context, compute_share, &d);
}

bool divergence_open(divergence *d, size_t most) {
  *d = (divergence){.values = malloc(most * sizeof *d->values), .capacity = most};
  if (!d->values) cli_fail("no memory for the divergences of %zu tokens", most);
  return d->values != NULL;
}

void divergence_close(divergence *d) {
  free(d->values);
  *d = (divergence){0};
}

bool divergence_add(divergence *d, const divergence_row *rows, size_t count) {
  for (size_t i = 0; i < count && d->count < d->capacity; i++) {
    const divergence_row *row = &rows[i];
    if (!row->finite) {
      cli_fail("a model's logits are no numbers after token %zu that was compared", d->count);
      return false;
    }
    d->values[d->count++] = row->divergence;
    d->same_top += row->same_top;
    moments_add(&d->divergences, row->divergence);
    moments_add(&d->losses, row->loss);
    moments_add(&d->reference_losses, row->reference_loss);
    moments_add(&d->changes, row->loss - row->reference_loss);
    double change = hb_exp(-row->loss) - hb_exp(-row->reference_loss);
    moments_add(&d->squares, change * change);
  }
  return true;
}
