/* The derivative of each operation. Gradients of buffers are all zero but for what is still to be
 * handed on: an operation adds to that of its input, and clears that of its output. */
#include "train/node.h"

typedef struct back_job {
  hb_graph *graph;
  const hb_node *node;
  float *dweight, *dbias; /* of vectors, or NULL */
  void (*row)(const struct back_job *job, uint32_t row);
} back_job;

static float *din_of(const hb_graph *g, const hb_node *node, uint32_t row) {
  const hb_place *p = &g->gradient[node->op->in.buffer];
  return p->data + row * p->stride + node->op->in.column;
}

static float *dout_of(const hb_graph *g, const hb_node *node, uint32_t row) {
  const hb_place *p = &g->gradient[node->op->out.buffer];
  return p->data + row * p->stride + node->op->out.column;
}

static const float *in_of(const hb_node *node, uint32_t row) {
  return node->in.data + row * node->in.stride + node->op->in.column;
}

static void clear(float *x, size_t n) {
  memset(x, 0, n * sizeof *x);
}

static void accumulate(const hb_graph *g, const float *x, float factor, size_t n, float *out) {
  g->team.kernels->multiply_add(out, x, factor, n, out);
}

static void run_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const back_job *job = context;
  (void)thread;
  for (uint32_t row = first; row < end; row++) job->row(job, row);
}

static void each_row(back_job *job, void (*row)(const back_job *, uint32_t)) {
  job->row = row;
  hb_team_divide(&job->graph->team, job->graph->rows, 1, run_rows, job);
}

/* Sums over rows are divided by columns, so that each is one chain. */
enum { COLUMNS = 16 };

static void each_column(back_job *job, uint32_t count,
                        void (*body)(void *, uint32_t, uint32_t, uint32_t)) {
  hb_team_divide(&job->graph->team, count, COLUMNS, body, job);
}

/* ---- Tables ---- */

static void embed_columns(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const back_job *job = context;
  (void)thread;
  const hb_graph *g = job->graph;
  size_t width = job->node->op->out.width;
  for (uint32_t row = 0; row < g->rows; row++)
    accumulate(g, dout_of(g, job->node, row) + first, 1, end - first,
               job->dweight + (size_t)g->batch->tokens[row] * width + first);
}

static void position_columns(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const back_job *job = context;
  (void)thread;
  const hb_graph *g = job->graph;
  size_t width = job->node->op->out.width;
  for (uint32_t row = 0; row < g->rows; row++)
    accumulate(g, dout_of(g, job->node, row) + first, 1, end - first,
               job->dweight + hb_graph_position(g, row) * width + first);
}

static void clear_row(const back_job *job, uint32_t row) {
  clear(dout_of(job->graph, job->node, row), job->node->op->out.width);
}

/* ---- Norms ---- */

static void norm_row(const back_job *job, uint32_t row) {
  hb_graph *g = job->graph;
  const hb_train_kernels *k = g->team.kernels;
  const hb_op *op = job->node->op;
  const float *x = in_of(job->node, row), *weight = hb_graph_vector(g, op->weight);
  const float *dy = dout_of(g, job->node, row);
  float *dx = din_of(g, job->node, row);
  g->mean[row] = 0;
  if (g->model->architecture->norm == HB_NORM_RMS)
    g->factor[row] = k->rms_norm_back(x, weight, dy, op->parameter, op->out.width, dx);
  else
    g->factor[row] =
        k->layer_norm_back(x, weight, dy, op->parameter, op->out.width, dx, &g->mean[row]);
}

static void norm_columns(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const back_job *job = context;
  (void)thread;
  const hb_graph *g = job->graph;
  for (uint32_t row = 0; row < g->rows; row++) {
    const float *dy = dout_of(g, job->node, row) + first;
    if (job->dweight)
      g->team.kernels->norm_weight_back(in_of(job->node, row) + first, dy, g->mean[row],
                                        g->factor[row], end - first, job->dweight + first);
    if (job->dbias) accumulate(g, dy, 1, end - first, job->dbias + first);
  }
}

/* Norms of heads are RMS norms without mean, like all others of their model. */
static void head_norm_row(const back_job *job, uint32_t row) {
  const hb_graph *g = job->graph;
  const hb_op *op = job->node->op;
  uint32_t size = g->model->h.head_size;
  const float *weight = hb_graph_vector(g, op->weight);
  float *kept = job->node->kept.data + row * job->node->kept.stride;
  float *dy = dout_of(g, job->node, row), dx[HB_MAX_HEAD_SIZE];
  for (uint32_t i = 0; i < op->out.width; i += size) {
    clear(dx, size);
    float factor =
        g->team.kernels->rms_norm_back(kept + i, weight, dy + i, op->parameter, size, dx);
    /* What the weight's gradient sums over rows takes the input's place. */
    for (uint32_t c = 0; c < size; c++) kept[i + c] = dy[i + c] * kept[i + c] * factor;
    memcpy(dy + i, dx, size * sizeof *dx);
  }
}

static void head_norm_columns(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const back_job *job = context;
  (void)thread;
  const hb_graph *g = job->graph;
  const hb_place *kept = &job->node->kept;
  for (uint32_t row = 0; row < g->rows; row++)
    for (uint32_t i = 0; i < job->node->op->out.width; i += g->model->h.head_size)
      accumulate(g, kept->data + row * kept->stride + i + first, 1, end - first,
                 job->dweight + first);
}

/* ---- The others ---- */

static void bias_columns(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const back_job *job = context;
  (void)thread;
  const hb_graph *g = job->graph;
  for (uint32_t row = 0; row < g->rows; row++)
    accumulate(g, dout_of(g, job->node, row) + first, 1, end - first, job->dbias + first);
}

static void hand_on(const back_job *job, uint32_t row, float factor) {
  const hb_graph *g = job->graph;
  float *dout = dout_of(g, job->node, row);
  accumulate(g, dout, factor, job->node->op->out.width, din_of(g, job->node, row));
  clear(dout, job->node->op->out.width);
}

static void skip_row(const back_job *job, uint32_t row) {
  hand_on(job, row, 1);
}

static void scale_row(const back_job *job, uint32_t row) {
  const hb_graph *g = job->graph;
  const hb_op *op = job->node->op;
  float *dout = dout_of(g, job->node, row);
  if (op->in.buffer == op->out.buffer)
    g->model->kernels->scale(dout, op->parameter, op->out.width, dout);
  else
    hand_on(job, row, op->parameter);
}

/* What is added to keeps its gradient. */
static void add_row(const back_job *job, uint32_t row) {
  const hb_graph *g = job->graph;
  accumulate(g, dout_of(g, job->node, row), 1, job->node->op->out.width, din_of(g, job->node, row));
}

static void rope_row(const back_job *job, uint32_t row) {
  hb_graph_turn(job->graph, job->node->op, row, dout_of(job->graph, job->node, row), true);
}

/* Gradients of gate and up take the place of the activated values'. */
static void activate_row(const back_job *job, uint32_t row) {
  const hb_graph *g = job->graph;
  const hb_train_kernels *k = g->team.kernels;
  const float *gate = in_of(job->node, row);
  float *dy = dout_of(g, job->node, row), *dgate = din_of(g, job->node, row);
  uint32_t n = job->node->op->out.width;
  switch (g->model->architecture->activation) {
  case HB_ACTIVATION_SILU_GATED: k->silu_mul_back(gate, gate + n, dy, n, dgate, dgate + n); break;
  case HB_ACTIVATION_GELU_GATED: k->gelu_mul_back(gate, gate + n, dy, n, dgate, dgate + n); break;
  case HB_ACTIVATION_GELU: k->gelu_back(gate, dy, n, dgate); break;
  }
}

static void multiply(back_job *job) {
  hb_graph *g = job->graph;
  const hb_node *node = job->node;
  const hb_op *op = node->op;
  hb_place in =
      node->kept.data ? node->kept : (hb_place){node->in.data + op->in.column, node->in.stride};
  hb_place dout = {dout_of(g, node, 0), g->gradient[op->out.buffer].stride};
  hb_place din = {din_of(g, node, 0), g->gradient[op->in.buffer].stride};
  hb_product_back(g, op, in, dout, g->rows, din, job->dweight);
  if (job->dbias) each_column(job, op->out.width, bias_columns);
  each_row(job, clear_row);
}

static void norm(back_job *job) {
  each_row(job, norm_row);
  if (job->dweight || job->dbias) each_column(job, job->node->op->out.width, norm_columns);
  each_row(job, clear_row);
}

static void head_norm(back_job *job) {
  each_row(job, head_norm_row);
  if (job->dweight) each_column(job, job->graph->model->h.head_size, head_norm_columns);
}

static float *gradient_of(float *const *gradients, uint32_t weight) {
  return weight == HB_NONE ? NULL : gradients[weight];
}

void hb_node_backward(hb_graph *g, const hb_node *node, float *const *gradients) {
  const hb_op *op = node->op;
  back_job job = {.graph = g,
                  .node = node,
                  .dweight = gradient_of(gradients, op->weight),
                  .dbias = gradient_of(gradients, op->bias)};
  switch (op->kind) {
  case HB_OP_EMBED:
    if (job.dweight) each_column(&job, op->out.width, embed_columns);
    each_row(&job, clear_row);
    break;
  case HB_OP_POSITION:
    if (job.dweight) each_column(&job, op->out.width, position_columns);
    break;
  case HB_OP_SCALE: each_row(&job, scale_row); break;
  case HB_OP_NORM: norm(&job); break;
  case HB_OP_HEAD_NORM: head_norm(&job); break;
  case HB_OP_MATMUL: multiply(&job); break;
  case HB_OP_ROPE: each_row(&job, rope_row); break;
  case HB_OP_ATTEND: hb_attention_back(g, node); break;
  case HB_OP_ACTIVATE: each_row(&job, activate_row); break;
  case HB_OP_ADD: each_row(&job, add_row); break;
  case HB_OP_SKIP: each_row(&job, skip_row); break;
  case HB_OP_OUTLIERS: /* nothing is computed in these: forward.c */
  case HB_OP_QUANTIZE:
  case HB_OP_QUANTIZE_ROW:
  case HB_OP_STORE:
  case HB_OP_SELECT:
  case HB_OP_SOFTCAP: break;
  }
}
