/* Going on with an interrupted run of quantizing: whatever it left, the result is that of a run
 * that was not interrupted, or a sentence says why not. */
#include "base/sha256.h"
#include "calibrating.h"
#include "compress/gradients.h"
#include "gguf/write.h"
#include "quant/private.h"

#define TINY "vectors/arch/llama.gguf" /* random weights, rows of 64 and more */
#define SMALL "vectors/quant/f32.gguf" /* the same, with more of them */
enum { MOST_MARKS = 64 };

/* A journal in memory, and what it is about. */
typedef struct notes {
  hb_journal face;
  hb_mark marks[MOST_MARKS];
  size_t count;
  bytes file;
  uint64_t kept; /* bytes; UINT64_MAX: it was not asked for */
  size_t tensors_kept;
} notes;

static hb_status read_notes(void *context, uint64_t offset, void *out, size_t count,
                            hb_error *error) {
  const notes *n = context;
  if (offset > n->file.size || count > n->file.size - offset) {
    *error = (hb_error){HB_TRUNCATED, offset, "nothing is there"};
    return HB_TRUNCATED;
  }
  memcpy(out, n->file.data + offset, count);
  return HB_OK;
}

static hb_status keep(void *context, const hb_mark *kept, hb_error *error) {
  (void)error;
  notes *n = context;
  assert_true(kept->bytes <= n->file.size);
  n->kept = n->file.size = kept->bytes;
  while (n->count > 0 && n->marks[n->count - 1].bytes > kept->bytes) n->count--;
  return HB_OK;
}

static hb_status note(void *context, const hb_mark *mark, hb_error *error) {
  (void)error;
  notes *n = context;
  assert_true(n->count < MOST_MARKS);
  assert_int_equal(mark->bytes, n->file.size);
  n->marks[n->count++] = *mark;
  return HB_OK;
}

static void count_kept(void *context, const hb_quantize_report *r) {
  ((notes *)context)->tensors_kept += r->kept != 0;
}

/* Goes on with what the notes have. */
static hb_status go_on(const gguf_file *from, const hb_quantize_options *options, notes *n,
                       hb_error *error) {
  hb_quantize_options with = *options;
  n->face = (hb_journal){n, n->marks, n->count, n->file.size, read_notes, keep, note};
  n->kept = UINT64_MAX;
  n->tensors_kept = 0;
  with.journal = &n->face;
  with.context = n;
  with.report = count_kept;
  return quantize(from, &with, &n->file, error);
}

static notes copy_of(const notes *n) {
  notes copy = *n;
  copy.file = (bytes){malloc(n->file.size + 1), n->file.size, n->file.size, 0};
  memcpy(copy.file.data, n->file.data, n->file.size);
  return copy;
}

static notes finished(const gguf_file *from, const hb_quantize_options *options) {
  notes n = {.count = 0};
  hb_error error;
  if (go_on(from, options, &n, &error) != HB_OK) fail_msg("%s", error.message);
  assert_int_equal(n.kept, 0);
  return n;
}

/* Ends where the disk is full after so many bytes. */
static notes interrupted(const gguf_file *from, const hb_quantize_options *options, size_t limit) {
  notes n = {.file.limit = limit};
  hb_error error;
  assert_int_equal(go_on(from, options, &n, &error), HB_IO);
  n.file.limit = 0;
  return n;
}

static void assert_same(const notes *a, const notes *b) {
  assert_int_equal(a->file.size, b->file.size);
  assert_memory_equal(a->file.data, b->file.data, a->file.size);
}

static hb_quantize_options calibrated(const char *type, const char *method) {
  return (hb_quantize_options){.type = type,
                               .method = method,
                               .calibration = tokens,
                               .calibration_samples = SAMPLES,
                               .calibration_length = LENGTH};
}

/* As if it had been interrupted between its mark number `mark` and the next one. */
static notes cut_behind(const notes *whole, size_t mark) {
  notes part = copy_of(whole);
  part.count = mark + 1;
  part.file.size = whole->marks[mark].bytes + 200;
  return part;
}

static void assert_goes_on(const gguf_file *from, hb_quantize_options options,
                           const hb_parallel *parallel) {
  hb_error error;
  notes whole = finished(from, &options);
  assert_true(whole.count >= 2);
  options.parallel = parallel;
  size_t step = whole.count > 4 ? whole.count - 1 : 1; /* of many, the first and the last */
  for (size_t i = 0; i < whole.count; i += step) {
    notes part = cut_behind(&whole, i);
    if (go_on(from, &options, &part, &error) != HB_OK)
      fail_msg("%s: %s", options.method, error.message);
    assert_int_equal(part.kept, whole.marks[i].bytes);
    assert_int_equal(part.tensors_kept, whole.marks[i].tensors);
    assert_same(&part, &whole);
    assert_int_equal(part.count, whole.count);
    assert_memory_equal(part.marks, whole.marks, part.count * sizeof *part.marks);
    free(part.file.data);
  }
  free(whole.file.data);
}

static void an_interrupted_run_leaves_what_it_noted(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  hb_error error;
  draw_tokens();
  hb_quantize_options options = calibrated("q4_0", "gptq");
  gguf_file alone = quantized(&from, &options);
  notes whole = finished(&from, &options);
  assert_int_equal(whole.file.size, alone.size);
  assert_memory_equal(whole.file.data, alone.bytes, alone.size);
  for (size_t i = 0; i <= whole.count; i++) {
    size_t at = i > 0 ? whole.marks[i - 1].bytes : 0;
    notes part = interrupted(&from, &options, at + 200);
    assert_int_equal(part.count, i);
    assert_int_equal(go_on(&from, &options, &part, &error), HB_OK);
    assert_int_equal(part.kept, at);
    assert_same(&part, &whole);
    free(part.file.data);
  }
  gguf_file_close(&alone);
  free(whole.file.data);
  gguf_file_close(&from);
}

static void every_method_goes_on_to_the_same_bytes(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  static const struct {
    const char *type, *method, *activations;
  } cases[] = {
      {"q4_0", "gptq", NULL},     {"q4_0", "awq", NULL},
      {"q5_1", "spqr", NULL},     {"q8_0", "smoothquant", "tensor"},
      {"q8_0", "llm.int8", NULL}, {"table4", "squeezellm", NULL},
      {"q4_1", "hqq", "tensor"},  {"f16", "smoothquant+rtn", NULL},
      {"nf4", "gptq", NULL}, /* rows of fewer than 256 values end in part of a block */
  };
  gguf_file from = gguf_file_shared(TINY);
  hb_threads *threads;
  hb_error error;
  draw_tokens();
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_quantize_options options = calibrated(cases[i].type, cases[i].method);
    options.activations = cases[i].activations;
    options.calibration_samples = 2;
    assert_goes_on(&from, options, hb_threads_parallel(threads));
  }
  hb_threads_destroy(threads);
  gguf_file_close(&from);
}

/* The same model with its vectors in half precision. */
static gguf_file with_narrow_vectors(const gguf_file *from) {
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_gguf_writer *w;
  assert_int_equal(hb_gguf_writer_create(NULL, &sink, &w, NULL), HB_OK);
  assert_int_equal(hb_gguf_writer_copy(w, from->gguf, NULL), HB_OK);
  size_t count = hb_gguf_tensor_count(from->gguf);
  for (size_t i = 0; i < count; i++) {
    const hb_tensor *t = hb_gguf_tensor_at(from->gguf, i);
    hb_type type = t->dim_count == 1 ? HB_TYPE_F16 : t->type;
    assert_int_equal(hb_gguf_writer_add_tensor(w, t->name, type, t->dim_count, t->dims, NULL),
                     HB_OK);
  }
  assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  for (size_t i = 0; i < count; i++) {
    const hb_tensor *t = hb_gguf_tensor_at(from->gguf, i);
    uint16_t narrow[512];
    const void *data = gguf_file_data(from, t);
    size_t size = (size_t)t->bytes;
    if (t->dim_count == 1) {
      size = (size_t)t->dims[0] * sizeof *narrow;
      assert_true(size <= sizeof narrow);
      hb_traits(HB_TYPE_F16)->encode(data, narrow, (size_t)t->dims[0]);
      data = narrow;
    }
    assert_int_equal(hb_gguf_writer_data(w, data, size, NULL), HB_OK);
  }
  assert_int_equal(hb_gguf_writer_finish(w, NULL), HB_OK);
  hb_gguf_writer_destroy(w);
  return gguf_file_of(to.data, to.size);
}

/* Norms that took scales in are rounded in the file: what comes behind reads those. */
static void scales_in_rounded_norms_go_on_to_the_same_bytes(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY), narrow = with_narrow_vectors(&from);
  draw_tokens();
  hb_quantize_options options = calibrated("q8_0", "smoothquant");
  options.smooth_alpha = 0.5;
  options.activations = "tensor";
  assert_goes_on(&narrow, options, NULL);
  gguf_file_close(&narrow);
  gguf_file_close(&from);
}

static void what_is_cut_off_or_altered_is_made_anew(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  hb_error error;
  draw_tokens();
  hb_quantize_options options = calibrated("q8_0", "rtn");
  options.activations = "tensor-max"; /* which calibrates, fast */
  options.calibration_samples = 1;
  notes whole = finished(&from, &options);
  uint64_t first = whole.marks[0].bytes, second = whole.marks[1].bytes;
  const struct {
    uint64_t size, altered, kept;
  } cases[] = {
      {second, UINT64_MAX, second},
      {second - 1, UINT64_MAX, first},
      {first, UINT64_MAX, first},
      {first - 1, UINT64_MAX, 0},
      {0, UINT64_MAX, 0},
      {second + 50, second, second},
      {second, second - 1, first},
      {second, first, first},
      {second, first - 1, 0},
      {second, 0, 0},
      {second, 40, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    notes part = copy_of(&whole);
    part.count = 2;
    part.file.size = cases[i].size;
    if (cases[i].altered != UINT64_MAX) part.file.data[cases[i].altered] ^= 0x10;
    assert_int_equal(go_on(&from, &options, &part, &error), HB_OK);
    assert_int_equal(part.kept, cases[i].kept);
    assert_same(&part, &whole);
    free(part.file.data);
  }
  static const uint8_t wrong[] = {0, 40, 95, 96, 97, 103, 104, 105, 111, 112, 143};
  for (size_t i = 0; i < sizeof wrong; i++) { /* a wrong mark is none */
    notes part = copy_of(&whole);
    part.count = 2;
    part.file.size = second;
    ((uint8_t *)&part.marks[1])[wrong[i]] ^= 1;
    hb_status status = go_on(&from, &options, &part, &error);
    if (status != HB_FORMAT) { /* a wrong number of tensors is seen late */
      assert_int_equal(status, HB_OK);
      assert_int_equal(part.kept, first);
      assert_same(&part, &whole);
    }
    free(part.file.data);
  }
  free(whole.file.data);
  gguf_file_close(&from);
}

static void assert_refused(const gguf_file *from, hb_quantize_options options, const notes *of,
                           const char *sentence) {
  hb_error error = {0};
  notes part = copy_of(of);
  assert_int_equal(go_on(from, &options, &part, &error), HB_ARGUMENT);
  if (!strstr(error.message, sentence)) fail_msg("%s", error.message);
  assert_int_equal(part.kept, UINT64_MAX);
  assert_same(&part, of);
  free(part.file.data);
}

static hb_type all_q8(void *context, const hb_tensor *tensor, hb_type type) {
  (void)context;
  (void)tensor;
  (void)type;
  return HB_TYPE_Q8_0;
}

static void what_another_run_left_is_refused(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY), other = gguf_file_shared(TINY);
  draw_tokens();
  hb_quantize_options options = calibrated("q4_0", "spqr");
  notes left = finished(&from, &options);

  const hb_tensor *last = hb_gguf_tensor_at(other.gguf, hb_gguf_tensor_count(other.gguf) - 1);
  uint8_t *data = (uint8_t *)gguf_file_data(&other, last);
  for (size_t i = 0; i < last->bytes; i += 512) data[i] ^= 1; /* the first bit of some values */
  assert_refused(&other, options, &left, "read another model");

  options.calibration_samples--;
  assert_refused(&from, options, &left, "calibrated with something else");
  options.calibration_samples++;
  tokens[5] ^= 1;
  assert_refused(&from, options, &left, "calibrated with something else");
  tokens[5] ^= 1;

  hb_quantize_options changed = options;
  changed.method = "gptq";
  assert_refused(&from, changed, &left, "had other options");
  changed.method = "rtn"; /* which notes nothing itself */
  assert_refused(&from, changed, &left, "had other options");
  changed = options;
  changed.activations = "token";
  assert_refused(&from, changed, &left, "had other options");
  changed = options;
  changed.outliers = 0.02;
  assert_refused(&from, changed, &left, "had other options");
  changed = options;
  changed.choose = all_q8;
  assert_refused(&from, changed, &left, "had other options");
  free(left.file.data);

  options = calibrated("q8_0", "smoothquant+llm.int8");
  left = finished(&from, &options);
  changed = options;
  changed.smooth_alpha = 0.7;
  assert_refused(&from, changed, &left, "had other options");
  changed = options;
  changed.outlier_threshold = 5;
  assert_refused(&from, changed, &left, "had other options");
  free(left.file.data);
  gguf_file_close(&other);
  gguf_file_close(&from);
}

static hb_type only_keys(void *context, const hb_tensor *tensor, hb_type type) {
  (void)context;
  bool keys = hb_string_equal(tensor->name, hb_string_of("blk.1.attn_k.weight"));
  return keys ? type : HB_TYPE_F32;
}

static hb_status weigh(void *context, const hb_tensor *t, const float **out, hb_error *error) {
  (void)error;
  for (size_t i = 0; i < tensor_values(t); i++) ((float *)context)[i] = (float)(i % 11);
  *out = context;
  return HB_OK;
}

static void runs_by_gradients_go_on(void **state) {
  (void)state;
  NEED_SHARED(SMALL);
  gguf_file from = gguf_file_shared(SMALL);
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  draw_tokens();
  float *room = malloc(from.size);
  hb_gradients_options gradient_options = {.model = from.gguf,
                                           .tokens = tokens,
                                           .sequences = 1,
                                           .length = LENGTH,
                                           .context = room,
                                           .sums = weigh};
  assert_int_equal(hb_gradients_write(&gradient_options, &sink, NULL), HB_OK);
  free(room);
  gguf_file file = gguf_file_of(to.data, to.size);
  hb_source gradients = {file.gguf, &file, read_bytes};
  hb_quantize_options options = {
      .type = "table4", .method = "squeezellm", .gradients = &gradients, .choose = only_keys};
  assert_goes_on(&from, options, NULL);
  notes left = finished(&from, &options);
  const hb_tensor *first = hb_gguf_tensor_at(file.gguf, 0);
  ((uint8_t *)gguf_file_data(&file, first))[4] ^= 1;
  assert_refused(&from, options, &left, "calibrated with something else");
  free(left.file.data);
  gguf_file_close(&file);
  gguf_file_close(&from);
}

/* Even where the marks were made to fit. */
static void altered_outliers_break_nothing(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  hb_error error;
  draw_tokens();
  hb_quantize_options options = calibrated("q4_0", "spqr");
  options.calibration_samples = 1;
  notes whole = finished(&from, &options);
  gguf_file result = gguf_file_of(copy_of(&whole).file.data, whole.file.size);
  const hb_tensor *t = hb_gguf_tensor(result.gguf, "blk.0.attn_q.outliers");
  size_t start = hb_gguf_data_start(result.gguf) + t->offset, refused = 0;
  for (size_t at = start; at < start + t->bytes; at += 13) {
    notes part = copy_of(&whole);
    part.count = 2;
    part.file.size = part.marks[1].bytes;
    part.file.data[at] ^= 0xff;
    for (size_t i = 0; i < 2; i++) {
      hb_sha256 hash;
      hb_sha256_init(&hash);
      hb_sha256_update(&hash, part.file.data, part.marks[i].bytes);
      hb_sha256_final(&hash, part.marks[i].digest);
    }
    hb_status status = go_on(&from, &options, &part, &error);
    assert_true(status == HB_OK || status == HB_MODEL || status == HB_FORMAT);
    refused += status != HB_OK;
    free(part.file.data);
  }
  assert_true(refused > 0);
  gguf_file_close(&result);
  free(whole.file.data);
  gguf_file_close(&from);
}

static void plain_rounding_notes_nothing(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file from = gguf_file_shared(TINY);
  notes whole = finished(&from, &(hb_quantize_options){.type = "q4_0"});
  assert_int_equal(whole.count, 0);
  free(whole.file.data);
  gguf_file_close(&from);
}

static void searches_without_text_note_tensors(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL);
  hb_quantize_options options = {.type = "f16", .method = "hqq"};
  assert_goes_on(&from, options, NULL);
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_interrupted_run_leaves_what_it_noted),
      cmocka_unit_test(every_method_goes_on_to_the_same_bytes),
      cmocka_unit_test(scales_in_rounded_norms_go_on_to_the_same_bytes),
      cmocka_unit_test(what_is_cut_off_or_altered_is_made_anew),
      cmocka_unit_test(what_another_run_left_is_refused),
      cmocka_unit_test(runs_by_gradients_go_on),
      cmocka_unit_test(altered_outliers_break_nothing),
      cmocka_unit_test(plain_rounding_notes_nothing),
      cmocka_unit_test(searches_without_text_note_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
