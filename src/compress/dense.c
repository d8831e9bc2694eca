#include "compress/dense.h"
#include "compress/divide.h"
#include "compress/tile.h"

#include <float.h>

enum {
  PANEL = 4 * HB_TILE_COLS, /* rows of the factor found at once: whole tiles both ways */
  MOST_DEPTH = 256,         /* rows added at once */
  GROUP = 4                 /* strips that a worker takes at once, and keeps in its cache */
};

/* ---- Strips ---- */

/* `depth` rows of a matrix from column `first` on, cut into strips as wide as a tile:
 * [strips][depth][HB_TILE_COLS], with 0 for columns that the matrix lacks. */
typedef struct strips {
  double *data;
  uint32_t depth, first, n;
} strips;

/* Work on strips, divided over threads. */
typedef struct strip_work {
  hb_tiles tiles;
  strips strips;
  uint32_t workers;
  void (*body)(const struct strip_work *work, uint32_t first, uint32_t end);

  double *matrix; /* [n][n] */
  const float *x; /* [depth] rows, `stride` apart, for hb_gram_add */
  size_t stride;
} strip_work;

static uint32_t strip_count(uint32_t columns) {
  return columns / HB_TILE_COLS + (columns % HB_TILE_COLS != 0);
}

static uint64_t strips_bytes(uint32_t n, uint32_t depth) {
  return (uint64_t)strip_count(n) * HB_TILE_COLS * depth * sizeof(double);
}

static double *strip_at(const strips *s, uint32_t strip) {
  return s->data + (size_t)strip * s->depth * HB_TILE_COLS;
}

static uint32_t strip_column(const strips *s, uint32_t strip) {
  return s->first + strip * HB_TILE_COLS;
}

/* The columns of a strip that the matrix has. */
static uint32_t strip_width(const strips *s, uint32_t strip) {
  uint32_t left = s->n - strip_column(s, strip);
  return left < HB_TILE_COLS ? left : HB_TILE_COLS;
}

/* Later groups of strips are more work, so each worker takes every `workers`th. */
static void run_workers(void *context, uint32_t first, uint32_t end) {
  const strip_work *w = context;
  uint32_t count = strip_count(w->strips.n - w->strips.first);
  for (uint32_t worker = first; worker < end; worker++)
    for (uint32_t s = worker * GROUP; s < count; s += w->workers * GROUP)
      w->body(w, s, count - s < GROUP ? count : s + GROUP);
}

static void for_groups(const hb_parallel *parallel, strip_work *w,
                       void (*body)(const strip_work *w, uint32_t first, uint32_t end)) {
  w->workers = parallel ? parallel->threads : 1;
  w->body = body;
  hb_divide(parallel, w->workers, run_workers, w);
}

/* ---- matrix +- strips^T strips ---- */

typedef void tile_function(const hb_tile *tile);

/* A tile that the matrix has only in part, through a whole one. */
static void run_cut_tile(tile_function *run, const hb_tile *tile, uint32_t rows, uint32_t cols) {
  double whole[HB_TILE_ROWS * HB_TILE_COLS] = {0};
  hb_tile t = *tile;
  t.c = whole;
  t.c_stride = HB_TILE_COLS;
  for (uint32_t i = 0; i < rows; i++)
    memcpy(t.c + i * t.c_stride, tile->c + i * tile->c_stride, cols * sizeof(double));
  run(&t);
  for (uint32_t i = 0; i < rows; i++)
    memcpy(tile->c + i * tile->c_stride, t.c + i * t.c_stride, cols * sizeof(double));
}

/* Updates the columns of strip `right` in the rows that strip `left`, which lies not right of it,
 * stands for: down to the diagonal, and what tiles hold beyond it. */
static void update_crossing(const strip_work *w, uint32_t left, uint32_t right,
                            tile_function *run) {
  const strips *s = &w->strips;
  uint32_t column = strip_column(s, right), width = strip_width(s, right);
  uint32_t row = strip_column(s, left), rows = strip_width(s, left);
  for (uint32_t i = 0; i < rows; i += HB_TILE_ROWS) {
    hb_tile t = {.a = strip_at(s, left) + i,
                 .b = strip_at(s, right),
                 .c = w->matrix + (size_t)(row + i) * s->n + column,
                 .a_stride = HB_TILE_COLS,
                 .b_stride = HB_TILE_COLS,
                 .c_stride = s->n,
                 .count = s->depth};
    if (rows - i >= HB_TILE_ROWS && width == HB_TILE_COLS)
      run(&t);
    else
      run_cut_tile(run, &t, rows - i < HB_TILE_ROWS ? rows - i : HB_TILE_ROWS, width);
  }
}

/* Each strip above meets all strips of the group while it is in the cache. */
static void update_group(const strip_work *w, uint32_t first, uint32_t end, tile_function *run) {
  for (uint32_t left = 0; left < end; left++)
    for (uint32_t right = left > first ? left : first; right < end; right++)
      update_crossing(w, left, right, run);
}

static void add_group(const strip_work *w, uint32_t first, uint32_t end) {
  update_group(w, first, end, w->tiles.add);
}

static void subtract_group(const strip_work *w, uint32_t first, uint32_t end) {
  update_group(w, first, end, w->tiles.subtract);
}

/* ---- Gram matrices ---- */

static void widen_strip(const strip_work *w, uint32_t strip) {
  const strips *s = &w->strips;
  uint32_t column = strip_column(s, strip), width = strip_width(s, strip);
  double *out = strip_at(s, strip);
  for (uint32_t k = 0; k < s->depth; k++, out += HB_TILE_COLS) {
    const float *x = w->x + k * w->stride + column;
    for (uint32_t j = 0; j < HB_TILE_COLS; j++) out[j] = j < width ? (double)x[j] : 0;
  }
}

static void widen_group(const strip_work *w, uint32_t first, uint32_t end) {
  for (uint32_t strip = first; strip < end; strip++) widen_strip(w, strip);
}

hb_status hb_gram_add(const hb_allocator *allocator, const hb_parallel *parallel, double *gram,
                      uint32_t n, const float *x, size_t stride, uint32_t count, hb_error *error) {
  uint64_t bytes = strips_bytes(n, count < MOST_DEPTH ? count : MOST_DEPTH);
  strip_work w = {.tiles = hb_tiles_best(), .matrix = gram, .x = x, .stride = stride};
  w.strips = (strips){.data = hb_allocate(allocator, bytes), .n = n};
  if (!w.strips.data)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for products of %u inputs",
                   (uint64_t)n);
  for (uint32_t row = 0; row < count; row += w.strips.depth) {
    w.strips.depth = count - row < MOST_DEPTH ? count - row : MOST_DEPTH;
    for_groups(parallel, &w, widen_group);
    for_groups(parallel, &w, add_group);
    w.x += w.strips.depth * stride;
  }
  hb_release(allocator, w.strips.data, bytes);
  return HB_OK;
}

/* ---- The lower triangle ---- */

typedef struct fold {
  double *matrix;
  uint32_t n;
  double divisor;
} fold;

/* Rows first .. end - 1: divides above the diagonal and copies to below it, in squares that stay in
 * the cache. */
static void mirror_rows(void *context, uint32_t first, uint32_t end) {
  const fold *f = context;
  enum { SIDE = 32 };
  for (uint32_t from = first; from < end; from += SIDE) {
    uint32_t to = end - from < SIDE ? end : from + SIDE;
    for (uint32_t column = from; column < f->n; column += SIDE) {
      uint32_t stop = f->n - column < SIDE ? f->n : column + SIDE;
      for (uint32_t i = from; i < to; i++)
        for (uint32_t j = column > i ? column : i; j < stop; j++) {
          double *upper = f->matrix + (size_t)i * f->n + j;
          *upper /= f->divisor;
          f->matrix[(size_t)j * f->n + i] = *upper;
        }
    }
  }
}

void hb_gram_finish(const hb_parallel *parallel, double *gram, uint32_t n, uint64_t count) {
  fold f = {gram, n, (double)count};
  hb_divide(parallel, n, mirror_rows, &f);
}

/* ---- Cholesky ----
 *
 * R = L^T is found from the top, PANEL rows at a time: their square on the diagonal, then the rest
 * of these rows, strip by strip, which are then subtracted from all that is below. */

typedef struct square {
  double *at; /* of the matrix, on its diagonal */
  size_t stride;
  uint32_t size, found;
} square;

static void factor_square(void *context, uint32_t first, uint32_t end) {
  square *s = context;
  (void)first;
  (void)end;
  for (s->found = 0; s->found < s->size; s->found++) {
    uint32_t k = s->found;
    double *row = s->at + k * s->stride;
    if (!(row[k] > 0 && row[k] <= DBL_MAX)) return;
    double root = __builtin_sqrt(row[k]);
    row[k] = root;
    for (uint32_t j = k + 1; j < s->size; j++) row[j] /= root;
    for (uint32_t i = k + 1; i < s->size; i++) {
      double *below = s->at + i * s->stride, factor = row[i];
      for (uint32_t j = i; j < s->size; j++) below[j] -= factor * row[j];
    }
  }
}

/* Rows of the factor right of a square: x[j] = (a[j] - R[0][j] x[0] - ...) / R[j][j]. */
static void solve_strip(const strip_work *w, uint32_t strip) {
  const strips *s = &w->strips;
  const double *r = w->matrix + (size_t)(s->first - PANEL) * s->n + (s->first - PANEL);
  uint32_t column = strip_column(s, strip), width = strip_width(s, strip);
  double *x = strip_at(s, strip), *a = w->matrix + (size_t)(s->first - PANEL) * s->n + column;
  memset(x, 0, sizeof(double) * PANEL * HB_TILE_COLS);
  for (uint32_t j = 0; j < PANEL; j++)
    memcpy(x + j * HB_TILE_COLS, a + (size_t)j * s->n, width * sizeof(double));
  for (uint32_t j = 0; j < PANEL; j++) {
    double *row = x + j * HB_TILE_COLS;
    if (j % HB_TILE_ROWS == 0)
      w->tiles.subtract(&(hb_tile){r + j, x, row, s->n, HB_TILE_COLS, HB_TILE_COLS, j});
    for (uint32_t k = j - j % HB_TILE_ROWS; k < j; k++)
      for (uint32_t c = 0; c < HB_TILE_COLS; c++)
        row[c] -= r[(size_t)k * s->n + j] * x[k * HB_TILE_COLS + c];
    for (uint32_t c = 0; c < HB_TILE_COLS; c++) row[c] /= r[(size_t)j * s->n + j];
    memcpy(a + (size_t)j * s->n, row, width * sizeof(double));
  }
}

static void solve_group(const strip_work *w, uint32_t first, uint32_t end) {
  for (uint32_t strip = first; strip < end; strip++) solve_strip(w, strip);
}

static uint32_t factor(const hb_parallel *parallel, strip_work *w) {
  strips *s = &w->strips;
  for (uint32_t row = 0; row < s->n; row += PANEL) {
    square q = {w->matrix + (size_t)row * s->n + row, s->n, s->n - row < PANEL ? s->n - row : PANEL,
                0};
    hb_divide(NULL, 1, factor_square, &q);
    if (q.found < q.size) return row + q.found;
    s->first = row + q.size;
    if (s->first == s->n) break;
    for_groups(parallel, w, solve_group);
    for_groups(parallel, w, subtract_group);
  }
  return s->n;
}

hb_status hb_cholesky(const hb_allocator *allocator, const hb_parallel *parallel, double *a,
                      uint32_t n, uint32_t *found, hb_error *error) {
  uint64_t bytes = strips_bytes(n, PANEL);
  strip_work w = {.tiles = hb_tiles_best(), .matrix = a};
  w.strips = (strips){.data = hb_allocate(allocator, bytes), .depth = PANEL, .n = n};
  if (!w.strips.data)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to factor a matrix of %u columns",
                   (uint64_t)n);
  *found = factor(parallel, &w);
  if (*found == n) hb_gram_finish(parallel, a, n, 1);
  hb_release(allocator, w.strips.data, bytes);
  return HB_OK;
}
