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

static hb_status write_all(hb_tensor_job *job, const hb_plan_rules *rules, hb_error *error) {
  HB_TRY(hb_plan_write_header(job->plan, job->source, rules, job->writer, error));
  HB_TRY(hb_method_calibrates(job->method) ? hb_quantize_layers(job, error)
                                           : quantize_tensors(job, error));
  return hb_gguf_writer_finish(job->writer, error);
}

static hb_status check_options(const hb_source *source, const hb_quantize_options *o,
                               hb_recipe *recipe, hb_method *method, hb_error *error) {
  if (!o->type) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no type to quantize to");
  HB_TRY(hb_recipe_find(o->type, recipe, error));
  HB_TRY(hb_method_find(o->method ? o->method : "rtn", method, error));
  if (o->activations) HB_TRY(hb_method_set_activations(method, o->activations, error));
  HB_TRY(hb_check_parallel(o->parallel, error));
  if (hb_method_calibrates(method) && !o->calibration)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "method %s needs text to calibrate with",
                   o->method);
  return hb_gguf_check_complete(source->gguf, error);
}

/* Everything but the survey, which the rules may hold. */
static hb_status quantize(hb_tensor_job *job, const hb_plan_rules *rules, const hb_sink *sink,
                          hb_error *error) {
  hb_plan plan;
  HB_TRY(hb_plan_create(job->source, job->options, rules, &plan, error));
  job->plan = &plan;
  hb_status status = hb_gguf_writer_create(job->options->allocator, sink, &job->writer, error);
  if (status == HB_OK) status = write_all(job, rules, error);
  hb_gguf_writer_destroy(job->writer);
  hb_plan_destroy(&plan);
  return status;
}

hb_status hb_quantize(const hb_source *source, const hb_quantize_options *options,
                      const hb_sink *sink, hb_error *error) {
  hb_recipe recipe;
  hb_method method;
  hb_survey survey = {0};
  HB_TRY(check_options(source, options, &recipe, &method, error));
  hb_tensor_job *job = hb_allocate_zero(options->allocator, sizeof *job);
  if (!job) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize");
  job->options = options;
  job->source = source;
  job->method = &method;
  hb_plan_rules rules = {.recipe = &recipe, .method = &method};
  rules.outliers = hb_method_outliers(&method);
  if (rules.outliers > 0 && options->outliers > 0) rules.outliers = options->outliers;
  hb_status status = HB_OK;
  if (method.outlier_columns) {
    hb_walk_options walk = hb_job_walk(job);
    job->survey = rules.survey = &survey;
    status = hb_survey_create(&walk, &survey, error);
  }
  if (status == HB_OK) status = quantize(job, &rules, sink, error);
  hb_survey_destroy(&survey);
  hb_release(options->allocator, job, sizeof *job);
  return status;
}
