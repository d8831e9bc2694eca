/* The squared error of plain rounding against that of ggml's own quantizer,
 * on its files of the same models. */
#include "gguf_files.h"

#include "compress/coder.h"

static double error_of(const float *x, const float *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += ((double)x[i] - values[i]) * ((double)x[i] - values[i]);
  return sum;
}

typedef struct reference {
  const char *original, *quantized;
  hb_type type;
  double most; /* of our error, in theirs */
  size_t tensors, stride;
} reference;

/* The squared error of our blocks over that of theirs. */
static double ratio_of_errors(const hb_coder *c, const float *x, const float *theirs,
                              size_t count) {
  float *ours = malloc(count * sizeof *ours);
  uint8_t block[256];
  assert_non_null(ours);
  for (size_t i = 0; i < count; i += c->values) {
    c->round(x + i, block);
    hb_traits(c->type)->decode(block, ours + i, 1);
  }
  double ratio = error_of(x, ours, count) / error_of(x, theirs, count);
  free(ours);
  return ratio;
}

static void rounds_with_less_error_than_ggml(void **state) {
  const reference *r = *state;
  NEED_SHARED(r->quantized);
  gguf_file from = gguf_file_shared(r->original), to = gguf_file_shared(r->quantized);
  size_t tensors = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(to.gguf); i++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(to.gguf, i);
    char name[128];
    if (tensor->type != r->type) continue;
    snprintf(name, sizeof name, "%.*s", (int)tensor->name.length, tensor->name.data);
    if (tensors++ % r->stride != 0) continue;
    float *x = gguf_file_decode(&from, hb_gguf_tensor(from.gguf, name));
    float *theirs = gguf_file_decode(&to, tensor);
    double ratio = ratio_of_errors(hb_coder_of(r->type), x, theirs, tensor_values(tensor));
    if (!(ratio <= r->most)) fail_msg("%s: %s: error %g times ggml's", r->quantized, name, ratio);
    free(x);
    free(theirs);
  }
  assert_int_equal(tensors, r->tensors);
  gguf_file_close(&from);
  gguf_file_close(&to);
}

/* Some of the tensors: the others take long and tell nothing new. */
#define ROUNDS(original, quantized, type, most, tensors, stride)                                   \
  {                                                                                                \
    "rounds with less error than " quantized, rounds_with_less_error_than_ggml, NULL, NULL,        \
        &(reference) {                                                                             \
      original, quantized, HB_TYPE_##type, most, tensors, stride                                   \
    }                                                                                              \
  }
#define RANDOM(file, type, most)                                                                   \
  ROUNDS("vectors/quant/f32.gguf", "vectors/quant/" file ".gguf", type, most, 16, 3)
#define TALES(file, type, most)                                                                    \
  ROUNDS("models/tales-5.8m/tales-5.8m-f32.gguf", "models/tales-5.8m/ggml/" file ".gguf", type,    \
         most, 43, 4)

int main(void) {
  const struct CMUnitTest tests[] = {
      RANDOM("Q2_K", Q2_K, 0.8),      RANDOM("Q3_K_M", Q3_K, 0.95),
      RANDOM("Q4_K_M", Q4_K, 0.97),   RANDOM("Q5_K_M", Q5_K, 0.95),
      RANDOM("Q6_K", Q6_K, 0.9),      RANDOM("IQ4_NL", IQ4_NL, 0.95),
      RANDOM("IQ4_XS", IQ4_XS, 0.95), RANDOM("TQ1_0", TQ1_0, 0.4),
      RANDOM("TQ2_0", TQ2_0, 0.4),    RANDOM("MXFP4_MOE", MXFP4, 0.96),
      TALES("Q2_K", Q2_K, 0.8),       TALES("Q3_K_M", Q3_K, 0.95),
      TALES("Q4_K_M", Q4_K, 0.97),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
