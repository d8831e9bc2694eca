/* The rate of each step: its warm-up, its fall and its end. */
#include "support.h"

#include "train/schedule.h"

#include <math.h>

static void the_warm_up_rises_in_equal_parts(void **state) {
  (void)state;
  for (int kind = HB_SCHEDULE_CONSTANT; kind <= HB_SCHEDULE_COSINE; kind++) {
    hb_schedule s = {(hb_schedule_kind)kind, 0.5f, 0.1f, 4, 100};
    assert_true(hb_schedule_rate(&s, 0) == 0.125f);
    assert_true(hb_schedule_rate(&s, 1) == 0.25f);
    assert_true(hb_schedule_rate(&s, 3) == 0.5f);
    assert_true(hb_schedule_rate(&s, 4) == 0.5f);
  }
}

static void a_constant_rate_stays(void **state) {
  (void)state;
  hb_schedule s = {HB_SCHEDULE_CONSTANT, 0.3f, 0.1f, 0, 10};
  for (uint64_t step = 0; step < 20; step++) assert_true(hb_schedule_rate(&s, step) == 0.3f);
}

static void rates_fall_to_their_last_part(void **state) {
  (void)state;
  for (int kind = HB_SCHEDULE_LINEAR; kind <= HB_SCHEDULE_COSINE; kind++) {
    hb_schedule s = {(hb_schedule_kind)kind, 2.0f, 0.05f, 20, 120};
    float before = hb_schedule_rate(&s, 19);
    for (uint64_t step = 20; step <= 130; step++) {
      double part = step < 120 ? (double)(step - 20) / 100 : 1;
      double down = kind == HB_SCHEDULE_LINEAR ? part : 0.5 - 0.5 * cos(part * acos(-1.0));
      float rate = hb_schedule_rate(&s, step);
      assert_true(fabs(rate - 2 * (1 - 0.95 * down)) < 1e-6);
      assert_true(rate <= before);
      before = rate;
    }
    assert_true(fabs(before - 0.1) < 1e-7);
    assert_true(hb_schedule_rate(&s, UINT64_MAX) == before);
    assert_true(fabs(hb_schedule_rate(&s, 70) - 1.05) < 1e-6);
  }
}

static void a_training_may_be_all_warm_up_or_nothing(void **state) {
  (void)state;
  hb_schedule s = {HB_SCHEDULE_COSINE, 1.0f, 0.5f, 3, 3};
  assert_int_equal(hb_schedule_check(&s, NULL), HB_OK);
  assert_true(hb_schedule_rate(&s, 2) == 1.0f && hb_schedule_rate(&s, 3) == 0.5f);
  s.warmup = s.steps = 0;
  assert_int_equal(hb_schedule_check(&s, NULL), HB_OK);
  assert_true(hb_schedule_rate(&s, 0) == 0.5f);
}

static void what_is_no_schedule_is_refused(void **state) {
  (void)state;
  static const struct {
    hb_schedule schedule;
    const char *message;
  } cases[] = {
      {{HB_SCHEDULE_COSINE, -1.0f, 0.1f, 1, 9}, "the learning rate must be 0 or more"},
      {{HB_SCHEDULE_COSINE, NAN, 0.1f, 1, 9}, "the learning rate must be 0 or more"},
      {{HB_SCHEDULE_COSINE, INFINITY, 0.1f, 1, 9}, "the learning rate must be 0 or more"},
      {{HB_SCHEDULE_COSINE, 1.0f, 1.5f, 1, 9},
       "the part of the learning rate that is left at the end must be 0 to 1"},
      {{HB_SCHEDULE_COSINE, 1.0f, 0.1f, 10, 9},
       "the warm-up of 10 steps is longer than the training of 9"},
      {{(hb_schedule_kind)7, 1.0f, 0.1f, 1, 9}, "a schedule is constant, linear or cosine"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_error error = {0};
    assert_int_equal(hb_schedule_check(&cases[i].schedule, &error), HB_ARGUMENT);
    assert_string_equal(error.message, cases[i].message);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_warm_up_rises_in_equal_parts),
      cmocka_unit_test(a_constant_rate_stays),
      cmocka_unit_test(rates_fall_to_their_last_part),
      cmocka_unit_test(a_training_may_be_all_warm_up_or_nothing),
      cmocka_unit_test(what_is_no_schedule_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
