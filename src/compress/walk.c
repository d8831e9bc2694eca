#include "compress/walk.h"
#include "compress/describe.h"
#include "compress/divide.h"

struct hb_walk {
  const hb_allocator *allocator;
  const hb_source *source;
  hb_walk_options o;
  hb_model *model;
  hb_session *session;
  hb_row *rows;     /* [length] */
  hb_token *tokens; /* [samples][length] */
  float *stream;    /* [samples][length][width] */
  float *original;  /* the same for the model as it was, or NULL */
  float *shared;    /* vectors outside of layers, for the whole walk */
  uint64_t shared_bytes;
  float *weights;          /* of the stage */
  float *original_weights; /* where they were set: they lie as `weights` do */
  bool in_original;        /* runs go through it */
  uint64_t weight_bytes;
  uint8_t *piece;
  uint32_t stage; /* a layer, or layers: the output */
  uint32_t first, end;
  uint32_t sample;
};

/* ---- The weights of a stage ---- */

static const hb_tensor *tensor_of(const hb_walk *w, const hb_weight *weight) {
  return hb_gguf_tensor(w->source->gguf, weight->name);
}

/* What a stage reads; the tables of embeddings and the output matrix are not for a walk. */
static bool belongs(const hb_weight *weight, bool in_layers, uint32_t layer) {
  const hb_weight_traits *traits = &hb_weight_table[weight->kind];
  if (!weight->present || traits->per_layer != in_layers) return false;
  return in_layers ? weight->layer == layer : hb_weight_is_vector(weight);
}

static void forget(hb_weight *weight) {
  weight->vector = NULL;
  weight->matrix.data = NULL;
}

static hb_status read_values(const hb_walk *w, const hb_tensor *t, uint64_t from, uint64_t count,
                             float *out, hb_error *error) {
  return hb_source_values(w->source, t, t->type, from, count, w->piece, out, error);
}

static hb_status read_weights(hb_walk *w, bool in_layers, uint32_t layer, float *at,
                              hb_error *error) {
  for (uint32_t i = 0; i < w->model->weight_count; i++) {
    hb_weight *weight = &w->model->weights[i];
    if (!belongs(weight, in_layers, layer)) continue;
    HB_TRY(read_values(w, tensor_of(w, weight), 0, hb_weight_values(weight), at, error));
    if (hb_weight_is_vector(weight))
      weight->vector = at;
    else
      weight->matrix.data = (uint8_t *)at;
    at += (hb_weight_values(weight) + 15) / 16 * 16;
  }
  return HB_OK;
}

/* Memory for the weights of a stage, and the weights. */
static hb_status load_weights(hb_walk *w, bool in_layers, uint32_t layer, float **out,
                              uint64_t *bytes, hb_error *error) {
  *bytes = 0;
  for (uint32_t i = 0; i < w->model->weight_count; i++)
    if (belongs(&w->model->weights[i], in_layers, layer))
      *bytes += (hb_weight_values(&w->model->weights[i]) + 15) / 16 * 64;
  *out = hb_allocate(w->allocator, *bytes);
  if (!*out)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of layer %u", *bytes,
                   (uint64_t)layer);
  return read_weights(w, in_layers, layer, *out, error);
}

static void drop_weights(hb_walk *w) {
  for (uint32_t i = 0; i < w->model->weight_count; i++)
    if (hb_weight_table[w->model->weights[i].kind].per_layer) forget(&w->model->weights[i]);
  hb_release(w->allocator, w->weights, w->weight_bytes);
  hb_release(w->allocator, w->original_weights, w->weight_bytes);
  w->weights = w->original_weights = NULL;
}

/* Whether an operation begins a stage. */
static bool begins(const hb_walk *w, const hb_op *op, uint32_t stage) {
  if (op->kind != HB_OP_NORM) return false;
  const hb_weight *weight = &w->model->weights[op->weight];
  if (stage == w->model->h.layers) return weight->kind == HB_WEIGHT_OUTPUT_NORM;
  return weight->kind == HB_WEIGHT_ATTN_NORM && weight->layer == stage;
}

static uint32_t first_of(const hb_walk *w, uint32_t stage) {
  uint32_t op = 0;
  while (op < w->model->op_count && !begins(w, &w->model->program[op], stage)) op++;
  return op;
}

hb_status hb_walk_load(hb_walk *w, uint32_t layer, hb_error *error) {
  bool output = layer == w->model->h.layers;
  drop_weights(w);
  w->stage = layer;
  w->first = first_of(w, layer);
  w->end = output ? w->model->hidden_ops : first_of(w, layer + 1);
  if (output) return HB_OK;
  return load_weights(w, true, layer, &w->weights, &w->weight_bytes, error);
}

hb_status hb_walk_set_original(hb_walk *w, hb_error *error) {
  if (!w->original || !w->weights) return HB_OK;
  if (!w->original_weights) w->original_weights = hb_allocate(w->allocator, w->weight_bytes);
  if (!w->original_weights)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of layer %u",
                   w->weight_bytes, (uint64_t)w->stage);
  memcpy(w->original_weights, w->weights, (size_t)w->weight_bytes);
  return HB_OK;
}

/* Turns the weights of the stage to the original's, or back. */
static void enter(hb_walk *w, bool original) {
  const float *from = original ? w->weights : w->original_weights;
  float *to = original ? w->original_weights : w->weights;
  w->in_original = original;
  if (!w->original_weights) return;
  for (uint32_t i = 0; i < w->model->weight_count; i++) {
    hb_weight *weight = &w->model->weights[i];
    if (!belongs(weight, true, w->stage)) continue;
    float *values = to + (hb_walk_values(w, i) - from);
    if (hb_weight_is_vector(weight))
      weight->vector = values;
    else
      weight->matrix.data = (uint8_t *)values;
  }
}

/* ---- Creating ---- */

static hb_status describe(hb_walk *w, hb_error *error) {
  HB_TRY(hb_describe(w->allocator, w->o.isa, w->source, false, &w->model, error));
  HB_TRY(load_weights(w, false, 0, &w->shared, &w->shared_bytes, error));
  HB_TRY(hb_rope_prepare(w->model, error));
  w->model->loaded = true;
  return HB_OK;
}

static hb_status allocate(hb_walk *w, hb_error *error) {
  uint64_t tokens = hb_walk_tokens(w), bytes;
  if (!hb_mul_u64(tokens, (uint64_t)w->model->h.width * sizeof(float), &bytes)) bytes = UINT64_MAX;
  w->stream = hb_allocate(w->allocator, bytes);
  w->rows = hb_allocate_zero(w->allocator, w->o.length * sizeof(hb_row));
  w->tokens = hb_allocate(w->allocator, tokens * sizeof(hb_token));
  if (w->o.original) w->original = hb_allocate(w->allocator, bytes);
  if (!w->stream || !w->rows || !w->tokens || (w->o.original && !w->original))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                   "no memory for %u bytes of calibration: use fewer samples", bytes);
  memcpy(w->tokens, w->o.tokens, (size_t)tokens * sizeof(hb_token));
  hb_session_options options = {.allocator = w->allocator,
                                .parallel = w->o.parallel,
                                .context_length = w->o.length,
                                .batch = w->o.length};
  return hb_session_create(w->model, &options, &w->session, error);
}

/* The rows of the table of embeddings that the tokens name. */
static hb_status embed(hb_walk *w, hb_error *error) {
  uint32_t table = hb_weight_find(w->model, HB_WEIGHT_TOKEN_EMBD, 0);
  const hb_tensor *t = tensor_of(w, &w->model->weights[table]);
  uint64_t width = w->model->h.width;
  for (uint64_t i = 0; i < hb_walk_tokens(w); i++) {
    hb_token token = w->tokens[i];
    if (token < 0 || (uint32_t)token >= w->model->h.vocabulary)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "token %d of the calibration is not in 0..%u", (int64_t)token,
                     (uint64_t)w->model->h.vocabulary - 1);
    HB_TRY(read_values(w, t, (uint64_t)token * width, width, w->stream + i * width, error));
  }
  return HB_OK;
}

/* What follows the table before the first layer: positions, a scale. */
static hb_status finish_embedding(hb_walk *w, hb_error *error) {
  uint32_t positions = hb_weight_find(w->model, HB_WEIGHT_POSITION_EMBD, 0);
  hb_weight *weight = positions == HB_NONE ? NULL : &w->model->weights[positions];
  hb_status status = HB_OK;
  uint64_t bytes = weight ? weight->matrix.bytes : 0;
  if (weight) {
    float *values = hb_allocate(w->allocator, bytes);
    if (!values) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for positions");
    weight->matrix.data = (uint8_t *)values;
    status = read_values(w, tensor_of(w, weight), 0, hb_weight_values(weight), values, error);
  }
  w->first = 1; /* behind EMBED */
  w->end = first_of(w, 0);
  if (status == HB_OK) status = hb_walk_run(w, w->end, w->o.samples, true, NULL, error);
  if (weight) {
    hb_release(w->allocator, weight->matrix.data, bytes);
    weight->matrix.data = NULL;
  }
  return status;
}

static uint64_t stream_bytes(const hb_walk *w) {
  return hb_walk_tokens(w) * w->model->h.width * sizeof(float);
}

static hb_status start(hb_walk *w, hb_error *error) {
  const hb_walk_options *o = &w->o;
  w->piece = hb_allocate(w->allocator, HB_VALUES_PIECE);
  if (!w->piece) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model");
  HB_TRY(describe(w, error));
  if (o->samples == 0 || o->length == 0 || o->length > w->model->h.context_length)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%u samples of %u tokens: a sample has 1 to %u tokens", (uint64_t)o->samples,
                   (uint64_t)o->length, (uint64_t)w->model->h.context_length);
  HB_TRY(allocate(w, error));
  HB_TRY(embed(w, error));
  HB_TRY(finish_embedding(w, error));
  if (w->original) memcpy(w->original, w->stream, (size_t)stream_bytes(w));
  return HB_OK;
}

hb_status hb_walk_create(const hb_walk_options *options, hb_walk **out, hb_error *error) {
  *out = NULL;
  HB_TRY(hb_check_parallel(options->parallel, error));
  hb_walk *w = hb_allocate_zero(options->allocator, sizeof *w);
  if (!w) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model");
  w->allocator = options->allocator;
  w->source = options->source;
  w->o = *options;
  hb_status status = start(w, error);
  if (status == HB_OK)
    *out = w;
  else
    hb_walk_destroy(w);
  return status;
}

void hb_walk_destroy(hb_walk *w) {
  if (!w) return;
  hb_session_destroy(w->session);
  if (w->model) {
    drop_weights(w);
    hb_release(w->allocator, w->stream, stream_bytes(w));
    hb_release(w->allocator, w->original, stream_bytes(w));
    hb_release(w->allocator, w->tokens, hb_walk_tokens(w) * sizeof(hb_token));
    hb_described_destroy(w->model);
  }
  hb_release(w->allocator, w->shared, w->shared_bytes);
  hb_release(w->allocator, w->rows, w->o.length * sizeof(hb_row));
  hb_release(w->allocator, w->piece, HB_VALUES_PIECE);
  hb_release(w->allocator, w, sizeof *w);
}

/* ---- What is known ---- */

const hb_model *hb_walk_model(const hb_walk *w) {
  return w->model;
}

uint64_t hb_walk_tokens(const hb_walk *w) {
  return (uint64_t)w->o.samples * w->o.length;
}

float *hb_walk_values(const hb_walk *w, uint32_t weight) {
  const hb_weight *found = &w->model->weights[weight];
  return hb_weight_is_vector(found) ? found->vector : (float *)(void *)found->matrix.data;
}

uint32_t hb_walk_first(const hb_walk *w) {
  return w->first;
}

uint32_t hb_walk_end(const hb_walk *w) {
  return w->end;
}

float *hb_walk_rows(const hb_walk *w, hb_operand operand, size_t *stride) {
  *stride = w->model->buffer_width[operand.buffer];
  return w->session->buffer[operand.buffer] + operand.column;
}

uint32_t hb_walk_sample(const hb_walk *w) {
  return w->sample;
}

bool hb_walk_has_original(const hb_walk *w) {
  return w->original != NULL;
}

bool hb_walk_in_original(const hb_walk *w) {
  return w->in_original;
}

/* ---- Running ---- */

static void run_operations(hb_walk *w, uint32_t end, const hb_tap *tap) {
  const hb_op *program = w->model->program;
  for (uint32_t i = 0; i < w->o.length; i++) {
    w->rows[i] = (hb_row){w->session, w->tokens[(uint64_t)w->sample * w->o.length + i], 1};
    w->session->positions[i] = i;
  }
  for (uint32_t op = w->first; op < end;) {
    uint32_t next = op + 1;
    if (tap && program[op].kind == HB_OP_MATMUL) tap->look(tap->context, w, op);
    while (next < end && !(tap && program[next].kind == HB_OP_MATMUL)) next++;
    hb_execute_part(w->session, w->rows, w->o.length, op, next);
    op = next;
  }
  if (tap) tap->look(tap->context, w, end);
}

/* From a stream before the stage, which goes on with `keep`. */
static hb_status run_sample(hb_walk *w, float *from, uint32_t end, bool keep, const hb_tap *tap,
                            hb_error *error) {
  size_t values = (size_t)w->model->h.width * w->o.length;
  float *stream = w->session->buffer[HB_BUFFER_STREAM];
  if (w->o.stopped && w->o.stopped(w->o.context))
    return hb_fail(error, HB_ABORTED, HB_NO_OFFSET,
                   "the run over the calibration text was stopped");
  from += w->sample * values;
  memcpy(stream, from, values * sizeof(float));
  run_operations(w, end, tap);
  if (keep) memcpy(from, stream, values * sizeof(float));
  return HB_OK;
}

hb_status hb_walk_run(hb_walk *w, uint32_t end, uint32_t samples, bool keep, const hb_tap *tap,
                      hb_error *error) {
  for (w->sample = 0; w->sample < samples; w->sample++)
    HB_TRY(run_sample(w, w->stream, end, keep, tap, error));
  return HB_OK;
}

hb_status hb_walk_run_both(hb_walk *w, uint32_t end, const hb_tap *tap, hb_error *error) {
  for (w->sample = 0; w->sample < w->o.samples; w->sample++) {
    enter(w, true);
    hb_status status = run_sample(w, w->original, end, false, tap, error);
    enter(w, false);
    HB_TRY(status);
    HB_TRY(run_sample(w, w->stream, end, false, tap, error));
  }
  return HB_OK;
}

hb_status hb_walk_keep_original(hb_walk *w, hb_error *error) {
  if (!w->original) return HB_OK;
  HB_TRY(hb_walk_load(w, w->stage, error));
  for (w->sample = 0; w->sample < w->o.samples; w->sample++)
    HB_TRY(run_sample(w, w->original, w->end, true, NULL, error));
  return HB_OK;
}
