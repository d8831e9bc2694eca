#include "compress/sensitivity.h"
#include "compress/divide.h"
#include "compress/layerwise.h"
#include "quant/quant.h"

#define INPUT_SAMPLES 16        /* of the calibration, that inputs are taken from */
#define DISTURBED_SAMPLES 4     /* that run with one matrix rounded */
#define STRIP_VALUES (1u << 18) /* of rows that are rounded at once */

typedef struct surveyor {
  hb_tensor_job *job;
  hb_sensitivity *items;
  size_t count;
  hb_walk *walk;
  uint32_t length; /* tokens of a sample */
  uint32_t disturbed;

  /* Room for a strip, and for the squares of each of its rows. */
  float *original, *rounded;
  uint8_t *blocks;
  double *rows;
  uint64_t strip_values, strip_rows;

  float *stream; /* [disturbed][length][width] behind the layer, undisturbed */
  uint64_t stream_bytes;
  double *changes; /* [length] of a sample's rows */
  double change;   /* sum over rows */

  hb_statistics statistics[HB_LAYER_PRODUCTS]; /* of inputs before operations */
  uint32_t ops[HB_LAYER_PRODUCTS], op_count;
  hb_status status;
  hb_error *error;
} surveyor;

/* ---- Errors of types ---- */

typedef struct weighing {
  const float *original, *rounded; /* rounded: NULL: zeros */
  const float *importance;         /* [cols], or NULL: all alike */
  double *rows;
  uint32_t cols;
} weighing;

static void weigh_rows(void *context, uint32_t first, uint32_t end) {
  const weighing *w = context;
  for (uint32_t row = first; row < end; row++) {
    size_t at = (size_t)row * w->cols;
    double sum = 0;
    for (uint32_t c = 0; c < w->cols; c++) {
      double d = (double)w->original[at + c] - (w->rounded ? w->rounded[at + c] : 0);
      sum += (w->importance ? w->importance[c] : 1) * (d * d);
    }
    w->rows[row] = sum;
  }
}

static double weigh(surveyor *s, const float *rounded, uint32_t rows, uint32_t cols,
                    const float *importance) {
  weighing w = {s->original, rounded, importance, s->rows, cols};
  double sum = 0;
  hb_divide(s->job->options->parallel, rows, weigh_rows, &w);
  for (uint32_t row = 0; row < rows; row++) sum += s->rows[row];
  return sum;
}

typedef struct errors {
  double of[HB_BUDGET_CHOICES];
  double all; /* that of zeros */
} errors;

static hb_status add_strip(surveyor *s, const hb_sensitivity *item, uint32_t rows,
                           const float *importance, errors *out, hb_error *error) {
  uint32_t cols = (uint32_t)item->tensor->dims[0];
  out->all += weigh(s, NULL, rows, cols, importance);
  for (uint32_t i = 0; i < item->item.count; i++) {
    s->job->type = item->types[i];
    memcpy(s->rounded, s->original, (size_t)rows * cols * sizeof(float));
    HB_TRY(hb_job_blocks(s->job, rows, s->rounded, s->blocks, NULL, NULL, error));
    out->of[i] += weigh(s, s->rounded, rows, cols, importance);
  }
  return HB_OK;
}

/* The squared errors of each type. */
static hb_status find_errors(surveyor *s, const hb_sensitivity *item, const float *importance,
                             errors *out, hb_error *error) {
  uint64_t cols = item->tensor->dims[0], rows = item->values / cols;
  uint64_t most = s->strip_values / cols;
  *out = (errors){0};
  s->job->tensor = item->tensor;
  s->job->written = 0;
  for (uint64_t row = 0; row < rows; row += most) {
    uint32_t count = (uint32_t)(rows - row < most ? rows - row : most);
    HB_TRY(hb_job_read(s->job, row * cols, count * cols, s->original, error));
    HB_TRY(hb_job_check(s->job, s->original, count * cols, error));
    HB_TRY(add_strip(s, item, count, importance, out, error));
    s->job->written += count * cols;
  }
  return hb_job_progress(s->job, 0, error);
}

/* Adds losses relative to the weights themselves. */
static hb_status add_relative(surveyor *s, hb_sensitivity *item, const float *importance,
                              hb_error *error) {
  errors e;
  HB_TRY(find_errors(s, item, importance, &e, error));
  for (uint32_t i = 0; i < item->item.count; i++)
    if (e.all > 0) item->item.loss[i] += e.of[i] / e.all;
  return HB_OK;
}

/* ---- What rounding changes behind a layer ---- */

typedef struct comparison {
  const float *before, *after;
  size_t stride; /* of `after` */
  uint32_t width;
  double *changes;
} comparison;

/* Each row counts alike, however large: what reads it norms it. */
static void compare_rows(void *context, uint32_t first, uint32_t end) {
  const comparison *c = context;
  for (uint32_t row = first; row < end; row++) {
    double squares = 0, differences = 0;
    for (uint32_t i = 0; i < c->width; i++) {
      double x = c->before[(size_t)row * c->width + i], d = x - c->after[row * c->stride + i];
      squares += x * x;
      differences += d * d;
    }
    c->changes[row] = squares > 0 ? differences / squares : 0;
  }
}

static hb_operand stream_of(const hb_walk *walk) {
  return (hb_operand){HB_BUFFER_STREAM, 0, hb_walk_model(walk)->h.width};
}

static void keep_stream(void *context, const hb_walk *walk, uint32_t op) {
  surveyor *s = context;
  if (op != hb_walk_end(walk)) return;
  size_t stride;
  hb_operand stream = stream_of(walk);
  const float *rows = hb_walk_rows(walk, stream, &stride);
  float *to = s->stream + (size_t)hb_walk_sample(walk) * s->length * stream.width;
  for (uint32_t row = 0; row < s->length; row++)
    memcpy(to + (size_t)row * stream.width, rows + row * stride, stream.width * sizeof(float));
}

static void compare_stream(void *context, const hb_walk *walk, uint32_t op) {
  surveyor *s = context;
  if (op != hb_walk_end(walk)) return;
  hb_operand stream = stream_of(walk);
  comparison c = {.before = s->stream + (size_t)hb_walk_sample(walk) * s->length * stream.width,
                  .width = stream.width,
                  .changes = s->changes};
  c.after = hb_walk_rows(walk, stream, &c.stride);
  hb_divide(s->job->options->parallel, s->length, compare_rows, &c);
  for (uint32_t row = 0; row < s->length; row++) s->change += s->changes[row];
}

/* Rounds the matrix where the walk has it. */
static hb_status disturb(surveyor *s, const hb_sensitivity *item, float *values, hb_error *error) {
  uint64_t cols = item->tensor->dims[0], rows = item->values / cols;
  uint64_t most = s->strip_values / cols;
  for (uint64_t row = 0; row < rows; row += most) {
    uint32_t count = (uint32_t)(rows - row < most ? rows - row : most);
    HB_TRY(hb_job_blocks(s->job, count, values + row * cols, s->blocks, NULL, NULL, error));
  }
  return HB_OK;
}

/* The mean relative squared change of the stream with the matrix rounded to `type`. */
static hb_status find_change(surveyor *s, const hb_sensitivity *item, uint32_t weight, hb_type type,
                             double *out, hb_error *error) {
  float *values = hb_walk_values(s->walk, weight);
  hb_tap tap = {s, compare_stream};
  s->job->tensor = item->tensor;
  s->job->type = type;
  s->change = 0;
  HB_TRY(disturb(s, item, values, error));
  HB_TRY(hb_walk_run(s->walk, hb_walk_end(s->walk), s->disturbed, false, &tap, error));
  *out = s->change / ((double)s->disturbed * s->length);
  return hb_job_read(s->job, 0, item->values, values, error);
}

/* ---- Stages ---- */

static void add_inputs(void *context, const hb_walk *walk, uint32_t op) {
  surveyor *s = context;
  for (uint32_t i = 0; i < s->op_count; i++) {
    if (s->ops[i] != op || s->status != HB_OK) continue;
    bool product = op != hb_walk_end(walk);
    hb_operand hidden = {HB_BUFFER_HIDDEN, 0, s->statistics[i].cols};
    size_t stride;
    const float *rows =
        hb_walk_rows(walk, product ? hb_walk_model(walk)->program[op].in : hidden, &stride);
    s->status = hb_statistics_add(&s->statistics[i], rows, stride, s->length,
                                  s->job->options->parallel, s->error);
  }
}

static hb_status watch(surveyor *s, uint32_t op, uint32_t cols, hb_error *error) {
  if (s->op_count == HB_LAYER_PRODUCTS)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "a layer has too many products");
  HB_TRY(hb_statistics_create(s->job->options->allocator, cols, false, &s->statistics[s->op_count],
                              error));
  s->ops[s->op_count++] = op;
  return HB_OK;
}

static void forget_inputs(surveyor *s) {
  for (uint32_t i = 0; i < s->op_count; i++) hb_statistics_destroy(&s->statistics[i]);
  s->op_count = 0;
}

/* Importance of watched input `index`, as float where the mean squares were. */
static hb_status importance_of(surveyor *s, uint32_t index, float **out, hb_error *error) {
  hb_statistics *t = &s->statistics[index];
  *out = hb_allocate(s->job->options->allocator, t->cols * sizeof(float));
  if (!*out) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for sensitivities");
  hb_statistics_finish(t, s->job->options->parallel, *out);
  return HB_OK;
}

static hb_sensitivity *item_named(const surveyor *s, const char *name) {
  for (size_t i = 0; i < s->count; i++)
    if (hb_string_equal(s->items[i].tensor->name, hb_string_of(name))) return &s->items[i];
  return NULL;
}

/* Which of the types is measured: one in the middle, whose rounding is neither lost in that of
 * floats nor beyond what a layer answers in proportion. */
static uint32_t measured_type(const hb_sensitivity *item) {
  return item->item.count / 2;
}

static hb_status measure_product(surveyor *s, uint32_t weight, hb_sensitivity *item,
                                 const float *importance, hb_error *error) {
  errors e;
  double change;
  uint32_t measured = measured_type(item);
  HB_TRY(find_errors(s, item, importance, &e, error));
  HB_TRY(find_change(s, item, weight, item->types[measured], &change, error));
  double gain = e.of[measured] > 0 ? change / e.of[measured] : e.all > 0 ? 1 / e.all : 0;
  for (uint32_t i = 0; i < item->item.count; i++) item->item.loss[i] = gain * e.of[i];
  item->measured = true;
  return HB_OK;
}

static hb_status measure_products(surveyor *s, hb_error *error) {
  const hb_model *m = hb_walk_model(s->walk);
  hb_status status = HB_OK;
  for (uint32_t i = 0; i < s->op_count && status == HB_OK; i++) {
    uint32_t weight = m->program[s->ops[i]].weight;
    hb_sensitivity *item = item_named(s, m->weights[weight].name);
    float *importance;
    if (!item) continue;
    HB_TRY(importance_of(s, i, &importance, error));
    status = measure_product(s, weight, item, importance, error);
    hb_release(s->job->options->allocator, importance, s->statistics[i].cols * sizeof(float));
  }
  return status;
}

static hb_status run_inputs(surveyor *s, uint32_t samples, hb_error *error) {
  hb_tap inputs = {s, add_inputs};
  s->status = HB_OK;
  s->error = error;
  HB_TRY(hb_walk_run(s->walk, hb_walk_end(s->walk), samples, false, &inputs, error));
  return s->status;
}

static hb_status measure_layer(surveyor *s, uint32_t layer, uint32_t samples, hb_error *error) {
  const hb_model *m = hb_walk_model(s->walk);
  hb_tap keep = {s, keep_stream};
  HB_TRY(hb_walk_load(s->walk, layer, error));
  for (uint32_t op = hb_walk_first(s->walk); op < hb_walk_end(s->walk); op++)
    if (m->program[op].kind == HB_OP_MATMUL) HB_TRY(watch(s, op, m->program[op].in.width, error));
  HB_TRY(run_inputs(s, samples, error));
  HB_TRY(hb_walk_run(s->walk, hb_walk_end(s->walk), s->disturbed, false, &keep, error));
  HB_TRY(measure_products(s, error));
  forget_inputs(s);
  return hb_walk_run(s->walk, hb_walk_end(s->walk), samples, true, NULL, error);
}

/* The output matrix. If it is the table of embeddings, what it is as such has yet to be added. */
static hb_status measure_output(surveyor *s, uint32_t samples, hb_error *error) {
  const hb_model *m = hb_walk_model(s->walk);
  hb_sensitivity *output = item_named(s, hb_weight_table[HB_WEIGHT_OUTPUT].name);
  bool tied = !hb_gguf_tensor(s->job->source->gguf, hb_weight_table[HB_WEIGHT_OUTPUT].name);
  float *importance;
  if (tied) output = item_named(s, hb_weight_table[HB_WEIGHT_TOKEN_EMBD].name);
  if (!output) return HB_OK;
  HB_TRY(hb_walk_load(s->walk, m->h.layers, error));
  HB_TRY(watch(s, hb_walk_end(s->walk), m->h.width, error));
  HB_TRY(run_inputs(s, samples, error));
  HB_TRY(importance_of(s, 0, &importance, error));
  hb_status status = add_relative(s, output, importance, error);
  output->measured = !tied;
  hb_release(s->job->options->allocator, importance, s->statistics[0].cols * sizeof(float));
  return status;
}

static hb_status measure_all(surveyor *s, uint32_t samples, hb_error *error) {
  for (uint32_t layer = 0; layer < hb_walk_model(s->walk)->h.layers; layer++)
    HB_TRY(measure_layer(s, layer, samples, error));
  HB_TRY(measure_output(s, samples, error));
  for (size_t i = 0; i < s->count; i++)
    if (!s->items[i].measured) HB_TRY(add_relative(s, &s->items[i], NULL, error));
  return HB_OK;
}

/* ---- Memory ---- */

static hb_status make_room(surveyor *s, hb_error *error) {
  const hb_allocator *allocator = s->job->options->allocator;
  uint64_t least = UINT32_MAX;
  s->strip_values = STRIP_VALUES;
  for (size_t i = 0; i < s->count; i++) {
    uint64_t cols = s->items[i].tensor->dims[0];
    if (cols > s->strip_values) s->strip_values = cols;
    if (cols < least) least = cols;
  }
  s->strip_rows = s->strip_values / least + 1;
  s->stream_bytes = (uint64_t)s->disturbed * s->length * hb_walk_model(s->walk)->h.width * 4;
  s->original = hb_allocate(allocator, s->strip_values * sizeof(float));
  s->rounded = hb_allocate(allocator, s->strip_values * sizeof(float));
  s->blocks = hb_allocate(allocator, s->strip_values * sizeof(float)); /* no type takes more */
  s->rows = hb_allocate(allocator, s->strip_rows * sizeof(double));
  s->stream = hb_allocate(allocator, s->stream_bytes);
  s->changes = hb_allocate(allocator, s->length * sizeof(double));
  if (s->original && s->rounded && s->blocks && s->rows && s->stream && s->changes) return HB_OK;
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for sensitivities");
}

static void release(surveyor *s) {
  const hb_allocator *allocator = s->job->options->allocator;
  forget_inputs(s);
  hb_walk_destroy(s->walk);
  hb_release(allocator, s->original, s->strip_values * sizeof(float));
  hb_release(allocator, s->rounded, s->strip_values * sizeof(float));
  hb_release(allocator, s->blocks, s->strip_values * sizeof(float));
  hb_release(allocator, s->rows, s->strip_rows * sizeof(double));
  hb_release(allocator, s->stream, s->stream_bytes);
  hb_release(allocator, s->changes, s->length * sizeof(double));
}

hb_status hb_sensitivity_measure(hb_tensor_job *job, hb_sensitivity *items, size_t count,
                                 hb_error *error) {
  hb_walk_options walk = hb_job_walk(job);
  if (walk.samples > INPUT_SAMPLES) walk.samples = INPUT_SAMPLES;
  surveyor s = {.job = job, .items = items, .count = count, .length = walk.length};
  s.disturbed = walk.samples < DISTURBED_SAMPLES ? walk.samples : DISTURBED_SAMPLES;
  HB_TRY(hb_walk_create(&walk, &s.walk, error));
  hb_status status = make_room(&s, error);
  if (status == HB_OK) status = measure_all(&s, walk.samples, error);
  release(&s);
  return status;
}
