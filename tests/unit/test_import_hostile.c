/* Folders of Hugging Face that are damaged, contradict themselves or ask for what an architecture
 * lacks: each is refused with a sentence that names the thing. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "vocabulary_files.h"

#include "import/json.h"
#include "import/safetensors.h"
#include "import/vocabulary.h"

static void expect_message(const hb_error *error, const char *part) {
  if (!strstr(error->message, part)) fail_msg("\"%s\" lacks \"%s\"", error->message, part);
}

/* ---- JSON ---- */

static hb_status parse(const char *text, size_t size, hb_json *out, hb_error *error) {
  char *copy = malloc(size ? size : 1); /* of that size, so that a byte read beyond is noticed */
  memcpy(copy, text, size);
  return hb_json_parse(copy, size, out, error);
}

static void json_gives_what_its_text_says(void **state) {
  (void)state;
  static const char text[] = " {\"a\\u0000\\ud83d\\ude00\\n\":[1,-2.5e3,true,false,null,{}],"
                             "\"n\":18446744073709551615,\"e\":1e-05,\"a\":0,\"a\":\"z\"} ";
  hb_json json;
  hb_error error = {0};
  if (parse(text, sizeof text - 1, &json, &error) != HB_OK) fail_msg("%s", error.message);
  hb_item root = hb_json_root(&json);
  hb_json_walk w = hb_json_begin(root);
  assert_true(hb_json_step(&w));
  assert_int_equal(w.key.length, 7);
  assert_memory_equal(w.key.data, "a\0\xf0\x9f\x98\x80\n", 7);
  hb_json_walk list = hb_json_begin(w.value);
  uint64_t whole;
  double real;
  bool truth;
  hb_string string;
  assert_true(hb_json_step(&list) && hb_json_u64(list.value, &whole) && whole == 1);
  assert_true(hb_json_step(&list) && hb_json_f64(list.value, &real) && real == -2500);
  assert_false(hb_json_u64(list.value, &whole));
  assert_true(hb_json_step(&list) && hb_json_bool(list.value, &truth) && truth);
  assert_true(hb_json_step(&list) && hb_json_bool(list.value, &truth) && !truth);
  assert_true(hb_json_step(&list) && hb_json_kind_of(list.value) == HB_JSON_NULL);
  assert_true(hb_json_step(&list) && hb_json_kind_of(list.value) == HB_JSON_OBJECT);
  assert_false(hb_json_step(&list));
  assert_true(hb_json_u64(hb_json_get(root, "n"), &whole) && whole == UINT64_MAX);
  assert_true(hb_json_f64(hb_json_get(root, "e"), &real) && real == 1e-05);
  assert_true(hb_json_string(hb_json_get(root, "a"), &string)); /* the last */
  assert_int_equal(string.length, 1);
  assert_null(hb_json_get(root, "b").in);
  assert_null(hb_json_get(hb_json_get(root, "n"), "x").in);
  hb_json_close(&json);
}

static void numbers_are_read_as_c_reads_them(void **state) {
  (void)state;
  static const char *const numbers[] = {"0",         "-0",
                                        "1e-06",     "0.25",
                                        "1000000.0", "3.14159",
                                        "1e22",      "1.5E+2",
                                        "1e-22",     "123456789012345",
                                        "1e400",     "1e-400",
                                        "0.1",       "1.08",
                                        "2e1",       "1e999999999999"};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    hb_json json;
    double x;
    assert_int_equal(parse(numbers[i], strlen(numbers[i]), &json, NULL), HB_OK);
    assert_true(hb_json_f64(hb_json_root(&json), &x));
    if (x != strtod(numbers[i], NULL)) fail_msg("%s is read as %.17g", numbers[i], x);
    hb_json_close(&json);
  }
}

static void unsound_json_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"",
                                      " ",
                                      "{",
                                      "[",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{1:2}",
                                      "\"",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\x01\"",
                                      "\"\xff\"",
                                      "\"\xc3\"",
                                      "\"\xed\xa0\x80\"",
                                      "01",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "-",
                                      "+1",
                                      "nul",
                                      "truex",
                                      "1 2",
                                      "[1 2]",
                                      "{\"a\" 1}",
                                      "NaN",
                                      "Infinity",
                                      "'a'",
                                      "[}",
                                      "{]",
                                      "\xef\xbb\xbf{}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    hb_json json;
    hb_error error = {0};
    if (parse(texts[i], strlen(texts[i]), &json, &error) != HB_FORMAT)
      fail_msg("%s is taken", texts[i]);
    assert_null(json.text);
  }
}

static void deep_json_is_refused(void **state) {
  (void)state;
  enum { DEPTH = 100000 };
  char *text = malloc(2 * DEPTH);
  hb_json json;
  hb_error error = {0};
  memset(text, '[', DEPTH);
  memset(text + DEPTH, ']', DEPTH);
  assert_int_equal(parse(text, 2 * DEPTH, &json, &error), HB_FORMAT);
  expect_message(&error, "nests too deeply");
  assert_int_equal(parse(text + DEPTH - 60, 120, &json, &error), HB_OK);
  hb_json_close(&json);
  free(text);
}

/* ---- safetensors ---- */

typedef struct header_case {
  const char *header;
  size_t data;
  hb_status status;
  const char *says;
} header_case;

static hb_status open_header(const char *header, size_t data_size, hb_error *error) {
  size_t size;
  uint8_t data[64] = {0};
  hb_safetensors file;
  uint8_t *bytes = tensors_bytes(header, data, data_size, &size);
  hb_status status = hb_safetensors_open(bytes, size, &file, error);
  if (status == HB_OK) hb_safetensors_close(&file);
  free(bytes);
  return status;
}

#define RECORD(name, dtype, shape, begin, end)                                                     \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]" \
  "}"

static void headers_that_contradict_themselves_are_refused(void **state) {
  (void)state;
  static const header_case cases[] = {
      {"{" RECORD("a", "F32", "[2]", "0", "8") "}", 8, HB_OK, ""},
      {"{" RECORD("a", "F32", "[]", "0", "4") "}", 4, HB_OK, ""},
      {"{" RECORD("a", "F32", "[0]", "0", "0") "," RECORD("b", "I8", "[3]", "0", "3") "}  ", 3,
       HB_OK, ""},
      {"{\"__metadata__\":{\"format\":\"pt\"}," RECORD("a", "BOOL", "[1]", "0", "1") "}", 1, HB_OK,
       ""},
      {"{}", 0, HB_OK, ""},
      {"{}", 1, HB_FORMAT, "belong to no tensor"},
      {"[]", 0, HB_FORMAT, "no JSON object"},
      {"{" RECORD("a", "F32", "[2]", "0", "8") "}", 7, HB_TRUNCATED, "tensor a ends at byte 8"},
      {"{" RECORD("a", "F32", "[2]", "0", "8") "}", 9, HB_FORMAT, "last 1 bytes"},
      {"{" RECORD("a", "F32", "[2]", "0", "4") "}", 8, HB_FORMAT, "needs 8 bytes"},
      {"{" RECORD("a", "F32", "[2]", "8", "0") "}", 8, HB_FORMAT, "from byte 8 to 0"},
      {"{" RECORD("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 0, HB_FORMAT,
       "out of range"},
      {"{" RECORD("a", "F32", "[-1]", "0", "4") "}", 4, HB_FORMAT, "dimension"},
      {"{" RECORD("a", "F32", "[1.0]", "0", "4") "}", 4, HB_FORMAT, "dimension"},
      {"{" RECORD("a", "F32", "2", "0", "8") "}", 8, HB_FORMAT, "shape"},
      {"{" RECORD("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, HB_UNSUPPORTED,
       "more than 8 dimensions"},
      {"{" RECORD("a", "F4", "[2]", "0", "1") "}", 1, HB_UNSUPPORTED, "unknown type F4"},
      {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, HB_FORMAT, "dtype"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, HB_FORMAT, "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, HB_FORMAT,
       "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, HB_FORMAT,
       "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{\"0\":0,\"1\":4}}}", 4, HB_FORMAT,
       "data_offsets"},
      {"{\"a\":null}", 0, HB_FORMAT, "dtype"},
      {"{" RECORD("a", "F32", "[1]", "0", "4") "," RECORD("b", "F32", "[1]", "0", "4") "}", 4,
       HB_FORMAT, "another tensor's"},
      {"{" RECORD("a", "F32", "[2]", "0", "8") "," RECORD("b", "F32", "[1]", "4", "8") "}", 8,
       HB_FORMAT, "another tensor's"},
      {"{" RECORD("a", "F32", "[1]", "0", "4") "," RECORD("b", "F32", "[1]", "8", "12") "}", 12,
       HB_FORMAT, "bytes of no tensor"},
      {"{" RECORD("a", "F32", "[1]", "0", "4") "," RECORD("a", "F32", "[1]", "4", "8") "}", 8,
       HB_FORMAT, "two of that name"},
      {"{" RECORD("a", "F32", "[1]", "18446744073709551612", "18446744073709551616") "}", 4,
       HB_FORMAT, "data_offsets"},
      {"{" RECORD("a", "U8", "[18446744073709551615]", "0", "18446744073709551615") "}", 4,
       HB_TRUNCATED, "ends at byte"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_error error = {0};
    hb_status status = open_header(cases[i].header, cases[i].data, &error);
    if (status != cases[i].status)
      fail_msg("%s: status %d, %s", cases[i].header, status, error.message);
    if (status != HB_OK) expect_message(&error, cases[i].says);
  }
}

static void lengths_of_headers_are_checked(void **state) {
  (void)state;
  static const uint64_t lengths[] = {0, 3, 100000001, UINT64_MAX, UINT64_MAX - 7};
  uint8_t bytes[10] = {0};
  hb_safetensors file;
  for (size_t size = 0; size < 8; size++) {
    uint8_t *exact = malloc(size ? size : 1);
    memset(exact, 0, size);
    assert_int_equal(hb_safetensors_open(exact, size, &file, NULL), HB_TRUNCATED);
    free(exact);
  }
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    for (int b = 0; b < 8; b++) bytes[b] = (uint8_t)(lengths[i] >> (8 * b));
    hb_status status = hb_safetensors_open(bytes, sizeof bytes, &file, NULL);
    assert_int_equal(status, lengths[i] == 0 ? HB_FORMAT : HB_TRUNCATED);
  }
}

/* ---- tokenizer.model ---- */

static void unsound_pieces_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    hb_status status;
  } cases[] = {
      {"\x0a\x03\x0a\x01"
       "a\x12\x02\x18\x02",
       9, HB_OK},
      {"", 0, HB_FORMAT},
      {"\x0a\x03\x0a\x01"
       "a",
       5, HB_FORMAT}, /* no trainer_spec */
      {"\x0a\x03\x0a\x01"
       "a\x12\x02\x18\x01",
       9, HB_UNSUPPORTED}, /* unigram */
      {"\x0a\x03\x0a\x01"
       "a\x12\x00",
       7, HB_UNSUPPORTED}, /* which is the default */
      {"\x0a\x7f\x0a\x01"
       "a",
       5, HB_FORMAT},
      {"\x0a\x03\x0a\x7f"
       "a",
       5, HB_FORMAT},
      {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, HB_FORMAT},
      {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, HB_FORMAT},
      {"\x0b", 1, HB_FORMAT}, /* groups are no more */
      {"\x02\x00", 2, HB_FORMAT},
      {"\x0d\x00", 2, HB_FORMAT},
      {"\x0a\x02\x18\x09\x12\x02\x18\x02", 8, HB_FORMAT}, /* a type that is none */
      {"\x0a\x03\x0a\x01\xff\x12\x02\x18\x02", 9, HB_FORMAT},
      {"\x0a\x00\x0a\x00\x0a\x00\x12\x02\x18\x02", 10, HB_MODEL}, /* more than 2 pieces */
      {"\x0a\x00\x12\x02\x18\x02\x1a\x02\x28\x00", 10, HB_UNSUPPORTED},
      {"\x0a\x00\x12\x02\x18\x02\x1a\x03\x12\x01x", 11, HB_UNSUPPORTED},
      {"\x0a\x00\x12\x05\x18\x02\xc0\x01\x01", 9, HB_UNSUPPORTED},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_vocabulary v;
    hb_error error = {0};
    uint8_t *exact = malloc(cases[i].size + 1);
    memcpy(exact, cases[i].bytes, cases[i].size);
    assert_int_equal(hb_vocabulary_create(2, &v, &error), HB_OK);
    hb_status status = hb_sentencepiece_read(exact, cases[i].size, &v, &error);
    if (status != cases[i].status) fail_msg("case %zu: status %d, %s", i, status, error.message);
    hb_vocabulary_close(&v);
    free(exact);
  }
}

/* ---- Folders ---- */

static void expect_refusal(const test_folder *f, hb_status expected, const char *says) {
  hb_source source;
  hb_error error = {0};
  hb_status status = hb_source_open(f->path, &source, &error);
  if (status != expected) fail_msg("status %d instead of %d: %s", status, expected, error.message);
  expect_message(&error, says);
  assert_null(source.context);
}

static void folders_without_a_model_are_refused(void **state) {
  (void)state;
  test_folder f;
  folder_create(&f);
  expect_refusal(&f, HB_IO, "no config.json");
  write_tiny_model(&f, 16, "");
  folder_remove(&f, "model.safetensors");
  expect_refusal(&f, HB_IO, "model.safetensors");
  write_tiny_model(&f, 16, "");
  hb_source source = source_of(f.path);
  hb_source_close(&source);
  folder_destroy(&f);
}

typedef struct config_case {
  const char *from, *to; /* replaced in the configuration */
  hb_status status;
  const char *says;
} config_case;

static const char good_config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":16,\"hidden_size\":8,\"intermediate_size\":8,"
    "\"num_attention_heads\":1,\"num_hidden_layers\":1,\"max_position_embeddings\":64,"
    "\"hidden_act\":\"silu\",\"tie_word_embeddings\":true,\"rope_theta\":1e4}";

/* The sound configuration with one part replaced. */
static void write_config(const test_folder *f, const char *from, const char *to) {
  char config[1024];
  const char *at = strstr(good_config, from);
  assert_non_null(at);
  snprintf(config, sizeof config, "%.*s%s%s", (int)(at - good_config), good_config, to,
           at + strlen(from));
  folder_text(f, "config.json", config);
}

static void configurations_that_do_not_suit_are_refused(void **state) {
  (void)state;
  static const config_case cases[] = {
      {"\"llama\"", "\"mamba\"", HB_UNSUPPORTED, "\"model_type\" is \"mamba\""},
      {"\"llama\"", "7", HB_MODEL, "model_type"},
      {"}", "", HB_FORMAT, "config.json"},
      {"\"hidden_size\":8", "\"hidden_size\":16", HB_MODEL, "the configuration asks for"},
      {"\"hidden_size\":8", "\"hidden_size\":0", HB_MODEL, "hidden_size"},
      {"\"hidden_size\":8", "\"hidden_size\":\"8\"", HB_MODEL, "hidden_size"},
      {"\"hidden_size\":8", "\"hidden_size\":1e9", HB_MODEL, "hidden_size"},
      {"\"hidden_size\":8", "\"hidden_size\":2147483647", HB_MODEL, "embedding_length"},
      {"\"hidden_size\":8,", "", HB_MODEL, "\"hidden_size n_embd\" is missing"},
      {"\"vocab_size\":16", "\"vocab_size\":17", HB_MODEL, "embed_tokens"},
      {"\"vocab_size\":16", "\"vocab_size\":2147483647", HB_MODEL, "vocab"},
      {"\"num_hidden_layers\":1", "\"num_hidden_layers\":2", HB_MODEL, "is missing in layer 1"},
      {"\"num_hidden_layers\":1", "\"num_hidden_layers\":1001", HB_MODEL, "block_count"},
      {"\"num_attention_heads\":1", "\"num_attention_heads\":3", HB_MODEL, "does not divide"},
      {"\"num_attention_heads\":1", "\"num_attention_heads\":16", HB_MODEL, "head_dim"},
      {"\"num_attention_heads\":1", "\"num_attention_heads\":2,\"num_key_value_heads\":4", HB_MODEL,
       "heads"},
      {"\"silu\"", "\"relu\"", HB_UNSUPPORTED, "hidden_act"},
      {"\"silu\"", "[]", HB_UNSUPPORTED, "hidden_act"},
      {"true", "false", HB_MODEL, "lm_head.weight is missing"},
      {"true", "\"yes\"", HB_MODEL, "tie_word_embeddings"},
      {"1e4", "-1", HB_MODEL, "rope_theta"},
      {"1e4", "1e4,\"quantization_config\":{\"bits\":4}", HB_UNSUPPORTED, "quantized already"},
      {"1e4", "1e4,\"is_encoder_decoder\":true", HB_UNSUPPORTED, "is_encoder_decoder"},
      {"1e4", "1e4,\"partial_rotary_factor\":0.5", HB_UNSUPPORTED, "partial_rotary_factor"},
      {"1e4", "1e4,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", HB_UNSUPPORTED,
       "\"dynamic\""},
      {"1e4", "1e4,\"rope_scaling\":{\"rope_type\":\"longrope\"}", HB_UNSUPPORTED, "longrope"},
      {"1e4", "1e4,\"rope_scaling\":{\"rope_type\":\"yarn\",\"mscale\":1}", HB_UNSUPPORTED,
       "mscale"},
      {"1e4",
       "1e4,\"rope_scaling\":{\"rope_type\":\"llama3\",\"low_freq_factor\":4,"
       "\"high_freq_factor\":4}",
       HB_MODEL, "low_freq_factor"},
      {"1e4", "1e4,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":-2}", HB_MODEL, "factor"},
      {"1e4", "1e4,\"rms_norm_eps\":2", HB_MODEL, "rms_epsilon"},
  };
  test_folder f;
  folder_create(&f);
  write_tiny_model(&f, 16, "");
  folder_text(&f, "config.json", good_config);
  hb_source source = source_of(f.path);
  hb_source_close(&source);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_config(&f, cases[i].from, cases[i].to);
    expect_refusal(&f, cases[i].status, cases[i].says);
  }
  folder_destroy(&f);
}

/* A sound model with one tensor more, or one in another shape or type. */
static void expect_tensor_refusal(const char *name, const char *dtype, uint64_t rows, uint64_t cols,
                                  hb_status status, const char *says) {
  test_folder f;
  size_t size;
  folder_create(&f);
  write_tiny_model(&f, 16, "");
  char *bytes = (char *)read_file(folder_file(&f, "model.safetensors"), &size);
  tensors_file tensors = {0};
  uint64_t length = 0;
  memcpy(&length, bytes, 8);
  size_t data = size - 8 - (size_t)length;
  tensors_grow(&tensors.data, &tensors.data_capacity, data);
  memcpy(tensors.data, bytes + 8 + length, data);
  tensors.data_size = data;
  bytes[8 + length - 1] = 0; /* the closing brace */
  tensors_print(&tensors, bytes + 8);
  free(bytes);
  size_t value = strcmp(dtype, "F64") == 0 ? 8 : strcmp(dtype, "I8") == 0 ? 1 : 2;
  uint8_t zeros[4096] = {0};
  size_t count = (size_t)(rows * (cols ? cols : 1)) * value;
  assert_true(count <= sizeof zeros);
  tensors_add(&tensors, name, dtype, (uint64_t[]){rows, cols, 0}, zeros, count);
  tensors_write(&tensors, &f, "model.safetensors");
  if (status == HB_OK) {
    hb_source source = source_of(f.path);
    hb_source_close(&source);
  } else {
    expect_refusal(&f, status, says);
  }
  folder_destroy(&f);
}

static void tensors_that_do_not_suit_are_refused(void **state) {
  (void)state;
  expect_tensor_refusal("model.layers.0.mlp.router.weight", "BF16", 8, 8, HB_UNSUPPORTED,
                        "tensor model.layers.0.mlp.router.weight is unknown");
  expect_tensor_refusal("model.layers.0.mlp.gate_proj.bias", "BF16", 8, 0, HB_UNSUPPORTED,
                        "unknown");
  expect_tensor_refusal("model.layers.0.self_attn.q_norm.weight", "BF16", 8, 0, HB_UNSUPPORTED,
                        "unknown to the architecture llama");
  expect_tensor_refusal("model.layers.1.mlp.up_proj.weight", "BF16", 8, 8, HB_MODEL, "no layer");
  expect_tensor_refusal("model.layers.01.mlp.up_proj.weight", "BF16", 8, 8, HB_UNSUPPORTED,
                        "unknown");
  expect_tensor_refusal("layers.0.mlp.up_proj.weight", "BF16", 8, 8, HB_MODEL, "the same weight");
  expect_tensor_refusal("model.layers.0.self_attn.q_proj.bias", "F64", 8, 0, HB_UNSUPPORTED,
                        "has the type F64");
  expect_tensor_refusal("model.layers.0.self_attn.q_proj.bias", "I8", 8, 0, HB_UNSUPPORTED,
                        "has the type I8");
  expect_tensor_refusal("model.layers.0.self_attn.q_proj.bias", "BF16", 9, 0, HB_MODEL,
                        "vector of 8");
  expect_tensor_refusal("model.layers.0.self_attn.q_proj.bias", "BF16", 8, 1, HB_MODEL,
                        "has 2 dimensions");
  /* What models carry along, but need not. */
  expect_tensor_refusal("model.layers.0.self_attn.rotary_emb.inv_freq", "F64", 4, 0, HB_OK, "");
  expect_tensor_refusal("lm_head.weight", "BF16", 16, 8, HB_OK, ""); /* the embedding is tied */
  expect_tensor_refusal("model.layers.0.self_attn.k_proj.bias", "BF16", 8, 0, HB_OK, "");
}

static void indexes_that_lead_astray_are_refused(void **state) {
  (void)state;
  static const char *const astray[] = {
      "../model.safetensors", "/etc/passwd", "a/b.safetensors", ".hidden", "..", "", "a\\\\b",
      "c:model.safetensors",  "a\\u0000b"};
  char index[256];
  test_folder f;
  folder_create(&f);
  write_tiny_model(&f, 16, "");
  assert_int_equal(rename(folder_file(&f, "model.safetensors"), "/tmp/halfbyte-part.tmp"), 0);
  assert_int_equal(rename("/tmp/halfbyte-part.tmp", folder_file(&f, "part.safetensors")), 0);
  for (size_t i = 0; i < sizeof astray / sizeof *astray; i++) {
    snprintf(index, sizeof index, "{\"weight_map\":{\"lm_head.weight\":\"%s\"}}", astray[i]);
    folder_text(&f, "model.safetensors.index.json", index);
    expect_refusal(&f, HB_FORMAT, "lm_head.weight is in no file of this folder");
  }
  folder_text(&f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":7}}");
  expect_refusal(&f, HB_FORMAT, "tensor a is in no file");
  folder_text(&f, "model.safetensors.index.json", "{\"weight_map\":{}}");
  expect_refusal(&f, HB_FORMAT, "lists no files");
  folder_text(&f, "model.safetensors.index.json", "{\"weight_map\":[]}");
  expect_refusal(&f, HB_FORMAT, "no object");
  folder_text(&f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"gone.safetensors\"}}");
  expect_refusal(&f, HB_IO, "gone.safetensors");
  folder_text(&f, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"part.safetensors\"}}");
  expect_refusal(&f, HB_MODEL, "tensor a is not in part.safetensors");
  folder_text(&f, "model.safetensors.index.json",
              "{\"weight_map\":{\"model.norm.weight\":\"part.safetensors\"}}");
  hb_source source = source_of(f.path);
  hb_source_close(&source);
  folder_destroy(&f);
}

static void tokenizers_that_do_not_suit_are_refused(void **state) {
  (void)state;
#define BYTES "\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
  static const struct {
    const char *json;
    hb_status status;
    const char *says;
  } cases[] = {
      {"[]", HB_UNSUPPORTED, "tokenizer.json"},
      {"{\"model\":{\"type\":\"Unigram\"}}", HB_UNSUPPORTED, "no BPE"},
      {"{\"model\":{\"type\":\"BPE\"}}", HB_UNSUPPORTED, "without tokens for all bytes"},
      {"{" BYTES "\"model\":{\"vocab\":[]}}", HB_FORMAT, "vocab"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":16}}}", HB_MODEL, "token a has no number"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":-1}}}", HB_MODEL, "token a has no number"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":1,\"b\":1}}}", HB_MODEL, "the same number"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":1}}}", HB_FORMAT, "merges"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"ab\"]}}", HB_FORMAT, "merge 0"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"a b\",[\"a\"]]}}", HB_FORMAT,
       "merge 1"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":1},\"merges\":[[\"a\",\"b\",\"c\"]]}}", HB_FORMAT,
       "merge 0"},
      {"{" BYTES "\"model\":{\"vocab\":{\"a\":1},\"merges\":[]},\"added_tokens\":[{\"id\":2}]}",
       HB_FORMAT, "added_tokens"},
      {"{" BYTES "\"normalizer\":{\"type\":\"Lowercase\"},\"model\":{}}", HB_UNSUPPORTED,
       "normalizer"},
      {"{\"decoder\":{\"type\":\"ByteLevel\"},\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
       "\"model\":{}}",
       HB_UNSUPPORTED, "pre_tokenizer"},
      {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},\"model\":{}}",
       HB_UNSUPPORTED, "pre_tokenizer"},
      {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
       "\"pattern\":{\"Regex\":\".\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\"}]},"
       "\"model\":{}}",
       HB_UNSUPPORTED, "pre_tokenizer"},
      {"{" BYTES "\"model\":{\"end_of_word_suffix\":\"</w>\"}}", HB_UNSUPPORTED, "ends"},
      {"{\"model\":{\"byte_fallback\":true,\"vocab\":{\"a\":0,\"b\":5},\"merges\":[]}}",
       HB_UNSUPPORTED, "gaps"},
      {"{\"model\":{\"byte_fallback\":true},\"normalizer\":{\"type\":\"NFKC\"}}", HB_UNSUPPORTED,
       "normalizer"},
  };
  test_folder f;
  folder_create(&f);
  write_tiny_model(&f, 16, "");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    folder_text(&f, "tokenizer.json", cases[i].json);
    expect_refusal(&f, cases[i].status, cases[i].says);
  }
  folder_remove(&f, "tokenizer.json");
  folder_text(&f, "chat_template.jinja", "{{ \xff }}");
  expect_refusal(&f, HB_FORMAT, "chat_template.jinja is not UTF-8");
  folder_text(&f, "tokenizer.model", "IQ== 0\nIg== 1\n"); /* another format of that name */
  expect_refusal(&f, HB_FORMAT, "tokenizer.model");
  folder_destroy(&f);
}

/* Truncated at any place, files are refused; nothing is read beyond them. */
static void truncated_files_are_refused(void **state) {
  (void)state;
  static const char json[] = "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":"
                             "{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}";
  test_folder f;
  size_t size;
  folder_create(&f);
  write_tiny_model(&f, 16, "");
  for (size_t end = 0; end + 1 < sizeof json; end++) {
    folder_write(&f, "tokenizer.json", json, end);
    hb_source source;
    assert_int_equal(hb_source_open(f.path, &source, NULL), HB_FORMAT);
  }
  folder_text(&f, "tokenizer.json", json);
  uint8_t *bytes = read_file(folder_file(&f, "model.safetensors"), &size);
  for (size_t end = 0; end < size; end += end < 64 ? 1 : 97) {
    folder_write(&f, "model.safetensors", bytes, end);
    hb_source source;
    hb_status status = hb_source_open(f.path, &source, NULL);
    assert_true(status == HB_TRUNCATED || status == HB_FORMAT);
  }
  free(bytes);
  folder_destroy(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(json_gives_what_its_text_says),
      cmocka_unit_test(numbers_are_read_as_c_reads_them),
      cmocka_unit_test(unsound_json_is_refused),
      cmocka_unit_test(deep_json_is_refused),
      cmocka_unit_test(headers_that_contradict_themselves_are_refused),
      cmocka_unit_test(lengths_of_headers_are_checked),
      cmocka_unit_test(unsound_pieces_are_refused),
      cmocka_unit_test(folders_without_a_model_are_refused),
      cmocka_unit_test(configurations_that_do_not_suit_are_refused),
      cmocka_unit_test(tensors_that_do_not_suit_are_refused),
      cmocka_unit_test(indexes_that_lead_astray_are_refused),
      cmocka_unit_test(tokenizers_that_do_not_suit_are_refused),
      cmocka_unit_test(truncated_files_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
