/* Generating text: golden text, stop strings, ends, whole characters. Everything is tried on the
 * default model, and on the one of the golden text where the shared data are there. */
#include "support.h"

#include <cjson/cJSON.h>
#include <math.h>

#define STORIES "models/stories260K/stories260K-f32.gguf"
#define TALES "examples/models/tales-5.8m-q4_0.gguf"
#define NO_TOKENIZER "tests/fuzz/seeds/model/ok-no-tokenizer"
enum { CONTEXT = 300, MAX_TEXT = 8192, BOS = 1 };

static hb_model *model; /* NULL where there are no shared data */

static hb_model *load_path(const char *path) {
  size_t size;
  hb_error error = {0};
  hb_model *loaded;
  uint8_t *bytes = read_file(path, &size);
  if (load_bytes(bytes, size, hb_isa_best(), &loaded, &error) != HB_OK)
    fail_msg("%s: %s", path, error.message);
  free(bytes);
  return loaded;
}

static int load_tales(void **state) {
  (void)state;
  model = load_path(TALES);
  return 0;
}

static int load_stories(void **state) {
  (void)state;
  model = shared_path(STORIES) ? load_shared(STORIES, hb_isa_best()) : NULL;
  return 0;
}

static int unload(void **state) {
  (void)state;
  hb_model_destroy(model);
  model = NULL;
  return 0;
}

/* Ends the test as skipped where the model is missing; only that of the shared data can be. */
#define NEED_MODEL()                                                                               \
  do {                                                                                             \
    if (!model) NEED_SHARED(STORIES);                                                              \
  } while (0)

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

/* Are these bytes UTF-8, whole and in the shortest form, without surrogates? */
static bool whole_characters(hb_string s) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  for (size_t i = 0; i < s.length;) {
    uint8_t lead = (uint8_t)s.data[i++];
    int more = lead < 0x80 ? 0 : lead < 0xc0 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (more < 0 || lead >= 0xf8) return false;
    uint32_t c = more == 0 ? lead : lead & (0x3fu >> more);
    for (int k = 0; k < more; k++) {
      if (i == s.length || ((uint8_t)s.data[i] & 0xc0) != 0x80) return false;
      c = c << 6 | ((uint8_t)s.data[i++] & 0x3f);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
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
    assert_true(piece.logprob == 0);
    out->finish = piece.finish;
  }
  for (int again = 0; again < 2; again++) {
    hb_piece piece;
    assert_int_equal(hb_generator_next(g, &piece, &error), HB_STATE);
    assert_string_equal(error.message, "the generation has finished");
    assert_int_equal(piece.text.length, 0);
    assert_int_equal(piece.token, HB_NO_TOKEN);
  }
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
  NEED_MODEL();
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

static void the_golden_tokens_are_chosen(void **state) {
  (void)state;
  NEED_MODEL();
  size_t size;
  char *text = (char *)read_shared("models/stories260K/expected_greedy_ids.json", &size);
  cJSON *json = cJSON_ParseWithLength(text, size);
  const cJSON *prompt = cJSON_GetObjectItem(json, "prompt_ids");
  const cJSON *expected = cJSON_GetObjectItem(json, "greedy_ids"), *token;
  assert_int_equal(cJSON_GetArraySize(prompt), 1);
  assert_int_equal(cJSON_GetNumberValue(prompt->child), BOS);
  int count = cJSON_GetArraySize(expected);
  assert_in_range(count, 100, CONTEXT - 1);
  hb_generate_options options = plain_options((uint32_t)count);
  story s = tell_anew(&options);
  assert_int_equal(s.count, count);
  count = 0;
  cJSON_ArrayForEach(token, expected)
      assert_int_equal(s.tokens[count++], cJSON_GetNumberValue(token));
  cJSON_Delete(json);
  free(text);
}

/* A session of the same tokens gives the same logits: each token is the largest of them, and its
 * logprob is as good as theirs. */
static void greedy_tokens_are_the_largest_logits(void **state) {
  (void)state;
  NEED_MODEL();
  hb_model_info info;
  hb_model_get_info(model, &info);
  hb_session *told = open_session(CONTEXT), *plain = open_session(CONTEXT);
  hb_generate_options options = plain_options(60);
  options.logprobs = 1;
  hb_generator *g = open_generator(told, &options);
  hb_piece piece = {0};
  while (piece.finish == HB_FINISH_NONE) {
    const float *logits = hb_session_logits(plain, 0);
    size_t best = index_of_largest(logits, info.vocabulary);
    double sum = 0;
    for (uint32_t i = 0; i < info.vocabulary; i++) sum += exp((double)logits[i] - logits[best]);
    assert_int_equal(hb_generator_next(g, &piece, NULL), HB_OK);
    assert_int_equal(piece.token, best);
    assert_true(fabs((double)piece.logprob + log(sum)) < 1e-5);
    assert_int_equal(hb_session_append(plain, &piece.token, 1, NULL), HB_OK);
  }
  hb_generator_destroy(g);
  hb_session_destroy(told);
  hb_session_destroy(plain);
}

static void asking_for_logprobs_changes_no_token(void **state) {
  (void)state;
  NEED_MODEL();
  hb_piece pieces[2];
  hb_session *sessions[2];
  hb_generator *generators[2];
  for (int i = 0; i < 2; i++) {
    hb_generate_options options = plain_options(100);
    options.logprobs = i;
    options.ignore_end = 1;
    options.sampler.temperature = 1;
    options.sampler.repetition_penalty = 1.1f;
    sessions[i] = open_session(CONTEXT);
    generators[i] = open_generator(sessions[i], &options);
  }
  do {
    for (int i = 0; i < 2; i++)
      assert_int_equal(hb_generator_next(generators[i], &pieces[i], NULL), HB_OK);
    assert_int_equal(pieces[0].token, pieces[1].token);
    assert_true(pieces[0].logprob == 0);
    assert_true(pieces[1].logprob < 0);
    assert_int_equal(pieces[0].finish, pieces[1].finish);
  } while (pieces[0].finish == HB_FINISH_NONE);
  for (int i = 0; i < 2; i++) {
    hb_generator_destroy(generators[i]);
    hb_session_destroy(sessions[i]);
  }
}

static void characters_come_out_whole_whatever_is_sampled(void **state) {
  (void)state;
  NEED_MODEL();
  hb_generate_options options = plain_options(250);
  options.ignore_end = 1;
  options.sampler.temperature = 1000; /* any token, half of them single bytes */
  for (uint64_t seed = 0; seed < 20; seed++) {
    options.sampler.seed = seed;
    story s = tell_anew(&options); /* checks each piece */
    assert_int_equal(s.count, 250);
  }
}

/* The first token whose text begins so and is longer. */
static hb_token token_beginning(const char *text) {
  const hb_tokenizer *t = hb_model_tokenizer(model);
  hb_tokenizer_info info;
  hb_tokenizer_get_info(t, &info);
  for (uint32_t i = 0; i < info.vocabulary; i++) {
    hb_string s = hb_token_text(t, (hb_token)i);
    if (s.length > strlen(text) && memcmp(s.data, text, strlen(text)) == 0) return (hb_token)i;
  }
  fail_msg("no token begins with %s", text);
  return HB_NO_TOKEN;
}

static void a_character_cut_by_the_end_is_given_out_as_replaced(void **state) {
  (void)state;
  NEED_MODEL();
  const hb_logit_bias first_byte = {token_beginning("<0xE2"), 1000};
  hb_generate_options options = plain_options(3);
  options.sampler.biases = &first_byte;
  options.sampler.bias_count = 1;
  story s = tell_anew(&options);
  assert_int_equal(s.length, 9);
  assert_memory_equal(s.text, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9);
}

/* The text of one step from logits that all but force a token which begins with a space. */
static size_t length_of_a_word_behind(hb_token prompt) {
  const hb_logit_bias word = {token_beginning("\xe2\x96\x81"), 1000};
  hb_generate_options options = plain_options(1);
  options.sampler.biases = &word;
  options.sampler.bias_count = 1;
  hb_session *session = open_session(8);
  hb_generator *g = open_generator(session, &options);
  hb_piece piece;
  hb_generator_accept(g, &prompt, 1);
  assert_int_equal(hb_generator_next(g, &piece, NULL), HB_OK);
  assert_int_equal(piece.token, word.token);
  size_t length = piece.text.length;
  hb_generator_destroy(g);
  hb_session_destroy(session);
  return length;
}

static void a_prompt_is_a_beginning_unless_it_is_only_bos(void **state) {
  (void)state;
  NEED_MODEL();
  assert_int_equal(length_of_a_word_behind(BOS + 100), length_of_a_word_behind(BOS) + 1);
}

/* The detokenizer removes the space that begins a text, but only there. */
static void a_generation_that_goes_on_keeps_its_first_space(void **state) {
  (void)state;
  NEED_MODEL();
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
  NEED_MODEL();
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

static void what_is_generated_counts_for_the_penalties(void **state) {
  (void)state;
  NEED_MODEL();
  hb_generate_options options = plain_options(60);
  options.ignore_end = 1;
  options.sampler.presence_penalty = 1000;
  story s = tell_anew(&options);
  assert_int_equal(s.count, 60);
  for (size_t i = 0; i < s.count; i++)
    for (size_t k = 0; k < i; k++) assert_int_not_equal(s.tokens[i], s.tokens[k]);
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
  NEED_MODEL();
  hb_generate_options options = plain_options(40);
  story whole = tell_anew(&options);
  assert_true(whole.length > 80);
  for (size_t at = 0; at < 60; at += 3) {
    hb_string stop = {whole.text + at, 1 + at % 17};
    check_stops(&whole, &stop, 1);
  }
  /* Longer than any token: spans at least two. */
  const hb_string spanning = {whole.text + 30, 40};
  check_stops(&whole, &spanning, 1);
  const hb_string last = {whole.text + whole.length - 4, 4};
  check_stops(&whole, &last, 1);
}

static void what_only_begins_like_a_stop_string_is_given_out_later(void **state) {
  (void)state;
  NEED_MODEL();
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
  /* One that goes on otherwise, and within it one that does not. */
  const hb_string two[] = {stops[5], {whole.text + 31, 4}};
  check_stops(&whole, two, 2);
}

static void stop_strings_are_copied(void **state) {
  (void)state;
  NEED_MODEL();
  hb_session *session = open_session(CONTEXT);
  hb_generate_options options = plain_options(40);
  hb_generator *g;
  char text[4];
  story whole = tell_anew(&options);
  memcpy(text, whole.text + 40, 4);
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
  hb_session_destroy(session);
}

/* What is held back comes with the end, or as soon as it is certain. */
static void text_waits_only_while_it_may_become_a_stop_string(void **state) {
  (void)state;
  NEED_MODEL();
  hb_generate_options options = plain_options(40);
  story whole = tell_anew(&options);
  char almost[31];
  memcpy(almost, whole.text + 20, 30);
  almost[30] = '#';
  const hb_string stop = {almost, 31};
  options.stop = &stop;
  options.stop_count = 1;
  hb_session *session = open_session(CONTEXT);
  hb_generator *g = open_generator(session, &options);
  hb_detokenizer stream = {0};
  size_t spoken = 0, given = 0, waited = 0;
  hb_piece piece = {0};
  while (piece.finish == HB_FINISH_NONE) {
    char text[256];
    size_t length;
    assert_int_equal(hb_generator_next(g, &piece, NULL), HB_OK);
    assert_int_equal(hb_detokenize(hb_model_tokenizer(model), &stream, piece.token, 0, text,
                                   sizeof text, &length),
                     HB_OK);
    spoken += length;
    given += piece.text.length;
    if (spoken > 20 && spoken <= 50) {
      assert_int_equal(given, 20);
      waited++;
    } else if (spoken > 50) {
      assert_true(given > 20 && given + 30 >= spoken);
    }
  }
  assert_true(waited > 2);
  assert_int_equal(given, whole.length);
  hb_generator_destroy(g);
  hb_session_destroy(session);
}

/* ---- Refusals ---- */

static void expect_refused(hb_session *session, hb_generate_options options, hb_status status,
                           const char *named) {
  hb_error error = {0};
  hb_generator *g;
  assert_int_equal(hb_generator_create(session, &options, &g, &error), status);
  assert_int_equal(error.status, status);
  if (!strstr(error.message, named)) fail_msg("\"%s\" does not name %s", error.message, named);
  assert_null(g);
}

static void options_out_of_their_range_are_refused_by_name(void **state) {
  (void)state;
  NEED_MODEL();
  hb_session *session = open_session(8);
  hb_string stops[2] = {{"a", 1}, {"", 0}};
  hb_generate_options options = plain_options(5), wrong;
  options.stop = stops;
  options.stop_count = 2;
  expect_refused(session, options, HB_ARGUMENT, "stop string 1 has 0 bytes");
  stops[1].length = 1 << 20;
  expect_refused(session, options, HB_ARGUMENT, "stop string 1 has 1048576 bytes");
  options.stop_count = 1000;
  expect_refused(session, options, HB_ARGUMENT, "stop strings");
  options.stop_count = 1;
  options.stop = NULL;
  expect_refused(session, options, HB_ARGUMENT, "stop strings");
  options = plain_options(5);
#define REFUSE(field, value)                                                                       \
  wrong = options;                                                                                 \
  wrong.sampler.field = value;                                                                     \
  expect_refused(session, wrong, HB_ARGUMENT, #field)
  REFUSE(temperature, -1);
  REFUSE(top_p, 2);
  REFUSE(min_p, NAN);
  REFUSE(repetition_penalty, 0);
  REFUSE(frequency_penalty, INFINITY);
  REFUSE(presence_penalty, NAN);
  REFUSE(penalty_window, UINT32_MAX);
#undef REFUSE
  hb_session_destroy(session);
}

static void a_model_without_a_tokenizer_is_refused(void **state) {
  (void)state;
  hb_model *mute = load_path(NO_TOKENIZER);
  hb_session_options session_options = {.context_length = 8};
  hb_session *session;
  assert_null(hb_model_tokenizer(mute));
  assert_int_equal(hb_session_create(mute, &session_options, &session, NULL), HB_OK);
  expect_refused(session, plain_options(5), HB_UNSUPPORTED, "no tokenizer");
  hb_session_destroy(session);
  hb_model_destroy(mute);
}

/* ---- Ends ---- */

static void a_full_context_ends_with_all_text_given(void **state) {
  (void)state;
  NEED_MODEL();
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
  NEED_MODEL();
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
  NEED_MODEL();
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

/* Of every model. */
#define COMMON_TESTS                                                                               \
  cmocka_unit_test(greedy_tokens_are_the_largest_logits),                                          \
      cmocka_unit_test(asking_for_logprobs_changes_no_token),                                      \
      cmocka_unit_test(characters_come_out_whole_whatever_is_sampled),                             \
      cmocka_unit_test(a_character_cut_by_the_end_is_given_out_as_replaced),                       \
      cmocka_unit_test(a_prompt_is_a_beginning_unless_it_is_only_bos),                             \
      cmocka_unit_test(a_generation_that_goes_on_keeps_its_first_space),                           \
      cmocka_unit_test(the_prompt_counts_for_the_penalties),                                       \
      cmocka_unit_test(what_is_generated_counts_for_the_penalties),                                \
      cmocka_unit_test(text_ends_before_the_first_stop_string),                                    \
      cmocka_unit_test(what_only_begins_like_a_stop_string_is_given_out_later),                    \
      cmocka_unit_test(text_waits_only_while_it_may_become_a_stop_string),                         \
      cmocka_unit_test(stop_strings_are_copied),                                                   \
      cmocka_unit_test(options_out_of_their_range_are_refused_by_name),                            \
      cmocka_unit_test(a_full_context_ends_with_all_text_given),                                   \
      cmocka_unit_test(an_end_token_ends_unless_it_is_ignored),                                    \
      cmocka_unit_test(a_session_without_logits_cannot_be_continued)

int main(void) {
  const struct CMUnitTest tales[] = {
      COMMON_TESTS,
      cmocka_unit_test(a_model_without_a_tokenizer_is_refused),
  };
  const struct CMUnitTest stories[] = {
      COMMON_TESTS,
      cmocka_unit_test(the_golden_story_is_told),
      cmocka_unit_test(the_golden_tokens_are_chosen),
  };
  return cmocka_run_group_tests(tales, load_tales, unload) +
         cmocka_run_group_tests(stories, load_stories, unload);
}
