/* One tensor on its way from the source to the result. */
#include "base/half.h"
#include "compress/product.h"
#include "compress/resume.h"
#include "compress/wide.h"

hb_status hb_job_progress(const hb_tensor_job *job, uint64_t bytes, hb_error *error) {
  const hb_quantize_options *o = job->options;
  uint64_t total = job->plan ? job->plan->bytes : 0; /* none before the survey ends */
  if (!o->progress || o->progress(o->context, job->done + bytes, total) == 0) return HB_OK;
  return hb_fail(error, HB_ABORTED, HB_NO_OFFSET, "quantizing was stopped");
}

/* ---- Beginning and ending ---- */

void hb_job_begin(hb_tensor_job *job, size_t index) {
  const hb_tensor_plan *p = &job->plan->tensors[index];
  job->tensor = p->tensor;
  job->type = p->type;
  job->values = p->tensor->dims[0] * p->tensor->dims[1] * p->tensor->dims[2] * p->tensor->dims[3];
  job->written = 0;
  job->squares = job->differences = 0;
  job->note = NULL;
  job->range = NULL;
}

void hb_job_end(hb_tensor_job *job, size_t index) {
  const hb_quantize_options *o = job->options;
  const hb_tensor_plan *p = &job->plan->tensors[index];
  char reason[128];
  uint64_t row_bytes = 0;
  job->done += job->tensor->bytes;
  if (!o->report) return;
  hb_row_bytes(p->type, job->tensor->dims[0], &row_bytes);
  hb_quantize_report r = {.tensor = job->tensor,
                          .index = index,
                          .count = job->plan->count,
                          .type = p->type,
                          .note = job->note,
                          .kept = hb_resume_has(job, index + 1),
                          .bytes = row_bytes * (job->values / job->tensor->dims[0]) +
                                   hb_plan_outlier_bytes(p)};
  if (job->squares > 0) r.error = job->differences / job->squares;
  if (p->type != p->chosen) {
    hb_format(reason, sizeof reason, "rows of %u values do not divide into %s blocks of %u",
              job->tensor->dims[0], hb_type_name(p->chosen),
              (uint64_t)hb_traits(p->chosen)->block_values);
    r.reason = reason;
  }
  o->report(o->context, &r);
}

/* ---- Reading ---- */

/* `count` values, a piece at most. */
static hb_status read_piece(hb_tensor_job *job, uint64_t first, size_t count, float *out,
                            hb_error *error) {
  const hb_tensor *t = job->tensor;
  const hb_type_traits *traits = hb_traits(t->type);
  uint64_t offset = hb_gguf_shard_data_start(job->source->gguf, t->shard) + t->offset +
                    first / traits->block_values * traits->block_bytes;
  size_t blocks = count / traits->block_values;
  HB_TRY(job->source->read(job->source->context, t->shard, offset, job->bytes,
                           blocks * traits->block_bytes, error));
  traits->decode(job->bytes, out, blocks);
  return HB_OK;
}

hb_status hb_job_read(hb_tensor_job *job, uint64_t first, uint64_t count, float *out,
                      hb_error *error) {
  while (count > 0) {
    size_t piece = count < HB_PIECE_VALUES ? (size_t)count : HB_PIECE_VALUES;
    HB_TRY(read_piece(job, first, piece, out, error));
    first += piece;
    out += piece;
    count -= piece;
  }
  return HB_OK;
}

/* ---- Writing ---- */

static bool is_finite(float x) {
  return (hb_bits_of_f32(x) & 0x7f800000u) != 0x7f800000u;
}

/* The index of the first value that is not finite, or `count`. */
static size_t first_odd(const float *x, size_t count) {
  uint32_t odd = 0;
  for (size_t i = 0; i < count; i++) odd |= !is_finite(x[i]);
  if (!odd) return count;
  size_t i = 0;
  while (is_finite(x[i])) i++;
  return i;
}

static hb_status refuse(const hb_tensor_job *job, size_t i, const char *what, const char *type,
                        hb_error *error) {
  uint64_t at = job->written + i, columns = job->tensor->dims[0];
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %S, row %u: value %u is %s%s",
                 job->tensor->name, at / columns, at % columns, what, type);
}

hb_status hb_job_check(const hb_tensor_job *job, const float *original, uint64_t count,
                       hb_error *error) {
  size_t i = first_odd(original, (size_t)count);
  return i < count ? refuse(job, i, "no finite number", "", error) : HB_OK;
}

/* Four sums each, so that a vector can hold them; a piece ends in a multiple of four or the
 * tensor does. */
static void measure(hb_tensor_job *job, const float *original, const float *decoded, size_t count) {
  double squares[4] = {0}, differences[4] = {0};
  for (size_t i = 0; i < count; i++) {
    double x = original[i], d = x - decoded[i];
    squares[i % 4] += x * x;
    differences[i % 4] += d * d;
  }
  job->squares += (squares[0] + squares[1]) + (squares[2] + squares[3]);
  job->differences += (differences[0] + differences[1]) + (differences[2] + differences[3]);
}

hb_status hb_job_write(hb_tensor_job *job, const void *blocks, uint64_t bytes,
                       const float *original, const float *decoded, uint64_t count,
                       hb_error *error) {
  const hb_type_traits *from = hb_traits(job->tensor->type);
  size_t odd = first_odd(decoded, (size_t)count);
  if (odd < count) return refuse(job, odd, "too large for ", hb_type_name(job->type), error);
  measure(job, original, decoded, (size_t)count);
  HB_TRY(hb_gguf_writer_data(job->writer, blocks, (size_t)bytes, error));
  job->written += count;
  return hb_job_progress(job, job->written / from->block_values * from->block_bytes, error);
}

hb_status hb_job_copy(hb_tensor_job *job, hb_error *error) {
  const hb_tensor *t = job->tensor;
  uint64_t start = hb_gguf_shard_data_start(job->source->gguf, t->shard) + t->offset;
  for (uint64_t at = 0; at < t->bytes; at += sizeof job->bytes) {
    uint64_t left = t->bytes - at;
    size_t count = left < sizeof job->bytes ? (size_t)left : sizeof job->bytes;
    HB_TRY(job->source->read(job->source->context, t->shard, start + at, job->bytes, count, error));
    HB_TRY(hb_gguf_writer_data(job->writer, job->bytes, count, error));
    HB_TRY(hb_job_progress(job, at + count, error));
  }
  return HB_OK;
}

/* ---- Quantizing ---- */

#define STRIP_VALUES (1u << 18) /* of rows that are quantized at once */

typedef struct strip {
  uint64_t values; /* room */
  float *original, *weights;
  uint8_t *blocks;
} strip;

typedef struct application {
  const hb_method *method;
  hb_type type;
  const hb_rtn_range *range;
  hb_outliers *outliers;
  const char **note;
} application;

static hb_status apply(void *context, const hb_matrix_job *m, hb_error *error) {
  const application *a = context;
  return hb_method_apply(a->method, a->type, m, a->range, a->outliers, a->note, error);
}

hb_status hb_job_blocks(hb_tensor_job *job, uint32_t rows, float *weights, uint8_t *blocks,
                        hb_outliers *outliers, const hb_inputs *inputs, hb_error *error) {
  const hb_quantize_options *o = job->options;
  uint32_t cols = (uint32_t)job->tensor->dims[0];
  hb_matrix_job m = {.allocator = o->allocator,
                     .parallel = o->parallel,
                     .coder = hb_coder_of(job->type),
                     .rows = rows,
                     .cols = cols,
                     .weights = weights,
                     .blocks = blocks};
  if (inputs) {
    m.importance = inputs->importance;
    m.gram = inputs->gram;
    m.damping = inputs->damping;
  }
  if (inputs && inputs->drift)
    HB_TRY(hb_product_move(o->allocator, o->parallel, inputs->drift, cols, weights, rows, error));
  application a = {job->method, job->type, job->range, outliers, &job->note};
  if (m.coder) return hb_matrix_widened(&m, apply, &a, error);
  if (hb_type_is_private(job->type)) return apply(&a, &m, error);
  const hb_type_traits *traits = hb_traits(job->type);
  traits->encode(weights, blocks, (size_t)rows * cols);
  traits->decode(blocks, weights, (size_t)rows * cols);
  return HB_OK;
}

/* Of all rows. */
static hb_status find_range(hb_tensor_job *job, const strip *s, hb_rtn_range *range,
                            hb_error *error) {
  for (uint64_t at = 0; at < job->values; at += s->values) {
    uint64_t left = job->values - at, count = left < s->values ? left : s->values;
    HB_TRY(hb_job_read(job, at, count, s->original, error));
    *range = hb_rtn_joined(*range, s->original, (size_t)count);
  }
  job->range = range;
  return HB_OK;
}

static hb_status quantize_strips(hb_tensor_job *job, const strip *s, const hb_inputs *inputs,
                                 hb_error *error) {
  uint64_t cols = job->tensor->dims[0], rows = job->values / cols, most = s->values / cols;
  uint64_t row_bytes = 0;
  hb_row_bytes(job->type, cols, &row_bytes);
  for (uint64_t row = 0; row < rows; row += most) {
    uint32_t count = (uint32_t)(rows - row < most ? rows - row : most);
    HB_TRY(hb_job_read(job, row * cols, count * cols, s->original, error));
    HB_TRY(hb_job_check(job, s->original, count * cols, error));
    memcpy(s->weights, s->original, (size_t)(count * cols) * sizeof(float));
    HB_TRY(hb_job_blocks(job, count, s->weights, s->blocks, NULL, inputs, error));
    HB_TRY(hb_job_write(job, s->blocks, row_bytes * count, s->original, s->weights, count * cols,
                        error));
  }
  return HB_OK;
}

hb_status hb_job_quantize(hb_tensor_job *job, const hb_inputs *inputs, hb_error *error) {
  const hb_allocator *allocator = job->options->allocator;
  uint64_t cols = job->tensor->dims[0];
  strip s = {.values = cols > STRIP_VALUES ? cols : STRIP_VALUES / cols * cols};
  if (s.values > job->values) s.values = job->values;
  s.original = hb_allocate(allocator, s.values * sizeof(float));
  s.weights = hb_allocate(allocator, s.values * sizeof(float));
  s.blocks = hb_allocate(allocator, s.values * sizeof(float)); /* no type takes more */
  hb_rtn_range range = {0, 0, 0};
  hb_status status = HB_OK;
  if (!s.original || !s.weights || !s.blocks)
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize rows");
  if (status == HB_OK && job->method->shares && job->method->granularity == HB_RTN_TENSOR)
    status = find_range(job, &s, &range, error);
  if (status == HB_OK) status = quantize_strips(job, &s, inputs, error);
  job->range = NULL;
  hb_release(allocator, s.original, s.values * sizeof(float));
  hb_release(allocator, s.weights, s.values * sizeof(float));
  hb_release(allocator, s.blocks, s.values * sizeof(float));
  return status;
}
