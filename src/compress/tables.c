#include "compress/tables.h"
#include "base/half.h"
#include "compress/clusters.h"
#include "compress/divide.h"
#include "compress/search.h"
#include "quant/bits.h"
#include "quant/private.h"
#include "quant/quant.h"

enum { MOST = HB_TABLE4_COUNT, GROUP = 32 /* values whose codes stand together */ };

/* ---- The table of a row ---- */

typedef struct table {
  uint16_t d; /* f16 */
  int8_t levels[MOST];
} table;

static float value_of(const table *t, uint32_t code) {
  return hb_table_factor(hb_f32_of_f16(t->d)) * (float)t->levels[code];
}

/* Sums over the values of each cluster. */
typedef struct cluster_sums {
  double w[MOST], x[MOST], xx[MOST]; /* of w, w x and w x^2 */
} cluster_sums;

static void add_value(cluster_sums *s, uint32_t q, hb_weighted v) {
  double w = (double)v.w, x = (double)v.x;
  s->w[q] += w;
  s->x[q] += w * x;
  s->xx[q] += w * x * x;
}

static int8_t nearest_level(double x) {
  double t = x < -127 ? -127 : x > 127 ? 127 : x;
  return (int8_t)(t < 0 ? t - 0.5 : t + 0.5);
}

/* Takes the means to levels of 8 bits, the one furthest from 0 to level `end`. Empty clusters get
 * the level before theirs. Returns the error. */
static double round_means(const cluster_sums *s, uint32_t count, double furthest, int end,
                          table *t) {
  t->d = hb_finite_f16((float)(furthest * 128 / end));
  if (t->d == 0) t->d = 1; /* of the tiniest ones */
  double factor = (double)hb_table_factor(hb_f32_of_f16(t->d)), error = 0;
  for (uint32_t q = 0; q < count; q++) {
    bool empty = !(s->w[q] > 0);
    t->levels[q] =
        empty ? (q > 0 ? t->levels[q - 1] : -127) : nearest_level(s->x[q] / s->w[q] / factor);
    double value = (double)value_of(t, q);
    error += s->xx[q] - 2 * value * s->x[q] + value * value * s->w[q];
  }
  return error;
}

/* The best table for clusters, given how the scale may be chosen; zeros if there is nothing but 0.
 */
static double best_table(const cluster_sums *s, uint32_t count, table *out) {
  enum { FURTHEST = 127, NEAREST = 96 };
  double furthest = 0, least = 0;
  for (uint32_t q = 0; q < count; q++) {
    double mean = s->w[q] > 0 ? s->x[q] / s->w[q] : 0;
    if (mean < 0) mean = -mean;
    if (mean > furthest) furthest = mean;
  }
  *out = (table){0};
  if (furthest == 0) return 0;
  for (int end = FURTHEST; end >= NEAREST; end--) {
    table t;
    double error = round_means(s, count, furthest, end, &t);
    if (end < FURTHEST && error >= least) continue;
    least = error;
    *out = t;
  }
  return least;
}

static uint8_t nearest_code(const table *t, uint32_t count, float x) {
  uint32_t best = 0;
  double least = 0;
  for (uint32_t q = 0; q < count; q++) {
    double d = (double)x - (double)value_of(t, q);
    d = d < 0 ? -d : d;
    if (q > 0 && d >= least) continue;
    least = d;
    best = q;
  }
  return (uint8_t)best;
}

/* Of sorted values: levels ascend, so that the next value takes the same or a later one. */
static cluster_sums sums_by_table(const table *t, uint32_t count, const hb_weighted *values,
                                  uint32_t values_count) {
  cluster_sums s = {0};
  uint32_t q = 0;
  for (uint32_t i = 0; i < values_count; i++) {
    double twice = 2 * (double)values[i].x;
    while (q + 1 < count && twice > (double)value_of(t, q) + (double)value_of(t, q + 1)) q++;
    add_value(&s, q, values[i]);
  }
  return s;
}

/* From the best clusters on, tables and the clusters that they lead to, in turns, while that helps.
 */
static table find_table(const hb_weighted *values, uint32_t values_count, uint32_t count,
                        void *room) {
  enum { TURNS = 10 };
  uint32_t ends[MOST], i = 0;
  cluster_sums s = {0};
  table best, next;
  hb_clusters_find(values, values_count, count, room, ends);
  for (uint32_t q = 0; q < count; q++)
    for (; i < ends[q]; i++) add_value(&s, q, values[i]);
  double least = best_table(&s, count, &best);
  for (int turn = 0; turn < TURNS; turn++) {
    s = sums_by_table(&best, count, values, values_count);
    double error = best_table(&s, count, &next);
    if (error >= least) break;
    least = error;
    best = next;
  }
  return best;
}

/* ---- Rows ---- */

typedef struct panel {
  hb_weighted *values, *sorting; /* [cols] */
  void *room;                    /* for hb_clusters_find */
  uint8_t *codes;                /* [cols] */
  uint8_t *kept;                 /* [cols]: whether an outlier stands there */
} panel;

typedef struct work {
  const hb_matrix_job *job;
  const hb_tables_options *options;
  hb_outliers *outliers; /* or NULL */
  hb_type type;
  uint32_t levels;    /* of a row */
  uint64_t row_bytes; /* of blocks */
  panel *panels;      /* [workers] */
  uint32_t workers;
} work;

static const float *costs_of(const work *w, uint32_t row) {
  if (!w->options->sensitivity) return w->job->importance;
  return w->options->sensitivity + (size_t)row * w->job->cols;
}

/* The values that count, or all if none does. Returns how many there are. */
static uint32_t gather(const work *w, const panel *p, const float *x, const float *costs) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < w->job->cols; i++) {
    float cost = costs ? costs[i] : 1;
    if (!p->kept[i] && cost > 0) p->values[count++] = (hb_weighted){x[i], cost};
  }
  return count > 0 || !costs ? count : gather(w, p, x, NULL);
}

static void store_codes(const work *w, const uint8_t *codes, uint8_t *to) {
  for (uint32_t at = 0; at < w->job->cols; at += GROUP, codes += GROUP) {
    if (w->levels == HB_TABLE4_COUNT) {
      hb_pack_nibbles(codes, to);
      to += 16;
      continue;
    }
    memset(to, 0, 12);
    for (uint32_t i = 0; i < GROUP; i++) {
      to[i % 8] |= (uint8_t)((codes[i] & 3) << 2 * (i / 8));
      to[8 + i / 8] |= (uint8_t)(codes[i] >> 2 << i % 8);
    }
    to += 12;
  }
}

/* An outlier stands on the level nearest to 0. */
static void keep_outliers(const work *w, const panel *p, uint32_t row, const table *t, float *x) {
  const hb_outliers *o = w->outliers;
  uint8_t code = nearest_code(t, w->levels, 0);
  float dense = value_of(t, code);
  for (uint32_t i = o->starts[row]; i < o->starts[row + 1]; i++) {
    uint32_t column = o->columns[i];
    o->values[i] = hb_finite_f16(x[column] - dense);
    x[column] = dense + hb_f32_of_f16(o->values[i]);
    p->codes[column] = code;
  }
}

static void convert_row(const work *w, const panel *p, uint32_t row) {
  uint32_t cols = w->job->cols;
  float *x = w->job->weights + (size_t)row * cols;
  uint8_t *to = w->job->blocks + row * (size_t)w->row_bytes;
  const hb_outliers *o = w->outliers;
  memset(p->kept, 0, cols);
  for (uint32_t i = o ? o->starts[row] : 0; o && i < o->starts[row + 1]; i++)
    p->kept[o->columns[i]] = 1;
  uint32_t count = gather(w, p, x, costs_of(w, row));
  hb_weighted_sort(p->values, count, p->sorting);
  table t = find_table(p->values, count, w->levels, p->room);
  for (uint32_t i = 0; i < cols; i++) {
    if (p->kept[i]) continue;
    p->codes[i] = nearest_code(&t, w->levels, x[i]);
    x[i] = value_of(&t, p->codes[i]);
  }
  if (o) keep_outliers(w, p, row, &t, x);
  hb_store_u16(to, t.d);
  memcpy(to + HB_TABLE_LEVELS, t.levels, w->levels);
  store_codes(w, p->codes, to + HB_TABLE_LEVELS + w->levels);
}

static void run_workers(void *context, uint32_t first, uint32_t end) {
  const work *w = context;
  for (uint32_t worker = first; worker < end; worker++)
    for (uint64_t row = worker; row < w->job->rows; row += w->workers)
      convert_row(w, &w->panels[worker], (uint32_t)row);
}

/* ---- Memory ---- */

static uint64_t lay_out(work *w, uint8_t *block) {
  uint64_t used = 0, cols = w->job->cols;
  w->panels = hb_take(block, &used, w->workers * sizeof *w->panels);
  for (uint32_t i = 0; i < w->workers; i++) {
    panel p = {.values = hb_take(block, &used, cols * sizeof(hb_weighted)),
               .sorting = hb_take(block, &used, cols * sizeof(hb_weighted)),
               .room = hb_take(block, &used, hb_clusters_bytes(w->job->cols, w->levels)),
               .codes = hb_take(block, &used, cols),
               .kept = hb_take(block, &used, cols)};
    if (block) w->panels[i] = p;
  }
  return used;
}

static hb_status convert(work *w, hb_error *error) {
  const hb_matrix_job *job = w->job;
  w->workers = job->parallel ? job->parallel->threads : 1;
  if (w->workers > job->rows) w->workers = job->rows;
  if (w->workers == 0) w->workers = 1;
  uint64_t bytes = lay_out(w, NULL);
  uint8_t *block = hb_allocate(job->allocator, bytes);
  if (!block)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to find levels for rows of %u values",
                   (uint64_t)job->cols);
  lay_out(w, block);
  hb_divide(job->parallel, w->workers, run_workers, w);
  hb_release(job->allocator, block, bytes);
  return HB_OK;
}

/* ---- Outliers ---- */

/* The scores of the weights that are outliers for their sensitivity are above all others. */
static hb_status mark_sensitive(const work *w, float *scores, uint32_t count, hb_error *error) {
  hb_outliers *o = w->outliers;
  uint32_t all = o->count;
  o->count = count;
  hb_status status = hb_outliers_choose(w->job, w->options->sensitivity, o, error);
  o->count = all;
  if (status != HB_OK) return status;
  for (uint32_t row = 0; row < w->job->rows; row++)
    for (uint32_t i = o->starts[row]; i < o->starts[row + 1]; i++)
      scores[(size_t)row * w->job->cols + o->columns[i]] = 0x1.fffffep127f;
  return HB_OK;
}

static hb_status choose_outliers(const work *w, hb_error *error) {
  const hb_matrix_job *job = w->job;
  const hb_tables_options *options = w->options;
  uint64_t count = (uint64_t)job->rows * job->cols, bytes = count * sizeof(float);
  uint32_t sensitive = 0;
  if (options->sensitivity)
    HB_TRY(hb_outlier_count(job->rows, job->cols, options->sensitive, &sensitive, error));
  float *scores = hb_allocate(job->allocator, bytes);
  if (!scores) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to choose outliers");
  for (uint64_t i = 0; i < count; i++)
    scores[i] = hb_f32_of_bits(hb_bits_of_f32(job->weights[i]) & 0x7fffffffu);
  hb_status status = HB_OK;
  if (sensitive > 0) status = mark_sensitive(w, scores, sensitive, error);
  if (status == HB_OK) status = hb_outliers_choose(job, scores, w->outliers, error);
  hb_release(job->allocator, scores, bytes);
  return status;
}

/* ---- The whole ---- */

hb_status hb_tables_type(uint32_t bits, hb_type *type, hb_error *error) {
  *type = bits == 4 ? HB_TYPE_TABLE4 : HB_TYPE_TABLE3;
  if (bits == 4 || bits == 3) return HB_OK;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "codes of %u bits have no table",
                 (uint64_t)bits);
}

static hb_status check_sensitivity(const work *w, hb_error *error) {
  const float *sensitivity = w->options->sensitivity;
  uint64_t count = (uint64_t)w->job->rows * w->job->cols;
  for (uint64_t i = 0; sensitivity && i < count; i++)
    if (!(sensitivity[i] >= 0 && sensitivity[i] <= 0x1.fffffep127f))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "the sensitivity of row %u, column %u is no number from 0 on",
                     i / w->job->cols, i % w->job->cols);
  return HB_OK;
}

static hb_status check_outliers(const work *w, hb_error *error) {
  const hb_tables_options *o = w->options;
  uint32_t count;
  HB_TRY(hb_outlier_count(w->job->rows, w->job->cols, o->fraction, &count, error));
  if (!(o->sensitive >= 0 && o->sensitive <= o->fraction))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "more outliers for sensitivity than there are outliers");
  if (count > 0 && !w->outliers)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "there is no place for outliers");
  if (!w->outliers) return HB_OK;
  w->outliers->count = count;
  return hb_outliers_check(w->job, error);
}

hb_status hb_matrix_tables(const hb_matrix_job *job, const hb_tables_options *options,
                           hb_outliers *outliers, hb_error *error) {
  work w = {.job = job, .options = options, .outliers = outliers};
  HB_TRY(hb_tables_type(options->bits, &w.type, error));
  w.levels = options->bits == 4 ? HB_TABLE4_COUNT : HB_TABLE3_COUNT;
  if (!hb_row_bytes(w.type, job->cols, &w.row_bytes))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "rows of %u values do not divide into %s blocks", (uint64_t)job->cols,
                   hb_type_name(w.type));
  HB_TRY(hb_matrix_check_numbers(job, error));
  HB_TRY(check_sensitivity(&w, error));
  HB_TRY(check_outliers(&w, error));
  if (outliers) HB_TRY(choose_outliers(&w, error));
  return convert(&w, error);
}
