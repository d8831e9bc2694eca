#include "compress/trial.h"
#include "compress/fold.h"

static const hb_weight *weight_of(const hb_trial *t, uint32_t product) {
  return &hb_walk_model(t->l->walk)->weights[t->l->products[product].weight];
}

static float *values_of(const hb_trial *t, uint32_t product) {
  return hb_walk_values(t->l->walk, t->l->products[product].weight);
}

uint32_t hb_trial_samples(const hb_layer_work *l, uint32_t tokens, bool held_out) {
  const hb_quantize_options *o = l->job->options;
  uint32_t samples = (tokens + o->calibration_length - 1) / o->calibration_length;
  uint32_t most = held_out ? o->calibration_samples / 2 : o->calibration_samples;
  return samples < most ? samples : most;
}

/* ---- Running ---- */

/* What the module leaves: kept at first, later compared. */
static void look_at_output(hb_trial *t, const hb_walk *walk) {
  size_t stride, width = t->out.width, length = t->l->job->options->calibration_length;
  const float *rows = hb_walk_rows(walk, t->out, &stride);
  float *expected = t->expected + hb_walk_sample(walk) * length * width;
  for (size_t row = 0; row < length; row++) {
    if (!t->comparing) {
      memcpy(expected + row * width, rows + row * stride, width * sizeof(float));
      continue;
    }
    for (size_t i = 0; i < width; i++) {
      double d = (double)rows[row * stride + i] - expected[row * width + i];
      t->loss += d * d;
    }
  }
}

static void round_input(const hb_trial *t, const hb_walk *walk) {
  size_t stride;
  float *rows = hb_walk_rows(walk, t->input, &stride);
  for (uint32_t row = 0; row < t->l->job->options->calibration_length; row++)
    hb_round_row(&t->rounding, rows + row * stride, t->scales, t->width);
}

static void look(void *context, const hb_walk *walk, uint32_t op) {
  hb_trial *t = context;
  if (op == t->module_end) look_at_output(t, walk);
  if (op == t->l->products[t->first].op && t->comparing) round_input(t, walk);
}

static hb_status run(hb_trial *t, bool comparing, hb_error *error) {
  hb_tap tap = {t, look};
  t->comparing = comparing;
  t->loss = 0;
  return hb_walk_run(t->l->walk, t->module_end, t->samples, false, &tap, error);
}

/* ---- Weights ---- */

static void save(const hb_trial *t) {
  float *to = t->saved;
  for (uint32_t i = t->first; i < t->end; i++) {
    uint64_t count = weight_of(t, i)->rows * t->width;
    memcpy(to, values_of(t, i), (size_t)count * sizeof(float));
    to += count;
  }
}

static void restore(const hb_trial *t) {
  const float *from = t->saved;
  for (uint32_t i = t->first; i < t->end; i++) {
    uint64_t count = weight_of(t, i)->rows * t->width;
    memcpy(values_of(t, i), from, (size_t)count * sizeof(float));
    from += count;
  }
}

/* What quantized weights are with these scales, over which their inputs will be divided. */
static hb_status quantize_weights(hb_trial *t, const hb_method *method, hb_error *error) {
  const hb_method *actual = t->l->job->method;
  hb_status status = HB_OK;
  for (uint32_t i = t->first; i < t->end && status == HB_OK; i++) {
    const hb_weight *w = weight_of(t, i);
    hb_scale_columns(values_of(t, i), w->rows, t->width, t->scales, false);
    hb_job_begin(t->l->job, t->l->products[i].plan);
    hb_method plain = hb_method_plain(t->l->job->type);
    t->l->job->method = hb_method_writes(method, t->l->job->type) ? method : &plain;
    status =
        hb_job_blocks(t->l->job, (uint32_t)w->rows, values_of(t, i), t->blocks, NULL, NULL, error);
    hb_scale_columns(values_of(t, i), w->rows, t->width, t->scales, true);
  }
  t->l->job->method = actual;
  return status;
}

hb_status hb_trial_run(hb_trial *t, const hb_method *method, const float *scales,
                       const hb_rounding *rounding, double *loss, hb_error *error) {
  t->scales = scales;
  t->rounding = *rounding;
  hb_status status = quantize_weights(t, method, error);
  if (status == HB_OK) status = run(t, true, error);
  restore(t);
  *loss = t->loss;
  return status;
}

/* ---- Creating ---- */

/* The module ends with the next product that writes to the hidden state. */
static void find_module(hb_trial *t) {
  const hb_op *program = hb_walk_model(t->l->walk)->program;
  uint32_t op = t->l->products[t->first].op;
  t->input = program[op].in;
  t->width = t->input.width;
  while (program[op].kind != HB_OP_MATMUL || program[op].out.buffer != HB_BUFFER_HIDDEN) op++;
  t->module_end = op + 1;
  t->out = program[op].out;
}

hb_status hb_trial_create(hb_layer_work *l, uint32_t first, uint32_t end, uint32_t samples,
                          hb_trial *t, hb_error *error) {
  const hb_quantize_options *o = l->job->options;
  *t = (hb_trial){.l = l, .first = first, .end = end, .samples = samples};
  find_module(t);
  for (uint32_t i = first; i < end; i++)
    t->saved_bytes += weight_of(t, i)->rows * t->width * sizeof(float);
  t->expected_bytes = (uint64_t)t->samples * o->calibration_length * t->out.width * sizeof(float);
  t->saved = hb_allocate(o->allocator, t->saved_bytes);
  t->blocks = hb_allocate(o->allocator, t->saved_bytes); /* no type takes more */
  t->expected = hb_allocate(o->allocator, t->expected_bytes);
  if (!t->saved || !t->blocks || !t->expected)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to search scales of layer %u",
                   (uint64_t)l->layer);
  save(t);
  return run(t, false, error);
}

void hb_trial_destroy(hb_trial *t) {
  const hb_allocator *allocator = t->l->job->options->allocator;
  hb_release(allocator, t->saved, t->saved_bytes);
  hb_release(allocator, t->blocks, t->saved_bytes);
  hb_release(allocator, t->expected, t->expected_bytes);
}
