#include "compress/compensate.h"
#include "base/half.h"
#include "compress/divide.h"
#include "compress/tile.h"

/* Rows are independent, so a worker takes LANES of them at a time through all columns; a lane of a
 * vector is a row. Time t is that of the column at place n - 1 - t. Sums over earlier columns are
 * made late, when a column is next, for SLICE columns and DEPTH times at once. */
enum { LANES = 2 * HB_TILE_COLS, SLICE = 32, DEPTH = 128 };

/* What a worker needs, and a panel of rows fills. */
typedef struct panel {
  uint32_t row, rows; /* of the matrix; unused lanes have weights and errors 0 */
  double *errors;     /* [n, by time][LANES]: w - value */
  double *sums;       /* [a block's values, by place][LANES]: of L[k][i] e[k] over the k done */
  double *before;     /* the same over the k before the block */
  double *slice;      /* [DEPTH][SLICE] of L, by time */
  double losses[LANES];
  float *weights;    /* [LANES][a block's values]: what is fitted */
  float *importance; /* [a block's values]: of what is fitted */
  hb_grid *grids;    /* [n / step][LANES] */
  uint32_t *entries; /* [n][LANES]: 1 + number of the outlier there, or 0; NULL without outliers */
  uint8_t *codes;    /* [LANES][n] */
} panel;

typedef struct work {
  const hb_compensation *in;
  hb_tiles tiles;
  panel *panels; /* [workers] */
  uint32_t workers;
} work;

/* ---- Grids ---- */

static uint8_t *block_at(const hb_matrix_job *job, uint32_t row, uint32_t block) {
  size_t blocks = job->cols / job->coder->values;
  return job->blocks + (row * blocks + block) * job->coder->block_bytes;
}

static const float *row_at(const hb_matrix_job *job, uint32_t row) {
  return job->weights + (size_t)row * job->cols;
}

/* Chooses the parameters of a block for p->weights of a lane. Outliers and columns without input
 * count for nothing. */
static void fit_block(const work *w, panel *p, uint32_t lane, uint32_t block) {
  const hb_matrix_job *job = w->in->job;
  const hb_coder *coder = job->coder;
  uint32_t first = block * coder->values, grids = coder->values / coder->step;
  uint8_t *to = block_at(job, p->row + lane, block);
  float *x = p->weights + (size_t)lane * coder->values;
  hb_grid found[HB_CODER_MOST_GRIDS];
  for (uint32_t i = 0; i < coder->values; i++) {
    bool outlier = p->entries && p->entries[(size_t)(first + i) * LANES + lane];
    p->importance[i] = outlier ? 0 : w->in->hessian->importance[first + i];
    if (p->importance[i] == 0) x[i] = 0;
  }
  coder->fit(x, p->importance, to);
  coder->grids(to, found);
  for (uint32_t g = 0; g < grids; g++)
    p->grids[((size_t)block * grids + g) * LANES + lane] = found[g];
}

static void fit_all(const work *w, panel *p) {
  const hb_matrix_job *job = w->in->job;
  uint32_t values = job->coder->values;
  for (uint32_t lane = 0; lane < p->rows; lane++)
    for (uint32_t block = 0; block < job->cols / values; block++) {
      memcpy(p->weights + (size_t)lane * values, row_at(job, p->row + lane) + block * values,
             values * sizeof(float));
      fit_block(w, p, lane, block);
    }
}

/* ---- Sums ---- */

/* Adds to sums[i] of the `count` places from `place` on what the columns of times first .. end - 1
 * contribute. `count` is a multiple of HB_TILE_ROWS. */
static void add_products(const work *w, panel *p, uint32_t place, uint32_t count, uint32_t first,
                         uint32_t end, double *sums) {
  const hb_hessian *h = w->in->hessian;
  for (uint32_t t = first; t < end; t += DEPTH) {
    uint32_t depth = end - t < DEPTH ? end - t : DEPTH;
    for (uint32_t k = 0; k < depth; k++)
      memcpy(p->slice + k * SLICE, h->factor + (size_t)(h->n - 1 - t - k) * h->n + place,
             count * sizeof(double));
    for (uint32_t lane = 0; lane < LANES; lane += HB_TILE_COLS)
      for (uint32_t i = 0; i < count; i += HB_TILE_ROWS)
        w->tiles.add(&(hb_tile){p->slice + i, p->errors + (size_t)t * LANES + lane,
                                sums + i * LANES + lane, SLICE, LANES, LANES, depth});
  }
}

/* ---- Columns ---- */

/* The value of a code and the outlier that stands on it for the wanted value. */
static double keep_outlier(const work *w, panel *p, uint32_t lane, uint32_t column, hb_grid grid,
                           double wanted, uint32_t entry) {
  const hb_coder *coder = w->in->job->coder;
  uint8_t code = hb_nearest_code(coder, grid, 0);
  double dense = hb_grid_value(coder, grid, code);
  float rest = (float)(wanted - dense);
  if (rest > 65504.0f) rest = 65504.0f;
  if (rest < -65504.0f) rest = -65504.0f;
  uint16_t half = hb_f16_of_f32(rest);
  p->codes[(size_t)lane * w->in->hessian->n + column] = code;
  w->in->outliers->values[entry] = half;
  return dense + hb_f32_of_f16(half);
}

static double round_weight(const work *w, panel *p, uint32_t lane, uint32_t column, double wanted) {
  const hb_coder *coder = w->in->job->coder;
  hb_grid grid = p->grids[(size_t)(column / coder->step) * LANES + lane];
  uint32_t entry = p->entries ? p->entries[(size_t)column * LANES + lane] : 0;
  if (entry) return keep_outlier(w, p, lane, column, grid, wanted, entry - 1);
  uint8_t code = hb_nearest_code(coder, grid, (float)wanted);
  p->codes[(size_t)lane * w->in->hessian->n + column] = code;
  return hb_grid_value(coder, grid, code);
}

/* The column at a place, given its sums. */
static void round_column(const work *w, panel *p, uint32_t place, const double *sums) {
  const hb_hessian *h = w->in->hessian;
  uint32_t column = h->order[place];
  double diagonal = h->factor[(size_t)place * h->n + place];
  double *errors = p->errors + (size_t)(h->n - 1 - place) * LANES;
  if (h->importance[column] == 0) { /* whatever it holds meets zeros only */
    for (uint32_t lane = 0; lane < p->rows; lane++) round_weight(w, p, lane, column, 0);
    return;
  }
  for (uint32_t lane = 0; lane < p->rows; lane++) {
    double weight = row_at(w->in->job, p->row + lane)[column];
    double wanted = weight + sums[lane] / diagonal;
    double value = round_weight(w, p, lane, column, wanted);
    double loss = diagonal * (wanted - value);
    errors[lane] = weight - value;
    p->losses[lane] += loss * loss;
  }
}

/* What the weights of a column become, so that its own term vanishes. */
static void shift_column(const work *w, panel *p, uint32_t place, const double *sums) {
  const hb_hessian *h = w->in->hessian;
  uint32_t column = h->order[place], values = w->in->job->coder->values;
  double diagonal = h->factor[(size_t)place * h->n + place];
  double *errors = p->errors + (size_t)(h->n - 1 - place) * LANES;
  for (uint32_t lane = 0; lane < p->rows; lane++) {
    double weight = row_at(w->in->job, p->row + lane)[column];
    double shift = sums[lane] / diagonal;
    errors[lane] = -shift;
    p->weights[(size_t)lane * values + column % values] = (float)(weight + shift);
  }
}

typedef void column_step(const work *w, panel *p, uint32_t place, const double *sums);

/* A block's count of places from `place` on, of which p->before has the sums, from the last to the
 * first. */
static void visit(const work *w, panel *p, uint32_t place, column_step *step) {
  const hb_hessian *h = w->in->hessian;
  uint32_t values = w->in->job->coder->values, n = h->n, start = n - place - values;
  memcpy(p->sums, p->before, (size_t)values * LANES * sizeof(double));
  for (uint32_t end = values; end > 0;) {
    uint32_t slice = (end - 1) / SLICE * SLICE; /* where the slice with the last place begins */
    double *sums = p->sums + slice * LANES;
    add_products(w, p, place + slice, end - slice, start, n - place - end, sums);
    for (uint32_t i = end; i > slice; i--) {
      const double *l = h->factor + (size_t)(place + i - 1) * n + place;
      const double *errors = p->errors + (size_t)(n - place - i) * LANES;
      step(w, p, place + i - 1, p->sums + (i - 1) * LANES);
      uint32_t tile = (i - 1) / HB_TILE_ROWS * HB_TILE_ROWS;
      for (uint32_t j = tile; j < i - 1; j++)
        for (uint32_t lane = 0; lane < LANES; lane++)
          p->sums[j * LANES + lane] += l[j] * errors[lane];
      if (tile == i - 1 && tile > slice) {
        uint32_t next = tile - HB_TILE_ROWS;
        add_products(w, p, place + next, HB_TILE_ROWS, n - place - end, n - place - tile,
                     p->sums + next * LANES);
      }
    }
    end = slice;
  }
}

/* ---- Panels ---- */

static void find_entries(const work *w, panel *p) {
  const hb_outliers *o = w->in->outliers;
  memset(p->entries, 0, (size_t)w->in->hessian->n * LANES * sizeof *p->entries);
  for (uint32_t lane = 0; lane < p->rows; lane++)
    for (uint32_t i = o->starts[p->row + lane]; i < o->starts[p->row + lane + 1]; i++)
      p->entries[(size_t)o->columns[i] * LANES + lane] = i + 1;
}

static void store_rows(const work *w, const panel *p) {
  const hb_matrix_job *job = w->in->job;
  uint32_t values = job->coder->values;
  for (uint32_t lane = 0; lane < p->rows; lane++) {
    for (uint32_t block = 0; block < job->cols / values; block++)
      job->coder->put(p->codes + (size_t)lane * job->cols + block * values,
                      block_at(job, p->row + lane, block));
    w->in->losses[p->row + lane] = p->losses[lane];
  }
}

static void round_panel(const work *w, panel *p) {
  const hb_matrix_job *job = w->in->job;
  bool natural = w->in->hessian->columns == HB_COLUMNS_NATURAL;
  uint32_t values = job->coder->values;
  size_t sums_bytes = (size_t)values * LANES * sizeof(double);
  memset(p->losses, 0, sizeof p->losses);
  memset(p->errors, 0, (size_t)job->cols * LANES * sizeof(double));
  if (p->entries) find_entries(w, p);
  if (!natural) fit_all(w, p);
  for (uint32_t place = job->cols; place > 0;) {
    uint32_t end = job->cols - place;
    place -= values;
    memset(p->before, 0, sums_bytes);
    for (uint32_t i = 0; i < values; i += SLICE)
      add_products(w, p, place + i, values - i < SLICE ? values - i : SLICE, 0, end,
                   p->before + i * LANES);
    if (natural) {
      visit(w, p, place, shift_column);
      for (uint32_t lane = 0; lane < p->rows; lane++) fit_block(w, p, lane, end / values);
    }
    visit(w, p, place, round_column);
  }
  store_rows(w, p);
}

static void run_workers(void *context, uint32_t first, uint32_t end) {
  const work *w = context;
  uint32_t rows = w->in->job->rows;
  for (uint32_t worker = first; worker < end; worker++) {
    panel *p = &w->panels[worker];
    for (uint64_t row = (uint64_t)worker * LANES; row < rows; row += (uint64_t)w->workers * LANES) {
      p->row = (uint32_t)row;
      p->rows = rows - p->row < LANES ? rows - p->row : LANES;
      round_panel(w, p);
    }
  }
}

/* ---- Memory ---- */

/* Gives each worker its part of a block; returns how large it is. */
static uint64_t lay_out(work *w, uint8_t *block) {
  const hb_coder *coder = w->in->job->coder;
  uint64_t used = 0, n = w->in->job->cols, values = coder->values;
  w->panels = hb_take(block, &used, w->workers * sizeof *w->panels);
  for (uint32_t i = 0; i < w->workers; i++) {
    panel p = {.errors = hb_take(block, &used, n * LANES * sizeof(double)),
               .sums = hb_take(block, &used, values * LANES * sizeof(double)),
               .before = hb_take(block, &used, values * LANES * sizeof(double)),
               .slice = hb_take(block, &used, SLICE * DEPTH * sizeof(double)),
               .weights = hb_take(block, &used, values * LANES * sizeof(float)),
               .importance = hb_take(block, &used, values * sizeof(float)),
               .grids = hb_take(block, &used, n / coder->step * LANES * sizeof(hb_grid)),
               .codes = hb_take(block, &used, n * LANES)};
    if (w->in->outliers) p.entries = hb_take(block, &used, n * LANES * sizeof(uint32_t));
    if (block) w->panels[i] = p;
  }
  return used;
}

/* ---- The whole ---- */

hb_status hb_compensate_check(const hb_matrix_job *job, hb_error *error) {
  HB_TRY(hb_matrix_check(job, error));
  if (!job->gram)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "there are no statistics of the inputs");
  if (job->coder->values % HB_TILE_ROWS != 0)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "blocks of %u values cannot be compensated",
                   (uint64_t)job->coder->values);
  return HB_OK;
}

hb_status hb_compensate(const hb_compensation *in, hb_error *error) {
  const hb_matrix_job *job = in->job;
  work w = {.in = in, .tiles = hb_tiles_best()};
  uint32_t panels = job->rows / LANES + (job->rows % LANES != 0);
  w.workers = job->parallel && job->parallel->threads < panels ? job->parallel->threads : panels;
  if (!job->parallel || w.workers == 0) w.workers = 1;
  uint64_t bytes = lay_out(&w, NULL);
  uint8_t *block = hb_allocate(job->allocator, bytes);
  if (!block)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to round rows of %u columns",
                   (uint64_t)job->cols);
  lay_out(&w, block);
  hb_divide(job->parallel, w.workers, run_workers, &w);
  hb_release(job->allocator, block, bytes);
  return HB_OK;
}
