/* Quantizing layer by layer. For each group of products that read the same input, in the order of
 * the program: the layer runs over the calibration text as far as that input, which passed through
 * everything quantized before; its statistics tell how the group's weights are quantized; and the
 * values that their blocks stand for take their place. */
#include "compress/layerwise.h"
#include "compress/awq.h"
#include "compress/drift.h"
#include "compress/resume.h"
#include "compress/rounding.h"
#include "compress/smooth.h"
#include "quant/quant.h"

/* ---- The products of a layer ---- */

static size_t plan_index(const hb_plan *plan, uint32_t stage, const char *name) {
  for (size_t i = 0; i < plan->count; i++)
    if (plan->tensors[i].stage == stage &&
        hb_string_equal(plan->tensors[i].tensor->name, hb_string_of(name)))
      return i;
  return plan->count;
}

static bool same_input(hb_operand a, hb_operand b) {
  return a.buffer == b.buffer && a.column == b.column && a.width == b.width;
}

static hb_status find_products(hb_layer_work *l, hb_error *error) {
  const hb_model *m = hb_walk_model(l->walk);
  l->count = 0;
  for (uint32_t op = hb_walk_first(l->walk); op < hb_walk_end(l->walk); op++) {
    const hb_op *o = &m->program[op];
    if (o->kind != HB_OP_MATMUL) continue;
    if (l->count == HB_LAYER_PRODUCTS)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "layer %u has too many products",
                     (uint64_t)l->layer);
    size_t index = plan_index(l->job->plan, hb_plan_stage(l->layer), m->weights[o->weight].name);
    if (index == l->job->plan->count)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %s has no place in layer %u",
                     m->weights[o->weight].name, (uint64_t)l->layer);
    l->products[l->count++] = (hb_product){.op = op, .weight = o->weight, .plan = index};
  }
  return HB_OK;
}

uint32_t hb_layer_group_end(const hb_layer_work *l, uint32_t first) {
  const hb_op *program = hb_walk_model(l->walk)->program;
  uint32_t end = first + 1;
  while (end < l->count && l->products[end].op == l->products[end - 1].op + 1 &&
         same_input(program[l->products[first].op].in, program[l->products[end].op].in))
    end++;
  return end;
}

/* ---- What is known of an input ---- */

typedef struct collector {
  hb_layer_work *layer;
  hb_operand input;
  uint32_t op;
  hb_statistics *statistics;
  hb_status status;
  hb_error *error;
} collector;

static void collect(void *context, const hb_walk *walk, uint32_t op) {
  collector *c = context;
  const hb_quantize_options *o = c->layer->job->options;
  if (op != c->op || c->status != HB_OK) return;
  size_t stride;
  const float *rows = hb_walk_rows(walk, c->input, &stride);
  c->status =
      hb_statistics_add(c->statistics, rows, stride, o->calibration_length, o->parallel, c->error);
}

hb_status hb_layer_gather(hb_layer_work *l, hb_operand input, uint32_t op, bool gram,
                          hb_statistics *s, float *importance, hb_error *error) {
  const hb_quantize_options *o = l->job->options;
  uint32_t end = hb_walk_end(l->walk);
  HB_TRY(hb_statistics_create(o->allocator, input.width, gram, s, error));
  collector c = {l, input, op, s, HB_OK, error};
  hb_tap tap = {&c, collect};
  hb_status status =
      hb_walk_run(l->walk, op == end ? end : op + 1, o->calibration_samples, false, &tap, error);
  if (status == HB_OK) status = c.status;
  if (status == HB_OK) hb_statistics_finish(s, o->parallel, importance);
  return status;
}

/* ---- Quantizing ---- */

/* Whether scales go from one tensor of a layer to others. */
static bool folds(const hb_layer_work *l) {
  return l->job->method->awq || l->job->method->smooth;
}

static hb_status quantize_product(hb_layer_work *l, hb_product *p, const hb_inputs *inputs,
                                  hb_error *error) {
  const hb_allocator *allocator = l->job->options->allocator;
  const hb_weight *weight = &hb_walk_model(l->walk)->weights[p->weight];
  uint64_t values = weight->rows * weight->cols, row_bytes;
  float *values_now = hb_walk_values(l->walk, p->weight);
  hb_job_begin(l->job, p->plan);
  if (l->job->type == l->job->tensor->type && !folds(l)) return HB_OK;
  HB_TRY(hb_job_check(l->job, values_now, values, error));
  hb_row_bytes(l->job->type, weight->cols, &row_bytes);
  p->block_bytes = row_bytes * weight->rows;
  p->value_bytes = values * sizeof(float);
  p->blocks = hb_allocate(allocator, p->block_bytes);
  p->original = hb_allocate(allocator, p->value_bytes);
  if (!p->blocks || !p->original)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for tensor %s", weight->name);
  memcpy(p->original, values_now, (size_t)p->value_bytes);
  hb_outliers outliers;
  HB_TRY(hb_job_outliers(l->job, &p->sparse, &p->sparse_bytes, &outliers, error));
  HB_TRY(hb_job_blocks(l->job, (uint32_t)weight->rows, values_now, p->blocks,
                       p->sparse ? &outliers : NULL, inputs, error));
  p->note = l->job->note;
  return HB_OK;
}

/* The columns of outliers do not become int8. */
static hb_status find_fixed_scale(hb_layer_work *l, uint32_t first, uint32_t end,
                                  const float *largest, float *out, hb_error *error) {
  const hb_allocator *allocator = l->job->options->allocator;
  const hb_tensor *t = l->job->plan->tensors[l->products[first].plan].tensor;
  uint64_t cols = t->dims[0];
  if (!l->job->survey) return hb_fixed_scale(l, first, end, largest, NULL, NULL, out, error);
  uint16_t *columns = hb_allocate(allocator, cols * sizeof *columns);
  uint8_t *skip = hb_allocate_zero(allocator, cols);
  hb_status status = HB_OK;
  if (columns && skip) {
    uint32_t count = hb_survey_outliers(l->job->survey, t->name, columns);
    for (uint32_t i = 0; i < count; i++) skip[columns[i]] = 1;
    status = hb_fixed_scale(l, first, end, largest, NULL, skip, out, error);
  } else {
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to scale inputs");
  }
  hb_release(allocator, columns, cols * sizeof *columns);
  hb_release(allocator, skip, cols);
  return status;
}

/* What calibration text tells of an input. */
typedef struct knowledge {
  hb_statistics statistics;
  hb_drift drift;
  float *importance; /* [cols] */
} knowledge;

/* *out is to be forgotten, whatever the status. `drifts`: whether what reads the input may be
 * moved. */
static hb_status know(hb_layer_work *l, hb_operand input, uint32_t op, bool drifts, knowledge *out,
                      hb_error *error) {
  bool gram = hb_method_wants_gram(l->job->method);
  *out = (knowledge){.importance =
                         hb_allocate(l->job->options->allocator, input.width * sizeof(float))};
  if (!out->importance) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize");
  if (gram && drifts)
    return hb_drift_gather(l, input, op, &out->statistics, out->importance, &out->drift, error);
  return hb_layer_gather(l, input, op, gram, &out->statistics, out->importance, error);
}

static hb_inputs inputs_of(const knowledge *k) {
  return (hb_inputs){
      .importance = k->importance, .gram = k->statistics.gram, .drift = k->drift.matrix};
}

static void forget(const hb_layer_work *l, uint32_t cols, knowledge *k) {
  hb_release(l->job->options->allocator, k->importance, cols * sizeof(float));
  hb_statistics_destroy(&k->statistics);
  hb_drift_release(&k->drift);
}

static hb_status quantize_group(hb_layer_work *l, uint32_t first, uint32_t end, hb_error *error) {
  const hb_op *op = &hb_walk_model(l->walk)->program[l->products[first].op];
  knowledge k;
  hb_status status = know(l, op->in, l->products[first].op, true, &k, error);
  hb_inputs inputs = inputs_of(&k);
  float scale = 1;
  if (status == HB_OK && l->job->method->activations == HB_ACTIVATIONS_TENSOR)
    status = find_fixed_scale(l, first, end, k.statistics.largest, &scale, error);
  for (uint32_t i = first; i < end && status == HB_OK; i++) {
    l->products[i].input_scale = scale;
    status = quantize_product(l, &l->products[i], &inputs, error);
  }
  forget(l, op->in.width, &k);
  return status;
}

/* ---- Writing ---- */

static const hb_product *product_of(const hb_layer_work *l, size_t plan) {
  for (uint32_t i = 0; i < l->count; i++)
    if (l->products[i].plan == plan && l->products[i].blocks) return &l->products[i];
  return NULL;
}

/* A norm or bias, which may have taken a scale in. In the end `values` are those of the file. */
static hb_status write_vector(hb_layer_work *l, float *values, hb_error *error) {
  hb_tensor_job *job = l->job;
  const hb_type_traits *traits = hb_traits(job->type);
  for (uint64_t at = 0, count; at < job->values; at += count) {
    count = job->values - at < HB_PIECE_VALUES ? job->values - at : HB_PIECE_VALUES;
    traits->encode(values + at, job->bytes, (size_t)count);
    traits->decode(job->bytes, job->decoded, (size_t)count);
    HB_TRY(hb_job_write(job, job->bytes, count * traits->block_bytes, values + at, job->decoded,
                        count, error));
    memcpy(values + at, job->decoded, (size_t)count * sizeof(float));
  }
  return HB_OK;
}

static hb_status write_product(hb_layer_work *l, const hb_product *p, hb_error *error) {
  l->job->note = p->note;
  HB_TRY(hb_job_write(l->job, p->blocks, p->block_bytes, p->original,
                      hb_walk_values(l->walk, p->weight), l->job->values, error));
  if (p->sparse)
    HB_TRY(hb_gguf_writer_data(l->job->writer, p->sparse, (size_t)p->sparse_bytes, error));
  if (!l->job->plan->tensors[p->plan].input_scale) return HB_OK;
  return hb_gguf_writer_data(l->job->writer, &p->input_scale, sizeof p->input_scale, error);
}

static hb_status write_tensor(hb_layer_work *l, size_t index, hb_error *error) {
  hb_tensor_job *job = l->job;
  const hb_product *p = product_of(l, index);
  if (p) return write_product(l, p, error);
  const hb_model *m = hb_walk_model(l->walk);
  const hb_weight *weight = hb_weight_named(m, job->tensor->name);
  bool changed = folds(l) && weight && weight->vector;
  return changed ? write_vector(l, weight->vector, error) : hb_job_copy(job, error);
}

static hb_status write_stage(hb_layer_work *l, uint32_t stage, hb_error *error) {
  for (size_t i = 0; i < l->job->plan->count; i++) {
    if (l->job->plan->tensors[i].stage != stage) continue;
    hb_job_begin(l->job, i);
    HB_TRY(write_tensor(l, i, error));
    hb_job_end(l->job, i);
  }
  return HB_OK;
}

static void release_products(hb_layer_work *l) {
  for (uint32_t i = 0; i < l->count; i++) {
    hb_release(l->job->options->allocator, l->products[i].blocks, l->products[i].block_bytes);
    hb_release(l->job->options->allocator, l->products[i].original, l->products[i].value_bytes);
    hb_release(l->job->options->allocator, l->products[i].sparse, l->products[i].sparse_bytes);
  }
  l->count = 0;
}

/* ---- The model ---- */

static hb_status make_layer(hb_layer_work *l, hb_error *error) {
  if (l->job->method->smooth) HB_TRY(hb_smooth_layer(l, l->job->options->smooth_alpha, error));
  if (l->job->method->awq) HB_TRY(hb_awq_layer(l, error));
  HB_TRY(hb_walk_set_original(l->walk, error));
  for (uint32_t first = 0, end; first < l->count; first = end) {
    end = hb_layer_group_end(l, first);
    HB_TRY(quantize_group(l, first, end, error));
  }
  return write_stage(l, hb_plan_stage(l->layer), error);
}

/* How many tensors of the plan the stages up to this one have. */
static size_t stage_end(const hb_plan *plan, uint32_t stage) {
  size_t end = 0;
  while (end < plan->count && plan->tensors[end].stage <= stage) end++;
  return end;
}

/* As an earlier run made it. */
static hb_status resume_layer(hb_layer_work *l, hb_error *error) {
  const hb_plan *plan = l->job->plan;
  for (size_t i = 0; i < plan->count; i++)
    if (plan->tensors[i].stage == hb_plan_stage(l->layer))
      HB_TRY(hb_resume_tensor(l->job, l->walk, i, error));
  return HB_OK;
}

/* What later layers are quantized by is computed here, alike for layers that are made and for those
 * that an earlier run made. */
static hb_status quantize_layer(hb_layer_work *l, hb_error *error) {
  size_t end = stage_end(l->job->plan, hb_plan_stage(l->layer));
  HB_TRY(hb_walk_load(l->walk, l->layer, error));
  HB_TRY(find_products(l, error));
  HB_TRY(hb_resume_has(l->job, end) ? resume_layer(l, error) : make_layer(l, error));
  HB_TRY(hb_walk_run(l->walk, hb_walk_end(l->walk), l->job->options->calibration_samples, true,
                     NULL, error));
  HB_TRY(hb_walk_keep_original(l->walk, error));
  return hb_resume_note(l->job, end, 0, error);
}

/* The table of embeddings that is the output matrix, too: the first layer reads its rows as they
 * are, where errors in all directions count. (Without this, 3 bits cost tales-5.8m a tenth more.)
 */
#define TABLE_DAMPING 0.5

/* A matrix that no layer has: the output reads what the last norm leaves. */
static hb_status write_last(hb_tensor_job *job, size_t index, const hb_inputs *inputs,
                            hb_error *error) {
  hb_inputs shared = *inputs;
  hb_job_begin(job, index);
  if (!hb_gguf_tensor(job->source->gguf, "output.weight")) {
    shared.damping = TABLE_DAMPING;
  } else if (!hb_string_equal(job->tensor->name, hb_string_of("output.weight"))) {
    shared = (hb_inputs){0};
  }
  if (job->type == job->tensor->type)
    HB_TRY(hb_job_copy(job, error));
  else
    HB_TRY(hb_job_quantize(job, &shared, error));
  hb_job_end(job, index);
  return HB_OK;
}

static hb_status quantize_output(hb_layer_work *l, hb_error *error) {
  const hb_plan *plan = l->job->plan;
  uint32_t layers = hb_walk_model(l->walk)->h.layers, width = hb_walk_model(l->walk)->h.width;
  HB_TRY(hb_walk_load(l->walk, layers, error));
  knowledge k;
  bool tied = !hb_gguf_tensor(l->job->source->gguf, "output.weight");
  hb_operand hidden = {HB_BUFFER_HIDDEN, 0, width};
  hb_status status = know(l, hidden, hb_walk_end(l->walk), !tied, &k, error);
  hb_inputs inputs = inputs_of(&k);
  for (size_t i = 0; i < plan->count && status == HB_OK; i++)
    if (plan->tensors[i].stage == hb_plan_stage(plan->layers))
      status = write_last(l->job, i, &inputs, error);
  forget(l, width, &k);
  return status;
}

static hb_status quantize_before(hb_tensor_job *job, hb_error *error) {
  size_t end = stage_end(job->plan, HB_STAGE_BEFORE);
  for (size_t i = 0; i < end; i++) {
    if (hb_resume_has(job, end)) {
      HB_TRY(hb_resume_tensor(job, NULL, i, error));
      continue;
    }
    hb_job_begin(job, i);
    HB_TRY(job->type == job->tensor->type ? hb_job_copy(job, error)
                                          : hb_job_quantize(job, NULL, error));
    hb_job_end(job, i);
  }
  return HB_OK;
}

/* Every tensor of a layer has its turn only if the model has that layer. */
static hb_status check_layers(const hb_layer_work *l, hb_error *error) {
  uint64_t there = l->job->plan->layers, wanted = hb_walk_model(l->walk)->h.layers;
  if (there == wanted) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                 "the file has tensors of %u layers, but its model has %u", there, wanted);
}

static int was_stopped(void *context) {
  return hb_job_progress(context, 0, NULL) != HB_OK;
}

hb_walk_options hb_job_walk(hb_tensor_job *job) {
  const hb_quantize_options *o = job->options;
  return (hb_walk_options){.allocator = o->allocator,
                           .parallel = o->parallel,
                           .isa = hb_isa_best(),
                           .source = job->source,
                           .tokens = o->calibration,
                           .samples = o->calibration_samples,
                           .length = o->calibration_length,
                           .context = job,
                           .stopped = was_stopped};
}

hb_status hb_quantize_layers(hb_tensor_job *job, hb_error *error) {
  hb_layer_work l = {.job = job};
  hb_walk_options options = hb_job_walk(job);
  options.original = hb_method_wants_gram(job->method);
  HB_TRY(hb_walk_create(&options, &l.walk, error));
  hb_status status = check_layers(&l, error);
  if (status == HB_OK) status = quantize_before(job, error);
  for (; l.layer < hb_walk_model(l.walk)->h.layers && status == HB_OK; l.layer++) {
    status = quantize_layer(&l, error);
    release_products(&l);
  }
  if (status == HB_OK) status = quantize_output(&l, error);
  hb_walk_destroy(l.walk);
  return status;
}
