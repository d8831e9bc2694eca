/* Making a trainer but for its text. */
#include "train/trainer.h"

static hb_status make_graphs(hb_trainer *t, hb_error *error) {
  hb_graph_options options = {.allocator = t->allocator,
                              .parallel = t->o.parallel,
                              .isa = t->o.isa,
                              .model = t->model,
                              .sequences = t->o.sequences,
                              .length = t->o.length,
                              .bf16 = t->o.bf16,
                              .recompute = t->o.recompute || hb_train_by_layers(t->method),
                              .round_inputs = t->rounds};
  HB_TRY(hb_graph_create(&options, &t->graph, error));
  if (!t->guide.model) return HB_OK;
  options.model = t->guide.model;
  options.recompute = t->o.recompute || !t->o.joint; /* else it never runs backward */
  options.round_inputs = NULL;
  return hb_graph_create(&options, &t->teacher, error);
}

static hb_status make_rows(hb_trainer *t, hb_error *error) {
  uint64_t rows = hb_graph_rows(t->graph);
  t->rows.tokens = hb_allocate(t->allocator, rows * sizeof *t->rows.tokens);
  t->rows.targets = hb_allocate(t->allocator, rows * sizeof *t->rows.targets);
  t->rows.first = hb_allocate(t->allocator, rows * sizeof *t->rows.first);
  return t->rows.tokens && t->rows.targets && t->rows.first
             ? HB_OK
             : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for training");
}

hb_status hb_train_set_up(hb_trainer *t, hb_error *error) {
  HB_TRY(hb_team_begin(&t->team, t->allocator, t->o.parallel, t->o.isa, false, 0, error));
  HB_TRY(hb_train_load(t, error));
  uint32_t context = t->model->h.context_length;
  if (t->o.length == 0) t->o.length = context < 256 ? context : 256;
  HB_TRY(hb_train_begin_optimizer(t, error));
  HB_TRY(make_graphs(t, error));
  return make_rows(t, error);
}

void hb_train_take_down(hb_trainer *t) {
  uint64_t rows = t->graph ? hb_graph_rows(t->graph) : 0;
  uint32_t weights = t->model ? t->model->weight_count : 0;
  hb_release(t->allocator, t->rows.tokens, rows * sizeof *t->rows.tokens);
  hb_release(t->allocator, t->rows.targets, rows * sizeof *t->rows.targets);
  hb_release(t->allocator, t->rows.first, rows * sizeof *t->rows.first);
  hb_graph_destroy(t->graph);
  hb_graph_destroy(t->teacher);
  hb_optimizer_destroy(t->optimizer);
  for (uint32_t i = 0; i < weights && t->quantizers; i++)
    if (hb_quantizer_begun(&t->quantizers[i])) hb_quantizer_end(&t->quantizers[i]);
  hb_release(t->allocator, t->quantizers, weights * sizeof *t->quantizers);
  hb_release(t->allocator, t->rounds, weights * sizeof *t->rounds);
  hb_release(t->allocator, t->gradients, t->gradient_count * sizeof *t->gradients);
  hb_release(t->allocator, t->of_weight, weights * sizeof *t->of_weight);
  hb_release(t->allocator, t->parameters, t->parameter_capacity * sizeof *t->parameters);
  hb_release(t->allocator, t->guide_gradients, t->guide.count * sizeof *t->guide_gradients);
  if (t->of_guide)
    hb_release(t->allocator, t->of_guide, t->guide.model->weight_count * sizeof *t->of_guide);
  hb_team_end(&t->team);
  hb_net_end(&t->guide);
  hb_net_end(&t->net);
  hb_lora_end(&t->lora);
  hb_model_destroy(t->frozen);
}
