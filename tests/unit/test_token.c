/* Tokenizers on small vocabularies made here: special tokens, streams of characters, broken files.
 */
#include "gguf_builder.h"

#include "token/tokenizer.h"

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6 };

typedef struct entry {
  const char *text;
  uint32_t kind;
  float score;
} entry;

/* A SentencePiece vocabulary with bytes, a few words and two kinds of special tokens. */
static const entry pieces[] = {
    {"<unk>", UNKNOWN, 0},
    {"<s>", CONTROL, 0},
    {"</s>", CONTROL, 0},
    {"<0xE2>", BYTE, 0},
    {"<0x82>", BYTE, 0},
    {"<0xAC>", BYTE, 0},
    {"\xe2\x96\x81", NORMAL, -1},
    {"a", NORMAL, -2},
    {"b", NORMAL, -3},
    {"ab", NORMAL, -4},
    {"\xe2\x96\x81"
     "ab",
     NORMAL, -5},
    {"<|im_end|>", CONTROL, 0},
    {"[user]", USER, 0},
};
enum { PIECES = sizeof pieces / sizeof *pieces };

static buffer file;

static void put_vocabulary(const entry *entries, size_t count) {
  put_key_array(&file, "tokenizer.ggml.tokens", HB_VALUE_STRING, count);
  for (size_t i = 0; i < count; i++) put_string(&file, entries[i].text);
  put_key_array(&file, "tokenizer.ggml.scores", HB_VALUE_F32, count);
  for (size_t i = 0; i < count; i++) put(&file, &entries[i].score, 4);
  put_key_array(&file, "tokenizer.ggml.token_type", HB_VALUE_I32, count);
  for (size_t i = 0; i < count; i++) put_u32(&file, entries[i].kind);
}

/* The file of the vocabulary above with that BOS. */
static void write_pieces(uint32_t bos) {
  put_header(&file, 0, 7);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(pieces, PIECES);
  put_key_u32(&file, "tokenizer.ggml.bos_token_id", bos);
  put_key_u32(&file, "tokenizer.ggml.eos_token_id", 2);
  put_key_u32(&file, "tokenizer.ggml.unknown_token_id", 0);
}

static hb_gguf *gguf;
static hb_tokenizer *tokenizer;

/* Opens what is in `file`. */
static hb_status open_file(hb_error *error) {
  size_t used;
  bool done;
  assert_int_equal(hb_gguf_create(NULL, &gguf, error), HB_OK);
  assert_int_equal(hb_gguf_begin_shard(gguf, file.size, error), HB_OK);
  assert_int_equal(hb_gguf_feed(gguf, file.data, file.size, &used, &done, error), HB_OK);
  assert_true(done);
  return hb_tokenizer_create(gguf, NULL, &tokenizer, error);
}

static void close_file(void) {
  hb_tokenizer_destroy(tokenizer);
  hb_gguf_destroy(gguf);
}

static void open_pieces(void) {
  hb_error error = {0};
  write_pieces(1);
  if (open_file(&error) != HB_OK) fail_msg("%s", error.message);
}

static void expect_tokens(const char *text, uint32_t flags, size_t count,
                          const hb_token *expected) {
  hb_token tokens[64];
  size_t got;
  hb_error error;
  hb_string view = {text, strlen(text)};
  assert_int_equal(hb_tokenize(tokenizer, view, flags, NULL, tokens, 64, &got, &error), HB_OK);
  assert_int_equal(got, count);
  assert_memory_equal(tokens, expected, count * sizeof *expected);
}

#define EXPECT(text, flags, ...)                                                                   \
  expect_tokens(text, flags, sizeof((hb_token[]){__VA_ARGS__}) / sizeof(hb_token),                 \
                (hb_token[]){__VA_ARGS__})

static void control_tokens_in_a_text_are_text_unless_asked_for(void **state) {
  (void)state;
  open_pieces();
  EXPECT("ab", 0, 10);
  EXPECT("ab", HB_TOKENIZE_BOS, 1, 10);
  EXPECT("ab<|im_end|>ab", HB_TOKENIZE_SPECIAL, 10, 11, 10);
  hb_token tokens[64];
  size_t count;
  hb_tokenize(tokenizer, hb_string_of("<|im_end|>"), 0, NULL, tokens, 64, &count, NULL);
  for (size_t i = 0; i < count; i++) assert_int_not_equal(tokens[i], 11);
  assert_int_equal(count, 1 + 10); /* the space, and ten characters that are unknown */
  close_file();
}

static void plain_text_never_merges_into_a_special_token(void **state) {
  (void)state;
  hb_error error = {0};
  const entry sentencepiece[] = {
      {"<unk>", UNKNOWN, 9}, {"<s>", CONTROL, 9}, {"<0x41>", BYTE, 9}, {"<", NORMAL, 0},
      {"s>", NORMAL, -1},    {"s", NORMAL, 0},    {">", NORMAL, 0},    {"<0x", NORMAL, -1},
      {"<0", NORMAL, -1},    {"0", NORMAL, 0},    {"x", NORMAL, 0},    {"41>", NORMAL, -1},
      {"41", NORMAL, -1},    {"4", NORMAL, 0},    {"1", NORMAL, 0},
  };
  put_header(&file, 0, 5);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(sentencepiece, sizeof sentencepiece / sizeof *sentencepiece);
  put_key(&file, "tokenizer.ggml.add_space_prefix", HB_VALUE_BOOL);
  put(&file, "", 1);
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT("<s>", 0, 3, 4);
  EXPECT("<s>", HB_TOKENIZE_SPECIAL, 1);
  EXPECT("<0x41>", 0, 7, 11);
  close_file();

  const entry byte_level[] = {
      {"P", NORMAL, 0}, {"A", NORMAL, 0}, {"PA", CONTROL, 0}, {"!", CONTROL, 0}};
  put_header(&file, 0, 6);
  put_key_string(&file, "tokenizer.ggml.model", "gpt2");
  put_key_string(&file, "tokenizer.ggml.pre", "llama-bpe"); /* takes words that are tokens whole */
  put_vocabulary(byte_level, 4);
  put_key_array(&file, "tokenizer.ggml.merges", HB_VALUE_STRING, 1);
  put_string(&file, "P A");
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT("PA", 0, 0, 1);
  EXPECT("PA!", HB_TOKENIZE_SPECIAL, 2, 3);
  EXPECT("P!", 0, 0); /* a byte without a token, where there is no unknown one either */
  close_file();
}

/* The text of a token that is not the first. */
static void expect_text(hb_token token, const char *expected) {
  hb_detokenizer stream = {.started = 1};
  char out[16];
  size_t length;
  assert_int_equal(hb_detokenize(tokenizer, &stream, token, 0, out, sizeof out, &length), HB_OK);
  assert_int_equal(length, strlen(expected));
  assert_memory_equal(out, expected, length);
}

static void user_defined_tokens_come_back_as_they_are_written(void **state) {
  (void)state;
  hb_error error = {0};
  const entry sentencepiece[] = {
      {"\xe2\x96\x81", NORMAL, -1}, {"a", NORMAL, -1}, {"\xe2\x96\x81\xe2\x96\x81", USER, 0}};
  put_header(&file, 0, 4);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(sentencepiece, 3);
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT(" a", 0, 2, 1); /* through a merge, as Gemma's runs of spaces */
  expect_text(2, "  ");
  close_file();

  const entry byte_level[] = {{"\xc4\xa0", NORMAL, 0},
                              {"a", NORMAL, 0},
                              {"\xc4\xa0"
                               "a",
                               USER, 0}};
  put_header(&file, 0, 6);
  put_key_string(&file, "tokenizer.ggml.model", "gpt2");
  put_key_string(&file, "tokenizer.ggml.pre", "gpt-2");
  put_vocabulary(byte_level, 3);
  put_key_array(&file, "tokenizer.ggml.merges", HB_VALUE_STRING, 1);
  put_string(&file, "\xc4\xa0 a");
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT(" a", 0, 0, 1); /* U+0120 is a letter there, not a space */
  EXPECT("\xc4\xa0"
         "a",
         0, 2);
  expect_text(2, "\xc4\xa0"
                 "a");
  close_file();
}

static void special_tokens_of_phi3_take_the_white_space_behind_them(void **state) {
  (void)state;
  hb_error error = {0};
  put_header(&file, 0, 5);
  put_key_string(&file, "general.architecture", "phi3");
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(pieces, PIECES);
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT("<|im_end|> \n\tab", HB_TOKENIZE_SPECIAL, 11, 10);
  EXPECT("<|im_end|>\r\n", HB_TOKENIZE_SPECIAL, 11);
  EXPECT("<s> ab", HB_TOKENIZE_SPECIAL, 1, 6, 10);
  close_file();
  open_pieces();
  EXPECT("<|im_end|> ab", HB_TOKENIZE_SPECIAL, 11, 6, 10);
  close_file();
}

static void tokens_may_span_words(void **state) {
  (void)state;
  hb_error error = {0};
  const entry entries[] = {{"\xe2\x96\x81", NORMAL, -1},
                           {"a", NORMAL, -1},
                           {"a\xe2\x96\x81", NORMAL, -2},
                           {"a\xe2\x96\x81"
                            "a",
                            NORMAL, -3}};
  put_header(&file, 0, 4);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(entries, 4);
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT("a a", 0, 0, 3);
  close_file();
}

static void user_defined_tokens_are_always_taken(void **state) {
  (void)state;
  open_pieces();
  EXPECT("a[user]b", 0, 6, 7, 12, 6, 8);
  close_file();
}

static void the_best_score_merges_first_and_bytes_stand_in_for_the_unknown(void **state) {
  (void)state;
  open_pieces();
  EXPECT("bab", 0, 6, 8, 9);
  EXPECT("a\xe2\x82\xac", 0, 6, 7, 3, 4, 5);
  EXPECT("z", 0, 6, 0);
  close_file();
}

static void a_text_longer_than_the_room_is_still_counted(void **state) {
  (void)state;
  hb_token tokens[2] = {-7, -7};
  size_t count;
  open_pieces();
  assert_int_equal(
      hb_tokenize(tokenizer, hb_string_of("a b a b"), 0, NULL, tokens, 1, &count, NULL), HB_OK);
  assert_int_equal(count, 8);
  assert_int_equal(tokens[0], 6);
  assert_int_equal(tokens[1], -7);
  close_file();
}

static void characters_come_out_whole_over_token_boundaries(void **state) {
  (void)state;
  hb_detokenizer stream = {0};
  char out[16];
  size_t length;
  open_pieces();
  assert_int_equal(hb_detokenize(tokenizer, &stream, 10, 0, out, 16, &length), HB_OK);
  assert_int_equal(length, 2); /* the space before a text is not part of it */
  assert_int_equal(hb_detokenize(tokenizer, &stream, 3, 0, out, 16, &length), HB_OK);
  assert_int_equal(length, 0);
  assert_int_equal(hb_detokenize(tokenizer, &stream, 4, 0, out, 16, &length), HB_OK);
  assert_int_equal(length, 0);
  assert_int_equal(hb_detokenize(tokenizer, &stream, 5, 0, out, 16, &length), HB_OK);
  assert_int_equal(length, 3);
  assert_memory_equal(out, "\xe2\x82\xac", 3);
  assert_int_equal(hb_detokenize(tokenizer, &stream, 3, 0, out, 16, &length), HB_OK);
  assert_int_equal(hb_detokenize(tokenizer, &stream, 10, 0, out, 16, &length), HB_OK);
  assert_int_equal(length, 6); /* what never became a character, a space, ab */
  assert_memory_equal(out, "\xef\xbf\xbd ab", 6);
  close_file();
}

static void a_piece_that_does_not_fit_leaves_the_stream_as_it_was(void **state) {
  (void)state;
  hb_detokenizer stream = {0}, before;
  char out[4];
  size_t length;
  open_pieces();
  assert_int_equal(hb_detokenize(tokenizer, &stream, 3, 0, out, 4, &length), HB_OK);
  before = stream;
  assert_int_equal(hb_detokenize(tokenizer, &stream, 10, 0, out, 4, &length), HB_ARGUMENT);
  assert_int_equal(length, 6);
  assert_memory_equal(&stream, &before, sizeof stream);
  assert_int_equal(hb_detokenize(tokenizer, &stream, PIECES, 0, out, 4, &length), HB_ARGUMENT);
  assert_int_equal(hb_detokenize(tokenizer, &stream, -2, 0, out, 4, &length), HB_ARGUMENT);
  close_file();
}

static void ends_are_the_eos_and_the_usual_control_tokens(void **state) {
  (void)state;
  open_pieces();
  for (hb_token t = -1; t <= PIECES; t++)
    assert_int_equal(hb_token_ends(tokenizer, t), t == 2 || t == 11);
  close_file();
}

/* ---- Broken vocabularies ---- */

static void expect_refused(hb_status status, const char *named) {
  hb_error error = {0};
  hb_status got = open_file(&error);
  if (got != status || !strstr(error.message, named))
    fail_msg("expected status %d naming %s, got %d: %s", status, named, got, error.message);
  hb_gguf_destroy(gguf);
}

static void a_token_number_beyond_the_vocabulary_is_refused(void **state) {
  (void)state;
  write_pieces(PIECES);
  expect_refused(HB_MODEL, "bos_token_id");
}

static void arrays_must_have_the_vocabularys_length_and_their_type(void **state) {
  (void)state;
  static const struct {
    const char *key;
    hb_value_type element;
    uint64_t count;
  } cases[] = {
      {"tokenizer.ggml.scores", HB_VALUE_F32, 1},    {"tokenizer.ggml.scores", HB_VALUE_U8, 2},
      {"tokenizer.ggml.scores", HB_VALUE_F64, 2},    {"tokenizer.ggml.token_type", HB_VALUE_I32, 3},
      {"tokenizer.ggml.token_type", HB_VALUE_I8, 2}, {"tokenizer.ggml.token_type", HB_VALUE_F32, 2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_header(&file, 0, 3);
    put_key_string(&file, "tokenizer.ggml.model", "llama");
    put_key_array(&file, "tokenizer.ggml.tokens", HB_VALUE_STRING, 2);
    put_string(&file, "a");
    put_string(&file, "b");
    put_key_array(&file, cases[i].key, cases[i].element, cases[i].count);
    for (int n = 0; n < 24; n++) put(&file, "", 1);
    expect_refused(HB_MODEL, i < 3 ? "tokenizer.ggml.scores" : "tokenizer.ggml.");
  }
}

static void byte_tokens_must_be_two_hex_digits(void **state) {
  (void)state;
  static const char *const texts[] = {"<0x-1>", "<0xG0>", "<0x>", "<0x123>", "", "0x41"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const entry entries[] = {{"a", NORMAL, 0}, {texts[i], BYTE, 0}};
    put_header(&file, 0, 4);
    put_key_string(&file, "tokenizer.ggml.model", "llama");
    put_vocabulary(entries, 2);
    expect_refused(HB_MODEL, "byte token 1");
  }
}

static void a_token_of_more_than_64_kib_is_refused(void **state) {
  (void)state;
  static char text[70001];
  memset(text, 'x', 70000);
  const entry entries[] = {{text, NORMAL, 0}};
  put_header(&file, 0, 4);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(entries, 1);
  expect_refused(HB_MODEL, "token 0");
}

/* Tokens whose hashes agree in their lower bits, so that a table without limits would take a time
 * that is quadratic in their number. */
static void texts_made_to_collide_are_refused(void **state) {
  (void)state;
  enum { COUNT = 512 };
  put_header(&file, 0, 2);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_key_array(&file, "tokenizer.ggml.tokens", HB_VALUE_STRING, COUNT);
  for (uint32_t i = 0, found = 0; found < COUNT; i++) {
    char text[16];
    snprintf(text, sizeof text, "%u", i);
    if (hb_hash(text, strlen(text)) & 0xfff) continue;
    put_string(&file, text);
    found++;
  }
  expect_refused(HB_UNSUPPORTED, "collide");
}

static void empty_and_equal_tokens_are_tolerated(void **state) {
  (void)state;
  hb_error error;
  const entry entries[] = {{"a", NORMAL, 0}, {"", NORMAL, 0}, {"a", NORMAL, 1}, {"", USER, 0}};
  put_header(&file, 0, 4);
  put_key_string(&file, "tokenizer.ggml.model", "llama");
  put_vocabulary(entries, 4);
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT("a", 0, 0);
  close_file();
}

static void merges_of_unknown_tokens_are_passed_over(void **state) {
  (void)state;
  hb_error error;
  static const char *const texts[] = {"a", "b", "ab"};
  static const char *const merges[] = {"", " ", "a", "a ", " b", "x y", "a x", "b a", "a b"};
  put_header(&file, 0, 4);
  put_key_string(&file, "tokenizer.ggml.model", "gpt2");
  put_key_string(&file, "tokenizer.ggml.pre", "gpt-2");
  put_key_array(&file, "tokenizer.ggml.tokens", HB_VALUE_STRING, 3);
  for (size_t i = 0; i < 3; i++) put_string(&file, texts[i]);
  put_key_array(&file, "tokenizer.ggml.merges", HB_VALUE_STRING, 9);
  for (size_t i = 0; i < 9; i++) put_string(&file, merges[i]);
  assert_int_equal(open_file(&error), HB_OK);
  EXPECT("abba", 0, 2, 1, 0);
  close_file();
}

static void unknown_tokenizers_are_named(void **state) {
  (void)state;
  put_header(&file, 0, 2);
  put_key_string(&file, "tokenizer.ggml.model", "telepathy");
  put_key_array(&file, "tokenizer.ggml.tokens", HB_VALUE_STRING, 1);
  put_string(&file, "a");
  expect_refused(HB_UNSUPPORTED, "telepathy");
  put_header(&file, 0, 3);
  put_key_string(&file, "tokenizer.ggml.model", "gpt2");
  put_key_string(&file, "tokenizer.ggml.pre", "klingon");
  put_key_array(&file, "tokenizer.ggml.tokens", HB_VALUE_STRING, 1);
  put_string(&file, "a");
  expect_refused(HB_UNSUPPORTED, "klingon");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(control_tokens_in_a_text_are_text_unless_asked_for),
      cmocka_unit_test(plain_text_never_merges_into_a_special_token),
      cmocka_unit_test(user_defined_tokens_come_back_as_they_are_written),
      cmocka_unit_test(special_tokens_of_phi3_take_the_white_space_behind_them),
      cmocka_unit_test(tokens_may_span_words),
      cmocka_unit_test(user_defined_tokens_are_always_taken),
      cmocka_unit_test(the_best_score_merges_first_and_bytes_stand_in_for_the_unknown),
      cmocka_unit_test(a_text_longer_than_the_room_is_still_counted),
      cmocka_unit_test(characters_come_out_whole_over_token_boundaries),
      cmocka_unit_test(a_piece_that_does_not_fit_leaves_the_stream_as_it_was),
      cmocka_unit_test(ends_are_the_eos_and_the_usual_control_tokens),
      cmocka_unit_test(a_token_number_beyond_the_vocabulary_is_refused),
      cmocka_unit_test(arrays_must_have_the_vocabularys_length_and_their_type),
      cmocka_unit_test(byte_tokens_must_be_two_hex_digits),
      cmocka_unit_test(a_token_of_more_than_64_kib_is_refused),
      cmocka_unit_test(texts_made_to_collide_are_refused),
      cmocka_unit_test(empty_and_equal_tokens_are_tolerated),
      cmocka_unit_test(merges_of_unknown_tokens_are_passed_over),
      cmocka_unit_test(unknown_tokenizers_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
