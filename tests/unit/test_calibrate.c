/* Importance files: the sums that calibrating writes are those of the model's inputs. */
#include "base/base.h"
#include "calibrating.h"

#include <math.h>

#define SMALL "vectors/quant/f32.gguf" /* random weights, 512 tokens */
enum { COUNT = SAMPLES * LENGTH };

static const hb_calibrate_options plain = {
    .calibration = tokens, .calibration_samples = SAMPLES, .calibration_length = LENGTH};

static hb_status calibrate(const gguf_file *from, const hb_calibrate_options *options, bytes *to,
                           hb_error *error) {
  hb_source source = {from->gguf, (void *)from, read_bytes};
  hb_sink sink = {to, write_bytes};
  return hb_calibrate(&source, options, &sink, error);
}

static gguf_file calibrated(const gguf_file *from, const hb_calibrate_options *options) {
  bytes to = {0};
  hb_error error = {0};
  if (calibrate(from, options, &to, &error) != HB_OK) fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

/* That matrix's sums of squares, checked to be `cols` over all tokens. */
static const float *sums_of(const gguf_file *file, const char *matrix, uint64_t cols) {
  char name[64];
  snprintf(name, sizeof name, "%s.counts", matrix);
  const hb_tensor *counts = hb_gguf_tensor(file->gguf, name);
  snprintf(name, sizeof name, "%s.in_sum2", matrix);
  const hb_tensor *squares = hb_gguf_tensor(file->gguf, name);
  if (!counts || !squares) fail_msg("%s is not there", name);
  assert_int_equal(counts->type, HB_TYPE_F32);
  assert_int_equal(squares->type, HB_TYPE_F32);
  assert_int_equal(tensor_values(counts), 1);
  assert_int_equal(tensor_values(squares), cols);
  assert_true(*(const float *)(const void *)gguf_file_data(file, counts) == COUNT);
  return (const float *)(const void *)gguf_file_data(file, squares);
}

/* The model norms and sums in F32 what the test does in double: 1e-5 is some hundred roundings. */
static void assert_sums(const float *got, const double *expected, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    if (!(fabs(got[i] - expected[i]) <= 1e-5 * fabs(expected[i])))
      fail_msg("%g at %d, not %g", (double)got[i], (int)i, expected[i]);
}

/* What the first layer reads is the table's rows, through a norm. */
static void the_first_inputs_are_normed_embeddings(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  gguf_file got = calibrated(&from, &plain);
  const hb_tensor *embeddings = hb_gguf_tensor(from.gguf, "token_embd.weight");
  uint64_t width = embeddings->dims[0];
  float *table = gguf_file_decode(&from, embeddings);
  float *norm = gguf_file_decode(&from, hb_gguf_tensor(from.gguf, "blk.0.attn_norm.weight"));
  double *expected = calloc(width, sizeof *expected), epsilon;
  hb_error error;
  assert_int_equal(hb_value_f64(hb_gguf_value(from.gguf, "llama.attention.layer_norm_rms_epsilon"),
                                0, &epsilon, &error),
                   HB_OK);
  for (size_t i = 0; i < COUNT; i++) {
    const float *row = table + (size_t)tokens[i] * width;
    double squares = 0;
    for (uint64_t c = 0; c < width; c++) squares += (double)row[c] * row[c];
    double scale = 1 / sqrt(squares / (double)width + epsilon);
    for (uint64_t c = 0; c < width; c++) expected[c] += pow(row[c] * scale * norm[c], 2);
  }
  static const char *const readers[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight",
                                        "blk.0.attn_v.weight"};
  for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
    assert_sums(sums_of(&got, readers[i], width), expected, width);
  free(expected);
  free(norm);
  free(table);
  gguf_file_close(&got);
  gguf_file_close(&from);
}

static void add_hidden(const gguf_file *from, double *sums, uint64_t width) {
  hb_model *model;
  hb_session *session;
  hb_error error;
  if (load_bytes(from->bytes, from->size, hb_isa_best(), &model, &error) != HB_OK)
    fail_msg("%s", error.message);
  hb_session_options options = {.context_length = LENGTH, .logit_rows = LENGTH, .hidden = 1};
  assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
  for (size_t s = 0; s < SAMPLES; s++) {
    hb_row rows[LENGTH];
    for (size_t i = 0; i < LENGTH; i++) rows[i] = (hb_row){session, tokens[s * LENGTH + i], 1};
    hb_session_rewind(session, 0);
    assert_int_equal(hb_step(session, rows, LENGTH, &error), HB_OK);
    for (size_t i = 0; i < LENGTH; i++)
      for (uint64_t c = 0; c < width; c++) sums[c] += pow(hb_session_hidden(session, i)[c], 2);
  }
  hb_session_destroy(session);
  hb_model_destroy(model);
}

/* Through all layers, so that each of them ran as it does when the model runs. */
static void the_last_inputs_are_the_models_hidden_states(void **state) {
  (void)state;
  static const struct {
    const char *file, *matrix;
  } cases[] = {{"vectors/arch/llama.gguf", "output.weight"},
               {"vectors/arch/llama-tied-mha.gguf", "token_embd.weight"},
               {"vectors/arch/gpt2.gguf", "token_embd.weight"}};
  NEED_SHARED("vectors/arch/llama.gguf");
  draw_tokens();
  for (size_t i = 0; i < COUNT; i++) tokens[i] %= 256;
  for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
    gguf_file from = gguf_file_shared(cases[n].file);
    uint64_t width = hb_gguf_tensor(from.gguf, "token_embd.weight")->dims[0];
    double *expected = calloc(width, sizeof *expected);
    gguf_file got = calibrated(&from, &plain);
    add_hidden(&from, expected, width);
    assert_sums(sums_of(&got, cases[n].matrix, width), expected, width);
    free(expected);
    gguf_file_close(&got);
    gguf_file_close(&from);
  }
}

static void the_file_says_what_it_is(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  static const hb_string names[] = {{"a.txt", 5}, {"b.txt", 5}};
  hb_calibrate_options options = plain;
  options.datasets = names;
  options.dataset_count = 2;
  gguf_file got = calibrated(&from, &options);
  hb_error error;
  hb_string text;
  uint64_t number, cursor = 0;
  assert_int_equal(hb_value_string(hb_gguf_value(got.gguf, "general.type"), &text, &error), HB_OK);
  assert_true(hb_string_equal(text, hb_string_of("imatrix")));
  const hb_value *datasets = hb_gguf_value(got.gguf, "imatrix.datasets");
  for (int i = 0; i < 2; i++) {
    assert_int_equal(hb_value_next_string(datasets, &cursor, &text, &error), HB_OK);
    assert_true(hb_string_equal(text, names[i]));
  }
  hb_value_u64(hb_gguf_value(got.gguf, "imatrix.chunk_count"), 0, &number, &error);
  assert_int_equal(number, SAMPLES);
  hb_value_u64(hb_gguf_value(got.gguf, "imatrix.chunk_size"), 0, &number, &error);
  assert_int_equal(number, LENGTH);
  gguf_file_close(&got);
  gguf_file_close(&from);
}

static void threads_do_not_change_a_byte(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  hb_calibrate_options options = plain;
  options.parallel = hb_threads_parallel(threads);
  gguf_file alone = calibrated(&from, &plain), together = calibrated(&from, &options);
  assert_int_equal(alone.size, together.size);
  assert_memory_equal(alone.bytes, together.bytes, alone.size);
  hb_threads_destroy(threads);
  gguf_file_close(&alone);
  gguf_file_close(&together);
  gguf_file_close(&from);
}

static int count_and_stop(void *context, uint64_t done, uint64_t total) {
  uint64_t *last = context;
  if (total > 0) assert_true(done >= *last && done <= total);
  *last = done;
  return done == SAMPLES + 1;
}

static void what_cannot_be_measured_is_refused(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  bytes to = {0};
  hb_error error;
  uint64_t done = 0;
  hb_calibrate_options options = plain;
  options.calibration = NULL;
  assert_int_equal(calibrate(&from, &options, &to, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "no text to calibrate with"));
  options = plain;
  options.calibration_samples = 0;
  assert_int_equal(calibrate(&from, &options, &to, &error), HB_ARGUMENT);
  tokens[3] = 512;
  assert_int_equal(calibrate(&from, &plain, &to, &error), HB_ARGUMENT);
  assert_int_equal(to.size, 0);
  tokens[3] = 1;
  to.limit = 100;
  assert_int_equal(calibrate(&from, &plain, &to, &error), HB_IO);
  to.limit = 0;
  options = plain;
  options.context = &done;
  options.progress = count_and_stop;
  assert_int_equal(calibrate(&from, &options, &to, &error), HB_ABORTED);
  assert_int_equal(done, SAMPLES + 1);
  free(to.data);
  gguf_file_close(&from);
}

/* ---- Quantizing with such a file ---- */

/* A copy with the first or every `old` in its bytes replaced by `new`, which is as long. */
static gguf_file altered(const gguf_file *file, const char *old, const char *new, bool every) {
  uint8_t *copy = malloc(file->size);
  size_t length = strlen(old), found = 0;
  memcpy(copy, file->bytes, file->size);
  for (size_t i = 0; i + length <= file->size && (every || found == 0); i++)
    if (memcmp(copy + i, old, length) == 0) {
      memcpy(copy + i, new, length);
      found++;
    }
  assert_true(found > 0 && strlen(new) == length);
  return gguf_file_of(copy, file->size);
}

/* The last note of a tensor, and how many had one. */
typedef struct notes {
  char text[128], tensor[64];
  int count;
} notes;

static void take_note(void *context, const hb_quantize_report *report) {
  notes *n = context;
  if (!report->note) return;
  n->count++;
  snprintf(n->text, sizeof n->text, "%s", report->note);
  snprintf(n->tensor, sizeof n->tensor, "%.*s", (int)report->tensor->name.length,
           report->tensor->name.data);
}

static hb_status quantize_with(const gguf_file *from, const gguf_file *importance,
                               const char *method, notes *n, hb_error *error) {
  bytes to = {0};
  hb_source file = {importance->gguf, (void *)importance, read_bytes};
  hb_quantize_options options = {
      .type = "q4_0", .method = method, .importance = &file, .context = n, .report = take_note};
  *n = (notes){0};
  hb_status status = quantize(from, &options, &to, error);
  free(to.data);
  return status;
}

static void a_matrix_that_the_file_lacks_is_noted(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  notes n;
  hb_error error;
  gguf_file whole = calibrated(&from, &plain);
  gguf_file lacking =
      altered(&whole, "blk.0.attn_k.weight.in_sum2", "blk.0.attn_k.weight.other_2", false);
  assert_int_equal(quantize_with(&from, &whole, NULL, &n, &error), HB_OK);
  assert_int_equal(n.count, 0);
  assert_int_equal(quantize_with(&from, &lacking, "imatrix", &n, &error), HB_OK);
  assert_int_equal(n.count, 1);
  assert_string_equal(n.tensor, "blk.0.attn_k.weight");
  assert_non_null(strstr(n.text, "the importance file does not have it"));
  gguf_file_close(&lacking);
  gguf_file_close(&whole);
  gguf_file_close(&from);
}

static void methods_that_want_more_take_no_file(void **state) {
  (void)state;
  static const char *const methods[] = {"gptq", "awq", "rtn", "squeezellm", "smoothquant"};
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  draw_tokens();
  gguf_file file = calibrated(&from, &plain);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    notes n;
    hb_error error;
    assert_int_equal(quantize_with(&from, &file, methods[i], &n, &error), HB_ARGUMENT);
    assert_non_null(strstr(error.message, methods[i]));
    assert_non_null(strstr(error.message, "takes no importance file"));
  }
  gguf_file_close(&file);
  gguf_file_close(&from);
}

/* Takes over `file`. */
static void assert_refused(const gguf_file *from, gguf_file file, const char *message) {
  notes n;
  hb_error error = {0};
  assert_int_equal(quantize_with(from, &file, "imatrix", &n, &error), HB_MODEL);
  if (!strstr(error.message, message)) fail_msg("%s, not %s", error.message, message);
  gguf_file_close(&file);
}

static gguf_file with_float(const gguf_file *file, const char *tensor, size_t index, float value) {
  gguf_file copy = altered(file, "GGUF", "GGUF", false);
  const hb_tensor *t = hb_gguf_tensor(copy.gguf, tensor);
  memcpy(copy.bytes + hb_gguf_data_start(copy.gguf) + t->offset + 4 * index, &value, 4);
  return copy;
}

/* Behind the name of a vector stand the number of its dimensions, 32 bits, the one, and its type.
 */
static gguf_file with_type(const gguf_file *file, const char *tensor, hb_type type) {
  uint8_t *copy = malloc(file->size);
  size_t at = 0, length = strlen(tensor);
  memcpy(copy, file->bytes, file->size);
  while (memcmp(copy + at, tensor, length) != 0) at++;
  copy[at + length + 12] = (uint8_t)type;
  return gguf_file_of(copy, file->size);
}

static void what_is_no_importance_of_the_model_is_refused_by_name(void **state) {
  (void)state;
  static const char sums[] = "blk.0.attn_k.weight.in_sum2", counts[] = "blk.0.attn_k.weight.counts";
  NEED_SHARED(SMALL);
  NEED_SHARED("vectors/arch/llama.gguf");
  gguf_file from = gguf_file_shared(SMALL), other = gguf_file_shared("vectors/arch/llama.gguf");
  draw_tokens();
  gguf_file file = calibrated(&from, &plain);
  for (size_t i = 0; i < COUNT; i++) tokens[i] %= 256;
  assert_refused(&from, calibrated(&other, &plain), "but the model's matrix wants");
  assert_refused(&from, gguf_file_shared(SMALL), "this is no importance file");
  assert_refused(&from, altered(&file, "imatrix", "imatrox", false), "this is no importance file");
  assert_refused(&from, altered(&file, "in_sum2", "in_sum3", true), "has no matrix of this model");
  assert_refused(&from, altered(&file, counts, "blk.0.attn_k.weight.caunts", false),
                 "tensor blk.0.attn_k.weight.counts is missing");
  assert_refused(&from, with_float(&file, counts, 0, 0), "attn_k.weight.counts is below 1");
  assert_refused(&from, with_float(&file, counts, 0, NAN), "attn_k.weight.counts is below 1");
  const float odd[] = {-1, NAN, INFINITY};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    assert_refused(&from, with_float(&file, sums, 3, odd[i]),
                   "attn_k.weight.in_sum2: value 3 is no finite sum of squares");
  assert_refused(&from, with_type(&file, sums, HB_TYPE_I32),
                 "attn_k.weight.in_sum2 is I32, not F32");
  gguf_file_close(&file);
  gguf_file_close(&other);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_first_inputs_are_normed_embeddings),
      cmocka_unit_test(the_last_inputs_are_the_models_hidden_states),
      cmocka_unit_test(the_file_says_what_it_is),
      cmocka_unit_test(threads_do_not_change_a_byte),
      cmocka_unit_test(what_cannot_be_measured_is_refused),
      cmocka_unit_test(a_matrix_that_the_file_lacks_is_noted),
      cmocka_unit_test(methods_that_want_more_take_no_file),
      cmocka_unit_test(what_is_no_importance_of_the_model_is_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
