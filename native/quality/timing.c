/* How long a token takes, by the weights that it reads. */
#include "quality/prospects.h"
#include "bench/bench.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A product is measured with at most so many values, and for so long. */
#define MOST_VALUES ((uint64_t)24 << 20)
#define PRODUCT_SECONDS 0.1
/* Fewer bytes of weights may stay in a cache from token to token; more come from memory, whose
 * speed is measured with at most so many. */
#define CACHED_BYTES ((uint64_t)32 << 20)
#define MOST_READ ((uint64_t)256 << 20)
/* Layers of more values take little time besides their products. */
#define SMALL_LAYER ((uint64_t)16 << 20)
enum { MOST_TYPES = 64, DECODED = 24, ROUNDS = 4, POSITIONS = 64, SYNTHETIC_VOCABULARY = 259 };

typedef struct timer {
  const hb_model *model;
  const cli_options *options;
  const hb_parallel *parallel;
  uint64_t values;                    /* of a matrix that is measured */
  double seconds_a_value[MOST_TYPES]; /* 0: not measured yet */
  double besides;                     /* seconds of a layer besides its products */
  double read_speed;                  /* of the memory, bytes a second; 0: not known */
} timer;

/* ---- Products ---- */

static double fastest(hb_probe *probe) {
  double best = 0, begin = hb_clock();
  for (int i = 0; i < 3 || hb_clock() - begin < PRODUCT_SECONDS; i++) {
    double start = hb_clock();
    hb_probe_run(probe);
    double seconds = hb_clock() - start;
    if (i > 0 && (best == 0 || seconds < best)) best = seconds;
  }
  return best;
}

static bool time_type(timer *t, hb_type type, uint64_t cols) {
  if (t->seconds_a_value[type] > 0) return true;
  uint64_t rows = t->values / cols < 16 ? 16 : t->values / cols;
  hb_probe_options options = {.allocator = hb_host_allocator(),
                              .parallel = t->parallel,
                              .isa = t->options->isa,
                              .kind = HB_PROBE_MATMUL,
                              .type = type,
                              .rows = (uint32_t)rows,
                              .cols = (uint32_t)cols,
                              .batch = 1};
  hb_probe *probe;
  hb_error error;
  if (hb_probe_create(&options, &probe, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  t->seconds_a_value[type] = fastest(probe) / (double)(rows * cols);
  hb_probe_destroy(probe);
  return true;
}

/* Whether a token reads all of a weight: the matrices of layers, and the output's. */
static bool is_read(const hb_model *m, const hb_weight *w) {
  if (!w->present || w->rows <= 1) return false;
  if (w->kind == HB_WEIGHT_OUTPUT || hb_weight_table[w->kind].per_layer) return true;
  return w->kind == HB_WEIGHT_TOKEN_EMBD && hb_weight_find(m, HB_WEIGHT_OUTPUT, 0) == HB_NONE;
}

/* Seconds of a token's products: they take as long as their kernels do with weights at hand, or as
 * reading the weights does. */
static bool time_products(timer *t, const char *type, double *seconds) {
  uint64_t bytes = 0, packed;
  *seconds = 0;
  for (uint32_t i = 0; i < t->model->weight_count; i++) {
    const hb_weight *w = &t->model->weights[i];
    if (!is_read(t->model, w)) continue;
    hb_type own = prospect_type(t->model, type, i);
    if (!time_type(t, own, w->cols)) return false;
    *seconds += (double)(w->rows * w->cols) * t->seconds_a_value[own];
    if (hb_packed_size(own, w->rows, w->cols, &packed)) bytes += packed;
  }
  double reading = t->read_speed > 0 ? (double)bytes / t->read_speed : 0;
  if (bytes > CACHED_BYTES && reading > *seconds) *seconds = reading;
  return true;
}

/* ---- A layer ---- */

static hb_status load_layer(const timer *t, const char *shape, hb_model **out, hb_error *error) {
  enum { PIECE = 1 << 18 };
  hb_synthetic *synthetic;
  hb_loader *loader = NULL;
  hb_load_options load = {.isa = t->options->isa, .parallel = t->parallel};
  hb_status status = hb_synthetic_create(NULL, shape, "q4_0", 1, &synthetic, error);
  if (status != HB_OK) return status;
  uint8_t *piece = malloc(PIECE);
  status = piece ? hb_loader_create(&load, &loader, error)
                 : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory");
  if (status == HB_OK) status = hb_loader_begin_file(loader, hb_synthetic_size(synthetic), error);
  for (size_t count = 1; status == HB_OK && count > 0;) {
    count = hb_synthetic_read(synthetic, piece, PIECE);
    if (count > 0) status = hb_loader_feed(loader, piece, count, error);
  }
  if (status == HB_OK) status = hb_loader_finish(loader, out, error);
  hb_loader_destroy(loader);
  free(piece);
  hb_synthetic_destroy(synthetic);
  return status;
}

/* The fastest token that a model decodes, of some. */
static double time_token(const timer *t, const hb_model *model) {
  hb_session *session;
  hb_session_options options = {
      .parallel = t->parallel, .context_length = POSITIONS, .kv = t->options->kv};
  if (hb_session_create(model, &options, &session, NULL) != HB_OK) return 0;
  double best = 0;
  for (int round = 0; round < ROUNDS; round++) {
    hb_session_rewind(session, 0);
    double start = hb_clock();
    for (hb_token token = 0; token < DECODED; token++)
      if (hb_session_append(session, &token, 1, NULL) != HB_OK) break;
    double seconds = (hb_clock() - start) / DECODED;
    if (round > 0 && (best == 0 || seconds < best)) best = seconds;
  }
  hb_session_destroy(session);
  return best;
}

/* What a layer takes besides its products: that of a layer of random weights, as large as the
 * model's, less the time of its products. A shape that no synthetic model has counts as none. */
static void time_besides(timer *t, uint64_t layer_values) {
  char shape[128];
  hb_model_info info;
  hb_model *layer;
  hb_error error;
  hb_model_get_info(t->model, &info);
  if (layer_values > SMALL_LAYER) return;
  snprintf(shape, sizeof shape, "%" PRIu32 ",1,%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%d", info.width,
           info.heads, info.kv_heads, info.feed_forward, SYNTHETIC_VOCABULARY);
  if (load_layer(t, shape, &layer, &error) != HB_OK) return;
  double token = time_token(t, layer);
  hb_model_destroy(layer);
  if (!time_type(t, HB_TYPE_Q4_0, info.width)) return;
  uint64_t read = layer_values + (uint64_t)info.width * SYNTHETIC_VOCABULARY;
  double products = (double)read * t->seconds_a_value[HB_TYPE_Q4_0];
  t->besides = token > products ? token - products : 0;
}

static uint64_t values_of_layers(const hb_model *m) {
  uint64_t values = 0;
  for (uint32_t i = 0; i < m->weight_count; i++)
    if (hb_weight_table[m->weights[i].kind].per_layer && is_read(m, &m->weights[i]))
      values += m->weights[i].rows * m->weights[i].cols;
  return values;
}

static void time_reading(timer *t, uint64_t values) {
  hb_probe *probe = bench_read_probe(t->parallel, values / 2 < MOST_READ ? values / 2 : MOST_READ);
  if (probe) t->read_speed = 1e9 * bench_read_speed(probe);
  hb_probe_destroy(probe);
}

static bool time_all(timer *t, prospects *out) {
  uint32_t layers = t->model->h.layers;
  uint64_t values = values_of_layers(t->model);
  t->values = values < MOST_VALUES ? values : MOST_VALUES;
  time_reading(t, values);
  time_besides(t, values / (layers ? layers : 1));
  for (int i = 0; i < PROSPECTS; i++) {
    double seconds;
    if (!time_products(t, out->at[i].type, &seconds)) return false;
    out->at[i].speed = 1 / (seconds + layers * t->besides);
  }
  return true;
}

bool prospects_time(const hb_model *model, const cli_options *options, prospects *out) {
  hb_threads *threads;
  hb_error error;
  if (hb_threads_create(options->threads, &threads, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  timer t = {.model = model, .options = options, .parallel = hb_threads_parallel(threads)};
  out->threads = t.parallel->threads;
  bool ok = time_all(&t, out);
  hb_threads_destroy(threads);
  return ok;
}
