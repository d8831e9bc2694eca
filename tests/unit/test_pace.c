/* The choice between one thread and all, on machines whose speed is known. */
#include "support.h"

#include "model/pace.h"

enum { STEPS = 2000 };

/* Lets the pace choose `steps` times; returns how often it chose all threads. */
static int run(hb_pace *pace, int steps, double alone, double together) {
  int chosen = 0;
  for (int i = 0; i < steps; i++) {
    bool all = hb_pace_together(pace);
    hb_pace_note(pace, all, all ? together : alone);
    chosen += all;
  }
  return chosen;
}

static void the_faster_way_is_taken_nearly_always(void **state) {
  (void)state;
  hb_pace slow_threads = {0}, fast_threads = {0};
  assert_in_range(run(&slow_threads, STEPS, 1, 10), 1, STEPS / 50);
  assert_in_range(run(&fast_threads, STEPS, 1, 0.6), STEPS - STEPS / 50, STEPS - 1);
}

static void the_slower_way_is_tried_ever_more_seldom(void **state) {
  (void)state;
  hb_pace pace = {0};
  int early = run(&pace, STEPS, 1, 10), late = run(&pace, STEPS, 1, 10);
  assert_true(0 < late && late < early);
}

static void one_interruption_changes_nothing(void **state) {
  (void)state;
  hb_pace pace = {0};
  run(&pace, 100, 1, 0.5);
  hb_pace_note(&pace, true, 2);
  assert_true(hb_pace_together(&pace));
}

static void a_machine_that_becomes_busy_is_noticed_at_once(void **state) {
  (void)state;
  hb_pace pace = {0};
  run(&pace, 100, 1, 0.5);
  assert_in_range(run(&pace, 10, 1, 10), 1, 2);
}

static void a_machine_that_becomes_idle_is_noticed_in_the_end(void **state) {
  (void)state;
  hb_pace pace = {0};
  run(&pace, STEPS, 1, 10);
  run(&pace, STEPS, 1, 0.5);
  assert_in_range(run(&pace, 100, 1, 0.5), 98, 100);
}

static void threads_that_have_to_be_woken_are_tried_twice(void **state) {
  (void)state;
  hb_pace pace = {0};
  run(&pace, 100, 1, 10);
  while (!hb_pace_together(&pace)) hb_pace_note(&pace, false, 1);
  hb_pace_note(&pace, true, 10);
  assert_true(hb_pace_together(&pace));
  hb_pace_note(&pace, true, 0.5);
  assert_true(hb_pace_together(&pace));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_faster_way_is_taken_nearly_always),
      cmocka_unit_test(the_slower_way_is_tried_ever_more_seldom),
      cmocka_unit_test(one_interruption_changes_nothing),
      cmocka_unit_test(a_machine_that_becomes_busy_is_noticed_at_once),
      cmocka_unit_test(a_machine_that_becomes_idle_is_noticed_in_the_end),
      cmocka_unit_test(threads_that_have_to_be_woken_are_tried_twice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
