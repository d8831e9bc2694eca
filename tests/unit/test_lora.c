/* LoRA adapters at run time: what they add, that bits stay the same everywhere, and what is
 * refused. */
#include "adapters.h"

enum { TOKENS = 24, MOST_VOCABULARY = 512 };

/* ---- Running ---- */

static gguf_file synthetic_of(const char *shape, const char *type) {
  hb_synthetic *s;
  assert_int_equal(hb_synthetic_create(NULL, shape, type, 7, &s, NULL), HB_OK);
  size_t size = (size_t)hb_synthetic_size(s);
  uint8_t *bytes = malloc(size);
  assert_non_null(bytes);
  assert_int_equal(hb_synthetic_read(s, bytes, size), size);
  hb_synthetic_destroy(s);
  return gguf_file_of(bytes, size);
}

static gguf_file synthetic(const char *type) {
  return synthetic_of("64,2,4,2,96,300", type);
}

static gguf_file copy_of(const gguf_file *f) {
  uint8_t *bytes = malloc(f->size);
  assert_non_null(bytes);
  memcpy(bytes, f->bytes, f->size);
  return gguf_file_of(bytes, f->size);
}

static hb_model *load_isa(const gguf_file *f, hb_isa isa) {
  hb_model *model;
  hb_error error = {0};
  if (load_bytes(f->bytes, f->size, isa, &model, &error) != HB_OK) fail_msg("%s", error.message);
  return model;
}

static hb_model *load(const gguf_file *f) {
  return load_isa(f, hb_isa_best());
}

static void adapt(hb_model *model, const buffer *adapter, double scale) {
  hb_error error = {0};
  if (hb_model_adapt(model, adapter->data, adapter->size, scale, &error) != HB_OK)
    fail_msg("%s", error.message);
}

/* The logits behind each token, computed in steps of `piece`; from malloc. */
static float *logits_by(const hb_model *model, const hb_parallel *parallel, size_t piece) {
  hb_model_info info;
  hb_session *session;
  hb_row rows[TOKENS];
  hb_error error = {0};
  hb_session_options options = {.parallel = parallel,
                                .context_length = TOKENS,
                                .batch = TOKENS,
                                .logit_rows = TOKENS,
                                .kv = HB_KV_F32};
  hb_model_get_info(model, &info);
  float *out = malloc(TOKENS * info.vocabulary * sizeof *out);
  assert_non_null(out);
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (size_t at = 0; at < TOKENS; at += piece) {
    size_t count = TOKENS - at < piece ? TOKENS - at : piece;
    for (size_t i = 0; i < count; i++)
      rows[i] = (hb_row){session, (hb_token)((at + i) * 37 % info.vocabulary), 1};
    assert_int_equal(hb_step(session, rows, count, &error), HB_OK);
    memcpy(out + at * info.vocabulary, hb_session_logits(session, 0),
           count * info.vocabulary * sizeof *out);
  }
  hb_session_destroy(session);
  return out;
}

static float *logits_of(const hb_model *model) {
  return logits_by(model, NULL, TOKENS);
}

static size_t logits_count(const hb_model *model) {
  hb_model_info info;
  hb_model_get_info(model, &info);
  return (size_t)TOKENS * info.vocabulary;
}

static void expect_logits(const hb_model *model, const float *expected) {
  float *got = logits_of(model);
  assert_memory_equal(got, expected, logits_count(model) * sizeof *got);
  free(got);
}

/* ---- What is added ---- */

/* The order of sums differs, nothing else: at most 9e-7 of the logits' size was measured, where the
 * adapters change them by about as much as they are. */
static void expect_merged(const char *name, const gguf_file *base) {
  const adapter_shape one = {.rank = 3, .alpha = 6, .seed = 1}, two = {.rank = 8, .seed = 2};
  gguf_file merged = copy_of(base);
  buffer first = adapter_for(base, &one, &merged, 0.75);
  buffer second = adapter_for(base, &two, &merged, -1.5);
  hb_model *model = load(base), *expected = load(&merged);
  float *plain = logits_of(model);
  adapt(model, &first, 0.75);
  adapt(model, &second, -1.5);
  float *got = logits_of(model), *wanted = logits_of(expected);
  double error = normalized_squared_error(got, wanted, logits_count(model));
  double change = normalized_squared_error(plain, wanted, logits_count(model));
  if (!(error < 1e-11) || !(change > 0.01)) fail_msg("%s: %g, changed %g", name, error, change);
  free(got);
  free(wanted);
  free(plain);
  free(first.data);
  free(second.data);
  hb_model_destroy(model);
  hb_model_destroy(expected);
  gguf_file_close(&merged);
}

static void adapters_add_up_to_the_merged_model(void **state) {
  (void)state;
  gguf_file base = synthetic("f32");
  expect_merged("synthetic", &base);
  gguf_file_close(&base);
}

static void so_they_do_in_every_architecture(void **state) {
  (void)state;
  static const char *const names[] = {"llama-tied-mha", "qwen2", "qwen3",
                                      "gemma3",         "gpt2",  "gptneox"};
  NEED_SHARED("vectors/arch/gpt2.gguf");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[80];
    snprintf(path, sizeof path, "vectors/arch/%s.gguf", names[i]);
    gguf_file base = gguf_file_shared(path);
    expect_merged(names[i], &base);
    gguf_file_close(&base);
  }
}

static void an_adapter_of_some_matrices_leaves_the_others_alone(void **state) {
  (void)state;
  static const char *const only[] = {"attn_k.weight", "0.ffn_up.weight", "1.ffn_down.weight"};
  gguf_file base = synthetic("f32");
  for (size_t i = 0; i < 3; i++) {
    const adapter_shape shape = {.rank = 4, .alpha = 4, .seed = i, .only = only[i]};
    gguf_file merged = copy_of(&base);
    buffer adapter = adapter_for(&base, &shape, &merged, 2);
    hb_model *model = load(&base), *expected = load(&merged);
    adapt(model, &adapter, 2);
    float *got = logits_of(model), *wanted = logits_of(expected);
    assert_true(normalized_squared_error(got, wanted, logits_count(model)) < 1e-11);
    free(got);
    free(wanted);
    free(adapter.data);
    hb_model_destroy(model);
    hb_model_destroy(expected);
    gguf_file_close(&merged);
  }
  gguf_file_close(&base);
}

static void half_precision_gives_the_bits_of_the_same_values_in_f32(void **state) {
  (void)state;
  static const hb_type types[] = {HB_TYPE_F16, HB_TYPE_BF16};
  gguf_file base = synthetic("q8_0");
  for (size_t i = 0; i < 2; i++) {
    const adapter_shape shape = {.rank = 4, .alpha = 8, .type = types[i], .seed = 3};
    buffer half = adapter_for(&base, &shape, NULL, 1);
    gguf_file narrow = gguf_file_of(half.data, half.size);
    buffer wide = {0};
    adapter_shape same = shape;
    same.type = HB_TYPE_F32;
    put_adapter_header(&wide, &base, &same);
    for (size_t t = 0; t < hb_gguf_tensor_count(narrow.gguf); t++) {
      const hb_tensor *tensor = hb_gguf_tensor_at(narrow.gguf, t);
      float *values = gguf_file_decode(&narrow, tensor);
      put(&wide, values, tensor_values(tensor) * sizeof *values);
      put_padding(&wide, 32);
      free(values);
    }
    hb_model *a = load(&base), *b = load(&base);
    adapt(a, &half, 1);
    adapt(b, &wide, 1);
    float *expected = logits_of(b);
    expect_logits(a, expected);
    free(expected);
    free(wide.data);
    hb_model_destroy(a);
    hb_model_destroy(b);
    gguf_file_close(&narrow);
  }
  gguf_file_close(&base);
}

static void without_an_alpha_the_scale_is_the_factor(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  const adapter_shape with = {.rank = 4, .alpha = 2, .seed = 5}, without = {.rank = 4, .seed = 5};
  buffer a = adapter_for(&base, &with, NULL, 1), b = adapter_for(&base, &without, NULL, 1);
  hb_model *model = load(&base), *same = load(&base);
  adapt(model, &a, 3);
  adapt(same, &b, 1.5);
  float *expected = logits_of(same);
  expect_logits(model, expected);
  free(expected);
  free(a.data);
  free(b.data);
  hb_model_destroy(model);
  hb_model_destroy(same);
  gguf_file_close(&base);
}

/* ---- Bits ---- */

static void bits_do_not_depend_on_isa_threads_or_steps(void **state) {
  (void)state;
  static const char *const types[] = {"q4_0", "f16"};
  const adapter_shape shape = {.rank = 5, .alpha = 10, .seed = 11};
  hb_threads *pool;
  assert_int_equal(hb_threads_create(3, &pool, NULL), HB_OK);
  hb_parallel parallel = *hb_threads_parallel(pool);
  parallel.least_work = 0;
  parallel.clock = NULL;
  for (size_t t = 0; t < 2; t++) {
    gguf_file base = synthetic(types[t]);
    buffer adapter = adapter_for(&base, &shape, NULL, 1);
    hb_model *scalar = load_isa(&base, HB_ISA_SCALAR);
    adapt(scalar, &adapter, 1);
    adapt(scalar, &adapter, -0.3);
    float *expected = logits_of(scalar);
    for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++) {
      if (!hb_isa_available((hb_isa)isa)) continue;
      hb_model *model = load_isa(&base, (hb_isa)isa);
      adapt(model, &adapter, 1);
      adapt(model, &adapter, -0.3);
      for (size_t piece = 1; piece <= TOKENS; piece += 7) {
        float *got = logits_by(model, piece % 2 ? NULL : &parallel, piece);
        assert_memory_equal(got, expected, logits_count(model) * sizeof *got);
        free(got);
      }
      hb_model_destroy(model);
    }
    free(expected);
    free(adapter.data);
    hb_model_destroy(scalar);
    gguf_file_close(&base);
  }
  hb_threads_destroy(pool);
}

/* ---- Coming and going ---- */

typedef struct program_text {
  char lines[160][160];
  size_t count, barriers;
} program_text;

static void read_program(const hb_model *model, program_text *out) {
  *out = (program_text){0};
  while (out->count < 160 &&
         hb_model_operation(model, out->count, out->lines[out->count], sizeof *out->lines) > 0)
    out->barriers += strstr(out->lines[out->count++], "(after all)") != NULL;
  assert_true(out->count < 160);
}

static void an_adapter_that_is_taken_off_leaves_the_model_as_it_was(void **state) {
  (void)state;
  static program_text before, adapted, after;
  gguf_file base = synthetic("q4_0");
  const adapter_shape shape = {.rank = 4, .alpha = 4, .seed = 21};
  buffer adapter = adapter_for(&base, &shape, NULL, 1);
  hb_model *model = load(&base);
  hb_model_info plain_info, info;
  hb_model_get_info(model, &plain_info);
  float *plain = logits_of(model);
  read_program(model, &before);
  hb_model_unadapt(model);
  expect_logits(model, plain);
  for (int again = 0; again < 2; again++) {
    adapt(model, &adapter, 1);
    adapt(model, &adapter, 1);
    read_program(model, &adapted);
    hb_model_get_info(model, &info);
    assert_true(info.weight_bytes > plain_info.weight_bytes);
    float *got = logits_of(model);
    assert_memory_not_equal(got, plain, logits_count(model) * sizeof *got);
    free(got);
    hb_model_unadapt(model);
    expect_logits(model, plain);
    read_program(model, &after);
    assert_memory_equal(&after, &before, sizeof after);
  }
  hb_model_get_info(model, &info);
  assert_int_equal(info.weight_bytes, plain_info.weight_bytes);
  /* Two layers of 7 matrices, three operations each and adapter; of 4 inputs, one barrier each. */
  assert_int_equal(adapted.count, before.count + 2 * 7 * 3 * 2);
  assert_int_equal(adapted.barriers, before.barriers + 2 * 4);
  free(plain);
  free(adapter.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void the_program_says_what_is_multiplied(void **state) {
  (void)state;
  static program_text text;
  gguf_file base = synthetic("q4_0");
  const adapter_shape shape = {.rank = 4, .alpha = 4, .only = "0.attn_k.weight"};
  buffer adapter = adapter_for(&base, &shape, NULL, 1);
  hb_model *model = load(&base);
  adapt(model, &adapter, 1);
  adapt(model, &adapter, 1);
  read_program(model, &text);
  size_t at = 0;
  while (!strstr(text.lines[at], "lora_a")) assert_true(++at < text.count);
  assert_string_equal(text.lines[at],
                      "MATMUL hidden[0+64] -> low[0+4]  blk.0.attn_k.weight.lora_a");
  assert_string_equal(text.lines[at + 1],
                      "MATMUL hidden[0+64] -> low[4+4]  blk.0.attn_k.weight.lora_a");
  assert_string_equal(text.lines[at + 2],
                      "MATMUL low[0+4] -> raised[0+32]  blk.0.attn_k.weight.lora_b  (after all)");
  assert_string_equal(text.lines[at + 3],
                      "MATMUL low[4+4] -> raised[32+32]  blk.0.attn_k.weight.lora_b");
  assert_string_equal(text.lines[at + 4], "ADD raised[0+32] -> qkv[64+32]  (after all)");
  assert_string_equal(text.lines[at + 5], "ADD raised[32+32] -> qkv[64+32]");
  free(adapter.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void a_scale_of_0_changes_nothing(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  const adapter_shape shape = {.rank = 4, .alpha = 4, .seed = 21};
  buffer adapter = adapter_for(&base, &shape, NULL, 1);
  hb_model *model = load(&base);
  float *plain = logits_of(model);
  adapt(model, &adapter, 0);
  expect_logits(model, plain);
  free(plain);
  free(adapter.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void sessions_end_when_adapters_change(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  const adapter_shape shape = {.rank = 4, .alpha = 4, .seed = 21};
  buffer adapter = adapter_for(&base, &shape, NULL, 1);
  hb_model *model = load(&base);
  hb_session_options options = {.context_length = 8};
  hb_session *old, *young;
  hb_error error;
  const hb_token token = 3;
  uint8_t piece[200];
  uint64_t bytes;
  assert_int_equal(hb_session_create(model, &options, &old, &error), HB_OK);
  assert_int_equal(hb_session_append(old, &token, 1, &error), HB_OK);
  assert_int_equal(hb_state_piece_bytes(old, 1, 0, &bytes, &error), HB_OK);
  assert_int_equal(hb_state_save(old, &token, 0, piece, sizeof piece, &error), HB_OK);

  adapt(model, &adapter, 1);
  assert_int_equal(hb_session_append(old, &token, 1, &error), HB_STATE);
  assert_non_null(strstr(error.message, "adapters changed"));
  assert_int_equal(hb_session_position(old), 1);
  assert_int_equal(hb_session_create(model, &options, &young, &error), HB_OK);
  const hb_row rows[] = {{young, 3, 0}, {old, 3, 1}};
  assert_int_equal(hb_step(young, rows, 2, &error), HB_STATE);
  assert_int_equal(hb_step(old, rows, 1, &error), HB_STATE);
  assert_int_equal(hb_step(young, rows, 1, &error), HB_OK);
  assert_int_equal(hb_state_restore(young, 0, piece, (size_t)bytes, &error), HB_ARGUMENT);

  hb_model_unadapt(model);
  assert_int_equal(hb_step(young, rows, 1, &error), HB_STATE);
  assert_int_equal(hb_step(old, rows + 1, 1, &error), HB_STATE);
  hb_session_destroy(old);
  hb_session_destroy(young);
  free(adapter.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

/* ---- Memory ---- */

typedef struct purse {
  size_t left;   /* allocations that succeed */
  size_t blocks; /* that are out */
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

static void without_memory_the_model_stays_as_it_was(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  const adapter_shape shape = {.rank = 4, .alpha = 4, .seed = 21};
  buffer adapter = adapter_for(&base, &shape, NULL, 1);
  purse p = {.left = SIZE_MAX};
  hb_allocator allocator = {&p, spend, give_back};
  hb_load_options options = {.allocator = &allocator, .isa = hb_isa_best()};
  hb_loader *loader;
  hb_model *model;
  hb_error error;
  assert_int_equal(hb_loader_create(&options, &loader, &error), HB_OK);
  assert_int_equal(hb_loader_begin_file(loader, base.size, &error), HB_OK);
  assert_int_equal(hb_loader_feed(loader, base.bytes, base.size, &error), HB_OK);
  assert_int_equal(hb_loader_finish(loader, &model, &error), HB_OK);
  hb_loader_destroy(loader);
  float *plain = logits_of(model);
  size_t blocks = p.blocks, tries = 0;
  for (;; tries++) {
    p.left = tries;
    hb_status status = hb_model_adapt(model, adapter.data, adapter.size, 1, &error);
    p.left = SIZE_MAX;
    if (status == HB_OK) break;
    assert_int_equal(status, HB_MEMORY);
    assert_int_equal(p.blocks, blocks);
    expect_logits(model, plain);
  }
  assert_in_range(tries, 5, 50);
  hb_model_unadapt(model);
  expect_logits(model, plain);
  hb_model_destroy(model);
  assert_int_equal(p.blocks, 0);
  free(plain);
  free(adapter.data);
  gguf_file_close(&base);
}

/* ---- Refusals ---- */

static void expect_refused(hb_model *model, const buffer *b, double scale, hb_status status,
                           const char *named) {
  hb_error error = {0};
  hb_status got = hb_model_adapt(model, b->data, b->size, scale, &error);
  if (got != status || error.status != status || !strstr(error.message, named))
    fail_msg("expected status %d naming \"%s\", got %d: %s", status, named, got, error.message);
}

/* A file with two tensors of 4096 bytes each and the usual keys but one. */
typedef struct odd_file {
  const char *key, *text; /* other than usual; NULL as text: left out */
  const char *a, *b;      /* names */
  uint64_t a_dims[2], b_dims[2];
  uint32_t a_type, b_type;
} odd_file;

static void put_odd_key(buffer *b, const odd_file *f, const char *key, const char *usual) {
  bool odd = f->key && strcmp(f->key, key) == 0;
  if (!odd || f->text) put_key_string(b, key, odd ? f->text : usual);
}

static buffer odd_adapter(const odd_file *f) {
  static const uint8_t zeros[4096];
  buffer b = {0};
  put_header(&b, (f->a != NULL) + (f->b != NULL), f->key && !f->text ? 3 : 4);
  put_odd_key(&b, f, "general.type", "adapter");
  put_odd_key(&b, f, "adapter.type", "lora");
  put_odd_key(&b, f, "general.architecture", "llama");
  put_key_f32(&b, "adapter.lora.alpha", 4);
  if (f->a) put_tensor(&b, f->a, f->a_dims[0], f->a_dims[1], f->a_type, 0);
  if (f->b) put_tensor(&b, f->b, f->b_dims[0], f->b_dims[1], f->b_type, f->a ? 4096 : 0);
  put_padding(&b, 32);
  for (int i = 0; i < 2; i++) put(&b, zeros, sizeof zeros);
  return b;
}

#define Q "blk.0.attn_q.weight"

static void what_fits_no_matrix_is_refused_by_name(void **state) {
  (void)state;
  static const struct {
    odd_file file;
    hb_status status;
    const char *named;
  } cases[] = {
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {64, 4}, {4, 64}, 0, 0}, HB_OK, ""},
      {{"general.type", NULL, 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "has no key general.type"},
      {{"general.type", "model", 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "\"model\" instead of"},
      {{"adapter.type", NULL, 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "has no key adapter.type"},
      {{"adapter.type", "dora", 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "\"dora\" instead of"},
      {{"general.architecture", "qwen2", 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "\"qwen2\""},
      {{"general.architecture", "halfbyte-llama", 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "halfbyte-"},
      {{NULL, NULL, 0, 0, {0}, {0}, 0, 0}, HB_MODEL, "no tensors"},
      {{NULL, NULL, Q ".lora_a", 0, {64, 4}, {0}, 0, 0},
       HB_MODEL,
       Q ".lora_a of the adapter lacks"},
      {{NULL, NULL, 0, Q ".lora_b", {0}, {4, 64}, 0, 0}, HB_MODEL, "lacks its lora_a"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_c", {64, 4}, {4, 64}, 0, 0}, HB_MODEL, "lacks"},
      {{NULL, NULL, Q ".lora_c", Q ".lora_b", {64, 4}, {4, 64}, 0, 0}, HB_UNSUPPORTED, ".lora_c"},
      {{NULL, NULL, ".lora_a", ".lora_b", {64, 4}, {4, 64}, 0, 0}, HB_UNSUPPORTED, ".lora_a"},
      {{NULL, NULL, "output_norm.weight", 0, {64, 1}, {0}, 0, 0}, HB_UNSUPPORTED, "output_norm"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {64, 32}, {32, 64}, 1, 8},
       HB_UNSUPPORTED,
       "has the type Q8_0"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {64, 4}, {5, 64}, 0, 0}, HB_MODEL, "rank in common"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {4, 64}, {64, 4}, 0, 0}, HB_MODEL, "64 x 64"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {64, 4}, {4, 65}, 0, 0}, HB_MODEL, "64 x 65"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {63, 4}, {4, 64}, 0, 0}, HB_MODEL, "63 x 64"},
      {{NULL, NULL, "x.lora_a", "x.lora_b", {64, 4}, {4, 64}, 0, 0}, HB_MODEL, "x.lora_a"},
      {{NULL,
        NULL,
        "blk.2.attn_q.weight.lora_a",
        "blk.2.attn_q.weight.lora_b",
        {64, 4},
        {4, 64},
        0,
        0},
       HB_MODEL,
       "belongs to no matrix"},
      {{NULL,
        NULL,
        "blk.0.attn_norm.weight.lora_a",
        "blk.0.attn_norm.weight.lora_b",
        {64, 4},
        {4, 1},
        0,
        0},
       HB_MODEL,
       "belongs to no matrix"},
      {{NULL,
        NULL,
        "token_embd.weight.lora_a",
        "token_embd.weight.lora_b",
        {64, 2},
        {2, 300},
        0,
        0},
       HB_UNSUPPORTED,
       "token_embd.weight, which is not in a layer"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {1, 4000}, {4000, 1}, 24, 24}, HB_UNSUPPORTED, "I8"},
      {{NULL, NULL, Q ".lora_a", Q ".lora_b", {1, 0}, {0, 1}, 0, 0}, HB_FORMAT, "lora_b"},
  };
  gguf_file base = synthetic("q4_0");
  hb_model *model = load(&base);
  float *plain = logits_of(model);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    buffer b = odd_adapter(&cases[i].file);
    if (cases[i].status == HB_OK)
      adapt(model, &b, 1);
    else
      expect_refused(model, &b, 1, cases[i].status, cases[i].named);
    free(b.data);
  }
  expect_logits(model, plain); /* the one that was taken holds zeros */
  free(plain);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void odd_numbers_are_refused(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  hb_model *model = load(&base);
  adapter_shape shape = {.rank = 4, .alpha = 4, .only = "0.attn_q.weight"};
  buffer b = adapter_for(&base, &shape, NULL, 1);
  float *last = (float *)(void *)(b.data + b.size - 4);
  expect_refused(model, &b, NAN, HB_ARGUMENT, "scale");
  expect_refused(model, &b, INFINITY, HB_ARGUMENT, "scale");
  memcpy(last, &(float){1e38f}, 4);
  expect_refused(model, &b, 10, HB_MODEL, "value 255 of tensor blk.0.attn_q.weight.lora_b");
  memcpy(last, &(float){NAN}, 4);
  expect_refused(model, &b, 1, HB_MODEL, "no finite number");
  expect_refused(NULL, &b, 1, HB_ARGUMENT, "whole model");
  free(b.data);
  shape.alpha = NAN;
  b = adapter_for(&base, &shape, NULL, 1);
  expect_refused(model, &b, 1, HB_MODEL, "adapter.lora.alpha");
  free(b.data);
  hb_model_unadapt(NULL);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void a_rank_beyond_the_limit_is_refused(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  hb_model *model = load(&base);
  adapter_shape shape = {.rank = HB_MAX_RANK, .alpha = 4, .only = "0.attn_q.weight"};
  buffer b = adapter_for(&base, &shape, NULL, 1);
  adapt(model, &b, 1);
  free(b.data);
  shape.rank++;
  b = adapter_for(&base, &shape, NULL, 1);
  expect_refused(model, &b, 1, HB_MODEL, "at most 4096");
  free(b.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void a_file_cut_anywhere_is_refused(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  hb_model *model = load(&base);
  const adapter_shape shape = {.rank = 2, .alpha = 4, .only = "0.attn_k.weight"};
  buffer b = adapter_for(&base, &shape, NULL, 1);
  for (size_t size = 0; size < b.size; size += size < 400 ? 1 : 31) {
    hb_error error = {0};
    uint8_t *cut = malloc(size + 1);
    memcpy(cut, b.data, size);
    assert_int_equal(hb_model_adapt(model, cut, size, 1, &error), HB_TRUNCATED);
    free(cut);
  }
  free(b.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

static void more_adapters_than_the_limit_are_refused(void **state) {
  (void)state;
  gguf_file base = synthetic("q4_0");
  hb_model *model = load(&base);
  const adapter_shape shape = {.rank = 2, .alpha = 4, .only = "0.attn_k.weight"};
  buffer b = adapter_for(&base, &shape, NULL, 1);
  for (int i = 0; i < HB_MAX_ADAPTERS; i++) adapt(model, &b, 1);
  expect_refused(model, &b, 1, HB_ARGUMENT, "16 adapters at most");
  free(logits_of(model));
  free(b.data);
  hb_model_destroy(model);
  gguf_file_close(&base);
}

/* Else a fuzzer that begins with them would try nothing but refusals. */
static void the_sound_seeds_of_the_fuzzer_are_taken(void **state) {
  (void)state;
  static const char *const names[] = {"all", "f16", "bf16", "without-alpha", "rank-64"};
  gguf_file base = synthetic_of("32,1,2,1,32,300", "q4_0");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64];
    buffer b = {0};
    snprintf(path, sizeof path, "tests/fuzz/seeds/adapter/ok-%s", names[i]);
    b.data = read_file(path, &b.size);
    hb_model *model = load(&base);
    adapt(model, &b, 1);
    hb_model_destroy(model);
    free(b.data);
  }
  gguf_file_close(&base);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(adapters_add_up_to_the_merged_model),
      cmocka_unit_test(so_they_do_in_every_architecture),
      cmocka_unit_test(an_adapter_of_some_matrices_leaves_the_others_alone),
      cmocka_unit_test(half_precision_gives_the_bits_of_the_same_values_in_f32),
      cmocka_unit_test(without_an_alpha_the_scale_is_the_factor),
      cmocka_unit_test(bits_do_not_depend_on_isa_threads_or_steps),
      cmocka_unit_test(an_adapter_that_is_taken_off_leaves_the_model_as_it_was),
      cmocka_unit_test(the_program_says_what_is_multiplied),
      cmocka_unit_test(a_scale_of_0_changes_nothing),
      cmocka_unit_test(sessions_end_when_adapters_change),
      cmocka_unit_test(without_memory_the_model_stays_as_it_was),
      cmocka_unit_test(what_fits_no_matrix_is_refused_by_name),
      cmocka_unit_test(odd_numbers_are_refused),
      cmocka_unit_test(a_rank_beyond_the_limit_is_refused),
      cmocka_unit_test(a_file_cut_anywhere_is_refused),
      cmocka_unit_test(more_adapters_than_the_limit_are_refused),
      cmocka_unit_test(the_sound_seeds_of_the_fuzzer_are_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
