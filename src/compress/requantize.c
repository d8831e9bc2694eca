#include "compress/requantize.h"
#include "compress/gradients.h"
#include "compress/imatrix.h"
#include "compress/resume.h"
#include "quant/quant.h"

#define NOTED_BYTES (1u << 20) /* a mark waits for the disk */

/* By what the importance file says of the tensor's inputs. */
static hb_status quantize_measured(hb_tensor_job *job, hb_error *error) {
  const hb_allocator *allocator = job->options->allocator;
  uint64_t bytes = job->tensor->dims[0] * sizeof(float);
  float *importance = hb_allocate(allocator, bytes);
  bool known = false;
  if (!importance)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the importance of %S",
                   job->tensor->name);
  hb_status status =
      hb_imatrix_read(job->options->importance, job->tensor, importance, &known, error);
  if (!known && !hb_string_equal(job->tensor->name, hb_string_of("token_embd.weight")))
    job->note = "all its values count alike, as the importance file does not have it";
  if (status == HB_OK)
    status = hb_job_quantize(job, &(hb_inputs){.importance = known ? importance : NULL}, error);
  hb_release(allocator, importance, bytes);
  return status;
}

/* By what the gradient file says of the tensor's values, which strips read. */
static hb_status quantize_sensitive(hb_tensor_job *job, hb_error *error) {
  if (!hb_gradients_has(job->options->gradients->gguf, job->tensor))
    job->note = "all its values count alike, as the gradient file does not have it";
  return hb_job_quantize(job, NULL, error);
}

static hb_status quantize_tensor(hb_tensor_job *job, hb_error *error) {
  if (job->type == job->tensor->type) return hb_job_copy(job, error);
  if (job->options->gradients) return quantize_sensitive(job, error);
  if (job->method->measured) return quantize_measured(job, error);
  return hb_job_quantize(job, NULL, error);
}

/* Each tensor on its own. */
static hb_status quantize_tensors(hb_tensor_job *job, hb_error *error) {
  for (size_t i = 0; i < job->plan->count; i++) {
    if (hb_resume_has(job, i + 1)) {
      HB_TRY(hb_resume_tensor(job, NULL, i, error));
    } else {
      hb_job_begin(job, i);
      HB_TRY(quantize_tensor(job, error));
      hb_job_end(job, i);
    }
    HB_TRY(hb_resume_note(job, i + 1, NOTED_BYTES, error));
  }
  return HB_OK;
}

static hb_status write_all(hb_tensor_job *job, const hb_plan_rules *rules, hb_error *error) {
  HB_TRY(hb_plan_write_header(job->plan, job->source, rules, job->writer, error));
  HB_TRY(hb_method_calibrates(job->method) ? hb_quantize_layers(job, error)
                                           : quantize_tensors(job, error));
  HB_TRY(hb_resume_note(job, job->plan->count, 0, error));
  return hb_gguf_writer_finish(job->writer, error);
}

/* An importance file takes the place of a run over text. */
static hb_status check_importance(const hb_source *source, const hb_quantize_options *o,
                                  const char *name, hb_method *method, hb_error *error) {
  if (!hb_method_takes_importance(method))
    return hb_fail(
        error, HB_ARGUMENT, HB_NO_OFFSET,
        "method %s takes no importance file; imatrix does, with inputs of a block's or a "
        "token's scale",
        name);
  method->measured = true;
  return hb_imatrix_check(o->importance->gguf, source->gguf, error);
}

/* A gradient file takes the place of text, too. It says nothing of weights that are scaled before,
 * nor of inputs. */
static hb_status check_gradients(const hb_source *source, const hb_quantize_options *o,
                                 const char *name, hb_method *method, hb_error *error) {
  if (!hb_method_takes_gradients(method))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "method %s has no use for gradients; squeezellm has, with inputs of a block's "
                   "or a token's scale",
                   name);
  if (o->calibration)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "method %s takes either gradients or text to calibrate with", name);
  method->measured = true;
  return hb_gradients_check(o->gradients->gguf, source->gguf, error);
}

/* What method and options say of the type must not contradict. */
static hb_status check_type(const char *name, const hb_method *method, const char *type,
                            const hb_recipe *recipe, hb_error *error) {
  hb_type own;
  if (!method->type || hb_type_from_name(hb_string_of(method->type), &own) != HB_OK) return HB_OK;
  if (recipe->type == own) return HB_OK;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "method %s means the type %s, not %s", name,
                 hb_type_name(own), type);
}

/* An option that says nothing to the method is a mistake. */
static hb_status check_use(const char *name, const hb_method *method, const hb_quantize_options *o,
                           hb_error *error) {
  const struct {
    bool given, used;
    const char *what;
  } uses[] = {
      {o->outliers > 0, hb_method_outliers(method) > 0, "a part of outliers"},
      {o->outlier_threshold > 0, method->outlier_columns, "a threshold of outliers"},
      {o->smooth_alpha > 0, method->smooth, "an alpha"},
  };
  for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
    if (uses[i].given && !uses[i].used)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "method %s has no use for %s", name,
                     uses[i].what);
  return HB_OK;
}

static hb_status check_options(const hb_source *source, const hb_quantize_options *o,
                               hb_recipe *recipe, hb_method *method, hb_error *error) {
  const char *standard = o->importance ? "imatrix" : "rtn";
  const char *name = o->method ? o->method : standard;
  HB_TRY(hb_method_find(name, method, error));
  if (!o->type && !method->type)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no type to quantize to");
  HB_TRY(hb_recipe_find(o->type ? o->type : method->type, recipe, error));
  HB_TRY(check_type(name, method, o->type, recipe, error));
  HB_TRY(hb_method_set_granularity(method, o->granularity, o->group_size, error));
  HB_TRY(check_use(name, method, o, error));
  if (o->activations) HB_TRY(hb_method_set_activations(method, o->activations, error));
  if (o->importance) HB_TRY(check_importance(source, o, name, method, error));
  if (o->gradients) HB_TRY(check_gradients(source, o, name, method, error));
  HB_TRY(hb_check_parallel(o->parallel, error));
  if (hb_method_calibrates(method) && !o->calibration)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "method %s needs text to calibrate with%s",
                   name,
                   method->activations == HB_ACTIVATIONS_TENSOR ? ", for its inputs' scales" : "");
  return hb_gguf_check_complete(source->gguf, error);
}

/* Everything but the survey, which the rules may hold. */
static hb_status quantize(hb_tensor_job *job, const hb_plan_rules *rules, const hb_sink *sink,
                          hb_error *error) {
  hb_plan plan;
  HB_TRY(hb_plan_create(job->source, job->options, rules, &plan, error));
  job->plan = &plan;
  hb_resume resume;
  hb_sink through = {&resume, hb_resume_write};
  job->resume = &resume;
  hb_status status = hb_resume_begin(job, rules, sink, &resume, error);
  if (status == HB_OK)
    status = hb_gguf_writer_create(job->options->allocator, &through, &job->writer, error);
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
  hb_plan_rules rules = {.recipe = &recipe, .method = &method, .options = options};
  rules.outliers = hb_method_outliers(&method);
  if (rules.outliers > 0 && options->outliers > 0) rules.outliers = options->outliers;
  hb_status status = HB_OK;
  if (method.outlier_columns) {
    hb_walk_options walk = hb_job_walk(job);
    job->survey = rules.survey = &survey;
    double threshold = options->outlier_threshold;
    status = hb_survey_create(&walk, (float)(threshold > 0 ? threshold : HB_OUTLIER_THRESHOLD),
                              &survey, error);
  }
  if (status == HB_OK) status = quantize(job, &rules, sink, error);
  hb_survey_destroy(&survey);
  hb_release(options->allocator, job, sizeof *job);
  return status;
}
