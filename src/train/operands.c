/* What operations read besides rows, and products with matrices. */
#include "compress/rounding.h"
#include "train/net.h"
#include "train/node.h"

const float *hb_graph_vector(const hb_graph *g, uint32_t weight) {
  return weight == HB_NONE ? NULL : g->model->weights[weight].vector;
}

uint32_t hb_graph_position(const hb_graph *g, uint32_t row) {
  return row % g->o.length - g->batch->first[row];
}

void hb_graph_turn(const hb_graph *g, const hb_op *op, uint32_t row, float *heads, bool back) {
  const hb_model *m = g->model;
  uint32_t pairs = m->h.rope_dims / 2;
  size_t at = (size_t)hb_graph_position(g, row) * pairs;
  const float *sine = (back ? g->sine_back : g->sine) + at;
  for (uint32_t i = 0; i < op->out.width; i += m->h.head_size)
    if (m->architecture->rope == HB_ROPE_ADJACENT)
      m->kernels->rope_adjacent(heads + i, g->cosine + at, sine, m->h.rope_dims);
    else
      m->kernels->rope_halves(heads + i, g->cosine + at, sine, m->h.rope_dims);
}

/* ---- Matrices ---- */

typedef struct decoding {
  const hb_weight *weight;
  float *out;
} decoding;

static void decode_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const decoding *d = context;
  (void)thread;
  uint32_t cols = d->weight->matrix.cols;
  for (uint32_t row = first; row < end; row++) {
    float *out = d->out + (size_t)row * cols;
    hb_unpack_row(&d->weight->matrix, row, out);
    hb_outliers_add(d->weight, row, out);
  }
}

const float *hb_graph_matrix(const hb_graph *g, uint32_t weight) {
  const hb_weight *w = &g->model->weights[weight];
  if (w->matrix.type == HB_TYPE_F32) return (const float *)(const void *)w->matrix.data;
  decoding d = {w, g->matrix};
  hb_team_divide(&g->team, w->matrix.rows, 1, decode_rows, &d);
  return g->matrix;
}

/* ---- Products ---- */

bool hb_graph_rounds(const hb_graph *g, const hb_op *op) {
  return g->o.round_inputs && g->o.round_inputs[op->weight];
}

void hb_graph_round(const hb_graph *g, const hb_op *op, const float *x, float *out) {
  const hb_weight *w = &g->model->weights[op->weight];
  bool in_layer = hb_weight_table[w->kind].per_layer;
  const hb_rounding rounding = {.rounds = true,
                                .how = in_layer ? g->model->activations : HB_ACTIVATIONS_BLOCK,
                                .fixed = w->input_scale};
  memcpy(out, x, op->in.width * sizeof *out);
  hb_round_row(&rounding, out, NULL, op->in.width);
}

typedef struct bias_job {
  const hb_graph *graph;
  const float *bias;
  hb_place out;
  uint32_t width;
} bias_job;

static void add_bias(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const bias_job *job = context;
  (void)thread;
  for (uint32_t row = first; row < end; row++) {
    float *out = job->out.data + row * job->out.stride;
    job->graph->model->kernels->add(out, job->bias, job->width, out);
  }
}

void hb_product_forward(const hb_graph *g, const hb_op *op, hb_place in, uint32_t rows,
                        hb_place out) {
  const hb_matrix *m = &g->model->weights[op->weight].matrix;
  hb_gemm product = {.m = rows,
                     .n = m->rows,
                     .k = m->cols,
                     .a = in.data,
                     .a_row = in.stride,
                     .a_col = 1,
                     .b = hb_graph_matrix(g, op->weight),
                     .b_row = 1,
                     .b_col = m->cols,
                     .c = out.data,
                     .c_row = out.stride};
  hb_team_multiply(&g->team, &product);
  if (op->bias == HB_NONE) return;
  bias_job job = {g, hb_graph_vector(g, op->bias), out, m->rows};
  hb_team_divide(&g->team, rows, 1, add_bias, &job);
}

void hb_product_back(const hb_graph *g, const hb_op *op, hb_place in, hb_place dout, uint32_t rows,
                     hb_place din, float *dweight) {
  const hb_matrix *m = &g->model->weights[op->weight].matrix;
  hb_gemm to_input = {.m = rows,
                      .n = m->cols,
                      .k = m->rows,
                      .a = dout.data,
                      .a_row = dout.stride,
                      .a_col = 1,
                      .b = hb_graph_matrix(g, op->weight),
                      .b_row = m->cols,
                      .b_col = 1,
                      .c = din.data,
                      .c_row = din.stride,
                      .add = true};
  hb_team_multiply(&g->team, &to_input);
  if (!dweight) return;
  hb_gemm to_matrix = {.m = m->rows,
                       .n = m->cols,
                       .k = rows,
                       .a = dout.data,
                       .a_row = 1,
                       .a_col = dout.stride,
                       .b = in.data,
                       .b_row = in.stride,
                       .b_col = 1,
                       .c = dweight,
                       .c_row = m->cols,
                       .add = true};
  hb_team_multiply(&g->team, &to_matrix);
}
