/* What methods see of a tensor: its values, and a place for its blocks. */
#include "base/half.h"
#include "compress/requantize.h"

hb_status hb_job_progress(const hb_tensor_job *job, uint64_t bytes, hb_error *error) {
  const hb_quantize_options *o = job->options;
  if (!o->progress || o->progress(o->context, job->done + bytes, job->total) == 0) return HB_OK;
  return hb_fail(error, HB_ABORTED, HB_NO_OFFSET, "quantizing was stopped");
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

/* Values that the source should not hold, and values that the type cannot. */
static hb_status check_piece(const hb_tensor_job *job, const float *original, size_t count,
                             hb_error *error) {
  size_t i = first_odd(original, count);
  if (i < count) return refuse(job, i, "no finite number", "", error);
  i = first_odd(job->decoded, count);
  if (i < count) return refuse(job, i, "too large for ", hb_type_name(job->type), error);
  return HB_OK;
}

/* Four sums each, so that a vector can hold them; a piece ends in a multiple of four or the
 * tensor does. */
static void measure_piece(hb_tensor_job *job, const float *original, size_t count) {
  double squares[4] = {0}, differences[4] = {0};
  for (size_t i = 0; i < count; i++) {
    double x = original[i], d = x - job->decoded[i];
    squares[i % 4] += x * x;
    differences[i % 4] += d * d;
  }
  job->squares += (squares[0] + squares[1]) + (squares[2] + squares[3]);
  job->differences += (differences[0] + differences[1]) + (differences[2] + differences[3]);
}

hb_status hb_job_write(hb_tensor_job *job, const void *blocks, const float *original,
                       uint64_t count, hb_error *error) {
  const hb_type_traits *traits = hb_traits(job->type), *from = hb_traits(job->tensor->type);
  const uint8_t *at = blocks;
  while (count > 0) {
    size_t piece = count < HB_PIECE_VALUES ? (size_t)count : HB_PIECE_VALUES;
    size_t bytes = piece / traits->block_values * traits->block_bytes;
    traits->decode(at, job->decoded, piece / traits->block_values);
    HB_TRY(check_piece(job, original, piece, error));
    measure_piece(job, original, piece);
    HB_TRY(hb_gguf_writer_data(job->writer, at, bytes, error));
    job->written += piece;
    HB_TRY(hb_job_progress(job, job->written / from->block_values * from->block_bytes, error));
    at += bytes;
    original += piece;
    count -= piece;
  }
  return HB_OK;
}
