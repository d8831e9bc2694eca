#include "compress/drift.h"
#include "compress/dense.h"
#include "compress/product.h"

/* Few tokens for many columns show drift that there is not: the sum over t tokens is divided by t +
 * CAUTION * columns. On tales-5.8m with 2048 tokens, at 3 bits, this costs less divergence than no
 * correction does, which without it costs a quarter less than the full one. */
#define CAUTION 8.0

/* ---- Sums ---- */

typedef struct meeting {
  hb_layer_work *layer;
  hb_operand input;
  uint32_t op;
  hb_statistics *statistics;
  hb_drift *drift;
  float *before; /* [length][n]: the inputs of a sample in the original */
  hb_status status;
  hb_error *error;
} meeting;

static hb_status meet(meeting *m, const float *rows, size_t stride) {
  const hb_quantize_options *o = m->layer->job->options;
  uint32_t n = m->drift->n, length = o->calibration_length;
  HB_TRY(hb_statistics_add(m->statistics, rows, stride, length, o->parallel, m->error));
  return hb_product_add_drift(o->allocator, o->parallel, m->drift->matrix, n, m->before, n, rows,
                              stride, length, m->error);
}

static void look(void *context, const hb_walk *walk, uint32_t op) {
  meeting *m = context;
  size_t stride, n = m->drift->n;
  if (op != m->op || m->status != HB_OK) return;
  const float *rows = hb_walk_rows(walk, m->input, &stride);
  if (!hb_walk_in_original(walk)) {
    m->status = meet(m, rows, stride);
    return;
  }
  for (size_t i = 0; i < m->layer->job->options->calibration_length; i++)
    memcpy(m->before + i * n, rows + i * stride, n * sizeof(float));
}

static hb_status run(meeting *m) {
  uint32_t end = hb_walk_end(m->layer->walk);
  hb_tap tap = {m, look};
  HB_TRY(hb_walk_run_both(m->layer->walk, m->op == end ? end : m->op + 1, &tap, m->error));
  return m->status;
}

static hb_status add_up(meeting *m) {
  const hb_allocator *allocator = m->drift->allocator;
  uint64_t n = m->drift->n, bytes = m->layer->job->options->calibration_length * n * sizeof(float);
  m->drift->matrix = hb_allocate_zero(allocator, n * hb_product_stride(m->drift->n) * 8);
  m->before = hb_allocate(allocator, bytes);
  hb_status status =
      m->drift->matrix && m->before
          ? run(m)
          : hb_fail(m->error, HB_MEMORY, HB_NO_OFFSET, "no memory for the drift of %u inputs", n);
  hb_release(allocator, m->before, bytes);
  return status;
}

/* ---- The solution ---- */

static bool is_none(const hb_drift *d) {
  size_t count = (size_t)d->n * hb_product_stride(d->n), i = 0;
  while (i < count && d->matrix[i] == 0) i++;
  return i == count;
}

/* Factors the damped gram, with more damping while it has no factor; *found is false if it never
 * has. */
static hb_status factor(const hb_layer_work *l, const hb_statistics *s, double *to, bool *found,
                        hb_error *error) {
  const hb_quantize_options *o = l->job->options;
  double mean = 0;
  uint32_t columns = 0;
  *found = false;
  for (uint32_t i = 0; i < s->cols; i++) mean += s->squares[i] / s->cols;
  for (double damping = 0.01; damping < 2 && !*found; damping *= 10) {
    memcpy(to, s->gram, (size_t)s->cols * s->cols * sizeof *to);
    for (size_t i = 0; i < s->cols; i++) to[i * s->cols + i] += damping * mean;
    HB_TRY(hb_cholesky(o->allocator, o->parallel, to, s->cols, &columns, error));
    *found = columns == s->cols;
  }
  return HB_OK;
}

/* What has no solution is no drift. */
static hb_status solve(const hb_layer_work *l, const hb_statistics *s, hb_drift *d,
                       hb_error *error) {
  uint64_t count = (uint64_t)d->n * hb_product_stride(d->n);
  uint64_t bytes = (uint64_t)d->n * d->n * sizeof(double);
  bool found = false;
  if (is_none(d)) {
    hb_drift_release(d);
    return HB_OK;
  }
  double *factored = hb_allocate(d->allocator, bytes);
  if (!factored)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the drift of %u inputs",
                   (uint64_t)d->n);
  double divisor = (double)s->rows + CAUTION * d->n;
  for (uint64_t i = 0; i < count; i++) d->matrix[i] /= divisor;
  hb_status status = factor(l, s, factored, &found, error);
  if (status == HB_OK && found)
    status =
        hb_product_solve(d->allocator, l->job->options->parallel, factored, d->n, d->matrix, error);
  hb_release(d->allocator, factored, bytes);
  if (!found) hb_drift_release(d);
  return status;
}

/* ---- The whole ---- */

hb_status hb_drift_gather(hb_layer_work *l, hb_operand input, uint32_t op, hb_statistics *s,
                          float *importance, hb_drift *d, hb_error *error) {
  const hb_quantize_options *o = l->job->options;
  *d = (hb_drift){.allocator = o->allocator, .n = input.width};
  if (!hb_walk_has_original(l->walk) || input.width % 8 != 0)
    return hb_layer_gather(l, input, op, true, s, importance, error);
  HB_TRY(hb_statistics_create(o->allocator, input.width, true, s, error));
  meeting m = {l, input, op, s, d, NULL, HB_OK, error};
  HB_TRY(add_up(&m));
  hb_statistics_finish(s, o->parallel, importance);
  return solve(l, s, d, error);
}

void hb_drift_release(hb_drift *d) {
  hb_release(d->allocator, d->matrix, (uint64_t)d->n * hb_product_stride(d->n) * sizeof(double));
  d->matrix = NULL;
}
