/* Gradient files that the model's own backward pass writes. */
#include "double_model.h"
#include "gguf_files.h"
#include "quantized.h"

#define MODEL "vectors/arch/llama.gguf"
enum { SAMPLES = 3, LENGTH = 10 };

static hb_token tokens[SAMPLES * LENGTH];

static gguf_file measured(const gguf_file *from, const hb_parallel *parallel) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_error error;
  for (size_t i = 0; i < SAMPLES * LENGTH; i++) tokens[i] = (hb_token)((i * 37 + 5) % 512);
  hb_calibrate_options options = {.parallel = parallel,
                                  .calibration = tokens,
                                  .calibration_samples = SAMPLES,
                                  .calibration_length = LENGTH};
  if (hb_calibrate_gradients(&source, &options, &sink, &error) != HB_OK)
    fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

/* The loss of a sample in double, and its derivative by one value. */
static double slope(double_model *d, double *value, uint32_t sample) {
  static const uint32_t first[LENGTH];
  const double step = 1e-5, was = *value;
  int32_t targets[LENGTH];
  const hb_token *text = tokens + (size_t)sample * LENGTH;
  for (uint32_t i = 0; i < LENGTH; i++) targets[i] = i + 1 < LENGTH ? text[i + 1] : -1;
  *value = was + step;
  double above = double_loss(d, text, targets, first, LENGTH);
  *value = was - step;
  double below = double_loss(d, text, targets, first, LENGTH);
  *value = was;
  return (above - below) / (2 * step);
}

static void values_are_the_mean_squares_of_derivatives(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), file = measured(&from, NULL);
  hb_source source = {from.gguf, &from, read_bytes};
  hb_net net = {0};
  hb_error error;
  assert_int_equal(hb_net_load(&net, hb_allocator_or_default(NULL), hb_isa_best(), &source, &error),
                   HB_OK);
  double_model d = double_model_of(&net);
  assert_int_equal(hb_gguf_tensor_count(file.gguf), 16); /* 7 in each of 2 layers, and 2 */
  for (size_t t = 0; t < hb_gguf_tensor_count(file.gguf); t++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(file.gguf, t);
    uint32_t weight = (uint32_t)(hb_weight_named(net.model, tensor->name) - net.model->weights);
    float *values = gguf_file_decode(&file, tensor), largest = 0;
    for (uint64_t i = 0; i < hb_net_count(&net, weight); i++) largest = fmaxf(largest, values[i]);
    for (uint64_t i = 3; i < hb_net_count(&net, weight); i += 1999) {
      double wanted = 0;
      for (uint32_t s = 0; s < SAMPLES; s++) {
        double one = slope(&d, d.values + net.start[weight] + i, s);
        wanted += one * one / SAMPLES;
      }
      assert_true(fabs((double)values[i] - wanted) <= 1e-4 * (double)largest);
    }
    free(values);
  }
  free(d.values);
  hb_net_end(&net);
  gguf_file_close(&file);
  gguf_file_close(&from);
}

static void threads_do_not_change_a_bit(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  gguf_file from = gguf_file_shared(MODEL);
  gguf_file a = measured(&from, NULL), b = measured(&from, hb_threads_parallel(threads));
  assert_int_equal(a.size, b.size);
  assert_memory_equal(a.bytes, b.bytes, a.size);
  gguf_file_close(&a);
  gguf_file_close(&b);
  gguf_file_close(&from);
  hb_threads_destroy(threads);
}

static void squeezellm_takes_the_file(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), file = measured(&from, NULL);
  hb_source gradients = {file.gguf, &file, read_bytes};
  hb_quantize_options options = {.type = "table4", .method = "squeezellm", .gradients = &gradients};
  gguf_file to = quantized(&from, &options);
  assert_true(to.size < from.size);
  gguf_file_close(&to);
  gguf_file_close(&file);
  gguf_file_close(&from);
}

static void tokens_that_are_none_are_refused(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  hb_source source = {from.gguf, &from, read_bytes};
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_error error;
  hb_token wrong[4] = {1, 2, 512, 3};
  hb_calibrate_options options = {
      .calibration = wrong, .calibration_samples = 1, .calibration_length = 4};
  assert_int_equal(hb_calibrate_gradients(&source, &options, &sink, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "token 512"));
  free(to.data);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_are_the_mean_squares_of_derivatives),
      cmocka_unit_test(threads_do_not_change_a_bit),
      cmocka_unit_test(squeezellm_takes_the_file),
      cmocka_unit_test(tokens_that_are_none_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
