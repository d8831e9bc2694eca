/* Gradient files: that what is written is read again, that levels lie where the gradients want
 * them, and that files of other models, or with odd values, are refused. */
#include "quantized.h"

#include "compress/gradients.h"
#include "compress/provenance.h"
#include "compress/tables.h"
#include "numbers.h"
#include "quant/private.h"

#define TINY "vectors/arch/llama.gguf" /* random weights, rows of 64 and 128 */
enum { SEQUENCES = 4, LENGTH = 40 };

static hb_token tokens[SEQUENCES * LENGTH];

/* What the sums of a file are, and what is wrong with them. */
typedef struct sums {
  bool uniform;
  float odd; /* in the middle of blk.1.attn_k.weight, unless 0 */
  float *values;
  size_t asked;
} sums;

static hb_status give(void *context, const hb_tensor *t, const float **out, hb_error *error) {
  (void)error;
  sums *s = context;
  uint64_t seed = 77 + s->asked++;
  size_t count = tensor_values(t);
  s->values = realloc(s->values, count * sizeof *s->values);
  for (size_t i = 0; i < count; i++) {
    float u = uniform(&seed, 0, 1);
    s->values[i] = s->uniform ? SEQUENCES : u * u * u * u * 1e-6f; /* a few count most */
  }
  if (s->odd != 0 && hb_string_equal(t->name, hb_string_of("blk.1.attn_k.weight")))
    s->values[64 * 3 + 5] = s->odd;
  *out = s->values;
  return HB_OK;
}

static hb_status write_gradients(const gguf_file *model, bool outer, sums *s, bytes *to,
                                 hb_error *error) {
  hb_sink sink = {to, write_bytes};
  hb_gradients_options o = {.model = model->gguf,
                            .tokens = tokens,
                            .sequences = SEQUENCES,
                            .length = LENGTH,
                            .outer = outer,
                            .context = s,
                            .sums = give};
  for (size_t i = 0; i < SEQUENCES * LENGTH; i++) tokens[i] = (hb_token)(i * 7 % 500);
  hb_status status = hb_gradients_write(&o, &sink, error);
  free(s->values);
  return status;
}

static gguf_file gradients_for(const gguf_file *model, bool outer, bool even) {
  bytes to = {0};
  hb_error error;
  sums s = {.uniform = even};
  if (write_gradients(model, outer, &s, &to, &error) != HB_OK) fail_msg("%s", error.message);
  return gguf_file_of(to.data, to.size);
}

static void what_is_written_is_read(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file model = gguf_file_shared(TINY), file = gradients_for(&model, false, true);
  hb_source source = {file.gguf, &file, read_bytes};
  const hb_tensor *up = hb_gguf_tensor(model.gguf, "blk.1.ffn_up.weight");
  float got[100];
  hb_error error;
  assert_int_equal(hb_gguf_tensor_count(file.gguf), 2 * 7);
  assert_int_equal(hb_gradients_check(file.gguf, model.gguf, &error), HB_OK);
  assert_true(hb_gradients_has(file.gguf, up));
  assert_false(hb_gradients_has(file.gguf, hb_gguf_tensor(model.gguf, "output.weight")));
  assert_int_equal(hb_gradients_read(&source, up, 64 * 3, 100, got, &error), HB_OK);
  for (int i = 0; i < 100; i++) assert_true(got[i] == 1);
  hb_overlap overlap = hb_provenance_overlap(file.gguf, tokens, sizeof tokens / sizeof *tokens);
  assert_int_equal(overlap.known, SEQUENCES);
  assert_int_equal(overlap.found, SEQUENCES);
  gguf_file_close(&file);
  file = gradients_for(&model, true, true);
  assert_int_equal(hb_gguf_tensor_count(file.gguf), 2 * 7 + 2);
  assert_int_equal(hb_gradients_check(file.gguf, model.gguf, &error), HB_OK);
  gguf_file_close(&file);
  gguf_file_close(&model);
}

/* ---- Levels ---- */

enum { MOST_COLUMNS = 128, MOST_LEVELS = 16 };

typedef struct point {
  double x, w;
} point;

static int by_x(const void *a, const void *b) {
  double x = ((const point *)a)->x, y = ((const point *)b)->x;
  return (x > y) - (x < y);
}

/* The least weighted squared error that so many levels can leave, by trying where the last cluster
 * begins. */
static double least_error(const float *x, const float *w, int count, int levels) {
  point p[MOST_COLUMNS];
  double best[MOST_LEVELS + 1][MOST_COLUMNS + 1];
  for (int i = 0; i < count; i++) p[i] = (point){(double)x[i], (double)w[i]};
  qsort(p, (size_t)count, sizeof *p, by_x);
  for (int i = 0; i <= count; i++) best[0][i] = i == 0 ? 0 : INFINITY;
  for (int q = 1; q <= levels; q++)
    for (int end = 0; end <= count; end++) {
      double sw = 0, mean = 0, error = 0;
      best[q][end] = best[q - 1][end];
      for (int i = end - 1; i >= 0; i--) { /* Welford's */
        sw += p[i].w;
        double d = p[i].x - mean;
        if (sw > 0) mean += p[i].w / sw * d;
        error += p[i].w * d * (p[i].x - mean);
        best[q][end] = fmin(best[q][end], best[q - 1][i] + error);
      }
    }
  return best[levels][count];
}

static double error_of(const float *x, const float *y, const float *w, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += (double)w[i] * ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
  return sum;
}

/* For matrices that are looked at; quantizing the others takes longest. */
static hb_type choose_few(void *context, const hb_tensor *tensor, hb_type type) {
  (void)context;
  static const char *const few[] = {"blk.0.attn_k.weight", "blk.1.attn_k.weight",
                                    "blk.1.ffn_down.weight"};
  for (size_t i = 0; i < sizeof few / sizeof *few; i++)
    if (hb_string_equal(tensor->name, hb_string_of(few[i]))) return type;
  return HB_TYPE_F32;
}

static const hb_quantize_options no_outliers = {
    .method = "squeezellm", .outliers = 1e-9, .choose = choose_few};

/* The values of a matrix of a file with tables, from malloc. */
static float *table_values(const gguf_file *file, const char *name, hb_type type, uint64_t cols,
                           uint64_t rows) {
  const hb_tensor *t = hb_gguf_tensor(file->gguf, name);
  uint64_t row_bytes;
  float *values = malloc(rows * cols * sizeof *values);
  assert_true(hb_row_bytes(type, cols, &row_bytes));
  assert_int_equal(t->bytes, rows * row_bytes);
  for (uint64_t row = 0; row < rows; row++)
    hb_traits(type)->decode(gguf_file_data(file, t) + row * row_bytes, values + row * cols,
                            (size_t)cols / hb_traits(type)->block_values);
  return values;
}

static void levels_lie_where_the_gradients_want_them(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  static const char *const names[] = {"blk.0.attn_k.weight", "blk.1.ffn_down.weight"};
  gguf_file model = gguf_file_shared(TINY), steep = gradients_for(&model, false, false),
            even = gradients_for(&model, false, true);
  hb_source by_steep = {steep.gguf, &steep, read_bytes}, by_even = {even.gguf, &even, read_bytes};
  for (int bits = 3; bits <= 4; bits++) {
    hb_quantize_options options = no_outliers;
    hb_type type = bits == 4 ? HB_TYPE_TABLE4 : HB_TYPE_TABLE3;
    options.type = hb_type_name(type);
    options.gradients = &by_steep;
    gguf_file weighted = quantized(&model, &options);
    options.gradients = &by_even;
    gguf_file plain = quantized(&model, &options);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
      const hb_tensor *t = hb_gguf_tensor(model.gguf, names[n]);
      uint64_t cols = t->dims[0], rows = t->dims[1];
      float *x = gguf_file_decode(&model, t);
      float *w = gguf_file_decode(&steep, hb_gguf_tensor(steep.gguf, names[n]));
      float *y = table_values(&weighted, names[n], type, cols, rows);
      float *z = table_values(&plain, names[n], type, cols, rows);
      double best = 0;
      for (uint64_t row = 0; row < rows; row++)
        best += least_error(x + row * cols, w + row * cols, (int)cols, 1 << bits);
      double got = error_of(x, y, w, rows * cols), alike = error_of(x, z, w, rows * cols);
      if (got < best || got > 1.1 * best || alike < 1.3 * best)
        fail_msg("%d bits, %s: %g, least %g, all alike %g", bits, names[n], got, best, alike);
      free(x);
      free(w);
      free(y);
      free(z);
    }
    gguf_file_close(&weighted);
    gguf_file_close(&plain);
  }
  gguf_file_close(&steep);
  gguf_file_close(&even);
  gguf_file_close(&model);
}

/* With the outliers of the paper, of which the first are as sensitive as any. */
static void even_gradients_are_a_sensitivity_of_ones(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file model = gguf_file_shared(TINY), even = gradients_for(&model, false, true);
  hb_source gradients = {even.gguf, &even, read_bytes};
  gguf_file got = quantized(&model, &(hb_quantize_options){.type = "table4",
                                                           .method = "squeezellm",
                                                           .gradients = &gradients,
                                                           .choose = choose_few});
  const hb_tensor *t = hb_gguf_tensor(model.gguf, "blk.1.ffn_down.weight");
  const hb_tensor *table = hb_gguf_tensor(got.gguf, "blk.1.ffn_down.weight");
  const hb_tensor *sparse = hb_gguf_tensor(got.gguf, "blk.1.ffn_down.outliers");
  size_t values = tensor_values(t);
  float *ones = malloc(values * sizeof *ones);
  for (size_t i = 0; i < values; i++) ones[i] = 1;
  hb_outlier_layout layout;
  hb_outliers outliers;
  assert_int_equal(hb_outlier_count((uint32_t)t->dims[1], (uint32_t)t->dims[0], HB_TABLES_FRACTION,
                                    &outliers.count, NULL),
                   HB_OK);
  assert_int_equal(outliers.count, 36);
  assert_true(hb_outliers_place(t->dims[1], outliers.count, &layout));
  assert_int_equal(sparse->bytes, layout.bytes);
  uint8_t *beside = calloc(1, layout.bytes), *blocks = malloc(table->bytes);
  outliers.starts = (uint32_t *)(void *)beside;
  outliers.columns = (uint16_t *)(void *)(beside + layout.columns);
  outliers.values = (uint16_t *)(void *)(beside + layout.values);
  float *weights = gguf_file_decode(&model, t);
  hb_matrix_job job = {.rows = (uint32_t)t->dims[1],
                       .cols = (uint32_t)t->dims[0],
                       .weights = weights,
                       .blocks = blocks};
  hb_tables_options options = {.bits = 4,
                               .sensitivity = ones,
                               .fraction = HB_TABLES_FRACTION,
                               .sensitive = HB_TABLES_SENSITIVE};
  assert_int_equal(hb_matrix_tables(&job, &options, &outliers, NULL), HB_OK);
  assert_memory_equal(gguf_file_data(&got, table), blocks, table->bytes);
  assert_memory_equal(gguf_file_data(&got, sparse), beside, layout.bytes);
  free(ones);
  free(beside);
  free(blocks);
  free(weights);
  gguf_file_close(&got);
  gguf_file_close(&even);
  gguf_file_close(&model);
}

static void take_note(void *context, const hb_quantize_report *r) {
  if (r->note)
    ((size_t *)context)[hb_string_equal(r->tensor->name, hb_string_of("output.weight"))]++;
}

static void matrices_that_the_file_may_lack_are_named(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file model = gguf_file_shared(TINY);
  for (int outer = 0; outer <= 1; outer++) {
    gguf_file file = gradients_for(&model, outer, false);
    hb_source gradients = {file.gguf, &file, read_bytes};
    size_t notes[2] = {0}; /* of others, of the output */
    gguf_file got = quantized(&model, &(hb_quantize_options){.type = "table3",
                                                             .method = "squeezellm",
                                                             .gradients = &gradients,
                                                             .context = notes,
                                                             .report = take_note});
    assert_int_equal(notes[0], outer ? 0 : 1); /* the table of embeddings */
    assert_int_equal(notes[1], outer ? 0 : 1);
    gguf_file_close(&got);
    gguf_file_close(&file);
  }
  gguf_file_close(&model);
}

static void threads_do_not_change_a_byte(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file model = gguf_file_shared(TINY), file = gradients_for(&model, true, false);
  hb_source gradients = {file.gguf, &file, read_bytes};
  hb_threads *threads;
  hb_error error;
  assert_int_equal(hb_threads_create(3, &threads, &error), HB_OK);
  hb_quantize_options options = {.type = "table3", .method = "squeezellm", .gradients = &gradients};
  gguf_file alone = quantized(&model, &options);
  options.parallel = hb_threads_parallel(threads);
  gguf_file together = quantized(&model, &options);
  assert_int_equal(alone.size, together.size);
  assert_memory_equal(alone.bytes, together.bytes, alone.size);
  hb_threads_destroy(threads);
  gguf_file_close(&alone);
  gguf_file_close(&together);
  gguf_file_close(&file);
  gguf_file_close(&model);
}

/* ---- Refusals ---- */

static void assert_refused(const gguf_file *model, hb_quantize_options options, hb_status status,
                           const char *sentence) {
  bytes to = {0};
  hb_error error = {0};
  assert_int_equal(quantize(model, &options, &to, &error), status);
  if (!strstr(error.message, sentence)) fail_msg("%s", error.message);
  free(to.data);
}

/* A file in which one thing is wrong. */
typedef struct flaw {
  const char *type, *architecture; /* NULL: none */
  const char *changed;             /* the tensor that is changed, or NULL */
  const char *name;                /* its new name; NULL: it is left out */
  hb_type value_type;
  uint64_t more; /* rows */
  const char *sentence;
} flaw;

static gguf_file flawed(const gguf_file *model, const flaw *f) {
  bytes to = {0};
  hb_sink sink = {&to, write_bytes};
  hb_gguf_writer *w;
  assert_int_equal(hb_gguf_writer_create(NULL, &sink, &w, NULL), HB_OK);
  if (f->type) hb_gguf_writer_set_string(w, "general.type", hb_string_of(f->type), NULL);
  if (f->architecture)
    hb_gguf_writer_set_string(w, "general.architecture", hb_string_of(f->architecture), NULL);
  for (int pass = 0; pass < 2; pass++) {
    for (size_t i = 0; i < hb_gguf_tensor_count(model->gguf); i++) {
      const hb_tensor *t = hb_gguf_tensor_at(model->gguf, i);
      bool changed = f->changed && hb_string_equal(t->name, hb_string_of(f->changed));
      if (!hb_gradients_wants(t, false) || (changed && !f->name)) continue;
      uint64_t dims[2] = {t->dims[0], t->dims[1] + (changed ? f->more : 0)};
      hb_string name = changed ? hb_string_of(f->name) : t->name;
      hb_type type = changed ? f->value_type : HB_TYPE_F32;
      size_t size = dims[0] * dims[1] * hb_traits(type)->block_bytes;
      if (pass == 0) {
        assert_int_equal(hb_gguf_writer_add_tensor(w, name, type, 2, dims, NULL), HB_OK);
      } else {
        void *zeros = calloc(1, size);
        assert_int_equal(hb_gguf_writer_data(w, zeros, size, NULL), HB_OK);
        free(zeros);
      }
    }
    if (pass == 0) assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  }
  assert_int_equal(hb_gguf_writer_finish(w, NULL), HB_OK);
  hb_gguf_writer_destroy(w);
  return gguf_file_of(to.data, to.size);
}

static void files_that_are_not_of_the_model_are_refused(void **state) {
  (void)state;
  NEED_SHARED(TINY);
#define V "blk.1.attn_v.weight"
  static const flaw flaws[] = {
      {NULL, "llama", NULL, NULL, 0, 0, "this is no gradient file"},
      {"imatrix", "llama", NULL, NULL, 0, 0, "this is no gradient file: general.type is not"},
      {"gradients", "qwen3", NULL, NULL, 0, 0, "of architecture \"qwen3\", not \"llama\""},
      {"gradients", NULL, NULL, NULL, 0, 0, "of architecture \"\", not \"llama\""},
      {"gradients", "llama", V, NULL, 0, 0, "the gradient file does not have tensor " V},
      {"gradients", "llama", V, "x.weight", 0, 0, "has a tensor x.weight, which the model does no"},
      {"gradients", "llama", V, V, HB_TYPE_F16, 0, "gradients of tensor " V " are F16, not F32"},
      {"gradients", "llama", V, V, 0, 1,
       V " have 33 values in dimension 1, but the model's tensor"},
  };
  gguf_file model = gguf_file_shared(TINY);
  for (size_t i = 0; i < sizeof flaws / sizeof *flaws; i++) {
    gguf_file file = flawed(&model, &flaws[i]);
    hb_source gradients = {file.gguf, &file, read_bytes};
    hb_quantize_options options = {
        .type = "table4", .method = "squeezellm", .gradients = &gradients};
    assert_refused(&model, options, HB_MODEL, flaws[i].sentence);
    gguf_file_close(&file);
  }
  gguf_file_close(&model);
#undef V
}

static void odd_values_are_named(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  static const float odd[] = {-1e-30f, NAN, INFINITY, -INFINITY};
  static const char sentence[] =
      "gradients of tensor blk.1.attn_k.weight, row 3: value 5 is no finite number from 0 on";
  gguf_file model = gguf_file_shared(TINY);
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    bytes to = {0};
    hb_error error;
    sums s = {.odd = odd[i]};
    assert_int_equal(write_gradients(&model, false, &s, &to, &error), HB_MODEL);
    assert_string_equal(error.message, sentence);
    free(to.data);
    gguf_file file = gradients_for(&model, false, false);
    const hb_tensor *t = hb_gguf_tensor(file.gguf, "blk.1.attn_k.weight");
    memcpy((uint8_t *)gguf_file_data(&file, t) + (64 * 3 + 5) * 4, &odd[i], 4);
    hb_source gradients = {file.gguf, &file, read_bytes};
    hb_quantize_options options = {
        .type = "table4", .method = "squeezellm", .gradients = &gradients, .choose = choose_few};
    assert_refused(&model, options, HB_MODEL, sentence);
    gguf_file_close(&file);
  }
  gguf_file file = gradients_for(&model, false, false);
  file.size -= 1000;
  hb_source gradients = {file.gguf, &file, read_bytes};
  hb_quantize_options options = {
      .type = "table4", .method = "squeezellm", .gradients = &gradients, .choose = choose_few};
  assert_refused(&model, options, HB_IO, "the file shrank");
  gguf_file_close(&file);
  gguf_file_close(&model);
}

static void what_has_no_use_for_gradients_says_so(void **state) {
  (void)state;
  NEED_SHARED(TINY);
  gguf_file model = gguf_file_shared(TINY), file = gradients_for(&model, false, false);
  hb_source gradients = {file.gguf, &file, read_bytes};
  static const struct {
    const char *type, *method, *activations;
    bool text;
    const char *sentence;
  } cases[] = {
      {"q4_0", "rtn", NULL, false, "method rtn has no use for gradients"},
      {"q4_0", NULL, NULL, false, "method rtn has no use for gradients"},
      {"q4_0", "gptq", NULL, true, "method gptq has no use for gradients"},
      {"table4", "awq+squeezellm", NULL, true, "method awq+squeezellm has no use for gradients"},
      {"table4", "squeezellm", "tensor", true, "method squeezellm has no use for gradients"},
      {"table4", "squeezellm", NULL, true, "takes either gradients or text to calibrate with"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_quantize_options options = {.type = cases[i].type,
                                   .method = cases[i].method,
                                   .activations = cases[i].activations,
                                   .gradients = &gradients};
    if (cases[i].text) {
      options.calibration = tokens;
      options.calibration_samples = SEQUENCES;
      options.calibration_length = LENGTH;
    }
    assert_refused(&model, options, HB_ARGUMENT, cases[i].sentence);
  }
  hb_error error;
  hb_budget_choice choices[64];
  hb_source source = {model.gguf, &model, read_bytes};
  hb_quantize_options options = {.gradients = &gradients};
  assert_true(hb_gguf_tensor_count(model.gguf) <= 64);
  assert_int_equal(hb_budget_choose(&source, &options, 5, choices, &error), HB_ARGUMENT);
  assert_string_equal(error.message, "a budget has no use for gradients");
  gguf_file_close(&file);
  gguf_file_close(&model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_written_is_read),
      cmocka_unit_test(levels_lie_where_the_gradients_want_them),
      cmocka_unit_test(even_gradients_are_a_sensitivity_of_ones),
      cmocka_unit_test(matrices_that_the_file_may_lack_are_named),
      cmocka_unit_test(threads_do_not_change_a_byte),
      cmocka_unit_test(files_that_are_not_of_the_model_are_refused),
      cmocka_unit_test(odd_values_are_named),
      cmocka_unit_test(what_has_no_use_for_gradients_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
