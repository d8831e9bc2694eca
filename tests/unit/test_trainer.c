/* Training: what is learned, what is written, and that a run can be gone on with. */
#include "training.h"

#include <math.h>

static void training_lowers_the_loss(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  hb_source source = source_of(&from);
  hb_train_options options = usual_options("full");
  options.steps = 40;
  hb_trainer *t = open_trainer(&source, &options);
  double before = entropy_of(t);
  hb_train_report r = run_steps(t, 40);
  assert_int_equal(r.step, 40);
  assert_int_equal(r.tokens, 40 * 2 * LENGTH);
  assert_true(entropy_of(t) < 0.7 * before);
  hb_trainer_destroy(t);
  gguf_file_close(&from);
}

/* What is written computes what was trained: a new trainer of it measures the same. */
static void what_is_written_is_what_was_trained(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const methods[] = {"full", "qat", "e2e-qp", "qat", "qat"}, *const types[] = {
                                                                                    "q4_0", "q4_0",
                                                                                    "q4_0",
                                                                                    "int2_64",
                                                                                    "iq4_nl"};
  for (size_t i = 0; i < 5; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, types[i]);
    hb_source source = source_of(i == 0 ? &from : &quantized), original = source_of(&from);
    hb_train_options options = usual_options(methods[i]);
    if (i > 0) options.original = &original;
    hb_trainer *t = open_trainer(&source, &options);
    double before = entropy_of(t);
    run_steps(t, 8);
    double trained = entropy_of(t);
    assert_true(trained < before);
    gguf_file to = written(t, hb_trainer_write);
    hb_source again = source_of(&to);
    hb_train_options measure = usual_options(i == 0 ? "full" : "qat");
    hb_trainer *other = open_trainer(&again, &measure);
    assert_true(entropy_of(other) == trained);
    hb_trainer_destroy(other);
    hb_trainer_destroy(t);
    gguf_file_close(&to);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* The original tells where in its cell a weight lies, not what it was rounded to. */
static void training_begins_with_the_codes_there_are(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const types[] = {"q4_0", "q2_k", "iq4_nl", "mxfp4"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    hb_quantize_options gptq = {.method = "gptq",
                                .type = types[i],
                                .calibration = make_text().tokens,
                                .calibration_samples = 4,
                                .calibration_length = 32};
    gguf_file from = gguf_file_shared(MODEL), model = quantized(&from, &gptq);
    hb_source source = source_of(&model), original = source_of(&from);
    hb_train_options options = usual_options("qat");
    options.rate = 0.02;
    hb_trainer *plain = open_trainer(&source, &options);
    options.original = &original;
    hb_trainer *t = open_trainer(&source, &options);
    assert_true(entropy_of(t) == entropy_of(plain));
    run_steps(plain, 8);
    run_steps(t, 8);
    assert_true(entropy_of(t) != entropy_of(plain));
    hb_trainer_destroy(plain);
    hb_trainer_destroy(t);
    gguf_file_close(&model);
    gguf_file_close(&from);
  }
}

/* Counts blocks of a Q4_0 tensor whose scale (bytes 0, 1) and whose codes (2 .. 17) differ. */
static void count_changes(const uint8_t *x, const uint8_t *y, uint64_t bytes, uint64_t *scales,
                          uint64_t *codes) {
  *scales = *codes = 0;
  for (uint64_t at = 0; at < bytes; at += 18) {
    *scales += memcmp(x + at, y + at, 2) != 0;
    *codes += memcmp(x + at + 2, y + at + 2, 16) != 0;
  }
}

static void codes_stay_where_scales_alone_are_trained(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  for (int tables = 0; tables < 2; tables++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(&quantized);
    hb_train_options options = usual_options("e2e-qp");
    options.tables = tables;
    options.rate = 0.05;
    options.damping = tables ? -1 : 0;
    hb_trainer *t = open_trainer(&source, &options);
    run_steps(t, 8);
    gguf_file to = written(t, hb_trainer_write);
    for (size_t i = 0; i < hb_gguf_tensor_count(to.gguf); i++) {
      const hb_tensor *a = hb_gguf_tensor_at(quantized.gguf, i), *b = hb_gguf_tensor_at(to.gguf, i);
      uint64_t scales, codes;
      assert_int_equal(a->type, b->type);
      if (a->type != HB_TYPE_Q4_0) continue;
      count_changes(gguf_file_data(&quantized, a), gguf_file_data(&to, b), a->bytes, &scales,
                    &codes);
      assert_true(scales > 0);
      assert_int_equal(codes > 0, tables && memcmp(a->name.data, "blk.", 4) != 0);
    }
    hb_trainer_destroy(t);
    gguf_file_close(&to);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* Damped wholly, a weight is back behind each step where it was rounded to. */
static void damping_holds_codes(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const methods[] = {"qat", "block-ap"};
  for (int i = 0; i < 4; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(&quantized), original = source_of(&from);
    hb_train_options options = usual_options(methods[i / 2]);
    options.original = &original;
    options.rate = 0.05;
    options.scale_rate = 1e-9;
    options.schedule = "constant";
    options.damping = i % 2 ? -1 : 20;
    hb_trainer *t = open_trainer(&source, &options);
    run_steps(t, 8);
    gguf_file to = written(t, hb_trainer_write);
    const char *name = "blk.0.ffn_up.weight";
    const hb_tensor *a = hb_gguf_tensor(quantized.gguf, name), *b = hb_gguf_tensor(to.gguf, name);
    uint64_t scales, codes;
    count_changes(gguf_file_data(&quantized, a), gguf_file_data(&to, b), a->bytes, &scales, &codes);
    assert_int_equal(codes > 0, i % 2);
    hb_trainer_destroy(t);
    gguf_file_close(&to);
    gguf_file_close(&quantized);
    gguf_file_close(&from);
  }
}

/* Entropy of the text's documents, cut to a sequence each, as a model runs. */
static double entropy_when_run(const gguf_file *file, const hb_corpus *text) {
  hb_model *model;
  hb_session *session;
  hb_model_info info;
  hb_error error;
  double sum = 0;
  if (load_bytes(file->bytes, file->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_model_get_info(model, &info);
  hb_session_options options = {.context_length = LENGTH, .logit_rows = LENGTH, .kv = HB_KV_F32};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (uint32_t d = 0; d < text->documents; d++) {
    const hb_token *tokens = text->tokens + text->start[d];
    hb_row rows[LENGTH];
    for (size_t i = 0; i < LENGTH; i++) rows[i] = (hb_row){session, tokens[i], 1};
    hb_session_rewind(session, 0);
    assert_int_equal(hb_step(session, rows, LENGTH, &error), HB_OK);
    for (size_t i = 0; i + 1 < LENGTH; i++) {
      const float *logits = hb_session_logits(session, i);
      double total = 0;
      for (uint32_t k = 0; k < info.vocabulary; k++) total += exp((double)logits[k]);
      sum += log(total) - (double)logits[tokens[i + 1]];
    }
  }
  hb_session_destroy(session);
  hb_model_destroy(model);
  return sum / ((LENGTH - 1) * text->documents);
}

/* With inputs rounded as products round them, what remains is the order of sums in f32, and inputs
 * that round the other way for it. */
static void a_model_runs_as_it_was_trained(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
  hb_source source = source_of(&quantized);
  hb_train_options options = usual_options("qat");
  options.round_inputs = 1;
  hb_trainer *t = open_trainer(&source, &options);
  run_steps(t, 8);
  gguf_file to = written(t, hb_trainer_write);
  for (uint32_t d = 0; d <= DOCUMENTS; d++) start[d] = (uint64_t)d * LENGTH;
  hb_corpus text = {tokens, start, DOCUMENTS};
  double entropy;
  hb_error error;
  assert_int_equal(hb_trainer_evaluate(t, &text, &entropy, &error), HB_OK);
  assert_float_equal(entropy, entropy_when_run(&to, &text), 1e-4 * entropy);
  hb_trainer_destroy(t);
  gguf_file_close(&to);
  gguf_file_close(&quantized);
  gguf_file_close(&from);
}

static void a_teacher_is_followed(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
  hb_source source = source_of(&quantized), original = source_of(&from);
  hb_train_options options = usual_options("qat");
  options.original = &original;
  options.teacher = 1;
  options.steps = 40;
  options.rate = 1e-3;
  options.sequences = 15; /* all of the text */
  hb_trainer *t = open_trainer(&source, &options);
  double before = run_steps(t, 1).loss;
  double after = run_steps(t, 39).loss;
  assert_true(after < 0.3 * before);
  hb_trainer_destroy(t);
  gguf_file_close(&quantized);
  gguf_file_close(&from);
}

/* Runs of 8 steps: in one go, in two with a checkpoint between, and on three threads. */
static void a_run_that_goes_on_ends_with_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const methods[] = {"full", "qat", "e2e-qp"};
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  for (size_t i = 0; i < 6; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0");
    hb_source source = source_of(i / 2 == 0 ? &from : &quantized);
    hb_train_options options = usual_options(methods[i / 2]);
    options.small_moments = i % 2 != 0;
    hb_trainer *whole = open_trainer(&source, &options), *first = open_trainer(&source, &options);
    run_steps(whole, 8);
    run_steps(first, 3);
    gguf_file saved = written(first, hb_trainer_save);
    hb_trainer_destroy(first);
    hb_train_options divided = options;
    divided.parallel = hb_threads_parallel(threads);
    hb_trainer *second = open_trainer(&source, &divided);
    hb_source checkpoint = source_of(&saved);
    if (hb_trainer_restore(second, &checkpoint, &error) != HB_OK) fail_msg("%s", error.message);
    assert_int_equal(hb_trainer_steps(second), 3);
    run_steps(second, 5);
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

static void checkpoints_of_other_runs_are_refused(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  hb_source source = source_of(&from), model = source_of(&from);
  hb_train_options options = usual_options("full");
  hb_error error;
  hb_trainer *t = open_trainer(&source, &options);
  run_steps(t, 2);
  gguf_file saved = written(t, hb_trainer_save);
  hb_source checkpoint = source_of(&saved);
  assert_int_equal(hb_trainer_restore(t, &model, &error), HB_MODEL);
  assert_non_null(strstr(error.message, "no checkpoint"));
  hb_trainer_destroy(t);
  for (int i = 0; i < 5; i++) {
    hb_train_options other = options;
    if (i == 0) other.rate = 1e-3;
    if (i == 1) other.steps = 9;
    if (i == 2) other.seed = 5;
    if (i == 3) tokens[17]++;
    if (i == 4) {
      tokens[17]--;
      ((uint8_t *)gguf_file_data(&from, hb_gguf_tensor_at(from.gguf, 3)))[5]++;
    }
    t = open_trainer(&source, &other);
    assert_int_equal(hb_trainer_restore(t, &checkpoint, &error), HB_MODEL);
    assert_non_null(strstr(error.message, "another run"));
    hb_trainer_destroy(t);
  }
  gguf_file_close(&saved);
  gguf_file_close(&from);
}

/* A weight that is no number spoils the first step, which changes nothing. */
static void numbers_that_are_none_stop_the_run_with_step_and_tensor(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  const hb_tensor *t = hb_gguf_tensor(from.gguf, "blk.0.ffn_up.weight");
  static const uint8_t nan[4] = {0, 0, 0xc0, 0x7f};
  memcpy((uint8_t *)gguf_file_data(&from, t) + 40, nan, 4);
  hb_source source = source_of(&from);
  hb_train_options options = usual_options("full");
  hb_trainer *trainer = open_trainer(&source, &options);
  hb_train_report r;
  hb_error error;
  assert_int_not_equal(hb_trainer_step(trainer, &r, &error), HB_OK);
  assert_non_null(strstr(error.message, ".weight"));
  assert_non_null(strstr(error.message, "step 1"));
  assert_int_equal(hb_trainer_steps(trainer), 0);
  hb_trainer_destroy(trainer);
  gguf_file_close(&from);
}

static void wrong_options_are_refused_by_name(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0"),
            nf4 = quantized_model(&from, "nf4"),
            other = gguf_file_shared("vectors/arch/llama-tied-mha.gguf");
  hb_source source = source_of(&from), small = source_of(&quantized), tables = source_of(&nf4),
            stranger = source_of(&other);
  hb_train_options o = usual_options("slow");
  refuses(&source, &o, "no method of training 'slow'");
  o = usual_options("qat");
  refuses(&source, &o, "this model has none");
  o = usual_options("qat");
  refuses(&tables, &o, "token_embd.weight has NF4: such a model is trained by e2e-qp or lora");
  o = usual_options("full");
  refuses(&small, &o, "token_embd.weight is Q4_0");
  o.rate = NAN;
  refuses(&source, &o, "the rate of training");
  o = usual_options("full");
  o.schedule = "steep";
  refuses(&source, &o, "no schedule 'steep'");
  o = usual_options("full");
  o.teacher = 0.5;
  refuses(&source, &o, "takes the original");
  o.original = &stranger;
  refuses(&source, &o, "the original is another model");
  o = usual_options("full");
  o.length = 1u << 20;
  refuses(&source, &o, "a sequence has 1 to");
  o = usual_options("full");
  o.text.documents = 0;
  refuses(&source, &o, "no text");
  o = usual_options("full");
  tokens[7] = 512;
  refuses(&source, &o, "token 512 of the text is not in 0..511");
  o = usual_options("full");
  start[2] = 3;
  refuses(&source, &o, "document 1 of the text ends before it begins");
  o = usual_options("full");
  o.steps = 0;
  refuses(&source, &o, "0 steps");
  o = usual_options("qat");
  o.damping = 1e5;
  refuses(&small, &o, "the damping of training");
  o = usual_options("e2e-qp");
  o.damping = 3;
  refuses(&small, &o, "damping has no meaning in training by e2e-qp");
  o = usual_options("qat");
  o.tables = 1;
  refuses(&small, &o, "tables has no meaning in training by qat");
  gguf_file_close(&from);
  gguf_file_close(&quantized);
  gguf_file_close(&nf4);
  gguf_file_close(&other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(training_lowers_the_loss),
      cmocka_unit_test(what_is_written_is_what_was_trained),
      cmocka_unit_test(training_begins_with_the_codes_there_are),
      cmocka_unit_test(damping_holds_codes),
      cmocka_unit_test(codes_stay_where_scales_alone_are_trained),
      cmocka_unit_test(a_model_runs_as_it_was_trained),
      cmocka_unit_test(a_teacher_is_followed),
      cmocka_unit_test(a_run_that_goes_on_ends_with_the_same_bits),
      cmocka_unit_test(checkpoints_of_other_runs_are_refused),
      cmocka_unit_test(numbers_that_are_none_stop_the_run_with_step_and_tensor),
      cmocka_unit_test(wrong_options_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
