/* The CPU executor: every thread walks the program; each operation is divided between them. */
#include "model/session.h"
#include "kernel/fpstate.h"

typedef struct execution {
  hb_session *lead;
  const hb_model *model;
  const hb_kernels *kernels;
  const hb_row *rows;
  uint32_t row_count;
  uint32_t wanted_count;
  uint32_t threads;
  const hb_op *program, *end;
} execution;

typedef struct range {
  uint32_t first, end;
} range;

/* The share of thread `index` in `count` things. */
static range share(uint32_t count, uint32_t index, uint32_t threads) {
  return (range){(uint32_t)((uint64_t)count * index / threads),
                 (uint32_t)((uint64_t)count * (index + 1) / threads)};
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* How often a waiting thread looks again before it lets others run. Natively about 100 us, longer
 * than any thread is late that was not interrupted. In WASM the only way to let others run is a
 * sleep of that order; where it took as long as the spinning, one thread's sleep made the other
 * sleep at the next barrier, and so on. So there it is about 300 us. */
#ifdef __wasm__
enum { SPINS = 250000 };
#else
enum { SPINS = 3000 };
#endif

/* Every thread has arrived before any goes on. */
static void wait_for_all(const execution *e) {
  hb_session *s = e->lead;
  unsigned phase = atomic_load_explicit(&s->phase, memory_order_acquire);
  if (atomic_fetch_add_explicit(&s->arrived, 1, memory_order_acq_rel) + 1 == e->threads) {
    atomic_store_explicit(&s->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&s->phase, phase + 1, memory_order_release);
    return;
  }
  for (uint32_t spins = 0; atomic_load_explicit(&s->phase, memory_order_acquire) == phase; spins++)
    if (spins >= SPINS && s->parallel->yield)
      s->parallel->yield(s->parallel->context);
    else
      relax();
}

/* ---- Operands ---- */

static float *at(const execution *e, hb_operand operand, uint32_t row) {
  uint64_t width = e->model->buffer_width[operand.buffer];
  uint64_t first = operand.buffer == HB_BUFFER_LOGITS ? e->lead->logit_count : 0;
  return e->lead->buffer[operand.buffer] + (first + row) * width + operand.column;
}

static uint8_t *int8_at(const execution *e, uint32_t row) {
  return e->lead->int8 + row * e->lead->int8_stride;
}

static const float *vector_of(const execution *e, uint32_t weight) {
  return weight == HB_NONE ? NULL : e->model->weights[weight].vector;
}

static void *cache_of(const execution *e, uint32_t row, uint32_t layer, uint32_t head) {
  const hb_session *s = e->rows[row].session;
  return s->cache + ((uint64_t)layer * e->model->h.kv_heads + head) * s->cache_head_bytes;
}

/* Cosines of a row's angles; the sines follow them. */
static float *angles_of(const execution *e, uint32_t row, bool window) {
  return e->lead->angles + ((uint64_t)row * 2 + window) * e->model->h.rope_dims;
}

/* ---- Operations on one row ---- */

static void norm(const execution *e, const float *x, const float *weight, const float *bias,
                 float eps, uint32_t n, float *out) {
  if (e->model->architecture->norm == HB_NORM_RMS)
    e->kernels->rms_norm(x, weight, eps, n, out);
  else
    e->kernels->layer_norm(x, weight, bias, eps, n, out);
}

static void head_norm(const execution *e, const hb_op *op, uint32_t row) {
  uint32_t size = e->model->h.head_size;
  float *heads = at(e, op->out, row);
  for (uint32_t i = 0; i < op->out.width; i += size)
    norm(e, heads + i, vector_of(e, op->weight), NULL, op->parameter, size, heads + i);
}

static void rope(const execution *e, const hb_op *op, uint32_t row) {
  const hb_hyperparameters *h = &e->model->h;
  const float *cosine =
      angles_of(e, row, !hb_layer_is_global(e->model->architecture, h, op->layer));
  const float *sine = cosine + h->rope_dims / 2;
  float *heads = at(e, op->out, row);
  for (uint32_t i = 0; i < op->out.width; i += h->head_size)
    if (e->model->architecture->rope == HB_ROPE_ADJACENT)
      e->kernels->rope_adjacent(heads + i, cosine, sine, h->rope_dims);
    else
      e->kernels->rope_halves(heads + i, cosine, sine, h->rope_dims);
}

static void store(const execution *e, const hb_op *op, uint32_t row) {
  const hb_hyperparameters *h = &e->model->h;
  const float *k = at(e, op->in, row);
  const float *v = k + h->kv_heads * h->head_size;
  for (uint32_t head = 0; head < h->kv_heads; head++)
    e->kernels->kv_store(cache_of(e, row, op->layer, head), e->rows[row].session->kv, h->head_size,
                         h->value_size, e->lead->positions[row], k + head * h->head_size,
                         v + head * h->value_size);
}

static void activate(const execution *e, const hb_op *op, uint32_t row) {
  float *gate = at(e, op->in, row), *out = at(e, op->out, row);
  uint32_t n = op->out.width;
  switch (e->model->architecture->activation) {
  case HB_ACTIVATION_SILU_GATED: e->kernels->silu_mul(gate, gate + n, n, out); break;
  case HB_ACTIVATION_GELU_GATED: e->kernels->gelu_mul(gate, gate + n, n, out); break;
  case HB_ACTIVATION_GELU: e->kernels->gelu(gate, n, out); break;
  }
}

static void add_position(const execution *e, const hb_op *op, uint32_t row) {
  float *position = at(e, (hb_operand){HB_BUFFER_HIDDEN, 0, op->out.width}, row);
  float *out = at(e, op->out, row);
  hb_unpack_row(&e->model->weights[op->weight].matrix, e->lead->positions[row], position);
  e->kernels->add(out, position, op->out.width, out);
}

static void skip(const execution *e, const hb_op *op, uint32_t row) {
  const hb_weight_outliers *o = &e->model->weights[op->weight].outliers;
  float *out = at(e, op->out, row);
  memcpy(out, at(e, op->in, row), op->in.width * sizeof *out);
  for (uint32_t i = 0; i < o->column_count; i++) out[o->columns[i]] = 0;
}

static void quantize_row(const execution *e, const hb_op *op, uint32_t row) {
  bool fixed = e->model->activations == HB_ACTIVATIONS_TENSOR;
  float d = fixed ? e->model->weights[op->weight].input_scale : 0;
  e->kernels->quantize_row(at(e, op->in, row), op->in.width, d, int8_at(e, row));
}

static void run_row(const execution *e, const hb_op *op, uint32_t row) {
  const float *in = at(e, op->in, row);
  float *out = at(e, op->out, row);
  uint32_t n = op->out.width;
  switch (op->kind) {
  case HB_OP_EMBED:
    hb_unpack_row(&e->model->weights[op->weight].matrix, (size_t)e->rows[row].token, out);
    break;
  case HB_OP_POSITION: add_position(e, op, row); break;
  case HB_OP_SCALE: e->kernels->scale(in, op->parameter, n, out); break;
  case HB_OP_NORM:
    norm(e, in, vector_of(e, op->weight), vector_of(e, op->bias), op->parameter, n, out);
    break;
  case HB_OP_HEAD_NORM: head_norm(e, op, row); break;
  case HB_OP_SKIP: skip(e, op, row); break;
  case HB_OP_QUANTIZE_ROW: quantize_row(e, op, row); break;
  case HB_OP_QUANTIZE: e->kernels->quantize(in, op->in.width, int8_at(e, row)); break;
  case HB_OP_ROPE: rope(e, op, row); break;
  case HB_OP_STORE: store(e, op, row); break;
  case HB_OP_ACTIVATE: activate(e, op, row); break;
  case HB_OP_ADD: e->kernels->add(out, in, n, out); break;
  case HB_OP_SOFTCAP: e->kernels->softcap(in, op->parameter, n, out); break;
  case HB_OP_MATMUL:
  case HB_OP_OUTLIERS:
  case HB_OP_ATTEND:
  case HB_OP_SELECT: break; /* not divided by rows */
  }
}

/* ---- Operations divided otherwise ---- */

static void multiply(const execution *e, const hb_op *op, uint32_t rows, uint32_t thread) {
  const hb_matrix *m = &e->model->weights[op->weight].matrix;
  const float *bias = vector_of(e, op->bias);
  range groups = share((uint32_t)hb_group_count(m), thread, e->threads);
  if (groups.first == groups.end || rows == 0) return;
  size_t stride = e->model->buffer_width[op->out.buffer];
  bool int8 = hb_type_wants_int8(m->type);
  const void *x = int8 ? (const void *)int8_at(e, 0) : at(e, op->in, 0);
  size_t x_stride =
      int8 ? (size_t)e->lead->int8_stride : e->model->buffer_width[op->in.buffer] * sizeof(float);
  e->kernels->matmul(m, x, x_stride, rows, groups.first, groups.end, at(e, op->out, 0), stride);
  if (!bias) return;
  uint32_t first = groups.first * HB_GROUP, end = groups.end * HB_GROUP;
  if (end > m->rows) end = m->rows;
  for (uint32_t row = 0; row < rows; row++) {
    float *out = at(e, op->out, row) + first;
    e->kernels->add(out, bias + first, end - first, out);
  }
}

static void add_outliers(const execution *e, const hb_op *op, uint32_t rows, uint32_t thread) {
  const hb_weight *w = &e->model->weights[op->weight];
  range groups = share((uint32_t)hb_group_count(&w->matrix), thread, e->threads);
  uint32_t end = groups.end * HB_GROUP < w->matrix.rows ? groups.end * HB_GROUP : w->matrix.rows;
  if (groups.first == groups.end || rows == 0) return;
  hb_add_outliers(&w->outliers.parts, groups.first * HB_GROUP, end, at(e, op->in, 0),
                  e->model->buffer_width[op->in.buffer], rows, at(e, op->out, 0),
                  e->model->buffer_width[op->out.buffer]);
}

static void run_product(const execution *e, const hb_op *op, uint32_t rows, uint32_t thread) {
  if (op->kind == HB_OP_OUTLIERS)
    add_outliers(e, op, rows, thread);
  else
    multiply(e, op, rows, thread);
}

/* All heads of q that share one head of k and v, for rows that follow one another. */
static void attend(const execution *e, const hb_op *op, uint32_t row, uint32_t rows,
                   uint32_t kv_head) {
  const hb_model *m = e->model;
  const hb_hyperparameters *h = &m->h;
  const hb_architecture *a = m->architecture;
  uint32_t sharing = h->heads / h->kv_heads;
  bool global = hb_layer_is_global(a, h, op->layer);
  bool wide = a->wide_scale_layers > 0 && h->layers == a->wide_scale_layers;
  float size = wide ? (float)h->width / (float)h->heads : (float)h->head_size;
  hb_attend_args args = {
      .cache = cache_of(e, row, op->layer, kv_head),
      .heads = sharing,
      .rows = rows,
      .q_stride = m->buffer_width[op->in.buffer],
      .out_stride = m->buffer_width[op->out.buffer],
      .head_size = h->head_size,
      .value_size = h->value_size,
      .position = e->lead->positions[row],
      .window = global ? 0 : h->window,
      .scale = 1 / hb_sqrtf(size),
      .softcap = op->parameter,
  };
  uint32_t head = kv_head * sharing;
  e->kernels->attend(&args, e->rows[row].session->kv, at(e, op->in, row) + head * h->head_size,
                     at(e, op->out, row) + head * h->value_size);
}

/* How many rows from `row` on follow one another in a session, as far as attending profits. */
static uint32_t succession(const execution *e, uint32_t row) {
  uint32_t count = 1;
  while (count < HB_ATTEND_ROWS && row + count < e->row_count &&
         e->rows[row + count].session == e->rows[row].session)
    count++;
  return count;
}

/* Later rows see more, so the threads take turns. */
static void attend_share(const execution *e, const hb_op *op, uint32_t thread) {
  uint32_t turn = 0;
  for (uint32_t head = 0; head < e->model->h.kv_heads; head++)
    for (uint32_t row = 0, rows; row < e->row_count; row += rows, turn++) {
      rows = succession(e, row);
      if (turn % e->threads == thread) attend(e, op, row, rows, head);
    }
}

/* The wanted rows stand in increasing order, so none is overwritten before it is moved. */
static void select_rows(const execution *e, const hb_op *op) {
  for (uint32_t row = 0; row < e->wanted_count; row++)
    if (e->lead->wanted[row] != row)
      memcpy(at(e, op->out, row), at(e, op->in, e->lead->wanted[row]),
             op->out.width * sizeof(float));
}

/* Each row of its share passes through the operations while it is in the cache. */
static void run_row_ops(const execution *e, const hb_op *ops, uint32_t count, uint32_t thread) {
  range mine = share(ops->selected ? e->wanted_count : e->row_count, thread, e->threads);
  for (uint32_t row = mine.first; row < mine.end; row++)
    for (uint32_t i = 0; i < count; i++) run_row(e, &ops[i], row);
}

/* Runs operations that need no barrier between, which are divided alike. */
static void run_ops(const execution *e, const hb_op *ops, uint32_t count, uint32_t thread) {
  switch (hb_op_division(ops->kind)) {
  case HB_DIVIDE_ROWS: run_row_ops(e, ops, count, thread); break;
  case HB_DIVIDE_GROUPS:
    for (uint32_t i = 0; i < count; i++)
      run_product(e, &ops[i], ops->selected ? e->wanted_count : e->row_count, thread);
    break;
  case HB_DIVIDE_HEADS:
    for (uint32_t i = 0; i < count; i++) attend_share(e, &ops[i], thread);
    break;
  case HB_DIVIDE_NEVER:
    for (uint32_t i = 0; i < count && thread == 0; i++) select_rows(e, &ops[i]);
    break;
  }
}

/* ---- The whole program ---- */

static void prepare_angles(const execution *e, uint32_t row) {
  const hb_model *m = e->model;
  uint32_t pairs = m->h.rope_dims / 2, position = e->lead->positions[row];
  if (pairs == 0) return;
  /* The last layer of a period sees everything, as do all where there are no windows. */
  uint32_t global_layer = m->h.window > 0 ? m->architecture->window_period - 1 : 0;
  uint32_t table = hb_rope_table_of(m, global_layer, e->rows[row].session->context_length);
  float *cosine = angles_of(e, row, false);
  hb_rope_angles(m, &m->rope[table], position, cosine, cosine + pairs);
  if (m->h.window == 0) return;
  cosine = angles_of(e, row, true);
  hb_rope_angles(m, &m->rope[HB_ROPE_WINDOW], position, cosine, cosine + pairs);
}

static void run_program(void *argument, uint32_t thread) {
  const execution *e = argument;
  hb_fp_state fp = hb_fp_enter();
  range mine = share(e->row_count, thread, e->threads);
  for (uint32_t row = mine.first; row < mine.end; row++) prepare_angles(e, row);
  for (const hb_op *op = e->program; op < e->end;) {
    uint32_t count = 1;
    while (op + count < e->end && !op[count].barrier) count++;
    if (op->barrier && e->threads > 1) wait_for_all(e);
    run_ops(e, op, count, thread);
    op += count;
  }
  hb_fp_leave(fp);
}

static bool is_worth_dividing(const hb_session *lead, uint32_t rows) {
  const hb_parallel *parallel = lead->parallel;
  return parallel && parallel->threads > 1 && lead->weight_bytes * rows >= parallel->least_work;
}

static void run_alone(execution *e) {
  e->threads = 1;
  run_program(e, 0);
}

static void run_together(execution *e) {
  const hb_parallel *parallel = e->lead->parallel;
  e->threads = parallel->threads;
  parallel->run(parallel->context, run_program, e);
}

static void run_timed(execution *e, hb_pace *pace) {
  const hb_parallel *parallel = e->lead->parallel;
  bool together = hb_pace_together(pace);
  double start = parallel->clock(parallel->context);
  if (together)
    run_together(e);
  else
    run_alone(e);
  hb_pace_note(pace, together, parallel->clock(parallel->context) - start);
}

static execution execution_of(hb_session *lead, const hb_row *rows, uint32_t count,
                              uint32_t wanted) {
  const hb_model *m = lead->model;
  return (execution){
      .lead = lead,
      .model = m,
      .kernels = m->kernels,
      .rows = rows,
      .row_count = count,
      .wanted_count = wanted,
      .program = m->program,
      .end = m->program + (lead->hidden ? m->hidden_ops : m->op_count),
  };
}

void hb_execute(hb_session *lead, const hb_row *rows, uint32_t count, uint32_t wanted) {
  execution e = execution_of(lead, rows, count, wanted);
  if (count == 0 || !is_worth_dividing(lead, count))
    run_alone(&e);
  else if (lead->parallel->clock && count <= HB_PACED_ROWS)
    run_timed(&e, &lead->pace[count - 1]);
  else
    run_together(&e);
}

void hb_execute_part(hb_session *lead, const hb_row *rows, uint32_t count, uint32_t first,
                     uint32_t end) {
  execution e = execution_of(lead, rows, count, count);
  for (uint32_t i = 0; i < count; i++) lead->wanted[i] = i;
  e.program = lead->model->program + first;
  e.end = lead->model->program + end;
  if (is_worth_dividing(lead, count))
    run_together(&e);
  else
    run_alone(&e);
}
