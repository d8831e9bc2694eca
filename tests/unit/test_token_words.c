/* How pre-tokenizers cut texts into words, by the regular expression of each. */
#include "support.h"

#include "token/pretokenize.h"

static hb_status append_word(void *context, hb_string word) {
  char *out = context;
  size_t length = strlen(out);
  assert_true(length + word.length + 2 < 512);
  memcpy(out + length, word.data, word.length);
  memcpy(out + length + word.length, "\x01", 2);
  return HB_OK;
}

/* Cuts `text` and compares with `expected`, in which | ends each word. */
static void expect_words(const char *name, const char *text, const char *expected) {
  uint32_t code_point[128], offset[128];
  uint8_t class_of[128];
  char out[512] = "";
  hb_characters c = {text, code_point, class_of, offset, 0};
  const hb_pretokenizer *p = hb_pretokenizer_find(hb_string_of(name));
  size_t length = strlen(text);
  assert_non_null(p);
  assert_true(length < 128);
  for (size_t at = 0; at < length; c.count++) {
    offset[c.count] = (uint32_t)at;
    at += hb_utf8_decode(text + at, length - at, &code_point[c.count]);
    class_of[c.count] = hb_unicode_class(code_point[c.count]);
  }
  offset[c.count] = (uint32_t)length;
  assert_int_equal(hb_pretokenize(p, &c, append_word, out), HB_OK);
  for (char *o = out; *o; o++)
    if (*o == '\x01') *o = '|';
  if (strcmp(out, expected) != 0) fail_msg("%s: \"%s\", not \"%s\"", name, out, expected);
}

static void gpt2_leaves_a_space_to_the_next_word(void **state) {
  (void)state;
  expect_words("gpt-2", "Hello  world 2024!!\n\n x", "Hello| | world| 2024|!!|\n\n| x|");
  expect_words("gpt-2", "it's IT'S we'll", "it|'s| IT|'|S| we|'ll|");
  expect_words("gpt-2", "end   ", "end|   |");
}

static void llama3_takes_three_digits_and_a_sign_before_a_word(void **state) {
  (void)state;
  expect_words("llama-bpe", "1234567 (abc)", "123|456|7| (|abc|)|");
  expect_words("llama-bpe", "a.b\n\n  c IT'S", "a|.b|\n\n| | c| IT|'S|");
  expect_words("llama-bpe", "x = {};\r\n\r\ny", "x| =| {};\r\n\r\n|y|");
}

static void qwen2_takes_digits_one_by_one(void **state) {
  (void)state;
  expect_words("qwen2", " 12 a", " |1|2| a|");
  expect_words("qwen2", "e\u0301t", "e|\u0301t|");
  expect_words("qwen35", "e\u0301t", "e\u0301t|");
}

static void smollm_isolates_digits_first(void **state) {
  (void)state;
  expect_words("smollm", "in 1987, ok", "in| |1|9|8|7|,| ok|");
}

static void default_isolates_signs_and_three_digits(void **state) {
  (void)state;
  expect_words("default", "a+b 12345 \u00bd", "a|+|b| |123|45| |\u00bd|");
  expect_words("falcon", "`a` 1234", "`|a|`| |123|4|");
}

static void deepseek_isolates_scripts(void **state) {
  (void)state;
  expect_words("deepseek-coder", "ab\n\ncd \u4e2d\u65871", "ab|\n|\n|cd| |\u4e2d\u6587|1|");
  expect_words("deepseek-v3", "if(x) \u4e2d1234", "if|(x|)| |\u4e2d|123|4|");
}

static void tekken_and_gpt4o_split_at_upper_case(void **state) {
  (void)state;
  expect_words("tekken", "camelCase HTTPServer 42 don't", "camel|Case| HTTPServer| |4|2| don|'t|");
  expect_words("gpt-4o", "camelCase ABC 4242 don't a/\n/b",
               "camel|Case| ABC| |424|2| don't| a|/\n/|b|");
  /* The first part gives back up to the last character without case. */
  expect_words("tekken", "\u4e2dABC", "\u4e2d|ABC|");
  expect_words("tekken", "A\u4e2dBC", "A\u4e2d|BC|");
}

static void bytes_that_are_no_utf8_are_symbols(void **state) {
  (void)state;
  expect_words("gpt-2", "a \xff\xfe!b", "a| \xff\xfe!|b|");
}

static void names_are_known_by_the_word(void **state) {
  (void)state;
  static const char *const same[][2] = {
      {"llama3", "llama-v3"}, {"llama3", "llama-bpe"}, {"qwen2", "deepseek-r1-qwen"},
      {"gpt-2", "phi-2"},     {"gpt-2", "olmo"},       {"smollm", "starcoder"},
      {"smollm", "refact"},   {"smollm", "command-r"}, {"gpt-4o", "llama4"},
  };
  static const char *const unknown[] = {"", " ", "llama", "qwen", "gpt-2 phi-2", "qwen2 ", "-"};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    assert_ptr_equal(hb_pretokenizer_find(hb_string_of(same[i][0])),
                     hb_pretokenizer_find(hb_string_of(same[i][1])));
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
    assert_null(hb_pretokenizer_find(hb_string_of(unknown[i])));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gpt2_leaves_a_space_to_the_next_word),
      cmocka_unit_test(llama3_takes_three_digits_and_a_sign_before_a_word),
      cmocka_unit_test(qwen2_takes_digits_one_by_one),
      cmocka_unit_test(smollm_isolates_digits_first),
      cmocka_unit_test(default_isolates_signs_and_three_digits),
      cmocka_unit_test(deepseek_isolates_scripts),
      cmocka_unit_test(tekken_and_gpt4o_split_at_upper_case),
      cmocka_unit_test(bytes_that_are_no_utf8_are_symbols),
      cmocka_unit_test(names_are_known_by_the_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
