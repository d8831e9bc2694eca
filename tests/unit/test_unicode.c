/* UTF-8, the classes of code points, and the alphabet of byte-level BPE. */
#include "support.h"

#include "token/internal.h"

enum { LAST = 0x10ffff };

static bool is_surrogate(uint32_t c) {
  return c >= 0xd800 && c <= 0xdfff;
}

/* Any number below 0x200000 in the form of UTF-8, allowed or not. */
static uint32_t encode(uint32_t c, uint32_t length, char *out) {
  static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (uint32_t i = length; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)(lead[length] | c);
  return length;
}

static uint32_t shortest(uint32_t c) {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

static void every_code_point_is_decoded(void **state) {
  (void)state;
  for (uint32_t c = 0; c <= LAST; c++) {
    char bytes[4];
    uint32_t decoded, length = encode(c, shortest(c), bytes);
    uint32_t got = hb_utf8_decode(bytes, length, &decoded);
    assert_int_equal(got, is_surrogate(c) ? 1 : length);
    assert_int_equal(decoded, is_surrogate(c) ? HB_NOT_UNICODE : c);
    if (length == 1) continue;
    assert_int_equal(hb_utf8_decode(bytes, length - 1, &decoded), 1); /* cut short */
    assert_int_equal(decoded, HB_NOT_UNICODE);
  }
}

static void longer_forms_and_larger_numbers_are_refused(void **state) {
  (void)state;
  char bytes[4];
  uint32_t decoded;
  for (uint32_t c = 0; c < 0x10000; c++)
    for (uint32_t length = shortest(c) + 1; length <= 4; length++) {
      encode(c, length, bytes);
      assert_int_equal(hb_utf8_decode(bytes, length, &decoded), 1);
      assert_int_equal(decoded, HB_NOT_UNICODE);
    }
  for (uint32_t c = LAST + 1; c < 0x200000; c++) {
    encode(c, 4, bytes);
    assert_int_equal(hb_utf8_decode(bytes, 4, &decoded), 1);
    assert_int_equal(decoded, HB_NOT_UNICODE);
  }
}

static void classes_are_those_of_unicode_17(void **state) {
  (void)state;
  static const uint32_t expected[8] = {145672, 1924, 856, 25, 1917, 2283, 2543, 8617};
  uint32_t count[8] = {0};
  for (uint32_t c = 0; c <= LAST; c++)
    for (uint32_t bit = 0; bit < 8; bit++) count[bit] += hb_unicode_class(c) >> bit & 1;
  assert_memory_equal(count, expected, sizeof count);
}

static void some_characters_are_of_their_class(void **state) {
  (void)state;
  enum {
    UPPER = HB_UNICODE_LETTER | HB_UNICODE_UPPER,
    LOWER = HB_UNICODE_LETTER | HB_UNICODE_LOWER,
  };
  static const struct {
    uint32_t code_point;
    int class_of;
  } cases[] = {
      {'A', UPPER},
      {'z', LOWER},
      {0x100, UPPER}, /* a run by turns begins here */
      {0x101, LOWER},
      {0x136, UPPER},
      {0x137, LOWER},
      {0x138, LOWER},
      {0x1c5, UPPER},             /* title case */
      {0x2b0, HB_UNICODE_LETTER}, /* a modifier has no case here */
      {0x4e2d, HB_UNICODE_LETTER},
      {0x10400, UPPER},
      {'0', HB_UNICODE_NUMBER},
      {0x2167, HB_UNICODE_NUMBER},
      {'_', HB_UNICODE_PUNCTUATION},
      {0x3002, HB_UNICODE_PUNCTUATION},
      {'$', HB_UNICODE_SYMBOL},
      {0x1f600, HB_UNICODE_SYMBOL},
      {0x301, HB_UNICODE_MARK},
      {'\t', HB_UNICODE_SPACE},
      {0x85, HB_UNICODE_SPACE},
      {0x3000, HB_UNICODE_SPACE},
      {0x200b, 0}, /* zero width space: a format character */
      {0, 0},
      {0x378, 0}, /* unassigned */
      {0xd800, 0},
      {LAST, 0},
      {LAST + 1, 0},
      {HB_NOT_UNICODE, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (hb_unicode_class(cases[i].code_point) != cases[i].class_of)
      fail_msg("U+%04X is of class %d", cases[i].code_point, hb_unicode_class(cases[i].code_point));
}

static void every_byte_has_its_own_printable_character(void **state) {
  (void)state;
  uint32_t found = 0;
  for (int byte = 0; byte < 256; byte++)
    assert_int_equal(hb_printable_to_byte(hb_byte_to_printable((uint8_t)byte)), byte);
  for (uint32_t c = 0; c <= LAST; c++) found += hb_printable_to_byte(c) >= 0;
  assert_int_equal(found, 256);
  assert_int_equal(hb_printable_to_byte(HB_NOT_UNICODE), -1);
  assert_int_equal(hb_byte_to_printable(' '), 0x120); /* as in GPT-2's vocabulary */
  assert_int_equal(hb_byte_to_printable('\n'), 0x10a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_is_decoded),
      cmocka_unit_test(longer_forms_and_larger_numbers_are_refused),
      cmocka_unit_test(classes_are_those_of_unicode_17),
      cmocka_unit_test(some_characters_are_of_their_class),
      cmocka_unit_test(every_byte_has_its_own_printable_character),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
