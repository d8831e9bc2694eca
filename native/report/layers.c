/* Both models read some tokens, layer by layer: how far their residual streams are from each other,
 * and what the reference's matrices get to read. */
#include "report/report.h"
#include "model/session.h"

#include <stdlib.h>

enum { TOKENS = 64 };

typedef struct reading {
  hb_session *session;
  hb_row rows[TOKENS];
  uint32_t count;
} reading;

static void begin(reading *r, cli_engine *engine, const cli_tokens *tokens) {
  hb_session_rewind(engine->session, 0);
  *r = (reading){.session = engine->session};
  uint32_t most = engine->session->batch < TOKENS ? engine->session->batch : TOKENS;
  r->count = tokens->count < most ? (uint32_t)tokens->count : most;
  for (uint32_t i = 0; i < r->count; i++) {
    r->rows[i] = (hb_row){engine->session, tokens->data[i], 1};
    engine->session->positions[i] = i;
  }
}

static bool ends_layer(const hb_model *m, uint32_t op, uint32_t layer) {
  const hb_op *next = &m->program[op];
  if (next->weight != HB_NONE && m->weights[next->weight].kind == HB_WEIGHT_OUTPUT_NORM)
    return true;
  return next->layer > layer;
}

/* The operation behind a layer's last one, which `op` does not lie beyond. */
static uint32_t end_of(const hb_model *m, uint32_t op, uint32_t layer) {
  while (op < m->hidden_ops && !ends_layer(m, op, layer)) op++;
  return op;
}

/* ---- Inputs ---- */

static report_tensor *tensor_named(report_run *run, const char *name) {
  for (size_t i = 0; i < run->tensor_count; i++)
    if (strcmp(run->tensors[i].name, name) == 0) return &run->tensors[i];
  return NULL;
}

static void look_at_input(const reading *r, const hb_op *op, report_run *out) {
  const hb_model *m = r->session->model;
  report_tensor *t = tensor_named(out, m->weights[op->weight].name);
  if (!t || t->has_input) return;
  size_t stride = m->buffer_width[op->in.buffer];
  const float *input = r->session->buffer[op->in.buffer] + op->in.column;
  t->has_input = true;
  for (uint32_t i = 0; i < r->count; i++)
    histogram_measure(&t->input, input + i * stride, op->in.width);
  for (uint32_t i = 0; i < r->count; i++)
    histogram_count(&t->input, input + i * stride, op->in.width);
}

/* Runs operations and, where `out` is given, looks at what products read: the first of several that
 * read the same. */
static void run_ops(reading *r, uint32_t first, uint32_t end, report_run *out) {
  const hb_op *program = r->session->model->program;
  hb_operand seen = {.width = 0};
  while (first < end) {
    const hb_op *op = &program[first];
    if (out && op->kind == HB_OP_MATMUL &&
        (op->in.buffer != seen.buffer || op->in.column != seen.column || seen.width == 0))
      look_at_input(r, op, out);
    if (op->kind == HB_OP_MATMUL)
      seen = op->in;
    else
      seen.width = 0;
    hb_execute_part(r->session, r->rows, r->count, first, first + 1);
    first++;
  }
}

/* ---- Streams ---- */

static double stream_error(const float *reference, const float *x, size_t count) {
  double differences = 0, squares = 0;
  for (size_t i = 0; i < count; i++) {
    double difference = (double)x[i] - (double)reference[i];
    differences += difference * difference;
    squares += (double)reference[i] * (double)reference[i];
  }
  return squares > 0 ? differences / squares : differences;
}

static void compare_layers(reading *reference, reading *model, report_run *out) {
  const hb_model *a = reference->session->model, *b = model->session->model;
  size_t values = (size_t)reference->count * a->h.width;
  uint32_t a_at = 0, b_at = 0;
  for (uint32_t layer = 0; layer < a->h.layers; layer++) {
    uint32_t a_end = end_of(a, a_at, layer), b_end = end_of(b, b_at, layer);
    run_ops(reference, a_at, a_end, out);
    run_ops(model, b_at, b_end, NULL);
    out->layer_errors[layer] = stream_error(reference->session->buffer[HB_BUFFER_STREAM],
                                            model->session->buffer[HB_BUFFER_STREAM], values);
    a_at = a_end;
    b_at = b_end;
  }
}

bool report_layers(compared_pair *pair, report_run *out) {
  const hb_model *a = pair->reference.model, *b = pair->model.model;
  if (a->h.layers != b->h.layers || a->h.width != b->h.width) return true; /* nothing to compare */
  out->layer_errors = calloc(a->h.layers, sizeof *out->layer_errors);
  if (!out->layer_errors) {
    cli_fail("no memory for the errors of layers");
    return false;
  }
  out->layer_count = a->h.layers;
  reading reference, model;
  cli_tokens tokens = windows_at(&pair->windows, 0);
  begin(&reference, &pair->reference, &tokens);
  begin(&model, &pair->model, &tokens);
  compare_layers(&reference, &model, out);
  return true;
}
