/* Training layer by layer: what layers are to give, and that they come to give it. */
#include "training.h"
#include "double_model.h"

#include "train/trainer.h"

static const char *const methods[] = {"block-ap", "autoround", "lkd"};
enum { METHODS = 3, SAMPLES = 3, LAYERS = 2, VALUES = SAMPLES * LENGTH * 64 };

/* Batches have all samples, so that errors of steps can be compared. */
static hb_train_options layer_options(const char *method, const hb_source *original) {
  hb_train_options o = usual_options(method);
  o.original = original;
  o.sequences = o.samples = SAMPLES;
  o.steps = 20;
  if (strcmp(method, "autoround") == 0) o.rate = 0.02;
  return o;
}

/* ---- What layers are to give, by a second implementation ---- */

typedef double stream[LENGTH][DOUBLE_MOST_WIDTH];

static double_model open_double(hb_net *net, const gguf_file *file) {
  hb_source source = source_of(file);
  hb_error error;
  if (hb_net_load(net, hb_allocator_or_default(NULL), hb_isa_best(), &source, &error) != HB_OK)
    fail_msg("%s", error.message);
  return double_model_of(net);
}

static void embed(const double_model *d, const hb_token *ids, stream out) {
  for (uint32_t row = 0; row < LENGTH; row++)
    for (uint32_t i = 0; i < 64; i++)
      out[row][i] = double_weight(d, HB_WEIGHT_TOKEN_EMBD, 0)[(size_t)ids[row] * 64 + i];
}

/* The mean squared error of what `model` gives behind a layer. own: the original's layer reads what
 * the model's does, else what the original's layers before it give. */
static double error_behind(const gguf_file *model, const gguf_file *original, uint32_t layer,
                           bool own) {
  hb_net nets[2] = {0};
  double_model m = open_double(&nets[0], model), o = open_double(&nets[1], original);
  hb_packer *packer;
  hb_error error;
  hb_corpus text = make_text();
  double sum = 0;
  assert_int_equal(hb_packer_create(hb_allocator_or_default(NULL), text.tokens, text.start,
                                    text.documents, LENGTH, 0, &packer, &error),
                   HB_OK);
  for (uint32_t sample = 0; sample < SAMPLES; sample++) {
    hb_token ids[LENGTH];
    int32_t targets[LENGTH];
    uint32_t first[LENGTH];
    static stream got, wanted;
    hb_packer_take(packer, sample, ids, targets, first);
    embed(&m, ids, got);
    embed(&o, ids, wanted);
    for (uint32_t l = 0; l <= layer; l++) {
      if (l == layer && own) memcpy(wanted, got, sizeof wanted);
      double_layer(&m, l, first, LENGTH, got);
      double_layer(&o, l, first, LENGTH, wanted);
    }
    for (uint32_t row = 0; row < LENGTH; row++)
      for (uint32_t i = 0; i < 64; i++)
        sum += (got[row][i] - wanted[row][i]) * (got[row][i] - wanted[row][i]);
  }
  hb_packer_destroy(packer);
  free(m.values);
  free(o.values);
  hb_net_end(&nets[0]);
  hb_net_end(&nets[1]);
  return sum / VALUES;
}

static void close_to(double got, double wanted) {
  if (!(fabs(got - wanted) <= 1e-4 * wanted)) fail_msg("%g, not %g", got, wanted);
}

/* At rates that change nothing, so that what is written behind a step is what it ran with. */
static void targets_are_what_layers_of_the_original_give(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  for (size_t i = 0; i < METHODS; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = layer_options(methods[i], &original);
    options.rate = 1e-9;
    hb_trainer *t = open_trainer(&source, &options);
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
      hb_train_report r = run_steps(t, 1);
      assert_int_equal(r.layer, layer + 1);
      gguf_file now = written(t, hb_trainer_write);
      close_to(r.loss, error_behind(&now, &from, layer, i == 2));
      gguf_file_close(&now);
      assert_int_equal(run_steps(t, 9).layer, layer + 1);
    }
    hb_trainer_destroy(t);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* ---- What is learned ---- */

static void the_error_of_each_layer_falls(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const types[] = {"q4_1", "int2_64"};
  for (size_t i = 0; i < 2 * METHODS; i++) {
    gguf_file from = gguf_file_shared(MODEL),
              quantized = quantized_model(&from, types[i / METHODS]);
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = layer_options(methods[i % METHODS], &original);
    hb_trainer *t = open_trainer(&source, &options);
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
      double before = run_steps(t, 1).loss, after = run_steps(t, 9).loss;
      if (!(after < 0.9 * before))
        fail_msg("%s, %s, layer %u: %g, then %g", options.method, types[i / METHODS], layer, before,
                 after);
    }
    hb_trainer_destroy(t);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* In the end, and when a layer is done: the layers to come are as they were. */
static void what_is_written_is_what_was_trained(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  for (size_t i = 0; i < METHODS; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = layer_options(methods[i], &original);
    hb_trainer *t = open_trainer(&source, &options);
    for (uint32_t half = 0; half < 2; half++) {
      run_steps(t, 10);
      gguf_file to = written(t, hb_trainer_write);
      hb_source again = source_of(&to);
      hb_train_options measure = usual_options("e2e-qp");
      hb_trainer *other = open_trainer(&again, &measure);
      assert_true(entropy_of(other) == entropy_of(t));
      hb_trainer_destroy(other);
      gguf_file_close(&to);
    }
    hb_trainer_destroy(t);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

static bool same_bytes(const gguf_file *a, const gguf_file *b, const char *name) {
  const hb_tensor *x = hb_gguf_tensor(a->gguf, name), *y = hb_gguf_tensor(b->gguf, name);
  assert_true(x && y && x->bytes == y->bytes);
  return memcmp(gguf_file_data(a, x), gguf_file_data(b, y), (size_t)x->bytes) == 0;
}

static void tables_stay_and_norms_are_trained_but_by_signs(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  for (size_t i = 0; i < METHODS; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = layer_options(methods[i], &original);
    hb_trainer *t = open_trainer(&source, &options);
    run_steps(t, 20);
    gguf_file to = written(t, hb_trainer_write);
    assert_true(same_bytes(&to, &quantized, "token_embd.weight"));
    assert_true(same_bytes(&to, &quantized, "output.weight"));
    assert_true(same_bytes(&to, &quantized, "output_norm.weight"));
    assert_false(same_bytes(&to, &quantized, "blk.1.ffn_down.weight"));
    assert_int_equal(same_bytes(&to, &quantized, "blk.1.attn_norm.weight"), i == 1);
    hb_trainer_destroy(t);
    gguf_file_close(&to);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* ---- Signs ---- */

static void check_bounds(const hb_quantizer *q, uint64_t *at_the_bound) {
  uint64_t step = q->coder->step;
  for (uint64_t i = 0; i < (uint64_t)q->rows * q->cols; i++) {
    float half = 0.5f * hb_quantizer_step(q, q->grids[i / step]);
    float off = fabsf(q->weights[i] - q->centers[i]);
    assert_true(off <= half * 1.00001f + 1e-7f);
    *at_the_bound += off > half * 0.99f;
  }
}

static void weights_go_half_a_step_at_most(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const types[] = {"q4_0", "iq4_nl"};
  for (size_t i = 0; i < 2; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, types[i]);
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = layer_options("autoround", &original);
    options.rate = 0.2;
    options.scale_rate = 0.02;
    options.steps = 12;
    hb_trainer *t = open_trainer(&source, &options);
    uint64_t at_the_bound = 0;
    for (uint32_t n = 0; n < 12; n++) {
      run_steps(t, 1);
      hb_train_project(t);
      for (uint32_t w = 0; w < t->net.model->weight_count; w++)
        if (t->quantizers[w].coder && hb_train_reached(t, w))
          check_bounds(&t->quantizers[w], &at_the_bound);
    }
    assert_true(at_the_bound > 1000);
    hb_trainer_destroy(t);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* With rates that soon spoil all. */
static void the_best_step_is_kept(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
  hb_source source = source_of(&quantized), original = source_of(&from);
  hb_train_options options = layer_options("autoround", &original);
  options.scale_rate = 0.3;
  options.schedule = "constant";
  hb_trainer *t = open_trainer(&source, &options);
  run_steps(t, 10);
  double least = 1e9, last = 0;
  for (uint32_t i = 0; i < 10; i++) {
    last = run_steps(t, 1).loss;
    if (last < least) least = last;
  }
  assert_true(last > 1.02 * least);
  gguf_file to = written(t, hb_trainer_write);
  close_to(least, error_behind(&to, &from, 1, false));
  hb_trainer_destroy(t);
  gguf_file_close(&to);
  gguf_file_close(&quantized);
  gguf_file_close(&from);
}

/* ---- Going on ---- */

/* Stopped within the first layer, between the layers, within the second, and behind it. */
static void a_run_that_goes_on_ends_with_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const uint32_t stops[] = {3, 4, 6, 8};
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  for (size_t i = 0; i < 4 * METHODS; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = layer_options(methods[i % METHODS], &original);
    uint32_t stop = stops[i / METHODS];
    options.steps = 8;
    options.sequences = options.accumulate = 2;
    options.samples = 5;
    hb_trainer *whole = open_trainer(&source, &options), *first = open_trainer(&source, &options);
    run_steps(whole, 8);
    run_steps(first, stop);
    gguf_file saved = written(first, hb_trainer_save);
    hb_trainer_destroy(first);
    options.parallel = hb_threads_parallel(threads);
    hb_trainer *second = open_trainer(&source, &options);
    hb_source checkpoint = source_of(&saved);
    if (hb_trainer_restore(second, &checkpoint, &error) != HB_OK) fail_msg("%s", error.message);
    run_steps(second, 8 - stop);
    gguf_file a = written(whole, hb_trainer_write), b = written(second, hb_trainer_write);
    assert_same_files(&a, &b);
    hb_trainer_destroy(whole);
    hb_trainer_destroy(second);
    gguf_file_close(&a);
    gguf_file_close(&b);
    gguf_file_close(&saved);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
  hb_threads_destroy(threads);
}

/* ---- Errors ---- */

static void options_without_meaning_are_refused_by_name(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
  hb_source source = source_of(&quantized), original = source_of(&from);
  const hb_train_options usual = layer_options("lkd", &original);
  hb_train_options o = usual;
  o.original = NULL;
  refuses(&source, &o, "lkd takes the original model");
  o = usual;
  o.teacher = 0.5;
  refuses(&source, &o, "teacher has no meaning in training by lkd");
  o = usual;
  o.temperature = 2;
  refuses(&source, &o, "temperature has no meaning");
  o = usual;
  o.z = 1e-4;
  refuses(&source, &o, "z has no meaning");
  o = usual;
  o.recompute = 1;
  refuses(&source, &o, "recompute has no meaning");
  o = usual;
  o.steps = 1;
  refuses(&source, &o, "1 steps are too few for 2 layers");
  o = usual;
  o.samples = 100;
  refuses(&source, &o, "100 samples of 16 tokens: the text makes 15");
  o = usual;
  o.method = "autoround";
  o.beta1 = 0.9;
  refuses(&source, &o, "beta1 has no meaning in training by autoround");
  o = usual;
  o.method = "autoround";
  o.small_moments = 1;
  refuses(&source, &o, "small_moments has no meaning");
  o = usual;
  o.method = "autoround";
  o.state_allocator = hb_allocator_or_default(NULL);
  refuses(&source, &o, "state_allocator has no meaning");
  o = usual;
  o.method = "qat";
  refuses(&source, &o, "samples are of methods that train layer by layer, and qat");
  o = usual;
  refuses(&original, &o, "this model has none");
  gguf_file_close(&quantized);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(targets_are_what_layers_of_the_original_give),
      cmocka_unit_test(the_error_of_each_layer_falls),
      cmocka_unit_test(what_is_written_is_what_was_trained),
      cmocka_unit_test(tables_stay_and_norms_are_trained_but_by_signs),
      cmocka_unit_test(weights_go_half_a_step_at_most),
      cmocka_unit_test(the_best_step_is_kept),
      cmocka_unit_test(a_run_that_goes_on_ends_with_the_same_bits),
      cmocka_unit_test(options_without_meaning_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
