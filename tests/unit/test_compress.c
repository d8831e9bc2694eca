/* Quantizing whole files: what llama.cpp made of the same file, which tensors are left alone, what
 * is told, and what happens when something fails. */
#include "gguf_builder.h"
#include "quantized.h"

#include <math.h>

static gguf_file quantized_to(const gguf_file *from, hb_type type) {
  return quantized(from, &(hb_quantize_options){.type = hb_type_name(type)});
}

static const char *name_of(const hb_tensor *tensor) {
  static char name[128];
  snprintf(name, sizeof name, "%.*s", (int)tensor->name.length, tensor->name.data);
  return name;
}

static const hb_tensor *same_tensor(const gguf_file *f, const hb_tensor *tensor) {
  const hb_tensor *found = hb_gguf_tensor(f->gguf, name_of(tensor));
  assert_non_null(found);
  assert_int_equal(found->dim_count, tensor->dim_count);
  for (int d = 0; d < 4; d++) assert_int_equal(found->dims[d], tensor->dims[d]);
  return found;
}

static uint64_t u64_of(const gguf_file *f, const char *key) {
  uint64_t number = 0;
  const hb_value *value = hb_gguf_value(f->gguf, key);
  assert_non_null(value);
  assert_int_equal(hb_value_u64(value, 0, &number, NULL), HB_OK);
  return number;
}

/* ---- Against llama.cpp ---- */

typedef struct reference {
  const char *name;
  hb_type type;
} reference;

static void gives_the_tensors_that_ggml_gives(void **state) {
  const reference *r = *state;
  NEED_SHARED("vectors/quant/f32.gguf");
  char path[64];
  snprintf(path, sizeof path, "vectors/quant/%s.gguf", r->name);
  gguf_file from = gguf_file_shared("vectors/quant/f32.gguf");
  gguf_file expected = gguf_file_shared(path);
  gguf_file got = quantized_to(&from, r->type);
  assert_int_equal(hb_gguf_tensor_count(got.gguf), hb_gguf_tensor_count(expected.gguf));
  for (size_t i = 0; i < hb_gguf_tensor_count(got.gguf); i++) {
    const hb_tensor *a = hb_gguf_tensor_at(got.gguf, i), *b = same_tensor(&expected, a);
    assert_int_equal(a->type, b->type);
    assert_memory_equal(gguf_file_data(&got, a), gguf_file_data(&expected, b), (size_t)a->bytes);
  }
  assert_int_equal(u64_of(&got, "general.file_type"), u64_of(&expected, "general.file_type"));
  assert_int_equal(u64_of(&got, "general.quantization_version"), 2);
  gguf_file_close(&from);
  gguf_file_close(&expected);
  gguf_file_close(&got);
}

/* F32 from a quantized file is what that file decodes to. */
static void any_supported_type_can_be_the_source(void **state) {
  (void)state;
  NEED_SHARED("vectors/quant/f32.gguf");
  static const char *const names[] = {"F16",    "BF16",   "Q4_0",   "Q4_1",   "Q5_0",     "Q5_1",
                                      "Q8_0",   "Q2_K",   "Q3_K_M", "Q4_K_M", "Q5_K_M",   "Q6_K",
                                      "IQ4_NL", "IQ4_XS", "TQ1_0",  "TQ2_0",  "MXFP4_MOE"};
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[64];
    snprintf(path, sizeof path, "vectors/quant/%s.gguf", names[n]);
    gguf_file from = gguf_file_shared(path), to = quantized_to(&from, HB_TYPE_F32);
    for (size_t i = 0; i < hb_gguf_tensor_count(to.gguf); i++) {
      const hb_tensor *a = hb_gguf_tensor_at(to.gguf, i), *b = same_tensor(&from, a);
      float *values = gguf_file_decode(&from, b);
      assert_int_equal(a->type, HB_TYPE_F32);
      assert_memory_equal(gguf_file_data(&to, a), values, (size_t)a->bytes);
      free(values);
    }
    assert_int_equal(u64_of(&to, "general.file_type"), 0);
    gguf_file_close(&from);
    gguf_file_close(&to);
  }
}

/* ---- Files made by hand ---- */

typedef struct made_tensor {
  const char *name;
  uint32_t dim_count;
  uint64_t dims[4];
  hb_type type;
} made_tensor;

enum { MAX_MADE = 16 };

/* Values that all types can hold, and that differ from tensor to tensor. */
static float made_value(size_t tensor, size_t i) {
  return (float)((int)((i * 37 + tensor * 11) % 64) - 32) * 0.125f;
}

/* A file of tensors, the first of which has that number: F32 ones with values, others of zeros. */
static gguf_file make_bytes(const made_tensor *tensors, size_t first, size_t count, uint64_t keys,
                            void (*put_keys)(buffer *)) {
  buffer b = {0};
  uint64_t offset = 0, bytes[MAX_MADE];
  put_header(&b, count, keys);
  if (put_keys) put_keys(&b);
  for (size_t i = 0; i < count; i++) {
    const made_tensor *t = &tensors[i];
    assert_true(hb_row_bytes(t->type, t->dims[0], &bytes[i]));
    put_string(&b, t->name);
    put_u32(&b, t->dim_count);
    for (uint32_t d = 0; d < t->dim_count; d++) put_u64(&b, t->dims[d]);
    for (uint32_t d = 1; d < t->dim_count; d++) bytes[i] *= t->dims[d];
    put_u32(&b, t->type);
    put_u64(&b, offset);
    offset += (bytes[i] + 31) / 32 * 32;
  }
  put_padding(&b, 32);
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < bytes[i] / 4; k++) {
      float value = tensors[i].type == HB_TYPE_F32 ? made_value(first + i, k) : 0;
      put(&b, &value, 4);
    }
    put_padding(&b, 32);
  }
  return (gguf_file){b.data, b.size, NULL};
}

static gguf_file make_file(const made_tensor *tensors, size_t count, uint64_t keys,
                           void (*put_keys)(buffer *)) {
  gguf_file f = make_bytes(tensors, 0, count, keys, put_keys);
  return gguf_file_of(f.bytes, f.size);
}

static void only_matrices_that_multiply_are_quantized(void **state) {
  (void)state;
  static const made_tensor tensors[] = {
      {"token_embd.weight", 2, {64, 4}, HB_TYPE_F32},
      {"position_embd.weight", 2, {64, 4}, HB_TYPE_F32},
      {"blk.0.attn_norm.weight", 1, {64}, HB_TYPE_F32},
      {"blk.0.attn_q_norm.weight", 2, {64, 2}, HB_TYPE_F32},
      {"blk.0.attn_q.weight", 2, {64, 4}, HB_TYPE_F32},
      {"blk.0.attn_q.bias", 2, {64, 4}, HB_TYPE_F32},
      {"blk.0.ffn_gate_inp.weight", 2, {64, 4}, HB_TYPE_F32},
      {"blk.0.ffn_up_exps.weight", 3, {64, 2, 3}, HB_TYPE_F32},
      {"blk.0.ffn_down.weight", 2, {64, 1}, HB_TYPE_F32},
      {"blk.0.odd.weight", 4, {64, 2, 2, 2}, HB_TYPE_F32},
      {"rope_freqs.weight", 1, {64}, HB_TYPE_F32},
      {"something.else", 1, {64}, HB_TYPE_I32},
  };
  enum { COUNT = sizeof tensors / sizeof *tensors };
  gguf_file from = make_file(tensors, COUNT, 0, NULL), to = quantized_to(&from, HB_TYPE_Q8_0);
  size_t quantized = 0;
  for (size_t i = 0; i < COUNT; i++) {
    const hb_tensor *a = hb_gguf_tensor_at(from.gguf, i), *b = same_tensor(&to, a);
    if (b->type == HB_TYPE_Q8_0) {
      quantized++;
      assert_true(i == 0 || i == 4 || i == 7);
    } else {
      assert_int_equal(b->type, a->type);
      assert_memory_equal(gguf_file_data(&from, a), gguf_file_data(&to, b), (size_t)a->bytes);
    }
  }
  assert_int_equal(quantized, 3);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static void put_some_keys(buffer *b) {
  put_key_string(b, "general.architecture", "llama");
  put_key_u32(b, "general.file_type", 0);
  put_key_f32(b, "llama.rope.freq_base", 10000);
  put_key_array(b, "tokenizer.ggml.tokens", HB_VALUE_STRING, 2);
  put_string(b, "a");
  put_string(b, "");
  put_key_array(b, "numbers", HB_VALUE_U32, 3);
  for (uint32_t i = 0; i < 3; i++) put_u32(b, i);
}

static void metadata_is_copied_but_for_what_changes(void **state) {
  (void)state;
  static const made_tensor tensor = {"output.weight", 2, {32, 2}, HB_TYPE_F32};
  gguf_file from = make_file(&tensor, 1, 5, put_some_keys), to = quantized_to(&from, HB_TYPE_Q5_1);
  assert_int_equal(hb_gguf_value_count(to.gguf), 6);
  for (size_t i = 0; i < 5; i++) {
    const hb_value *a = hb_gguf_value_at(from.gguf, i), *b = hb_gguf_value_at(to.gguf, i);
    assert_int_equal(a->key.length, b->key.length);
    assert_memory_equal(a->key.data, b->key.data, a->key.length);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->element, b->element);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->bytes, b->bytes);
    if (i != 1) assert_memory_equal(a->data, b->data, (size_t)a->bytes);
  }
  assert_int_equal(u64_of(&to, "general.file_type"), 9);
  assert_int_equal(u64_of(&to, "general.quantization_version"), 2);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static void put_split(buffer *b, uint32_t number) {
  put_key_u32(b, "split.no", number);
  put_key_u32(b, "split.count", 2);
  put_key_u32(b, "split.tensors.count", 3);
}

static void put_first_split(buffer *b) {
  put_split(b, 0);
}

static void put_second_split(buffer *b) {
  put_split(b, 1);
}

static void shards_become_one_file(void **state) {
  (void)state;
  static const made_tensor tensors[] = {{"a.weight", 2, {32, 3}, HB_TYPE_F32},
                                        {"b.weight", 1, {7}, HB_TYPE_F32},
                                        {"c.weight", 2, {33, 2}, HB_TYPE_F32}};
  gguf_file whole = make_file(tensors, 3, 0, NULL);
  gguf_file expected = quantized_to(&whole, HB_TYPE_Q4_0);

  gguf_file shards[2] = {make_bytes(tensors, 0, 1, 3, put_first_split),
                         make_bytes(tensors + 1, 1, 2, 3, put_second_split)};
  hb_gguf *gguf;
  size_t used;
  bool done;
  assert_int_equal(hb_gguf_create(NULL, &gguf, NULL), HB_OK);
  hb_source source = {gguf, shards, read_bytes};
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_quantize_options options = {.type = "q4_0"};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(hb_quantize(&source, &options, &sink, NULL), HB_TRUNCATED);
    assert_int_equal(hb_gguf_begin_shard(gguf, shards[i].size, NULL), HB_OK);
    assert_int_equal(hb_gguf_feed(gguf, shards[i].bytes, shards[i].size, &used, &done, NULL),
                     HB_OK);
  }
  assert_int_equal(to.size, 0);
  assert_int_equal(hb_quantize(&source, &options, &sink, NULL), HB_OK);
  assert_int_equal(to.size, expected.size);
  assert_memory_equal(to.data, expected.bytes, to.size);
  hb_gguf_destroy(gguf);
  free(to.data);
  free(shards[0].bytes);
  free(shards[1].bytes);
  gguf_file_close(&whole);
  gguf_file_close(&expected);
}

/* ---- What is told ---- */

typedef struct tale {
  size_t reports, reasons;
  hb_quantize_report last;
  char reason[128];
  uint64_t bytes; /* of the result's tensors */
  uint64_t done, total;
  uint64_t stop_at;
} tale;

static void take_report(void *context, const hb_quantize_report *report) {
  tale *l = context;
  assert_int_equal(report->index, l->reports++);
  l->last = *report;
  l->bytes += report->bytes;
  if (!report->reason) return;
  l->reasons++;
  snprintf(l->reason, sizeof l->reason, "%s", report->reason);
}

static int take_progress(void *context, uint64_t done, uint64_t total) {
  tale *l = context;
  assert_true(done >= l->done && done <= total);
  l->done = done;
  l->total = total;
  return l->stop_at && done >= l->stop_at;
}

static hb_quantize_options logged(tale *l, hb_type type) {
  return (hb_quantize_options){
      .type = hb_type_name(type), .context = l, .report = take_report, .progress = take_progress};
}

static void rows_that_do_not_fit_become_f16_and_it_is_said(void **state) {
  (void)state;
  NEED_SHARED("models/stories260K/stories260K-f32.gguf");
  gguf_file from = gguf_file_shared("models/stories260K/stories260K-f32.gguf");
  tale l = {0};
  hb_quantize_options options = logged(&l, HB_TYPE_Q4_0);
  gguf_file to = quantized(&from, &options);
  size_t halves = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(to.gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(to.gguf, i);
    bytes += t->bytes;
    if (t->dim_count == 2)
      assert_int_equal(t->type, t->dims[0] == 172 ? HB_TYPE_F16 : HB_TYPE_Q4_0);
    halves += t->type == HB_TYPE_F16;
  }
  assert_int_equal(halves, 5);
  assert_int_equal(l.reasons, 5);
  assert_string_equal(l.reason, "rows of 172 values do not divide into Q4_0 blocks of 32");
  assert_int_equal(l.reports, hb_gguf_tensor_count(from.gguf));
  assert_int_equal(l.last.count, l.reports);
  assert_int_equal(l.bytes, bytes);
  assert_int_equal(l.done, l.total);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static const made_tensor one_matrix = {"output.weight", 2, {32, 1000}, HB_TYPE_F32};

static void the_error_of_a_tensor_is_measured(void **state) {
  (void)state;
  static const hb_type types[] = {HB_TYPE_F32, HB_TYPE_F16, HB_TYPE_Q8_0, HB_TYPE_Q4_0};
  gguf_file from = make_file(&one_matrix, 1, 0, NULL);
  const float *original =
      (const float *)(const void *)gguf_file_data(&from, hb_gguf_tensor_at(from.gguf, 0));
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    tale l = {0};
    hb_quantize_options options = logged(&l, types[i]);
    gguf_file to = quantized(&from, &options);
    float *values = gguf_file_decode(&to, hb_gguf_tensor_at(to.gguf, 0));
    double expected = normalized_squared_error(values, original, 32000);
    assert_true(fabs(l.last.error - expected) <= 1e-9 * expected);
    assert_true(i < 2 ? expected == 0 : expected > 0);
    free(values);
    gguf_file_close(&to);
  }
  gguf_file_close(&from);
}

static hb_type choose_by_name(void *context, const hb_tensor *tensor, hb_type type) {
  assert_non_null(context);
  assert_int_equal(type, HB_TYPE_Q4_0);
  return tensor->name.data[0] == 'a'   ? HB_TYPE_Q8_0
         : tensor->name.data[0] == 'b' ? HB_TYPE_F32
         : tensor->name.data[0] == 'k' ? HB_TYPE_IQ2_S
                                       : type;
}

static void a_type_can_be_chosen_for_each_tensor(void **state) {
  (void)state;
  static const made_tensor tensors[] = {{"a.weight", 2, {32, 3}, HB_TYPE_F32},
                                        {"b.weight", 2, {32, 3}, HB_TYPE_F32},
                                        {"c.weight", 2, {32, 3}, HB_TYPE_F32},
                                        {"a.bias", 1, {32}, HB_TYPE_F32}};
  static const hb_type expected[] = {HB_TYPE_Q8_0, HB_TYPE_F32, HB_TYPE_Q4_0, HB_TYPE_F32};
  gguf_file from = make_file(tensors, 4, 0, NULL);
  tale l = {0};
  hb_quantize_options options = logged(&l, HB_TYPE_Q4_0);
  options.choose = choose_by_name;
  gguf_file to = quantized(&from, &options);
  for (size_t i = 0; i < 4; i++) assert_int_equal(hb_gguf_tensor_at(to.gguf, i)->type, expected[i]);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

/* ---- What is refused ---- */

/* Quantizing fails with that status and a sentence that holds `words`; nothing was written if
 * `early`. */
static void assert_refused(const gguf_file *from, const hb_quantize_options *options,
                           hb_status status, const char *words, bool early) {
  bytes to = {0};
  hb_error error = {0};
  assert_int_equal(quantize(from, options, &to, &error), status);
  assert_int_equal(error.status, status);
  if (!strstr(error.message, words)) fail_msg("'%s' does not hold '%s'", error.message, words);
  assert_true(!early || to.size == 0);
  free(to.data);
}

static void types_that_cannot_be_converted_are_refused_before_anything_is_written(void **state) {
  (void)state;
  static const made_tensor tensors[] = {{"a.weight", 2, {32, 3}, HB_TYPE_F32},
                                        {"k.weight", 2, {256, 3}, HB_TYPE_IQ3_S}};
  gguf_file from = make_file(tensors, 2, 0, NULL);
  tale l = {0};
  hb_quantize_options options = logged(&l, HB_TYPE_Q4_0);
  assert_refused(&from, &options, HB_UNSUPPORTED, "tensor k.weight has the type IQ3_S", true);
  options.choose = choose_by_name;
  assert_refused(&from, &options, HB_ARGUMENT, "tensor k.weight: values cannot be rounded to IQ2_S",
                 true);
  options.type = "iq2_s";
  assert_refused(&from, &options, HB_ARGUMENT, "type IQ2_S is not supported", true);
  options.type = "q4";
  assert_refused(&from, &options, HB_ARGUMENT, "type q4 is neither a tensor type nor", true);
  options.type = NULL;
  assert_refused(&from, &options, HB_ARGUMENT, "no type", true);
  gguf_file_close(&from);
}

static void values_that_the_type_cannot_hold_are_refused(void **state) {
  (void)state;
  gguf_file from = make_file(&one_matrix, 1, 0, NULL);
  float *values = (float *)(void *)gguf_file_data(&from, hb_gguf_tensor_at(from.gguf, 0));
  static const struct {
    float value;
    hb_type type;
    const char *words;
  } cases[] = {
      {NAN, HB_TYPE_Q4_0, "tensor output.weight, row 300: value 7 is no finite number"},
      {-INFINITY, HB_TYPE_Q8_0, "row 300: value 7 is no finite number"},
      {INFINITY, HB_TYPE_BF16, "row 300: value 7 is no finite number"},
      {65520, HB_TYPE_F16, "row 300: value 7 is too large for F16"},
      {1e6f, HB_TYPE_Q4_0, "row 300: value 0 is too large for Q4_0"}, /* as its whole block */
      {3.4e38f, HB_TYPE_BF16, "row 300: value 7 is too large for BF16"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_quantize_options options = {.type = hb_type_name(cases[i].type)};
    values[300 * 32 + 7] = cases[i].value;
    assert_refused(&from, &options, HB_MODEL, cases[i].words, false);
  }
  gguf_file_close(&from);
}

static void failures_of_source_and_sink_are_handed_on(void **state) {
  (void)state;
  gguf_file from = make_file(&one_matrix, 1, 0, NULL);
  hb_quantize_options options = {.type = "q4_0"};
  hb_error error = {0};
  for (size_t limit = 1; limit < 20000; limit += 1000) {
    bytes to = {.limit = limit};
    assert_int_equal(quantize(&from, &options, &to, &error), limit > 18200 ? HB_OK : HB_IO);
    free(to.data);
  }
  from.size -= 100;
  assert_refused(&from, &options, HB_IO, "the file shrank", false);
  from.size += 100;
  gguf_file_close(&from);
}

static void the_caller_can_stop_it(void **state) {
  (void)state;
  static const made_tensor large = {"output.weight", 2, {32, 20000}, HB_TYPE_F32};
  gguf_file from = make_file(&large, 1, 0, NULL);
  static const hb_type types[] = {HB_TYPE_Q4_0, HB_TYPE_F32}; /* rounded, copied */
  for (int i = 0; i < 2; i++) {
    tale l = {.stop_at = 60000};
    hb_quantize_options options = logged(&l, types[i]);
    assert_refused(&from, &options, HB_ABORTED, "stopped", false);
    assert_true(l.done >= 60000 && l.done < l.total);
  }
  gguf_file_close(&from);
}

/* ---- Memory ---- */

typedef struct meter {
  size_t used, peak, blocks, fail_at; /* fail_at: the number of the allocation that fails, from 1 */
} meter;

static void *meter_allocate(void *context, size_t size, size_t alignment) {
  meter *m = context;
  if (++m->blocks == m->fail_at) return NULL;
  m->used += size;
  if (m->used > m->peak) m->peak = m->used;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void meter_release(void *context, void *block, size_t size) {
  ((meter *)context)->used -= size;
  free(block);
}

static void memory_does_not_grow_with_the_tensors(void **state) {
  (void)state;
  NEED_SHARED("models/tales-5.8m/tales-5.8m-f32.gguf");
  gguf_file from = gguf_file_shared("models/tales-5.8m/tales-5.8m-f32.gguf");
  meter m = {0};
  hb_allocator allocator = {&m, meter_allocate, meter_release};
  hb_quantize_options options = {.allocator = &allocator, .type = "q4_0"};
  gguf_file to = quantized(&from, &options);
  assert_int_equal(m.used, 0);
  assert_true(m.peak < 4 << 20);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static void memory_that_is_not_to_be_had_is_an_error_and_no_leak(void **state) {
  (void)state;
  gguf_file from = make_file(&one_matrix, 1, 0, NULL);
  hb_status status = HB_MEMORY;
  for (size_t n = 1; status == HB_MEMORY; n++) {
    meter m = {.fail_at = n};
    hb_allocator allocator = {&m, meter_allocate, meter_release};
    hb_quantize_options options = {.allocator = &allocator, .type = "q4_0"};
    bytes to = {0};
    hb_error error = {0};
    status = quantize(&from, &options, &to, &error);
    assert_true(m.blocks < n ? status == HB_OK : status == HB_MEMORY);
    assert_int_equal(error.status, status);
    assert_int_equal(m.used, 0);
    free(to.data);
  }
  assert_int_equal(status, HB_OK);
  gguf_file_close(&from);
}

#define AS_GGML(name)                                                                              \
  {                                                                                                \
    #name " gives the tensors that ggml gives", gives_the_tensors_that_ggml_gives, NULL, NULL,     \
        &(reference) {                                                                             \
      #name, HB_TYPE_##name                                                                        \
    }                                                                                              \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      AS_GGML(F16),
      AS_GGML(BF16),
      AS_GGML(Q4_0),
      AS_GGML(Q4_1),
      AS_GGML(Q5_0),
      AS_GGML(Q5_1),
      AS_GGML(Q8_0),
      cmocka_unit_test(any_supported_type_can_be_the_source),
      cmocka_unit_test(only_matrices_that_multiply_are_quantized),
      cmocka_unit_test(metadata_is_copied_but_for_what_changes),
      cmocka_unit_test(shards_become_one_file),
      cmocka_unit_test(rows_that_do_not_fit_become_f16_and_it_is_said),
      cmocka_unit_test(the_error_of_a_tensor_is_measured),
      cmocka_unit_test(a_type_can_be_chosen_for_each_tensor),
      cmocka_unit_test(types_that_cannot_be_converted_are_refused_before_anything_is_written),
      cmocka_unit_test(values_that_the_type_cannot_hold_are_refused),
      cmocka_unit_test(failures_of_source_and_sink_are_handed_on),
      cmocka_unit_test(the_caller_can_stop_it),
      cmocka_unit_test(memory_does_not_grow_with_the_tensors),
      cmocka_unit_test(memory_that_is_not_to_be_had_is_an_error_and_no_leak),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
