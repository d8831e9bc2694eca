/* Synthetic models: what they hold, that they run, and that they are the same everywhere. */
#include "support.h"

#include "base/sha256.h"
#include "measure/random.h"

#include <math.h>

#define WIDE "256,2,4,2,512,300"  /* rows divide into every type's blocks */
#define NARROW "96,2,3,1,160,300" /* rows divide into blocks of 32 only */

static const char *const types[] = {
    "f32",    "f16",   "bf16",  "q4_0",  "q4_1",   "q5_0",   "q5_1",
    "q8_0",   "q2_k",  "q3_k",  "q4_k",  "q5_k",   "q6_k",   "iq4_nl",
    "iq4_xs", "tq1_0", "tq2_0", "mxfp4", "q4_k_m", "q5_k_m", "Q3_K_M",
};
enum { TYPES = sizeof types / sizeof *types, MIXTURES = 3 };

/* Types of halfbyte's own. */
static const char *const own_types[] = {"nf4", "fp4", "table4", "table3", "int2_64"};
enum { OWN_TYPES = sizeof own_types / sizeof *own_types };

typedef struct file {
  uint8_t *bytes;
  size_t size;
} file;

static hb_synthetic *create(const char *shape, const char *type, uint64_t seed) {
  hb_synthetic *s;
  hb_error error;
  if (hb_synthetic_create(NULL, shape, type, seed, &s, &error) != HB_OK)
    fail_msg("%s %s: %s", shape, type, error.message);
  return s;
}

/* The whole file, read in pieces of at most 1, 2, .. `most` bytes in turn; free(bytes). */
static file read_synthetic(const char *shape, const char *type, uint64_t seed, size_t most) {
  hb_synthetic *s = create(shape, type, seed);
  file f = {.size = (size_t)hb_synthetic_size(s)};
  f.bytes = malloc(f.size + 1);
  assert_non_null(f.bytes);
  size_t at = 0, count = 1;
  for (size_t piece = 1; count > 0; piece = piece % most + 1) {
    size_t room = f.size + 1 - at;
    count = hb_synthetic_read(s, f.bytes + at, piece < room ? piece : room);
    at += count;
  }
  assert_int_equal(at, f.size);
  hb_synthetic_destroy(s);
  return f;
}

/* The whole file, read at once. */
static file whole(const char *shape, const char *type, uint64_t seed) {
  hb_synthetic *s = create(shape, type, seed);
  file f = {.size = (size_t)hb_synthetic_size(s)};
  f.bytes = malloc(f.size + 1);
  assert_non_null(f.bytes);
  assert_int_equal(hb_synthetic_read(s, f.bytes, f.size + 1), f.size);
  hb_synthetic_destroy(s);
  return f;
}

static hb_model *load(const char *shape, const char *type) {
  file f = whole(shape, type, 1);
  hb_model *model;
  hb_error error;
  if (load_bytes(f.bytes, f.size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s %s: %s", shape, type, error.message);
  free(f.bytes);
  return model;
}

/* ---- Running ---- */

/* Mean of the squares of the logits of 40 tokens, one step each. */
static double mean_square_logit(const hb_model *model, uint32_t vocabulary) {
  hb_session *session;
  hb_error error;
  hb_session_options options = {.context_length = 40};
  double sum = 0;
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (uint32_t t = 0; t < 40; t++) {
    hb_row row = {session, (hb_token)(t * 37 % vocabulary), 1};
    assert_int_equal(hb_step(session, &row, 1, &error), HB_OK);
    const float *logits = hb_session_logits(session, 0);
    for (uint32_t i = 0; i < vocabulary; i++) sum += (double)logits[i] * logits[i];
  }
  hb_session_destroy(session);
  return sum / (40.0 * vocabulary);
}

static void every_type_and_mixture_gives_finite_logits_of_moderate_size(void **state) {
  (void)state;
  static const char *const shapes[] = {WIDE, NARROW};
  for (size_t i = 0; i < 2 * (TYPES + OWN_TYPES); i++) {
    const char *type = i / 2 < TYPES ? types[i / 2] : own_types[i / 2 - TYPES];
    hb_model *model = load(shapes[i % 2], type);
    double size = mean_square_logit(model, 300);
    if (!(size > 4 && size < 64)) /* deviation from 2 to 8; a NaN fails as well */
      fail_msg("%s %s: mean square %g", shapes[i % 2], type, size);
    hb_model_destroy(model);
  }
}

static void weights_have_the_mean_and_the_deviation_that_were_asked_for(void **state) {
  (void)state;
  enum { BLOCKS = 256 };
  static uint8_t blocks[BLOCKS * 256];
  float values[256];
  for (size_t i = 0; i < TYPES - MIXTURES; i++) {
    hb_type type;
    assert_int_equal(hb_type_from_name((hb_string){types[i], strlen(types[i])}, &type), HB_OK);
    const hb_type_traits *t = hb_traits(type);
    size_t count = t->block_values == 1 ? 32 * BLOCKS : BLOCKS;
    hb_random r = hb_random_begin(5, i);
    hb_random_blocks(&r, type, 0, 0.03f, blocks, count);
    double sum = 0, squares = 0, all = (double)(count * t->block_values);
    for (size_t b = 0; b < count; b++) {
      t->decode(blocks + b * t->block_bytes, values, 1);
      for (uint32_t k = 0; k < t->block_values; k++) {
        sum += values[k];
        squares += (double)values[k] * values[k];
      }
    }
    double deviation = sqrt(squares / all), mean = sum / all;
    if (!(fabs(deviation - 0.03) < 0.001 && fabs(mean) < 0.0015))
      fail_msg("%s: mean %g, deviation %g", types[i], mean, deviation);
  }
}

static void rows_of_own_types_have_the_deviation_that_was_asked_for(void **state) {
  (void)state;
  enum { COLS = 576, ROWS = 64 };
  static uint8_t rows[ROWS * COLS];
  float values[COLS];
  for (size_t i = 0; i < OWN_TYPES; i++) {
    hb_type type;
    uint64_t bytes;
    assert_int_equal(hb_type_from_name(hb_string_of(own_types[i]), &type), HB_OK);
    assert_true(hb_row_bytes(type, COLS, &bytes));
    hb_random r = hb_random_begin(5, i);
    hb_random_rows(&r, type, COLS, 0.03f, rows, ROWS);
    double squares = 0;
    for (size_t n = 0; n < ROWS; n++) {
      hb_traits(type)->decode(rows + n * bytes, values, COLS / hb_traits(type)->block_values);
      for (size_t k = 0; k < COLS; k++) squares += (double)values[k] * values[k];
    }
    double deviation = sqrt(squares / (ROWS * COLS));
    if (!(fabs(deviation - 0.03) < 0.001)) fail_msg("%s: deviation %g", own_types[i], deviation);
  }
}

static void q8_0_never_holds_minus_128(void **state) {
  (void)state;
  static uint8_t blocks[4096 * 34];
  hb_random r = hb_random_begin(1, 1);
  hb_random_blocks(&r, HB_TYPE_Q8_0, 0, 1, blocks, 4096);
  for (size_t i = 0; i < sizeof blocks; i++)
    if (i % 34 >= 2) assert_int_not_equal(blocks[i], 0x80);
}

/* ---- Bytes ---- */

static void bytes_do_not_depend_on_how_they_are_read(void **state) {
  (void)state;
  static const size_t pieces[] = {1, 7, 33, 1000, 100000};
  static const char *const kinds[] = {"q4_k_m", "table3"};
  for (size_t i = 0; i < 2 * sizeof pieces / sizeof *pieces; i++) {
    file expected = whole(NARROW, kinds[i % 2], 9);
    file got = read_synthetic(NARROW, kinds[i % 2], 9, pieces[i / 2]);
    assert_int_equal(got.size, expected.size);
    assert_memory_equal(got.bytes, expected.bytes, got.size);
    free(got.bytes);
    free(expected.bytes);
  }
}

static void a_seed_gives_its_own_bytes(void **state) {
  (void)state;
  file one = whole(NARROW, "q4_0", 1), again = whole(NARROW, "q4_0", 1),
       two = whole(NARROW, "q4_0", 2);
  assert_int_equal(one.size, again.size);
  assert_memory_equal(one.bytes, again.bytes, one.size);
  assert_int_equal(one.size, two.size);
  assert_memory_not_equal(one.bytes, two.bytes, one.size);
  free(one.bytes);
  free(again.bytes);
  free(two.bytes);
}

static void every_target_makes_these_bytes(void **state) {
  (void)state;
  uint8_t digest[HB_SHA256_BYTES];
  char hex[2 * HB_SHA256_BYTES + 1];
  hb_sha256 hash;
  hb_sha256_init(&hash);
  for (size_t i = 0; i < TYPES; i++) {
    file f = whole("256,1,4,2,256,300", types[i], 1);
    hb_sha256_update(&hash, f.bytes, f.size);
    free(f.bytes);
  }
  hb_sha256_final(&hash, digest);
  for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  assert_string_equal(hex, "5a5fa94212907bb496b91511aa8c245c5733420bed62f69f09d54db18e6b8e51");
}

/* ---- What a file holds ---- */

/* The header alone; the loader keeps it. */
static hb_loader *load_header(const char *shape, const char *type) {
  hb_synthetic *s = create(shape, type, 1);
  hb_loader *loader;
  hb_error error;
  hb_load_options options = {.isa = hb_isa_best(), .header_only = 1};
  static uint8_t piece[65536];
  assert_int_equal(hb_loader_create(&options, &loader, &error), HB_OK);
  assert_int_equal(hb_loader_begin_file(loader, hb_synthetic_size(s), &error), HB_OK);
  while (!hb_loader_state(loader).header_done) {
    size_t count = hb_synthetic_read(s, piece, sizeof piece);
    assert_int_equal(hb_loader_feed(loader, piece, count, &error), HB_OK);
  }
  assert_int_equal(hb_loader_state(loader).file_size, hb_synthetic_size(s));
  hb_synthetic_destroy(s);
  return loader;
}

static void known_shapes_have_the_parameters_of_their_models(void **state) {
  (void)state;
  static const struct {
    const char *name, *architecture;
    uint64_t parameters;
  } expected[] = {
      {"smollm2-135m", "llama", 134515008},
      {"qwen2.5-0.5b", "qwen2", 494032768},
      {"llama-3.2-1b", "llama", 1235814400},
      {"llama-3-8b", "llama", 8030261248},
  };
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    hb_loader *loader = load_header(expected[i].name, "q4_k_m");
    const hb_gguf *gguf = hb_loader_gguf(loader);
    uint64_t parameters = 0;
    for (size_t t = 0; t < hb_gguf_tensor_count(gguf); t++) {
      const hb_tensor *tensor = hb_gguf_tensor_at(gguf, t);
      parameters += tensor->dims[0] * tensor->dims[1];
    }
    assert_int_equal(parameters, expected[i].parameters);
    hb_string architecture;
    assert_int_equal(
        hb_value_string(hb_gguf_value(gguf, "general.architecture"), &architecture, NULL), HB_OK);
    assert_memory_equal(architecture.data, expected[i].architecture, architecture.length);
    hb_loader_destroy(loader);
  }
}

static hb_type type_in(const hb_loader *loader, const char *name) {
  const hb_tensor *t = hb_gguf_tensor(hb_loader_gguf(loader), name);
  if (!t) fail_msg("no tensor %s", name);
  return t->type;
}

static hb_type type_in_layer(const hb_loader *loader, uint32_t layer, const char *name) {
  char full[64];
  snprintf(full, sizeof full, "blk.%u.%s.weight", (unsigned)layer, name);
  return type_in(loader, full);
}

/* Layers of 16 in which llama.cpp gives attn_v and ffn_down more bits, as bits of a number. */
static void mixtures_choose_types_as_llama_cpp_does(void **state) {
  (void)state;
  static const struct {
    const char *name;
    hb_type type, attention_output, value, value_more;
    uint32_t value_layers, down_layers;
  } expected[] = {
      {"q4_k_m", HB_TYPE_Q4_K, HB_TYPE_Q4_K, HB_TYPE_Q4_K, HB_TYPE_Q6_K, 0xe493, 0xe493},
      {"q5_k_m", HB_TYPE_Q5_K, HB_TYPE_Q5_K, HB_TYPE_Q5_K, HB_TYPE_Q6_K, 0xe493, 0xe493},
      {"q3_k_m", HB_TYPE_Q3_K, HB_TYPE_Q4_K, HB_TYPE_Q4_K, HB_TYPE_Q5_K, 0x0003, 0x0001},
  };
  for (size_t i = 0; i < MIXTURES; i++) {
    hb_loader *loader = load_header("256,16,4,2,512,300", expected[i].name);
    assert_int_equal(type_in(loader, "token_embd.weight"), HB_TYPE_Q6_K); /* tied */
    assert_int_equal(type_in(loader, "output_norm.weight"), HB_TYPE_F32);
    for (uint32_t layer = 0; layer < 16; layer++) {
      bool value_more = (expected[i].value_layers >> layer & 1) != 0;
      bool down_more = (expected[i].down_layers >> layer & 1) != 0;
      assert_int_equal(type_in_layer(loader, layer, "attn_q"), expected[i].type);
      assert_int_equal(type_in_layer(loader, layer, "ffn_gate"), expected[i].type);
      assert_int_equal(type_in_layer(loader, layer, "attn_output"), expected[i].attention_output);
      assert_int_equal(type_in_layer(loader, layer, "attn_v"),
                       value_more ? expected[i].value_more : expected[i].value);
      assert_int_equal(type_in_layer(loader, layer, "ffn_down"),
                       down_more ? expected[i].value_more : expected[i].value);
    }
    hb_loader_destroy(loader);
  }
}

static void an_own_output_matrix_leaves_the_embedding_to_the_mixture(void **state) {
  (void)state;
  hb_loader *loader = load_header("llama-3-8b", "q4_k_m");
  assert_int_equal(type_in(loader, "output.weight"), HB_TYPE_Q6_K);
  assert_int_equal(type_in(loader, "token_embd.weight"), HB_TYPE_Q4_K);
  hb_loader_destroy(loader);
}

static void rows_that_do_not_divide_get_the_next_larger_type(void **state) {
  (void)state;
  static const struct {
    const char *name;
    hb_type narrow;
  } expected[] = {
      {"q2_k", HB_TYPE_IQ4_NL}, {"q3_k", HB_TYPE_IQ4_NL}, {"iq4_xs", HB_TYPE_IQ4_NL},
      {"q4_k", HB_TYPE_Q5_0},   {"q5_k", HB_TYPE_Q5_1},   {"q6_k", HB_TYPE_Q8_0},
      {"tq1_0", HB_TYPE_Q4_0},  {"tq2_0", HB_TYPE_Q4_0},  {"mxfp4", HB_TYPE_MXFP4},
  };
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    hb_loader *loader = load_header("96,1,3,1,256,300", expected[i].name);
    hb_type wide;
    assert_int_equal(
        hb_type_from_name((hb_string){expected[i].name, strlen(expected[i].name)}, &wide), HB_OK);
    assert_int_equal(type_in(loader, "blk.0.attn_q.weight"), expected[i].narrow);
    assert_int_equal(type_in(loader, "blk.0.ffn_down.weight"), wide);
    hb_loader_destroy(loader);
  }
}

static bool is_value(const hb_loader *loader, const char *key, const char *text) {
  const hb_value *v = hb_gguf_value(hb_loader_gguf(loader), key);
  hb_string found = {0};
  uint64_t cursor = 0;
  if (!v) return false;
  if (v->type == HB_VALUE_ARRAY)
    hb_value_next_string(v, &cursor, &found, NULL);
  else
    hb_value_string(v, &found, NULL);
  return hb_string_equal(found, hb_string_of(text));
}

static void own_types_are_described_where_there_are_any(void **state) {
  (void)state;
  hb_loader *loader = load_header(WIDE, "nf4");
  assert_true(is_value(loader, "general.architecture", "halfbyte-llama"));
  assert_true(is_value(loader, "halfbyte.features", "nf4"));
  assert_true(is_value(loader, "halfbyte.tensor_types", "token_embd.weight NF4"));
  assert_int_equal(type_in(loader, "blk.1.attn_k.weight"), HB_TYPE_I8);
  hb_loader_destroy(loader);
  loader = load_header(NARROW, "nf4"); /* no row divides into its blocks */
  assert_true(is_value(loader, "general.architecture", "llama"));
  assert_null(hb_gguf_value(hb_loader_gguf(loader), "halfbyte.features"));
  assert_int_equal(type_in(loader, "blk.1.attn_k.weight"), HB_TYPE_IQ4_NL);
  hb_loader_destroy(loader);
}

/* ---- The vocabulary ---- */

static int compare_texts(const void *a, const void *b) {
  const hb_string *x = a, *y = b;
  size_t shorter = x->length < y->length ? x->length : y->length;
  int order = memcmp(x->data, y->data, shorter);
  return order ? order : (x->length > y->length) - (x->length < y->length);
}

static void no_two_tokens_are_the_same(void **state) {
  (void)state;
  enum { COUNT = 60000 };
  static hb_string texts[COUNT];
  hb_loader *loader = load_header("32,1,1,1,32,60000", "q4_0");
  const hb_value *tokens = hb_gguf_value(hb_loader_gguf(loader), "tokenizer.ggml.tokens");
  uint64_t cursor = 0;
  for (size_t i = 0; i < COUNT; i++)
    assert_int_equal(hb_value_next_string(tokens, &cursor, &texts[i], NULL), HB_OK);
  qsort(texts, COUNT, sizeof *texts, compare_texts);
  for (size_t i = 1; i < COUNT; i++) assert_true(compare_texts(&texts[i - 1], &texts[i]) < 0);
  hb_loader_destroy(loader);
}

static void words_and_bytes_make_tokens(void **state) {
  (void)state;
  hb_model *model = load("32,1,1,1,32,2000", "q4_0");
  const hb_tokenizer *t = hb_model_tokenizer(model);
  hb_token tokens[16];
  size_t count;
  hb_error error;
  assert_int_equal(
      hb_tokenize(t, (hb_string){"bace go!", 8}, HB_TOKENIZE_BOS, NULL, tokens, 16, &count, &error),
      HB_OK);
  assert_true(count >= 4 && count < 8);
  assert_int_equal(tokens[0], 1);
  assert_int_equal(tokens[count - 1], 3 + '!');
  hb_tokenizer_info info;
  hb_tokenizer_get_info(t, &info);
  assert_int_equal(info.bos, 1);
  assert_int_equal(info.eos, 2);
  hb_model_destroy(model);
}

/* ---- Wrong arguments, no memory ---- */

static void wrong_shapes_are_refused_by_what_is_wrong(void **state) {
  (void)state;
  static const char *const expected[][2] = {
      {"", "the embedding length is not followed by a comma"},
      {"gpt-5", "the embedding length is not followed by a comma"},
      {"64,2,2", "the number of heads is not followed by a comma"},
      {"64,2,2,1,,300", "the feed-forward length is not followed by a comma"},
      {"64,2,2,1,96,300,1", "the vocabulary is not followed by the end"},
      {"64,2,2,1,96,300 ", "the vocabulary is not followed by the end"},
      {"-64,2,2,1,96,300", "the embedding length is not followed"},
      {"0,2,2,1,96,300", "the embedding length is not in 1..131072"},
      {"99999999999999999999999,2,2,1,96,300", "the embedding length is not in 1..131072"},
      {"80,2,2,1,96,300", "the embedding length is no multiple of 32"},
      {"64,0,2,1,96,300", "the number of layers is not in 1..1000"},
      {"64,1001,2,1,96,300", "the number of layers is not in 1..1000"},
      {"64,2,0,1,96,300", "the number of heads is not in 1..1024"},
      {"64,2,3,1,96,300", "the number of heads, 3, does not divide the embedding length"},
      {"64,2,2,0,96,300", "the number of KV heads is not in 1..1024"},
      {"64,2,4,3,96,300", "the number of KV heads, 3, does not divide that of heads"},
      {"64,2,2,4,96,300", "the number of KV heads, 4, does not divide that of heads"},
      {"64,2,64,1,96,300", "the head size, 1, is odd or more than 512"},
      {"1024,2,1,1,96,300", "the head size, 1024, is odd or more than 512"},
      {"64,2,2,1,100,300", "the feed-forward length is no multiple of 32"},
      {"64,2,2,1,1048608,300", "the feed-forward length is not in 1..1048576"},
      {"64,2,2,1,96,258", "the vocabulary is not in 259..4194304"},
      {"64,2,2,1,96,4294967296", "the vocabulary is not in 259..4194304"},
  };
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    hb_synthetic *s;
    hb_error error = {0};
    assert_int_equal(hb_synthetic_create(NULL, expected[i][0], "q4_0", 1, &s, &error), HB_ARGUMENT);
    assert_null(s);
    if (!strstr(error.message, expected[i][1])) fail_msg("%s: %s", expected[i][0], error.message);
  }
}

static void wrong_types_are_refused_by_their_names(void **state) {
  (void)state;
  static const char *const expected[][2] = {{"q9", "type q9 is neither"},
                                            {"", "type  is neither"},
                                            {"iq2_xxs", "type IQ2_XXS is not supported"},
                                            {"i8", "type I8 is not supported"}};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    hb_synthetic *s;
    hb_error error = {0};
    assert_int_equal(hb_synthetic_create(NULL, WIDE, expected[i][0], 1, &s, &error), HB_ARGUMENT);
    if (!strstr(error.message, expected[i][1])) fail_msg("%s", error.message);
  }
}

typedef struct heap {
  size_t blocks, left;
} heap;

static void *take(void *context, size_t size, size_t alignment) {
  heap *h = context;
  if (h->left == 0) return NULL;
  h->left--;
  h->blocks++;
  return aligned_alloc(alignment, (size + alignment) / alignment * alignment);
}

static void give(void *context, void *block, size_t size) {
  (void)size;
  ((heap *)context)->blocks--;
  free(block);
}

static void whatever_memory_is_missing_nothing_is_left_behind(void **state) {
  (void)state;
  hb_status status = HB_MEMORY;
  for (size_t i = 0; status == HB_MEMORY; i++) {
    heap h = {0, i};
    hb_allocator allocator = {&h, take, give};
    hb_synthetic *s;
    status = hb_synthetic_create(&allocator, NARROW, "q4_0", 1, &s, NULL);
    hb_synthetic_destroy(s);
    assert_int_equal(h.blocks, 0);
    assert_true(i < 1000);
  }
  assert_int_equal(status, HB_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type_and_mixture_gives_finite_logits_of_moderate_size),
      cmocka_unit_test(weights_have_the_mean_and_the_deviation_that_were_asked_for),
      cmocka_unit_test(rows_of_own_types_have_the_deviation_that_was_asked_for),
      cmocka_unit_test(q8_0_never_holds_minus_128),
      cmocka_unit_test(own_types_are_described_where_there_are_any),
      cmocka_unit_test(bytes_do_not_depend_on_how_they_are_read),
      cmocka_unit_test(a_seed_gives_its_own_bytes),
      cmocka_unit_test(every_target_makes_these_bytes),
      cmocka_unit_test(known_shapes_have_the_parameters_of_their_models),
      cmocka_unit_test(mixtures_choose_types_as_llama_cpp_does),
      cmocka_unit_test(an_own_output_matrix_leaves_the_embedding_to_the_mixture),
      cmocka_unit_test(rows_that_do_not_divide_get_the_next_larger_type),
      cmocka_unit_test(no_two_tokens_are_the_same),
      cmocka_unit_test(words_and_bytes_make_tokens),
      cmocka_unit_test(wrong_shapes_are_refused_by_what_is_wrong),
      cmocka_unit_test(wrong_types_are_refused_by_their_names),
      cmocka_unit_test(whatever_memory_is_missing_nothing_is_left_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
