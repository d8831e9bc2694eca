#include "train/trainer.h"

static hb_status check_text(const hb_trainer *t, const hb_corpus *text, hb_error *error) {
  uint32_t vocabulary = t->model->h.vocabulary;
  if (!text->tokens || !text->start || text->documents == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "there is no text to train with");
  for (uint32_t d = 0; d < text->documents; d++)
    if (text->start[d + 1] < text->start[d])
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "document %u of the text ends before it begins", (uint64_t)d);
  for (uint64_t i = text->start[0]; i < text->start[text->documents]; i++)
    if (text->tokens[i] < 0 || (uint32_t)text->tokens[i] >= vocabulary)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "token %d of the text is not in 0..%u",
                     (int64_t)text->tokens[i], (uint64_t)vocabulary - 1);
  return HB_OK;
}

static hb_status create(hb_trainer *t, const hb_train_options *options, hb_error *error) {
  HB_TRY(hb_train_check(t, options, error));
  HB_TRY(hb_train_set_up(t, error));
  const hb_corpus *text = &t->o.text;
  HB_TRY(check_text(t, text, error));
  HB_TRY(hb_packer_create(t->allocator, text->tokens, text->start, text->documents, t->o.length,
                          t->o.seed, &t->packer, error));
  if (hb_train_by_layers(t->method)) HB_TRY(hb_blocks_begin(t, error));
  return hb_train_name_run(t, error);
}

hb_status hb_trainer_create(const hb_source *source, const hb_train_options *options,
                            hb_trainer **out, hb_error *error) {
  const hb_allocator *allocator = hb_allocator_or_default(options->allocator);
  hb_trainer *t = hb_allocate_zero(allocator, sizeof *t);
  *out = NULL;
  if (!t) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for training");
  t->allocator = allocator;
  t->source = source;
  hb_status status = create(t, options, error);
  if (status == HB_OK)
    *out = t;
  else
    hb_trainer_destroy(t);
  return status;
}

void hb_trainer_destroy(hb_trainer *t) {
  if (!t) return;
  hb_blocks_end(t);
  hb_packer_destroy(t->packer);
  hb_train_take_down(t);
  hb_release(t->allocator, t, sizeof *t);
}

/* ---- A step ---- */

void hb_train_take(const hb_trainer *t, hb_packer *packer, uint64_t number) {
  for (uint32_t i = 0; i < t->o.sequences; i++) {
    size_t at = (size_t)i * t->o.length;
    hb_packer_take(packer, number + i, t->rows.tokens + at, t->rows.targets + at,
                   t->rows.first + at);
  }
}

bool hb_train_reached(const hb_trainer *t, uint32_t weight) {
  return t->of_weight[weight] &&
         (!t->blocks || hb_blocks_reached(t, t->net.model->weights[weight].layer));
}

void hb_train_project(hb_trainer *t) {
  if (t->method == HB_TRAIN_LORA) hb_lora_project(&t->lora);
  for (uint32_t i = 0; i < t->model->weight_count; i++) {
    if (!hb_quantizer_begun(&t->quantizers[i]) || !hb_train_reached(t, i)) continue;
    hb_quantizer_project(&t->quantizers[i], &t->team, hb_net_values(&t->net, i));
    hb_net_add_outliers(&t->net, i);
  }
}

/* From the gradients of the model's weights those of what they are made of. */
static void derive_parameters(hb_trainer *t) {
  if (t->method == HB_TRAIN_LORA) hb_lora_back(&t->lora, t->gradients);
  for (uint32_t i = 0; i < t->model->weight_count; i++) {
    if (!hb_quantizer_begun(&t->quantizers[i])) continue;
    hb_net_skip_outliers(&t->net, i, t->of_weight[i]);
    hb_quantizer_back(&t->quantizers[i], &t->team, t->of_weight[i]);
  }
}

static void add_sums(hb_loss_sums *to, const hb_loss_sums *of) {
  to->loss += of->loss;
  to->entropy += of->entropy;
  to->scored += of->scored;
}

/* A teacher that learns has run forward. */
static void instruct_teacher(hb_trainer *t, const hb_batch *batch, hb_loss_sums *sums) {
  const hb_loss loss = {.target = 1, .temperature = 1, .z = (float)t->o.z};
  hb_loss_sums own;
  hb_graph_loss(t->teacher, batch, &loss, NULL, 1, t->of_guide, &own);
  hb_graph_backward(t->teacher, t->of_guide, 0, hb_graph_stages(t->teacher));
  add_sums(sums, &own);
}

/* Adds the gradients of a batch, whose number counts from the beginning of the run. */
static void run_batch(hb_trainer *t, uint64_t number, hb_loss_sums *sums, hb_loss_sums *teacher) {
  hb_batch batch = {t->rows.tokens, t->rows.targets, t->rows.first};
  hb_loss loss = {.target = (float)(1 - t->o.teacher),
                  .teacher = (float)t->o.teacher,
                  .temperature = (float)t->o.temperature,
                  .z = (float)t->o.z};
  hb_loss_sums own;
  uint32_t stages = hb_graph_stages(t->graph);
  hb_train_take(t, t->packer, number * t->o.sequences);
  hb_graph_forward(t->graph, &batch, 0, stages);
  if (t->teacher) hb_graph_forward(t->teacher, &batch, 0, hb_graph_stages(t->teacher));
  hb_graph_loss(t->graph, &batch, &loss, t->teacher, 1, t->of_weight, &own);
  hb_graph_backward(t->graph, t->of_weight, 0, stages);
  add_sums(sums, &own);
  if (t->o.joint) instruct_teacher(t, &batch, teacher);
}

void hb_train_damp(const hb_trainer *t, float rate) {
  float part = t->o.damping > 0 ? rate * (float)t->o.damping : 0;
  for (uint32_t i = 0; i < t->model->weight_count && part > 0; i++) {
    bool trained = t->quantizers[i].weights &&
                   (!t->blocks || t->net.model->weights[i].layer == t->blocks->layer);
    if (trained)
      hb_quantizer_damp(&t->quantizers[i], &t->team, hb_net_values(&t->net, i),
                        part < 1 ? part : 1);
  }
}

/* A step of all parameters. */
static hb_status step_all(hb_trainer *t, hb_train_report *out, hb_error *error) {
  hb_loss_sums sums = {0}, teacher = {0};
  double norm;
  hb_train_project(t);
  memset(t->gradients, 0, t->gradient_count * sizeof *t->gradients);
  if (t->o.joint) memset(t->guide_gradients, 0, t->guide.count * sizeof *t->guide_gradients);
  for (uint32_t i = 0; i < t->o.accumulate; i++)
    run_batch(t, t->step * t->o.accumulate + i, &sums, &teacher);
  derive_parameters(t);
  double scored = sums.scored > 0 ? (double)sums.scored : 1;
  float rate = hb_schedule_rate(&t->schedule, t->step);
  HB_TRY(hb_optimizer_step(t->optimizer, t->o.parallel, rate, (float)(1 / scored), &norm, error));
  hb_train_damp(t, rate);
  t->step++;
  *out = (hb_train_report){.rate = (double)rate,
                           .loss = sums.loss / scored,
                           .entropy = sums.entropy / scored,
                           .teacher = teacher.entropy / scored,
                           .norm = norm};
  return HB_OK;
}

hb_status hb_trainer_step(hb_trainer *t, hb_train_report *out, hb_error *error) {
  if (t->step >= t->o.steps)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the run has had all its %u steps", t->o.steps);
  HB_TRY(t->blocks ? hb_blocks_step(t, out, error) : step_all(t, out, error));
  t->tokens += (uint64_t)t->o.accumulate * hb_graph_rows(t->graph);
  out->step = t->step;
  out->tokens = t->tokens;
  return HB_OK;
}

const hb_train_options *hb_trainer_options(const hb_trainer *t) {
  return &t->o;
}

uint64_t hb_trainer_steps(const hb_trainer *t) {
  return t->step;
}

/* ---- Other text ---- */

hb_status hb_trainer_evaluate(hb_trainer *t, const hb_corpus *text, double *entropy,
                              hb_error *error) {
  hb_packer *packer;
  hb_batch batch = {t->rows.tokens, t->rows.targets, t->rows.first};
  const hb_loss loss = {.target = 1, .temperature = 1};
  hb_loss_sums all = {0}, sums;
  HB_TRY(check_text(t, text, error));
  HB_TRY(hb_packer_create(t->allocator, text->tokens, text->start, text->documents, t->o.length, 0,
                          &packer, error));
  hb_train_project(t);
  uint64_t count = hb_packer_count(packer);
  for (uint64_t i = 0; i < count; i += t->o.sequences) {
    hb_train_take(t, packer, i);
    /* Sequences of a second round would count twice. */
    for (uint64_t k = count - i; k < t->o.sequences; k++)
      for (uint32_t n = 0; n < t->o.length; n++) t->rows.targets[k * t->o.length + n] = -1;
    hb_graph_forward(t->graph, &batch, 0, hb_graph_stages(t->graph));
    hb_graph_loss(t->graph, &batch, &loss, NULL, 1, NULL, &sums);
    all.entropy += sums.entropy;
    all.scored += sums.scored;
  }
  hb_packer_destroy(packer);
  *entropy = all.scored > 0 ? all.entropy / (double)all.scored : 0;
  return HB_OK;
}
