#include "compress/matrix.h"
#include "base/half.h"
#include "compress/divide.h"
#include "quant/quant.h"

static bool is_finite(float x) {
  return (hb_bits_of_f32(x) & 0x7f800000u) != 0x7f800000u;
}

static const float *row_weights(const hb_matrix_job *job, uint32_t row) {
  return job->weights + (size_t)row * job->cols;
}

static size_t row_bytes(const hb_matrix_job *job) {
  return (size_t)job->cols / job->coder->values * job->coder->block_bytes;
}

/* ---- What a caller can get wrong ---- */

/* For each row, the column of its first value that is no finite number, or cols. */
typedef struct scan {
  const hb_matrix_job *job;
  uint32_t *columns;
} scan;

static void scan_rows(void *context, uint32_t first, uint32_t end) {
  const scan *s = context;
  for (uint32_t row = first; row < end; row++) {
    const float *x = row_weights(s->job, row);
    uint32_t odd = 0, column = s->job->cols;
    for (uint32_t i = 0; i < s->job->cols; i++) odd |= !is_finite(x[i]);
    for (uint32_t i = 0; odd && column == s->job->cols; i++)
      if (!is_finite(x[i])) column = i;
    s->columns[row] = column;
  }
}

static hb_status check_weights(const hb_matrix_job *job, hb_error *error) {
  uint64_t bytes = (uint64_t)job->rows * sizeof(uint32_t);
  scan s = {job, hb_allocate(job->allocator, bytes)};
  if (!s.columns) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to look at a matrix");
  hb_divide(job->parallel, job->rows, scan_rows, &s);
  uint32_t row = 0;
  while (row < job->rows && s.columns[row] == job->cols) row++;
  uint32_t column = row < job->rows ? s.columns[row] : 0;
  hb_release(job->allocator, s.columns, bytes);
  if (row == job->rows) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "row %u: value %u is no finite number",
                 (uint64_t)row, (uint64_t)column);
}

static hb_status check_importance(const hb_matrix_job *job, hb_error *error) {
  for (uint32_t i = 0; job->importance && i < job->cols; i++)
    if (!is_finite(job->importance[i]) || job->importance[i] < 0)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "the importance of column %u is no number from 0 on", (uint64_t)i);
  return HB_OK;
}

hb_status hb_matrix_check_numbers(const hb_matrix_job *job, hb_error *error) {
  HB_TRY(hb_check_parallel(job->parallel, error));
  HB_TRY(check_importance(job, error));
  return check_weights(job, error);
}

hb_status hb_matrix_check(const hb_matrix_job *job, hb_error *error) {
  if (!job->coder || job->cols % job->coder->values != 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "rows of %u values do not divide into %s blocks", (uint64_t)job->cols,
                   job->coder ? hb_type_name(job->coder->type) : "any");
  return hb_matrix_check_numbers(job, error);
}

/* ---- Blocks ---- */

static void decode_rows(void *context, uint32_t first, uint32_t end) {
  const hb_matrix_job *job = context;
  const hb_type_traits *traits = hb_traits(job->coder->type);
  size_t blocks = job->cols / job->coder->values;
  if (traits->sharing_blocks > 0) blocks *= traits->sharing_blocks; /* a coder's block holds all */
  for (uint32_t row = first; row < end; row++)
    traits->decode(job->blocks + row * row_bytes(job), job->weights + (size_t)row * job->cols,
                   blocks);
}

static void round_rows(void *context, uint32_t first, uint32_t end) {
  const hb_matrix_job *job = context;
  const hb_coder *c = job->coder;
  for (uint32_t row = first; row < end; row++) {
    uint8_t *block = job->blocks + row * row_bytes(job);
    for (uint32_t at = 0; at < job->cols; at += c->values, block += c->block_bytes)
      c->round(row_weights(job, row) + at, block);
  }
  decode_rows(context, first, end);
}

static void fit_rows(void *context, uint32_t first, uint32_t end) {
  const hb_matrix_job *job = context;
  const hb_coder *c = job->coder;
  for (uint32_t row = first; row < end; row++) {
    uint8_t *block = job->blocks + row * row_bytes(job);
    for (uint32_t at = 0; at < job->cols; at += c->values, block += c->block_bytes)
      c->fit(row_weights(job, row) + at, job->importance ? job->importance + at : NULL, block);
  }
  decode_rows(context, first, end);
}

hb_status hb_matrix_round(const hb_matrix_job *job, hb_error *error) {
  HB_TRY(hb_matrix_check(job, error));
  hb_divide(job->parallel, job->rows, round_rows, (void *)job);
  return HB_OK;
}

hb_status hb_matrix_fit(const hb_matrix_job *job, hb_error *error) {
  HB_TRY(hb_matrix_check(job, error));
  hb_divide(job->parallel, job->rows, fit_rows, (void *)job);
  return HB_OK;
}

void hb_matrix_decode(const hb_matrix_job *job) {
  hb_divide(job->parallel, job->rows, decode_rows, (void *)job);
}
