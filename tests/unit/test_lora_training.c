/* Training adapters on frozen models: what is learned and written, that the model stays as it is,
 * and that a session computes with the adapter what training did. */
#include "training.h"

#include "train/trainer.h"

#include <math.h>

static gguf_file base_of(const gguf_file *from, const char *method) {
  hb_quantize_options options = {.method = method};
  static const char *const types[][2] = {
      {"rtn", "q4_0"},       {"channel", "q8_0"},      {"llm.int8", "q8_0"},
      {"zeroquant", "q4_0"}, {"squeezellm", "table4"},
  };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(method, types[i][0]) == 0) options.type = types[i][1];
  if (strcmp(method, "llm.int8") == 0) options.outlier_threshold = 1.5;
  if (strcmp(method, "rtn") != 0) {
    options.calibration = make_text().tokens;
    options.calibration_samples = 4;
    options.calibration_length = 32;
  }
  return quantized(from, &options);
}

static hb_model *load(const gguf_file *file) {
  hb_model *model;
  hb_error error;
  if (load_bytes(file->bytes, file->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  return model;
}

/* What a trainer measures of an adapter that is there. */
static double entropy_with(const gguf_file *base, const gguf_file *adapter, const char *type) {
  hb_source source = source_of(base);
  hb_train_options options = usual_options("lora");
  options.adapter = adapter->bytes;
  options.adapter_size = adapter->size;
  options.adapter_type = type;
  hb_trainer *t = open_trainer(&source, &options);
  double entropy = entropy_of(t);
  hb_trainer_destroy(t);
  return entropy;
}

static void the_loss_falls_and_the_model_stays(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), base = base_of(&from, "nf4");
  hb_source source = source_of(&base);
  hb_train_options options = usual_options("lora");
  options.steps = 40;
  options.rate = 1e-2;
  hb_trainer *t = open_trainer(&source, &options);
  hb_model *untouched = load(&base);
  double before = entropy_of(t);
  run_steps(t, 40);
  assert_true(entropy_of(t) < 0.7 * before);
  for (uint32_t i = 0; i < untouched->weight_count; i++) {
    const hb_weight *a = &t->model->weights[i], *b = &untouched->weights[i];
    if (b->present && !b->vector)
      assert_memory_equal(a->matrix.data, b->matrix.data, b->matrix.bytes);
    if (b->present && b->vector) assert_memory_equal(a->vector, b->vector, b->cols * sizeof(float));
  }
  hb_model_destroy(untouched);
  hb_trainer_destroy(t);
  gguf_file_close(&base);
  gguf_file_close(&from);
}

static void what_is_written_is_what_was_trained(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const types[] = {"f32", "bf16", "f16"};
  gguf_file from = gguf_file_shared(MODEL), base = base_of(&from, "nf4");
  hb_source source = source_of(&base);
  for (size_t i = 0; i < 3; i++) {
    hb_train_options options = usual_options("lora");
    options.adapter_type = types[i];
    options.rank = 3; /* whose factor is no power of two */
    options.alpha = 5;
    hb_trainer *t = open_trainer(&source, &options);
    run_steps(t, 8);
    gguf_file adapter = written(t, hb_trainer_write);
    assert_true(entropy_with(&base, &adapter, types[i]) == entropy_of(t));
    hb_model *model = load(&base);
    hb_error error;
    if (hb_model_adapt(model, adapter.bytes, adapter.size, 1, &error) != HB_OK)
      fail_msg("%s", error.message);
    assert_int_equal(model->weight_count, t->model->weight_count);
    for (uint32_t w = model->own_weights; w < model->weight_count; w++) {
      const hb_weight *a = &model->weights[w], *b = &t->model->weights[w];
      assert_string_equal(a->name, b->name);
      assert_memory_equal(a->matrix.data, b->matrix.data, a->matrix.bytes);
    }
    hb_model_destroy(model);
    gguf_file_close(&adapter);
    hb_trainer_destroy(t);
  }
  gguf_file_close(&base);
  gguf_file_close(&from);
}

/* ---- Sessions ---- */

static double surprise(const float *logits, uint32_t vocabulary, hb_token target) {
  double largest = logits[0], sum = 0;
  for (uint32_t i = 1; i < vocabulary; i++)
    if (logits[i] > largest) largest = logits[i];
  for (uint32_t i = 0; i < vocabulary; i++) sum += exp(logits[i] - largest);
  return log(sum) + largest - logits[target];
}

/* A token, of a text of LENGTH tokens, by a session. */
static double entropy_when_run(const gguf_file *base, const gguf_file *adapter,
                               const hb_token *text) {
  hb_model *model = load(base);
  hb_session *session;
  hb_row rows[LENGTH];
  hb_error error;
  if (hb_model_adapt(model, adapter->bytes, adapter->size, 1, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_session_options options = {
      .context_length = LENGTH, .batch = LENGTH, .logit_rows = LENGTH, .kv = HB_KV_F32};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (size_t i = 0; i < LENGTH; i++) rows[i] = (hb_row){session, text[i], 1};
  assert_int_equal(hb_step(session, rows, LENGTH, &error), HB_OK);
  double sum = 0;
  for (size_t i = 0; i + 1 < LENGTH; i++)
    sum += surprise(hb_session_logits(session, i), model->h.vocabulary, text[i + 1]);
  hb_session_destroy(session);
  hb_model_destroy(model);
  return sum / (LENGTH - 1);
}

/* Training and running differ by the order of sums; where training does not round inputs to int8,
 * as matrices with outliers make it, by that. */
static void check_run(const char *name, const gguf_file *base, bool round_inputs,
                      double tolerance) {
  static const uint64_t starts[] = {0, LENGTH};
  hb_source source = source_of(base);
  hb_train_options options = usual_options("lora");
  options.round_inputs = round_inputs;
  options.sequences = 1;
  options.matrices = "attn_q,attn_output,ffn_down";
  hb_trainer *t = open_trainer(&source, &options);
  run_steps(t, 4);
  gguf_file adapter = written(t, hb_trainer_write);
  hb_corpus text = {tokens, starts, 1};
  hb_error error;
  double trained, run = entropy_when_run(base, &adapter, tokens);
  assert_int_equal(hb_trainer_evaluate(t, &text, &trained, &error), HB_OK);
  if (!(fabs(trained - run) <= tolerance)) fail_msg("%s: %.7f, not %.7f", name, run, trained);
  hb_trainer_destroy(t);
  gguf_file_close(&adapter);
}

static void sessions_compute_what_was_trained(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  check_run("f32", &from, false, 1e-5);
  static const struct {
    const char *method;
    bool round_inputs;
    double tolerance;
  } bases[] = {{"rtn", true, 1e-5},       {"nf4", true, 2e-3},         {"channel", true, 2e-3},
               {"zeroquant", true, 1e-5}, {"squeezellm", false, 2e-2}, {"llm.int8", false, 2e-2}};
  for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
    gguf_file base = base_of(&from, bases[i].method);
    check_run(bases[i].method, &base, bases[i].round_inputs, bases[i].tolerance);
    gguf_file_close(&base);
  }
  gguf_file_close(&from);
}

/* ---- Runs ---- */

typedef struct counter {
  uint64_t blocks, bytes;
} counter;

static void *count_allocate(void *context, size_t size, size_t alignment) {
  counter *c = context;
  (void)alignment;
  c->blocks++;
  c->bytes += size;
  return hb_allocate(NULL, size);
}

static void count_release(void *context, void *block, size_t size) {
  counter *c = context;
  c->blocks--;
  hb_release(NULL, block, size);
}

/* Runs of 8 steps: in one go, and in two with a checkpoint between, on three threads, with layers
 * run again and the optimizer's state elsewhere. */
static void a_run_that_goes_on_ends_with_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  counter count = {0};
  const hb_allocator elsewhere = {&count, count_allocate, count_release};
  gguf_file from = gguf_file_shared(MODEL), base = base_of(&from, "nf4");
  hb_source source = source_of(&base);
  hb_train_options options = usual_options("lora"), other = options;
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  hb_trainer *whole = open_trainer(&source, &options), *first = open_trainer(&source, &options);
  run_steps(whole, 8);
  run_steps(first, 3);
  gguf_file saved = written(first, hb_trainer_save);
  hb_source checkpoint = source_of(&saved);
  other.parallel = hb_threads_parallel(threads);
  other.recompute = true;
  other.state_allocator = &elsewhere;
  hb_trainer *second = open_trainer(&source, &other);
  assert_int_equal(count.blocks, 1);
  assert_true(count.bytes >= 8 * second->lora.count);
  if (hb_trainer_restore(second, &checkpoint, &error) != HB_OK) fail_msg("%s", error.message);
  run_steps(second, 5);
  gguf_file a = written(whole, hb_trainer_write), b = written(second, hb_trainer_write);
  assert_same_files(&a, &b);
  hb_trainer_destroy(whole);
  hb_trainer_destroy(first);
  hb_trainer_destroy(second);
  assert_int_equal(count.blocks, 0);
  hb_threads_destroy(threads);
  gguf_file_close(&a);
  gguf_file_close(&b);
  gguf_file_close(&saved);
  gguf_file_close(&base);
  gguf_file_close(&from);
}

static void a_teacher_is_followed(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), base = base_of(&from, "nf4");
  hb_source source = source_of(&base), original = source_of(&from);
  hb_train_options options = usual_options("lora");
  options.original = &original;
  options.teacher = 1;
  options.steps = 40;
  options.sequences = 15; /* all of the text */
  hb_trainer *t = open_trainer(&source, &options);
  double before = run_steps(t, 1).loss, after = run_steps(t, 39).loss;
  assert_true(after < 0.5 * before);
  hb_trainer_destroy(t);
  gguf_file_close(&base);
  gguf_file_close(&from);
}

/* ---- Refusals ---- */

static void wrong_options_are_refused_by_name(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), sparse = base_of(&from, "squeezellm");
  hb_source source = source_of(&from), outliers = source_of(&sparse);
  hb_train_options o = usual_options("lora");
  o.matrices = "attn_q,ffn_norm";
  refuses(&source, &o, "no layer has a matrix 'ffn_norm'");
  o.matrices = "";
  refuses(&source, &o, "no matrix is to be adapted");
  o = usual_options("lora");
  o.adapter_type = "q8_0";
  refuses(&source, &o, "cannot have the type 'q8_0'");
  o = usual_options("lora");
  o.rank = 5000;
  refuses(&source, &o, "a rank of 5000");
  o = usual_options("lora");
  o.alpha = NAN;
  refuses(&source, &o, "the alpha of training");
  o = usual_options("lora");
  o.adapter = from.bytes;
  o.adapter_size = from.size;
  refuses(&source, &o, "the adapter to begin with: the file is no LoRA adapter");
  o.rank = 4;
  refuses(&source, &o, "of its own");
  o = usual_options("lora");
  o.round_inputs = true;
  refuses(&outliers, &o, "has outliers");
  gguf_file_close(&sparse);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_loss_falls_and_the_model_stays),
      cmocka_unit_test(what_is_written_is_what_was_trained),
      cmocka_unit_test(sessions_compute_what_was_trained),
      cmocka_unit_test(a_run_that_goes_on_ends_with_the_same_bits),
      cmocka_unit_test(a_teacher_is_followed),
      cmocka_unit_test(wrong_options_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
