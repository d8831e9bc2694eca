#include "compress/requantize.h"

typedef struct scratch {
  float values[HB_PIECE_VALUES];
  uint8_t blocks[4 * HB_PIECE_VALUES];
} scratch;

static hb_status round_pieces(hb_tensor_job *job, scratch *s, hb_error *error) {
  const hb_type_traits *traits = hb_traits(job->type);
  for (uint64_t at = 0; at < job->values; at += HB_PIECE_VALUES) {
    uint64_t left = job->values - at;
    size_t count = left < HB_PIECE_VALUES ? (size_t)left : HB_PIECE_VALUES;
    HB_TRY(hb_job_read(job, at, count, s->values, error));
    traits->encode(s->values, s->blocks, count / traits->block_values);
    HB_TRY(hb_job_write(job, s->blocks, s->values, count, error));
  }
  return HB_OK;
}

hb_status hb_method_round(hb_tensor_job *job, hb_error *error) {
  const hb_allocator *allocator = job->options->allocator;
  scratch *s = hb_allocate(allocator, sizeof *s);
  if (!s) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to round values");
  hb_status status = round_pieces(job, s, error);
  hb_release(allocator, s, sizeof *s);
  return status;
}
