/* Decoders and encoders against an independent implementation: llama.cpp's files of one model in
 * every block format, and the SHA-256 of each tensor that its gguf-py decodes from them. */
#include "gguf_files.h"

#include "base/sha256.h"

#include <cjson/cJSON.h>

/* ---- Decoding ---- */

static void hex_sha256_of_floats(const float *values, size_t count, char hex[65]) {
  uint8_t digest[HB_SHA256_BYTES], bytes[4];
  hb_sha256 hash;
  hb_sha256_init(&hash);
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &values[i], 4);
    for (int k = 0; k < 4; k++) bytes[k] = (uint8_t)(bits >> 8 * k);
    hb_sha256_update(&hash, bytes, 4);
  }
  hb_sha256_final(&hash, digest);
  for (int i = 0; i < HB_SHA256_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* Returns whether the tensor's type is supported. */
static bool check_tensor(const gguf_file *f, const char *file, const cJSON *expected) {
  const hb_tensor *tensor = hb_gguf_tensor(f->gguf, expected->string);
  assert_non_null(tensor);
  assert_string_equal(hb_type_name(tensor->type),
                      cJSON_GetObjectItem(expected, "type")->valuestring);
  if (!hb_traits(tensor->type)->supported) {
    assert_null(hb_traits(tensor->type)->decode);
    return false;
  }
  char hex[65];
  float *values = gguf_file_decode(f, tensor);
  hex_sha256_of_floats(values, tensor_values(tensor), hex);
  free(values);
  if (strcmp(hex, cJSON_GetObjectItem(expected, "sha256")->valuestring) != 0)
    fail_msg("%s: %s has other values", file, expected->string);
  return true;
}

static cJSON *read_expectations(void) {
  size_t size;
  uint8_t *text = read_shared("vectors/quant/dequant.json", &size);
  cJSON *json = cJSON_ParseWithLength((const char *)text, size);
  free(text);
  assert_non_null(json);
  return json;
}

static void decodes_to_the_same_bits(void **state) {
  const char *file = *state;
  NEED_SHARED("vectors/quant/dequant.json");
  cJSON *json = read_expectations();
  const cJSON *tensors = cJSON_GetObjectItem(json, file), *tensor;
  assert_non_null(tensors);
  char path[64];
  snprintf(path, sizeof path, "vectors/quant/%s", file);
  gguf_file f = gguf_file_shared(path);
  size_t supported = 0, count = 0;
  cJSON_ArrayForEach(tensor, tensors) {
    supported += check_tensor(&f, file, tensor);
    count++;
  }
  assert_int_equal(count, hb_gguf_tensor_count(f.gguf));
  assert_true(strcmp(file, "IQ3_S.gguf") == 0 ? supported < count : supported == count);
  gguf_file_close(&f);
  cJSON_Delete(json);
}

/* ---- Encoding ---- */

/* Encodes each matrix of `source` as the type it has in `target`, and compares all bytes. */
static void check_encoding(const char *source, const char *target, size_t expected_matrices) {
  gguf_file from = gguf_file_shared(source), to = gguf_file_shared(target);
  size_t matrices = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(to.gguf); i++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(to.gguf, i);
    const hb_type_traits *traits = hb_traits(tensor->type);
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)tensor->name.length, tensor->name.data);
    const hb_tensor *original = hb_gguf_tensor(from.gguf, name);
    assert_non_null(original);
    if (!traits->encode) continue;
    float *values = gguf_file_decode(&from, original);
    uint8_t *bytes = malloc((size_t)tensor->bytes);
    assert_non_null(bytes);
    traits->encode(values, bytes, tensor_values(tensor) / traits->block_values);
    if (memcmp(bytes, gguf_file_data(&to, tensor), (size_t)tensor->bytes) != 0)
      fail_msg("%s: %s is encoded to other bytes", target, name);
    matrices += tensor->dim_count > 1;
    free(bytes);
    free(values);
  }
  assert_int_equal(matrices, expected_matrices);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

static void encodes_to_the_same_bytes(void **state) {
  NEED_SHARED("vectors/quant/f32.gguf");
  char path[64];
  snprintf(path, sizeof path, "vectors/quant/%s", (const char *)*state);
  check_encoding("vectors/quant/f32.gguf", path, 16);
}

static void encodes_a_trained_model_to_the_same_bytes(void **state) {
  (void)state;
  NEED_SHARED("models/tales-5.8m/tales-5.8m-f32.gguf");
  check_encoding("models/tales-5.8m/tales-5.8m-f32.gguf", "models/tales-5.8m/ggml/Q4_0.gguf", 43);
}

#define DECODES(file)                                                                              \
  {"decodes " file " to the same bits", decodes_to_the_same_bits, NULL, NULL, file}
#define ENCODES(file)                                                                              \
  {"encodes " file " to the same bytes", encodes_to_the_same_bytes, NULL, NULL, file}

int main(void) {
  const struct CMUnitTest tests[] = {
      DECODES("F16.gguf"),    DECODES("BF16.gguf"),
      DECODES("Q4_0.gguf"),   DECODES("Q4_1.gguf"),
      DECODES("Q5_0.gguf"),   DECODES("Q5_1.gguf"),
      DECODES("Q8_0.gguf"),   DECODES("Q2_K.gguf"),
      DECODES("Q3_K_M.gguf"), DECODES("Q4_K_M.gguf"),
      DECODES("Q5_K_M.gguf"), DECODES("Q6_K.gguf"),
      DECODES("IQ4_NL.gguf"), DECODES("IQ4_XS.gguf"),
      DECODES("TQ1_0.gguf"),  DECODES("TQ2_0.gguf"),
      DECODES("IQ3_S.gguf"),  DECODES("MXFP4_MOE.gguf"),
      ENCODES("F16.gguf"),    ENCODES("BF16.gguf"),
      ENCODES("Q4_0.gguf"),   ENCODES("Q4_1.gguf"),
      ENCODES("Q5_0.gguf"),   ENCODES("Q5_1.gguf"),
      ENCODES("Q8_0.gguf"),   cmocka_unit_test(encodes_a_trained_model_to_the_same_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
