#include "compress/requantize.h"
#include "quant/quant.h"

/* Each tensor on its own. */
static hb_status quantize_tensors(hb_tensor_job *job, hb_error *error) {
  for (size_t i = 0; i < job->plan->count; i++) {
    hb_job_begin(job, i);
    HB_TRY(job->type == job->tensor->type ? hb_job_copy(job, error)
                                          : hb_job_quantize(job, NULL, NULL, error));
    hb_job_end(job, i);
  }
  return HB_OK;
}

static hb_status write_all(hb_tensor_job *job, bool calibrated, uint32_t file_type,
                           hb_error *error) {
  HB_TRY(hb_plan_write_header(job->plan, job->source, file_type, job->writer, error));
  HB_TRY(calibrated ? hb_quantize_layers(job, error) : quantize_tensors(job, error));
  return hb_gguf_writer_finish(job->writer, error);
}

static hb_status check_options(const hb_source *source, const hb_quantize_options *o,
                               hb_recipe *recipe, hb_method *method, hb_error *error) {
  if (!o->type) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no type to quantize to");
  HB_TRY(hb_recipe_find(o->type, recipe, error));
  HB_TRY(hb_method_find(o->method ? o->method : "rtn", method, error));
  HB_TRY(hb_check_parallel(o->parallel, error));
  if (hb_method_calibrates(method) && !o->calibration)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "method %s needs text to calibrate with",
                   o->method);
  return hb_gguf_check_complete(source->gguf, error);
}

hb_status hb_quantize(const hb_source *source, const hb_quantize_options *options,
                      const hb_sink *sink, hb_error *error) {
  const hb_allocator *allocator = options->allocator;
  hb_recipe recipe;
  hb_method method;
  HB_TRY(check_options(source, options, &recipe, &method, error));
  bool calibrated = hb_method_calibrates(&method);
  double outliers = hb_method_keeps_outliers(&method) ? options->outliers : 0;
  hb_plan plan;
  HB_TRY(hb_plan_create(source, options, &recipe, calibrated, outliers, &plan, error));
  hb_gguf_writer *writer = NULL;
  hb_tensor_job *job = hb_allocate_zero(allocator, sizeof *job);
  hb_status status = job ? hb_gguf_writer_create(allocator, sink, &writer, error)
                         : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize");
  if (status == HB_OK) {
    job->options = options;
    job->source = source;
    job->plan = &plan;
    job->method = &method;
    job->writer = writer;
    status = write_all(job, calibrated, recipe.file_type, error);
  }
  hb_gguf_writer_destroy(writer);
  hb_release(allocator, job, sizeof *job);
  hb_plan_destroy(&plan);
  return status;
}
