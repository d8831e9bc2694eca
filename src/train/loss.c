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

/* The product behind the hidden states. */
static const hb_op *output_of(const hb_model *m) {
  const hb_op *op = m->program + m->hidden_ops;
  while (op->kind != HB_OP_MATMUL) op++;
  return op;
}

static void find_logits(const hb_graph *g, uint32_t first, uint32_t rows, float *out) {
  const hb_model *m = g->model;
  hb_place hidden = g->states[g->stages];
  hb_place in = {hidden.data + first * hidden.stride, hidden.stride};
  hb_product_forward(g, output_of(m), in, rows, (hb_place){out, m->h.vocabulary});
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
  const hb_op *op = output_of(g->model);
  hb_place hidden = g->states[g->stages], dhidden = g->gradient[HB_BUFFER_HIDDEN];
  hidden.data += first * hidden.stride;
  dhidden.data += first * dhidden.stride;
  hb_product_back(g, op, hidden, (hb_place){g->logits, g->model->h.vocabulary}, rows, dhidden,
                  gradients[op->weight]);
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
