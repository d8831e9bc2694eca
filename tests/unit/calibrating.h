/* Text to calibrate with, and how far results are from their original, for the tests of what
 * quantizes by calibration. */
#ifndef HB_TEST_CALIBRATING_H
#define HB_TEST_CALIBRATING_H

#include "gguf/write.h"
#include "quantized.h"

#define MODEL "models/tales-5.8m/tales-5.8m-f32.gguf"
enum { SAMPLES = 8, LENGTH = 64, SCORED = 64 };

/* MODEL with two of its six layers: all that it shows takes a third of the time. */
static inline gguf_file first_layers(void) {
  gguf_file from = gguf_file_shared(MODEL);
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_gguf_writer *w;
  hb_error error;
  size_t count = hb_gguf_tensor_count(from.gguf);
  assert_int_equal(hb_gguf_writer_create(hb_allocator_or_default(NULL), &sink, &w, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_copy(w, from.gguf, &error), HB_OK);
  assert_int_equal(hb_gguf_writer_set_u32(w, "llama.block_count", 2, &error), HB_OK);
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < count; i++) {
      const hb_tensor *t = hb_gguf_tensor_at(from.gguf, i);
      if (t->name.data[0] == 'b' && t->name.data[4] > '1') continue; /* blk.2 and beyond */
      hb_status status =
          pass == 0 ? hb_gguf_writer_add_tensor(w, t->name, t->type, t->dim_count, t->dims, &error)
                    : hb_gguf_writer_data(w, gguf_file_data(&from, t), (size_t)t->bytes, &error);
      assert_int_equal(status, HB_OK);
    }
    if (pass == 0) assert_int_equal(hb_gguf_writer_begin(w, &error), HB_OK);
  }
  assert_int_equal(hb_gguf_writer_finish(w, &error), HB_OK);
  hb_gguf_writer_destroy(w);
  gguf_file_close(&from);
  return gguf_file_of(to.data, to.size);
}

/* Tokens of the calibration text, and behind them others to look at results with. */
static hb_token tokens[SAMPLES * LENGTH + SCORED];

static inline void read_tokens(const gguf_file *from) {
  size_t size, count;
  hb_model *model;
  hb_error error;
  uint8_t *text = read_shared("text/tales-calibration.txt", &size);
  if (load_bytes(from->bytes, from->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_token *all = malloc(20000 * sizeof *all);
  hb_string start = {(char *)text, 16000};
  assert_int_equal(
      hb_tokenize(hb_model_tokenizer(model), start, 0, NULL, all, 20000, &count, &error), HB_OK);
  assert_true(count >= sizeof tokens / sizeof *tokens);
  memcpy(tokens, all, sizeof tokens);
  free(all);
  free(text);
  hb_model_destroy(model);
}

/* For the small model of 512 tokens, which has no words. */
static inline void draw_tokens(void) {
  uint32_t x = 1;
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
    x = x * 1664525u + 1013904223u;
    tokens[i] = (hb_token)(x >> 23);
  }
}

/* The importance file of the tokens. */
static inline gguf_file measured_inputs(const gguf_file *from) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_error error;
  hb_calibrate_options options = {
      .calibration = tokens, .calibration_samples = SAMPLES, .calibration_length = LENGTH};
  if (hb_calibrate(&source, &options, &sink, &error) != HB_OK) fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

/* Logits [SCORED][vocabulary] of the tokens behind the calibration's, from malloc. */
static inline float *logits_of(const gguf_file *file, size_t *vocabulary) {
  hb_model *model;
  hb_session *session;
  hb_error error;
  hb_model_info info;
  if (load_bytes(file->bytes, file->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_model_get_info(model, &info);
  *vocabulary = info.vocabulary;
  hb_session_options options = {.context_length = SCORED, .logit_rows = SCORED, .kv = HB_KV_F32};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  hb_row rows[SCORED];
  for (size_t i = 0; i < SCORED; i++) rows[i] = (hb_row){session, tokens[SAMPLES * LENGTH + i], 1};
  assert_int_equal(hb_step(session, rows, SCORED, &error), HB_OK);
  float *out = malloc(SCORED * info.vocabulary * sizeof *out);
  for (size_t i = 0; i < SCORED; i++)
    memcpy(out + i * info.vocabulary, hb_session_logits(session, i), info.vocabulary * 4);
  hb_session_destroy(session);
  hb_model_destroy(model);
  return out;
}

/* Mean squared difference of two files' logits, over the mean square of the first's. */
static inline double distance(const gguf_file *a, const gguf_file *b) {
  size_t vocabulary;
  float *x = logits_of(a, &vocabulary), *y = logits_of(b, &vocabulary);
  double differences = 0, squares = 0;
  for (size_t i = 0; i < SCORED * vocabulary; i++) {
    differences += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    squares += (double)x[i] * x[i];
  }
  free(x);
  free(y);
  return differences / squares;
}

#endif
