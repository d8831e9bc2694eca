/* Loading: in pieces of any size, and files that describe no model that could run. */
#include "support.h"

#define MODEL "vectors/arch/llama.gguf"

typedef struct file {
  uint8_t *bytes;
  size_t size;
} file;

static file open_model(void) {
  file f;
  f.bytes = read_shared(MODEL, &f.size);
  return f;
}

/* The first place of `text` in the file; fails the test if there is none. */
static uint8_t *find(file f, const char *text) {
  size_t length = strlen(text);
  for (size_t i = 0; i + length <= f.size; i++)
    if (memcmp(f.bytes + i, text, length) == 0) return f.bytes + i;
  fail_msg("the file has no \"%s\"", text);
  return NULL;
}

/* Overwrites the u32 value of a key. */
static void set_u32(file f, const char *key, uint32_t value) {
  uint8_t *at = find(f, key) + strlen(key) + 4;
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

/* Loading fails with that status, and the error names `named`. */
static void expect_refused(file f, hb_status status, const char *named) {
  hb_model *model;
  hb_error error = {0};
  hb_status got = load_bytes(f.bytes, f.size, HB_ISA_SCALAR, &model, &error);
  if (got != status || !strstr(error.message, named))
    fail_msg("expected status %d naming %s, got %d: %s", status, named, got, error.message);
  assert_int_equal(error.status, status);
  assert_null(model);
  free(f.bytes);
}

static void logits_of(const hb_model *model, float *out) {
  const hb_token tokens[] = {1, 403, 407};
  hb_session *session;
  hb_session_options options = {.context_length = 8};
  assert_int_equal(hb_session_create(model, &options, &session, NULL), HB_OK);
  assert_int_equal(hb_session_append(session, tokens, 3, NULL), HB_OK);
  memcpy(out, hb_session_logits(session, 0), 512 * sizeof *out);
  hb_session_destroy(session);
}

static void a_model_that_arrives_in_pieces_is_the_same_model(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const size_t pieces[] = {1, 13, 333, 4096, 100001};
  file f = open_model();
  float whole[512], pieced[512];
  hb_model *model = load_shared(MODEL, HB_ISA_SCALAR);
  logits_of(model, whole);
  hb_model_destroy(model);
  for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
    hb_loader *loader;
    hb_load_options options = {.isa = HB_ISA_SCALAR};
    assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_OK);
    assert_int_equal(hb_loader_begin_file(loader, HB_SIZE_UNKNOWN, NULL), HB_OK);
    for (size_t at = 0; at < f.size; at += pieces[p]) {
      size_t count = f.size - at < pieces[p] ? f.size - at : pieces[p];
      assert_int_equal(hb_loader_feed(loader, f.bytes + at, count, NULL), HB_OK);
      assert_true(hb_loader_state(loader).file_offset == at + count);
    }
    assert_int_equal(hb_loader_finish(loader, &model, NULL), HB_OK);
    hb_loader_destroy(loader);
    logits_of(model, pieced);
    hb_model_destroy(model);
    assert_memory_equal(pieced, whole, sizeof whole);
  }
  free(f.bytes);
}

static void a_file_cut_anywhere_is_refused_as_truncated(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  file f = open_model();
  for (size_t size = 0; size < f.size - 1; size += size < 20000 ? 97 : 9973) {
    hb_loader *loader;
    hb_model *model;
    hb_load_options options = {.isa = HB_ISA_SCALAR};
    hb_error error;
    assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_OK);
    assert_int_equal(hb_loader_begin_file(loader, HB_SIZE_UNKNOWN, NULL), HB_OK);
    assert_int_equal(hb_loader_feed(loader, f.bytes, size, &error), HB_OK);
    assert_int_equal(hb_loader_finish(loader, &model, &error), HB_TRUNCATED);
    hb_loader_destroy(loader);
  }
  free(f.bytes);
}

static void a_loader_that_failed_stays_failed(void **state) {
  (void)state;
  hb_loader *loader;
  hb_model *model;
  hb_load_options options = {.isa = HB_ISA_SCALAR};
  assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_OK);
  assert_int_equal(hb_loader_finish(loader, &model, NULL), HB_STATE);
  assert_int_equal(hb_loader_feed(loader, "GGUF", 4, NULL), HB_STATE);
  assert_int_equal(hb_loader_begin_file(loader, HB_SIZE_UNKNOWN, NULL), HB_OK);
  assert_int_not_equal(hb_loader_feed(loader, "not a model at all", 18, NULL), HB_OK);
  assert_int_equal(hb_loader_feed(loader, "GGUF", 4, NULL), HB_STATE);
  assert_int_equal(hb_loader_finish(loader, &model, NULL), HB_STATE);
  hb_loader_destroy(loader);
}

static void an_unknown_architecture_is_named(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  file f = open_model();
  memcpy(find(f, "general.architecture") + 20 + 4 + 8, "lxama", 5);
  expect_refused(f, HB_UNSUPPORTED, "lxama");
}

static void a_missing_tensor_is_named(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  file f = open_model();
  memcpy(find(f, "blk.1.ffn_down.weight"), "blk.1.ffn_xxxx", 14);
  expect_refused(f, HB_MODEL, "blk.1.ffn_down.weight");
}

static void a_misshaped_tensor_is_named_with_both_shapes(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  file f = open_model();
  uint8_t *dims = find(f, "blk.0.attn_k.weight") + 19 + 4;
  assert_int_equal(dims[0], 64);
  assert_int_equal(dims[8], 32);
  dims[0] = 32;
  dims[8] = 64;
  expect_refused(f, HB_MODEL, "blk.0.attn_k.weight has the shape 32 x 64");
}

static void hyperparameters_are_checked_before_they_are_used(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const struct {
    const char *key;
    uint32_t value;
    const char *named;
  } cases[] = {
      {"llama.block_count", 0, "llama.block_count"},
      {"llama.block_count", 1001, "llama.block_count"},
      {"llama.block_count", 3, "blk.2."},
      {"llama.embedding_length", 0, "llama.embedding_length"},
      {"llama.embedding_length", 63, "63"},
      {"llama.attention.head_count", 0, "llama.attention.head_count"},
      {"llama.attention.head_count", 3, "heads"},
      {"llama.attention.head_count_kv", 3, "heads"},
      {"llama.attention.head_count_kv", 0xffffffffu, "llama.attention.head_count_kv"},
      {"llama.feed_forward_length", 0xffffffffu, "llama.feed_forward_length"},
      {"llama.feed_forward_length", 127, "ffn_"},
      {"llama.context_length", 0, "llama.context_length"},
      {"llama.rope.dimension_count", 18, "llama.rope.dimension_count"},
      {"llama.rope.dimension_count", 15, "llama.rope.dimension_count"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    file f = open_model();
    set_u32(f, cases[i].key, cases[i].value);
    expect_refused(f, HB_MODEL, cases[i].named);
  }
}

static void numbers_that_are_not_finite_are_refused(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  file f = open_model();
  set_u32(f, "llama.attention.layer_norm_rms_epsilon", 0x7fc00000u);
  expect_refused(f, HB_MODEL, "layer_norm_rms_epsilon");
  f = open_model();
  set_u32(f, "llama.rope.freq_base", 0x7f800000u);
  expect_refused(f, HB_MODEL, "llama.rope.freq_base");
}

static void a_key_of_the_wrong_type_is_named(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  file f = open_model();
  find(f, "llama.block_count")[17] = 6; /* f32 */
  expect_refused(f, HB_MODEL, "llama.block_count");
}

static void an_unsupported_tensor_type_is_named(void **state) {
  (void)state;
  NEED_SHARED("vectors/quant/IQ3_S.gguf");
  file f;
  f.bytes = read_shared("vectors/quant/IQ3_S.gguf", &f.size);
  expect_refused(f, HB_UNSUPPORTED, "IQ3_S");
}

static void an_instruction_set_that_is_not_there_is_refused(void **state) {
  (void)state;
  hb_loader *loader;
  hb_error error;
  hb_load_options options = {.isa = HB_ISA_RELAXED};
  if (hb_isa_available(HB_ISA_RELAXED)) skip();
  assert_int_equal(hb_loader_create(&options, &loader, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "relaxed"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_model_that_arrives_in_pieces_is_the_same_model),
      cmocka_unit_test(a_file_cut_anywhere_is_refused_as_truncated),
      cmocka_unit_test(a_loader_that_failed_stays_failed),
      cmocka_unit_test(an_unknown_architecture_is_named),
      cmocka_unit_test(a_missing_tensor_is_named),
      cmocka_unit_test(a_misshaped_tensor_is_named_with_both_shapes),
      cmocka_unit_test(hyperparameters_are_checked_before_they_are_used),
      cmocka_unit_test(numbers_that_are_not_finite_are_refused),
      cmocka_unit_test(a_key_of_the_wrong_type_is_named),
      cmocka_unit_test(an_unsupported_tensor_type_is_named),
      cmocka_unit_test(an_instruction_set_that_is_not_there_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
