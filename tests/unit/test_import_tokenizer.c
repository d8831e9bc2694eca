/* tokenizer.json and tokenizer.model: known vocabularies, written in the form that a folder has,
 * come back as they were and cut the texts of the vectors as they should. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include "vocabulary_files.h"

#include "token/tokenizer.h"

#include <cjson/cJSON.h>

/* ---- Writing ---- */

static void print_added(text *t, const vocabulary *v) {
  char line[64];
  const char *comma = "";
  print(t, "\"added_tokens\":[");
  for (uint32_t i = 0; i < v->count; i++) {
    uint32_t type = type_of(v, i);
    if ((type != CONTROL && type != USER) || is_gap(v, i)) continue;
    snprintf(line, sizeof line, "%s{\"id\":%u,\"special\":%s,\"content\":", comma, i,
             type == CONTROL ? "true" : "false");
    print(t, line);
    print_quoted(t, v->text[i]);
    print(t, "}");
    comma = ",";
  }
  print(t, "]");
}

static void print_vocabulary(text *t, const vocabulary *v) {
  char number[32];
  const char *comma = "";
  print(t, "\"vocab\":{");
  for (uint32_t i = 0; i < v->count; i++) {
    if (type_of(v, i) == CONTROL || type_of(v, i) == USER || is_gap(v, i)) continue;
    print(t, comma);
    print_quoted(t, v->text[i]);
    snprintf(number, sizeof number, ":%u", i);
    print(t, number);
    comma = ",";
  }
  print(t, "}");
}

/* Both spellings of merges are in use. */
static void print_merge(text *t, hb_string merge, bool pair) {
  size_t left = (size_t)((const char *)memchr(merge.data, ' ', merge.length) - merge.data);
  if (!pair) {
    print_quoted(t, merge);
    return;
  }
  print(t, "[");
  print_quoted(t, (hb_string){merge.data, left});
  print(t, ",");
  print_quoted(t, (hb_string){merge.data + left + 1, merge.length - left - 1});
  print(t, "]");
}

static void print_merges(text *t, const hb_gguf *gguf, bool pairs) {
  const hb_value *merges = hb_gguf_value(gguf, KEY "merges");
  uint64_t cursor = 0;
  print(t, "\"merges\":[");
  for (uint64_t i = 0; i < merges->count; i++) {
    hb_string merge;
    assert_int_equal(hb_value_next_string(merges, &cursor, &merge, NULL), HB_OK);
    if (i) print(t, ",");
    print_merge(t, merge, pairs);
  }
  print(t, "]");
}

/* ---- Comparing ---- */

static void expect_tokens(const hb_gguf *gguf, const vocabulary *v) {
  const hb_value *tokens = hb_gguf_value(gguf, KEY "tokens");
  const hb_value *types = hb_gguf_value(gguf, KEY "token_type");
  uint64_t cursor = 0;
  assert_non_null(tokens);
  assert_int_equal(tokens->count, v->count);
  assert_int_equal(types->count, v->count);
  for (uint32_t i = 0; i < v->count; i++) {
    hb_string got;
    assert_int_equal(hb_value_next_string(tokens, &cursor, &got, NULL), HB_OK);
    if (got.length != v->text[i].length || memcmp(got.data, v->text[i].data, got.length) != 0)
      fail_msg("token %u is %.*s, not %.*s", i, (int)got.length, got.data, (int)v->text[i].length,
               v->text[i].data);
    uint32_t expected = is_gap(v, i) ? UNUSED : type_of(v, i);
    assert_int_equal(hb_load_u32(types->data + 4 * (size_t)i), expected);
  }
}

static void expect_text(const hb_gguf *gguf, const char *key, const char *expected) {
  hb_string got = {"", 0};
  const hb_value *v = hb_gguf_value(gguf, key);
  if (!v || hb_value_string(v, &got, NULL) != HB_OK || got.length != strlen(expected) ||
      memcmp(got.data, expected, got.length) != 0)
    fail_msg("%s is \"%.*s\", not \"%s\"", key, (int)got.length, got.data, expected);
}

static void expect_number(const hb_gguf *gguf, const char *key, uint64_t expected) {
  uint64_t got = 0;
  const hb_value *v = hb_gguf_value(gguf, key);
  if (!v) fail_msg("no key %s", key);
  assert_int_equal(hb_value_u64(v, 0, &got, NULL), HB_OK);
  assert_int_equal(got, expected);
}

static void expect_flag(const hb_gguf *gguf, const char *key, int expected) {
  int got = -1;
  const hb_value *v = hb_gguf_value(gguf, key);
  if (!v) fail_msg("no key %s", key);
  assert_int_equal(hb_value_bool(v, &got, NULL), HB_OK);
  assert_int_equal(got, expected);
}

/* The ids of a line, space between them, against those of a text. */
static void expect_line(const hb_tokenizer *t, hb_string one, const char *line, const char *name) {
  hb_token tokens[2048];
  size_t count, i = 0;
  assert_int_equal(hb_tokenize(t, one, 0, NULL, tokens, 2048, &count, NULL), HB_OK);
  for (char *end; *line && *line != '\n'; line = end, i++) {
    while (*line == ' ') line++;
    long expected = strtol(line, &end, 10);
    if (end == line) break;
    if (i >= count || tokens[i] != expected)
      fail_msg("%s: token %zu of \"%.*s\" is %d, not %ld", name, i, (int)one.length, one.data,
               i < count ? tokens[i] : -1, expected);
  }
  assert_int_equal(i, count);
}

/* The 46 texts of the vectors. */
static void expect_cuts(const hb_gguf *gguf, const char *name) {
  static const char separator[] = "\n__ggml_vocab_test__\n";
  char path[128];
  size_t size, texts = 0;
  hb_tokenizer *t;
  hb_error error = {0};
  if (hb_tokenizer_create(gguf, NULL, &t, &error) != HB_OK) fail_msg("%s", error.message);
  snprintf(path, sizeof path, "vectors/tokenizer/%s.inp", name);
  char *input = (char *)read_shared(path, &size), *at = input;
  input[size] = 0;
  snprintf(path, sizeof path, "vectors/tokenizer/%s.out", name);
  char *lines = (char *)read_shared(path, &size), *line = lines;
  lines[size] = 0;
  for (char *end; at; at = end, texts++) {
    end = strstr(at, separator);
    expect_line(t, (hb_string){at, end ? (size_t)(end - at) : strlen(at)}, line, name);
    if (end) end += strlen(separator);
    line = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line);
  }
  assert_true(texts >= 46);
  free(input);
  free(lines);
  hb_tokenizer_destroy(t);
}

/* ---- Byte-level BPE ---- */

#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT(regex)                                                                               \
  "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\","           \
  "\"invert\":false}"
#define SEQUENCE(parts) "{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BEHIND_DIGITS                                                                              \
  "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

typedef struct byte_level {
  const char *name; /* of the vectors */
  const char *pre_tokenizer, *model, *normalizer;
  const char *pre; /* tokenizer.ggml.pre */
  bool pairs;      /* how merges are spelled */
} byte_level;

/* Opens the folder that has this tokenizer.json. */
static hb_source open_byte_level(const test_folder *folder, const vocabulary *v,
                                 const byte_level *b) {
  text t = {0};
  print(&t, "{\"version\":\"1.0\",");
  print_added(&t, v);
  print(&t, ",\"normalizer\":");
  print(&t, b->normalizer);
  print(&t, ",\"pre_tokenizer\":");
  print(&t, b->pre_tokenizer);
  print(&t, ",\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",");
  print(&t, b->model);
  print_vocabulary(&t, v);
  print(&t, ",");
  print_merges(&t, v->file.gguf, b->pairs);
  print(&t, "}}");
  write_text(&t, folder, "tokenizer.json");
  write_tiny_model(folder, v->count, "");
  return source_of(folder->path);
}

static void check_byte_level(const byte_level *b) {
  char path[128];
  snprintf(path, sizeof path, "vectors/tokenizer/%s.gguf", b->name);
  NEED_SHARED(path);
  vocabulary v = open_vocabulary(b->name);
  test_folder folder;
  folder_create(&folder);
  hb_source source = open_byte_level(&folder, &v, b);
  expect_text(source.gguf, KEY "model", "gpt2");
  expect_text(source.gguf, KEY "pre", b->pre);
  expect_tokens(source.gguf, &v);
  const hb_value *merges = hb_gguf_value(source.gguf, KEY "merges");
  const hb_value *expected = hb_gguf_value(v.file.gguf, KEY "merges");
  assert_int_equal(merges->bytes, expected->bytes);
  assert_memory_equal(merges->data, expected->data, (size_t)expected->bytes);
  expect_cuts(source.gguf, b->name);
  hb_source_close(&source);
  folder_destroy(&folder);
  close_vocabulary(&v);
}

static void gpt2_comes_back(void **state) {
  (void)state;
  check_byte_level(&(byte_level){
      "gpt-2", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}",
      "\"dropout\":null,\"continuing_subword_prefix\":\"\",", "null", "gpt-2", false});
}

static void llama3_comes_back(void **state) {
  (void)state;
  check_byte_level(&(byte_level){
      "llama-bpe",
      SEQUENCE(
          SPLIT(CONTRACTIONS
                "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}" BEHIND_DIGITS) "," BYTES),
      "\"ignore_merges\":true,", "null", "llama-bpe", true});
}

static void qwen2_comes_back(void **state) {
  (void)state;
  check_byte_level(&(byte_level){
      "qwen2",
      SEQUENCE(SPLIT(CONTRACTIONS
                     "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" BEHIND_DIGITS) "," BYTES),
      "\"byte_fallback\":false,", "{\"type\":\"NFC\"}", "qwen2", false});
}

static void starcoder_comes_back(void **state) {
  (void)state;
  check_byte_level(&(byte_level){
      "starcoder",
      SEQUENCE(DIGITS ",{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"),
      "", "null", "smollm", true});
}

static void deepseek_coder_comes_back(void **state) {
  (void)state;
  check_byte_level(&(byte_level){
      "deepseek-coder",
      SEQUENCE(SPLIT("[\\\\r\\\\n]") "," SPLIT("\\\\s?\\\\p{L}+") "," SPLIT(
          "\\\\s?\\\\p{P}+") "," SPLIT(u8"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+") "," DIGITS
                                                                                       "," BYTES),
      "", "{\"type\":\"Sequence\",\"normalizers\":[]}", "deepseek-coder", false});
}

/* A real file, read by another parser. */
static void neox_is_as_its_file_says(void **state) {
  (void)state;
  NEED_SHARED("vectors/tokenizer/hf-neox/tokenizer.json");
  size_t size;
  char *json = (char *)read_shared("vectors/tokenizer/hf-neox/tokenizer.json", &size);
  json[size] = 0;
  test_folder folder;
  folder_create(&folder);
  folder_write(&folder, "tokenizer.json", json, size);
  folder_text(&folder, "tokenizer_config.json",
              "{\"bos_token\":\"<|endoftext|>\",\"eos_token\":{\"content\":\"<|endoftext|>\"},"
              "\"pad_token\":\"<|padding|>\",\"add_prefix_space\":false}");
  write_tiny_model(&folder, 50304, "");
  hb_source source = source_of(folder.path);
  expect_text(source.gguf, KEY "model", "gpt2");
  expect_text(source.gguf, KEY "pre", "gpt-2");
  expect_number(source.gguf, KEY "bos_token_id", 0);
  expect_number(source.gguf, KEY "eos_token_id", 0);
  expect_number(source.gguf, KEY "padding_token_id", 1);
  expect_flag(source.gguf, KEY "add_bos_token", 0);

  const hb_value *tokens = hb_gguf_value(source.gguf, KEY "tokens");
  const uint8_t *types = hb_gguf_value(source.gguf, KEY "token_type")->data;
  const char **expected = calloc(50304, sizeof *expected);
  uint32_t *expected_type = calloc(50304, sizeof *expected_type);
  cJSON *root = cJSON_Parse(json), *item;
  cJSON *model = cJSON_GetObjectItem(root, "model");
  cJSON_ArrayForEach(item, cJSON_GetObjectItem(model, "vocab")) {
    expected[item->valueint] = item->string;
    expected_type[item->valueint] = NORMAL;
  }
  cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "added_tokens")) {
    int id = cJSON_GetObjectItem(item, "id")->valueint;
    expected[id] = cJSON_GetObjectItem(item, "content")->valuestring;
    expected_type[id] = cJSON_IsTrue(cJSON_GetObjectItem(item, "special")) ? CONTROL : USER;
  }
  uint64_t cursor = 0;
  char pad[32];
  for (uint32_t i = 0; i < 50304; i++) {
    hb_string got;
    assert_int_equal(hb_value_next_string(tokens, &cursor, &got, NULL), HB_OK);
    snprintf(pad, sizeof pad, "[PAD%u]", i);
    const char *want = expected[i] ? expected[i] : pad;
    assert_int_equal(got.length, strlen(want));
    assert_memory_equal(got.data, want, got.length);
    assert_int_equal(hb_load_u32(types + 4 * (size_t)i), expected[i] ? expected_type[i] : UNUSED);
  }
  const hb_value *merges = hb_gguf_value(source.gguf, KEY "merges");
  cursor = 0;
  cJSON_ArrayForEach(item, cJSON_GetObjectItem(model, "merges")) {
    hb_string got;
    assert_int_equal(hb_value_next_string(merges, &cursor, &got, NULL), HB_OK);
    assert_int_equal(got.length, strlen(item->valuestring));
    assert_memory_equal(got.data, item->valuestring, got.length);
  }
  assert_int_equal(cursor, merges->bytes);
  cJSON_Delete(root);
  free(expected);
  free(expected_type);
  free(json);
  hb_source_close(&source);
  folder_destroy(&folder);
}

/* ---- SentencePiece ---- */

static void pieces_come_back(void **state) {
  (void)state;
  NEED_SHARED("vectors/tokenizer/llama-spm.gguf");
  vocabulary v = open_vocabulary("llama-spm");
  test_folder folder;
  folder_create(&folder);
  write_pieces(&folder, &v);
  write_tiny_model(&folder, v.count, "");
  hb_source source = source_of(folder.path);
  expect_text(source.gguf, KEY "model", "llama");
  expect_tokens(source.gguf, &v);
  assert_memory_equal(hb_gguf_value(source.gguf, KEY "scores")->data, scores_of(&v), 4 * v.count);
  expect_number(source.gguf, KEY "bos_token_id", 1);
  expect_number(source.gguf, KEY "eos_token_id", 2);
  expect_number(source.gguf, KEY "unknown_token_id", 0);
  assert_null(hb_gguf_value(source.gguf, KEY "padding_token_id"));
  expect_flag(source.gguf, KEY "add_bos_token", 1);
  expect_flag(source.gguf, KEY "add_space_prefix", 1);
  expect_cuts(source.gguf, "llama-spm");
  hb_source_close(&source);
  folder_destroy(&folder);
  close_vocabulary(&v);
}

/* Phi-3's is Llama's with tokens of its own, most of which are in no tokenizer.model. */
static void phi3_is_llama_with_more_tokens(void **state) {
  (void)state;
  NEED_SHARED("vectors/tokenizer/phi-3.gguf");
  vocabulary llama = open_vocabulary("llama-spm"), phi3 = open_vocabulary("phi-3");
  test_folder folder;
  text t = {0};
  folder_create(&folder);
  write_pieces(&folder, &llama);
  write_tiny_model(&folder, phi3.count, "");
  print(&t, "{\"eos_token\":\"<|endoftext|>\",\"pad_token\":\"<|endoftext|>\","
            "\"added_tokens_decoder\":{");
  for (uint32_t i = 0, count = 0; i < phi3.count; i++) {
    char line[64];
    if (is_gap(&phi3, i) || (type_of(&phi3, i) != CONTROL && type_of(&phi3, i) != USER)) continue;
    snprintf(line, sizeof line, "%s\"%u\":{\"special\":%s,\"content\":", count++ ? "," : "", i,
             type_of(&phi3, i) == CONTROL ? "true" : "false");
    print(&t, line);
    print_quoted(&t, phi3.text[i]);
    print(&t, "}");
  }
  print(&t, "}}");
  write_text(&t, &folder, "tokenizer_config.json");
  hb_source source = source_of(folder.path);
  /* The reference lets the unknown token become a control token. */
  uint8_t *types = malloc(4 * (size_t)phi3.count);
  memcpy(types, phi3.type, 4 * (size_t)phi3.count);
  types[0] = UNKNOWN;
  phi3.type = types;
  expect_tokens(source.gguf, &phi3);
  assert_memory_equal(hb_gguf_value(source.gguf, KEY "scores")->data, scores_of(&phi3),
                      4 * (size_t)phi3.count);
  expect_number(source.gguf, KEY "bos_token_id", 1);
  expect_number(source.gguf, KEY "eos_token_id", 32000);
  expect_number(source.gguf, KEY "padding_token_id", 32000);
  expect_cuts(source.gguf, "phi-3");
  free(types);
  hb_source_close(&source);
  folder_destroy(&folder);
  close_vocabulary(&llama);
  close_vocabulary(&phi3);
}

/* What the folder's smaller files say about tokens. */
static void special_tokens_get_their_roles(void **state) {
  (void)state;
  NEED_SHARED("vectors/tokenizer/llama-spm.gguf");
  vocabulary v = open_vocabulary("llama-spm");
  test_folder folder;
  folder_create(&folder);
  write_pieces(&folder, &v);
  write_tiny_model(&folder, v.count + 8,
                   ",\"eos_token_id\":[32007,32000],\"pad_token_id\":32000,\"bos_token_id\":null");
  folder_text(&folder, "added_tokens.json", "{\"<old>\":32002,\"<beyond>\":32100}");
  folder_text(&folder, "tokenizer_config.json",
              "{\"add_bos_token\":false,\"add_eos_token\":true,\"eos_token\":\"<|end|>\","
              "\"added_tokens_decoder\":{\"0\":{\"content\":\"<unk>\",\"special\":true},"
              "\"32000\":{\"content\":\"<|endoftext|>\",\"special\":true},"
              "\"32001\":{\"content\":\"\u2581\u2581two\",\"special\":false},"
              "\"32007\":{\"content\":\"<|end|>\",\"special\":true}},"
              "\"chat_template\":[{\"name\":\"tools\",\"template\":\"T\"},"
              "{\"name\":\"default\",\"template\":\"{{ \\\"x\\\" }}\"}]}");
  folder_text(&folder, "generation_config.json", "{\"eos_token_id\":[32007,32000,2]}");
  hb_source source = source_of(folder.path);
  expect_number(source.gguf, KEY "eos_token_id", 32007);
  expect_number(source.gguf, KEY "eot_token_id", 32000);
  expect_number(source.gguf, KEY "eom_token_id", 2);
  expect_number(source.gguf, KEY "padding_token_id", 32000);
  expect_flag(source.gguf, KEY "add_bos_token", 0);
  expect_flag(source.gguf, KEY "add_eos_token", 1);
  expect_text(source.gguf, "tokenizer.chat_template", "{{ \"x\" }}");
  const uint8_t *types = hb_gguf_value(source.gguf, KEY "token_type")->data;
  const hb_value *tokens = hb_gguf_value(source.gguf, KEY "tokens");
  assert_int_equal(tokens->count, 32008);
  static const struct {
    uint32_t id, type;
    const char *text;
  } expected[] = {{0, UNKNOWN, "<unk>"},         {32000, CONTROL, "<|endoftext|>"},
                  {32001, USER, "  two"},        {32002, USER, "<old>"},
                  {32003, UNUSED, "[PAD32003]"}, {32007, CONTROL, "<|end|>"}};
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    uint64_t cursor = 0;
    hb_string got = {"", 0};
    for (uint32_t id = 0; id <= expected[i].id; id++)
      assert_int_equal(hb_value_next_string(tokens, &cursor, &got, NULL), HB_OK);
    assert_int_equal(got.length, strlen(expected[i].text));
    assert_memory_equal(got.data, expected[i].text, got.length);
    assert_int_equal(hb_load_u32(types + 4 * (size_t)expected[i].id), expected[i].type);
  }
  hb_source_close(&source);

  /* A template of its own goes first. */
  folder_text(&folder, "chat_template.jinja", "{{ messages }}");
  source = source_of(folder.path);
  expect_text(source.gguf, "tokenizer.chat_template", "{{ messages }}");
  hb_source_close(&source);
  folder_destroy(&folder);
  close_vocabulary(&v);
}

/* ---- SentencePiece as a tokenizer.json tells it ---- */

static int by_text(const void *a, const void *b) {
  const hb_string *x = a, *y = b;
  size_t shorter = x->length < y->length ? x->length : y->length;
  int order = memcmp(x->data, y->data, shorter);
  return order ? order : (x->length > y->length) - (x->length < y->length);
}

typedef struct ranked {
  float score;
  uint32_t id;
} ranked;

static int by_score(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? 1 : -1;
  return (x->id > y->id) - (x->id < y->id);
}

static ranked *rank_tokens(const vocabulary *v) {
  ranked *list = malloc(v->count * sizeof *list);
  for (uint32_t i = 0; i < v->count; i++) {
    memcpy(&list[i].score, scores_of(v) + 4 * (size_t)i, 4);
    list[i].id = i;
  }
  qsort(list, v->count, sizeof *list, by_score);
  return list;
}

/* Every way to make a token of two others, those of the best scores first. */
static void print_all_merges(text *t, const vocabulary *v) {
  hb_string *sorted = malloc(v->count * sizeof *sorted);
  ranked *order = rank_tokens(v);
  const char *comma = "";
  memcpy(sorted, v->text, v->count * sizeof *sorted);
  qsort(sorted, v->count, sizeof *sorted, by_text);
  print(t, "\"merges\":[");
  for (uint32_t i = 0; i < v->count; i++) {
    hb_string whole = v->text[order[i].id];
    if (type_of(v, order[i].id) != NORMAL) continue;
    for (size_t cut = 1; cut < whole.length; cut++) {
      hb_string left = {whole.data, cut}, right = {whole.data + cut, whole.length - cut};
      if (!bsearch(&left, sorted, v->count, sizeof left, by_text) ||
          !bsearch(&right, sorted, v->count, sizeof right, by_text))
        continue;
      print(t, comma);
      print_quoted(t, left);
      t->size--; /* the end of this string and the beginning of the next: a space */
      text other = {0};
      print_quoted(&other, right);
      print(t, " ");
      put(t, other.data + 1, other.size - 1);
      free(other.data);
      comma = ",";
    }
  }
  print(t, "]");
  free(order);
  free(sorted);
}

static void pieces_of_a_tokenizer_json_cut_alike(void **state) {
  (void)state;
  NEED_SHARED("vectors/tokenizer/llama-spm.gguf");
  vocabulary v = open_vocabulary("llama-spm");
  test_folder folder;
  text t = {0};
  folder_create(&folder);
  print(&t, "{");
  print_added(&t, &v);
  print(&t, ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
            "{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},{\"type\":\"Replace\","
            "\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}]},\"pre_tokenizer\":null,"
            "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
            "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
            "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]},"
            "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
            "\"byte_fallback\":true,");
  text model = {0};
  print_vocabulary(&model, &v);
  /* Such files have the special tokens in both lists. */
  model.size--;
  print(&model, ",\"<s>\":1,\"</s>\":2},");
  put(&t, model.data, model.size);
  free(model.data);
  print_all_merges(&t, &v);
  print(&t, "}}");
  write_text(&t, &folder, "tokenizer.json");
  write_tiny_model(&folder, v.count, "");
  hb_source source = source_of(folder.path);
  expect_text(source.gguf, KEY "model", "llama");
  expect_tokens(source.gguf, &v);
  expect_flag(source.gguf, KEY "add_bos_token", 1);
  expect_flag(source.gguf, KEY "add_space_prefix", 1);
  expect_number(source.gguf, KEY "bos_token_id", 1);
  expect_cuts(source.gguf, "llama-spm");
  hb_source_close(&source);
  folder_destroy(&folder);
  close_vocabulary(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gpt2_comes_back),
      cmocka_unit_test(llama3_comes_back),
      cmocka_unit_test(qwen2_comes_back),
      cmocka_unit_test(starcoder_comes_back),
      cmocka_unit_test(deepseek_coder_comes_back),
      cmocka_unit_test(neox_is_as_its_file_says),
      cmocka_unit_test(pieces_come_back),
      cmocka_unit_test(phi3_is_llama_with_more_tokens),
      cmocka_unit_test(special_tokens_get_their_roles),
      cmocka_unit_test(pieces_of_a_tokenizer_json_cut_alike),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
