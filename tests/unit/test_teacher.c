/* Teachers other than the original: of other sizes, and those that learn beside their student
 * (Apprentice's schemes B and A; a_teacher_is_followed in test_trainer.c is C). */
#include "training.h"

#define LARGER "vectors/arch/llama-tied-mha.gguf"
#define OTHER_KIND "vectors/arch/qwen3.gguf"

static void the_original_teaches_as_another_model_would(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), student = quantized_model(&from, "q8_0");
  hb_source source = source_of(&student), teacher = source_of(&from);
  hb_train_options options = usual_options("e2e-qp");
  options.teacher = 0.5;
  options.original = &teacher;
  hb_trainer *t = open_trainer(&source, &options);
  run_steps(t, 8);
  gguf_file a = written(t, hb_trainer_write);
  hb_trainer_destroy(t);
  options.original = NULL;
  options.teacher_model = &teacher;
  t = open_trainer(&source, &options);
  run_steps(t, 8);
  gguf_file b = written(t, hb_trainer_write);
  hb_trainer_destroy(t);
  assert_same_files(&a, &b);
  gguf_file_close(&a);
  gguf_file_close(&b);
  gguf_file_close(&student);
  gguf_file_close(&from);
}

static void a_teacher_of_another_architecture_is_followed(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const methods[] = {"full", "qat"};
  static const char *const teachers[] = {LARGER, OTHER_KIND};
  for (size_t i = 0; i < 4; i++) {
    gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0"),
              other = gguf_file_shared(teachers[i % 2]);
    hb_source source = source_of(i / 2 == 0 ? &from : &quantized), teacher = source_of(&other);
    hb_train_options options = usual_options(methods[i / 2]);
    options.teacher = 1;
    options.teacher_model = &teacher;
    options.steps = 60;
    options.sequences = 15; /* all of the text */
    hb_trainer *t = open_trainer(&source, &options);
    hb_train_report first = run_steps(t, 1), last = run_steps(t, 59);
    assert_true(last.loss < 0.3 * first.loss);
    assert_true(last.teacher == 0);
    hb_trainer_destroy(t);
    gguf_file_close(&from);
    gguf_file_close(&quantized);
    gguf_file_close(&other);
  }
}

/* The parameters that a trainer's checkpoint ends with, before the moments, are those of another
 * one. */
static void assert_ends_with(const gguf_file *saved, const gguf_file *alone) {
  char name[32];
  uint64_t all = hb_gguf_tensor_count(saved->gguf) - 1;
  uint64_t own = hb_gguf_tensor_count(alone->gguf) - 1;
  assert_true(own > 10 && own < all);
  for (uint64_t i = 0; i < own; i++) {
    snprintf(name, sizeof name, "parameter.%u", (unsigned)i);
    const hb_tensor *a = hb_gguf_tensor(alone->gguf, name);
    snprintf(name, sizeof name, "parameter.%u", (unsigned)(all - own + i));
    const hb_tensor *b = hb_gguf_tensor(saved->gguf, name);
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(gguf_file_data(alone, a), gguf_file_data(saved, b), a->bytes);
  }
}

static void a_teacher_that_learns_learns_as_it_would_alone(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q2_k"),
            other = gguf_file_shared(LARGER);
  hb_source source = source_of(&quantized), teacher = source_of(&other);
  hb_train_options options = usual_options("full");
  options.clip = -1; /* the norm is that of both models */
  options.accumulate = 2;
  options.z = 1e-3;
  hb_trainer *alone = open_trainer(&teacher, &options);
  hb_train_report expected = run_steps(alone, 8);
  gguf_file a = written(alone, hb_trainer_save);
  hb_trainer_destroy(alone);
  options.method = "qat";
  options.teacher = 0.5;
  options.teacher_model = &teacher;
  options.joint = 1;
  for (int recompute = 0; recompute < 2; recompute++) {
    options.recompute = recompute;
    hb_trainer *t = open_trainer(&source, &options);
    hb_train_report got = run_steps(t, 8);
    gguf_file b = written(t, hb_trainer_save);
    assert_true(got.teacher == expected.entropy);
    assert_true(got.entropy != expected.entropy);
    assert_ends_with(&b, &a);
    hb_trainer_destroy(t);
    gguf_file_close(&b);
  }
  gguf_file_close(&a);
  gguf_file_close(&from);
  gguf_file_close(&quantized);
  gguf_file_close(&other);
}

static void a_student_learns_from_what_its_teacher_has_learnt(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0"),
            other = gguf_file_shared(LARGER);
  hb_source source = source_of(&quantized), teacher = source_of(&other);
  hb_train_options options = usual_options("qat");
  double entropy[2];
  options.teacher = 1; /* it is told nothing of the text itself */
  options.teacher_model = &teacher;
  options.steps = 100;
  options.sequences = 15; /* all of the text */
  for (int joint = 0; joint < 2; joint++) {
    options.joint = joint;
    hb_trainer *t = open_trainer(&source, &options);
    run_steps(t, 100);
    entropy[joint] = entropy_of(t);
    hb_trainer_destroy(t);
  }
  assert_true(entropy[1] < 0.5 * entropy[0]);
  gguf_file_close(&from);
  gguf_file_close(&quantized);
  gguf_file_close(&other);
}

static void a_joint_run_that_goes_on_ends_with_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  gguf_file from = gguf_file_shared(MODEL), quantized = quantized_model(&from, "q4_0"),
            other = gguf_file_shared(LARGER);
  hb_source source = source_of(&quantized), teacher = source_of(&other);
  static const char *const methods[] = {"qat", "lora"};
  for (size_t i = 0; i < 2; i++) {
    hb_train_options options = usual_options(methods[i]);
    options.teacher = 0.7;
    options.teacher_model = &teacher;
    options.joint = 1;
    hb_trainer *whole = open_trainer(&source, &options), *first = open_trainer(&source, &options);
    run_steps(whole, 8);
    run_steps(first, 3);
    gguf_file saved = written(first, hb_trainer_save);
    hb_trainer_destroy(first);
    options.parallel = hb_threads_parallel(threads);
    hb_trainer *second = open_trainer(&source, &options);
    hb_source checkpoint = source_of(&saved);
    if (hb_trainer_restore(second, &checkpoint, &error) != HB_OK) fail_msg("%s", error.message);
    run_steps(second, 5);
    gguf_file a = written(whole, hb_trainer_save), b = written(second, hb_trainer_save);
    assert_same_files(&a, &b);
    hb_trainer_destroy(whole);
    hb_trainer_destroy(second);
    gguf_file_close(&a);
    gguf_file_close(&b);
    gguf_file_close(&saved);
  }
  gguf_file_close(&from);
  gguf_file_close(&quantized);
  gguf_file_close(&other);
  hb_threads_destroy(threads);
}

/* A copy in which the token <0x05> is <0x9>. */
static gguf_file with_another_token(const gguf_file *from) {
  uint8_t *copy = malloc(from->size);
  size_t at = 0;
  assert_non_null(copy);
  memcpy(copy, from->bytes, from->size);
  while (at + 6 < from->size && memcmp(copy + at, "<0x05>", 6) != 0) at++;
  assert_true(at + 6 < from->size);
  copy[at + 4] = '9';
  return gguf_file_of(copy, from->size);
}

static void teachers_that_do_not_fit_are_refused(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), changed = with_another_token(&from);
  hb_source source = source_of(&from), teacher = source_of(&changed);
  hb_train_options o = usual_options("full");
  o.teacher_model = &source;
  refuses(&source, &o, "a teacher has to have a part of the loss");
  o = usual_options("full");
  o.joint = 1;
  refuses(&source, &o, "to train jointly takes a teacher");
  o = usual_options("full");
  o.teacher = 0.5;
  refuses(&source, &o, "takes the original model, or another one");
  o.teacher_model = &teacher;
  refuses(&source, &o, "the teacher's token 8 is another one");
  gguf_file_close(&changed);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_original_teaches_as_another_model_would),
      cmocka_unit_test(a_teacher_of_another_architecture_is_followed),
      cmocka_unit_test(a_teacher_that_learns_learns_as_it_would_alone),
      cmocka_unit_test(a_student_learns_from_what_its_teacher_has_learnt),
      cmocka_unit_test(a_joint_run_that_goes_on_ends_with_the_same_bits),
      cmocka_unit_test(teachers_that_do_not_fit_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
