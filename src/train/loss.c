/* Logits, the loss, and its derivative, for a block of rows at a time. */
#include "train/node.h"

typedef struct loss_job {
  hb_graph *graph;
  const hb_batch *batch;
  const hb_loss *loss;
  const float *teacher; /* [HB_LOSS_ROWS][vocabulary], or NULL */
  float factor;
  uint32_t first; /* row of the block */
} loss_job;

const hb_op *hb_graph_output(const hb_graph *g) {
  const hb_op *op = g->model->program + g->model->hidden_ops;
  while (op->kind != HB_OP_MATMUL) op++;
  return op;
}

typedef struct round_job {
  const hb_graph *graph;
  uint32_t first;
} round_job;

static void round_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const round_job *job = context;
  const hb_graph *g = job->graph;
  const hb_place *hidden = &g->states[g->stages];
  (void)thread;
  for (uint32_t row = first; row < end; row++)
    hb_graph_round(g, hb_graph_output(g), hidden->data + (job->first + row) * hidden->stride,
                   g->rounded + (size_t)row * g->model->h.width);
}

/* What the output matrix reads, of a block of rows. */
static hb_place input_at(const hb_graph *g, uint32_t first) {
  hb_place hidden = g->states[g->stages];
  if (hb_graph_rounds(g, hb_graph_output(g))) return (hb_place){g->rounded, g->model->h.width};
  return (hb_place){hidden.data + first * hidden.stride, hidden.stride};
}

static void find_logits(const hb_graph *g, uint32_t first, uint32_t rows, float *out) {
  const hb_op *op = hb_graph_output(g);
  round_job job = {g, first};
  if (hb_graph_rounds(g, op)) hb_team_divide(&g->team, rows, 1, round_rows, &job);
  hb_product_forward(g, op, input_at(g, first), rows, (hb_place){out, g->model->h.vocabulary});
}

static void lose_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const loss_job *job = context;
  (void)thread;
  hb_graph *g = job->graph;
  size_t n = g->model->h.vocabulary;
  for (uint32_t row = first; row < end; row++) {
    float *x = g->logits + row * n;
    g->losses[row] = g->team.kernels->loss(x, job->teacher ? job->teacher + row * n : NULL,
                                           job->loss, job->batch->targets[job->first + row],
                                           job->factor, n, x, &g->entropies[row]);
  }
}

static void differentiate(hb_graph *g, uint32_t first, uint32_t rows, float *const *gradients) {
  const hb_op *op = hb_graph_output(g);
  hb_place dlogits = {g->logits, g->model->h.vocabulary}, dhidden = g->gradient[HB_BUFFER_HIDDEN];
  dhidden.data += first * dhidden.stride;
  hb_product_back(g, op, input_at(g, first), dlogits, rows, dhidden, gradients[op->weight]);
}

static void add_up(const loss_job *job, uint32_t rows, hb_loss_sums *out) {
  const hb_graph *g = job->graph;
  for (uint32_t row = 0; row < rows; row++) {
    bool scored = job->batch->targets[job->first + row] >= 0;
    out->loss += g->losses[row];
    if (!scored) continue;
    out->entropy += g->entropies[row];
    out->scored++;
  }
}

void hb_graph_loss(hb_graph *g, const hb_batch *batch, const hb_loss *loss, const hb_graph *teacher,
                   float factor, float *const *gradients, hb_loss_sums *out) {
  *out = (hb_loss_sums){0};
  if (gradients)
    memset(g->gradient[HB_BUFFER_HIDDEN].data, 0,
           (size_t)g->rows * g->gradient[HB_BUFFER_HIDDEN].stride * sizeof(float));
  for (uint32_t first = 0; first < g->rows; first += HB_LOSS_ROWS) {
    uint32_t rows = g->rows - first < HB_LOSS_ROWS ? g->rows - first : HB_LOSS_ROWS;
    loss_job job = {g, batch, loss, teacher ? g->teacher : NULL, factor, first};
    find_logits(g, first, rows, g->logits);
    if (teacher) find_logits(teacher, first, rows, g->teacher);
    hb_team_divide(&g->team, rows, 1, lose_rows, &job);
    add_up(&job, rows, out);
    if (gradients) differentiate(g, first, rows, gradients);
  }
}
