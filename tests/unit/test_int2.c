/* INT2_64, two bits for groups of 64 values: what its bytes mean, what plain rounding and the
 * methods that choose codes together make of a matrix, and that files hold it. */
#include "matrix_support.h"
#include "quantized.h"

#include "compress/gptq.h"
#include "compress/hqq.h"

#define TINY "vectors/arch/llama.gguf" /* random weights, rows of 64 and 128 */
enum { VALUES = 64, BYTES = 20 };

static void a_block_has_the_bytes_of_its_description(void **state) {
  (void)state;
  uint8_t block[BYTES] = {0};
  float values[VALUES];
  uint64_t bytes;
  hb_store_u16(block, 0x3400);     /* 0.25 */
  hb_store_u16(block + 2, 0xb800); /* -0.5 */
  block[4] = 0xe4;                 /* values 0, 16, 32, 48: codes 0, 1, 2, 3 */
  block[4 + 15] = 0x1b;            /* values 15, 31, 47, 63: codes 3, 2, 1, 0 */
  hb_traits(HB_TYPE_INT2_64)->decode(block, values, 1);
  for (int i = 0; i < VALUES; i++) {
    float expected = i % 16 == 0    ? -0.5f + 0.25f * (float)(i / 16)
                     : i % 16 == 15 ? 0.25f - 0.25f * (float)(i / 16)
                                    : -0.5f;
    assert_true(values[i] == expected);
  }
  assert_true(hb_row_bytes(HB_TYPE_INT2_64, 192, &bytes));
  assert_int_equal(bytes, 60);
  assert_false(hb_row_bytes(HB_TYPE_INT2_64, 96, &bytes));
  assert_string_equal(hb_type_name(HB_TYPE_INT2_64), "INT2_64");
}

/* Each value found bit by bit, without regard to any other. */
static void any_bytes_decode_as_described(void **state) {
  (void)state;
  uint64_t seed = 3;
  for (int n = 0; n < 500; n++) {
    uint8_t blocks[3 * BYTES];
    float values[3 * VALUES];
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (uint8_t)(next_random(&seed) >> 24);
    hb_traits(HB_TYPE_INT2_64)->decode(blocks, values, 3);
    for (int i = 0; i < 3 * VALUES; i++) {
      const uint8_t *b = blocks + i / VALUES * BYTES;
      int bit = 8 * (4 + i % 16) + 2 * (i % VALUES / 16);
      int code = (b[bit / 8] >> bit % 8 & 1) + 2 * (b[(bit + 1) / 8] >> (bit + 1) % 8 & 1);
      float d = hb_f32_of_f16(hb_load_u16(b)), m = hb_f32_of_f16(hb_load_u16(b + 2));
      float scaled = d * (float)code, expected = scaled + m;
      assert_true(values[i] == expected || (isnan(values[i]) && isnan(expected)));
    }
  }
}

static void plain_rounding_reaches_from_the_least_to_the_largest_value(void **state) {
  (void)state;
  float x[VALUES], values[VALUES];
  uint8_t block[BYTES];
  for (int i = 0; i < VALUES; i++) x[i] = -1 + (float)i / 16;
  hb_coder_of(HB_TYPE_INT2_64)->round(x, block);
  hb_traits(HB_TYPE_INT2_64)->decode(block, values, 1);
  assert_true(hb_f32_of_f16(hb_load_u16(block + 2)) == -1);
  assert_true(hb_load_u16(block) == hb_f16_of_f32(63.0f / 16 / 3));
  for (int i = 0; i < VALUES; i++) {
    float step = hb_f32_of_f16(hb_load_u16(block));
    assert_true(fabs((double)x[i] - (double)values[i]) <= (double)step / 2 + 1e-3);
  }
}

typedef enum { ROUND, FIT, HQQ, GPTQ, REFINED, METHODS } method;

static hb_status apply(method m, const hb_matrix_job *job) {
  hb_gptq_report report;
  hb_gptq_options options = {.order = HB_GPTQ_BETTER, .refine = m == REFINED};
  switch (m) {
  case ROUND: return hb_matrix_round(job, NULL);
  case FIT: return hb_matrix_fit(job, NULL);
  case HQQ: return hb_matrix_hqq(job, NULL);
  default: return hb_matrix_gptq(job, &options, &report, NULL);
  }
}

/* 4 levels are few: what looks at more than a value at a time gains much. */
static void methods_lower_the_error_of_the_output(void **state) {
  (void)state;
  double errors[METHODS];
  for (method m = ROUND; m < METHODS; m++) {
    fixture f = fixture_random(hb_coder_of(HB_TYPE_INT2_64), 20, 256);
    hb_matrix_job job = job_of(&f);
    fixture original = fixture_copy(&f);
    assert_int_equal(apply(m, &job), HB_OK);
    errors[m] = output_error(&original, f.blocks);
    float *values = decoded(&f, f.blocks);
    assert_memory_equal(values, f.weights, (size_t)f.rows * f.cols * sizeof *values);
    free(values);
    fixture_release(&f);
    fixture_release(&original);
  }
  assert_true(errors[FIT] < 0.8 * errors[ROUND]);
  assert_true(errors[HQQ] < errors[ROUND]);
  assert_true(errors[GPTQ] < 0.8 * errors[FIT]);
  assert_true(errors[REFINED] < 0.97 * errors[GPTQ]);
}

/* A file's matrices stand for the nearest values of their blocks' grids, and run. */
static void files_hold_it(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  gguf_file got = quantized(&from, &(hb_quantize_options){.type = "int2_64"});
  const hb_tensor *was = hb_gguf_tensor(from.gguf, "blk.1.ffn_down.weight");
  const hb_tensor *t = hb_gguf_tensor(got.gguf, "blk.1.ffn_down.weight");
  assert_int_equal(t->type, HB_TYPE_I8);
  assert_int_equal(t->dims[0], was->dims[0] / VALUES * BYTES);
  assert_int_equal(t->dims[1], was->dims[1]);
  size_t values = tensor_values(was);
  float *x = gguf_file_decode(&from, was), *y = malloc(values * sizeof *y);
  hb_traits(HB_TYPE_INT2_64)->decode(gguf_file_data(&got, t), y, values / VALUES);
  for (size_t i = 0; i < values; i++) {
    const uint8_t *block = gguf_file_data(&got, t) + i / VALUES * BYTES;
    double least = INFINITY;
    for (int q = 0; q < 4; q++)
      least = fmin(least, fabs((double)x[i] - (double)hb_f32_of_f16(hb_load_u16(block)) * q -
                               (double)hb_f32_of_f16(hb_load_u16(block + 2))));
    assert_true(fabs((double)x[i] - (double)y[i]) <= least * (1 + 1e-6) + 1e-9);
  }
  hb_model *model;
  hb_error error;
  assert_int_equal(load_bytes(got.bytes, got.size, hb_isa_best(), &model, &error), HB_OK);
  assert_int_equal(
      hb_model_tensor_type(model, hb_gguf_tensor(hb_model_gguf(model), "blk.1.ffn_down.weight")),
      HB_TYPE_INT2_64);
  hb_model_destroy(model);
  free(x);
  free(y);
  gguf_file_close(&got);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_block_has_the_bytes_of_its_description),
      cmocka_unit_test(any_bytes_decode_as_described),
      cmocka_unit_test(plain_rounding_reaches_from_the_least_to_the_largest_value),
      cmocka_unit_test(methods_lower_the_error_of_the_output),
      cmocka_unit_test(files_hold_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
