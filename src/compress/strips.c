/* Quantizing a tensor a strip of rows after the other. */
#include "compress/gradients.h"
#include "compress/product.h"
#include "compress/requantize.h"
#include "compress/wide.h"
#include "quant/quant.h"

#define STRIP_VALUES (1u << 18) /* of rows that are quantized at once */

typedef struct strip {
  uint64_t values; /* room */
  float *original, *weights;
  uint8_t *blocks;
  float *sensitivity; /* [values], or NULL: nothing is known */
  uint8_t *sparse;    /* what is kept beside the tensor, which is one strip then; or NULL */
  uint64_t sparse_bytes;
  hb_outliers outliers;
} strip;

/* ---- Blocks ---- */

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
    m.sensitivity = inputs->sensitivity;
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

/* ---- Strips ---- */

hb_status hb_job_outliers(const hb_tensor_job *job, uint8_t **sparse, uint64_t *bytes,
                          hb_outliers *out, hb_error *error) {
  hb_outlier_layout layout;
  *sparse = NULL;
  if (job->outliers == 0) return HB_OK;
  if (!hb_outliers_place(job->tensor->dims[1], job->outliers, &layout))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %S is too large for outliers",
                   job->tensor->name);
  uint8_t *block = hb_allocate_zero(job->options->allocator, layout.bytes);
  if (!block)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for outliers of tensor %S",
                   job->tensor->name);
  *sparse = block;
  *bytes = layout.bytes;
  *out = (hb_outliers){.starts = (uint32_t *)(void *)block,
                       .columns = (uint16_t *)(void *)(block + layout.columns),
                       .values = (uint16_t *)(void *)(block + layout.values),
                       .count = job->outliers};
  if (job->survey) hb_survey_outliers(job->survey, job->tensor->name, out->columns);
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

static hb_status quantize_strip(hb_tensor_job *job, strip *s, uint64_t first, uint32_t rows,
                                const hb_inputs *inputs, hb_error *error) {
  uint64_t cols = job->tensor->dims[0], count = rows * cols, row_bytes = 0;
  hb_inputs known = inputs ? *inputs : (hb_inputs){0};
  hb_row_bytes(job->type, cols, &row_bytes);
  HB_TRY(hb_job_read(job, first * cols, count, s->original, error));
  HB_TRY(hb_job_check(job, s->original, count, error));
  if (s->sensitivity)
    HB_TRY(hb_gradients_read(job->options->gradients, job->tensor, first * cols, count,
                             s->sensitivity, error));
  known.sensitivity = s->sensitivity;
  memcpy(s->weights, s->original, (size_t)count * sizeof(float));
  HB_TRY(hb_job_blocks(job, rows, s->weights, s->blocks, s->sparse ? &s->outliers : NULL, &known,
                       error));
  return hb_job_write(job, s->blocks, row_bytes * rows, s->original, s->weights, count, error);
}

static hb_status quantize_strips(hb_tensor_job *job, strip *s, const hb_inputs *inputs,
                                 hb_error *error) {
  uint64_t cols = job->tensor->dims[0], rows = job->values / cols, most = s->values / cols;
  for (uint64_t row = 0; row < rows; row += most) {
    uint32_t count = (uint32_t)(rows - row < most ? rows - row : most);
    HB_TRY(quantize_strip(job, s, row, count, inputs, error));
  }
  return s->sparse ? hb_gguf_writer_data(job->writer, s->sparse, (size_t)s->sparse_bytes, error)
                   : HB_OK;
}

/* Which of a tensor's values are kept beside it depends on all of them. */
static uint64_t strip_values(const hb_tensor_job *job) {
  uint64_t cols = job->tensor->dims[0];
  uint64_t values = cols > STRIP_VALUES ? cols : STRIP_VALUES / cols * cols;
  return values < job->values && job->outliers == 0 ? values : job->values;
}

static hb_status make_strip(hb_tensor_job *job, strip *s, hb_error *error) {
  const hb_allocator *allocator = job->options->allocator;
  const hb_source *gradients = job->options->gradients;
  bool sensitive = gradients && hb_gradients_has(gradients->gguf, job->tensor);
  uint64_t bytes = s->values * sizeof(float);
  s->original = hb_allocate(allocator, bytes);
  s->weights = hb_allocate(allocator, bytes);
  s->blocks = hb_allocate(allocator, bytes); /* no type takes more */
  if (sensitive) s->sensitivity = hb_allocate(allocator, bytes);
  if (!s->original || !s->weights || !s->blocks || (sensitive && !s->sensitivity))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize rows");
  return hb_job_outliers(job, &s->sparse, &s->sparse_bytes, &s->outliers, error);
}

static void release_strip(const hb_tensor_job *job, strip *s) {
  const hb_allocator *allocator = job->options->allocator;
  hb_release(allocator, s->original, s->values * sizeof(float));
  hb_release(allocator, s->weights, s->values * sizeof(float));
  hb_release(allocator, s->blocks, s->values * sizeof(float));
  hb_release(allocator, s->sensitivity, s->values * sizeof(float));
  hb_release(allocator, s->sparse, s->sparse_bytes);
}

hb_status hb_job_quantize(hb_tensor_job *job, const hb_inputs *inputs, hb_error *error) {
  strip s = {.values = strip_values(job)};
  hb_rtn_range range = {0, 0, 0};
  hb_status status = make_strip(job, &s, error);
  if (status == HB_OK && job->method->shares && job->method->granularity == HB_RTN_TENSOR)
    status = find_range(job, &s, &range, error);
  if (status == HB_OK) status = quantize_strips(job, &s, inputs, error);
  job->range = NULL;
  release_strip(job, &s);
  return status;
}
