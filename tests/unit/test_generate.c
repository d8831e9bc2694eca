/* Generating text: golden text, stop strings, ends, whole characters. */
#include "support.h"

#define MODEL "models/stories260K/stories260K-f32.gguf"
enum { CONTEXT = 300, MAX_TEXT = 4096, BOS = 1 };

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

static hb_generate_options plain_options(uint32_t max_tokens) {
  return (hb_generate_options){.sampler = hb_sampler_defaults(), .max_tokens = max_tokens};
}

static hb_session *open_session(uint32_t context) {
  hb_session *session;
  hb_session_options options = {.context_length = context};
  const hb_token bos = BOS;
  assert_int_equal(hb_session_create(model, &options, &session, NULL), HB_OK);
  assert_int_equal(hb_session_append(session, &bos, 1, NULL), HB_OK);
  return session;
}

static hb_generator *open_generator(hb_session *session, const hb_generate_options *options) {
  hb_generator *g;
  hb_error error = {0};
  if (hb_generator_create(session, options, &g, &error) != HB_OK) fail_msg("%s", error.message);
  return g;
}

/* What a whole generation brought. */
typedef struct story {
  char text[MAX_TEXT];
  size_t length;
  hb_token tokens[CONTEXT];
  size_t count;
  hb_finish finish;
} story;

/* Are these bytes whole characters? Their lead bytes tell how many bytes must follow. */
static bool whole_characters(hb_string s) {
  for (size_t i = 0; i < s.length;) {
    uint8_t c = (uint8_t)s.data[i++];
    int more = c < 0x80 ? 0 : c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : -1;
    if (more < 0 || c >= 0xf5) return false;
    for (; more > 0; more--)
      if (i == s.length || ((uint8_t)s.data[i++] & 0xc0) != 0x80) return false;
  }
  return true;
}

static void tell(hb_session *session, const hb_generate_options *options, story *out) {
  hb_generator *g = open_generator(session, options);
  hb_error error = {0};
  *out = (story){0};
  while (out->finish == HB_FINISH_NONE) {
    hb_piece piece;
    if (hb_generator_next(g, &piece, &error) != HB_OK) fail_msg("%s", error.message);
    assert_true(whole_characters(piece.text));
    assert_true(out->length + piece.text.length < sizeof out->text);
    memcpy(out->text + out->length, piece.text.data, piece.text.length);
    out->length += piece.text.length;
    if (piece.token != HB_NO_TOKEN) out->tokens[out->count++] = piece.token;
    assert_true(piece.logprob <= 0);
    out->finish = piece.finish;
  }
  hb_piece piece;
  assert_int_equal(hb_generator_next(g, &piece, &error), HB_STATE);
  hb_generator_destroy(g);
}

static story tell_anew(const hb_generate_options *options) {
  story s;
  hb_session *session = open_session(CONTEXT);
  tell(session, options, &s);
  hb_session_destroy(session);
  return s;
}

/* ---- Text ---- */

static void the_golden_story_is_told(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  size_t size;
  char *expected = (char *)read_shared("models/stories260K/expected_greedy_200.txt", &size);
  hb_generate_options options = plain_options(200);
  story s = tell_anew(&options);
  assert_int_equal(s.finish, HB_FINISH_LENGTH);
  assert_int_equal(s.count, 200);
  if (size > 0 && expected[size - 1] == '\n') size--;
  assert_int_equal(s.length, size);
  assert_memory_equal(s.text, expected, size);
  free(expected);
}

static void characters_come_out_whole_whatever_is_sampled(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_generate_options options = plain_options(250);
  options.ignore_end = 1;
  options.sampler.temperature = 1000; /* any token, half of them single bytes */
  for (uint64_t seed = 0; seed < 20; seed++) {
    options.sampler.seed = seed;
    story s = tell_anew(&options); /* checks each piece */
    assert_int_equal(s.count, 250);
  }
}

/* The detokenizer removes the space that begins a text, but only there. */
static void a_generation_that_goes_on_keeps_its_first_space(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_generate_options options = plain_options(40);
  story whole = tell_anew(&options);
  for (size_t cut = 1; cut < 40; cut++) {
    hb_session *session = open_session(CONTEXT);
    story first, second;
    options.max_tokens = (uint32_t)cut;
    tell(session, &options, &first);
    hb_token last = first.tokens[cut - 1]; /* sampled, but not yet in the session */
    assert_int_equal(hb_session_append(session, &last, 1, NULL), HB_OK);
    options.max_tokens = (uint32_t)(40 - cut);
    tell(session, &options, &second);
    hb_session_destroy(session);
    assert_int_equal(first.length + second.length, whole.length);
    assert_memory_equal(whole.text, first.text, first.length);
    assert_memory_equal(whole.text + first.length, second.text, second.length);
  }
}

static void the_prompt_counts_for_the_penalties(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_generate_options options = plain_options(1);
  options.sampler.presence_penalty = 100;
  hb_session *session = open_session(CONTEXT);
  story s;
  tell(session, &options, &s);
  hb_generator *g = open_generator(session, &options);
  hb_piece piece;
  hb_generator_accept(g, s.tokens, 1);
  hb_session_rewind(session, 0);
  const hb_token bos = BOS;
  assert_int_equal(hb_session_append(session, &bos, 1, NULL), HB_OK);
  assert_int_equal(hb_generator_next(g, &piece, NULL), HB_OK);
  assert_int_not_equal(piece.token, s.tokens[0]);
  hb_generator_destroy(g);
  hb_session_destroy(session);
}

/* ---- Stop strings ---- */

/* Where the first of the stops begins in the text, or its length. */
static size_t first_stop(const story *s, const hb_string *stops, size_t count) {
  for (size_t at = 0; at < s->length; at++)
    for (size_t i = 0; i < count; i++)
      if (stops[i].length <= s->length - at &&
          memcmp(s->text + at, stops[i].data, stops[i].length) == 0)
        return at;
  return s->length;
}

static void check_stops(const story *whole, const hb_string *stops, size_t count) {
  hb_generate_options options = plain_options(40);
  options.stop = stops;
  options.stop_count = count;
  story s = tell_anew(&options);
  size_t expected = first_stop(whole, stops, count);
  assert_int_equal(s.length, expected);
  assert_memory_equal(s.text, whole->text, expected);
  assert_int_equal(s.finish, expected < whole->length ? HB_FINISH_STOP : HB_FINISH_LENGTH);
}

static void text_ends_before_the_first_stop_string(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_generate_options options = plain_options(40);
  story whole = tell_anew(&options);
  assert_true(whole.length > 80);
  for (size_t at = 0; at < 60; at += 3) {
    hb_string stop = {whole.text + at, 1 + at % 17};
    check_stops(&whole, &stop, 1);
  }
  const hb_string last = {whole.text + whole.length - 4, 4};
  check_stops(&whole, &last, 1);
}

static void what_only_begins_like_a_stop_string_is_given_out_later(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_generate_options options = plain_options(40);
  story whole = tell_anew(&options);
  char almost[8][40];
  hb_string stops[8];
  for (size_t i = 0; i < 8; i++) {
    size_t length = 2 + 4 * i;
    memcpy(almost[i], whole.text + 5 * i, length);
    almost[i][length - 1] = '#';
    stops[i] = (hb_string){almost[i], length};
    check_stops(&whole, &stops[i], 1);
  }
  check_stops(&whole, stops, 8);
  const hb_string two[] = {{"little girl named Bob", 21}, {"girl", 4}};
  check_stops(&whole, two, 2);
}

static void stop_strings_are_copied_and_checked(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *session = open_session(CONTEXT);
  hb_generate_options options = plain_options(40);
  hb_error error;
  hb_generator *g;
  char text[] = "time";
  hb_string stop = {text, 4};
  options.stop = &stop;
  options.stop_count = 1;
  g = open_generator(session, &options);
  memset(text, '#', 4);
  stop.length = 0;
  hb_piece piece = {0};
  while (piece.finish == HB_FINISH_NONE)
    assert_int_equal(hb_generator_next(g, &piece, NULL), HB_OK);
  assert_int_equal(piece.finish, HB_FINISH_STOP);
  hb_generator_destroy(g);
  assert_int_equal(hb_generator_create(session, &options, &g, &error), HB_ARGUMENT);
  assert_null(g);
  stop.length = 1 << 20;
  assert_int_equal(hb_generator_create(session, &options, &g, &error), HB_ARGUMENT);
  options.stop_count = 1000;
  assert_int_equal(hb_generator_create(session, &options, &g, &error), HB_ARGUMENT);
  options.stop_count = 1;
  options.stop = NULL;
  assert_int_equal(hb_generator_create(session, &options, &g, &error), HB_ARGUMENT);
  hb_session_destroy(session);
}

/* ---- Ends ---- */

static void a_full_context_ends_with_all_text_given(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_generate_options options = plain_options(0);
  story long_story, s;
  hb_session *session = open_session(CONTEXT);
  options.max_tokens = 30;
  tell(session, &options, &long_story);
  hb_session_destroy(session);
  session = open_session(30);
  options.max_tokens = 0;
  tell(session, &options, &s);
  assert_int_equal(s.finish, HB_FINISH_CONTEXT);
  assert_int_equal(hb_session_position(session), 30);
  assert_int_equal(s.count, 30); /* the last one needs no position */
  assert_int_equal(s.length, long_story.length);
  assert_memory_equal(s.text, long_story.text, s.length);
  hb_session_destroy(session);
}

static void an_end_token_ends_unless_it_is_ignored(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_tokenizer_info info;
  hb_tokenizer_get_info(hb_model_tokenizer(model), &info);
  const hb_logit_bias bias = {info.eos, 1000};
  hb_generate_options options = plain_options(5);
  options.sampler.biases = &bias;
  options.sampler.bias_count = 1;
  story s = tell_anew(&options);
  assert_int_equal(s.finish, HB_FINISH_STOP);
  assert_int_equal(s.count, 1);
  assert_int_equal(s.tokens[0], info.eos);
  assert_int_equal(s.length, 0);
  options.ignore_end = 1;
  s = tell_anew(&options);
  assert_int_equal(s.finish, HB_FINISH_LENGTH);
  assert_int_equal(s.count, 5);
}

static void a_session_without_logits_cannot_be_continued(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *session;
  hb_session_options session_options = {.context_length = 8};
  hb_generate_options options = plain_options(5);
  hb_error error;
  hb_piece piece;
  hb_generator *g;
  assert_int_equal(hb_session_create(model, &session_options, &session, NULL), HB_OK);
  g = open_generator(session, &options);
  assert_int_equal(hb_generator_next(g, &piece, &error), HB_STATE);
  assert_int_equal(piece.token, HB_NO_TOKEN);
  assert_int_equal(piece.text.length, 0);
  hb_generator_destroy(g);
  hb_session_destroy(session);
  assert_int_equal(hb_generator_create(NULL, &options, &g, &error), HB_ARGUMENT);
  hb_generator_destroy(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_golden_story_is_told),
      cmocka_unit_test(characters_come_out_whole_whatever_is_sampled),
      cmocka_unit_test(a_generation_that_goes_on_keeps_its_first_space),
      cmocka_unit_test(the_prompt_counts_for_the_penalties),
      cmocka_unit_test(text_ends_before_the_first_stop_string),
      cmocka_unit_test(what_only_begins_like_a_stop_string_is_given_out_later),
      cmocka_unit_test(stop_strings_are_copied_and_checked),
      cmocka_unit_test(a_full_context_ends_with_all_text_given),
      cmocka_unit_test(an_end_token_ends_unless_it_is_ignored),
      cmocka_unit_test(a_session_without_logits_cannot_be_continued),
  };
  return cmocka_run_group_tests(tests, load, unload);
}
