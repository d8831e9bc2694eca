/* Attention over whole sequences, and its derivatives. The scores of a block of rows are formed at
 * once, and again on the way back instead of being kept. */
#include "train/node.h"

/* One head of q of one sequence, in a thread's room. */
typedef struct head_work {
  const hb_graph *graph;
  void *room;              /* of products */
  float *scores, *dscores; /* [HB_SCORE_ROWS][length] */
  uint32_t sequence;
  hb_place q, k, v, out;     /* rows of the sequence, the head's columns */
  hb_place dq, dk, dv, dout; /* their gradients */
} head_work;

/* Rows first .. end - 1 of a sequence see columns from .. end - 1, each up to itself. */
typedef struct block {
  uint32_t first, end, from;
} block;

static uint64_t score_bytes(const hb_graph *g) {
  return (uint64_t)HB_SCORE_ROWS * g->o.length * sizeof(float);
}

uint64_t hb_attention_room(const hb_graph *g) {
  uint64_t row = g->model->h.width * sizeof(float); /* also for the row of a position */
  return 2 * score_bytes(g) > row ? 2 * score_bytes(g) : row;
}

static hb_place part(hb_place rows, uint32_t row, size_t column) {
  return (hb_place){rows.data + row * rows.stride + column, rows.stride};
}

static void multiply(const head_work *w, const hb_gemm *g) {
  const hb_team *team = &w->graph->team;
  (team->bf16 ? team->kernels->gemm_bf16 : team->kernels->gemm)(g, w->room);
}

/* out[m][n] = a times b, where a and b are rows, transposed if said so. */
static void product(const head_work *w, uint32_t m, uint32_t n, uint32_t k, hb_place a,
                    bool a_across, hb_place b, bool b_across, hb_place out, bool add) {
  hb_gemm g = {.m = m,
               .n = n,
               .k = k,
               .a = a.data,
               .a_row = a_across ? 1 : a.stride,
               .a_col = a_across ? a.stride : 1,
               .b = b.data,
               .b_row = b_across ? 1 : b.stride,
               .b_col = b_across ? b.stride : 1,
               .c = out.data,
               .c_row = out.stride,
               .add = add};
  multiply(w, &g);
}

static block block_at(const head_work *w, uint32_t first) {
  const hb_graph *g = w->graph;
  uint32_t end = first + HB_SCORE_ROWS < g->o.length ? first + HB_SCORE_ROWS : g->o.length;
  return (block){first, end, g->batch->first[(size_t)w->sequence * g->o.length + first]};
}

static float score_scale(const hb_graph *g) {
  return 1 / hb_sqrtf((float)g->model->h.head_size);
}

/* What a row of a block sees: columns of the block from *first up to *end. */
static void see(const head_work *w, const block *b, uint32_t row, size_t *first, size_t *end) {
  const hb_graph *g = w->graph;
  *first = g->batch->first[(size_t)w->sequence * g->o.length + row] - b->from;
  *end = row + 1 - b->from;
}

/* The attention's weights [rows of the block][columns that it sees]. */
static hb_place weigh(const head_work *w, const block *b) {
  const hb_graph *g = w->graph;
  uint32_t columns = b->end - b->from;
  hb_place scores = {w->scores, columns};
  product(w, b->end - b->first, columns, g->model->h.head_size, part(w->q, b->first, 0), false,
          part(w->k, b->from, 0), true, scores, false);
  for (uint32_t row = b->first; row < b->end; row++) {
    size_t first, end;
    see(w, b, row, &first, &end);
    g->team.kernels->attention(scores.data + (row - b->first) * scores.stride, score_scale(g),
                               first, end, columns);
  }
  return scores;
}

static void forward_block(const head_work *w, const block *b) {
  hb_place weights = weigh(w, b);
  product(w, b->end - b->first, w->graph->model->h.value_size, b->end - b->from, weights, false,
          part(w->v, b->from, 0), false, part(w->out, b->first, 0), false);
}

static void backward_block(const head_work *w, const block *b) {
  const hb_graph *g = w->graph;
  uint32_t rows = b->end - b->first, columns = b->end - b->from;
  uint32_t size = g->model->h.head_size, values = g->model->h.value_size;
  hb_place weights = weigh(w, b), dweights = {w->dscores, columns};
  hb_place dout = part(w->dout, b->first, 0);
  product(w, rows, columns, values, dout, false, part(w->v, b->from, 0), true, dweights, false);
  product(w, columns, values, rows, weights, true, dout, false, part(w->dv, b->from, 0), true);
  for (uint32_t row = b->first; row < b->end; row++) {
    size_t first, end, at = (row - b->first) * (size_t)columns;
    see(w, b, row, &first, &end);
    g->team.kernels->attention_back(weights.data + at, score_scale(g), first, end, columns,
                                    dweights.data + at);
  }
  product(w, rows, size, columns, dweights, false, part(w->k, b->from, 0), false,
          part(w->dq, b->first, 0), true);
  product(w, columns, size, rows, dweights, true, part(w->q, b->first, 0), false,
          part(w->dk, b->from, 0), true);
}

/* ---- All heads ---- */

typedef struct attention_job {
  hb_graph *graph;
  const hb_node *node;
  void (*run)(const head_work *work, const block *b);
} attention_job;

/* The heads of q that share a head of k and v, one after the other: they add to its gradient. */
static void run_group(const attention_job *job, head_work *w, uint32_t kv_head) {
  const hb_graph *g = job->graph;
  const hb_hyperparameters *h = &g->model->h;
  const hb_op *op = job->node->op;
  uint32_t sharing = h->heads / h->kv_heads, row = w->sequence * g->o.length;
  size_t k = op->in.column + op->in.width, v = k + (size_t)h->kv_heads * h->head_size;
  hb_place qkv = job->node->in, dqkv = g->gradient[op->in.buffer];
  w->k = part(qkv, row, k + (size_t)kv_head * h->head_size);
  w->v = part(qkv, row, v + (size_t)kv_head * h->value_size);
  w->dk = part(dqkv, row, k + (size_t)kv_head * h->head_size);
  w->dv = part(dqkv, row, v + (size_t)kv_head * h->value_size);
  for (uint32_t head = kv_head * sharing; head < (kv_head + 1) * sharing; head++) {
    w->q = part(qkv, row, op->in.column + (size_t)head * h->head_size);
    w->dq = part(dqkv, row, op->in.column + (size_t)head * h->head_size);
    w->out = part(job->node->out, row, op->out.column + (size_t)head * h->value_size);
    w->dout = part(g->gradient[op->out.buffer], row, op->out.column + (size_t)head * h->value_size);
    for (uint32_t first = 0; first < g->o.length; first += HB_SCORE_ROWS) {
      block b = block_at(w, first);
      job->run(w, &b);
    }
  }
}

static void run_groups(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const attention_job *job = context;
  const hb_graph *g = job->graph;
  uint32_t kv_heads = g->model->h.kv_heads;
  head_work w = {.graph = g,
                 .room = hb_team_room(&g->team, thread),
                 .scores = hb_team_extra(&g->team, thread)};
  w.dscores = w.scores + (size_t)HB_SCORE_ROWS * g->o.length;
  for (uint32_t i = first; i < end; i++) {
    w.sequence = i / kv_heads;
    run_group(job, &w, i % kv_heads);
  }
}

static void run_all(hb_graph *g, const hb_node *node,
                    void (*run)(const head_work *, const block *)) {
  attention_job job = {g, node, run};
  hb_team_divide(&g->team, g->o.sequences * g->model->h.kv_heads, 1, run_groups, &job);
}

void hb_attention_forward(hb_graph *g, const hb_node *node) {
  run_all(g, node, forward_block);
}

void hb_attention_back(hb_graph *g, const hb_node *node) {
  const hb_place *dout = &g->gradient[node->op->out.buffer];
  run_all(g, node, backward_block);
  memset(dout->data, 0, (size_t)g->rows * dout->stride * sizeof(float));
}
