#include "compress/gptq.h"
#include "compress/compensate.h"
#include "compress/refine.h"

/* Rounds in one order. Leaves report->damping 0, and the blocks as they were, if H has no factor.
 */
static hb_status round_in(const hb_matrix_job *job, hb_column_order columns, double damping,
                          double *losses, hb_gptq_report *report, hb_error *error) {
  hb_hessian h;
  HB_TRY(hb_hessian_create(job, columns, damping, &h, error));
  report->damping = h.damping;
  hb_status status = HB_OK;
  if (h.damping > 0)
    status = hb_compensate(&(hb_compensation){.job = job, .hessian = &h, .losses = losses}, error);
  hb_hessian_release(&h);
  return status;
}

/* ---- The better of two orders ---- */

/* Takes the rows with smaller losses from the second result into the first. */
static uint32_t take_better(const hb_matrix_job *first, double *losses, const hb_matrix_job *second,
                            const double *other) {
  size_t bytes = (size_t)(first->cols / first->coder->values) * first->coder->block_bytes;
  uint32_t taken = 0;
  for (uint32_t row = 0; row < first->rows; row++) {
    if (!(other[row] < losses[row])) continue;
    memcpy(first->blocks + row * bytes, second->blocks + row * bytes, bytes);
    losses[row] = other[row];
    taken++;
  }
  return taken;
}

static hb_status round_better(const hb_matrix_job *job, double damping, double *losses,
                              hb_gptq_report *report, hb_error *error) {
  hb_matrix_job second = *job;
  uint64_t bytes = (uint64_t)job->rows * (job->cols / job->coder->values) * job->coder->block_bytes;
  uint64_t losses_bytes = job->rows * sizeof(double);
  double *other = hb_allocate(job->allocator, losses_bytes);
  second.blocks = hb_allocate_zero(job->allocator, bytes);
  hb_status status;
  if (other && second.blocks) {
    hb_gptq_report natural = {0};
    status = round_in(job, HB_COLUMNS_FALLING, damping, losses, report, error);
    if (status == HB_OK && report->damping > 0)
      status = round_in(&second, HB_COLUMNS_NATURAL, report->damping, other, &natural, error);
    if (status == HB_OK && natural.damping > 0)
      report->natural_rows = take_better(job, losses, &second, other);
  } else {
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the blocks of a matrix");
  }
  hb_release(job->allocator, second.blocks, bytes);
  hb_release(job->allocator, other, losses_bytes);
  return status;
}

/* ---- The whole ---- */

static hb_status round_rows(const hb_matrix_job *job, const hb_gptq_options *options,
                            double *losses, hb_gptq_report *report, hb_error *error) {
  double damping = options->damping > 0 ? options->damping : 0.01;
  if (options->order == HB_GPTQ_BETTER) return round_better(job, damping, losses, report, error);
  bool natural = options->order == HB_GPTQ_NATURAL;
  HB_TRY(round_in(job, natural ? HB_COLUMNS_NATURAL : HB_COLUMNS_FALLING, damping, losses, report,
                  error));
  report->natural_rows = natural && report->damping > 0 ? job->rows : 0;
  return HB_OK;
}

/* What follows once blocks are chosen. */
static hb_status finish(const hb_matrix_job *job, bool refine, const double *losses,
                        hb_gptq_report *report, hb_error *error) {
  for (uint32_t row = 0; row < job->rows; row++) report->loss += losses[row];
  if (refine) {
    hb_refine_report refined;
    HB_TRY(hb_matrix_refine(job, report->damping, &refined, error));
    report->loss = refined.after;
  }
  hb_matrix_decode(job);
  return HB_OK;
}

hb_status hb_matrix_gptq(const hb_matrix_job *job, const hb_gptq_options *options,
                         hb_gptq_report *report, hb_error *error) {
  *report = (hb_gptq_report){0};
  HB_TRY(hb_compensate_check(job, error));
  uint64_t bytes = job->rows * sizeof(double);
  double *losses = hb_allocate(job->allocator, bytes);
  if (!losses)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the losses of %u rows",
                   (uint64_t)job->rows);
  hb_status status = round_rows(job, options, losses, report, error);
  if (status == HB_OK)
    status = report->damping > 0 ? finish(job, options->refine, losses, report, error)
                                 : hb_matrix_fit(job, error);
  hb_release(job->allocator, losses, bytes);
  return status;
}
