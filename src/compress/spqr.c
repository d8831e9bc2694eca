#include "compress/spqr.h"
#include "base/half.h"
#include "compress/divide.h"

/* ---- Leaving one out ---- */

typedef struct range {
  float low, high; /* low <= 0 <= high */
} range;

/* The values of a group, without number `except`. */
static range range_of(const float *x, uint32_t count, uint32_t except) {
  range r = {0, 0};
  for (uint32_t i = 0; i < count; i++) {
    if (i == except) continue;
    if (x[i] < r.low) r.low = x[i];
    if (x[i] > r.high) r.high = x[i];
  }
  return r;
}

static float level_of(const hb_coder *coder, uint32_t code) {
  return (float)(coder->table ? coder->table[code] : coder->first + (int)code);
}

/* The grid that just spans a range: from end to end where the type has minimums, which is where
 * codes count from 0, else with the level furthest from 0 on the end furthest from 0. */
static hb_grid grid_over(const hb_coder *coder, range r) {
  if (coder->first == 0 && !coder->table)
    return (hb_grid){(r.high - r.low) / (float)(coder->levels - 1), r.low};
  float furthest = 0;
  for (uint32_t q = 0; q < coder->levels; q++) {
    float level = level_of(coder, q);
    if (level * level > furthest * furthest) furthest = level;
  }
  return (hb_grid){(r.high > -r.low ? r.high : r.low) / furthest, 0};
}

static double cost_of(const hb_coder *coder, hb_grid grid, float x, double cost) {
  double e = (double)x - hb_grid_value(coder, grid, hb_nearest_code(coder, grid, x));
  return cost * (e * e);
}

static double cost_without(const hb_coder *coder, const float *x, const double *cost,
                           uint32_t except) {
  hb_grid grid = grid_over(coder, range_of(x, coder->step, except));
  double sum = 0;
  for (uint32_t i = 0; i < coder->step; i++)
    if (i != except) sum += cost_of(coder, grid, x[i], cost[i]);
  return sum;
}

void hb_leave_one_out(const hb_coder *coder, const float *x, const double *cost, double *falls) {
  range all = range_of(x, coder->step, coder->step);
  hb_grid grid = grid_over(coder, all);
  double sum = 0;
  for (uint32_t i = 0; i < coder->step; i++) {
    falls[i] = cost_of(coder, grid, x[i], cost[i]);
    sum += falls[i];
  }
  /* The grid stays unless an end of the range goes. */
  for (uint32_t i = 0; i < coder->step; i++)
    if (x[i] == all.low || x[i] == all.high) falls[i] = sum - cost_without(coder, x, cost, i);
}

/* ---- Scores ---- */

typedef struct scoring {
  const hb_matrix_job *job;
  const double *costs; /* [cols] */
  float *scores;       /* [rows][cols], none negative */
} scoring;

static void score_rows(void *context, uint32_t first, uint32_t end) {
  const scoring *s = context;
  const hb_coder *coder = s->job->coder;
  uint32_t cols = s->job->cols;
  float x[HB_CODER_MOST_VALUES];
  double falls[HB_CODER_MOST_VALUES];
  for (uint32_t row = first; row < end; row++)
    for (uint32_t at = 0; at < cols; at += coder->step) {
      size_t place = (size_t)row * cols + at;
      for (uint32_t i = 0; i < coder->step; i++)
        x[i] = s->costs[at + i] > 0 ? s->job->weights[place + i] : 0;
      hb_leave_one_out(coder, x, s->costs + at, falls);
      for (uint32_t i = 0; i < coder->step; i++)
        s->scores[place + i] = falls[i] > 0 ? (float)falls[i] : 0;
    }
}

/* What an error of 1 in each column costs once later columns have made good for it. */
static void find_costs(const hb_hessian *h, double *costs) {
  for (uint32_t i = 0; i < h->n; i++) {
    double l = h->factor[(size_t)i * h->n + i];
    uint32_t column = h->order[i];
    costs[column] = h->importance[column] > 0 ? l * l : 0;
  }
}

static hb_status choose_outliers(const hb_matrix_job *job, const hb_hessian *h, hb_outliers *out,
                                 hb_error *error) {
  uint64_t values = (uint64_t)job->rows * job->cols;
  uint64_t costs_bytes = job->cols * sizeof(double), scores_bytes = values * sizeof(float);
  double *costs = hb_allocate(job->allocator, costs_bytes);
  float *scores = hb_allocate(job->allocator, scores_bytes);
  hb_status status;
  if (costs && scores) {
    find_costs(h, costs);
    hb_divide(job->parallel, job->rows, score_rows, &(scoring){job, costs, scores});
    status = hb_outliers_choose(job, scores, out, error);
  } else {
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to choose outliers");
  }
  hb_release(job->allocator, scores, scores_bytes);
  hb_release(job->allocator, costs, costs_bytes);
  return status;
}

/* ---- The whole ---- */

static void add_outliers(const hb_matrix_job *job, const hb_outliers *o) {
  for (uint32_t row = 0; row < job->rows; row++)
    for (uint32_t i = o->starts[row]; i < o->starts[row + 1]; i++)
      job->weights[(size_t)row * job->cols + o->columns[i]] += hb_f32_of_f16(o->values[i]);
}

static hb_status round_with_outliers(const hb_matrix_job *job, const hb_hessian *h,
                                     hb_outliers *outliers, double *losses, hb_error *error) {
  HB_TRY(choose_outliers(job, h, outliers, error));
  hb_compensation c = {.job = job, .hessian = h, .outliers = outliers, .losses = losses};
  HB_TRY(hb_compensate(&c, error));
  hb_matrix_decode(job);
  add_outliers(job, outliers);
  return HB_OK;
}

hb_status hb_matrix_spqr(const hb_matrix_job *job, const hb_spqr_options *options,
                         hb_outliers *outliers, hb_spqr_report *report, hb_error *error) {
  double damping = options->damping > 0 ? options->damping : 0.01;
  hb_hessian h;
  *report = (hb_spqr_report){0};
  HB_TRY(hb_compensate_check(job, error));
  HB_TRY(hb_outliers_check(job, error));
  HB_TRY(hb_outlier_count(job->rows, job->cols, options->fraction, &outliers->count, error));
  HB_TRY(hb_hessian_create(job, HB_COLUMNS_FALLING, damping, &h, error));
  if (h.damping == 0) hb_hessian_forget(&h);
  uint64_t bytes = job->rows * sizeof(double);
  double *losses = hb_allocate(job->allocator, bytes);
  hb_status status = losses ? round_with_outliers(job, &h, outliers, losses, error)
                            : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the losses");
  if (status == HB_OK && h.damping > 0) {
    report->damping = h.damping;
    for (uint32_t row = 0; row < job->rows; row++) report->loss += losses[row];
  }
  hb_release(job->allocator, losses, bytes);
  hb_hessian_release(&h);
  return status;
}
