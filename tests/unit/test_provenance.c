/* What a quantized file says of how it was made: its method, the text it was calibrated with, and
 * llama.cpp's number for its types. */
#include "compress/provenance.h"
#include "calibrating.h"
#include "model/recipe.h"

#define TINY "vectors/arch/llama.gguf"

static gguf_file calibrated(const gguf_file *from, const char *method) {
  return quantized(from, &(hb_quantize_options){.type = "q4_0",
                                                .method = method,
                                                .calibration = tokens,
                                                .calibration_samples = SAMPLES,
                                                .calibration_length = LENGTH});
}

static hb_string method_of(const gguf_file *f) {
  hb_string method = {0};
  const hb_value *v = hb_gguf_value(f->gguf, HB_METHOD_KEY);
  if (v) assert_int_equal(hb_value_string(v, &method, NULL), HB_OK);
  return method;
}

/* Its own tokens, behind others, so that it begins anywhere. */
static hb_overlap overlap_behind(const gguf_file *f, size_t before, size_t first, size_t count) {
  hb_token text[100 + SAMPLES * LENGTH];
  for (size_t i = 0; i < before; i++) text[i] = (hb_token)(i * 7 % 500);
  memcpy(text + before, tokens + first, count * sizeof *tokens);
  return hb_provenance_overlap(f->gguf, text, before + count);
}

static void calibration_is_found_wherever_it_stands(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  draw_tokens();
  gguf_file f = calibrated(&from, "smoothquant+rtn");
  size_t passages = SAMPLES * ((LENGTH - 1) / HB_PASSAGE_TOKENS);
  const size_t before[] = {0, 1, 31, 32, 33, 97};
  for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
    hb_overlap all = overlap_behind(&f, before[i], 0, SAMPLES * LENGTH);
    assert_int_equal(all.known, passages);
    assert_int_equal(all.found, passages);
    /* A sample's first token may be BOS here and none there. */
    assert_int_equal(overlap_behind(&f, before[i], 1, HB_PASSAGE_TOKENS).found, 1);
    assert_int_equal(overlap_behind(&f, before[i], 1, HB_PASSAGE_TOKENS - 1).found, 0);
    assert_int_equal(overlap_behind(&f, before[i], 2, HB_PASSAGE_TOKENS).found, 0);
  }
  assert_int_equal(hb_provenance_overlap(f.gguf, tokens + SAMPLES * LENGTH, SCORED).found, 0);
  assert_int_equal(hb_provenance_overlap(from.gguf, tokens, SAMPLES * LENGTH).known, 0);
  gguf_file_close(&f);
  gguf_file_close(&from);
}

static void a_file_names_its_method_and_no_earlier_one(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  draw_tokens();
  gguf_file f = calibrated(&from, "smoothquant+rtn");
  assert_true(hb_string_equal(method_of(&f), hb_string_of("smoothquant+rtn")));
  gguf_file again = quantized(&f, &(hb_quantize_options){.type = "q8_0"});
  assert_null(hb_gguf_value(again.gguf, HB_METHOD_KEY));
  assert_int_equal(hb_provenance_overlap(again.gguf, tokens, SAMPLES * LENGTH).known, 0);
  gguf_file_close(&again);
  gguf_file_close(&f);
  gguf_file_close(&from);
}

static void an_importance_file_hands_its_text_on(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  draw_tokens();
  gguf_file measured = measured_inputs(&from);
  hb_source importance = {measured.gguf, &measured, read_bytes};
  gguf_file f = quantized(&from, &(hb_quantize_options){.type = "q4_0", .importance = &importance});
  assert_true(hb_string_equal(method_of(&f), hb_string_of("imatrix")));
  hb_overlap overlap = hb_provenance_overlap(f.gguf, tokens, SAMPLES * LENGTH);
  assert_true(overlap.known > 0);
  assert_int_equal(overlap.found, overlap.known);
  gguf_file_close(&f);
  gguf_file_close(&measured);
  gguf_file_close(&from);
}

/* ---- general.file_type ---- */

static void a_type_has_the_number_of_llama_cpp(void **state) {
  (void)state;
  static const struct {
    const char *recipe;
    hb_type most;
    uint32_t number; /* LLAMA_FTYPE_MOSTLY_.. */
  } cases[] = {
      {"q4_0", HB_TYPE_Q4_0, 2},
      {"q4_0", HB_TYPE_Q6_K, 18},
      {"q4_0", HB_TYPE_Q4_K, 15},
      {"q4_k_s", HB_TYPE_Q4_K, 14},
      {"q4_0", HB_TYPE_Q3_K, 12},
      {"q4_0", HB_TYPE_Q5_K, 17},
      {"q8_0", HB_TYPE_F16, 1},
      {"q8_0", HB_TYPE_IQ4_XS, 30},
      {"nf4", HB_TYPE_Q8_0, 7},
      {"q8_0", HB_TYPE_NF4, HB_NO_FILE_TYPE},
      {"nf4", HB_TYPE_NF4, HB_NO_FILE_TYPE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_recipe recipe;
    assert_int_equal(hb_recipe_find(cases[i].recipe, &recipe, NULL), HB_OK);
    assert_int_equal(hb_recipe_file_type(&recipe, cases[i].most), cases[i].number);
  }
}

static hb_type all_but_v(void *context, const hb_tensor *t, hb_type type) {
  bool is_v = t->name.length > 13 && memcmp(t->name.data + 6, "attn_v", 6) == 0;
  return is_v ? type : *(const hb_type *)context;
}

static void the_most_used_type_gives_the_file_its_number(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  hb_type most = HB_TYPE_F16;
  hb_quantize_options options = {.type = "q8_0", .choose = all_but_v, .context = &most};
  gguf_file f = quantized(&from, &options);
  uint64_t number = 0;
  assert_int_equal(hb_value_u64(hb_gguf_value(f.gguf, "general.file_type"), 0, &number, NULL),
                   HB_OK);
  assert_int_equal(number, 1);
  gguf_file_close(&f);
  most = HB_TYPE_NF4;
  f = quantized(&from, &options);
  assert_null(hb_gguf_value(f.gguf, "general.file_type"));
  gguf_file_close(&f);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calibration_is_found_wherever_it_stands),
      cmocka_unit_test(a_file_names_its_method_and_no_earlier_one),
      cmocka_unit_test(an_importance_file_hands_its_text_on),
      cmocka_unit_test(a_type_has_the_number_of_llama_cpp),
      cmocka_unit_test(the_most_used_type_gives_the_file_its_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
