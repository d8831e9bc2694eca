#include "train/node.h"

/* ---- Where nodes read and write ---- */

/* Memory is laid out twice: measured first, with NULL for both bases, then given out. */
typedef struct layout {
  hb_graph *graph;
  uint8_t *kept, *inner; /* what lies between stages; what lies within them */
  uint64_t kept_bytes, inner_bytes, inner_most;
  hb_place current[HB_BUFFERS]; /* where the contents of a buffer lie */
  hb_place rounded[HB_BUFFERS]; /* and rounded to int8 */
  bool is_rounded[HB_BUFFERS];
} layout;

static hb_place new_place(layout *l, uint64_t width, bool kept) {
  uint64_t bytes = (uint64_t)l->graph->rows * width * sizeof(float);
  void *data =
      kept ? hb_take(l->kept, &l->kept_bytes, bytes) : hb_take(l->inner, &l->inner_bytes, bytes);
  if (l->inner_bytes > l->inner_most) l->inner_most = l->inner_bytes;
  return (hb_place){data, (size_t)width};
}

static hb_place new_buffer(layout *l, hb_buffer buffer, bool kept) {
  l->is_rounded[buffer] = false;
  return l->current[buffer] = new_place(l, l->graph->model->buffer_width[buffer], kept);
}

static void place_product(layout *l, hb_node *node) {
  const hb_op *op = node->op;
  hb_buffer in = op->in.buffer;
  /* Products that write side by side follow the first of them. */
  hb_place *out = &l->current[op->out.buffer];
  if (op->out.buffer == HB_BUFFER_RAISED) {
    /* Nothing reads it on the way back. */
    if (out->stride == 0) new_buffer(l, op->out.buffer, true);
  } else if (op->out.column == 0) {
    new_buffer(l, op->out.buffer, false);
  }
  node->out = *out;
  if (!hb_graph_rounds(l->graph, op)) return;
  if (!l->is_rounded[in]) l->rounded[in] = new_place(l, op->in.width, false);
  l->is_rounded[in] = true;
  node->kept = l->rounded[in];
}

/* `last`: no later node of the stage writes the residual stream. */
static void place(layout *l, hb_node *node, bool last) {
  const hb_op *op = node->op;
  hb_buffer out = op->out.buffer;
  node->in = l->current[op->in.buffer];
  switch (op->kind) {
  case HB_OP_EMBED: node->out = new_buffer(l, out, true); return;
  case HB_OP_NORM: node->out = new_buffer(l, out, last); return;
  case HB_OP_MATMUL: place_product(l, node); return;
  case HB_OP_ADD:
    node->kept = l->current[out];
    node->out = out == HB_BUFFER_STREAM ? new_buffer(l, out, last) : l->current[out];
    return;
  case HB_OP_SCALE: node->out = op->in.buffer == out ? node->in : new_buffer(l, out, false); return;
  case HB_OP_HEAD_NORM:
    node->out = l->current[out];
    node->kept = new_place(l, op->out.width, false);
    return;
  case HB_OP_ATTEND: node->out = new_buffer(l, out, false); return;
  case HB_OP_ACTIVATE:
    node->out = l->current[out] = new_place(l, op->out.width, false);
    l->is_rounded[out] = false;
    return;
  case HB_OP_SKIP: node->out = l->current[out] = node->in; return;
  case HB_OP_POSITION:
  case HB_OP_QUANTIZE:
  case HB_OP_QUANTIZE_ROW:
  case HB_OP_OUTLIERS:
  case HB_OP_ROPE:
  case HB_OP_STORE:
  case HB_OP_SELECT:
  case HB_OP_SOFTCAP: node->out = l->current[out]; return;
  }
}

/* The operation that writes what a stage leaves. */
static uint32_t last_of(const hb_graph *g, uint32_t stage) {
  uint32_t last = g->stage_first[stage];
  for (uint32_t i = last; i < g->stage_first[stage + 1]; i++) {
    const hb_op *op = g->nodes[i].op;
    if (op->kind == HB_OP_ADD && op->out.buffer == HB_BUFFER_STREAM) last = i;
  }
  return last;
}

static void lay_out(layout *l) {
  hb_graph *g = l->graph;
  for (uint32_t stage = 0; stage < g->stages; stage++) {
    if (g->o.recompute) l->inner_bytes = 0;
    g->states[stage] = l->current[HB_BUFFER_STREAM];
    uint32_t last = last_of(g, stage);
    for (uint32_t i = g->stage_first[stage]; i < g->stage_first[stage + 1]; i++)
      place(l, &g->nodes[i], i == last);
  }
  g->states[g->stages] = l->current[HB_BUFFER_HIDDEN];
}

/* What does not belong to nodes. */
static void lay_out_rest(layout *l) {
  hb_graph *g = l->graph;
  const hb_model *m = g->model;
  const uint64_t size = sizeof(float);
  uint64_t *used = &l->kept_bytes, largest = 0;
  for (uint32_t b = 0; b < HB_BUFFERS; b++)
    if (b != HB_BUFFER_LOGITS) {
      uint64_t bytes = (uint64_t)g->rows * m->buffer_width[b] * size;
      g->gradient[b] = (hb_place){hb_take(l->kept, used, bytes), m->buffer_width[b]};
    }
  for (uint32_t i = 0; i < m->weight_count; i++)
    if (m->weights[i].present && m->weights[i].matrix.type != HB_TYPE_F32 &&
        m->weights[i].cols * m->weights[i].rows > largest)
      largest = m->weights[i].cols * m->weights[i].rows;
  uint64_t pairs = (uint64_t)g->o.length * (m->h.rope_dims / 2);
  g->cosine = hb_take(l->kept, used, pairs * size);
  g->sine = hb_take(l->kept, used, pairs * size);
  g->sine_back = hb_take(l->kept, used, pairs * size);
  g->mean = hb_take(l->kept, used, g->rows * size);
  g->factor = hb_take(l->kept, used, g->rows * size);
  g->matrix = hb_take(l->kept, used, largest * size);
  g->logits = hb_take(l->kept, used, (uint64_t)HB_LOSS_ROWS * m->h.vocabulary * size);
  g->teacher = hb_take(l->kept, used, (uint64_t)HB_LOSS_ROWS * m->h.vocabulary * size);
  if (hb_graph_rounds(g, hb_graph_output(g)))
    g->rounded = hb_take(l->kept, used, (uint64_t)HB_LOSS_ROWS * m->h.width * size);
  g->losses = hb_take(l->kept, used, HB_LOSS_ROWS * size);
  g->entropies = hb_take(l->kept, used, HB_LOSS_ROWS * size);
}

/* ---- Creating ---- */

static bool begins_stage(const hb_graph *g, const hb_op *op) {
  if (op->kind != HB_OP_NORM) return false;
  hb_weight_kind kind = g->model->weights[op->weight].kind;
  return kind == HB_WEIGHT_ATTN_NORM || kind == HB_WEIGHT_OUTPUT_NORM;
}

static hb_status make_nodes(hb_graph *g, hb_error *error) {
  const hb_model *m = g->model;
  g->stages = m->h.layers + 2;
  g->nodes = hb_allocate_zero(g->o.allocator, m->hidden_ops * sizeof *g->nodes);
  g->stage_first = hb_allocate_zero(g->o.allocator, (g->stages + 1) * sizeof *g->stage_first);
  g->states = hb_allocate_zero(g->o.allocator, (g->stages + 1) * sizeof *g->states);
  if (!g->nodes || !g->stage_first || !g->states)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a graph");
  uint32_t stage = 0;
  for (uint32_t i = 0; i < m->hidden_ops; i++) {
    const hb_op *op = &m->program[i];
    g->nodes[i].op = op;
    if (begins_stage(g, op)) g->stage_first[++stage] = i;
    if (op->kind == HB_OP_NORM && op->in.buffer == op->out.buffer)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                     "training of %s, which has norms behind a part of a layer",
                     m->architecture->name);
  }
  g->stage_first[g->stages] = m->hidden_ops;
  if (stage + 1 != g->stages || m->h.window > 0 || m->h.attention_softcap > 0 ||
      m->h.output_softcap > 0 || m->architecture->wide_scale_layers > 0)
    return hb_fail(
        error, HB_UNSUPPORTED, HB_NO_OFFSET,
        "training of %s, which has windows, soft caps or a scale of attention of its own",
        m->architecture->name);
  return HB_OK;
}

static hb_status allocate(hb_graph *g, hb_error *error) {
  layout l = {.graph = g};
  lay_out(&l);
  lay_out_rest(&l);
  uint64_t kept = l.kept_bytes;
  g->memory_bytes = kept + l.inner_most;
  g->memory = hb_allocate_zero(g->o.allocator, g->memory_bytes);
  if (!g->memory)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                   "no memory for %u bytes of activations: train with fewer sequences at once",
                   g->memory_bytes);
  l = (layout){.graph = g, .kept = g->memory, .inner = g->memory + kept};
  lay_out(&l);
  lay_out_rest(&l);
  return HB_OK;
}

static void prepare_angles(hb_graph *g) {
  const hb_model *m = g->model;
  size_t pairs = m->h.rope_dims / 2;
  if (pairs == 0) return;
  const hb_rope_table *table = &m->rope[hb_rope_table_of(m, 0, g->o.length)];
  for (uint32_t i = 0; i < g->o.length; i++)
    hb_rope_angles(m, table, i, g->cosine + i * pairs, g->sine + i * pairs);
  for (size_t i = 0; i < g->o.length * pairs; i++) g->sine_back[i] = -g->sine[i];
}

static hb_status create(hb_graph *g, hb_error *error) {
  const hb_graph_options *o = &g->o;
  uint64_t rows = (uint64_t)o->sequences * o->length;
  if (o->sequences == 0 || o->length == 0 || o->length > g->model->h.context_length ||
      rows > 1u << 24)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%u sequences of %u tokens: a sequence has 1 to %u, all have at most 2^24",
                   (uint64_t)o->sequences, (uint64_t)o->length,
                   (uint64_t)g->model->h.context_length);
  g->rows = (uint32_t)rows;
  HB_TRY(make_nodes(g, error));
  HB_TRY(hb_team_begin(&g->team, o->allocator, o->parallel, o->isa, o->bf16, hb_attention_room(g),
                       error));
  HB_TRY(allocate(g, error));
  prepare_angles(g);
  g->held = g->stages;
  return HB_OK;
}

hb_status hb_graph_create(const hb_graph_options *options, hb_graph **out, hb_error *error) {
  const hb_allocator *allocator = hb_allocator_or_default(options->allocator);
  hb_graph *g = hb_allocate_zero(allocator, sizeof *g);
  *out = NULL;
  if (!g) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a graph");
  g->o = *options;
  g->o.allocator = allocator;
  g->model = options->model;
  hb_status status = create(g, error);
  if (status == HB_OK)
    *out = g;
  else
    hb_graph_destroy(g);
  return status;
}

void hb_graph_destroy(hb_graph *g) {
  if (!g) return;
  const hb_allocator *allocator = g->o.allocator;
  hb_team_end(&g->team);
  hb_release(allocator, g->nodes, g->model->hidden_ops * sizeof *g->nodes);
  hb_release(allocator, g->stage_first, (g->stages + 1) * sizeof *g->stage_first);
  hb_release(allocator, g->states, (g->stages + 1) * sizeof *g->states);
  hb_release(allocator, g->memory, g->memory_bytes);
  hb_release(allocator, g, sizeof *g);
}

/* ---- Running ---- */

uint32_t hb_graph_rows(const hb_graph *g) {
  return g->rows;
}

uint32_t hb_graph_stages(const hb_graph *g) {
  return g->stages;
}

float *hb_graph_states(const hb_graph *g, uint32_t stage) {
  return g->states[stage].data;
}

float *hb_graph_state_gradient(const hb_graph *g, uint32_t stage) {
  return g->gradient[stage == g->stages ? HB_BUFFER_HIDDEN : HB_BUFFER_STREAM].data;
}

static void run_stage(hb_graph *g, uint32_t stage) {
  for (uint32_t i = g->stage_first[stage]; i < g->stage_first[stage + 1]; i++)
    hb_node_forward(g, &g->nodes[i]);
  g->held = stage;
}

void hb_graph_forward(hb_graph *g, const hb_batch *batch, uint32_t first, uint32_t end) {
  g->batch = batch;
  for (uint32_t stage = first; stage < end; stage++) run_stage(g, stage);
}

void hb_graph_backward(hb_graph *g, float *const *gradients, uint32_t first, uint32_t end) {
  for (uint32_t stage = end; stage-- > first;) {
    if (g->o.recompute && g->held != stage) run_stage(g, stage);
    for (uint32_t i = g->stage_first[stage + 1]; i-- > g->stage_first[stage];)
      hb_node_backward(g, &g->nodes[i], gradients);
  }
}
