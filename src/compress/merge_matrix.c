/* One matrix to which adapters are added: strips of its rows are decoded, summed, and encoded. */
#include "compress/divide.h"
#include "compress/merge.h"
#include "quant/quant.h"

#define STRIP_VALUES (1u << 18) /* of rows that are merged at once */
enum { PIECE = 256 };           /* columns */

static hb_status take_pair(hb_merging *g, const hb_adapter *a, const hb_adapter_pair *pair,
                           double scale, hb_error *error) {
  const hb_allocator *allocator = g->options->allocator;
  hb_merging_values *v = &g->pairs[g->pair_count++];
  *v = (hb_merging_values){.rank = (uint32_t)pair->rank,
                           .a_bytes = pair->a->dims[0] * pair->rank * sizeof(float),
                           .b_bytes = pair->b->dims[1] * pair->rank * sizeof(float)};
  v->a = hb_allocate(allocator, v->a_bytes);
  v->b = hb_allocate(allocator, v->b_bytes);
  if (!v->a || !v->b)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the adapter of %S", pair->matrix);
  HB_TRY(hb_adapter_values(a, pair->a, 1, v->a, error));
  return hb_adapter_values(a, pair->b, hb_adapter_factor(a, pair, scale), v->b, error);
}

static hb_status take_pairs(hb_merging *g, hb_string matrix, hb_error *error) {
  hb_adapter_pair pair;
  for (uint32_t i = 0; i < g->adapter_count; i++)
    if (hb_merging_pair(g, i, matrix, &pair))
      HB_TRY(take_pair(g, &g->adapters[i], &pair, g->options->adapters[i].scale, error));
  return HB_OK;
}

static void drop_pairs(hb_merging *g) {
  for (uint32_t i = 0; i < g->pair_count; i++) {
    hb_release(g->options->allocator, g->pairs[i].a, g->pairs[i].a_bytes);
    hb_release(g->options->allocator, g->pairs[i].b, g->pairs[i].b_bytes);
  }
  g->pair_count = 0;
}

/* Rows of a matrix that are merged together. */
typedef struct strip {
  const hb_merging *merge;
  uint64_t first_row, most_rows;
  uint64_t raw_bytes; /* of a row in the source */
  uint8_t *raw;
  float *merged, *weights;
  uint8_t *blocks;
} strip;

/* Adds what adapters change in columns first .. first + count - 1 of a row: one sum in double for
 * each value, rounded once. */
static void add_changes(const hb_merging *g, uint64_t row, uint64_t first, uint64_t count,
                        float *values) {
  double sums[PIECE] = {0};
  for (uint32_t i = 0; i < g->pair_count; i++) {
    const hb_merging_values *v = &g->pairs[i];
    for (uint32_t r = 0; r < v->rank; r++) {
      const float *a = v->a + r * g->as.dims[0] + first;
      double b = (double)v->b[row * v->rank + r];
      for (uint64_t k = 0; k < count; k++) sums[k] += b * (double)a[k];
    }
  }
  for (uint64_t k = 0; k < count; k++) values[k] = (float)((double)values[k] + sums[k]);
}

/* Rows first .. end - 1 of a strip. */
static void merge_rows(void *context, uint32_t first, uint32_t end) {
  const strip *s = context;
  const hb_merging *g = s->merge;
  const hb_type_traits *traits = hb_traits(g->as.type);
  uint64_t cols = g->as.dims[0];
  for (uint32_t row = first; row < end; row++) {
    float *values = s->merged + row * cols;
    traits->decode(s->raw + row * s->raw_bytes, values, (size_t)(cols / traits->block_values));
    for (uint64_t col = 0; col < cols; col += PIECE)
      add_changes(g, s->first_row + row, col, cols - col < PIECE ? cols - col : PIECE,
                  values + col);
  }
}

static hb_status merge_strip(hb_merging *g, strip *s, const hb_tensor *stored, uint32_t rows,
                             hb_error *error) {
  hb_tensor_job *job = g->job;
  uint64_t cols = g->as.dims[0], count = rows * cols, row_bytes = 0;
  uint64_t at = hb_gguf_shard_data_start(g->source->gguf, stored->shard) + stored->offset +
                s->first_row * s->raw_bytes;
  HB_TRY(g->source->read(g->source->context, stored->shard, at, s->raw,
                         (size_t)(rows * s->raw_bytes), error));
  hb_divide(g->options->parallel, rows, merge_rows, s);
  HB_TRY(hb_job_check(job, s->merged, count, error));
  memcpy(s->weights, s->merged, (size_t)count * sizeof(float));
  hb_row_bytes(job->type, cols, &row_bytes);
  HB_TRY(hb_job_blocks(job, rows, s->weights, s->blocks, NULL, NULL, error));
  return hb_job_write(job, s->blocks, row_bytes * rows, s->merged, s->weights, count, error);
}

static hb_status merge_strips(hb_merging *g, strip *s, const hb_tensor *stored, hb_error *error) {
  uint64_t rows = g->as.dims[1];
  for (; s->first_row < rows; s->first_row += s->most_rows) {
    uint64_t left = rows - s->first_row;
    HB_TRY(merge_strip(g, s, stored, (uint32_t)(left < s->most_rows ? left : s->most_rows), error));
  }
  return HB_OK;
}

static hb_status merge_values(hb_merging *g, const hb_tensor *stored, hb_error *error) {
  const hb_allocator *allocator = g->options->allocator;
  uint64_t cols = g->as.dims[0], rows = g->as.dims[1];
  strip s = {.merge = g, .most_rows = cols > STRIP_VALUES ? 1 : STRIP_VALUES / cols};
  if (s.most_rows > rows) s.most_rows = rows;
  uint64_t bytes = s.most_rows * cols * sizeof(float);
  hb_row_bytes(g->as.type, cols, &s.raw_bytes);
  s.raw = hb_allocate(allocator, s.most_rows * s.raw_bytes);
  s.merged = hb_allocate(allocator, bytes);
  s.weights = hb_allocate(allocator, bytes);
  s.blocks = hb_allocate(allocator, bytes); /* no type takes more */
  hb_status status = HB_OK;
  if (!s.raw || !s.merged || !s.weights || !s.blocks)
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to merge rows");
  if (status == HB_OK) status = merge_strips(g, &s, stored, error);
  hb_release(allocator, s.raw, s.most_rows * s.raw_bytes);
  hb_release(allocator, s.merged, bytes);
  hb_release(allocator, s.weights, bytes);
  hb_release(allocator, s.blocks, bytes);
  return status;
}

/* Inputs of int8 count as 0 in columns that stand beside the blocks: what is merged into the blocks
 * there would be lost. */
static hb_status check_columns(const hb_merging *g, const hb_weight *w, hb_type type,
                               hb_error *error) {
  if (!g->model->skip_outliers || w->outliers.bytes == 0 || !hb_type_wants_int8(type)) return HB_OK;
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                 "columns of %s are kept beside it, as by llm.int8: merge to f16, or apply the "
                 "adapter at run time",
                 w->name);
}

static void report(const hb_merging *g, size_t index, uint64_t bytes) {
  const hb_merge_options *o = g->options;
  const hb_tensor_job *job = g->job;
  if (!o->report) return;
  hb_quantize_report r = {.tensor = &g->as,
                          .index = index,
                          .count = hb_gguf_tensor_count(g->source->gguf),
                          .type = job->type,
                          .bytes = bytes};
  if (job->squares > 0) r.error = job->differences / job->squares;
  o->report(o->context, &r);
}

hb_status hb_merging_write(hb_merging *g, size_t index, hb_error *error) {
  const hb_tensor *stored = hb_gguf_tensor_at(g->source->gguf, index);
  const hb_weight *w = hb_weight_named(g->model, stored->name);
  hb_tensor_job *job = g->job;
  hb_type type = hb_merging_type(g, stored);
  hb_method method = hb_method_plain(type);
  uint64_t row_bytes = 0;
  HB_TRY(check_columns(g, w, type, error));
  g->as = *stored;
  g->as.type = hb_model_tensor_type(g->model, stored);
  g->as.dims[0] = w->cols;
  job->method = &method;
  job->tensor = &g->as;
  job->type = type;
  job->values = w->cols * w->rows;
  job->written = 0;
  job->squares = job->differences = 0;
  hb_status status = take_pairs(g, stored->name, error);
  if (status == HB_OK) status = merge_values(g, stored, error);
  drop_pairs(g);
  hb_row_bytes(type, w->cols, &row_bytes);
  if (status == HB_OK) report(g, index, row_bytes * w->rows);
  return status;
}
