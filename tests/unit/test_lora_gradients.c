/* Gradients of adapters: as a second implementation in double has them, which multiplies by merged
 * matrices. */
#include "double_model.h"
#include "gguf_files.h"
#include "quantized.h"
#include "random_blocks.h"

#include "train/frozen.h"
#include "train/graph.h"
#include "train/lora.h"

#include <math.h>

enum { LENGTH = 8, SEQUENCES = 2, ROWS = SEQUENCES * LENGTH };

/* The second sequence has two documents. */
static const hb_token tokens[ROWS] = {1,   403, 407, 261, 378, 432, 429, 365,
                                      490, 64,  11,  418, 1,   211, 77,  33};
static const int32_t targets[ROWS] = {403, 407, 261, 378, 432, 429, 365, -1,
                                      64,  11,  418, -1,  211, 77,  33,  -1};
static const uint32_t first[ROWS] = {[LENGTH + 4] = 4, 4, 4, 4};
static const hb_batch batch = {tokens, targets, first};
static const hb_loss plain_loss = {.target = 1, .temperature = 1};

typedef struct adapted {
  gguf_file original, base;
  hb_model *model;
  hb_lora lora;
  float *gradients;  /* as lora.values */
  float **of_weight; /* [weights] */
  hb_net net;        /* the base in floats */
  double_model merged;
  double *values; /* of the adapter */
} adapted;

/* The base's matrices as they are when it runs. */
static void take_values(adapted *a) {
  for (uint32_t i = 0; i < a->model->own_weights; i++) {
    const hb_weight *w = &a->model->weights[i];
    float *to = hb_net_values(&a->net, i);
    for (uint32_t row = 0; w->present && !w->vector && row < w->rows; row++)
      hb_unpack_row(&w->matrix, row, to + row * w->cols);
  }
}

/* method: that quantizes the base, or NULL. */
static adapted open_adapted(const char *name, const char *method) {
  char path[64];
  snprintf(path, sizeof path, "vectors/arch/%s.gguf", name);
  adapted a = {.original = gguf_file_shared(path)};
  a.base = method ? quantized(&a.original, &(hb_quantize_options){.method = method})
                  : gguf_file_shared(path);
  const hb_allocator *allocator = hb_allocator_or_default(NULL);
  hb_source original = {a.original.gguf, &a.original, read_bytes};
  hb_source base = {a.base.gguf, &a.base, read_bytes};
  hb_load_options load = {.allocator = allocator, .isa = hb_isa_best()};
  hb_lora_options lora = {.rank = 3, .alpha = 5, .type = HB_TYPE_F32, .seed = 9};
  hb_error error;
  if (hb_frozen_load(&load, &base, &a.model, &error) != HB_OK ||
      hb_lora_begin(&a.lora, allocator, a.model, &lora, &error) != HB_OK ||
      hb_net_load(&a.net, allocator, hb_isa_best(), &original, &error) != HB_OK)
    fail_msg("%s: %s", name, error.message);
  take_values(&a);
  a.merged = double_model_of(&a.net);
  a.gradients = calloc(a.lora.count, sizeof *a.gradients);
  a.of_weight = calloc(a.model->weight_count, sizeof *a.of_weight);
  a.values = malloc(a.lora.count * sizeof *a.values);
  assert_true(a.gradients && a.of_weight && a.values);
  uint64_t seed = 4;
  for (uint32_t i = 0; i < a.lora.part_count; i++) {
    const hb_lora_part *p = &a.lora.parts[i];
    a.of_weight[p->weight] = a.gradients + p->start;
    for (uint64_t k = 0; k < hb_lora_count(p); k++)
      if (i % 2 == 1) a.lora.values[p->start + k] = 0.2f * random_unit(&seed);
  }
  for (uint64_t i = 0; i < a.lora.count; i++) a.values[i] = a.lora.values[i];
  hb_lora_project(&a.lora);
  return a;
}

static void close_adapted(adapted *a) {
  free(a->gradients);
  free(a->of_weight);
  free(a->values);
  free(a->merged.values);
  hb_net_end(&a->net);
  hb_lora_end(&a->lora);
  hb_model_destroy(a->model);
  gguf_file_close(&a->base);
  gguf_file_close(&a->original);
}

/* The merged values of the matrix that a pair belongs to. */
static void merge(const adapted *a, uint32_t pair) {
  const hb_lora_part *low = &a->lora.parts[2 * pair], *high = low + 1;
  const float *base = hb_net_values(&a->net, low->matrix);
  double *to = a->merged.values + a->net.start[low->matrix];
  for (uint64_t row = 0; row < high->rows; row++)
    for (uint64_t col = 0; col < low->cols; col++) {
      double sum = 0;
      for (uint64_t r = 0; r < low->rows; r++)
        sum += a->values[high->start + row * low->rows + r] *
               a->values[low->start + r * low->cols + col];
      to[row * low->cols + col] = base[row * low->cols + col] + 5.0 / 3 * sum;
    }
}

static double loss_of(const adapted *a) {
  const double_model *d = &a->merged;
  return double_loss(d, tokens, targets, first, LENGTH) +
         double_loss(d, tokens + LENGTH, targets + LENGTH, first + LENGTH, LENGTH);
}

static void run(adapted *a) {
  hb_graph_options options = {
      .isa = hb_isa_best(), .model = a->model, .sequences = SEQUENCES, .length = LENGTH};
  hb_graph *graph;
  hb_error error;
  hb_loss_sums sums;
  if (hb_graph_create(&options, &graph, &error) != HB_OK) fail_msg("%s", error.message);
  hb_graph_forward(graph, &batch, 0, hb_graph_stages(graph));
  hb_graph_loss(graph, &batch, &plain_loss, NULL, 1, a->of_weight, &sums);
  hb_graph_backward(graph, a->of_weight, 0, hb_graph_stages(graph));
  hb_graph_destroy(graph);
  hb_lora_back(&a->lora, a->gradients);
  assert_float_equal(sums.entropy, loss_of(a), 1e-3);
}

/* The value of the largest gradient of a part, and another one, by central differences. */
static void check_part(const adapted *a, uint32_t part) {
  const hb_lora_part *p = &a->lora.parts[part];
  const float *gradient = a->gradients + p->start;
  const double step = 1e-5;
  uint64_t best = 0;
  for (uint64_t i = 1; i < hb_lora_count(p); i++)
    if (fabsf(gradient[i]) > fabsf(gradient[best])) best = i;
  assert_true(gradient[best] != 0);
  for (uint32_t number = 0; number < 2; number++) {
    uint64_t i = number == 0 ? best : 7919 % hb_lora_count(p);
    double *value = a->values + p->start + i, was = *value;
    *value = was + step;
    merge(a, part / 2);
    double above = loss_of(a);
    *value = was - step;
    merge(a, part / 2);
    double wanted = (above - loss_of(a)) / (2 * step), got = gradient[i];
    *value = was;
    merge(a, part / 2);
    if (!(fabs(got - wanted) <= 1e-5 * fabs((double)gradient[best]) + 1e-8))
      fail_msg("%s, value %u: %g, not %g", a->model->weights[p->weight].name, (unsigned)i, got,
               wanted);
  }
}

static void check(const char *name, const char *method, uint32_t matrices) {
  adapted a = open_adapted(name, method);
  assert_int_equal(a.lora.part_count, 2 * matrices * a.model->h.layers);
  for (uint32_t i = 0; i < a.lora.part_count / 2; i++) merge(&a, i);
  run(&a);
  for (uint32_t i = 0; i < a.lora.part_count; i++) check_part(&a, i);
  close_adapted(&a);
}

static void gradients_on_a_frozen_float_model_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/gpt2.gguf");
  check("gpt2", NULL, 4);
  check("qwen3", NULL, 7);
}

static void gradients_on_a_frozen_nf4_model_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  check("llama", "nf4", 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gradients_on_a_frozen_float_model_are_right),
      cmocka_unit_test(gradients_on_a_frozen_nf4_model_are_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
