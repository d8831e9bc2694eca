/* Sessions: the same bits however a text is cut into steps, who computes it and what runs beside
 * it. */
#include "support.h"

#define MODEL "vectors/quant/Q4_0.gguf"
enum { VOCABULARY = 512, TOKENS = 70 };

static hb_model *model;

static int load(void **state) {
  (void)state;
  if (shared_path(MODEL)) model = load_shared(MODEL, hb_isa_best());
  return 0;
}

static int unload(void **state) {
  (void)state;
  hb_model_destroy(model);
  return 0;
}

static hb_token token_at(size_t i) {
  return (hb_token)((i * 37 + 11) % VOCABULARY);
}

static hb_session *open_session(uint32_t context, uint32_t batch, const hb_parallel *parallel) {
  hb_session *session;
  hb_error error;
  hb_session_options options = {
      .context_length = context, .batch = batch, .parallel = parallel, .logit_rows = TOKENS};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  return session;
}

/* Appends tokens first .. first + count - 1, keeping all logits in out[TOKENS][VOCABULARY]. */
static void append(hb_session *session, size_t first, size_t count, float *out) {
  hb_row rows[TOKENS];
  hb_error error;
  for (size_t i = 0; i < count; i++) rows[i] = (hb_row){session, token_at(first + i), 1};
  assert_int_equal(hb_step(session, rows, count, &error), HB_OK);
  for (size_t i = 0; i < count; i++)
    memcpy(out + (first + i) * VOCABULARY, hb_session_logits(session, i), VOCABULARY * sizeof *out);
}

static float *logits_whole(void) {
  static float out[TOKENS * VOCABULARY];
  hb_session *session = open_session(TOKENS, TOKENS, NULL);
  append(session, 0, TOKENS, out);
  hb_session_destroy(session);
  return out;
}

static void a_text_in_pieces_gives_the_bits_of_the_whole(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static float out[TOKENS * VOCABULARY];
  const float *whole = logits_whole();
  for (size_t piece = 1; piece < TOKENS; piece += piece < 6 ? 1 : 13) {
    hb_session *session = open_session(TOKENS, 7, NULL);
    for (size_t i = 0; i < TOKENS; i += piece)
      append(session, i, i + piece <= TOKENS ? piece : TOKENS - i, out);
    hb_session_destroy(session);
    assert_memory_equal(out, whole, sizeof out);
  }
}

static void rewinding_and_appending_again_gives_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static float out[TOKENS * VOCABULARY];
  hb_session *session = open_session(TOKENS, 16, NULL);
  append(session, 0, 60, out);
  assert_int_equal(hb_session_rewind(session, 61), HB_ARGUMENT);
  assert_int_equal(hb_session_rewind(session, 33), HB_OK);
  assert_int_equal(hb_session_position(session), 33);
  assert_null(hb_session_logits(session, 0));
  append(session, 33, TOKENS - 33, out);
  hb_session_destroy(session);
  assert_memory_equal(out, logits_whole(), sizeof out);
}

static void rows_of_many_sessions_in_one_step_do_not_mix(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  const float *whole = logits_whole();
  hb_session *sessions[3];
  hb_row rows[3];
  hb_error error;
  for (size_t s = 0; s < 3; s++) sessions[s] = open_session(TOKENS, 4, NULL);
  for (size_t i = 0; i < 40; i++) {
    for (size_t s = 0; s < 3; s++) rows[s] = (hb_row){sessions[s], token_at(i), s != 1};
    assert_int_equal(hb_step(sessions[2], rows, 3, &error), HB_OK);
    const float *first = hb_session_logits(sessions[2], 0);
    const float *second = hb_session_logits(sessions[2], 1);
    assert_null(hb_session_logits(sessions[2], 2));
    assert_memory_equal(first, whole + i * VOCABULARY, VOCABULARY * sizeof *whole);
    assert_memory_equal(second, whole + i * VOCABULARY, VOCABULARY * sizeof *whole);
  }
  for (size_t s = 0; s < 3; s++) hb_session_destroy(sessions[s]);
}

static void rows_whose_logits_nobody_wants_change_nothing(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  const float *whole = logits_whole();
  hb_error error;
  hb_threads *pool;
  assert_int_equal(hb_threads_create(2, &pool, &error), HB_OK);
  hb_parallel parallel = *hb_threads_parallel(pool);
  parallel.least_work = 0;
  for (size_t every = 2; every < TOKENS; every *= 3) {
    hb_session *session = open_session(TOKENS, TOKENS, &parallel);
    hb_row rows[TOKENS];
    for (size_t i = 0; i < TOKENS; i++)
      rows[i] = (hb_row){session, token_at(i), i % every == every - 1};
    assert_int_equal(hb_step(session, rows, TOKENS, &error), HB_OK);
    for (size_t i = every - 1, wanted = 0; i < TOKENS; i += every, wanted++)
      assert_memory_equal(hb_session_logits(session, wanted), whole + i * VOCABULARY,
                          VOCABULARY * sizeof *whole);
    hb_session_destroy(session);
  }
  hb_threads_destroy(pool);
}

static void threads_do_not_change_a_bit(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static float out[TOKENS * VOCABULARY];
  hb_error error;
  for (uint32_t threads = 2; threads <= 5; threads += 3) {
    hb_threads *pool;
    assert_int_equal(hb_threads_create(threads, &pool, &error), HB_OK);
    hb_parallel parallel = *hb_threads_parallel(pool);
    parallel.least_work = 0;
    parallel.clock = NULL;
    hb_session *session = open_session(TOKENS, TOKENS, &parallel);
    append(session, 0, 50, out);
    for (size_t i = 50; i < TOKENS; i++) append(session, i, 1, out);
    hb_session_destroy(session);
    hb_threads_destroy(pool);
    assert_memory_equal(out, logits_whole(), sizeof out);
  }
}

static void every_instruction_set_gives_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static float out[TOKENS * VOCABULARY];
  hb_model *best = model;
  const float *whole = logits_whole();
  for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++) {
    if (!hb_isa_available((hb_isa)isa)) continue;
    model = load_shared(MODEL, (hb_isa)isa);
    hb_session *session = open_session(TOKENS, TOKENS, NULL);
    append(session, 0, TOKENS, out);
    hb_session_destroy(session);
    hb_model_destroy(model);
    assert_memory_equal(out, whole, sizeof out);
  }
  model = best;
}

static void a_full_context_is_an_error_and_moves_nothing(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *session = open_session(10, 4, NULL);
  hb_token tokens[TOKENS];
  hb_error error;
  for (size_t i = 0; i < TOKENS; i++) tokens[i] = token_at(i);
  assert_int_equal(hb_session_append(session, tokens, 11, &error), HB_CONTEXT_FULL);
  assert_int_equal(hb_session_position(session), 0);
  assert_int_equal(hb_session_append(session, tokens, 10, &error), HB_OK);
  assert_int_equal(hb_session_append(session, tokens, 1, &error), HB_CONTEXT_FULL);
  assert_int_equal(hb_session_position(session), 10);
  hb_session_destroy(session);
}

static void a_token_outside_the_vocabulary_is_an_error_and_moves_nothing(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *session = open_session(64, 4, NULL);
  hb_error error;
  hb_token tokens[] = {1, 2, 3, 4, 5, VOCABULARY};
  assert_int_equal(hb_session_append(session, tokens, 6, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "512"));
  assert_int_equal(hb_session_position(session), 0);
  tokens[5] = -1;
  assert_int_equal(hb_session_append(session, tokens, 6, &error), HB_ARGUMENT);
  hb_session_destroy(session);
}

/* ---- Memory ---- */

typedef struct counter {
  uint64_t bytes;
} counter;

static void *counting_allocate(void *context, size_t size, size_t alignment) {
  ((counter *)context)->bytes += size;
  return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void counting_release(void *context, void *block, size_t size) {
  ((counter *)context)->bytes -= size;
  free(block);
}

static void the_memory_of_a_session_is_known_before_it_is_made(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  counter count = {0};
  hb_allocator allocator = {&count, counting_allocate, counting_release};
  hb_error error;
  for (uint32_t context = 1; context < 3000; context = context * 3 + 1) {
    hb_session_options options = {
        .allocator = &allocator, .context_length = context, .batch = context % 50 + 1};
    uint64_t planned;
    hb_session *session;
    assert_int_equal(hb_session_memory(model, &options, &planned, &error), HB_OK);
    assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
    assert_int_equal(count.bytes, planned);
    hb_session_destroy(session);
    assert_int_equal(count.bytes, 0);
  }
}

/* Counts that threads were asked for, and asks none. */
static void count_run(void *context, void (*work)(void *argument, uint32_t index), void *argument) {
  (void)work, (void)argument;
  ++*(int *)context;
}

static void a_step_of_less_than_least_work_does_not_leave_the_caller(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_model_info info;
  hb_model_get_info(model, &info);
  int runs = 0;
  hb_parallel parallel = {&runs, 2, count_run, NULL, 2 * info.weight_bytes, NULL};
  hb_session *session = open_session(TOKENS, 0, &parallel);
  static float out[TOKENS * VOCABULARY];
  append(session, 0, 1, out);
  assert_int_equal(runs, 0);
  append(session, 1, 2, out);
  assert_int_equal(runs, 1);
  hb_session_destroy(session);
}

/* A time that passes only while threads work. */
static int slow_runs;

static double slow_clock(void *context) {
  (void)context;
  return slow_runs;
}

static void threads_that_prove_slow_are_seldom_asked(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  slow_runs = 0;
  hb_parallel parallel = {&slow_runs, 2, count_run, NULL, 0, slow_clock};
  hb_session *session = open_session(TOKENS, 0, &parallel);
  static float out[TOKENS * VOCABULARY];
  for (size_t i = 0; i < TOKENS; i++) append(session, i, 1, out);
  assert_in_range(slow_runs, 1, TOKENS / 4);
  hb_session_destroy(session);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_that_prove_slow_are_seldom_asked),
      cmocka_unit_test(a_text_in_pieces_gives_the_bits_of_the_whole),
      cmocka_unit_test(rewinding_and_appending_again_gives_the_same_bits),
      cmocka_unit_test(rows_of_many_sessions_in_one_step_do_not_mix),
      cmocka_unit_test(rows_whose_logits_nobody_wants_change_nothing),
      cmocka_unit_test(threads_do_not_change_a_bit),
      cmocka_unit_test(every_instruction_set_gives_the_same_bits),
      cmocka_unit_test(a_full_context_is_an_error_and_moves_nothing),
      cmocka_unit_test(a_token_outside_the_vocabulary_is_an_error_and_moves_nothing),
      cmocka_unit_test(the_memory_of_a_session_is_known_before_it_is_made),
      cmocka_unit_test(a_step_of_less_than_least_work_does_not_leave_the_caller),
  };
  return cmocka_run_group_tests(tests, load, unload);
}
