#include "compress/product.h"
#include "compress/divide.h"
#include "compress/tile.h"

enum { DEPTH = 128 }; /* rows added at once */

uint32_t hb_product_stride(uint32_t columns) {
  return columns / HB_TILE_COLS * HB_TILE_COLS +
         (columns % HB_TILE_COLS != 0 ? (uint32_t)HB_TILE_COLS : 0);
}

static hb_status no_memory(uint32_t n, hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for products of %u inputs",
                 (uint64_t)n);
}

/* ---- Sums over inputs ---- */

typedef struct addition {
  hb_tiles tiles;
  double *out;
  const double *left, *right; /* [depth][n], [depth][stride] */
  uint32_t n, stride, depth;
} addition;

static void add_tiles(void *context, uint32_t first, uint32_t end) {
  const addition *a = context;
  for (uint32_t i = first; i < end; i++)
    for (uint32_t j = 0; j < a->stride; j += HB_TILE_COLS) {
      uint32_t row = i * HB_TILE_ROWS;
      a->tiles.add(&(hb_tile){a->left + row, a->right + j, a->out + (size_t)row * a->stride + j,
                              a->n, a->stride, a->stride, a->depth});
    }
}

static void widen(const float *x, size_t x_stride, const float *y, size_t y_stride, uint32_t count,
                  uint32_t n, uint32_t stride, double *left, double *right) {
  for (uint32_t k = 0; k < count; k++)
    for (uint32_t i = 0; i < n; i++) {
      right[(size_t)k * stride + i] = y[k * y_stride + i];
      left[(size_t)k * n + i] = (double)x[k * x_stride + i] - y[k * y_stride + i];
    }
}

hb_status hb_product_add_drift(const hb_allocator *allocator, const hb_parallel *parallel,
                               double *out, uint32_t n, const float *x, size_t x_stride,
                               const float *y, size_t y_stride, uint32_t count, hb_error *error) {
  uint32_t stride = hb_product_stride(n);
  uint64_t left_bytes = (uint64_t)DEPTH * n * sizeof(double);
  uint64_t right_bytes = (uint64_t)DEPTH * stride * sizeof(double);
  double *left = hb_allocate(allocator, left_bytes);
  double *right = hb_allocate_zero(allocator, right_bytes); /* padding stays 0 */
  hb_status status = left && right ? HB_OK : no_memory(n, error);
  for (uint32_t at = 0; status == HB_OK && at < count; at += DEPTH) {
    uint32_t depth = count - at < DEPTH ? count - at : DEPTH;
    addition a = {hb_tiles_best(), out, left, right, n, stride, depth};
    widen(x + at * x_stride, x_stride, y + at * y_stride, y_stride, depth, n, stride, left, right);
    hb_divide(parallel, n / HB_TILE_ROWS, add_tiles, &a);
  }
  hb_release(allocator, left, left_bytes);
  hb_release(allocator, right, right_bytes);
  return status;
}

/* ---- Solutions ---- */

typedef struct solution {
  hb_tiles tiles;
  const double *factor; /* L below the diagonal and on it, L^T above */
  double *rows, *room;  /* [n][stride]; [workers][n][HB_TILE_COLS] */
  uint32_t n, stride, workers;
} solution;

/* x[i] = (x[i] - sum over the solved k of l[k][i] x[k]) / l[i][i], for eight i from `first` on,
 * from the last to the first if `back`. Each x[i] has a lane for each row that is solved. */
static void solve_square(const solution *s, uint32_t first, bool back, double *x) {
  for (uint32_t step = 0; step < HB_TILE_ROWS; step++) {
    uint32_t i = first + (back ? HB_TILE_ROWS - 1 - step : step);
    uint32_t from = back ? i + 1 : first, to = back ? first + HB_TILE_ROWS : i;
    double *row = x + (size_t)i * HB_TILE_COLS;
    for (uint32_t k = from; k < to; k++) {
      double l = s->factor[(size_t)k * s->n + i];
      for (uint32_t c = 0; c < HB_TILE_COLS; c++) row[c] -= l * x[(size_t)k * HB_TILE_COLS + c];
    }
    double diagonal = s->factor[(size_t)i * s->n + i];
    for (uint32_t c = 0; c < HB_TILE_COLS; c++) row[c] /= diagonal;
  }
}

/* L (L^T x) = x, in place. */
static void solve_panel(const solution *s, double *x) {
  uint32_t n = s->n;
  for (uint32_t i = 0; i < n; i += HB_TILE_ROWS) {
    s->tiles.subtract(&(hb_tile){s->factor + i, x, x + (size_t)i * HB_TILE_COLS, n, HB_TILE_COLS,
                                 HB_TILE_COLS, i});
    solve_square(s, i, false, x);
  }
  for (uint32_t end = n; end > 0; end -= HB_TILE_ROWS) {
    uint32_t i = end - HB_TILE_ROWS;
    s->tiles.subtract(&(hb_tile){s->factor + (size_t)end * n + i, x + (size_t)end * HB_TILE_COLS,
                                 x + (size_t)i * HB_TILE_COLS, n, HB_TILE_COLS, HB_TILE_COLS,
                                 n - end});
    solve_square(s, i, true, x);
  }
}

static void solve_workers(void *context, uint32_t first, uint32_t end) {
  const solution *s = context;
  for (uint32_t worker = first; worker < end; worker++) {
    double *x = s->room + (size_t)worker * s->n * HB_TILE_COLS;
    for (uint64_t row = (uint64_t)worker * HB_TILE_COLS; row < s->n;
         row += (uint64_t)s->workers * HB_TILE_COLS) {
      uint32_t lanes = s->n - row < HB_TILE_COLS ? (uint32_t)(s->n - row) : HB_TILE_COLS;
      memset(x, 0, (size_t)s->n * HB_TILE_COLS * sizeof *x);
      for (uint32_t c = 0; c < lanes; c++)
        for (uint32_t i = 0; i < s->n; i++)
          x[(size_t)i * HB_TILE_COLS + c] = s->rows[(row + c) * s->stride + i];
      solve_panel(s, x);
      for (uint32_t c = 0; c < lanes; c++)
        for (uint32_t i = 0; i < s->n; i++)
          s->rows[(row + c) * s->stride + i] = x[(size_t)i * HB_TILE_COLS + c];
    }
  }
}

hb_status hb_product_solve(const hb_allocator *allocator, const hb_parallel *parallel,
                           const double *factor, uint32_t n, double *rows, hb_error *error) {
  solution s = {hb_tiles_best(), factor, rows, NULL, n, hb_product_stride(n), 1};
  if (parallel) s.workers = parallel->threads;
  uint64_t bytes = (uint64_t)s.workers * n * HB_TILE_COLS * sizeof(double);
  s.room = hb_allocate(allocator, bytes);
  if (!s.room) return no_memory(n, error);
  hb_divide(parallel, s.workers, solve_workers, &s);
  hb_release(allocator, s.room, bytes);
  return HB_OK;
}

/* ---- Weights ---- */

typedef struct moving {
  hb_tiles tiles;
  const double *m; /* [n][stride] */
  float *w;
  double *room; /* [workers]: of a panel, its rows [n][HB_TILE_ROWS] and their sums [..][stride] */
  uint32_t n, stride, rows, workers;
} moving;

static size_t moving_room(const moving *v) {
  return (size_t)HB_TILE_ROWS * (v->n + v->stride);
}

static void move_panel(const moving *v, uint32_t row, double *room) {
  uint32_t rows = v->rows - row < HB_TILE_ROWS ? v->rows - row : HB_TILE_ROWS;
  double *left = room, *sums = room + (size_t)HB_TILE_ROWS * v->n;
  memset(room, 0, moving_room(v) * sizeof *room);
  for (uint32_t i = 0; i < rows; i++)
    for (uint32_t k = 0; k < v->n; k++)
      left[(size_t)k * HB_TILE_ROWS + i] = v->w[(size_t)(row + i) * v->n + k];
  for (uint32_t j = 0; j < v->stride; j += HB_TILE_COLS)
    v->tiles.add(&(hb_tile){left, v->m + j, sums + j, HB_TILE_ROWS, v->stride, v->stride, v->n});
  for (uint32_t i = 0; i < rows; i++) {
    float *w = v->w + (size_t)(row + i) * v->n;
    for (uint32_t j = 0; j < v->n; j++) w[j] = (float)(w[j] + sums[(size_t)i * v->stride + j]);
  }
}

static void move_workers(void *context, uint32_t first, uint32_t end) {
  const moving *v = context;
  for (uint32_t worker = first; worker < end; worker++)
    for (uint64_t row = (uint64_t)worker * HB_TILE_ROWS; row < v->rows;
         row += (uint64_t)v->workers * HB_TILE_ROWS)
      move_panel(v, (uint32_t)row, v->room + worker * moving_room(v));
}

hb_status hb_product_move(const hb_allocator *allocator, const hb_parallel *parallel,
                          const double *m, uint32_t n, float *w, uint32_t rows, hb_error *error) {
  moving v = {hb_tiles_best(), m, w, NULL, n, hb_product_stride(n), rows, 1};
  if (parallel) v.workers = parallel->threads;
  uint64_t bytes = v.workers * moving_room(&v) * sizeof(double);
  v.room = hb_allocate(allocator, bytes);
  if (!v.room) return no_memory(n, error);
  hb_divide(parallel, v.workers, move_workers, &v);
  hb_release(allocator, v.room, bytes);
  return HB_OK;
}
