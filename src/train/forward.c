/* What each operation computes. */
#include "train/node.h"

typedef struct rows_job {
  hb_graph *graph;
  const hb_node *node;
  void (*row)(hb_graph *graph, const hb_node *node, uint32_t thread, uint32_t row);
} rows_job;

static void run_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const rows_job *job = context;
  for (uint32_t row = first; row < end; row++) job->row(job->graph, job->node, thread, row);
}

static void each_row(hb_graph *g, const hb_node *node,
                     void (*row)(hb_graph *, const hb_node *, uint32_t, uint32_t)) {
  rows_job job = {g, node, row};
  hb_team_divide(&g->team, g->rows, 1, run_rows, &job);
}

static float *in_of(const hb_node *node, uint32_t row) {
  return node->in.data + row * node->in.stride + node->op->in.column;
}

static float *out_of(const hb_node *node, uint32_t row) {
  return node->out.data + row * node->out.stride + node->op->out.column;
}

/* ---- Operations on a row ---- */

static void embed(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  hb_unpack_row(&g->model->weights[node->op->weight].matrix, (size_t)g->batch->tokens[row],
                out_of(node, row));
}

static void position(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  float *values = hb_team_extra(&g->team, thread), *out = out_of(node, row);
  hb_unpack_row(&g->model->weights[node->op->weight].matrix, hb_graph_position(g, row), values);
  g->model->kernels->add(out, values, node->op->out.width, out);
}

static void scale(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  g->model->kernels->scale(in_of(node, row), node->op->parameter, node->op->out.width,
                           out_of(node, row));
}

static void norm_values(const hb_graph *g, const hb_op *op, const float *x, size_t n, float *out) {
  const float *weight = hb_graph_vector(g, op->weight);
  if (g->model->architecture->norm == HB_NORM_RMS)
    g->model->kernels->rms_norm(x, weight, op->parameter, n, out);
  else
    g->model->kernels->layer_norm(x, weight, hb_graph_vector(g, op->bias), op->parameter, n, out);
}

static void norm(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  norm_values(g, node->op, in_of(node, row), node->op->out.width, out_of(node, row));
}

static void head_norm(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  uint32_t width = node->op->out.width, size = g->model->h.head_size;
  float *kept = node->kept.data + row * node->kept.stride, *heads = out_of(node, row);
  memcpy(kept, heads, width * sizeof *kept);
  for (uint32_t i = 0; i < width; i += size) norm_values(g, node->op, kept + i, size, heads + i);
}

static void rope(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  hb_graph_turn(g, node->op, row, out_of(node, row), false);
}

static void activate(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  const hb_kernels *k = g->model->kernels;
  const float *gate = in_of(node, row);
  float *out = out_of(node, row);
  uint32_t n = node->op->out.width;
  switch (g->model->architecture->activation) {
  case HB_ACTIVATION_SILU_GATED: k->silu_mul(gate, gate + n, n, out); break;
  case HB_ACTIVATION_GELU_GATED: k->gelu_mul(gate, gate + n, n, out); break;
  case HB_ACTIVATION_GELU: k->gelu(gate, n, out); break;
  }
}

static void add(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  const float *old = node->kept.data + row * node->kept.stride + node->op->out.column;
  g->model->kernels->add(old, in_of(node, row), node->op->out.width, out_of(node, row));
}

static void round_input(hb_graph *g, const hb_node *node, uint32_t thread, uint32_t row) {
  (void)thread;
  hb_graph_round(g, node->op, in_of(node, row), node->kept.data + row * node->kept.stride);
}

/* ---- Products ---- */

static void multiply(hb_graph *g, const hb_node *node) {
  hb_place in = node->in;
  in.data += node->op->in.column;
  if (node->kept.data) {
    each_row(g, node, round_input);
    in = node->kept;
  }
  hb_place out = {node->out.data + node->op->out.column, node->out.stride};
  hb_product_forward(g, node->op, in, g->rows, out);
}

void hb_node_forward(hb_graph *g, const hb_node *node) {
  switch (node->op->kind) {
  case HB_OP_EMBED: each_row(g, node, embed); break;
  case HB_OP_POSITION: each_row(g, node, position); break;
  case HB_OP_SCALE: each_row(g, node, scale); break;
  case HB_OP_NORM: each_row(g, node, norm); break;
  case HB_OP_HEAD_NORM: each_row(g, node, head_norm); break;
  case HB_OP_MATMUL: multiply(g, node); break;
  case HB_OP_ROPE: each_row(g, node, rope); break;
  case HB_OP_ATTEND: hb_attention_forward(g, node); break;
  case HB_OP_ACTIVATE: each_row(g, node, activate); break;
  case HB_OP_ADD: each_row(g, node, add); break;
  case HB_OP_SKIP:           /* where sparse values stand in the matrix itself, */
  case HB_OP_OUTLIERS:       /* as hb_graph_matrix has it */
  case HB_OP_QUANTIZE:       /* products read floats */
  case HB_OP_QUANTIZE_ROW:   /* the same */
  case HB_OP_STORE:          /* attention reads q, k and v where they are */
  case HB_OP_SELECT:         /* every row is wanted */
  case HB_OP_SOFTCAP: break; /* of logits: loss.c */
  }
}
