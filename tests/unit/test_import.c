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

/* ---- Types and parts ---- */

enum { WIDTH = 12, FEED_FORWARD = 20, ROWS = 30 };

typedef struct shape {
  const char *name;
  uint64_t dims[3];
} shape;

static const shape shapes[] = {
    {"model.embed_tokens.weight", {ROWS, WIDTH}},
    {"model.norm.weight", {WIDTH}},
    {"model.layers.0.input_layernorm.weight", {WIDTH}},
    {"model.layers.0.post_attention_layernorm.weight", {WIDTH}},
    {"model.layers.0.self_attn.q_proj.weight", {WIDTH, WIDTH}},
    {"model.layers.0.self_attn.q_proj.bias", {WIDTH}},
    {"model.layers.0.self_attn.k_proj.weight", {WIDTH, WIDTH}},
    {"model.layers.0.self_attn.v_proj.weight", {WIDTH, WIDTH}},
    {"model.layers.0.self_attn.o_proj.weight", {WIDTH, WIDTH}},
    {"model.layers.0.mlp.gate_proj.weight", {FEED_FORWARD, WIDTH}},
    {"model.layers.0.mlp.up_proj.weight", {FEED_FORWARD, WIDTH}},
    {"model.layers.0.mlp.down_proj.weight", {WIDTH, FEED_FORWARD}},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

#define SMALL_CONFIG                                                                               \
  "{\"model_type\":\"llama\",\"vocab_size\":30,\"hidden_size\":12,\"intermediate_size\":20,"       \
  "\"num_attention_heads\":2,\"num_hidden_layers\":1,\"max_position_embeddings\":64,"              \
  "\"tie_word_embeddings\":true}"

/* Adds a tensor of numbers that follow from its index, of 16 bits, or widened to F32. */
static void add_numbers(tensors_file *out, size_t index, const char *dtype, hb_type bits) {
  const uint64_t *dims = shapes[index].dims;
  size_t count = (size_t)(dims[0] * (dims[1] ? dims[1] : 1));
  uint16_t *narrow = malloc(2 * count);
  float *wide = malloc(4 * count);
  for (size_t i = 0; i < count; i++)
    narrow[i] = (uint16_t)(0x3c00 + (index * 1000 + i * 7) % 0x300 + (i % 2 ? 0x8000 : 0));
  hb_traits(bits)->decode(narrow, wide, count);
  if (strcmp(dtype, "F32") == 0)
    tensors_add(out, shapes[index].name, dtype, dims, wide, 4 * count);
  else
    tensors_add(out, shapes[index].name, dtype, dims, narrow, 2 * count);
  free(narrow);
  free(wide);
}

static void write_numbers(const test_folder *f, const char *dtype, hb_type bits) {
  tensors_file tensors = {0};
  for (size_t i = 0; i < SHAPES; i++) add_numbers(&tensors, i, dtype, bits);
  tensors_write(&tensors, f, "model.safetensors");
  folder_text(f, "config.json", SMALL_CONFIG);
}

/* Each tensor of `narrow` decodes to what `wide`, of F32, has. */
static void expect_same_values(const hb_source *narrow, const hb_source *wide, hb_type type) {
  assert_int_equal(hb_gguf_tensor_count(narrow->gguf), SHAPES);
  for (size_t i = 0; i < SHAPES; i++) {
    const hb_tensor *n = hb_gguf_tensor_at(narrow->gguf, i);
    const hb_tensor *w = tensor_named(wide->gguf, n->name);
    size_t count = tensor_values(w);
    assert_int_equal(w->type, HB_TYPE_F32);
    assert_int_equal(n->type, n->dim_count == 1 ? HB_TYPE_F32 : type);
    uint8_t *expected = read_tensor(wide, w, 64), *got = read_tensor(narrow, n, 7);
    float *decoded = malloc(4 * count);
    hb_traits(n->type)->decode(got, decoded, count);
    assert_memory_equal(decoded, expected, 4 * count);
    free(decoded);
    free(got);
    free(expected);
  }
}

static void narrow_types_are_kept_but_in_vectors(void **state) {
  (void)state;
  static const struct {
    const char *name;
    hb_type type;
    uint64_t file_type;
  } types[] = {{"F16", HB_TYPE_F16, 1}, {"BF16", HB_TYPE_BF16, 32}};
  for (size_t i = 0; i < 2; i++) {
    test_folder narrow, wide;
    folder_create(&narrow);
    folder_create(&wide);
    write_numbers(&narrow, types[i].name, types[i].type);
    write_numbers(&wide, "F32", types[i].type);
    hb_source a = source_of(narrow.path), b = source_of(wide.path);
    expect_same_values(&a, &b, types[i].type);
    uint64_t file_type;
    assert_int_equal(hb_value_u64(hb_gguf_value(a.gguf, "general.file_type"), 0, &file_type, NULL),
                     HB_OK);
    assert_int_equal(file_type, types[i].file_type);
    hb_source_close(&a);
    hb_source_close(&b);
    folder_destroy(&narrow);
    folder_destroy(&wide);
  }
}

/* The same tensors in one file and in two. */
static void parts_that_an_index_lists_are_one_model(void **state) {
  (void)state;
  static const char *const parts[] = {"model-00001-of-00002.safetensors",
                                      "model-00002-of-00002.safetensors"};
  test_folder whole, split;
  char index[4096];
  int length = snprintf(index, sizeof index, "{\"metadata\":{},\"weight_map\":{");
  folder_create(&whole);
  folder_create(&split);
  write_numbers(&whole, "F32", HB_TYPE_F16);
  for (size_t part = 0; part < 2; part++) {
    tensors_file tensors = {0};
    for (size_t i = part; i < SHAPES; i += 2) {
      add_numbers(&tensors, i, "F32", HB_TYPE_F16);
      length += snprintf(index + length, sizeof index - (size_t)length, "%s\"%s\":\"%s\"",
                         part + i ? "," : "", shapes[i].name, parts[part]);
    }
    tensors_write(&tensors, &split, parts[part]);
  }
  snprintf(index + length, sizeof index - (size_t)length, "}}");
  folder_text(&split, "model.safetensors.index.json", index);
  folder_text(&split, "config.json", SMALL_CONFIG);
  hb_source a = source_of(whole.path), b = source_of(split.path);
  expect_same_values(&a, &b, HB_TYPE_F32);
  assert_true(hb_source_includes(&b, folder_file(&split, parts[1])));
  assert_true(hb_source_includes(&b, folder_file(&split, "model.safetensors.index.json")));
  hb_source_close(&a);
  hb_source_close(&b);
  folder_destroy(&whole);
  folder_destroy(&split);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tales_has_the_tensors_of_its_gguf),
      cmocka_unit_test(tales_has_the_keys_of_its_gguf),
      cmocka_unit_test(stories_has_the_tensors_of_its_gguf_through_links),
      cmocka_unit_test(what_a_folder_reads_is_not_written_over),
      cmocka_unit_test(a_folder_loads_as_a_model),
      cmocka_unit_test(narrow_types_are_kept_but_in_vectors),
      cmocka_unit_test(parts_that_an_index_lists_are_one_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
