#include "compress/rtn.h"
#include "base/half.h"
#include "compress/coders.h"
#include "compress/divide.h"
#include "compress/search.h"

/* ---- Ranges and grids ---- */

static float magnitude(float x) {
  return x < 0 ? -x : x;
}

static hb_rtn_range joined(hb_rtn_range a, hb_rtn_range b) {
  return (hb_rtn_range){b.low < a.low ? b.low : a.low, b.high > a.high ? b.high : a.high,
                        magnitude(b.extreme) > magnitude(a.extreme) ? b.extreme : a.extreme};
}

hb_rtn_range hb_rtn_joined(hb_rtn_range r, const float *x, size_t count) {
  for (size_t i = 0; i < count; i++) r = joined(r, (hb_rtn_range){x[i], x[i], x[i]});
  return r;
}

static hb_rtn_range range_of(const float *x, uint32_t count) {
  return hb_rtn_joined((hb_rtn_range){0, 0, 0}, x, count);
}

/* What the blocks of a group share. */
typedef struct rtn_grid {
  uint16_t scale, addend; /* f16 */
  hb_grid values;
  uint8_t least, most; /* of the codes that the bits allow */
} rtn_grid;

/* The scale is found in double, so that no rounding but that to f16 decides about codes. */
static rtn_grid symmetric_grid(const hb_coder *c, uint32_t bits, hb_rtn_range r, double share) {
  int half = 1 << (bits - 1), least = bits == 8 ? -127 : -half;
  double extreme = r.extreme != 0 ? (double)r.extreme : 1;
  rtn_grid g = {.least = (uint8_t)(least - c->first), .most = (uint8_t)(half - 1 - c->first)};
  if (bits == 8 && extreme > 0) extreme = -extreme;
  g.scale = hb_finite_f16((float)(share * extreme / least));
  g.values = (hb_grid){hb_f32_of_f16(g.scale), HB_NO_ADDEND};
  return g;
}

static rtn_grid asymmetric_grid(uint32_t bits, hb_rtn_range r, double share) {
  uint32_t most = (1u << bits) - 1;
  double low = r.low, high = r.high;
  rtn_grid g = {.least = 0, .most = (uint8_t)most};
  if (low == high) {
    low = -1;
    high = 1;
  }
  g.scale = hb_finite_f16((float)(share * (high - low) / most));
  double d = hb_f32_of_f16(g.scale), zero = d > 0 ? -share * low / d + 0.5 : 0;
  zero = (double)(uint32_t)(zero < most ? zero : most);
  g.addend = hb_finite_f16((float)(-d * zero));
  g.values = (hb_grid){hb_f32_of_f16(g.scale), hb_f32_of_f16(g.addend)};
  return g;
}

/* ---- A job ---- */

typedef struct rtn_job {
  const hb_matrix_job *matrix;
  const hb_rtn_options *options;
  uint32_t group;       /* columns that share a grid */
  rtn_grid shared;      /* of the tensor */
  hb_rtn_range *ranges; /* [rows] */
  double *errors;       /* [rows] */
} rtn_job;

/* `share` of the range is covered. */
static rtn_grid grid_of(const rtn_job *j, hb_rtn_range r, double share) {
  const hb_rtn_options *o = j->options;
  return o->symmetric ? symmetric_grid(j->matrix->coder, o->bits, r, share)
                      : asymmetric_grid(o->bits, r, share);
}

static uint8_t code_of(const hb_coder *c, const rtn_grid *g, float x) {
  uint8_t q = hb_nearest_code(c, g->values, x);
  return q < g->least ? g->least : q > g->most ? g->most : q;
}

static double error_of(const hb_matrix_job *m, const rtn_grid *g, const float *x, uint32_t column,
                       uint32_t count) {
  double sum = 0;
  for (uint32_t i = 0; i < count; i++) {
    double d =
        (double)x[i] - (double)hb_grid_value(m->coder, g->values, code_of(m->coder, g, x[i]));
    sum += (m->importance ? (double)m->importance[column + i] : 1) * d * d;
  }
  return sum;
}

static rtn_grid best_grid(const rtn_job *j, const float *x, uint32_t column, uint32_t count) {
  hb_rtn_range r = range_of(x, count);
  rtn_grid best = grid_of(j, r, 1);
  if (j->options->most_shrink == 0) return best;
  double least = error_of(j->matrix, &best, x, column, count);
  for (uint32_t percent = 1; percent <= j->options->most_shrink; percent++) {
    rtn_grid g = grid_of(j, r, 1 - percent / 100.0);
    double error = error_of(j->matrix, &g, x, column, count);
    if (error >= least) continue;
    least = error;
    best = g;
  }
  return best;
}

/* Writes the blocks of `count` values and leaves what they stand for. */
static void write_blocks(const hb_matrix_job *m, const rtn_grid *g, float *x, uint32_t count,
                         uint8_t *block) {
  const hb_coder *c = m->coder;
  uint8_t codes[HB_CODER_MOST_VALUES];
  for (uint32_t at = 0; at < count; at += c->values, block += c->block_bytes) {
    for (uint32_t i = 0; i < c->values; i++) {
      codes[i] = code_of(c, g, x[at + i]);
      x[at + i] = hb_grid_value(c, g->values, codes[i]);
    }
    hb_store_u16(block, g->scale);
    if (c->first == 0) hb_store_u16(block + 2, g->addend);
    c->put(codes, block);
  }
}

static void convert_rows(void *context, uint32_t first, uint32_t end) {
  const rtn_job *j = context;
  const hb_matrix_job *m = j->matrix;
  size_t row_blocks = m->cols / m->coder->values, group_blocks = j->group / m->coder->values;
  for (uint32_t row = first; row < end; row++) {
    uint8_t *block = m->blocks + row * row_blocks * m->coder->block_bytes;
    for (uint32_t at = 0; at < m->cols; at += j->group) {
      float *x = m->weights + (size_t)row * m->cols + at;
      rtn_grid g = j->shared;
      if (j->options->granularity != HB_RTN_TENSOR) g = best_grid(j, x, at, j->group);
      write_blocks(m, &g, x, j->group, block);
      block += group_blocks * m->coder->block_bytes;
    }
  }
}

/* ---- One grid for a tensor: rows are looked at in parallel, and joined in order ---- */

static void find_ranges(void *context, uint32_t first, uint32_t end) {
  const rtn_job *j = context;
  for (uint32_t row = first; row < end; row++)
    j->ranges[row] = range_of(j->matrix->weights + (size_t)row * j->matrix->cols, j->matrix->cols);
}

static void find_errors(void *context, uint32_t first, uint32_t end) {
  const rtn_job *j = context;
  const hb_matrix_job *m = j->matrix;
  for (uint32_t row = first; row < end; row++)
    j->errors[row] = error_of(m, &j->shared, m->weights + (size_t)row * m->cols, 0, m->cols);
}

static double error_of_tensor(rtn_job *j) {
  double sum = 0;
  hb_divide(j->matrix->parallel, j->matrix->rows, find_errors, j);
  for (uint32_t row = 0; row < j->matrix->rows; row++) sum += j->errors[row];
  return sum;
}

static void find_shared_grid(rtn_job *j) {
  hb_rtn_range r = {0, 0, 0};
  hb_divide(j->matrix->parallel, j->matrix->rows, find_ranges, j);
  for (uint32_t row = 0; row < j->matrix->rows; row++) r = joined(r, j->ranges[row]);
  if (j->options->range) r = *j->options->range;
  rtn_grid best = j->shared = grid_of(j, r, 1);
  double least = j->options->most_shrink > 0 ? error_of_tensor(j) : 0;
  for (uint32_t percent = 1; percent <= j->options->most_shrink; percent++) {
    j->shared = grid_of(j, r, 1 - percent / 100.0);
    double error = error_of_tensor(j);
    if (error >= least) continue;
    least = error;
    best = j->shared;
  }
  j->shared = best;
}

static hb_status share_a_grid(rtn_job *j, hb_error *error) {
  const hb_allocator *allocator = j->matrix->allocator;
  uint64_t ranges = (uint64_t)j->matrix->rows * sizeof *j->ranges;
  uint64_t errors = (uint64_t)j->matrix->rows * sizeof *j->errors;
  j->ranges = hb_allocate(allocator, ranges);
  j->errors = hb_allocate(allocator, errors);
  bool enough = j->ranges && j->errors;
  if (enough) find_shared_grid(j);
  hb_release(allocator, j->errors, errors);
  hb_release(allocator, j->ranges, ranges);
  return enough ? HB_OK : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to round a matrix");
}

/* ---- What a caller can get wrong ---- */

hb_status hb_rtn_type(const hb_rtn_options *o, hb_type *type, hb_error *error) {
  if (o->bits < 2 || o->bits > 8)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "rounding to %u bits: there are 2 to 8",
                   (uint64_t)o->bits);
  if (!o->symmetric && o->bits > 5)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "no type of GGUF holds %u bits with a zero point; 5 are the most",
                   (uint64_t)o->bits);
  if (o->symmetric)
    *type = o->bits <= 4 ? HB_TYPE_Q4_0 : o->bits == 5 ? HB_TYPE_Q5_0 : HB_TYPE_Q8_0;
  else
    *type = o->bits <= 4 ? HB_TYPE_Q4_1 : HB_TYPE_Q5_1;
  return HB_OK;
}

static hb_status check(const hb_matrix_job *m, const hb_rtn_options *o, hb_error *error) {
  hb_type type = HB_TYPE_F32;
  HB_TRY(hb_rtn_type(o, &type, error));
  HB_TRY(hb_matrix_check(m, error));
  if (m->coder->type != type)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%u bits are held by %s, not by %s",
                   (uint64_t)o->bits, hb_type_name(type), hb_type_name(m->coder->type));
  if (o->granularity == HB_RTN_GROUP &&
      (o->group == 0 || o->group % m->coder->values != 0 || m->cols % o->group != 0))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "groups of %u columns: a multiple of %u that divides %u is needed",
                   (uint64_t)o->group, (uint64_t)m->coder->values, (uint64_t)m->cols);
  if (o->most_shrink > 99 || (o->range && o->most_shrink > 0))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a range cannot shrink by %u percent",
                   (uint64_t)o->most_shrink);
  return HB_OK;
}

hb_status hb_matrix_rtn(const hb_matrix_job *job, const hb_rtn_options *options, hb_error *error) {
  HB_TRY(check(job, options, error));
  rtn_job j = {.matrix = job, .options = options, .group = job->cols};
  if (options->granularity == HB_RTN_GROUP) j.group = options->group;
  if (options->granularity == HB_RTN_BLOCK) j.group = job->coder->values;
  if (options->granularity == HB_RTN_TENSOR) HB_TRY(share_a_grid(&j, error));
  hb_divide(job->parallel, job->rows, convert_rows, &j);
  return HB_OK;
}
