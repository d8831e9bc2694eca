/* What is trained: the model, its quantizers or its adapter, and the optimizer of their values. */
#include "train/trainer.h"
#include "compress/describe.h"
#include "quant/quant.h"

static hb_status out_of_memory(hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for training");
}

/* ---- Quantizers ---- */

/* Layer by layer the tables stay. */
static bool may_be_trained(const hb_trainer *t, const hb_weight *w) {
  return w->present && (!hb_train_by_layers(t->method) || hb_weight_table[w->kind].per_layer);
}

/* Whether a quantized matrix's codes may change. */
static bool changes_codes(const hb_trainer *t, const hb_weight *w) {
  return t->method != HB_TRAIN_E2E_QP || (t->o.tables && !hb_weight_table[w->kind].per_layer);
}

/* Blocks that share bytes, and outliers beside them, stay as they are. */
static hb_status check_own(const hb_trainer *t, const hb_weight *w, hb_type type, hb_error *error) {
  bool shares = hb_traits(type)->shared_bytes > 0;
  if ((shares || w->outliers.bytes > 0) && changes_codes(t, w))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "%s has %s: such a model is trained by e2e-qp or lora", w->name,
                   shares ? hb_type_name(type) : "outliers");
  if (w->outliers.bytes > 0 && t->o.round_inputs)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "%s has outliers: its inputs cannot be rounded in training", w->name);
  return HB_OK;
}

/* From the blocks of a matrix; `original`: its weights before, or NULL. */
static hb_status begin_rounding(hb_trainer *t, uint32_t weight, hb_type type, const uint8_t *blocks,
                                const hb_net *original, hb_error *error) {
  const hb_weight *w = &t->net.model->weights[weight];
  hb_quantizer *q = &t->quantizers[weight];
  const float *values = NULL;
  if (changes_codes(t, w)) values = hb_net_values(original ? original : &t->net, weight);
  HB_TRY(hb_quantizer_begin(q, t->allocator, type, (uint32_t)w->rows, (uint32_t)w->cols, blocks,
                            values, error));
  if (values && original && t->method != HB_TRAIN_AUTOROUND) hb_quantizer_keep_codes(q, blocks);
  return HB_OK;
}

/* What rounds a matrix, if its type does. */
static hb_status begin_quantizer(hb_trainer *t, uint32_t weight, const hb_net *original,
                                 hb_error *error) {
  const hb_weight *w = &t->net.model->weights[weight];
  const hb_tensor *tensor = hb_gguf_tensor(t->source->gguf, w->name);
  hb_type type = hb_weight_type(w, tensor);
  if (hb_weight_is_vector(w) || !hb_quantizer_takes(type)) return HB_OK;
  t->rounds[weight] = t->o.round_inputs;
  if (!may_be_trained(t, w)) return HB_OK;
  HB_TRY(check_own(t, w, type, error));
  uint8_t *blocks = hb_allocate(t->allocator, tensor->bytes);
  if (!blocks) return out_of_memory(error);
  uint64_t at = hb_gguf_shard_data_start(t->source->gguf, tensor->shard) + tensor->offset;
  hb_status status =
      t->source->read(t->source->context, tensor->shard, at, blocks, (size_t)tensor->bytes, error);
  if (status == HB_OK) status = begin_rounding(t, weight, type, blocks, original, error);
  hb_release(t->allocator, blocks, tensor->bytes);
  return status;
}

static hb_status begin_quantizers(hb_trainer *t, const hb_net *original, hb_error *error) {
  bool any = false;
  for (uint32_t i = 0; i < t->net.model->weight_count; i++) {
    if (!t->net.model->weights[i].present) continue;
    HB_TRY(begin_quantizer(t, i, original, error));
    any = any || hb_quantizer_begun(&t->quantizers[i]);
  }
  if (!any)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%s trains quantized matrices, and this model has none", t->o.method);
  return HB_OK;
}

/* Weights that are trained as they are have to be written as they are. */
static hb_status check_floats(const hb_trainer *t, hb_error *error) {
  for (uint32_t i = 0; i < t->net.model->weight_count; i++) {
    const hb_weight *w = &t->net.model->weights[i];
    if (!may_be_trained(t, w) || hb_quantizer_begun(&t->quantizers[i])) continue;
    hb_type type = hb_weight_type(w, hb_gguf_tensor(t->source->gguf, w->name));
    if (hb_traits(type)->block_values > 1)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "%s is %s: what is quantized is trained by %se2e-qp or lora", w->name,
                     hb_type_name(type), hb_traits(type)->shared_bytes > 0 ? "" : "qat, ");
    if (w->outliers.bytes > 0)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s has outliers beside floats", w->name);
  }
  return HB_OK;
}

/* ---- The models ---- */

static hb_status check_original(const hb_trainer *t, const hb_model *b, hb_error *error) {
  const hb_model *a = t->model;
  for (uint32_t i = 0; i < a->own_weights; i++)
    if (a->own_weights != b->own_weights || a->weights[i].present != b->weights[i].present ||
        a->weights[i].rows != b->weights[i].rows || a->weights[i].cols != b->weights[i].cols)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                     "the original is another model: %s differs in size", a->weights[i].name);
  return HB_OK;
}

/* The original, for as long as it is needed: where it is followed, to the end. */
static hb_status take_original(hb_trainer *t, bool quantizes, hb_error *error) {
  hb_net original = {0};
  if (!t->o.original) return quantizes ? begin_quantizers(t, NULL, error) : HB_OK;
  hb_status status = hb_net_load(&original, t->allocator, t->o.isa, t->o.original, error);
  if (status == HB_OK) status = check_original(t, original.model, error);
  if (status == HB_OK && quantizes) status = begin_quantizers(t, &original, error);
  bool teaches = t->o.teacher > 0 && !t->o.teacher_model;
  if (status == HB_OK && (teaches || hb_train_by_layers(t->method)))
    t->guide = original;
  else
    hb_net_end(&original);
  return status;
}

/* Whether number i of both vocabularies is the same token, as far as they are in the files. */
static hb_status check_tokens(const hb_trainer *t, hb_error *error) {
  const hb_value *a = hb_gguf_value(t->source->gguf, "tokenizer.ggml.tokens");
  const hb_value *b = hb_gguf_value(t->o.teacher_model->gguf, "tokenizer.ggml.tokens");
  uint64_t own = 0, others = 0;
  hb_string x, y;
  for (uint64_t i = 0; a && b && i < a->count && i < b->count; i++) {
    HB_TRY(hb_value_next_string(a, &own, &x, error));
    HB_TRY(hb_value_next_string(b, &others, &y, error));
    if (!hb_string_equal(x, y))
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the teacher's token %u is another one", i);
  }
  return HB_OK;
}

/* A teacher that is not the original. */
static hb_status take_teacher(hb_trainer *t, hb_error *error) {
  if (!t->o.teacher_model) return HB_OK;
  HB_TRY(hb_net_load(&t->guide, t->allocator, t->o.isa, t->o.teacher_model, error));
  uint32_t own = t->model->h.vocabulary, others = t->guide.model->h.vocabulary;
  if (own != others)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the teacher has %u tokens, and its student %u",
                   (uint64_t)others, (uint64_t)own);
  return check_tokens(t, error);
}

/* As the frozen matrices are when they run; their sparse values multiply inputs that stay. */
static hb_status round_frozen(hb_trainer *t, hb_error *error) {
  for (uint32_t i = 0; i < t->model->own_weights; i++) {
    const hb_weight *w = &t->model->weights[i];
    if (w->outliers.bytes > 0)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                     "%s has outliers: its inputs cannot be rounded in training", w->name);
    t->rounds[i] = !w->vector && hb_type_wants_int8(w->matrix.type);
  }
  return HB_OK;
}

static hb_status load_frozen(hb_trainer *t, hb_error *error) {
  const hb_load_options load = {
      .allocator = t->allocator, .parallel = t->o.parallel, .isa = t->o.isa};
  const hb_lora_options lora = {.rank = t->o.rank,
                                .alpha = t->o.alpha,
                                .type = t->adapter_type,
                                .matrices = t->o.matrices,
                                .seed = t->o.seed,
                                .adapter = t->o.adapter,
                                .adapter_size = t->o.adapter_size};
  HB_TRY(hb_frozen_load(&load, t->source, &t->frozen, error));
  t->model = t->frozen;
  return hb_lora_begin(&t->lora, t->allocator, t->frozen, &lora, error);
}

static hb_status load_net(hb_trainer *t, hb_error *error) {
  HB_TRY(hb_net_load(&t->net, t->allocator, t->o.isa, t->source, error));
  t->model = t->net.model;
  return HB_OK;
}

hb_status hb_train_load(hb_trainer *t, hb_error *error) {
  bool adapts = t->method == HB_TRAIN_LORA;
  HB_TRY(adapts ? load_frozen(t, error) : load_net(t, error));
  uint32_t weights = t->model->weight_count;
  t->quantizers = hb_allocate_zero(t->allocator, weights * sizeof *t->quantizers);
  t->rounds = hb_allocate_zero(t->allocator, weights * sizeof *t->rounds);
  if (!t->quantizers || !t->rounds) return out_of_memory(error);
  HB_TRY(take_original(t, !adapts && t->method != HB_TRAIN_FULL, error));
  HB_TRY(take_teacher(t, error));
  if (!adapts) return check_floats(t, error);
  return t->o.round_inputs ? round_frozen(t, error) : HB_OK;
}

/* ---- What the optimizer changes ---- */

/* What belongs to the architecture's arithmetic is no weight. */
static bool is_constant(const hb_weight *w) {
  switch (w->kind) {
  case HB_WEIGHT_ROPE_FREQS:
  case HB_WEIGHT_ROPE_LONG:
  case HB_WEIGHT_ROPE_SHORT: return true;
  default: return false;
  }
}

static bool is_trained(const hb_trainer *t, uint32_t weight) {
  const hb_weight *w = &t->net.model->weights[weight];
  if (!may_be_trained(t, w)) return false;
  if (hb_quantizer_begun(&t->quantizers[weight])) return true;
  return t->method != HB_TRAIN_AUTOROUND && !is_constant(w);
}

static void add_parameter(hb_trainer *t, hb_parameter p) {
  if (p.count > 0) t->parameters[t->parameter_count++] = p;
}

/* A weight that is trained as it is. */
static hb_parameter weight_of(const hb_net *net, uint32_t weight, const float *gradient) {
  const hb_weight *w = &net->model->weights[weight];
  return (hb_parameter){.name = hb_string_of(w->name),
                        .value = hb_net_values(net, weight),
                        .gradient = gradient,
                        .count = hb_net_count(net, weight),
                        .rate = 1,
                        .decay = hb_weight_is_vector(w) ? 0 : 1};
}

void hb_train_add_parameters(hb_trainer *t, uint32_t weight) {
  const hb_weight *w = &t->net.model->weights[weight];
  const hb_quantizer *q = &t->quantizers[weight];
  hb_parameter p = weight_of(&t->net, weight, t->of_weight[weight]);
  if (hb_quantizer_begun(q)) p.value = q->weights;
  if (p.value) add_parameter(t, p);
  if (!hb_quantizer_begun(q)) return;
  add_parameter(t, (hb_parameter){.name = hb_string_of(w->name),
                                  .value = q->parameters,
                                  .gradient = q->parameter_gradients,
                                  .count = q->parameter_count,
                                  .rate = (float)(t->o.scale_rate / t->o.rate)});
}

static void add_weights(hb_trainer *t) {
  for (uint32_t i = 0; i < t->model->weight_count; i++) {
    if (!is_trained(t, i)) continue;
    t->of_weight[i] = t->gradients + t->net.start[i];
    if (!hb_train_by_layers(t->method)) hb_train_add_parameters(t, i); /* else blocks.c does */
    if (t->method == HB_TRAIN_AUTOROUND) t->quantizers[i].centers = hb_net_values(&t->guide, i);
  }
}

static void add_adapter(hb_trainer *t) {
  for (uint32_t i = 0; i < t->lora.part_count; i++) {
    const hb_lora_part *p = &t->lora.parts[i];
    t->of_weight[p->weight] = t->gradients + p->start;
    add_parameter(t, (hb_parameter){.name = hb_string_of(t->model->weights[p->weight].name),
                                    .value = t->lora.values + p->start,
                                    .gradient = t->gradients + p->start,
                                    .count = hb_lora_count(p),
                                    .rate = 1,
                                    .decay = 1});
  }
}

/* A teacher that learns stands behind its student. */
static hb_status add_guide(hb_trainer *t, hb_error *error) {
  const hb_model *m = t->guide.model;
  t->guide_gradients = hb_allocate_zero(t->allocator, t->guide.count * sizeof(float));
  t->of_guide = hb_allocate_zero(t->allocator, m->weight_count * sizeof *t->of_guide);
  if (!t->guide_gradients || !t->of_guide) return out_of_memory(error);
  for (uint32_t i = 0; i < m->weight_count; i++) {
    if (!m->weights[i].present || is_constant(&m->weights[i])) continue;
    t->of_guide[i] = t->guide_gradients + t->guide.start[i];
    add_parameter(t, weight_of(&t->guide, i, t->of_guide[i]));
  }
  return HB_OK;
}

hb_status hb_train_make_optimizer(const hb_trainer *t, const hb_parameter *parameters,
                                  uint32_t count, hb_optimizer **out, hb_error *error) {
  hb_optimizer_options options = {
      .kernels = t->team.kernels,
      .beta1 = (float)t->o.beta1,
      .beta2 = (float)t->o.beta2,
      .epsilon = (float)t->o.epsilon,
      .decay = (float)t->o.decay,
      .max_norm = t->o.clip > 0 ? (float)t->o.clip : 0,
      .moments = t->o.small_moments ? HB_MOMENTS_8_BIT : HB_MOMENTS_F32,
      .allocator = t->allocator,
      .state_allocator = t->o.state_allocator,
  };
  return hb_optimizer_create(&options, parameters, count, out, error);
}

hb_status hb_train_begin_optimizer(hb_trainer *t, hb_error *error) {
  uint32_t weights = t->model->weight_count;
  bool adapts = t->method == HB_TRAIN_LORA;
  t->gradient_count = adapts ? t->lora.count : t->net.count;
  t->gradients = hb_allocate_zero(t->allocator, t->gradient_count * sizeof *t->gradients);
  t->of_weight = hb_allocate_zero(t->allocator, weights * sizeof *t->of_weight);
  t->parameter_capacity = 2 * weights + (t->o.joint ? t->guide.model->weight_count : 0);
  t->parameters = hb_allocate_zero(t->allocator, t->parameter_capacity * sizeof *t->parameters);
  if (!t->gradients || !t->of_weight || !t->parameters) return out_of_memory(error);
  if (adapts)
    add_adapter(t);
  else
    add_weights(t);
  if (t->o.joint) HB_TRY(add_guide(t, error));
  if (hb_train_by_layers(t->method)) return HB_OK;
  return hb_train_make_optimizer(t, t->parameters, t->parameter_count, &t->optimizer, error);
}
