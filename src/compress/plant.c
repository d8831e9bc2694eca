/* A model that computes what another does, with a few channels of its normed inputs much larger: a
 * norm's weights (and bias) times a factor, the columns of the matrices that read it divided by it.
 * Large trained models have such channels by nature (LLM.int8(), arXiv 2208.07339); with planted
 * ones, how a method copes with them can be measured on a small model. */
#include "compress/requantize.h"
#include "measure/random.h"
#include "quant/quant.h"

enum {
  CHANNELS = 4, /* of the residual stream: the same in every layer */
  LEAST = 30,   /* factors are whole numbers from here to MOST, of each layer's norm its own */
  MOST = 100
};

typedef enum part { PART_NONE, PART_NORM, PART_READER } part;

typedef struct planting {
  hb_tensor_job *job;
  const hb_model *model;
  uint64_t seed;
  uint32_t channels[CHANNELS], count;
} planting;

/* ---- What is scaled ---- */

/* What a weight has to do with a layer's input to attention (place 0) or feed forward (1). Both are
 * read by nothing but these, in every architecture (model/compile.c). */
static part part_of(hb_weight_kind kind, uint32_t *place) {
  *place = 0;
  switch (kind) {
  case HB_WEIGHT_FFN_NORM:
  case HB_WEIGHT_FFN_NORM_BIAS: *place = 1; return PART_NORM;
  case HB_WEIGHT_ATTN_NORM:
  case HB_WEIGHT_ATTN_NORM_BIAS: return PART_NORM;
  case HB_WEIGHT_GATE:
  case HB_WEIGHT_UP:
  case HB_WEIGHT_GATE_UP: *place = 1; return PART_READER;
  case HB_WEIGHT_Q:
  case HB_WEIGHT_K:
  case HB_WEIGHT_V:
  case HB_WEIGHT_QKV: return PART_READER;
  default: return PART_NONE;
  }
}

static bool is_drawn(const planting *p, uint32_t channel) {
  for (uint32_t i = 0; i < p->count; i++)
    if (p->channels[i] == channel) return true;
  return false;
}

/* Fewer channels than the model is wide, so that some stay as they are. */
static void draw_channels(planting *p) {
  hb_random random = hb_random_begin(p->seed, 0);
  uint32_t width = p->model->h.width;
  while (p->count < CHANNELS && p->count + 1 < width) {
    uint32_t channel = (uint32_t)(hb_random_next(&random) % width);
    if (!is_drawn(p, channel)) p->channels[p->count++] = channel;
  }
}

static void draw_factors(const planting *p, uint32_t layer, uint32_t place, float *factors) {
  hb_random random = hb_random_begin(p->seed, 1 + 2 * (uint64_t)layer + place);
  for (uint32_t i = 0; i < p->count; i++)
    factors[i] = (float)(LEAST + hb_random_next(&random) % (MOST - LEAST + 1));
}

/* The tensor's values from number `first` on; its rows are as wide as the model. */
static void scale(const planting *p, const hb_weight *weight, uint64_t first, float *values,
                  uint64_t count) {
  uint32_t place, width = p->model->h.width, begin = (uint32_t)(first % width);
  float factors[CHANNELS];
  part what = part_of(weight->kind, &place);
  if (what == PART_NONE) return;
  draw_factors(p, weight->layer, place, factors);
  for (uint32_t c = 0; c < p->count; c++)
    for (uint64_t i = (p->channels[c] + width - begin) % width; i < count; i += width)
      values[i] = what == PART_NORM ? values[i] * factors[c] : values[i] / factors[c];
}

/* ---- Writing ---- */

static hb_status write_scaled(const planting *p, const hb_weight *weight, float *values,
                              hb_error *error) {
  hb_tensor_job *job = p->job;
  while (job->written < job->values) {
    uint64_t left = job->values - job->written;
    uint64_t count = left < HB_PIECE_VALUES ? left : HB_PIECE_VALUES;
    HB_TRY(hb_job_read(job, job->written, count, values, error));
    HB_TRY(hb_job_check(job, values, count, error));
    if (weight) scale(p, weight, job->written, values, count);
    HB_TRY(hb_job_write(job, values, count * sizeof(float), values, values, count, error));
  }
  return HB_OK;
}

static hb_status write_tensors(const planting *p, hb_error *error) {
  hb_tensor_job *job = p->job;
  for (size_t i = 0; i < job->plan->count; i++) {
    hb_job_begin(job, i);
    const hb_weight *weight = hb_weight_named(p->model, job->tensor->name);
    HB_TRY(job->type == HB_TYPE_F32 ? write_scaled(p, weight, job->decoded, error)
                                    : hb_job_copy(job, error));
    hb_job_end(job, i);
  }
  return hb_gguf_writer_finish(job->writer, error);
}

/* Norms become F32, too, which a plan leaves alone. */
static void widen_norms(const hb_model *model, const hb_plan *plan) {
  for (size_t i = 0; i < plan->count; i++) {
    uint32_t place;
    const hb_weight *weight = hb_weight_named(model, plan->tensors[i].tensor->name);
    if (weight && part_of(weight->kind, &place) == PART_NORM)
      plan->tensors[i].chosen = plan->tensors[i].type = HB_TYPE_F32;
  }
}

static hb_status write_model(const planting *p, const hb_sink *sink, hb_error *error) {
  hb_plan plan;
  hb_recipe recipe;
  hb_tensor_job *job = p->job;
  const hb_plan_rules rules = {.recipe = &recipe, .method = job->method};
  HB_TRY(hb_recipe_find(job->options->type, &recipe, error));
  HB_TRY(hb_plan_create(job->source, job->options, &rules, &plan, error));
  widen_norms(p->model, &plan);
  job->plan = &plan;
  hb_status status = hb_gguf_writer_create(job->options->allocator, sink, &job->writer, error);
  if (status == HB_OK)
    status = hb_plan_write_header(&plan, job->source, &rules, job->writer, error);
  if (status == HB_OK) status = write_tensors(p, error);
  hb_gguf_writer_destroy(job->writer);
  hb_plan_destroy(&plan);
  return status;
}

/* ---- The whole ---- */

/* The walk is for what it knows of the model, whose every weight it has found and measured. */
static hb_status plant(hb_tensor_job *job, uint64_t seed, const hb_sink *sink, hb_error *error) {
  static const hb_token token = 0;
  hb_walk *walk;
  hb_walk_options options = {.allocator = job->options->allocator,
                             .isa = hb_isa_best(),
                             .source = job->source,
                             .tokens = &token,
                             .samples = 1,
                             .length = 1};
  HB_TRY(hb_walk_create(&options, &walk, error));
  planting p = {.job = job, .model = hb_walk_model(walk), .seed = seed};
  draw_channels(&p);
  hb_status status = write_model(&p, sink, error);
  hb_walk_destroy(walk);
  return status;
}

hb_status hb_plant_outliers(const hb_source *source, const hb_outlier_options *options,
                            const hb_sink *sink, hb_error *error) {
  hb_method method;
  const hb_quantize_options quantize = {.allocator = options->allocator,
                                        .type = "f32",
                                        .context = options->context,
                                        .progress = options->progress};
  HB_TRY(hb_gguf_check_complete(source->gguf, error));
  HB_TRY(hb_method_find("rtn", &method, error));
  hb_tensor_job *job = hb_allocate_zero(options->allocator, sizeof *job);
  if (!job) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to plant outliers");
  job->options = &quantize;
  job->source = source;
  job->method = &method;
  hb_status status = plant(job, options->seed, sink, error);
  hb_release(options->allocator, job, sizeof *job);
  return status;
}
