/* Making a trainer: its options, and what is trained. */
#include "train/trainer.h"
#include "compress/describe.h"
#include "quant/quant.h"

/* ---- Options ---- */

static hb_status find_method(const char *name, hb_train_method *out, hb_error *error) {
  static const char *const names[] = {
#define HB_TRAIN_METHOD_NAME(id, text) text,
      HB_TRAIN_METHOD_LIST(HB_TRAIN_METHOD_NAME)
#undef HB_TRAIN_METHOD_NAME
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) {
      *out = (hb_train_method)i;
      return HB_OK;
    }
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "there is no method of training '%s': full, qat or e2e-qp", name);
}

static void set_if_zero(double *field, double value) {
  if (*field == 0) *field = value;
}

static void fill_in(hb_train_options *o) {
  if (!o->method) o->method = "full";
  if (!o->schedule) o->schedule = "cosine";
  if (o->sequences == 0) o->sequences = 8;
  if (o->accumulate == 0) o->accumulate = 1;
  set_if_zero(&o->rate, 1e-4);
  set_if_zero(&o->scale_rate, o->rate);
  set_if_zero(&o->beta1, 0.9);
  set_if_zero(&o->beta2, 0.95);
  set_if_zero(&o->epsilon, 1e-8);
  set_if_zero(&o->clip, 1);
  set_if_zero(&o->temperature, 1);
}

/* Whether a number lies in 0 .. most; NaN does not. */
static bool within(double x, double most) {
  return x >= 0 && x <= most;
}

static hb_status check_numbers(const hb_train_options *o, hb_error *error) {
  const struct {
    double value, most;
    const char *name;
  } numbers[] = {{o->rate, 1, "rate"},
                 {o->rate_end, 1, "part of the rate in the end"},
                 {o->warmup, 1, "part of the steps for warming up"},
                 {o->scale_rate, 1, "rate of scales"},
                 {o->beta1, 0.99999, "beta1"},
                 {o->beta2, 0.99999, "beta2"},
                 {o->epsilon, 1, "epsilon"},
                 {o->decay, 10, "decay"},
                 {o->teacher, 1, "teacher's part of the loss"},
                 {o->temperature, 100, "temperature"},
                 {o->z, 1, "weight of z"}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!within(numbers[i].value, numbers[i].most))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the %s of training is not in its range",
                     numbers[i].name);
  if (o->clip != o->clip) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "clip is no number");
  if (o->steps == 0 || o->steps > UINT32_MAX || o->accumulate > 1u << 20)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%u steps of %u batches: there must be 1 to 2^32 and 2^20", o->steps,
                   (uint64_t)o->accumulate);
  return HB_OK;
}

static hb_status find_schedule(const hb_train_options *o, hb_schedule *out, hb_error *error) {
  static const char *const names[] = {
      [HB_SCHEDULE_CONSTANT] = "constant",
      [HB_SCHEDULE_LINEAR] = "linear",
      [HB_SCHEDULE_COSINE] = "cosine",
  };
  size_t kind = 0, count = sizeof names / sizeof *names;
  while (kind < count && strcmp(names[kind], o->schedule) != 0) kind++;
  if (kind == count)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "there is no schedule '%s': constant, linear or cosine", o->schedule);
  *out = (hb_schedule){.kind = (hb_schedule_kind)kind,
                       .rate = (float)o->rate,
                       .last = (float)o->rate_end,
                       .warmup = (uint64_t)(o->warmup * (double)o->steps),
                       .steps = o->steps};
  return hb_schedule_check(out, error);
}

hb_status hb_train_check(hb_trainer *t, const hb_train_options *options, hb_error *error) {
  hb_train_options *o = &t->o;
  *o = *options;
  o->allocator = t->allocator;
  fill_in(o);
  HB_TRY(find_method(o->method, &t->method, error));
  HB_TRY(check_numbers(o, error));
  HB_TRY(hb_check_parallel(o->parallel, error));
  HB_TRY(find_schedule(o, &t->schedule, error));
  if (o->teacher > 0 && !o->original)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "to learn from a teacher takes the original model");
  return HB_OK;
}

/* ---- Weights ---- */

static hb_status out_of_memory(hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for training");
}

static hb_status check_original(const hb_trainer *t, const hb_net *original, hb_error *error) {
  const hb_model *a = t->net.model, *b = original->model;
  for (uint32_t i = 0; i < a->weight_count; i++)
    if (a->weight_count != b->weight_count || hb_net_count(&t->net, i) != hb_net_count(original, i))
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                     "the original is another model: %s differs in size", a->weights[i].name);
  return HB_OK;
}

/* A quantizer for a matrix whose type has one. `original`: its weights before, or NULL. */
static hb_status begin_quantizer(hb_trainer *t, uint32_t weight, const hb_net *original,
                                 hb_error *error) {
  const hb_weight *w = &t->net.model->weights[weight];
  const hb_tensor *tensor = hb_gguf_tensor(t->source->gguf, w->name);
  const hb_coder *coder = hb_coder_of(tensor->type);
  if (hb_weight_is_vector(w) || !coder) return HB_OK;
  t->rounds[weight] = t->o.round_inputs;
  const float *values = NULL;
  if (t->method == HB_TRAIN_QAT) values = hb_net_values(original ? original : &t->net, weight);
  uint8_t *blocks = hb_allocate(t->allocator, tensor->bytes);
  if (!blocks) return out_of_memory(error);
  uint64_t at = hb_gguf_shard_data_start(t->source->gguf, tensor->shard) + tensor->offset;
  hb_status status =
      t->source->read(t->source->context, tensor->shard, at, blocks, (size_t)tensor->bytes, error);
  if (status == HB_OK)
    status = hb_quantizer_begin(&t->quantizers[weight], t->allocator, coder, (uint32_t)w->rows,
                                (uint32_t)w->cols, blocks, values, error);
  hb_release(t->allocator, blocks, tensor->bytes);
  return status;
}

static hb_status begin_quantizers(hb_trainer *t, const hb_net *original, hb_error *error) {
  bool any = false;
  for (uint32_t i = 0; i < t->net.model->weight_count; i++) {
    if (!t->net.model->weights[i].present) continue;
    HB_TRY(begin_quantizer(t, i, original, error));
    any = any || t->quantizers[i].coder;
  }
  if (!any)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%s trains quantized matrices, and this model has none", t->o.method);
  return HB_OK;
}

/* The original, for as long as it is needed: with a teacher to the end. */
static hb_status take_original(hb_trainer *t, hb_error *error) {
  hb_net original = {0};
  if (!t->o.original) return begin_quantizers(t, NULL, error);
  hb_status status = hb_net_load(&original, t->allocator, t->o.isa, t->o.original, error);
  if (status == HB_OK) status = check_original(t, &original, error);
  if (status == HB_OK && t->method != HB_TRAIN_FULL) status = begin_quantizers(t, &original, error);
  if (status == HB_OK && t->o.teacher > 0)
    t->original = original;
  else
    hb_net_end(&original);
  return status;
}

/* Weights that are trained as they are have to be written as they are. */
static hb_status check_floats(const hb_trainer *t, hb_error *error) {
  for (uint32_t i = 0; i < t->net.model->weight_count; i++) {
    const hb_weight *w = &t->net.model->weights[i];
    if (!w->present || t->quantizers[i].coder) continue;
    hb_type type = hb_gguf_tensor(t->source->gguf, w->name)->type;
    if (hb_traits(type)->block_values > 1)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "%s is %s: what is quantized is trained by qat or e2e-qp", w->name,
                     hb_type_name(type));
  }
  return HB_OK;
}

/* ---- What the optimizer changes ---- */

static bool is_trained(const hb_trainer *t, uint32_t weight) {
  const hb_weight *w = &t->net.model->weights[weight];
  if (!w->present || t->quantizers[weight].coder) return w->present;
  switch (w->kind) {
  case HB_WEIGHT_ROPE_FREQS:
  case HB_WEIGHT_ROPE_LONG:
  case HB_WEIGHT_ROPE_SHORT: return false;
  default: return true;
  }
}

static void add_parameter(hb_trainer *t, hb_parameter p) {
  if (p.count > 0) t->parameters[t->parameter_count++] = p;
}

static void add_parameters_of(hb_trainer *t, uint32_t weight) {
  const hb_weight *w = &t->net.model->weights[weight];
  const hb_quantizer *q = &t->quantizers[weight];
  hb_parameter p = {.name = hb_string_of(w->name),
                    .value = q->coder ? q->weights : hb_net_values(&t->net, weight),
                    .gradient = t->of_weight[weight],
                    .count = hb_net_count(&t->net, weight),
                    .rate = 1,
                    .decay = hb_weight_is_vector(w) ? 0 : 1};
  if (p.value) add_parameter(t, p);
  if (!q->coder) return;
  add_parameter(t, (hb_parameter){.name = hb_string_of(w->name),
                                  .value = q->parameters,
                                  .gradient = q->parameter_gradients,
                                  .count = q->parameter_count,
                                  .rate = (float)(t->o.scale_rate / t->o.rate)});
}

static hb_status begin_optimizer(hb_trainer *t, hb_error *error) {
  uint32_t weights = t->net.model->weight_count;
  t->gradients = hb_allocate_zero(t->allocator, t->net.count * sizeof *t->gradients);
  t->of_weight = hb_allocate_zero(t->allocator, weights * sizeof *t->of_weight);
  t->parameters = hb_allocate_zero(t->allocator, 2 * weights * sizeof *t->parameters);
  if (!t->gradients || !t->of_weight || !t->parameters) return out_of_memory(error);
  for (uint32_t i = 0; i < weights; i++) {
    if (!is_trained(t, i)) continue;
    t->of_weight[i] = t->gradients + t->net.start[i];
    add_parameters_of(t, i);
  }
  hb_optimizer_options options = {
      .kernels = t->team.kernels,
      .beta1 = (float)t->o.beta1,
      .beta2 = (float)t->o.beta2,
      .epsilon = (float)t->o.epsilon,
      .decay = (float)t->o.decay,
      .max_norm = t->o.clip > 0 ? (float)t->o.clip : 0,
      .moments = t->o.small_moments ? HB_MOMENTS_8_BIT : HB_MOMENTS_F32,
      .allocator = t->allocator,
  };
  return hb_optimizer_create(&options, t->parameters, t->parameter_count, &t->optimizer, error);
}

/* ---- Running ---- */

static hb_status make_graphs(hb_trainer *t, hb_error *error) {
  hb_graph_options options = {.allocator = t->allocator,
                              .parallel = t->o.parallel,
                              .isa = t->o.isa,
                              .model = t->net.model,
                              .sequences = t->o.sequences,
                              .length = t->o.length,
                              .bf16 = t->o.bf16,
                              .recompute = t->o.recompute,
                              .round_inputs = t->rounds};
  HB_TRY(hb_graph_create(&options, &t->graph, error));
  if (t->o.teacher == 0) return HB_OK;
  options.model = t->original.model;
  options.recompute = true; /* it never runs backward */
  options.round_inputs = NULL;
  return hb_graph_create(&options, &t->teacher, error);
}

static hb_status make_rows(hb_trainer *t, hb_error *error) {
  uint64_t rows = hb_graph_rows(t->graph);
  t->rows.tokens = hb_allocate(t->allocator, rows * sizeof *t->rows.tokens);
  t->rows.targets = hb_allocate(t->allocator, rows * sizeof *t->rows.targets);
  t->rows.first = hb_allocate(t->allocator, rows * sizeof *t->rows.first);
  return t->rows.tokens && t->rows.targets && t->rows.first ? HB_OK : out_of_memory(error);
}

hb_status hb_train_set_up(hb_trainer *t, hb_error *error) {
  HB_TRY(hb_net_load(&t->net, t->allocator, t->o.isa, t->source, error));
  uint32_t weights = t->net.model->weight_count, context = t->net.model->h.context_length;
  if (t->o.length == 0) t->o.length = context < 256 ? context : 256;
  t->quantizers = hb_allocate_zero(t->allocator, weights * sizeof *t->quantizers);
  t->rounds = hb_allocate_zero(t->allocator, weights * sizeof *t->rounds);
  if (!t->quantizers || !t->rounds) return out_of_memory(error);
  HB_TRY(hb_team_begin(&t->team, t->allocator, t->o.parallel, t->o.isa, false, 0, error));
  if (t->method != HB_TRAIN_FULL || t->o.original) HB_TRY(take_original(t, error));
  HB_TRY(check_floats(t, error));
  HB_TRY(begin_optimizer(t, error));
  HB_TRY(make_graphs(t, error));
  return make_rows(t, error);
}

void hb_train_take_down(hb_trainer *t) {
  uint64_t rows = t->graph ? hb_graph_rows(t->graph) : 0;
  uint32_t weights = t->net.model ? t->net.model->weight_count : 0;
  hb_release(t->allocator, t->rows.tokens, rows * sizeof *t->rows.tokens);
  hb_release(t->allocator, t->rows.targets, rows * sizeof *t->rows.targets);
  hb_release(t->allocator, t->rows.first, rows * sizeof *t->rows.first);
  hb_graph_destroy(t->graph);
  hb_graph_destroy(t->teacher);
  hb_optimizer_destroy(t->optimizer);
  for (uint32_t i = 0; i < weights && t->quantizers; i++)
    if (t->quantizers[i].coder) hb_quantizer_end(&t->quantizers[i]);
  hb_release(t->allocator, t->quantizers, weights * sizeof *t->quantizers);
  hb_release(t->allocator, t->rounds, weights * sizeof *t->rounds);
  hb_release(t->allocator, t->gradients, t->net.count * sizeof *t->gradients);
  hb_release(t->allocator, t->of_weight, weights * sizeof *t->of_weight);
  hb_release(t->allocator, t->parameters, 2 * weights * sizeof *t->parameters);
  hb_team_end(&t->team);
  hb_net_end(&t->original);
  hb_net_end(&t->net);
}
