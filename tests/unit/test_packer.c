/* Cutting documents into sequences for training. */
#include "support.h"

#include "base/base.h"
#include "train/packer.h"

enum { DOCUMENTS = 5, LENGTH = 8, TOKENS = 40 };

/* Token 100 d + i is the i-th of document d; one is empty, one longer than two sequences. */
static const uint64_t start[DOCUMENTS + 1] = {0, 3, 3, 22, 33, TOKENS};
static hb_token tokens[TOKENS];

static void fill_tokens(void) {
  for (uint32_t d = 0; d < DOCUMENTS; d++)
    for (uint64_t i = start[d]; i < start[d + 1]; i++)
      tokens[i] = (hb_token)(100 * d + (i - start[d]));
}

typedef struct taken {
  hb_token tokens[LENGTH];
  int32_t targets[LENGTH];
  uint32_t first[LENGTH];
} taken;

static hb_packer *open_packer(uint64_t seed) {
  hb_packer *p;
  hb_error error;
  fill_tokens();
  if (hb_packer_create(hb_allocator_or_default(NULL), tokens, start, DOCUMENTS, LENGTH, seed, &p,
                       &error) != HB_OK)
    fail_msg("%s", error.message);
  return p;
}

static taken take(hb_packer *p, uint64_t number) {
  taken t;
  hb_packer_take(p, number, t.tokens, t.targets, t.first);
  return t;
}

static void an_epoch_has_every_token_once(void **state) {
  (void)state;
  hb_packer *p = open_packer(1);
  assert_int_equal(hb_packer_count(p), TOKENS / LENGTH);
  for (uint64_t epoch = 0; epoch < 3; epoch++) {
    uint32_t seen[100 * DOCUMENTS] = {0};
    for (uint64_t i = 0; i < hb_packer_count(p); i++) {
      taken t = take(p, epoch * hb_packer_count(p) + i);
      for (size_t k = 0; k < LENGTH; k++) seen[t.tokens[k]]++;
    }
    for (size_t i = 0; i < TOKENS; i++) assert_int_equal(seen[tokens[i]], 1);
  }
  hb_packer_destroy(p);
}

static void a_target_is_the_next_token_of_the_same_document(void **state) {
  (void)state;
  hb_packer *p = open_packer(2);
  for (uint64_t i = 0; i < hb_packer_count(p); i++) {
    taken t = take(p, i);
    for (size_t k = 0; k < LENGTH; k++) {
      uint64_t d = (uint64_t)t.tokens[k] / 100, of = (uint64_t)t.tokens[k] % 100;
      assert_int_equal(t.targets[k], of + 1 < start[d + 1] - start[d] ? t.tokens[k] + 1 : -1);
    }
  }
  hb_packer_destroy(p);
}

static void a_document_sees_nothing_of_others(void **state) {
  (void)state;
  hb_packer *p = open_packer(3);
  for (uint64_t i = 0; i < hb_packer_count(p); i++) {
    taken t = take(p, i);
    for (size_t k = 0; k < LENGTH; k++) {
      assert_true(t.first[k] <= k);
      for (size_t seen = t.first[k]; seen <= k; seen++)
        assert_int_equal(t.tokens[seen] / 100, t.tokens[k] / 100);
      if (t.first[k] > 0) assert_true(t.tokens[t.first[k] - 1] / 100 != t.tokens[k] / 100);
    }
  }
  hb_packer_destroy(p);
}

static void a_number_alone_tells_the_sequence(void **state) {
  (void)state;
  hb_packer *forward = open_packer(4), *other = open_packer(4);
  taken all[30];
  for (uint64_t i = 0; i < 30; i++) all[i] = take(forward, i);
  for (uint64_t i = 30; i-- > 0;) {
    taken t = take(other, i);
    assert_memory_equal(&t, &all[i], sizeof t);
  }
  hb_packer_destroy(forward);
  hb_packer_destroy(other);
}

static void seeds_and_epochs_differ_in_order(void **state) {
  (void)state;
  hb_packer *one = open_packer(5), *two = open_packer(6);
  uint32_t by_seed = 0, by_epoch = 0;
  for (uint64_t i = 0; i < hb_packer_count(one); i++) {
    taken a = take(one, i), b = take(two, i), c = take(one, i + hb_packer_count(one));
    by_seed += memcmp(&a, &b, sizeof a) != 0;
    by_epoch += memcmp(&a, &c, sizeof a) != 0;
  }
  assert_true(by_seed > 0 && by_epoch > 0);
  hb_packer_destroy(one);
  hb_packer_destroy(two);
}

static void too_little_text_is_refused(void **state) {
  (void)state;
  hb_packer *p;
  hb_error error;
  fill_tokens();
  for (uint32_t length = 0; length <= 41; length += 41) {
    assert_int_equal(hb_packer_create(hb_allocator_or_default(NULL), tokens, start, DOCUMENTS,
                                      length, 1, &p, &error),
                     HB_ARGUMENT);
    assert_non_null(strstr(error.message, "tokens of text make no"));
    assert_null(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_epoch_has_every_token_once),
      cmocka_unit_test(a_target_is_the_next_token_of_the_same_document),
      cmocka_unit_test(a_document_sees_nothing_of_others),
      cmocka_unit_test(a_number_alone_tells_the_sequence),
      cmocka_unit_test(seeds_and_epochs_differ_in_order),
      cmocka_unit_test(too_little_text_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
