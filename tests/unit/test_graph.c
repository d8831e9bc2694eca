/* Running models forward and backward: the loss and every weight's gradient as a second
 * implementation in double has them, and the same bits whatever the threads. */
#include "double_model.h"
#include "gguf_files.h"
#include "quantized.h"

#include "train/graph.h"

#include <math.h>

enum { LENGTH = 12, SEQUENCES = 2, ROWS = SEQUENCES * LENGTH };

/* The second sequence has two documents; three tokens are not scored. */
static const hb_token tokens[ROWS] = {1,   403, 407, 261, 378, 432, 429, 365, 282, 300, 12, 500,
                                      490, 64,  11,  418, 309, 211, 1,   77,  33,  500, 27, 490};
static const int32_t targets[ROWS] = {403, 407, 261, 378, 432, 429, 365, 282, 300, 12, 500, -1,
                                      64,  11,  418, 309, 211, -1,  77,  33,  500, 27, 490, -1};
static const uint32_t first[ROWS] = {[LENGTH + 6] = 6, 6, 6, 6, 6, 6};
static const hb_batch batch = {tokens, targets, first};
static const hb_loss plain_loss = {.target = 1, .temperature = 1};

typedef struct trained {
  gguf_file file;
  hb_net net;
  float *gradients;  /* as net.values */
  float **of_weight; /* [weights] */
} trained;

static trained open_trained(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "vectors/arch/%s.gguf", name);
  trained t = {.file = gguf_file_shared(path)};
  hb_source source = {t.file.gguf, &t.file, read_bytes};
  hb_error error;
  if (hb_net_load(&t.net, hb_allocator_or_default(NULL), hb_isa_best(), &source, &error) != HB_OK)
    fail_msg("%s: %s", name, error.message);
  t.gradients = calloc(t.net.count, sizeof *t.gradients);
  t.of_weight = calloc(t.net.model->weight_count, sizeof *t.of_weight);
  assert_true(t.gradients && t.of_weight);
  for (uint32_t i = 0; i < t.net.model->weight_count; i++)
    if (hb_net_count(&t.net, i) > 0) t.of_weight[i] = t.gradients + t.net.start[i];
  return t;
}

static void close_trained(trained *t) {
  hb_net_end(&t->net);
  gguf_file_close(&t->file);
  free(t->gradients);
  free(t->of_weight);
}

static hb_loss_sums run_with(trained *t, hb_graph_options options) {
  hb_graph *graph;
  hb_error error;
  hb_loss_sums sums;
  options.model = t->net.model;
  options.sequences = SEQUENCES;
  options.length = LENGTH;
  if (hb_graph_create(&options, &graph, &error) != HB_OK) fail_msg("%s", error.message);
  memset(t->gradients, 0, t->net.count * sizeof *t->gradients);
  hb_graph_forward(graph, &batch, 0, hb_graph_stages(graph));
  hb_graph_loss(graph, &batch, &plain_loss, NULL, 1, t->of_weight, &sums);
  hb_graph_backward(graph, t->of_weight, 0, hb_graph_stages(graph));
  hb_graph_destroy(graph);
  return sums;
}

static double loss_of(const double_model *d) {
  return double_loss(d, tokens, targets, first, LENGTH) +
         double_loss(d, tokens + LENGTH, targets + LENGTH, first + LENGTH, LENGTH);
}

/* The weight's value of the largest gradient, and two others. */
static uint64_t pick(const trained *t, uint32_t weight, uint32_t number) {
  uint64_t count = hb_net_count(&t->net, weight), best = 0;
  if (number > 0) return (uint64_t)number * 7919 % count;
  for (uint64_t i = 1; i < count; i++)
    if (fabsf(t->of_weight[weight][i]) > fabsf(t->of_weight[weight][best])) best = i;
  return best;
}

/* By central differences. Gradients in f32 are sums of many terms of either sign, so their error is
 * counted in parts of the weight's largest. */
static void check_weight(const trained *t, const double_model *d, uint32_t weight) {
  const double step = 1e-5;
  double largest = fabs((double)t->of_weight[weight][pick(t, weight, 0)]);
  assert_true(largest > 0);
  for (uint32_t number = 0; number < 3; number++) {
    uint64_t i = pick(t, weight, number);
    double *value = d->values + t->net.start[weight] + i, was = *value;
    *value = was + step;
    double above = loss_of(d);
    *value = was - step;
    double wanted = (above - loss_of(d)) / (2 * step), got = t->of_weight[weight][i];
    *value = was;
    if (!(fabs(got - wanted) <= 1e-5 * largest + 1e-8))
      fail_msg("%s, value %u: %g, not %g", t->net.model->weights[weight].name, (unsigned)i, got,
               wanted);
  }
}

static void check_architecture(const char *name) {
  trained t = open_trained(name);
  double_model d = double_model_of(&t.net);
  hb_loss_sums sums = run_with(&t, (hb_graph_options){.isa = hb_isa_best()});
  assert_int_equal(sums.scored, ROWS - 3);
  assert_float_equal(sums.entropy, loss_of(&d), 1e-3);
  for (uint32_t i = 0; i < t.net.model->weight_count; i++)
    if (t.of_weight[i]) check_weight(&t, &d, i);
  free(d.values);
  close_trained(&t);
}

static void gradients_of_llama_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  check_architecture("llama");
}

static void gradients_of_llama_with_tied_embeddings_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama-tied-mha.gguf");
  check_architecture("llama-tied-mha");
}

static void gradients_of_qwen2_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/qwen2.gguf");
  check_architecture("qwen2");
}

static void gradients_of_qwen3_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/qwen3.gguf");
  check_architecture("qwen3");
}

static void gradients_of_gpt2_are_right(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/gpt2.gguf");
  check_architecture("gpt2");
}

/* Gradients of one way to run, and whether those of another have the same bits. */
static void assert_same_bits(const char *name, hb_graph_options one, hb_graph_options other) {
  trained a = open_trained(name), b = open_trained(name);
  hb_loss_sums first_sums = run_with(&a, one), sums = run_with(&b, other);
  assert_memory_equal(&first_sums, &sums, sizeof sums);
  assert_memory_equal(a.gradients, b.gradients, a.net.count * sizeof *a.gradients);
  close_trained(&a);
  close_trained(&b);
}

static void threads_do_not_change_a_bit(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/qwen3.gguf");
  hb_threads *threads;
  hb_error error;
  hb_graph_options alone = {.isa = hb_isa_best()}, together = alone;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  together.parallel = hb_threads_parallel(threads);
  assert_same_bits("qwen3", alone, together);
  assert_same_bits("gpt2", alone, together);
  hb_threads_destroy(threads);
}

static void running_layers_again_does_not_change_a_bit(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/qwen3.gguf");
  hb_graph_options once = {.isa = hb_isa_best()}, again = once;
  again.recompute = true;
  assert_same_bits("qwen3", once, again);
  assert_same_bits("gpt2", once, again);
}

static void instruction_sets_do_not_change_a_bit(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  for (int isa = 0; isa < ISA_COUNT; isa++)
    if (hb_isa_available((hb_isa)isa))
      assert_same_bits("llama", (hb_graph_options){.isa = HB_ISA_SCALAR},
                       (hb_graph_options){.isa = (hb_isa)isa});
}

static void a_teacher_that_is_the_model_asks_for_nothing(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  trained t = open_trained("llama");
  hb_graph_options options = {
      .isa = hb_isa_best(), .model = t.net.model, .sequences = SEQUENCES, .length = LENGTH};
  hb_graph *student, *teacher;
  hb_error error;
  hb_loss_sums sums;
  hb_loss loss = {.teacher = 1, .temperature = 2};
  assert_int_equal(hb_graph_create(&options, &student, &error), HB_OK);
  assert_int_equal(hb_graph_create(&options, &teacher, &error), HB_OK);
  hb_graph_forward(student, &batch, 0, hb_graph_stages(student));
  hb_graph_forward(teacher, &batch, 0, hb_graph_stages(teacher));
  hb_graph_loss(student, &batch, &loss, teacher, 1, t.of_weight, &sums);
  hb_graph_backward(student, t.of_weight, 0, hb_graph_stages(student));
  assert_float_equal(sums.loss, 0, 1e-4);
  for (uint64_t i = 0; i < t.net.count; i++) assert_true(fabsf(t.gradients[i]) < 1e-3f);
  hb_graph_destroy(student);
  hb_graph_destroy(teacher);
  close_trained(&t);
}

static void what_cannot_be_differentiated_is_refused(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/gemma3.gguf");
  trained t = open_trained("gemma3");
  hb_graph_options options = {
      .isa = hb_isa_best(), .model = t.net.model, .sequences = SEQUENCES, .length = LENGTH};
  hb_graph *graph;
  hb_error error;
  assert_int_equal(hb_graph_create(&options, &graph, &error), HB_UNSUPPORTED);
  assert_non_null(strstr(error.message, "training of gemma3"));
  assert_null(graph);
  close_trained(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gradients_of_llama_are_right),
      cmocka_unit_test(gradients_of_llama_with_tied_embeddings_are_right),
      cmocka_unit_test(gradients_of_qwen2_are_right),
      cmocka_unit_test(gradients_of_qwen3_are_right),
      cmocka_unit_test(gradients_of_gpt2_are_right),
      cmocka_unit_test(threads_do_not_change_a_bit),
      cmocka_unit_test(running_layers_again_does_not_change_a_bit),
      cmocka_unit_test(instruction_sets_do_not_change_a_bit),
      cmocka_unit_test(a_teacher_that_is_the_model_asks_for_nothing),
      cmocka_unit_test(what_cannot_be_differentiated_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
