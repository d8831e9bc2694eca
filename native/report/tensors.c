/* The matrices of both models, as they compute with them: outliers beside a matrix included. */
#include "report/report.h"
#include "base/half.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pass {
  const hb_model *reference, *model;
  report_tensor *tensors;
  const hb_weight **weights; /* of the reference, for each tensor */
  size_t count;
  uint32_t threads;
  float *rows; /* [threads][2][widest] */
  size_t widest;
} pass;

static void read_row(const hb_weight *w, uint32_t row, float *out) {
  hb_unpack_row(&w->matrix, row, out);
  if (w->outliers.bytes == 0) return;
  const hb_sparse *o = &w->outliers.parts;
  for (uint32_t i = o->start[row]; i < o->start[row + 1]; i++)
    out[o->column[i]] += hb_f32_of_f16(o->value[i]);
}

/* ---- Rescaled matrices ---- */

/* Methods that fold scales into neighbours give rows and columns other sizes, which say nothing of
 * the error. They are scaled back to the reference's, as fits it best: alternately columns and
 * rows, whose best scales are quotients of sums. */
typedef struct fitting {
  const hb_weight *a, *b;
  float *x, *y;
  double *column, *upper, *lower; /* [cols] scales, and the sums of their quotients */
  double *row;                    /* [rows] scales */
} fitting;

static double quotient(double upper, double lower) {
  return lower > 0 ? upper / lower : 1;
}

static void fit_columns(fitting *f) {
  size_t cols = (size_t)f->a->cols;
  memset(f->upper, 0, cols * sizeof *f->upper);
  memset(f->lower, 0, cols * sizeof *f->lower);
  for (uint32_t row = 0; row < f->a->rows; row++) {
    read_row(f->a, row, f->x);
    read_row(f->b, row, f->y);
    for (size_t i = 0; i < cols; i++) {
      double scaled = f->row[row] * (double)f->y[i];
      f->upper[i] += (double)f->x[i] * scaled;
      f->lower[i] += scaled * scaled;
    }
  }
  for (size_t i = 0; i < cols; i++) f->column[i] = quotient(f->upper[i], f->lower[i]);
}

/* The relative squared error that is left. */
static double fit_rows(fitting *f) {
  double differences = 0, squares = 0;
  for (uint32_t row = 0; row < f->a->rows; row++) {
    double upper = 0, lower = 0, size = 0;
    read_row(f->a, row, f->x);
    read_row(f->b, row, f->y);
    for (uint64_t i = 0; i < f->a->cols; i++) {
      double scaled = f->column[i] * (double)f->y[i];
      upper += (double)f->x[i] * scaled;
      lower += scaled * scaled;
      size += (double)f->x[i] * (double)f->x[i];
    }
    f->row[row] = quotient(upper, lower);
    differences += size - (lower > 0 ? upper * upper / lower : 0);
    squares += size;
  }
  return squares > 0 ? differences / squares : differences;
}

static double fitted_error(const hb_weight *a, const hb_weight *b, float *x, float *y) {
  enum { ROUNDS = 3 };
  size_t cols = (size_t)a->cols, rows = (size_t)a->rows;
  double *scales = malloc((3 * cols + rows) * sizeof *scales), error = NAN;
  if (!scales) return error;
  fitting f = {a, b, x, y, scales, scales + cols, scales + 2 * cols, scales + 3 * cols};
  for (size_t i = 0; i < rows; i++) f.row[i] = 1;
  for (int round = 0; round < ROUNDS; round++) {
    fit_columns(&f);
    error = fit_rows(&f);
  }
  free(scales);
  return error;
}

/* ---- All matrices ---- */

static void measure_error(report_tensor *t, const hb_weight *a, const hb_weight *b, float *x,
                          float *y) {
  double differences = 0, squares = 0;
  for (uint32_t row = 0; row < a->rows; row++) {
    read_row(a, row, x);
    read_row(b, row, y);
    histogram_measure(&t->weights, x, (size_t)a->cols);
    for (uint64_t i = 0; i < a->cols; i++) {
      double difference = (double)x[i] - (double)y[i];
      differences += difference * difference;
      squares += (double)x[i] * (double)x[i];
    }
  }
  t->error = squares > 0 ? differences / squares : differences;
  if (t->rescaled) t->error = fitted_error(a, b, x, y);
  for (uint32_t row = 0; row < a->rows; row++) {
    read_row(a, row, x);
    histogram_count(&t->weights, x, (size_t)a->cols);
  }
}

static void measure_share(void *argument, uint32_t index) {
  const pass *p = argument;
  float *x = p->rows + 2 * p->widest * index, *y = x + p->widest;
  for (size_t i = index; i < p->count; i += p->threads)
    measure_error(&p->tensors[i], p->weights[i],
                  hb_weight_named(p->model, hb_string_of(p->tensors[i].name)), x, y);
}

/* Whether a layer's vectors differ by more than their types explain. */
static bool is_rescaled(const pass *p, uint32_t layer) {
  for (uint32_t i = 0; i < p->reference->weight_count; i++) {
    const hb_weight *a = &p->reference->weights[i];
    if (!a->vector || a->layer != layer || !hb_weight_table[a->kind].per_layer) continue;
    const hb_weight *b = hb_weight_named(p->model, hb_string_of(a->name));
    for (uint64_t k = 0; b && b->vector && k < a->cols; k++) {
      double difference = (double)a->vector[k] - (double)b->vector[k];
      if (difference * difference > 1e-4 * (double)a->vector[k] * (double)a->vector[k]) return true;
    }
  }
  return false;
}

static void describe(const pass *p, const hb_weight *a, const hb_weight *b, report_tensor *out) {
  bool in_layer = hb_weight_table[a->kind].per_layer;
  *out = (report_tensor){
      .name = b->name,
      .type = b->private_type != HB_TYPE_F32 ? b->private_type : b->matrix.type,
      .values = a->rows * a->cols,
      .bytes = b->file_bytes + b->outliers.bytes,
      .rescaled = in_layer && is_rescaled(p, a->layer),
  };
}

static void list(pass *p) {
  for (uint32_t i = 0; i < p->reference->weight_count; i++) {
    const hb_weight *a = &p->reference->weights[i];
    const hb_weight *b = a->matrix.data ? hb_weight_named(p->model, hb_string_of(a->name)) : NULL;
    if (!b || !b->matrix.data || a->rows != b->rows || a->cols != b->cols) continue;
    if (a->cols > p->widest) p->widest = (size_t)a->cols;
    p->weights[p->count] = a;
    describe(p, a, b, &p->tensors[p->count++]);
  }
}

bool report_tensors(const compared_pair *pair, report_run *out) {
  const hb_parallel *parallel = &pair->reference.parallel;
  const hb_model *reference = pair->reference.model;
  out->tensors = calloc(reference->weight_count, sizeof *out->tensors);
  pass p = {.reference = reference,
            .model = pair->model.model,
            .tensors = out->tensors,
            .weights = calloc(reference->weight_count, sizeof *p.weights),
            .threads = parallel->threads};
  bool ok = p.tensors && p.weights;
  if (ok) list(&p);
  if (ok) p.rows = malloc(2 * (size_t)parallel->threads * p.widest * sizeof *p.rows);
  ok = ok && p.rows;
  if (ok) parallel->run(parallel->context, measure_share, &p);
  out->tensor_count = p.count;
  free(p.rows);
  free(p.weights);
  if (!ok) cli_fail("no memory for comparing tensors");
  return ok;
}
