/* The squared gradients of a model's matrices over samples of text. */
#include "compress/gradients.h"
#include "train/graph.h"
#include "train/net.h"

typedef struct fisher {
  const hb_allocator *allocator;
  const hb_calibrate_options *options;
  const hb_gguf *gguf;
  hb_team team;
  hb_net net;
  hb_graph *graph;
  float *gradients, *squares; /* as net.values */
  float **of_weight;          /* [weights], NULL: not wanted */
  int32_t *targets;           /* [length] */
  uint32_t *first;            /* [length]: 0 */
} fisher;

static hb_status begin(fisher *f, const hb_source *source, hb_error *error) {
  const hb_calibrate_options *o = f->options;
  HB_TRY(hb_check_parallel(o->parallel, error));
  HB_TRY(hb_net_load(&f->net, f->allocator, hb_isa_best(), source, error));
  HB_TRY(hb_team_begin(&f->team, f->allocator, o->parallel, hb_isa_best(), false, 0, error));
  hb_graph_options options = {.allocator = f->allocator,
                              .parallel = o->parallel,
                              .isa = hb_isa_best(),
                              .model = f->net.model,
                              .sequences = 1,
                              .length = o->calibration_length};
  HB_TRY(hb_graph_create(&options, &f->graph, error));
  uint64_t length = o->calibration_length, weights = f->net.model->weight_count;
  f->gradients = hb_allocate(f->allocator, f->net.count * sizeof(float));
  f->squares = hb_allocate_zero(f->allocator, f->net.count * sizeof(float));
  f->of_weight = hb_allocate_zero(f->allocator, weights * sizeof(float *));
  f->targets = hb_allocate(f->allocator, length * sizeof *f->targets);
  f->first = hb_allocate_zero(f->allocator, length * sizeof *f->first);
  if (!f->gradients || !f->squares || !f->of_weight || !f->targets || !f->first)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for gradients");
  for (uint32_t i = 0; i < weights; i++) {
    const hb_tensor *t = hb_gguf_tensor(f->gguf, f->net.model->weights[i].name);
    if (t && hb_gradients_wants(t, true)) f->of_weight[i] = f->gradients + f->net.start[i];
  }
  return HB_OK;
}

static void end(fisher *f) {
  uint64_t length = f->options->calibration_length;
  uint64_t weights = f->net.model ? f->net.model->weight_count : 0;
  hb_release(f->allocator, f->gradients, f->net.count * sizeof(float));
  hb_release(f->allocator, f->squares, f->net.count * sizeof(float));
  hb_release(f->allocator, f->of_weight, weights * sizeof(float *));
  hb_release(f->allocator, f->targets, length * sizeof *f->targets);
  hb_release(f->allocator, f->first, length * sizeof *f->first);
  hb_graph_destroy(f->graph);
  hb_team_end(&f->team);
  hb_net_end(&f->net);
}

static void add_squares(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  fisher *f = context;
  (void)thread;
  for (uint32_t w = first; w < end; w++) {
    if (!f->of_weight[w]) continue;
    const float *g = f->of_weight[w];
    float *sum = f->squares + f->net.start[w];
    for (uint64_t i = 0, count = hb_net_count(&f->net, w); i < count; i++) sum[i] += g[i] * g[i];
  }
}

static void run_sample(fisher *f, const hb_token *tokens) {
  const hb_loss loss = {.target = 1, .temperature = 1};
  hb_batch batch = {tokens, f->targets, f->first};
  hb_loss_sums sums;
  uint32_t length = f->options->calibration_length, stages = hb_graph_stages(f->graph);
  for (uint32_t i = 0; i < length; i++) f->targets[i] = i + 1 < length ? tokens[i + 1] : -1;
  memset(f->gradients, 0, f->net.count * sizeof *f->gradients);
  hb_graph_forward(f->graph, &batch, 0, stages);
  hb_graph_loss(f->graph, &batch, &loss, NULL, 1, f->of_weight, &sums);
  hb_graph_backward(f->graph, f->of_weight, 0, stages);
  hb_team_divide(&f->team, f->net.model->weight_count, 1, add_squares, f);
}

static hb_status check_tokens(const fisher *f, const hb_token *tokens, hb_error *error) {
  uint32_t vocabulary = f->net.model->h.vocabulary;
  for (uint32_t i = 0; i < f->options->calibration_length; i++)
    if (tokens[i] < 0 || (uint32_t)tokens[i] >= vocabulary)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "token %d of the calibration is not in 0..%u", (int64_t)tokens[i],
                     (uint64_t)vocabulary - 1);
  return HB_OK;
}

static hb_status run_all(fisher *f, hb_error *error) {
  const hb_calibrate_options *o = f->options;
  for (uint32_t i = 0; i < o->calibration_samples; i++) {
    const hb_token *tokens = o->calibration + (size_t)i * o->calibration_length;
    HB_TRY(check_tokens(f, tokens, error));
    run_sample(f, tokens);
    if (o->progress && o->progress(o->context, i + 1, o->calibration_samples) != 0)
      return hb_fail(error, HB_ABORTED, HB_NO_OFFSET, "measuring gradients was stopped");
  }
  return HB_OK;
}

static hb_status sums_of(void *context, const hb_tensor *matrix, const float **squares,
                         hb_error *error) {
  const fisher *f = context;
  const hb_weight *w = hb_weight_named(f->net.model, matrix->name);
  if (!w || !f->of_weight[w - f->net.model->weights])
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %S is no weight of the model",
                   matrix->name);
  *squares = f->squares + f->net.start[w - f->net.model->weights];
  return HB_OK;
}

static hb_status measure(fisher *f, const hb_source *source, const hb_sink *sink, hb_error *error) {
  const hb_calibrate_options *o = f->options;
  HB_TRY(begin(f, source, error));
  HB_TRY(run_all(f, error));
  hb_gradients_options options = {.allocator = f->allocator,
                                  .model = source->gguf,
                                  .tokens = o->calibration,
                                  .sequences = o->calibration_samples,
                                  .length = o->calibration_length,
                                  .outer = true,
                                  .context = f,
                                  .sums = sums_of};
  return hb_gradients_write(&options, sink, error);
}

hb_status hb_calibrate_gradients(const hb_source *source, const hb_calibrate_options *options,
                                 const hb_sink *sink, hb_error *error) {
  fisher f = {.allocator = hb_allocator_or_default(options->allocator),
              .options = options,
              .gguf = source->gguf};
  hb_status status = measure(&f, source, sink, error);
  end(&f);
  return status;
}
