#include "compress/refine.h"
#include "base/half.h"
#include "compress/compensate.h"
#include "compress/divide.h"
#include "compress/search.h"
#include "compress/tile.h"
#include "quant/quant.h"

/* How often codes are gone through before scales are chosen, and how often scales. Most of what can
 * be won is won by then. */
enum { SWEEPS = 6, ROUNDS = 2 };

/* Rows whose first products with H are found together, in slices of H. */
enum { LANES = HB_TILE_COLS, SLICE = 32, DEPTH = 128 };

/* A row at work. The loss as a function of a value v[i] falls fastest at slope[i] = (H e)[i]. */
typedef struct refined {
  const hb_matrix_job *job;
  double added;   /* to the diagonal of H */
  uint8_t *block; /* the row's first */
  double *e;      /* [n]: wanted - v */
  double *slope;  /* [n] */
  float *v;       /* [n]: what the codes stand for */
  uint8_t *codes; /* [n] */
  hb_grid *grids; /* [n / step] */
} refined;

typedef struct work {
  const hb_matrix_job *job;
  hb_tiles tiles;
  double added;
  double *before, *after; /* [rows] */
  uint8_t *room;          /* of the workers */
  uint64_t worker_bytes;
  uint32_t workers;
} work;

/* ---- Moving values ---- */

static void set_value(const refined *r, uint32_t i, float value) {
  uint32_t n = r->job->cols;
  const double *h = r->job->gram + (size_t)i * n;
  double d = (double)r->v[i] - value;
  if (d == 0) return;
  r->v[i] = value;
  r->e[i] += d;
  for (uint32_t j = 0; j < n; j++) r->slope[j] += h[j] * d;
  r->slope[i] += r->added * d;
}

/* How far to go along a direction x[count] of the values from `first` on. */
static double best_step(const refined *r, uint32_t first, uint32_t count, const float *x) {
  double falls = 0, bends = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (x[i] == 0) continue;
    const double *h = r->job->gram + (size_t)(first + i) * r->job->cols + first;
    double sum = r->added * x[i];
    for (uint32_t j = 0; j < count; j++) sum += h[j] * x[j];
    bends += x[i] * sum;
    falls += x[i] * r->slope[first + i];
  }
  return bends > 0 ? falls / bends : 0;
}

/* ---- Codes ---- */

static uint32_t choose_codes(const refined *r) {
  const hb_coder *c = r->job->coder;
  uint32_t n = r->job->cols, changes = 0;
  for (uint32_t i = 0; i < n; i++) {
    double own = r->job->gram[(size_t)i * n + i];
    if (own == 0) continue;
    hb_grid grid = r->grids[i / c->step];
    uint8_t code = hb_nearest_code(c, grid, (float)(r->v[i] + r->slope[i] / (own + r->added)));
    if (code == r->codes[i]) continue;
    r->codes[i] = code;
    set_value(r, i, hb_grid_value(c, grid, code));
    changes++;
  }
  return changes;
}

/* ---- Parameters ---- */

static uint8_t *block_of(const refined *r, uint32_t first) {
  return r->block + first / r->job->coder->values * r->job->coder->block_bytes;
}

static void set_parameters(const refined *r, uint32_t first, const hb_super *p) {
  const hb_coder *c = r->job->coder;
  hb_grid *grids = r->grids + first / c->step;
  c->parameters->store(p, block_of(r, first));
  c->grids(block_of(r, first), grids);
  for (uint32_t i = 0; i < c->values; i++)
    set_value(r, first + i, hb_grid_value(c, grids[i / c->step], r->codes[first + i]));
}

static int16_t whole_scale(const hb_parameters *p, double x) {
  if (!(x > p->low)) return p->low;
  if (x >= p->high) return p->high;
  return (int16_t)(x < 0 ? x - 0.5 : x + 0.5);
}

/* The levels of a part, or -1 for each value where the part's minimum is looked for. */
static void find_direction(const refined *r, uint32_t first, bool minimum, float *x) {
  const hb_coder *c = r->job->coder;
  for (uint32_t i = 0; i < c->step; i++) {
    int code = r->codes[first + i];
    x[i] = (float)(minimum ? -1 : c->table ? c->table[code] : c->first + code);
  }
}

/* The scale (or minimum) of part k. */
static void choose_scale(const refined *r, uint32_t first, uint32_t k, bool minimum, hb_super *p) {
  const hb_coder *c = r->job->coder;
  float x[HB_CODER_MOST_VALUES];
  double unit = hb_f32_of_f16(minimum ? p->dmin : p->d);
  int16_t *scale = minimum ? &p->minima[k] : &p->scales[k];
  if (unit == 0) return;
  find_direction(r, first + k * c->step, minimum, x);
  double step = best_step(r, first + k * c->step, c->step, x) / unit;
  int16_t wanted = whole_scale(c->parameters, *scale + step);
  if (wanted == *scale) return;
  *scale = wanted;
  set_parameters(r, first, p);
}

/* The factor of all scales (or minima) of a block. */
static void choose_unit(const refined *r, uint32_t first, bool minima, hb_super *p) {
  const hb_coder *c = r->job->coder;
  float x[HB_CODER_MOST_VALUES];
  uint16_t *unit = minima ? &p->dmin : &p->d;
  for (uint32_t k = 0; k < c->values / c->step; k++) {
    find_direction(r, first + k * c->step, minima, x + k * c->step);
    for (uint32_t i = 0; i < c->step; i++)
      x[k * c->step + i] *= (float)(minima ? p->minima[k] : p->scales[k]);
  }
  double step = best_step(r, first, c->values, x);
  uint16_t wanted = hb_finite_f16((float)(hb_f32_of_f16(*unit) + step));
  if (step == 0 || wanted == *unit) return;
  *unit = wanted;
  set_parameters(r, first, p);
}

static void choose_parameters(const refined *r) {
  const hb_coder *c = r->job->coder;
  for (uint32_t first = 0; first < r->job->cols; first += c->values) {
    hb_super p;
    c->parameters->load(block_of(r, first), &p);
    for (int minima = 0; minima <= c->parameters->minima; minima++) {
      for (uint32_t k = 0; k < (uint32_t)(c->values / c->step); k++)
        choose_scale(r, first, k, minima, &p);
      choose_unit(r, first, minima, &p);
    }
  }
}

/* ---- Rows ---- */

static double loss_of(const refined *r) {
  double sum = 0;
  for (uint32_t i = 0; i < r->job->cols; i++) sum += r->e[i] * r->slope[i];
  return sum;
}

static void refine_row(const refined *r) {
  const hb_coder *c = r->job->coder;
  for (int round = 0;; round++) {
    int sweep = 0;
    while (sweep < SWEEPS && choose_codes(r) > 0) sweep++;
    if (round == ROUNDS || !c->parameters) break;
    choose_parameters(r);
  }
  for (uint32_t i = 0; i < r->job->cols; i += c->values) c->put(r->codes + i, block_of(r, i));
}

/* The codes of a row and what they stand for. */
static void read_row(const refined *r, uint32_t row) {
  const hb_coder *c = r->job->coder;
  uint32_t n = r->job->cols;
  const float *wanted = r->job->weights + (size_t)row * n;
  const hb_type_traits *traits = hb_traits(c->type);
  size_t blocks = n / c->values;
  if (traits->sharing_blocks > 0) blocks *= traits->sharing_blocks; /* a coder's block holds all */
  traits->decode(r->block, r->v, blocks);
  for (uint32_t i = 0; i < n; i += c->values) c->grids(block_of(r, i), r->grids + i / c->step);
  for (uint32_t i = 0; i < n; i++) {
    r->codes[i] = hb_nearest_code(c, r->grids[i / c->step], r->v[i]);
    r->e[i] = (double)wanted[i] - r->v[i];
  }
}

/* ---- Panels ---- */

/* sums[n][LANES] = H errors, errors [n][LANES]. */
static void multiply(const work *w, const double *errors, double *sums, double *slice) {
  uint32_t n = w->job->cols;
  memset(sums, 0, (size_t)n * LANES * sizeof *sums);
  for (uint32_t place = 0; place < n; place += SLICE) {
    uint32_t width = n - place < SLICE ? n - place : SLICE;
    for (uint32_t t = 0; t < n; t += DEPTH) {
      uint32_t depth = n - t < DEPTH ? n - t : DEPTH;
      for (uint32_t k = 0; k < depth; k++)
        memcpy(slice + k * SLICE, w->job->gram + (size_t)(t + k) * n + place,
               width * sizeof *slice);
      for (uint32_t i = 0; i < width; i += HB_TILE_ROWS)
        w->tiles.add(&(hb_tile){slice + i, errors + (size_t)t * LANES,
                                sums + (size_t)(place + i) * LANES, SLICE, LANES, LANES, depth});
    }
  }
  for (size_t i = 0; i < (size_t)n * LANES; i++) sums[i] += w->added * errors[i];
}

/* Where a worker has what: measured while there is no room. */
typedef struct panel {
  refined row;
  double *errors, *sums, *slice;
} panel;

static uint64_t lay_out(const work *w, uint8_t *room, panel *p) {
  uint64_t used = 0, n = w->job->cols;
  *p = (panel){.row = {.job = w->job, .added = w->added}};
  p->errors = hb_take(room, &used, n * LANES * sizeof(double));
  p->sums = hb_take(room, &used, n * LANES * sizeof(double));
  p->slice = hb_take(room, &used, SLICE * DEPTH * sizeof(double));
  p->row.e = hb_take(room, &used, n * sizeof(double));
  p->row.slope = hb_take(room, &used, n * sizeof(double));
  p->row.v = hb_take(room, &used, n * sizeof(float));
  p->row.grids = hb_take(room, &used, n / w->job->coder->step * sizeof(hb_grid));
  p->row.codes = hb_take(room, &used, n);
  return used;
}

static void refine_panel(const work *w, panel *p, uint32_t first, uint32_t rows) {
  uint32_t n = w->job->cols;
  size_t row_bytes = (size_t)n / w->job->coder->values * w->job->coder->block_bytes;
  memset(p->errors, 0, (size_t)n * LANES * sizeof(double));
  for (uint32_t lane = 0; lane < rows; lane++) {
    p->row.block = w->job->blocks + (first + lane) * row_bytes;
    read_row(&p->row, first + lane);
    for (uint32_t i = 0; i < n; i++) p->errors[i * LANES + lane] = p->row.e[i];
  }
  multiply(w, p->errors, p->sums, p->slice);
  for (uint32_t lane = 0; lane < rows; lane++) {
    p->row.block = w->job->blocks + (first + lane) * row_bytes;
    read_row(&p->row, first + lane);
    for (uint32_t i = 0; i < n; i++) p->row.slope[i] = p->sums[i * LANES + lane];
    w->before[first + lane] = loss_of(&p->row);
    refine_row(&p->row);
    w->after[first + lane] = loss_of(&p->row);
  }
}

static void run_workers(void *context, uint32_t first, uint32_t end) {
  const work *w = context;
  uint32_t rows = w->job->rows;
  for (uint32_t worker = first; worker < end; worker++) {
    panel p;
    lay_out(w, w->room + worker * w->worker_bytes, &p);
    for (uint64_t row = (uint64_t)worker * LANES; row < rows; row += (uint64_t)w->workers * LANES)
      refine_panel(w, &p, (uint32_t)row, rows - row < LANES ? rows - (uint32_t)row : LANES);
  }
}

/* ---- The whole ---- */

static double mean_diagonal(const hb_matrix_job *job) {
  double sum = 0;
  uint32_t live = 0;
  for (uint32_t i = 0; i < job->cols; i++) {
    double own = job->gram[(size_t)i * job->cols + i];
    sum += own;
    live += own != 0;
  }
  return live ? sum / live : 0;
}

hb_status hb_matrix_refine(const hb_matrix_job *job, double damping, hb_refine_report *report,
                           hb_error *error) {
  *report = (hb_refine_report){0};
  HB_TRY(hb_compensate_check(job, error));
  work w = {.job = job, .tiles = hb_tiles_best(), .added = damping * mean_diagonal(job)};
  w.workers = job->parallel ? job->parallel->threads : 1;
  panel measured;
  w.worker_bytes = lay_out(&w, NULL, &measured);
  uint64_t losses = job->rows * sizeof(double), bytes = w.worker_bytes * w.workers + 2 * losses;
  w.room = hb_allocate(job->allocator, bytes);
  if (!w.room)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to refine rows of %u columns",
                   (uint64_t)job->cols);
  w.before = (double *)(void *)(w.room + w.worker_bytes * w.workers);
  w.after = w.before + job->rows;
  hb_divide(job->parallel, w.workers, run_workers, &w);
  for (uint32_t row = 0; row < job->rows; row++) {
    report->before += w.before[row];
    report->after += w.after[row];
  }
  hb_release(job->allocator, w.room, bytes);
  return HB_OK;
}
