/* From the description of an architecture and the weights of a file to a program. */
#include "model/model.h"

typedef struct compiler {
  hb_model *model;
  hb_error *error;
  hb_status status; /* of the first failure */
  bool selected;    /* operations work on the selected rows from here on */
} compiler;

hb_division hb_op_division(hb_op_kind kind) {
  static const hb_division divisions[] = {
#define HB_OP_DIVISION(kind, division) HB_DIVIDE_##division,
      HB_OP_LIST(HB_OP_DIVISION)
#undef HB_OP_DIVISION
  };
  return divisions[kind];
}

static bool overlap(hb_operand a, hb_operand b) {
  return a.buffer == b.buffer && a.column < b.column + b.width && b.column < a.column + a.width;
}

/* Whether a product reads what another one since the last barrier writes. */
static bool reads_product(const hb_model *m, const hb_op *op) {
  if (hb_op_division(op->kind) != HB_DIVIDE_GROUPS) return false;
  for (uint32_t i = m->op_count; i-- > 0;) {
    if (overlap(m->program[i].out, op->in)) return true;
    if (m->program[i].barrier) break;
  }
  return false;
}

/* Operations divided by rows follow each other on the same thread row by row, and need no barrier
 * between; nor do products that do not read each other's results. */
static bool needs_barrier(const hb_model *m, const hb_op *op) {
  if (m->op_count == 0) return false;
  return hb_op_division(m->program[m->op_count - 1].kind) != hb_op_division(op->kind) ||
         reads_product(m, op);
}

static void emit(compiler *c, hb_op op) {
  hb_model *m = c->model;
  if (c->status != HB_OK) return;
  if (m->op_count == m->op_capacity) {
    uint32_t capacity = m->op_capacity ? 2 * m->op_capacity : 256;
    hb_op *program = hb_allocate(m->allocator, (uint64_t)capacity * sizeof *program);
    if (!program) {
      c->status = hb_fail(c->error, HB_MEMORY, HB_NO_OFFSET, "no memory for the model's program");
      return;
    }
    if (m->program) memcpy(program, m->program, m->op_count * sizeof *program);
    hb_release(m->allocator, m->program, (uint64_t)m->op_capacity * sizeof *program);
    m->program = program;
    m->op_capacity = capacity;
  }
  op.selected = c->selected;
  op.barrier = needs_barrier(m, &op);
  m->program[m->op_count++] = op;
}

static hb_operand whole(const compiler *c, hb_buffer buffer) {
  return (hb_operand){buffer, 0, c->model->buffer_width[buffer]};
}

static void emit_simple(compiler *c, hb_op_kind kind, uint32_t layer, hb_operand in, hb_operand out,
                        float parameter) {
  emit(c, (hb_op){.kind = kind,
                  .layer = layer,
                  .in = in,
                  .out = out,
                  .weight = HB_NONE,
                  .bias = HB_NONE,
                  .parameter = parameter});
}

/* An operation with a weight and, if there is one, a bias. */
static void emit_weighted(compiler *c, hb_op_kind kind, uint32_t layer, hb_operand in,
                          hb_operand out, hb_weight_kind weight, uint32_t bias) {
  emit(c, (hb_op){.kind = kind,
                  .layer = layer,
                  .in = in,
                  .out = out,
                  .weight = hb_weight_find(c->model, weight, layer),
                  .bias = bias == HB_NONE ? HB_NONE
                                          : hb_weight_find(c->model, (hb_weight_kind)bias, layer),
                  .parameter = c->model->h.norm_eps});
}

static void emit_matmul(compiler *c, uint32_t layer, hb_operand in, hb_operand out,
                        hb_weight_kind weight, uint32_t bias) {
  emit_weighted(c, HB_OP_MATMUL, layer, in, out, weight, bias);
  uint32_t index = hb_weight_find(c->model, weight, layer);
  if (c->model->weights[index].outliers.bytes > 0)
    emit_weighted(c, HB_OP_OUTLIERS, layer, in, out, weight, HB_NONE);
}

static void widen(compiler *c, hb_operand used) {
  uint32_t *width = &c->model->buffer_width[used.buffer];
  if (*width < used.column + used.width) *width = used.column + used.width;
}

enum { ADAPTER_STEPS = 3 };

/* A step of the adapter with the LORA_A `a`: low = A in, raised = B low, out += raised. */
static void emit_adapter(compiler *c, uint32_t step, const hb_op *product, uint32_t a,
                         hb_operand low, hb_operand raised) {
  const hb_op steps[ADAPTER_STEPS] = {
      {.kind = HB_OP_MATMUL, .in = product->in, .out = low, .weight = a},
      {.kind = HB_OP_MATMUL, .in = low, .out = raised, .weight = a + 1},
      {.kind = HB_OP_ADD, .in = raised, .out = product->out, .weight = HB_NONE},
  };
  hb_op op = steps[step];
  op.layer = product->layer;
  op.bias = HB_NONE;
  widen(c, op.in);
  widen(c, op.out);
  emit(c, op);
}

/* What adapters add to the products from operation `first` on. Each step is done for all of them,
 * so that one barrier serves all. */
static void emit_adapters(compiler *c, uint32_t first) {
  const hb_model *m = c->model;
  uint32_t end = m->op_count;
  for (uint32_t step = 0; step < ADAPTER_STEPS; step++) {
    hb_operand low = {HB_BUFFER_LOW, 0, 0}, raised = {HB_BUFFER_RAISED, 0, 0};
    for (uint32_t i = first; i < end; i++) {
      hb_op product = m->program[i];
      if (product.kind != HB_OP_MATMUL) continue;
      raised.width = product.out.width;
      for (uint32_t a = m->weights[product.weight].adapter; a != 0; a = m->weights[a].adapter) {
        low.width = m->weights[a].matrix.rows;
        emit_adapter(c, step, &product, a, low, raised);
        low.column += low.width;
        raised.column += raised.width;
      }
    }
  }
}

static bool has(const compiler *c, hb_weight_kind kind, uint32_t layer) {
  return hb_weight_find(c->model, kind, layer) != HB_NONE;
}

/* Of the weights that multiply an input those that want it as int8: the first, and whether any has
 * outliers. */
typedef struct int8_readers {
  uint32_t first; /* or HB_NONE */
  bool outliers;
} int8_readers;

static int8_readers find_int8_readers(const compiler *c, uint32_t layer,
                                      const hb_weight_kind *weights, size_t count) {
  int8_readers r = {HB_NONE, false};
  for (size_t i = 0; i < count; i++) {
    uint32_t index = hb_weight_find(c->model, weights[i], layer);
    if (index == HB_NONE || !hb_type_wants_int8(c->model->weights[index].matrix.type)) continue;
    if (r.first == HB_NONE) r.first = index;
    r.outliers = r.outliers || c->model->weights[index].outliers.bytes > 0;
  }
  return r;
}

/* Quantizes `in` if one of the weights that multiply it wants int8. In a layer, the file may say
 * how. */
static void emit_quantize(compiler *c, uint32_t layer, hb_operand in, const hb_weight_kind *weights,
                          size_t count) {
  hb_model *m = c->model;
  int8_readers readers = find_int8_readers(c, layer, weights, count);
  if (readers.first == HB_NONE) return;
  if (in.width > m->int8_width) m->int8_width = in.width;
  bool in_layer = hb_weight_table[m->weights[readers.first].kind].per_layer;
  hb_op op = {.kind = HB_OP_QUANTIZE, .layer = layer, .in = in, .out = in};
  op.weight = op.bias = HB_NONE;
  if (in_layer && (m->skip_outliers || m->activations == HB_ACTIVATIONS_TENSOR))
    op.weight = readers.first;
  if (in_layer && m->skip_outliers && readers.outliers) {
    op.kind = HB_OP_SKIP;
    op.out = (hb_operand){HB_BUFFER_SKIPPED, 0, in.width};
    if (in.width > m->buffer_width[HB_BUFFER_SKIPPED])
      m->buffer_width[HB_BUFFER_SKIPPED] = in.width;
    emit(c, op);
    op.in = op.out;
  }
  op.kind =
      in_layer && m->activations != HB_ACTIVATIONS_BLOCK ? HB_OP_QUANTIZE_ROW : HB_OP_QUANTIZE;
  emit(c, op);
}

static void compile_qkv(compiler *c, uint32_t layer) {
  const hb_hyperparameters *h = &c->model->h;
  hb_operand hidden = whole(c, HB_BUFFER_HIDDEN);
  uint32_t q = (uint32_t)hb_dim_size(h, HB_DIM_Q), k = (uint32_t)hb_dim_size(h, HB_DIM_K),
           v = (uint32_t)hb_dim_size(h, HB_DIM_V);
  hb_operand q_out = {HB_BUFFER_QKV, 0, q}, k_out = {HB_BUFFER_QKV, q, k},
             v_out = {HB_BUFFER_QKV, q + k, v};
  static const hb_weight_kind readers[] = {HB_WEIGHT_QKV, HB_WEIGHT_Q, HB_WEIGHT_K, HB_WEIGHT_V};
  emit_quantize(c, layer, hidden, readers, 4);
  uint32_t first = c->model->op_count;
  if (has(c, HB_WEIGHT_QKV, layer)) {
    emit_matmul(c, layer, hidden, whole(c, HB_BUFFER_QKV), HB_WEIGHT_QKV, HB_WEIGHT_QKV_BIAS);
  } else {
    emit_matmul(c, layer, hidden, q_out, HB_WEIGHT_Q, HB_WEIGHT_Q_BIAS);
    emit_matmul(c, layer, hidden, k_out, HB_WEIGHT_K, HB_WEIGHT_K_BIAS);
    emit_matmul(c, layer, hidden, v_out, HB_WEIGHT_V, HB_WEIGHT_V_BIAS);
  }
  emit_adapters(c, first);
  if (has(c, HB_WEIGHT_Q_NORM, layer))
    emit_weighted(c, HB_OP_HEAD_NORM, layer, q_out, q_out, HB_WEIGHT_Q_NORM, HB_NONE);
  if (has(c, HB_WEIGHT_K_NORM, layer))
    emit_weighted(c, HB_OP_HEAD_NORM, layer, k_out, k_out, HB_WEIGHT_K_NORM, HB_NONE);
  if (h->rope_dims > 0) {
    hb_operand q_and_k = {HB_BUFFER_QKV, 0, q + k};
    emit_simple(c, HB_OP_ROPE, layer, q_and_k, q_and_k, 0);
  }
  hb_operand k_and_v = {HB_BUFFER_QKV, q, k + v};
  emit_simple(c, HB_OP_STORE, layer, k_and_v, k_and_v, 0);
  emit_simple(c, HB_OP_ATTEND, layer, q_out, whole(c, HB_BUFFER_ATTENDED), h->attention_softcap);
}

/* No row is needed any more whose logits nobody wants: the cache has what later rows read of it. */
static void compile_select(compiler *c, uint32_t layer) {
  hb_operand stream = whole(c, HB_BUFFER_STREAM), attended = whole(c, HB_BUFFER_ATTENDED);
  emit_simple(c, HB_OP_SELECT, layer, stream, stream, 0);
  emit_simple(c, HB_OP_SELECT, layer, attended, attended, 0);
  c->selected = true;
}

/* hidden = attention(norm(stream)) */
static void compile_attention(compiler *c, uint32_t layer) {
  hb_operand stream = whole(c, HB_BUFFER_STREAM), hidden = whole(c, HB_BUFFER_HIDDEN),
             attended = whole(c, HB_BUFFER_ATTENDED);
  emit_weighted(c, HB_OP_NORM, layer, stream, hidden, HB_WEIGHT_ATTN_NORM,
                HB_WEIGHT_ATTN_NORM_BIAS);
  compile_qkv(c, layer);
  if (layer + 1 == c->model->h.layers) compile_select(c, layer);
  static const hb_weight_kind readers[] = {HB_WEIGHT_ATTN_OUTPUT};
  emit_quantize(c, layer, attended, readers, 1);
  uint32_t first = c->model->op_count;
  emit_matmul(c, layer, attended, hidden, HB_WEIGHT_ATTN_OUTPUT, HB_WEIGHT_ATTN_OUTPUT_BIAS);
  emit_adapters(c, first);
  if (has(c, HB_WEIGHT_POST_ATTN_NORM, layer))
    emit_weighted(c, HB_OP_NORM, layer, hidden, hidden, HB_WEIGHT_POST_ATTN_NORM, HB_NONE);
}

/* hidden = feed_forward(norm(stream)) */
static void compile_feed_forward(compiler *c, uint32_t layer) {
  uint32_t ff = c->model->h.feed_forward;
  bool gated = c->model->architecture->activation != HB_ACTIVATION_GELU;
  hb_operand stream = whole(c, HB_BUFFER_STREAM), hidden = whole(c, HB_BUFFER_HIDDEN),
             both = whole(c, HB_BUFFER_FF), first = {HB_BUFFER_FF, 0, ff},
             second = {HB_BUFFER_FF, ff, ff};
  emit_weighted(c, HB_OP_NORM, layer, stream, hidden, HB_WEIGHT_FFN_NORM, HB_WEIGHT_FFN_NORM_BIAS);
  static const hb_weight_kind readers[] = {HB_WEIGHT_GATE_UP, HB_WEIGHT_GATE, HB_WEIGHT_UP};
  emit_quantize(c, layer, hidden, readers, 3);
  uint32_t products = c->model->op_count;
  if (has(c, HB_WEIGHT_GATE_UP, layer)) {
    emit_matmul(c, layer, hidden, both, HB_WEIGHT_GATE_UP, HB_NONE);
  } else {
    if (gated) emit_matmul(c, layer, hidden, first, HB_WEIGHT_GATE, HB_NONE);
    emit_matmul(c, layer, hidden, gated ? second : first, HB_WEIGHT_UP, HB_WEIGHT_UP_BIAS);
  }
  emit_adapters(c, products);
  emit_simple(c, HB_OP_ACTIVATE, layer, both, first, 0);
  static const hb_weight_kind down[] = {HB_WEIGHT_DOWN};
  emit_quantize(c, layer, first, down, 1);
  products = c->model->op_count;
  emit_matmul(c, layer, first, hidden, HB_WEIGHT_DOWN, HB_WEIGHT_DOWN_BIAS);
  emit_adapters(c, products);
  if (has(c, HB_WEIGHT_POST_FFN_NORM, layer))
    emit_weighted(c, HB_OP_NORM, layer, hidden, hidden, HB_WEIGHT_POST_FFN_NORM, HB_NONE);
}

static void compile_layer(compiler *c, uint32_t layer) {
  hb_operand stream = whole(c, HB_BUFFER_STREAM), hidden = whole(c, HB_BUFFER_HIDDEN),
             beside = whole(c, HB_BUFFER_BESIDE);
  compile_attention(c, layer);
  if (c->model->h.parallel_residual)
    emit_simple(c, HB_OP_SCALE, layer, hidden, beside, 1);
  else
    emit_simple(c, HB_OP_ADD, layer, hidden, stream, 0);
  compile_feed_forward(c, layer);
  emit_simple(c, HB_OP_ADD, layer, hidden, stream, 0);
  if (c->model->h.parallel_residual) emit_simple(c, HB_OP_ADD, layer, beside, stream, 0);
}

static void compile_embedding(compiler *c) {
  hb_operand stream = whole(c, HB_BUFFER_STREAM);
  emit_weighted(c, HB_OP_EMBED, 0, stream, stream, HB_WEIGHT_TOKEN_EMBD, HB_NONE);
  if (has(c, HB_WEIGHT_POSITION_EMBD, 0))
    emit_weighted(c, HB_OP_POSITION, 0, stream, stream, HB_WEIGHT_POSITION_EMBD, HB_NONE);
  if (c->model->architecture->scaled_embedding)
    emit_simple(c, HB_OP_SCALE, 0, stream, stream, hb_sqrtf((float)c->model->h.width));
}

static void compile_output(compiler *c) {
  hb_operand stream = whole(c, HB_BUFFER_STREAM), hidden = whole(c, HB_BUFFER_HIDDEN),
             logits = whole(c, HB_BUFFER_LOGITS);
  hb_weight_kind output = has(c, HB_WEIGHT_OUTPUT, 0) ? HB_WEIGHT_OUTPUT : HB_WEIGHT_TOKEN_EMBD;
  emit_weighted(c, HB_OP_NORM, 0, stream, hidden, HB_WEIGHT_OUTPUT_NORM,
                HB_WEIGHT_OUTPUT_NORM_BIAS);
  c->model->hidden_ops = c->model->op_count;
  emit_quantize(c, 0, hidden, &output, 1);
  emit_matmul(c, 0, hidden, logits, output, HB_NONE);
  if (c->model->h.output_softcap > 0)
    emit_simple(c, HB_OP_SOFTCAP, 0, logits, logits, c->model->h.output_softcap);
}

static void set_widths(hb_model *m) {
  uint32_t *width = m->buffer_width;
  memset(width, 0, sizeof m->buffer_width);
  width[HB_BUFFER_STREAM] = width[HB_BUFFER_HIDDEN] = m->h.width;
  width[HB_BUFFER_BESIDE] = m->h.parallel_residual ? m->h.width : 0;
  width[HB_BUFFER_QKV] = (uint32_t)hb_dim_size(&m->h, HB_DIM_QKV);
  width[HB_BUFFER_ATTENDED] = (uint32_t)hb_dim_size(&m->h, HB_DIM_ATTEND);
  width[HB_BUFFER_FF] =
      m->architecture->activation == HB_ACTIVATION_GELU ? m->h.feed_forward : 2 * m->h.feed_forward;
  width[HB_BUFFER_LOGITS] = m->h.vocabulary;
}

hb_status hb_model_compile(hb_model *model, hb_error *error) {
  compiler c = {.model = model, .error = error, .status = HB_OK};
  model->op_count = model->int8_width = 0;
  set_widths(model);
  compile_embedding(&c);
  for (uint32_t layer = 0; layer < model->h.layers; layer++) compile_layer(&c, layer);
  compile_output(&c);
  return c.status;
}
