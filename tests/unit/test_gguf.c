/* Sound GGUF files: values of every type, tensors, shards, names. */
#include "gguf_builder.h"
#include "gguf_support.h"

#define EVERY_VALUE "tests/fuzz/seeds/gguf/ok-every-value"

static hb_gguf *open_file(const char *path, uint8_t **data) {
  size_t size;
  *data = read_file(path, &size);
  return open_gguf(*data, size);
}

/* ---- Values ---- */

static uint8_t *data;
static hb_gguf *gguf;

static int open_every_value(void **state) {
  (void)state;
  gguf = open_file(EVERY_VALUE, &data);
  return 0;
}

static int close_every_value(void **state) {
  (void)state;
  hb_gguf_destroy(gguf);
  free(data);
  return 0;
}

static void every_integer_type_is_read_without_loss(void **state) {
  (void)state;
  static const struct {
    const char *key;
    int64_t expected;
  } rows[] = {{"u8", 200}, {"i8", -2},          {"u16", 60000}, {"i16", -2},
              {"i32", -2}, {"u32", 4000000000}, {"i64", -2}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const hb_value *v = hb_gguf_value(gguf, rows[i].key);
    int64_t got;
    uint64_t positive;
    double real;
    assert_non_null(v);
    assert_int_equal(hb_value_i64(v, 0, &got, NULL), HB_OK);
    assert_true(got == rows[i].expected);
    assert_int_equal(hb_value_u64(v, 0, &positive, NULL), got < 0 ? HB_MODEL : HB_OK);
    assert_int_equal(hb_value_f64(v, 0, &real, NULL), HB_OK);
    assert_true(real == (double)rows[i].expected);
  }
}

static void an_integer_that_does_not_fit_is_refused_by_name(void **state) {
  (void)state;
  hb_error error;
  uint64_t u;
  int64_t i;
  const hb_value *v = hb_gguf_value(gguf, "u64");
  assert_int_equal(hb_value_u64(v, 0, &u, NULL), HB_OK);
  assert_true(u == UINT64_C(1) << 63);
  assert_int_equal(hb_value_i64(v, 0, &i, &error), HB_MODEL);
  assert_string_equal(error.message, "the value of key u64 is out of range");
  assert_int_equal(hb_value_u64(hb_gguf_value(gguf, "i8"), 0, &u, &error), HB_MODEL);
}

static void reals_booleans_and_strings_are_read(void **state) {
  (void)state;
  double f;
  int b;
  hb_string s;
  assert_int_equal(hb_value_f64(hb_gguf_value(gguf, "f32"), 0, &f, NULL), HB_OK);
  assert_true(f == 1.5);
  assert_int_equal(hb_value_f64(hb_gguf_value(gguf, "f64"), 0, &f, NULL), HB_OK);
  assert_true(f == -2.5);
  assert_int_equal(hb_value_bool(hb_gguf_value(gguf, "bool"), &b, NULL), HB_OK);
  assert_int_equal(b, 1);
  assert_int_equal(hb_value_string(hb_gguf_value(gguf, "string"), &s, NULL), HB_OK);
  assert_true(hb_string_equal(s, hb_string_of("text")));
}

static void arrays_are_read_up_to_their_end(void **state) {
  (void)state;
  static const int64_t numbers[] = {-1, 0, 7};
  static const char *const strings[] = {"one", "", "three"};
  const hb_value *v = hb_gguf_value(gguf, "numbers");
  hb_error error;
  int64_t i;
  double f;
  hb_string s;
  uint64_t cursor = 0;
  assert_int_equal(v->count, 3);
  for (uint64_t n = 0; n < 3; n++) {
    assert_int_equal(hb_value_i64(v, n, &i, NULL), HB_OK);
    assert_true(i == numbers[n]);
  }
  assert_int_equal(hb_value_i64(v, 3, &i, &error), HB_MODEL);
  assert_string_equal(error.message, "key numbers has 3 elements, no number 3");
  assert_int_equal(hb_value_f64(hb_gguf_value(gguf, "nothing"), 0, &f, NULL), HB_MODEL);
  v = hb_gguf_value(gguf, "strings");
  for (size_t n = 0; n < 3; n++) {
    assert_int_equal(hb_value_next_string(v, &cursor, &s, NULL), HB_OK);
    assert_true(hb_string_equal(s, hb_string_of(strings[n])));
  }
  assert_int_equal(hb_value_next_string(v, &cursor, &s, NULL), HB_MODEL);
}

static void a_value_of_another_type_is_refused_by_name(void **state) {
  (void)state;
  hb_error error;
  uint64_t u, cursor = 0;
  double f;
  int b;
  hb_string s;
  assert_int_equal(hb_value_u64(hb_gguf_value(gguf, "f32"), 0, &u, &error), HB_MODEL);
  assert_string_equal(error.message, "key f32 is no integer");
  assert_int_equal(hb_value_u64(hb_gguf_value(gguf, "bool"), 0, &u, NULL), HB_MODEL);
  assert_int_equal(hb_value_u64(hb_gguf_value(gguf, "strings"), 0, &u, NULL), HB_MODEL);
  assert_int_equal(hb_value_f64(hb_gguf_value(gguf, "string"), 0, &f, NULL), HB_MODEL);
  assert_int_equal(hb_value_bool(hb_gguf_value(gguf, "u8"), &b, NULL), HB_MODEL);
  assert_int_equal(hb_value_string(hb_gguf_value(gguf, "strings"), &s, NULL), HB_MODEL);
  assert_int_equal(hb_value_next_string(hb_gguf_value(gguf, "numbers"), &cursor, &s, NULL),
                   HB_MODEL);
}

static void records_come_in_the_order_of_the_file(void **state) {
  (void)state;
  assert_int_equal(hb_gguf_value_count(gguf), 15);
  assert_true(hb_string_equal(hb_gguf_value_at(gguf, 0)->key, hb_string_of("u8")));
  assert_true(hb_string_equal(hb_gguf_value_at(gguf, 14)->key, hb_string_of("strings")));
  assert_null(hb_gguf_value_at(gguf, 15));
  assert_null(hb_gguf_value(gguf, "absent"));
  assert_int_equal(hb_gguf_tensor_count(gguf), 2);
  const hb_tensor *b = hb_gguf_tensor_at(gguf, 1);
  assert_ptr_equal(b, hb_gguf_tensor(gguf, "b"));
  assert_int_equal(b->type, HB_TYPE_Q4_0);
  assert_int_equal(b->dim_count, 3);
  const uint64_t dims[] = {32, 1, 3, 1};
  assert_memory_equal(b->dims, dims, sizeof dims);
  assert_int_equal(b->offset, 32);
  assert_int_equal(b->bytes, 3 * 18);
  assert_null(hb_gguf_tensor_at(gguf, 2));
  assert_null(hb_gguf_tensor(gguf, "c"));
  assert_int_equal(hb_gguf_data_start(gguf), 512);
  assert_int_equal(hb_gguf_data_bytes(gguf), 32 + 3 * 18);
}

/* ---- Names ---- */

/* Two names with the same hash, found among many. */
static void find_collision(char *first, char *second) {
  enum { NAMES = 200000, SLOTS = 1 << 20 };
  uint32_t *slots = calloc(SLOTS, sizeof *slots);
  assert_non_null(slots);
  for (uint32_t i = 1; i < NAMES; i++) {
    snprintf(first, 16, "%u", (unsigned)i);
    uint32_t hash = (uint32_t)hb_hash(first, strlen(first));
    uint32_t at = hash % SLOTS;
    for (; slots[at]; at = (at + 1) % SLOTS) {
      snprintf(second, 16, "%u", (unsigned)slots[at]);
      if ((uint32_t)hb_hash(second, strlen(second)) != hash) continue;
      free(slots);
      return;
    }
    slots[at] = i;
  }
  fail_msg("no two names have the same hash");
}

static void names_of_the_same_hash_are_told_apart(void **state) {
  (void)state;
  char first[16], second[16];
  find_collision(first, second);
  buffer b = {0};
  put_header(&b, 0, 3);
  put_key_u8(&b, first, 1);
  put_key_u8(&b, "other", 2);
  put_key_u8(&b, second, 3);
  hb_gguf *g = open_gguf(b.data, b.size);
  assert_ptr_equal(hb_gguf_value(g, first), hb_gguf_value_at(g, 0));
  assert_ptr_equal(hb_gguf_value(g, second), hb_gguf_value_at(g, 2));
  hb_gguf_destroy(g);
  free(b.data);
}

static void every_one_of_many_names_is_found(void **state) {
  (void)state;
  for (unsigned count = 0; count < 70; count += count < 9 ? 1 : 13) {
    buffer b = {0};
    char name[16];
    put_header(&b, count, 0);
    for (unsigned i = 0; i < count; i++) {
      snprintf(name, sizeof name, "t%u", i * 7);
      put_tensor(&b, name, 8, 0, HB_TYPE_F32, 32 * i);
    }
    put_padding(&b, 32);
    for (unsigned i = 0; i < 32 * count; i++) put_u8(&b, 0);
    hb_gguf *g = open_gguf(b.data, b.size);
    for (unsigned i = 0; i < count; i++) {
      snprintf(name, sizeof name, "t%u", i * 7);
      assert_ptr_equal(hb_gguf_tensor(g, name), hb_gguf_tensor_at(g, i));
    }
    assert_null(hb_gguf_tensor(g, "t1"));
    hb_gguf_destroy(g);
    free(b.data);
  }
}

/* ---- Shards ---- */

/* A shard of a split model with its tensors, each of 8 values, named by one letter. */
static buffer make_shard(uint16_t number, uint16_t count, uint32_t total, const char *tensors) {
  buffer b = {0};
  char name[2] = {0};
  put_header(&b, strlen(tensors), 3);
  put_key_u16(&b, "split.no", number);
  put_key_u16(&b, "split.count", count);
  put_key(&b, "split.tensors.count", HB_VALUE_I32);
  put_u32(&b, total);
  for (uint64_t i = 0; tensors[i]; i++) {
    name[0] = tensors[i];
    put_tensor(&b, name, 8, 0, HB_TYPE_F32, 32 * i);
  }
  if (*tensors) put_padding(&b, 32);
  for (size_t i = 0; i < 8 * strlen(tensors); i++) put_u32(&b, (uint32_t)i);
  return b;
}

static hb_status feed_shard(hb_gguf *g, buffer shard, hb_error *error) {
  size_t taken;
  hb_status status = hb_gguf_begin_shard(g, shard.size, error);
  if (status == HB_OK) status = feed_pieces(g, shard.data, shard.size, 33, &taken, error);
  free(shard.data);
  return status;
}

static void tensors_of_all_shards_are_listed_one_after_the_other(void **state) {
  (void)state;
  hb_gguf *g;
  hb_error error;
  assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
  assert_int_equal(feed_shard(g, make_shard(0, 4, 5, ""), &error), HB_OK);
  assert_int_equal(hb_gguf_shard_count(g), 4);
  assert_int_equal(feed_shard(g, make_shard(1, 4, 5, "db"), &error), HB_OK);
  const hb_tensor *early = hb_gguf_tensor(g, "b");
  assert_int_equal(hb_gguf_check_complete(g, &error), HB_TRUNCATED);
  assert_string_equal(error.message, "2 of 4 files are complete");
  assert_int_equal(feed_shard(g, make_shard(2, 4, 5, ""), &error), HB_OK);
  assert_int_equal(feed_shard(g, make_shard(3, 4, 5, "aec"), &error), HB_OK);
  assert_int_equal(hb_gguf_check_complete(g, &error), HB_OK);
  assert_ptr_equal(hb_gguf_tensor(g, "b"), early);
  assert_int_equal(hb_gguf_tensor_count(g), 5);
  for (size_t i = 0; i < 5; i++) {
    const char name[] = {"dbaec"[i], 0};
    const hb_tensor *t = hb_gguf_tensor_at(g, i);
    assert_true(t->name.length == 1 && t->name.data[0] == *name);
    assert_ptr_equal(hb_gguf_tensor(g, name), t);
    assert_int_equal(t->shard, i < 2 ? 1 : 3);
    assert_int_equal(t->offset, 32 * (i < 2 ? i : i - 2));
  }
  assert_int_equal(hb_gguf_begin_shard(g, 100, &error), HB_STATE);
  hb_gguf_destroy(g);
}

static void shards_that_do_not_belong_together_are_refused(void **state) {
  (void)state;
  static const struct {
    uint16_t number, count;
    uint32_t total;
    const char *tensors;
    hb_status status;
    const char *message;
  } rows[] = {
      {2, 3, 3, "b", HB_FORMAT, "this is shard 3 of 3, where shard 2 of 3 should be"},
      {1, 2, 3, "b", HB_FORMAT, "this is shard 2 of 2, where shard 2 of 3 should be"},
      {0, 1, 3, "b", HB_FORMAT, "this is shard 1 of 1, where shard 2 of 3 should be"},
      {1, 3, 3, "ba", HB_FORMAT, "tensor a stands there twice"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    hb_gguf *g;
    hb_error error = {0};
    assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
    assert_int_equal(feed_shard(g, make_shard(0, 3, 3, "a"), &error), HB_OK);
    buffer shard = make_shard(rows[i].number, rows[i].count, rows[i].total, rows[i].tensors);
    assert_int_equal(feed_shard(g, shard, &error), rows[i].status);
    assert_string_equal(error.message, rows[i].message);
    hb_gguf_destroy(g);
  }
}

static void a_wrong_number_of_tensors_in_all_shards_is_refused(void **state) {
  (void)state;
  hb_gguf *g;
  hb_error error;
  assert_int_equal(hb_gguf_create(NULL, &g, NULL), HB_OK);
  assert_int_equal(feed_shard(g, make_shard(0, 1, 3, "ab"), &error), HB_OK);
  assert_int_equal(hb_gguf_check_complete(g, &error), HB_FORMAT);
  assert_string_equal(error.message, "the shards hold 2 tensors, not 3");
  hb_gguf_destroy(g);
}

static void a_file_without_split_keys_is_one_shard(void **state) {
  (void)state;
  hb_error error;
  assert_int_equal(hb_gguf_shard_count(gguf), 1);
  assert_int_equal(hb_gguf_check_complete(gguf, &error), HB_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_integer_type_is_read_without_loss),
      cmocka_unit_test(an_integer_that_does_not_fit_is_refused_by_name),
      cmocka_unit_test(reals_booleans_and_strings_are_read),
      cmocka_unit_test(arrays_are_read_up_to_their_end),
      cmocka_unit_test(a_value_of_another_type_is_refused_by_name),
      cmocka_unit_test(records_come_in_the_order_of_the_file),
      cmocka_unit_test(names_of_the_same_hash_are_told_apart),
      cmocka_unit_test(every_one_of_many_names_is_found),
      cmocka_unit_test(tensors_of_all_shards_are_listed_one_after_the_other),
      cmocka_unit_test(shards_that_do_not_belong_together_are_refused),
      cmocka_unit_test(a_wrong_number_of_tensors_in_all_shards_is_refused),
      cmocka_unit_test(a_file_without_split_keys_is_one_shard),
  };
  return cmocka_run_group_tests(tests, open_every_value, close_every_value);
}
