/* Measures the inputs of a model's matrices, layer by layer, and writes each layer's sums once they
 * are known: names and sizes, which come first in the file, follow from the model alone. */
#include "compress/imatrix.h"
#include "compress/provenance.h"
#include "compress/statistics.h"
#include "compress/walk.h"
#include "gguf/write.h"

#define STAGE_PRODUCTS 16 /* of a layer at most */

typedef struct calibration {
  const hb_calibrate_options *options;
  hb_walk *walk;
  hb_gguf_writer *writer;
  uint32_t ops[STAGE_PRODUCTS]; /* the products of the stage; the output's is at its end */
  hb_statistics inputs[STAGE_PRODUCTS];
  uint32_t count;
  uint64_t done, total; /* samples, each counted for every stage; total: 0 before the first layer */
  hb_status status;     /* of adding inputs */
  hb_error *error;
} calibration;

/* ---- What is measured ---- */

/* What the product reads; the output reads what the last norm leaves. */
static hb_operand input_of(const hb_model *m, uint32_t op) {
  if (op < m->hidden_ops) return m->program[op].in;
  return (hb_operand){HB_BUFFER_HIDDEN, 0, m->h.width};
}

/* Its matrix; the table of embeddings where that is the output's, too. */
static const char *name_of(const hb_model *m, uint32_t op) {
  if (op < m->hidden_ops) return m->weights[m->program[op].weight].name;
  bool tied = hb_weight_find(m, HB_WEIGHT_OUTPUT, 0) == HB_NONE;
  return hb_weight_table[tied ? HB_WEIGHT_TOKEN_EMBD : HB_WEIGHT_OUTPUT].name;
}

static bool is_product(const hb_model *m, uint32_t op) {
  return op == m->hidden_ops || m->program[op].kind == HB_OP_MATMUL;
}

/* ---- The header ---- */

static hb_status declare(hb_gguf_writer *w, const hb_model *m, uint32_t op, hb_error *error) {
  char name[HB_GGUF_MAX_WRITTEN_NAME + 1];
  uint64_t cols = input_of(m, op).width, one = 1;
  size_t length = hb_format(name, sizeof name, "%s" HB_IMATRIX_SQUARES, name_of(m, op));
  HB_TRY(hb_gguf_writer_add_tensor(w, (hb_string){name, length}, HB_TYPE_F32, 1, &cols, error));
  length = hb_format(name, sizeof name, "%s" HB_IMATRIX_COUNTS, name_of(m, op));
  return hb_gguf_writer_add_tensor(w, (hb_string){name, length}, HB_TYPE_F32, 1, &one, error);
}

static hb_status write_header(const calibration *c, hb_error *error) {
  const hb_calibrate_options *o = c->options;
  const hb_model *m = hb_walk_model(c->walk);
  hb_gguf_writer *w = c->writer;
  HB_TRY(hb_gguf_writer_set_string(w, "general.type", hb_string_of(HB_IMATRIX_TYPE), error));
  HB_TRY(hb_gguf_writer_set_strings(w, "imatrix.datasets", o->datasets, o->dataset_count, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "imatrix.chunk_count", o->calibration_samples, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "imatrix.chunk_size", o->calibration_length, error));
  HB_TRY(hb_provenance_set_text(w, o->allocator, o->calibration, o->calibration_samples,
                                o->calibration_length, NULL, error));
  for (uint32_t op = 0; op <= m->hidden_ops; op++)
    if (is_product(m, op)) HB_TRY(declare(w, m, op, error));
  return hb_gguf_writer_begin(w, error);
}

/* ---- A stage ---- */

static void look(void *context, const hb_walk *walk, uint32_t op) {
  calibration *c = context;
  const hb_calibrate_options *o = c->options;
  for (uint32_t i = 0; i < c->count && c->status == HB_OK; i++) {
    if (c->ops[i] != op) continue;
    size_t stride;
    const float *rows = hb_walk_rows(walk, input_of(hb_walk_model(walk), op), &stride);
    c->status = hb_statistics_add(&c->inputs[i], rows, stride, o->calibration_length, o->parallel,
                                  c->error);
  }
  if (op == hb_walk_end(walk)) c->done++;
}

static hb_status find_products(calibration *c, bool output, hb_error *error) {
  const hb_model *m = hb_walk_model(c->walk);
  uint32_t end = hb_walk_end(c->walk) + (output ? 1 : 0);
  for (uint32_t op = hb_walk_first(c->walk); op < end; op++) {
    if (!is_product(m, op)) continue;
    if (c->count == STAGE_PRODUCTS)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "a layer has more than %u products",
                     (uint64_t)STAGE_PRODUCTS);
    HB_TRY(hb_statistics_create(c->options->allocator, input_of(m, op).width, false,
                                &c->inputs[c->count], error));
    c->ops[c->count++] = op;
  }
  return HB_OK;
}

static hb_status write_inputs(const calibration *c, hb_statistics *s, hb_error *error) {
  float count = (float)s->rows;
  for (uint32_t i = 0; i < s->cols; i++) {
    float sum = (float)s->squares[i];
    if (sum - sum != 0)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "an input of the model is no finite number");
    HB_TRY(hb_gguf_writer_data(c->writer, &sum, sizeof sum, error));
  }
  return hb_gguf_writer_data(c->writer, &count, sizeof count, error);
}

static hb_status measure_stage(calibration *c, uint32_t stage, hb_error *error) {
  bool output = stage == hb_walk_model(c->walk)->h.layers;
  hb_tap tap = {c, look};
  HB_TRY(hb_walk_load(c->walk, stage, error));
  HB_TRY(find_products(c, output, error));
  HB_TRY(hb_walk_run(c->walk, hb_walk_end(c->walk), c->options->calibration_samples, !output, &tap,
                     error));
  if (c->status != HB_OK) return c->status;
  for (uint32_t i = 0; i < c->count; i++) HB_TRY(write_inputs(c, &c->inputs[i], error));
  return HB_OK;
}

/* ---- The model ---- */

static hb_status measure(calibration *c, hb_error *error) {
  uint32_t layers = hb_walk_model(c->walk)->h.layers;
  hb_status status = write_header(c, error);
  c->total = (uint64_t)(layers + 1) * c->options->calibration_samples;
  for (uint32_t stage = 0; stage <= layers && status == HB_OK; stage++) {
    status = measure_stage(c, stage, error);
    while (c->count > 0) hb_statistics_destroy(&c->inputs[--c->count]);
  }
  return status == HB_OK ? hb_gguf_writer_finish(c->writer, error) : status;
}

static int stopped(void *context) {
  const calibration *c = context;
  const hb_calibrate_options *o = c->options;
  return o->progress ? o->progress(o->context, c->done, c->total) : 0;
}

hb_status hb_calibrate(const hb_source *source, const hb_calibrate_options *options,
                       const hb_sink *sink, hb_error *error) {
  calibration c = {.options = options, .error = error};
  hb_walk_options walk = {.allocator = options->allocator,
                          .parallel = options->parallel,
                          .isa = hb_isa_best(),
                          .source = source,
                          .tokens = options->calibration,
                          .samples = options->calibration_samples,
                          .length = options->calibration_length,
                          .context = &c,
                          .stopped = stopped};
  if (!options->calibration)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no text to calibrate with");
  HB_TRY(hb_check_parallel(options->parallel, error));
  HB_TRY(hb_gguf_check_complete(source->gguf, error));
  HB_TRY(hb_walk_create(&walk, &c.walk, error));
  hb_status status = hb_gguf_writer_create(options->allocator, sink, &c.writer, error);
  if (status == HB_OK) status = measure(&c, error);
  hb_gguf_writer_destroy(c.writer);
  hb_walk_destroy(c.walk);
  return status;
}
