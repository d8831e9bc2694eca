/* SHA-256 against the examples of FIPS 180-4 and the NIST's test vectors (CAVP SHA256ShortMsg and
 * SHA256LongMsg). */
#include "support.h"

#include "base/sha256.h"

static void hex_of(const uint8_t digest[HB_SHA256_BYTES], char hex[65]) {
  for (int i = 0; i < HB_SHA256_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* Of `count` bytes that come in pieces of at most `piece`. */
static void assert_digest(const void *bytes, size_t count, size_t piece, const char *expected) {
  uint8_t digest[HB_SHA256_BYTES];
  char hex[65];
  hb_sha256 hash;
  hb_sha256_init(&hash);
  for (size_t at = 0; at < count; at += piece)
    hb_sha256_update(&hash, (const uint8_t *)bytes + at, count - at < piece ? count - at : piece);
  hb_sha256_final(&hash, digest);
  hex_of(digest, hex);
  assert_string_equal(hex, expected);
}

static void known_answers(void **state) {
  (void)state;
  static const struct {
    const char *text, *digest;
  } cases[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"\xd3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
       "lmnopqrsmnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_digest(cases[i].text, strlen(cases[i].text), 1000, cases[i].digest);
}

static void a_million_letters(void **state) {
  (void)state;
  size_t count = 1000000;
  char *text = malloc(count);
  assert_non_null(text);
  memset(text, 'a', count);
  assert_digest(text, count, 4099,
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  free(text);
}

/* Lengths around the block of 64, where the padding takes one block or two. */
static void pieces_do_not_matter(void **state) {
  (void)state;
  uint8_t bytes[200];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
  for (size_t count = 0; count <= sizeof bytes; count++) {
    uint8_t digest[HB_SHA256_BYTES];
    char whole[65];
    hb_sha256 hash;
    hb_sha256_init(&hash);
    hb_sha256_update(&hash, bytes, count);
    hb_sha256_final(&hash, digest);
    hex_of(digest, whole);
    assert_digest(bytes, count, 1, whole);
    assert_digest(bytes, count, 63, whole);
    assert_digest(bytes, count, 64, whole);
    assert_digest(bytes, count, 65, whole);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_answers),
      cmocka_unit_test(a_million_letters),
      cmocka_unit_test(pieces_do_not_matter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
