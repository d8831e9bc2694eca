/* Written GGUF files: what was set is read back, and real files are rebuilt byte for byte. */
#include "gguf/write.h"
#include "gguf_builder.h"
#include "gguf_support.h"

/* A sink into memory, which fails behind `limit` bytes. */
typedef struct target {
  buffer out;
  size_t limit;
} target;

static hb_status take(void *context, const void *data, size_t count, hb_error *error) {
  target *t = context;
  if (t->out.size + count > t->limit)
    return hb_fail(error, HB_IO, HB_NO_OFFSET, "the disk is full");
  put(&t->out, data, count);
  return HB_OK;
}

static hb_gguf_writer *open_writer(target *t, const hb_allocator *allocator) {
  *t = (target){.limit = SIZE_MAX};
  hb_gguf_writer *w;
  const hb_sink sink = {t, take};
  assert_int_equal(hb_gguf_writer_create(allocator, &sink, &w, NULL), HB_OK);
  return w;
}

static const uint64_t dims_of_8[] = {8};

static hb_status add(hb_gguf_writer *w, const char *name, uint64_t count, hb_error *error) {
  return hb_gguf_writer_add_tensor(w, hb_string_of(name), HB_TYPE_F32, 1, &count, error);
}

/* ---- Whole files ---- */

/* Writes the values, tensors and data of a file anew. */
static void rebuild(const uint8_t *data, size_t size, target *t) {
  hb_gguf *g = open_gguf(data, size);
  hb_gguf_writer *w = open_writer(t, NULL);
  assert_int_equal(hb_gguf_writer_copy(w, g, NULL), HB_OK);
  for (size_t i = 0; i < hb_gguf_tensor_count(g); i++) {
    const hb_tensor *x = hb_gguf_tensor_at(g, i);
    assert_int_equal(hb_gguf_writer_add_tensor(w, x->name, x->type, x->dim_count, x->dims, NULL),
                     HB_OK);
  }
  assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  for (size_t i = 0; i < hb_gguf_tensor_count(g); i++) {
    const hb_tensor *x = hb_gguf_tensor_at(g, i);
    const uint8_t *at = data + hb_gguf_data_start(g) + x->offset;
    for (uint64_t done = 0; done < x->bytes;) {
      size_t piece = x->bytes - done < 5000 ? (size_t)(x->bytes - done) : 5000;
      assert_int_equal(hb_gguf_writer_data(w, at + done, piece, NULL), HB_OK);
      done += piece;
    }
  }
  assert_int_equal(hb_gguf_writer_finish(w, NULL), HB_OK);
  hb_gguf_writer_destroy(w);
  hb_gguf_destroy(g);
}

static void files_of_other_programs_are_rebuilt_byte_for_byte(void **state) {
  (void)state;
  static const char *const names[] = {"vectors/arch/llama.gguf", "vectors/quant/Q4_K_M.gguf",
                                      "vectors/quant/Q4_0.gguf", "vectors/arch/gemma3.gguf",
                                      "vectors/tokenizer/llama-spm.gguf"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    NEED_SHARED(names[i]);
    size_t size;
    target t;
    uint8_t *data = read_shared(names[i], &size);
    rebuild(data, size, &t);
    assert_int_equal(t.out.size, size);
    assert_memory_equal(t.out.data, data, size);
    free(t.out.data);
    free(data);
  }
}

static void an_alignment_of_the_metadata_is_followed(void **state) {
  (void)state;
  static const uint32_t alignments[] = {1, 4, 64, 65536};
  for (size_t i = 0; i < 4; i++) {
    target t;
    hb_gguf_writer *w = open_writer(&t, NULL);
    uint32_t a = alignments[i];
    assert_int_equal(hb_gguf_writer_set_u32(w, "general.alignment", a, NULL), HB_OK);
    assert_int_equal(add(w, "a", 1, NULL), HB_OK);
    assert_int_equal(add(w, "b", 3, NULL), HB_OK);
    assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
    assert_int_equal(hb_gguf_writer_data(w, "aaaa", 4, NULL), HB_OK);
    assert_int_equal(hb_gguf_writer_data(w, "bbbbbbbbbbbb", 12, NULL), HB_OK);
    assert_int_equal(hb_gguf_writer_finish(w, NULL), HB_OK);
    hb_gguf_writer_destroy(w);
    assert_int_equal(t.out.size % a, 0);
    hb_gguf *g = open_gguf(t.out.data, t.out.size);
    const hb_tensor *b = hb_gguf_tensor(g, "b");
    assert_int_equal(b->offset, a < 4 ? 4 : a);
    assert_int_equal(hb_gguf_data_start(g) % a, 0);
    assert_memory_equal(t.out.data + hb_gguf_data_start(g) + b->offset, "bbbbbbbbbbbb", 12);
    hb_gguf_destroy(g);
    free(t.out.data);
  }
}

static void a_file_without_anything_is_a_file(void **state) {
  (void)state;
  target t;
  hb_gguf_writer *w = open_writer(&t, NULL);
  assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_finish(w, NULL), HB_OK);
  hb_gguf_writer_destroy(w);
  hb_gguf *g = open_gguf(t.out.data, t.out.size);
  target again;
  rebuild(t.out.data, t.out.size, &again);
  assert_int_equal(again.out.size, t.out.size);
  hb_gguf_destroy(g);
  free(again.out.data);
  free(t.out.data);
}

/* ---- Metadata ---- */

static void every_kind_of_value_is_read_back(void **state) {
  (void)state;
  const hb_string strings[] = {{"one", 3}, {"", 0}, {"three", 5}};
  const float reals[] = {0.5f, -1.0f};
  target t;
  hb_gguf_writer *w = open_writer(&t, NULL);
  assert_int_equal(hb_gguf_writer_set_u32(w, "u32", 0xfedcba98u, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_f32(w, "f32", -0.25f, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_bool(w, "bool", 7, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_string(w, "string", hb_string_of("text"), NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_strings(w, "strings", strings, 3, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_strings(w, "none", NULL, 0, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_array(w, "reals", HB_VALUE_F32, reals, 2, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  hb_gguf_writer_destroy(w);

  hb_gguf *g = open_gguf(t.out.data, t.out.size);
  uint64_t u, cursor = 0;
  double f;
  int b;
  hb_string s;
  assert_int_equal(hb_value_u64(hb_gguf_value(g, "u32"), 0, &u, NULL), HB_OK);
  assert_true(u == 0xfedcba98u);
  assert_int_equal(hb_value_f64(hb_gguf_value(g, "f32"), 0, &f, NULL), HB_OK);
  assert_true(f == -0.25);
  assert_int_equal(hb_value_bool(hb_gguf_value(g, "bool"), &b, NULL), HB_OK);
  assert_int_equal(b, 1);
  assert_int_equal(hb_value_string(hb_gguf_value(g, "string"), &s, NULL), HB_OK);
  assert_true(hb_string_equal(s, hb_string_of("text")));
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(hb_value_next_string(hb_gguf_value(g, "strings"), &cursor, &s, NULL), HB_OK);
    assert_true(hb_string_equal(s, strings[i]));
  }
  assert_int_equal(hb_gguf_value(g, "none")->count, 0);
  assert_int_equal(hb_value_f64(hb_gguf_value(g, "reals"), 1, &f, NULL), HB_OK);
  assert_true(f == -1.0);
  hb_gguf_destroy(g);
  free(t.out.data);
}

static void keys_are_copied_replaced_in_place_and_removed(void **state) {
  (void)state;
  buffer b = {0};
  put_header(&b, 0, 5);
  put_key_u8(&b, "first", 1);
  put_key_u16(&b, "split.count", 1);
  put_key_u8(&b, "second", 2);
  put_key_u8(&b, "third", 3);
  put_key_u8(&b, "fourth", 4);
  hb_gguf *from = open_gguf(b.data, b.size);
  target t;
  hb_gguf_writer *w = open_writer(&t, NULL);
  assert_int_equal(hb_gguf_writer_copy(w, from, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_copy(w, from, NULL), HB_STATE);
  assert_int_equal(hb_gguf_writer_set_string(w, "second", hb_string_of("two"), NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_u32(w, "second", 22, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_u32(w, "fifth", 5, NULL), HB_OK);
  hb_gguf_writer_remove(w, "third");
  hb_gguf_writer_remove(w, "absent");
  assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_set_u32(w, "late", 1, NULL), HB_STATE);
  hb_gguf_writer_destroy(w);
  hb_gguf_destroy(from);

  static const char *const keys[] = {"first", "second", "fourth", "fifth"};
  static const uint64_t values[] = {1, 22, 4, 5};
  hb_gguf *g = open_gguf(t.out.data, t.out.size);
  assert_int_equal(hb_gguf_value_count(g), 4);
  for (size_t i = 0; i < 4; i++) {
    const hb_value *v = hb_gguf_value_at(g, i);
    uint64_t u;
    assert_true(hb_string_equal(v->key, hb_string_of(keys[i])));
    assert_int_equal(hb_value_u64(v, 0, &u, NULL), HB_OK);
    assert_int_equal(u, values[i]);
  }
  hb_gguf_destroy(g);
  free(t.out.data);
  free(b.data);
}

/* ---- Refusals ---- */

static void what_no_reader_would_take_is_not_written(void **state) {
  (void)state;
  target t;
  hb_error error;
  char name[65];
  hb_gguf_writer *w = open_writer(&t, NULL);
  memset(name, 'n', sizeof name);
  assert_int_equal(hb_gguf_writer_set_u32(w, "", 1, &error), HB_ARGUMENT);
  assert_int_equal(hb_gguf_writer_set_array(w, "a", HB_VALUE_STRING, "", 0, &error), HB_ARGUMENT);
  assert_int_equal(add(w, "", 8, &error), HB_ARGUMENT);
  hb_string longest = {name, 63}, longer = {name, 64};
  assert_int_equal(hb_gguf_writer_add_tensor(w, longer, HB_TYPE_F32, 1, dims_of_8, &error),
                   HB_ARGUMENT);
  assert_int_equal(hb_gguf_writer_add_tensor(w, longest, HB_TYPE_F32, 1, dims_of_8, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_add_tensor(w, longest, HB_TYPE_F32, 0, dims_of_8, &error),
                   HB_ARGUMENT);
  assert_int_equal(hb_gguf_writer_add_tensor(w, longest, HB_TYPE_F32, 5, dims_of_8, &error),
                   HB_ARGUMENT);
  assert_int_equal(hb_gguf_writer_add_tensor(w, longest, HB_TYPE_Q4_0, 1, dims_of_8, &error),
                   HB_ARGUMENT);
  assert_int_equal(hb_gguf_writer_add_tensor(w, longest, (hb_type)99, 1, dims_of_8, &error),
                   HB_ARGUMENT);
  assert_int_equal(add(w, "zero", 0, &error), HB_ARGUMENT);
  assert_int_equal(add(w, "wraps", UINT64_C(1) << 62, &error), HB_ARGUMENT);
  hb_gguf_writer_destroy(w);
}

static hb_status begin_with(uint32_t alignment, const char *second, uint64_t count,
                            hb_error *error) {
  target t;
  hb_gguf_writer *w = open_writer(&t, NULL);
  assert_int_equal(hb_gguf_writer_set_u32(w, "general.alignment", alignment, NULL), HB_OK);
  assert_int_equal(add(w, "first", UINT64_C(1) << 61, NULL), HB_OK);
  assert_int_equal(add(w, second, count, NULL), HB_OK);
  hb_status status = hb_gguf_writer_begin(w, error);
  assert_int_equal(hb_gguf_writer_data(w, "", 0, NULL), status == HB_OK ? HB_OK : HB_STATE);
  hb_gguf_writer_destroy(w);
  free(t.out.data);
  return status;
}

static void contradictions_are_found_before_the_data(void **state) {
  (void)state;
  hb_error error;
  assert_int_equal(begin_with(32, "second", 8, &error), HB_OK);
  assert_int_equal(begin_with(32, "first", 8, &error), HB_ARGUMENT);
  assert_string_equal(error.message, "tensor first was declared twice");
  assert_int_equal(begin_with(0, "second", 8, &error), HB_ARGUMENT);
  assert_int_equal(begin_with(48, "second", 8, &error), HB_ARGUMENT);
  assert_int_equal(begin_with(131072, "second", 8, &error), HB_ARGUMENT);
  assert_int_equal(begin_with(32, "second", UINT64_C(1) << 61, &error), HB_ARGUMENT);
  assert_string_equal(error.message, "the tensors have too many bytes");
}

static void bytes_beyond_a_tensor_and_missing_ones_are_refused(void **state) {
  (void)state;
  static const uint8_t zeros[33];
  target t;
  hb_error error;
  hb_gguf_writer *w = open_writer(&t, NULL);
  assert_int_equal(add(w, "a", 8, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_data(w, zeros, 1, &error), HB_STATE);
  assert_int_equal(hb_gguf_writer_finish(w, &error), HB_STATE);
  assert_int_equal(hb_gguf_writer_begin(w, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_begin(w, &error), HB_STATE);
  assert_int_equal(add(w, "b", 8, &error), HB_STATE);
  assert_int_equal(hb_gguf_writer_data(w, zeros, 33, &error), HB_STATE);
  assert_int_equal(hb_gguf_writer_data(w, zeros, 30, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_finish(w, &error), HB_STATE);
  assert_string_equal(error.message, "tensor a lacks 2 bytes");
  assert_int_equal(hb_gguf_writer_data(w, zeros, 2, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_data(w, zeros, 1, &error), HB_STATE);
  assert_int_equal(hb_gguf_writer_finish(w, &error), HB_OK);
  hb_gguf_writer_destroy(w);
  free(t.out.data);
}

static void a_sink_that_fails_ends_the_writing_with_its_error(void **state) {
  (void)state;
  static const uint8_t zeros[32000];
  for (size_t limit = 0; limit < 33000; limit += 4000) {
    target t;
    hb_error error = {0};
    hb_gguf_writer *w = open_writer(&t, NULL);
    t.limit = limit;
    assert_int_equal(add(w, "a", sizeof zeros / 4, NULL), HB_OK);
    hb_status status = hb_gguf_writer_begin(w, &error);
    for (size_t at = 0; at < sizeof zeros && status == HB_OK; at += 1000)
      status = hb_gguf_writer_data(w, zeros + at, 1000, &error);
    assert_int_equal(status, HB_IO);
    assert_string_equal(error.message, "the disk is full");
    assert_int_equal(hb_gguf_writer_data(w, zeros, 1, &error), HB_STATE);
    assert_int_equal(hb_gguf_writer_finish(w, &error), HB_STATE);
    hb_gguf_writer_destroy(w);
    free(t.out.data);
  }
}

static hb_status write_with(hb_gguf_writer *w) {
  HB_TRY(hb_gguf_writer_set_string(w, "key", hb_string_of("text"), NULL));
  for (int i = 0; i < 20; i++) {
    char name[8];
    snprintf(name, sizeof name, "%d", i);
    HB_TRY(hb_gguf_writer_set_u32(w, name, 1, NULL));
    HB_TRY(add(w, name, 8, NULL));
  }
  return hb_gguf_writer_begin(w, NULL);
}

static void without_memory_writing_ends_cleanly_wherever_it_stands(void **state) {
  (void)state;
  hb_status status = HB_MEMORY;
  uint64_t allocations = 1; /* the writer itself */
  for (; status == HB_MEMORY; allocations++) {
    meter m;
    target t;
    meter_start(&m);
    m.left = allocations;
    hb_gguf_writer *w = open_writer(&t, &m.allocator);
    status = write_with(w);
    hb_gguf_writer_destroy(w);
    assert_int_equal(m.held, 0);
    free(t.out.data);
  }
  assert_int_equal(status, HB_OK);
  assert_true(allocations > 25);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(files_of_other_programs_are_rebuilt_byte_for_byte),
      cmocka_unit_test(an_alignment_of_the_metadata_is_followed),
      cmocka_unit_test(a_file_without_anything_is_a_file),
      cmocka_unit_test(every_kind_of_value_is_read_back),
      cmocka_unit_test(keys_are_copied_replaced_in_place_and_removed),
      cmocka_unit_test(what_no_reader_would_take_is_not_written),
      cmocka_unit_test(contradictions_are_found_before_the_data),
      cmocka_unit_test(bytes_beyond_a_tensor_and_missing_ones_are_refused),
      cmocka_unit_test(a_sink_that_fails_ends_the_writing_with_its_error),
      cmocka_unit_test(without_memory_writing_ends_cleanly_wherever_it_stands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
