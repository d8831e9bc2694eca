/* Folders of Hugging Face as sources: real models against their GGUF files. */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */
#include "folder_files.h"
#include "gguf_files.h"

#include "halfbyte.h"

/* The bytes of a tensor, read in pieces of `piece`, for free(). */
static uint8_t *read_tensor(const hb_source *source, const hb_tensor *t, size_t piece) {
  uint8_t *bytes = malloc((size_t)t->bytes);
  uint64_t start = hb_gguf_shard_data_start(source->gguf, 0) + t->offset;
  hb_error error;
  assert_non_null(bytes);
  for (uint64_t at = 0; at < t->bytes; at += piece) {
    size_t count = t->bytes - at < piece ? (size_t)(t->bytes - at) : piece;
    assert_int_equal(source->read(source->context, 0, start + at, bytes + at, count, &error),
                     HB_OK);
  }
  return bytes;
}

static const hb_tensor *tensor_named(const hb_gguf *gguf, hb_string name) {
  char text[80];
  snprintf(text, sizeof text, "%.*s", (int)name.length, name.data);
  const hb_tensor *t = hb_gguf_tensor(gguf, text);
  if (!t) fail_msg("no tensor %s", text);
  return t;
}

/* All tensors are those of `expected`, with the same type, shape and bytes. */
static void expect_same_tensors(const hb_source *source, const gguf_file *expected, size_t piece) {
  for (size_t i = 0; i < hb_gguf_tensor_count(source->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(source->gguf, i);
    const hb_tensor *e = tensor_named(expected->gguf, t->name);
    assert_int_equal(t->type, e->type);
    assert_int_equal(t->dim_count, e->dim_count);
    assert_memory_equal(t->dims, e->dims, sizeof e->dims);
    uint8_t *bytes = read_tensor(source, t, piece);
    if (memcmp(bytes, gguf_file_data(expected, e), (size_t)e->bytes) != 0)
      fail_msg("tensor %.*s differs", (int)e->name.length, e->name.data);
    free(bytes);
  }
}

static void expect_same_value(const hb_gguf *gguf, const hb_value *expected) {
  char key[128];
  snprintf(key, sizeof key, "%.*s", (int)expected->key.length, expected->key.data);
  const hb_value *v = hb_gguf_value(gguf, key);
  if (!v) fail_msg("no key %s", key);
  if (v->type != expected->type || v->element != expected->element || v->bytes != expected->bytes ||
      memcmp(v->data, expected->data, (size_t)v->bytes) != 0)
    fail_msg("key %s differs", key);
}

/* Every key of `expected` that begins so, but the name, is there with the same value. */
static void expect_same_keys(const hb_source *source, const gguf_file *expected,
                             const char *prefix) {
  size_t same = 0;
  for (size_t i = 0; i < hb_gguf_value_count(expected->gguf); i++) {
    const hb_value *v = hb_gguf_value_at(expected->gguf, i);
    if (v->key.length < strlen(prefix) || memcmp(v->key.data, prefix, strlen(prefix)) != 0)
      continue;
    expect_same_value(source->gguf, v);
    same++;
  }
  assert_true(same > 0);
}

#define TALES "models/tales-5.8m/"

static void tales_has_the_tensors_of_its_gguf(void **state) {
  (void)state;
  NEED_SHARED(TALES "hf/config.json");
  gguf_file expected = gguf_file_shared(TALES "tales-5.8m-f32.gguf");
  hb_source source = source_of(shared_path(TALES "hf"));
  assert_int_equal(hb_gguf_tensor_count(source.gguf), hb_gguf_tensor_count(expected.gguf));
  expect_same_tensors(&source, &expected, 1 << 16);
  expect_same_tensors(&source, &expected, 1021); /* no multiple of a value or a row */
  hb_source_close(&source);
  gguf_file_close(&expected);
}

static void tales_has_the_keys_of_its_gguf(void **state) {
  (void)state;
  NEED_SHARED(TALES "hf/config.json");
  gguf_file expected = gguf_file_shared(TALES "tales-5.8m-f32.gguf");
  hb_source source = source_of(shared_path(TALES "hf"));
  expect_same_keys(&source, &expected, "llama.");
  expect_same_keys(&source, &expected, "tokenizer.");
  expect_same_keys(&source, &expected, "general.architecture");
  expect_same_keys(&source, &expected, "general.file_type");
  hb_source_close(&source);
  gguf_file_close(&expected);
}

/* Links to the files of a model, under the names that a folder has. */
static void link_shared(const test_folder *f, const char *name, const char *relative) {
  char *target = realpath(shared_path(relative), NULL);
  assert_non_null(target);
  assert_int_equal(symlink(target, folder_file(f, name)), 0);
  free(target);
}

#define STORIES "models/stories260K/stories260K"

static void stories_has_the_tensors_of_its_gguf_through_links(void **state) {
  (void)state;
  NEED_SHARED(STORIES ".safetensors");
  test_folder folder;
  folder_create(&folder);
  link_shared(&folder, "model.safetensors", STORIES ".safetensors");
  link_shared(&folder, "config.json", STORIES ".config.json");
  gguf_file expected = gguf_file_shared(STORIES "-f32.gguf");
  hb_source source = source_of(folder.path);
  expect_same_tensors(&source, &expected, 4096);
  /* The GGUF repeats the embedding as its output matrix. */
  assert_int_equal(hb_gguf_tensor_count(source.gguf), hb_gguf_tensor_count(expected.gguf) - 1);
  expect_same_keys(&source, &expected, "llama.");
  assert_null(hb_gguf_value(source.gguf, "tokenizer.ggml.tokens")); /* the folder has none */
  hb_source_close(&source);
  gguf_file_close(&expected);
  folder_destroy(&folder);
}

static void what_a_folder_reads_is_not_written_over(void **state) {
  (void)state;
  NEED_SHARED(TALES "hf/config.json");
  char other[1024];
  hb_source source = source_of(shared_path(TALES "hf"));
  static const char *const inputs[] = {"config.json", "model.safetensors", "tokenizer.model"};
  for (size_t i = 0; i < 3; i++) {
    snprintf(other, sizeof other, TALES "hf/%s", inputs[i]);
    assert_true(hb_source_includes(&source, shared_path(other)));
  }
  assert_false(hb_source_includes(&source, shared_path(TALES "tales-5.8m-f32.gguf")));
  assert_false(hb_source_includes(&source, "/tmp/no-such-file"));
  hb_source_close(&source);
}

static void a_folder_loads_as_a_model(void **state) {
  (void)state;
  NEED_SHARED(TALES "hf/config.json");
  hb_load_options options = {.isa = HB_ISA_SCALAR};
  hb_model *model;
  hb_model_info info;
  hb_error error = {0};
  if (hb_load_file(shared_path(TALES "hf"), &options, NULL, &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_model_get_info(model, &info);
  assert_int_equal(info.vocabulary, 4096);
  assert_int_equal(info.layers, 6);
  hb_model_destroy(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tales_has_the_tensors_of_its_gguf),
      cmocka_unit_test(tales_has_the_keys_of_its_gguf),
      cmocka_unit_test(stories_has_the_tensors_of_its_gguf_through_links),
      cmocka_unit_test(what_a_folder_reads_is_not_written_over),
      cmocka_unit_test(a_folder_loads_as_a_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
