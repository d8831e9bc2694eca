/* What the names of methods mean, and what shares a scale where a caller says it. */
#include "calibrating.h"

static gguf_file rounded(const gguf_file *from, const char *type, const char *granularity,
                         uint32_t group) {
  return quantized(
      from, &(hb_quantize_options){.type = type, .granularity = granularity, .group_size = group});
}

/* Their metadata say how they were made. */
static void assert_same_tensors(const gguf_file *a, const gguf_file *b) {
  for (size_t i = 0; i < hb_gguf_tensor_count(a->gguf); i++) {
    const hb_tensor *x = hb_gguf_tensor_at(a->gguf, i), *y = hb_gguf_tensor_at(b->gguf, i);
    assert_int_equal(x->bytes, y->bytes);
    assert_memory_equal(gguf_file_data(a, x), gguf_file_data(b, y), x->bytes);
  }
}

static void nf4_and_fp4_are_rounding_to_these_types(void **state) {
  (void)state;
  NEED_SHARED("vectors/arch/llama.gguf");
  static const char *const names[] = {"nf4", "fp4"};
  gguf_file from = gguf_file_shared("vectors/arch/llama.gguf");
  for (int i = 0; i < 2; i++) {
    gguf_file by_type = quantized(&from, &(hb_quantize_options){.type = names[i]});
    gguf_file by_name = quantized(&from, &(hb_quantize_options){.method = names[i]});
    gguf_file by_both =
        quantized(&from, &(hb_quantize_options){.type = names[i], .method = names[i]});
    assert_same_tensors(&by_type, &by_name);
    assert_same_tensors(&by_type, &by_both);
    gguf_file_close(&by_type);
    gguf_file_close(&by_name);
    gguf_file_close(&by_both);
  }
  gguf_file_close(&from);
}

/* ---- Scales ---- */

/* Whether the blocks of a matrix that begin less than `period` blocks apart, counted from every
 * `period`th on, have one scale each, and whether others have another. */
static void assert_period(const gguf_file *f, const char *name, uint32_t block_bytes,
                          uint32_t parameter_bytes, uint64_t period) {
  const hb_tensor *t = hb_gguf_tensor(f->gguf, name);
  const uint8_t *blocks = gguf_file_data(f, t);
  uint64_t count = t->bytes / block_bytes, different = 0;
  assert_true(count % period == 0);
  for (uint64_t i = 1; i < count; i++) {
    bool same =
        memcmp(blocks + i * block_bytes, blocks + (i - 1) * block_bytes, parameter_bytes) == 0;
    if (i % period != 0 && !same)
      fail_msg("%s: block %u has a scale of its own", name, (unsigned)i);
    different += !same;
  }
  assert_true(different > (count / period - 1) / 2 || count == period);
}

/* token_embd is done in several strips of rows. */
static void a_scale_is_shared_as_far_as_is_said(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const struct {
    const char *type;
    uint32_t block_bytes, parameter_bytes;
  } types[] = {{"q4_0", 18, 2}, {"q4_1", 20, 4}, {"q8_0", 34, 2}};
  gguf_file from = gguf_file_shared(MODEL);
  const char *table = "token_embd.weight", *down = "blk.3.ffn_down.weight";
  uint64_t rows = hb_gguf_tensor(from.gguf, table)->dims[1];
  for (int i = 0; i < 3; i++) {
    uint32_t bytes = types[i].block_bytes, parameters = types[i].parameter_bytes;
    gguf_file tensor = rounded(&from, types[i].type, "tensor", 0);
    gguf_file channel = rounded(&from, types[i].type, "channel", 0);
    gguf_file group = rounded(&from, types[i].type, NULL, 64);
    gguf_file usual = rounded(&from, types[i].type, "group", 0);
    assert_period(&tensor, table, bytes, parameters, rows * 256 / 32);
    assert_period(&channel, table, bytes, parameters, 256 / 32);
    assert_period(&channel, down, bytes, parameters, 768 / 32);
    assert_period(&group, down, bytes, parameters, 2);
    assert_period(&usual, down, bytes, parameters, 4);
    gguf_file_close(&tensor);
    gguf_file_close(&channel);
    gguf_file_close(&group);
    gguf_file_close(&usual);
  }
  gguf_file_close(&from);
}

static void smaller_groups_come_closer(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  read_tokens(&from);
  static const struct {
    const char *granularity;
    uint32_t group;
  } ways[] = {{"tensor", 0}, {"channel", 0}, {"group", 64}, {"block", 0}};
  double last = 0;
  for (int i = 0; i < 4; i++) {
    gguf_file to = rounded(&from, "q4_0", ways[i].granularity, ways[i].group);
    double off = distance(&from, &to);
    if (i > 0 && !(off < last)) fail_msg("%s: %g, before %g", ways[i].granularity, off, last);
    last = off;
    gguf_file_close(&to);
  }
  gguf_file_close(&from);
}

/* ---- Contradictions ---- */

static void contradictions_are_refused_by_name(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const struct {
    hb_quantize_options options;
    const char *message;
  } wrong[] = {
      {{.type = "q4_0", .method = "nf4"}, "method nf4 means the type NF4, not q4_0"},
      {{.type = "q4_0", .method = "hqq", .granularity = "channel"},
       "a scale for a channel is what rtn can do"},
      {{.type = "q4_0", .granularity = "row"}, "a tensor, channel, group or block shares a scale"},
      {{.type = "q4_0", .granularity = "tensor", .group_size = 64},
       "groups of 64 columns and a scale for a tensor"},
      {{.type = "q4_0", .group_size = 96}, "token_embd.weight: rows of 256 values do not divide"},
      {{.type = "q4_k", .granularity = "channel"}, "values cannot be rounded to Q4_K by this"},
      {{.granularity = "channel"}, "no type to quantize to"},
      {{.type = "q4_0", .method = "gptq", .outliers = 0.01},
       "gptq has no use for a part of outliers"},
      {{.type = "q4_0", .outlier_threshold = 6}, "rtn has no use for a threshold of outliers"},
      {{.type = "q8_0", .method = "llm.int8", .smooth_alpha = 0.5},
       "llm.int8 has no use for an alpha"},
  };
  gguf_file from = gguf_file_shared(MODEL);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    bytes to = {0};
    hb_error error;
    assert_int_equal(quantize(&from, &wrong[i].options, &to, &error), HB_ARGUMENT);
    if (!strstr(error.message, wrong[i].message))
      fail_msg("%s: %s", wrong[i].message, error.message);
    assert_int_equal(to.size, 0);
  }
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nf4_and_fp4_are_rounding_to_these_types),
      cmocka_unit_test(a_scale_is_shared_as_far_as_is_said),
      cmocka_unit_test(smaller_groups_come_closer),
      cmocka_unit_test(contradictions_are_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
