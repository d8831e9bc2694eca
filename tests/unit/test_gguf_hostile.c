/* Hostile files. tests/fuzz/seeds/gguf holds them, tests/fuzz/gguf.json says how each must end. */
#include "gguf_builder.h"
#include "gguf_support.h"
#include "seeds.h"

#define SEEDS "tests/fuzz/seeds/gguf"

typedef struct outcome {
  hb_status status;
  hb_error error;
} outcome;

/* Reads the seed in pieces. Memory follows the bytes seen and all of it is given back. */
static outcome read_seed(const seed *s, uint64_t file_size, size_t piece) {
  outcome o = {0};
  meter m;
  hb_gguf *g;
  size_t taken;
  meter_start(&m);
  assert_int_equal(hb_gguf_create(&m.allocator, &g, NULL), HB_OK);
  assert_int_equal(hb_gguf_begin_shard(g, file_size, NULL), HB_OK);
  o.status = feed_pieces(g, s->data, s->size, piece, &taken, &o.error);
  hb_gguf_destroy(g);
  if (m.held != 0) fail_msg("%s: %u bytes are not released", s->name, (unsigned)m.held);
  if (m.peak > 8192 + 16 * s->size)
    fail_msg("%s: %u bytes of memory for %u bytes", s->name, (unsigned)m.peak, (unsigned)s->size);
  return o;
}

static void check_seed(const seed *s) {
  outcome whole = read_seed(s, s->size, SIZE_MAX);
  expect_outcome(s, whole.status, whole.error.message);
  assert_int_equal(whole.error.status, *s->message ? whole.status : HB_OK);
  for (size_t piece = 1; piece < 20; piece += 3) {
    outcome pieces = read_seed(s, s->size, piece);
    if (memcmp(&pieces, &whole, sizeof whole) != 0)
      fail_msg("%s: in pieces of %u bytes: \"%s\"", s->name, (unsigned)piece, pieces.error.message);
  }
  /* Of unknown length, a file may turn out to be cut off only later. */
  outcome endless = read_seed(s, HB_SIZE_UNKNOWN, SIZE_MAX);
  if (whole.status != HB_TRUNCATED && endless.status != whole.status)
    fail_msg("%s: of unknown length: %s", s->name, status_name(endless.status));
}

static void every_seed_made_by_hand_has_an_expectation(void **state) {
  (void)state;
  check_list("gguf");
}
static void sound_files_are_read(void **state) {
  (void)state;
  check_seeds("gguf", "ok-", check_seed);
}
static void other_files_and_versions_are_refused(void **state) {
  (void)state;
  check_seeds("gguf", "start-", check_seed);
}
static void counts_and_lengths_beyond_the_file_are_refused_before_memory_is_taken(void **state) {
  (void)state;
  check_seeds("gguf", "size-", check_seed);
}
static void impossible_dimensions_sizes_and_types_are_refused(void **state) {
  (void)state;
  check_seeds("gguf", "shape-", check_seed);
}
static void wrong_alignments_offsets_and_overlaps_are_refused(void **state) {
  (void)state;
  check_seeds("gguf", "place-", check_seed);
}
static void wrong_doubled_and_nested_keys_are_refused(void **state) {
  (void)state;
  check_seeds("gguf", "key-", check_seed);
}
static void numbers_that_32_bits_would_cut_are_refused(void **state) {
  (void)state;
  check_seeds("gguf", "wide-", check_seed);
}

static void a_file_cut_anywhere_is_incomplete(void **state) {
  (void)state;
  size_t size, taken;
  uint8_t *data = read_file(SEEDS "/ok-every-value", &size);
  hb_error error;
  for (size_t cut = 0; cut < 512; cut++) { /* the header has 512 bytes */
    uint8_t *part = malloc(cut + 1);
    memcpy(part, data, cut);
    for (int known = 0; known < 2; known++) {
      hb_gguf *g;
      assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
      assert_int_equal(hb_gguf_begin_shard(g, known ? cut : HB_SIZE_UNKNOWN, NULL), HB_OK);
      assert_int_equal(feed_pieces(g, part, cut, SIZE_MAX, &taken, &error), HB_TRUNCATED);
      assert_int_equal(hb_gguf_check_complete(g, &error), HB_TRUNCATED);
      hb_gguf_destroy(g);
    }
    free(part);
  }
  free(data);
}

static void without_memory_reading_ends_cleanly_wherever_it_stands(void **state) {
  (void)state;
  size_t size, taken;
  uint8_t *data = read_file(SEEDS "/ok-every-value", &size);
  hb_status status = HB_MEMORY;
  hb_error error;
  meter m;
  uint64_t allocations = 0;
  for (; status == HB_MEMORY; allocations++) {
    hb_gguf *g = NULL;
    meter_start(&m);
    m.left = allocations;
    status = hb_gguf_create(&m.allocator, &g, &error);
    if (status == HB_OK) status = hb_gguf_begin_shard(g, size, &error);
    if (status == HB_OK) status = feed_pieces(g, data, size, SIZE_MAX, &taken, &error);
    if (status != HB_OK) assert_int_equal(error.status, HB_MEMORY);
    hb_gguf_destroy(g);
    assert_int_equal(m.held, 0);
  }
  assert_int_equal(status, HB_OK);
  assert_true(allocations > 8);
  free(data);
}

static void a_reader_that_failed_takes_nothing_more(void **state) {
  (void)state;
  size_t size, used;
  bool done;
  uint8_t *data = read_file(SEEDS "/key-twice", &size);
  hb_gguf *g;
  hb_error error;
  assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
  assert_int_equal(hb_gguf_feed(g, data, size, &used, &done, &error), HB_STATE);
  assert_int_equal(hb_gguf_begin_shard(g, size, NULL), HB_OK);
  assert_int_equal(hb_gguf_begin_shard(g, size, NULL), HB_STATE);
  assert_int_equal(hb_gguf_feed(g, data, size, &used, &done, &error), HB_FORMAT);
  assert_int_equal(hb_gguf_feed(g, data, size, &used, &done, &error), HB_STATE);
  assert_int_equal(used, 0);
  assert_false(done);
  assert_int_equal(hb_gguf_value_count(g), 0);
  assert_null(hb_gguf_value_at(g, 0));
  assert_null(hb_gguf_value(g, "general.name"));
  hb_gguf_destroy(g);
  free(data);
}

/* Many keys, the last one a second time. */
static void many_keys_are_compared_in_little_time(void **state) {
  (void)state;
  enum { KEYS = 300000 };
  buffer b = {0};
  size_t taken;
  hb_error error;
  hb_gguf *g;
  put_header(&b, 0, KEYS + 1);
  for (int i = 0; i <= KEYS; i++) {
    char key[64];
    snprintf(key, sizeof key, "some.long.name.that.all.keys.begin.with.%d", i % KEYS);
    put_key_u8(&b, key, 0);
  }
  assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
  assert_int_equal(hb_gguf_begin_shard(g, b.size, NULL), HB_OK);
  assert_int_equal(feed_pieces(g, b.data, b.size, SIZE_MAX, &taken, &error), HB_FORMAT);
  assert_string_equal(error.message,
                      "key some.long.name.that.all.keys.begin.with.0 stands there twice");
  hb_gguf_destroy(g);
  free(b.data);
}

/* One long key and one long array: what was read already is not read again for each byte. */
static void byte_after_byte_takes_linear_time(void **state) {
  (void)state;
  enum { STRINGS = 200000, BYTES = 2000000 };
  buffer b = {0};
  size_t taken;
  hb_error error;
  hb_gguf *g;
  put_header(&b, 0, 2);
  put_key_array(&b, "strings", HB_VALUE_STRING, STRINGS);
  for (int i = 0; i < STRINGS; i++) put_string(&b, "x");
  put_key_array(&b, "bytes", HB_VALUE_U8, BYTES);
  for (int i = 0; i < BYTES; i++) put_u8(&b, 7);
  assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
  assert_int_equal(hb_gguf_begin_shard(g, HB_SIZE_UNKNOWN, NULL), HB_OK);
  assert_int_equal(feed_pieces(g, b.data, b.size, 1, &taken, &error), HB_OK);
  assert_int_equal(taken, b.size);
  hb_gguf_destroy(g);
  free(b.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_seed_made_by_hand_has_an_expectation),
      cmocka_unit_test(sound_files_are_read),
      cmocka_unit_test(other_files_and_versions_are_refused),
      cmocka_unit_test(counts_and_lengths_beyond_the_file_are_refused_before_memory_is_taken),
      cmocka_unit_test(impossible_dimensions_sizes_and_types_are_refused),
      cmocka_unit_test(wrong_alignments_offsets_and_overlaps_are_refused),
      cmocka_unit_test(wrong_doubled_and_nested_keys_are_refused),
      cmocka_unit_test(numbers_that_32_bits_would_cut_are_refused),
      cmocka_unit_test(a_file_cut_anywhere_is_incomplete),
      cmocka_unit_test(without_memory_reading_ends_cleanly_wherever_it_stands),
      cmocka_unit_test(a_reader_that_failed_takes_nothing_more),
      cmocka_unit_test(many_keys_are_compared_in_little_time),
      cmocka_unit_test(byte_after_byte_takes_linear_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
