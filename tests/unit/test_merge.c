/* Merging adapters into models of any type: what changes, what stays, and what is refused. */
#include "adapters.h"
#include "quantized.h"

#include "quant/private.h"

#define SHAPE "256,1,4,2,256,300"

/* ---- Files ---- */

static gguf_file synthetic(const char *type) {
  hb_synthetic *s;
  assert_int_equal(hb_synthetic_create(NULL, SHAPE, type, 7, &s, NULL), HB_OK);
  size_t size = (size_t)hb_synthetic_size(s);
  uint8_t *bytes = malloc(size);
  assert_non_null(bytes);
  assert_int_equal(hb_synthetic_read(s, bytes, size), size);
  hb_synthetic_destroy(s);
  return gguf_file_of(bytes, size);
}

static gguf_file copy_of(const gguf_file *f) {
  uint8_t *bytes = malloc(f->size);
  assert_non_null(bytes);
  memcpy(bytes, f->bytes, f->size);
  return gguf_file_of(bytes, f->size);
}

typedef struct merging {
  const gguf_file *base;
  const buffer *adapters;
  size_t count;
  double scale;
  const char *type;
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  int (*progress)(void *context, uint64_t done, uint64_t total);
} merging;

static hb_status merge(const merging *m, bytes *to, hb_error *error) {
  hb_merge_adapter adapters[2];
  for (size_t i = 0; i < m->count; i++)
    adapters[i] = (hb_merge_adapter){m->adapters[i].data, m->adapters[i].size, m->scale};
  hb_source source = {m->base->gguf, (void *)m->base, read_bytes};
  hb_sink sink = {to, write_bytes};
  hb_merge_options options = {.allocator = m->allocator,
                              .parallel = m->parallel,
                              .adapters = adapters,
                              .adapter_count = m->count,
                              .type = m->type,
                              .progress = m->progress};
  return hb_merge_adapters(&source, &options, &sink, error);
}

static gguf_file merged(const merging *m) {
  bytes to = {0};
  hb_error error = {0};
  if (merge(m, &to, &error) != HB_OK) fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

/* A factor of 1, so that the test's sums are those of merging. */
static const adapter_shape whole = {.rank = 4, .alpha = 4, .seed = 9, .size = 0.02f};

/* ---- Values ---- */

static void f32_gets_the_exact_sums_and_nothing_else_changes(void **state) {
  (void)state;
  gguf_file base = synthetic("f32"), expected = copy_of(&base);
  buffer adapter = adapter_for(&base, &whole, &expected, 1);
  hb_threads *pool;
  assert_int_equal(hb_threads_create(3, &pool, NULL), HB_OK);
  for (int threads = 0; threads < 2; threads++) {
    gguf_file got = merged(&(merging){.base = &base,
                                      .adapters = &adapter,
                                      .count = 1,
                                      .scale = 1,
                                      .parallel = threads ? hb_threads_parallel(pool) : NULL});
    assert_int_equal(got.size, expected.size);
    assert_memory_equal(got.bytes, expected.bytes, got.size);
    gguf_file_close(&got);
  }
  hb_threads_destroy(pool);
  free(adapter.data);
  gguf_file_close(&expected);
  gguf_file_close(&base);
}

/* The values of a matrix, as the model computes with them; from malloc. */
static float *values_of(const hb_model *model, const gguf_file *f, const hb_tensor *t) {
  hb_type type = hb_model_tensor_type(model, t);
  const hb_type_traits *traits = hb_traits(type);
  size_t rows = (size_t)t->dims[1], row_bytes = (size_t)t->bytes / rows, cols = 256;
  float *values = malloc(rows * cols * sizeof *values);
  assert_non_null(values);
  for (size_t row = 0; row < rows; row++)
    traits->decode(gguf_file_data(f, t) + row * row_bytes, values + row * cols,
                   cols / traits->block_values);
  return values;
}

static hb_model *load(const gguf_file *f) {
  hb_model *model;
  hb_error error = {0};
  if (load_bytes(f->bytes, f->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  return model;
}

static gguf_file of_type(const char *name) {
  gguf_file plain = synthetic("f32");
  gguf_file f = quantized(&plain, &(hb_quantize_options){.type = name, .method = "rtn"});
  gguf_file_close(&plain);
  return f;
}

/* Matrices that change become what rounding the exact sums gives; the adapter changes values of
 * 0.02 or so by as much, so that a wrong sum would be an error of about 1. */
static void expect_rounded(const char *name, const char *type, double most) {
  gguf_file base = of_type(name), wide = synthetic("f32");
  adapter_shape shape = whole;
  shape.only = "attn_output.weight";
  for (size_t i = 0; i < hb_gguf_tensor_count(wide.gguf); i++)
    memset((uint8_t *)gguf_file_data(&wide, hb_gguf_tensor_at(wide.gguf, i)), 0,
           (size_t)hb_gguf_tensor_at(wide.gguf, i)->bytes);
  buffer adapter = adapter_for(&wide, &shape, &wide, 1); /* wide: B A alone */
  gguf_file got =
      merged(&(merging){.base = &base, .adapters = &adapter, .count = 1, .scale = 1, .type = type});
  hb_model *before = load(&base), *after = load(&got);
  assert_int_equal(hb_gguf_tensor_count(base.gguf), hb_gguf_tensor_count(got.gguf));
  size_t changed = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(base.gguf); i++) {
    const hb_tensor *a = hb_gguf_tensor_at(base.gguf, i), *b = hb_gguf_tensor_at(got.gguf, i);
    if (!is_adapted(&shape, a)) {
      assert_int_equal(a->bytes, b->bytes);
      assert_memory_equal(gguf_file_data(&base, a), gguf_file_data(&got, b), a->bytes);
      continue;
    }
    float *x = values_of(before, &base, a), *y = values_of(after, &got, b);
    const float *d =
        (const float *)(const void *)gguf_file_data(&wide, hb_gguf_tensor_at(wide.gguf, i));
    double error = 0, norm = 0;
    for (size_t k = 0; k < 256 * 256; k++) {
      double exact = (double)x[k] + (double)d[k];
      error += (exact - (double)y[k]) * (exact - (double)y[k]);
      norm += exact * exact;
    }
    if (!(error / norm <= most)) fail_msg("%s: %g", name, error / norm);
    free(x);
    free(y);
    changed++;
  }
  assert_int_equal(changed, 1);
  hb_model_destroy(before);
  hb_model_destroy(after);
  free(adapter.data);
  gguf_file_close(&got);
  gguf_file_close(&wide);
  gguf_file_close(&base);
}

static void every_type_is_rounded_to_itself(void **state) {
  (void)state;
  expect_rounded("f16", NULL, 1e-7);
  expect_rounded("bf16", NULL, 1e-5);
  expect_rounded("q8_0", NULL, 1e-4);
  expect_rounded("q6_k", NULL, 1e-3);
  expect_rounded("q4_0", NULL, 0.02);
  expect_rounded("q4_k", NULL, 0.01);
  expect_rounded("iq4_xs", NULL, 0.01);
  expect_rounded("q2_k", NULL, 0.2);
  expect_rounded("nf4", NULL, 0.02);
}

static void matrices_that_change_can_get_another_type(void **state) {
  (void)state;
  expect_rounded("q4_0", "f16", 1e-7);
  expect_rounded("nf4", "f32", 1e-12);
  expect_rounded("f32", "nf4", 0.02);
  expect_rounded("q2_k", "q8_0", 1e-4);
}

/* Keeps the table of embeddings from becoming NF4. */
static hb_type spare_table(void *context, const hb_tensor *t, hb_type type) {
  (void)context;
  return hb_string_equal(t->name, hb_string_of("token_embd.weight")) ? HB_TYPE_F16 : type;
}

/* Merges an NF4 model to F16; how many tensors are of own types then, and its architecture. */
static uint64_t own_types_left(const hb_quantize_options *options, const char *architecture) {
  gguf_file plain = synthetic("f32"), base = quantized(&plain, options);
  buffer adapter = adapter_for(&plain, &whole, NULL, 1);
  gguf_file got = merged(
      &(merging){.base = &base, .adapters = &adapter, .count = 1, .scale = 1, .type = "f16"});
  hb_string name;
  const hb_value *types = hb_gguf_value(got.gguf, "halfbyte.tensor_types");
  uint64_t count = types ? types->count : 0;
  assert_true(!types == !hb_gguf_value(got.gguf, "halfbyte.features"));
  assert_int_equal(hb_value_string(hb_gguf_value(got.gguf, "general.architecture"), &name, NULL),
                   HB_OK);
  assert_true(hb_string_equal(name, hb_string_of(architecture)));
  hb_model_destroy(load(&got));
  gguf_file_close(&got);
  gguf_file_close(&base);
  gguf_file_close(&plain);
  free(adapter.data);
  return count;
}

static void a_file_says_which_own_types_are_left(void **state) {
  (void)state;
  hb_quantize_options options = {.type = "nf4", .method = "rtn"};
  assert_int_equal(own_types_left(&options, "halfbyte-llama"), 1); /* the table of embeddings */
  options.choose = spare_table;
  assert_int_equal(own_types_left(&options, "llama"), 0);
}

/* Quantized by a method that looks at some text. */
static gguf_file calibrated(const gguf_file *from, const char *method, const char *type,
                            double threshold) {
  static hb_token tokens[64];
  for (int i = 0; i < 64; i++) tokens[i] = (hb_token)(i * 37 % 300);
  const hb_quantize_options options = {.type = type,
                                       .method = method,
                                       .calibration = tokens,
                                       .calibration_samples = 2,
                                       .calibration_length = 32,
                                       .outlier_threshold = threshold};
  return quantized(from, &options);
}

static void values_beside_a_matrix_stay(void **state) {
  (void)state;
  gguf_file plain = synthetic("f32");
  gguf_file base = calibrated(&plain, "spqr", "q4_0", 0);
  buffer adapter = adapter_for(&plain, &whole, NULL, 1);
  gguf_file got = merged(&(merging){.base = &base, .adapters = &adapter, .count = 1, .scale = 1});
  hb_model *model = load(&got), *adapted = load(&base);
  hb_error error = {0};
  size_t beside = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(base.gguf); i++) {
    const hb_tensor *a = hb_gguf_tensor_at(base.gguf, i), *b = hb_gguf_tensor_at(got.gguf, i);
    if (a->dim_count != 1 || a->type != HB_TYPE_I8) continue;
    assert_memory_equal(gguf_file_data(&base, a), gguf_file_data(&got, b), a->bytes);
    beside++;
  }
  assert_int_equal(beside, 7);
  assert_int_equal(hb_model_adapt(adapted, adapter.data, adapter.size, 1, &error), HB_OK);
  hb_model_destroy(adapted);
  hb_model_destroy(model);
  free(adapter.data);
  gguf_file_close(&got);
  gguf_file_close(&base);
  gguf_file_close(&plain);
}

/* ---- Refusals ---- */

static void expect_refused(const merging *m, hb_status status, const char *named) {
  bytes to = {0};
  hb_error error = {0};
  hb_status got = merge(m, &to, &error);
  if (got != status || !strstr(error.message, named))
    fail_msg("expected %d naming \"%s\", got %d: %s", status, named, got, error.message);
  free(to.data);
}

static int stop(void *context, uint64_t done, uint64_t total) {
  (void)context, (void)total;
  return done > 100000;
}

static void what_cannot_be_merged_is_refused(void **state) {
  (void)state;
  gguf_file base = synthetic("q8_0");
  buffer adapter = adapter_for(&base, &whole, NULL, 1);
  merging m = {.base = &base, .adapters = &adapter, .count = 1, .scale = 1};
  m.type = "iq2_xxs";
  expect_refused(&m, HB_ARGUMENT, "iq2_xxs");
  m.type = NULL;
  m.scale = NAN;
  expect_refused(&m, HB_ARGUMENT, "odd scale");
  m.scale = 1e9;
  m.type = "f16";
  expect_refused(&m, HB_MODEL, "too large for F16");
  m.scale = 1;
  m.count = 0;
  expect_refused(&m, HB_ARGUMENT, "1 to 16 adapters");
  m.count = 1;
  m.progress = stop;
  expect_refused(&m, HB_ABORTED, "stopped");
  m.progress = NULL;
  size_t size = adapter.size;
  adapter.size -= 1;
  expect_refused(&m, HB_TRUNCATED, "blk.0.ffn_down.weight.lora_b");
  adapter.size = size;
  free(adapter.data);
  gguf_file_close(&base);
}

static void columns_that_stand_beside_int8_cannot_change(void **state) {
  (void)state;
  gguf_file plain = synthetic("f32"), base = calibrated(&plain, "llm.int8", "q8_0", 0.5);
  buffer adapter = adapter_for(&plain, &whole, NULL, 1);
  merging m = {.base = &base, .adapters = &adapter, .count = 1, .scale = 1};
  expect_refused(&m, HB_UNSUPPORTED, "are kept beside it");
  m.type = "f16";
  gguf_file got = merged(&m);
  hb_model_destroy(load(&got));
  gguf_file_close(&got);
  free(adapter.data);
  gguf_file_close(&base);
  gguf_file_close(&plain);
}

static void what_belongs_to_no_matrix_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *name, *named;
    hb_status status;
  } cases[] = {
      {"blk.0.attn_r.weight", "belongs to no matrix", HB_MODEL},
      {"token_embd.weight", "a table whose rows are read", HB_UNSUPPORTED},
  };
  gguf_file base = synthetic("q8_0");
  for (size_t i = 0; i < 2; i++) {
    buffer b = {0};
    char name[48];
    put_header(&b, 2, 3);
    put_key_string(&b, "general.type", "adapter");
    put_key_string(&b, "adapter.type", "lora");
    put_key_string(&b, "general.architecture", "llama");
    snprintf(name, sizeof name, "%s.lora_a", cases[i].name);
    put_tensor(&b, name, 256, 1, 0, 0);
    snprintf(name, sizeof name, "%s.lora_b", cases[i].name);
    put_tensor(&b, name, 1, 300, 0, 1024);
    put_padding(&b, 32);
    for (size_t k = 0; k < 1024 + 1200; k++) put_u8(&b, 0);
    expect_refused(&(merging){.base = &base, .adapters = &b, .count = 1, .scale = 1},
                   cases[i].status, cases[i].named);
    free(b.data);
  }
  gguf_file_close(&base);
}

/* ---- Memory ---- */

typedef struct purse {
  size_t left, blocks;
} purse;

static void *spend(void *context, size_t size, size_t alignment) {
  purse *p = context;
  if (p->left == 0) return NULL;
  p->left--;
  p->blocks++;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void give_back(void *context, void *block, size_t size) {
  (void)size;
  ((purse *)context)->blocks--;
  free(block);
}

static void without_memory_nothing_is_lost(void **state) {
  (void)state;
  gguf_file base = synthetic("q8_0");
  adapter_shape shape = whole;
  shape.only = "0.attn_k.weight";
  buffer adapter = adapter_for(&base, &shape, NULL, 1);
  purse p = {0};
  hb_allocator allocator = {&p, spend, give_back};
  merging m = {
      .base = &base, .adapters = &adapter, .count = 1, .scale = 1, .allocator = &allocator};
  size_t tries = 0;
  for (;; tries++) {
    bytes to = {0};
    hb_error error = {0};
    p.left = tries;
    hb_status status = merge(&m, &to, &error);
    free(to.data);
    assert_int_equal(p.blocks, 0);
    if (status == HB_OK) break;
    assert_int_equal(status, HB_MEMORY);
  }
  assert_in_range(tries, 10, 200);
  free(adapter.data);
  gguf_file_close(&base);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(f32_gets_the_exact_sums_and_nothing_else_changes),
      cmocka_unit_test(every_type_is_rounded_to_itself),
      cmocka_unit_test(matrices_that_change_can_get_another_type),
      cmocka_unit_test(a_file_says_which_own_types_are_left),
      cmocka_unit_test(values_beside_a_matrix_stay),
      cmocka_unit_test(what_cannot_be_merged_is_refused),
      cmocka_unit_test(columns_that_stand_beside_int8_cannot_change),
      cmocka_unit_test(what_belongs_to_no_matrix_is_refused),
      cmocka_unit_test(without_memory_nothing_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
