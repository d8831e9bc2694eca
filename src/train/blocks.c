#include "train/blocks.h"
#include "compress/describe.h"
#include "train/trainer.h"

/* ---- Options ---- */

static hb_status check_numbers(const hb_train_options *o, hb_train_method method, hb_error *error) {
  bool signs = method == HB_TRAIN_AUTOROUND;
  const struct {
    bool given;
    const char *name;
  } none[] = {{o->teacher > 0, "teacher"},
              {o->temperature != 0 && o->temperature != 1, "temperature"},
              {o->z > 0, "z"},
              {o->recompute != 0, "recompute"},
              {signs && o->beta1 > 0, "beta1"},
              {signs && o->beta2 > 0, "beta2"},
              {signs && o->epsilon > 0, "epsilon"},
              {signs && o->decay > 0, "decay"},
              {signs && o->damping != 0, "damping"},
              {signs && o->clip > 0, "clip"},
              {signs && o->small_moments != 0, "small_moments"},
              {signs && o->state_allocator, "state_allocator"}};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    if (none[i].given)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%s has no meaning in training by %s",
                     none[i].name, o->method);
  return HB_OK;
}

hb_status hb_blocks_check(const hb_trainer *t, hb_error *error) {
  const hb_train_options *o = &t->o;
  if (!hb_train_by_layers(t->method)) {
    if (o->samples == 0) return HB_OK;
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "samples are of methods that train layer by layer, and %s does not", o->method);
  }
  if (!o->original)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%s takes the original model, which layers are to follow", o->method);
  return check_numbers(o, t->method, error);
}

/* ---- Layers and their steps ---- */

static uint32_t layers_of(const hb_trainer *t) {
  return t->net.model->h.layers;
}

/* Steps are divided over the layers as evenly as they can be. */
static uint64_t first_step(const hb_trainer *t, uint32_t layer) {
  return t->o.steps * layer / layers_of(t);
}

static uint32_t layer_of(const hb_trainer *t, uint64_t step) {
  uint32_t layer = 0;
  while (layer + 1 < layers_of(t) && first_step(t, layer + 1) <= step) layer++;
  return layer;
}

bool hb_blocks_reached(const hb_trainer *t, uint32_t layer) {
  return first_step(t, layer) < t->step;
}

static void list_parameters(hb_trainer *t) {
  const hb_model *m = t->net.model;
  for (uint32_t layer = 0; layer < m->h.layers; layer++) {
    t->blocks->first[layer] = t->parameter_count;
    for (uint32_t i = 0; i < m->weight_count; i++)
      if (t->of_weight[i] && m->weights[i].layer == layer) hb_train_add_parameters(t, i);
  }
  t->blocks->first[m->h.layers] = t->parameter_count;
}

static hb_status begin_layer(hb_trainer *t, uint32_t layer, hb_error *error) {
  hb_blocks *b = t->blocks;
  hb_best best = {0};
  const hb_parameter *parameters = t->parameters + b->first[layer];
  uint32_t count = b->first[layer + 1] - b->first[layer];
  if (t->method == HB_TRAIN_AUTOROUND) {
    HB_TRY(hb_best_begin(&best, t->allocator, parameters, count, error));
    hb_best_end(&b->best);
    b->best = best;
  } else {
    hb_optimizer *optimizer;
    HB_TRY(hb_train_make_optimizer(t, parameters, count, &optimizer, error));
    hb_optimizer_destroy(t->optimizer);
    t->optimizer = optimizer;
  }
  b->layer = layer;
  t->schedule.steps = first_step(t, layer + 1) - first_step(t, layer);
  t->schedule.warmup = (uint64_t)(t->o.warmup * (double)t->schedule.steps);
  return HB_OK;
}

hb_status hb_blocks_enter(hb_trainer *t, uint64_t step, hb_error *error) {
  uint32_t layer = layer_of(t, step);
  return t->blocks->layer == layer ? HB_OK : begin_layer(t, layer, error);
}

hb_status hb_blocks_restart(hb_trainer *t, uint64_t step, hb_error *error) {
  t->blocks->ready = HB_NONE;
  return begin_layer(t, layer_of(t, step), error);
}

/* ---- Memory ---- */

static uint64_t sample_size(const hb_trainer *t) {
  return (uint64_t)t->o.length * t->net.model->h.width;
}

static hb_status count_samples(hb_trainer *t, hb_error *error) {
  uint64_t most = hb_packer_count(t->packer), samples = t->o.samples;
  if (samples == 0) samples = most < 128 ? most : 128;
  if (samples > most)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%u samples of %u tokens: the text makes %u of them", samples,
                   (uint64_t)t->o.length, most);
  t->o.samples = (uint32_t)samples;
  t->blocks->samples = samples;
  if (!hb_mul_u64(samples, sample_size(t) * sizeof(float), &t->blocks->bytes))
    t->blocks->bytes = UINT64_MAX;
  return HB_OK;
}

static hb_status allocate(hb_trainer *t, hb_error *error) {
  hb_blocks *b = t->blocks;
  b->states = hb_allocate(t->allocator, b->bytes);
  b->targets = hb_allocate(t->allocator, b->bytes);
  b->order = hb_allocate(t->allocator, b->samples * sizeof *b->order);
  b->taken = hb_allocate(t->allocator, t->o.sequences * sizeof *b->taken);
  b->errors = hb_allocate(t->allocator, hb_graph_rows(t->graph) * sizeof *b->errors);
  b->first = hb_allocate(t->allocator, (layers_of(t) + (uint64_t)1) * sizeof *b->first);
  if (!b->states || !b->targets || !b->order || !b->taken || !b->errors || !b->first)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                   "no memory for the states of %u samples, two times %u bytes", b->samples,
                   b->bytes);
  return HB_OK;
}

hb_status hb_blocks_begin(hb_trainer *t, hb_error *error) {
  hb_blocks *b = t->blocks = hb_allocate_zero(t->allocator, sizeof *t->blocks);
  if (!b) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for training");
  b->order_of = UINT64_MAX;
  b->ready = HB_NONE;
  if (t->o.steps < layers_of(t))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%u steps are too few for %u layers",
                   t->o.steps, (uint64_t)layers_of(t));
  HB_TRY(count_samples(t, error));
  HB_TRY(allocate(t, error));
  list_parameters(t);
  return begin_layer(t, 0, error);
}

void hb_blocks_end(hb_trainer *t) {
  hb_blocks *b = t->blocks;
  if (!b) return;
  hb_release(t->allocator, b->states, b->bytes);
  hb_release(t->allocator, b->targets, b->bytes);
  hb_release(t->allocator, b->order, b->samples * sizeof *b->order);
  hb_release(t->allocator, b->taken, t->o.sequences * sizeof *b->taken);
  hb_release(t->allocator, b->errors, hb_graph_rows(t->graph) * sizeof *b->errors);
  hb_release(t->allocator, b->first, (layers_of(t) + (uint64_t)1) * sizeof *b->first);
  hb_best_end(&b->best);
  hb_release(t->allocator, b, sizeof *b);
}

/* ---- States and targets ---- */

static uint32_t stage_of(uint32_t layer) {
  return layer + 1;
}

/* Sample `sample` becomes sequence i of the batch; before it, a stage's states, unless NULL. */
static void take(const hb_trainer *t, hb_graph *graph, uint32_t stage, const float *states,
                 uint32_t i, uint64_t sample) {
  size_t at = (size_t)i * t->o.length, size = (size_t)sample_size(t);
  hb_packer_take(t->packer, sample, t->rows.tokens + at, t->rows.targets + at, t->rows.first + at);
  if (states)
    memcpy(hb_graph_states(graph, stage) + i * size, states + sample * size, size * sizeof *states);
}

/* Runs all samples through a stage. in: the states before it, NULL before the first; may be out. */
static void run_samples(const hb_trainer *t, hb_graph *graph, uint32_t stage, const float *in,
                        float *out) {
  hb_batch batch = {t->rows.tokens, t->rows.targets, t->rows.first};
  uint64_t size = sample_size(t), samples = t->blocks->samples;
  for (uint64_t first = 0; first < samples; first += t->o.sequences) {
    uint64_t left = samples - first;
    uint32_t count = left < t->o.sequences ? (uint32_t)left : t->o.sequences;
    /* A batch is always full. */
    for (uint32_t i = 0; i < t->o.sequences; i++) take(t, graph, stage, in, i, first + i % count);
    hb_graph_forward(graph, &batch, stage, stage + 1);
    memcpy(out + first * size, hb_graph_states(graph, stage + 1), count * size * sizeof *out);
  }
}

/* Block-AP's and AutoRound's layers are to give what the original gives for the same text, those of
 * layer-wise distillation what its layer gives for the states that theirs gets. */
static void make_targets(const hb_trainer *t, uint32_t layer) {
  hb_blocks *b = t->blocks;
  bool own = t->method == HB_TRAIN_LKD;
  run_samples(t, t->teacher, stage_of(layer), own ? b->states : b->targets, b->targets);
  b->ready = layer;
}

static void make_ready(hb_trainer *t) {
  hb_blocks *b = t->blocks;
  if (b->ready == HB_NONE) {
    hb_train_project(t);
    run_samples(t, t->graph, 0, NULL, b->states);
    run_samples(t, t->teacher, 0, NULL, b->targets);
    make_targets(t, 0);
  }
  while (b->ready < b->layer) {
    run_samples(t, t->graph, stage_of(b->ready), b->states, b->states);
    make_targets(t, b->ready + 1);
  }
}

/* ---- A step ---- */

/* The sample that is number `at` in a layer's steps, which go through all of them in a new order
 * each time. */
static uint32_t sample_at(const hb_trainer *t, uint64_t at) {
  hb_blocks *b = t->blocks;
  uint64_t epoch[2] = {b->layer, at / b->samples}, name = hb_hash(epoch, sizeof epoch);
  if (b->order_of != name) {
    uint64_t state = t->o.seed ^ name;
    hb_shuffle(b->order, (uint32_t)b->samples, &state);
    b->order_of = name;
  }
  return b->order[at % b->samples];
}

typedef struct comparison {
  const hb_trainer *trainer;
  const float *got;
  float *gradient;
} comparison;

/* Of half the squared errors' sum the gradient. */
static void compare_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const comparison *c = context;
  const hb_blocks *b = c->trainer->blocks;
  (void)thread;
  size_t width = c->trainer->net.model->h.width;
  uint32_t length = c->trainer->o.length;
  for (uint32_t row = first; row < end; row++) {
    const float *target = b->targets + b->taken[row / length] * sample_size(c->trainer) +
                          (size_t)(row % length) * width;
    const float *got = c->got + row * width;
    float *gradient = c->gradient + row * width;
    double sum = 0;
    for (size_t i = 0; i < width; i++) {
      gradient[i] = got[i] - target[i];
      sum += (double)gradient[i] * (double)gradient[i];
    }
    b->errors[row] = sum;
  }
}

/* Adds the gradients of a batch; returns the sum of its squared errors. */
static double run_batch(hb_trainer *t, uint64_t number) {
  hb_blocks *b = t->blocks;
  hb_batch batch = {t->rows.tokens, t->rows.targets, t->rows.first};
  uint32_t stage = stage_of(b->layer), rows = hb_graph_rows(t->graph);
  for (uint32_t i = 0; i < t->o.sequences; i++) {
    b->taken[i] = sample_at(t, number * t->o.sequences + i);
    take(t, t->graph, stage, b->states, i, b->taken[i]);
  }
  hb_graph_forward(t->graph, &batch, stage, stage + 1);
  comparison c = {t, hb_graph_states(t->graph, stage + 1),
                  hb_graph_state_gradient(t->graph, stage + 1)};
  hb_team_divide(&t->team, rows, 1, compare_rows, &c);
  hb_graph_backward(t->graph, t->of_weight, stage, stage + 1);
  double sum = 0;
  for (uint32_t row = 0; row < rows; row++) sum += b->errors[row];
  return sum;
}

static bool in_layer(const hb_trainer *t, uint32_t weight) {
  return t->of_weight[weight] && t->net.model->weights[weight].layer == t->blocks->layer;
}

static void project_layer(hb_trainer *t) {
  for (uint32_t i = 0; i < t->net.model->weight_count; i++)
    if (in_layer(t, i) && hb_quantizer_begun(&t->quantizers[i]))
      hb_quantizer_project(&t->quantizers[i], &t->team, hb_net_values(&t->net, i));
}

static void derive_layer(hb_trainer *t) {
  for (uint32_t i = 0; i < t->net.model->weight_count; i++)
    if (in_layer(t, i) && hb_quantizer_begun(&t->quantizers[i]))
      hb_quantizer_back(&t->quantizers[i], &t->team, t->of_weight[i]);
}

/* A step down the signs. */
static hb_status descend(hb_trainer *t, float rate, double scale, double loss, double *norm,
                         hb_error *error) {
  hb_blocks *b = t->blocks;
  float scale_rate = (float)(t->o.scale_rate / t->o.rate) * rate;
  double squares = 0;
  for (uint32_t i = b->first[b->layer]; i < b->first[b->layer + 1]; i++) {
    const hb_parameter *p = &t->parameters[i];
    squares += t->team.kernels->squares(p->gradient, (size_t)p->count);
    if (squares - squares != 0)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the gradient of %S is not finite at step %u",
                     p->name, t->step + 1);
  }
  *norm = __builtin_sqrt(squares) * scale;
  hb_best_offer(&b->best, loss);
  for (uint32_t i = 0; i < t->net.model->weight_count; i++)
    if (in_layer(t, i))
      hb_quantizer_descend(&t->quantizers[i], &t->team, t->of_weight[i], rate, scale_rate);
  return HB_OK;
}

/* Behind the last step of a layer its values are those that stay. */
static void leave(hb_trainer *t) {
  if (t->method == HB_TRAIN_AUTOROUND) hb_best_put_back(&t->blocks->best);
  project_layer(t);
}

hb_status hb_blocks_step(hb_trainer *t, hb_train_report *out, hb_error *error) {
  hb_blocks *b = t->blocks;
  HB_TRY(hb_blocks_enter(t, t->step, error));
  make_ready(t);
  project_layer(t);
  for (uint32_t i = 0; i < t->net.model->weight_count; i++)
    if (in_layer(t, i)) memset(t->of_weight[i], 0, hb_net_count(&t->net, i) * sizeof(float));

  uint64_t step = t->step - first_step(t, b->layer);
  double sum = 0, norm,
         values = (double)t->o.accumulate * (double)hb_graph_rows(t->graph) *
                  (double)t->net.model->h.width;
  for (uint32_t i = 0; i < t->o.accumulate; i++) sum += run_batch(t, step * t->o.accumulate + i);
  derive_layer(t);
  float rate = hb_schedule_rate(&t->schedule, step);
  if (t->method == HB_TRAIN_AUTOROUND)
    HB_TRY(descend(t, rate, 2 / values, sum / values, &norm, error));
  else
    HB_TRY(hb_optimizer_step(t->optimizer, t->o.parallel, rate, (float)(2 / values), &norm, error));
  hb_train_damp(t, rate);
  t->step++;
  if (t->step == first_step(t, b->layer + 1)) leave(t);
  *out = (hb_train_report){
      .rate = (double)rate, .loss = sum / values, .norm = norm, .layer = b->layer + 1};
  return HB_OK;
}
