/* One tensor on its way from the source to the result. */
#include "base/half.h"
#include "compress/resume.h"

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
  job->outliers = p->outliers;
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
