#include "compress/channel.h"
#include "base/half.h"
#include "compress/rtn.h"

/* Moves the columns' values from the weights to the outliers. */
static void take_out(const hb_matrix_job *job, hb_outliers *o) {
  uint32_t each = o->count / job->rows;
  for (uint32_t row = 0; row < job->rows; row++) {
    o->starts[row] = row * each;
    for (uint32_t i = 0; i < each; i++) {
      float *w = job->weights + (size_t)row * job->cols + o->columns[i];
      o->columns[row * each + i] = o->columns[i];
      o->values[row * each + i] = hb_f16_of_f32(*w);
      *w = 0;
    }
  }
  o->starts[job->rows] = o->count;
}

static void put_back(const hb_matrix_job *job, const hb_outliers *o) {
  for (uint32_t row = 0; row < job->rows; row++)
    for (uint32_t i = o->starts[row]; i < o->starts[row + 1]; i++)
      job->weights[(size_t)row * job->cols + o->columns[i]] += hb_f32_of_f16(o->values[i]);
}

hb_status hb_matrix_channel(const hb_matrix_job *job, hb_outliers *outliers, hb_error *error) {
  hb_rtn_options options = {.bits = 8, .symmetric = true, .granularity = HB_RTN_CHANNEL};
  if (job->coder->type != HB_TYPE_Q8_0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "int8 with one scale a row is stored as Q8_0, not %s",
                   hb_type_name(job->coder->type));
  if (outliers) take_out(job, outliers);
  HB_TRY(hb_matrix_rtn(job, &options, error));
  if (outliers) put_back(job, outliers);
  return HB_OK;
}
