#include "compress/wide.h"
#include "quant/private.h"
#include "quant/quant.h"

bool hb_matrix_row_bytes(const hb_matrix_job *job, uint64_t *bytes) {
  return hb_row_bytes(job->coder->type, job->cols, bytes);
}

/* ---- The copy ---- */

typedef struct wide_copy {
  hb_matrix_job job;
  uint64_t weights_bytes, blocks_bytes, importance_bytes, gram_bytes;
  float *importance;
  double *gram;
} wide_copy;

static void release(wide_copy *c) {
  const hb_allocator *allocator = c->job.allocator;
  hb_release(allocator, c->job.weights, c->weights_bytes);
  hb_release(allocator, c->job.blocks, c->blocks_bytes);
  hb_release(allocator, c->importance, c->importance_bytes);
  hb_release(allocator, c->gram, c->gram_bytes);
}

static void fill(const hb_matrix_job *job, wide_copy *c) {
  size_t from = job->cols, to = c->job.cols;
  for (size_t row = 0; row < job->rows; row++)
    memcpy(c->job.weights + row * to, job->weights + row * from, from * sizeof(float));
  if (c->importance) memcpy(c->importance, job->importance, from * sizeof(float));
  for (size_t i = 0; c->gram && i < from; i++)
    memcpy(c->gram + i * to, job->gram + i * from, from * sizeof(double));
  c->job.importance = c->importance;
  c->job.gram = c->gram;
}

static hb_status create(const hb_matrix_job *job, wide_copy *c, hb_error *error) {
  uint64_t values = job->coder->values, blocks = job->cols / values + 1, cols = blocks * values;
  *c = (wide_copy){.job = *job};
  if (cols > UINT32_MAX)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "rows of %u values are too long",
                   (uint64_t)job->cols);
  c->job.cols = (uint32_t)cols;
  c->weights_bytes = job->rows * cols * sizeof(float);
  c->blocks_bytes = job->rows * blocks * job->coder->block_bytes;
  c->importance_bytes = job->importance ? cols * sizeof(float) : 0;
  c->gram_bytes = job->gram ? cols * cols * sizeof(double) : 0;
  c->job.weights = hb_allocate_zero(job->allocator, c->weights_bytes);
  c->job.blocks = hb_allocate_zero(job->allocator, c->blocks_bytes);
  if (job->importance) c->importance = hb_allocate_zero(job->allocator, c->importance_bytes);
  if (job->gram) c->gram = hb_allocate_zero(job->allocator, c->gram_bytes);
  bool enough = c->job.weights && c->job.blocks && (c->importance || !job->importance) &&
                (c->gram || !job->gram);
  if (enough) {
    fill(job, c);
    return HB_OK;
  }
  release(c);
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for rows of %u columns", cols);
}

/* ---- Back ---- */

/* The last super-block of a row with its first `count` blocks only. */
static void cut_block(const uint8_t *from, uint32_t count, uint8_t *to) {
  memcpy(to, from, 2 + count);
  memcpy(to + 2 + count, from + 2 + HB_LEVELS_BLOCKS, (size_t)count * HB_LEVELS_CODES);
}

static void take_back(const wide_copy *c, const hb_matrix_job *job, uint64_t row_bytes) {
  size_t bytes = job->coder->block_bytes, whole = job->cols / job->coder->values * bytes;
  uint32_t count = job->cols % job->coder->values / HB_LEVELS_BLOCK;
  for (size_t row = 0; row < job->rows; row++) {
    const uint8_t *from = c->job.blocks + row * (whole + bytes);
    uint8_t *to = job->blocks + row * (size_t)row_bytes;
    memcpy(to, from, whole);
    cut_block(from + whole, count, to + whole);
    memcpy(job->weights + row * job->cols, c->job.weights + row * c->job.cols,
           job->cols * sizeof(float));
  }
}

hb_status hb_matrix_widened(const hb_matrix_job *job, hb_matrix_method *method, void *context,
                            hb_error *error) {
  uint64_t row_bytes;
  bool levels = job->coder && hb_type_is_private(job->coder->type);
  if (!levels || job->cols % job->coder->values == 0 || !hb_matrix_row_bytes(job, &row_bytes))
    return method(context, job, error);
  wide_copy copy;
  HB_TRY(create(job, &copy, error));
  hb_status status = method(context, &copy.job, error);
  if (status == HB_OK) take_back(&copy, job, row_bytes);
  release(&copy);
  return status;
}
