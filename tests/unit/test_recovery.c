/* Scales trained after any post-training method, formats of halfbyte's own among them. */
#include "training.h"

#include "base/half.h"
#include "train/trainer.h"

#include <math.h>

/* ---- Matrices whose blocks share bytes ---- */

enum { ROWS = 3, COLS = 576, MOST_ROW_BYTES = 400 };

static const hb_type shared_types[] = {HB_TYPE_NF4, HB_TYPE_FP4, HB_TYPE_TABLE4, HB_TYPE_TABLE3};
enum { SHARED_TYPES = sizeof shared_types / sizeof *shared_types };

typedef struct sample {
  hb_team team;
  hb_rescaled r;
  uint64_t row_bytes;
  uint8_t blocks[ROWS * MOST_ROW_BYTES];
  float values[ROWS * COLS], gradient[ROWS * COLS];
} sample;

static uint32_t draw(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 16;
}

/* Where each d stands in a row: 9 blocks of 64 are super-blocks of 4, 4 and 1. */
static uint32_t list_places(hb_type type, uint64_t out[3]) {
  bool table = type == HB_TYPE_TABLE4 || type == HB_TYPE_TABLE3;
  for (uint32_t i = 0; i < 3; i++) out[i] = i * 134u;
  return table ? 1 : 3;
}

/* Random bytes; d is a power of two, so that an eighth more or less is exact. */
static void begin(sample *s, hb_type type, const hb_parallel *parallel) {
  hb_error error;
  uint32_t state = 7;
  uint64_t places[3];
  uint32_t count = list_places(type, places);
  assert_int_equal(hb_team_begin(&s->team, hb_allocator_or_default(NULL), parallel, hb_isa_best(),
                                 false, 0, &error),
                   HB_OK);
  assert_true(hb_row_bytes(type, COLS, &s->row_bytes) && s->row_bytes <= MOST_ROW_BYTES);
  for (size_t i = 0; i < sizeof s->blocks; i++) s->blocks[i] = (uint8_t)draw(&state);
  for (uint32_t row = 0; row < ROWS; row++)
    for (uint32_t i = 0; i < count; i++)
      hb_store_u16(s->blocks + row * s->row_bytes + places[i],
                   hb_f16_of_f32(0.25f * (float)(1u << (row + i))));
  for (size_t i = 0; i < ROWS * COLS; i++) s->gradient[i] = (float)draw(&state) / 65536 - 0.5f;
  assert_int_equal(
      hb_rescaled_begin(&s->r, hb_allocator_or_default(NULL), type, ROWS, COLS, s->blocks, &error),
      HB_OK);
  assert_int_equal(hb_rescaled_count(&s->r), ROWS * count);
}

static void end(sample *s) {
  hb_rescaled_end(&s->r);
  hb_team_end(&s->team);
}

static void values_are_those_that_blocks_decode_to(void **state) {
  (void)state;
  for (size_t i = 0; i < SHARED_TYPES; i++) {
    static sample s;
    float expected[COLS];
    uint64_t places[3];
    begin(&s, shared_types[i], NULL);
    uint32_t count = list_places(shared_types[i], places);
    for (uint64_t k = 0; k < hb_rescaled_count(&s.r); k++)
      s.r.parameters[k] = 0.9f + 0.03f * (float)k;
    hb_rescaled_project(&s.r, &s.team, s.values);
    for (uint32_t row = 0; row < ROWS; row++) {
      const uint8_t *blocks = s.r.blocks + row * s.row_bytes;
      uint8_t *before = s.blocks + row * s.row_bytes;
      hb_traits(shared_types[i])->decode(blocks, expected, COLS / s.r.traits->block_values);
      assert_memory_equal(s.values + row * COLS, expected, sizeof expected);
      for (uint32_t k = 0; k < count; k++) {
        float p = s.r.parameters[row * count + k];
        uint16_t d = hb_f16_of_f32(p * 0.25f * (float)(1u << (row + k)));
        hb_store_u16(before + places[k], d); /* and all else stays */
      }
      assert_memory_equal(blocks, before, s.row_bytes);
    }
    end(&s);
  }
}

static double loss_of(sample *s) {
  double sum = 0;
  hb_rescaled_project(&s->r, &s->team, s->values);
  for (size_t i = 0; i < ROWS * COLS; i++) sum += (double)s->gradient[i] * (double)s->values[i];
  return sum;
}

/* The loss is linear in each parameter: differences are exact but for sums in f32. */
static void gradients_are_those_of_differences(void **state) {
  (void)state;
  for (size_t i = 0; i < SHARED_TYPES; i++) {
    static sample s;
    begin(&s, shared_types[i], NULL);
    loss_of(&s);
    hb_rescaled_back(&s.r, &s.team, s.gradient);
    double most = 0;
    for (uint64_t k = 0; k < hb_rescaled_count(&s.r); k++)
      most = fmax(most, fabs((double)s.r.gradients[k]));
    assert_true(most > 1e-3);
    for (uint64_t k = 0; k < hb_rescaled_count(&s.r); k++) {
      s.r.parameters[k] = 1.125f;
      double above = loss_of(&s);
      s.r.parameters[k] = 0.875f;
      double below = loss_of(&s);
      s.r.parameters[k] = 1;
      assert_float_equal(s.r.gradients[k], (above - below) / 0.25, 1e-5 * most);
    }
    end(&s);
  }
}

static void threads_change_nothing(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  for (size_t i = 0; i < SHARED_TYPES; i++) {
    static sample a, b;
    begin(&a, shared_types[i], NULL);
    begin(&b, shared_types[i], hb_threads_parallel(threads));
    assert_true(loss_of(&a) == loss_of(&b));
    hb_rescaled_back(&a.r, &a.team, a.gradient);
    hb_rescaled_back(&b.r, &b.team, b.gradient);
    assert_memory_equal(a.r.gradients, b.r.gradients, hb_rescaled_count(&a.r) * sizeof(float));
    end(&a);
    end(&b);
  }
  hb_threads_destroy(threads);
}

/* ---- Models ---- */

static gguf_file made_by(const gguf_file *from, const char *method, const char *type) {
  hb_quantize_options options = {.method = method, .type = type};
  bool plain = strcmp(method, "rtn") == 0 || strcmp(method, "hqq") == 0;
  if (strcmp(method, "llm.int8") == 0) options.outlier_threshold = 1.5;
  if (!plain && strcmp(method, "nf4") != 0 && strcmp(method, "fp4") != 0) {
    options.calibration = make_text().tokens;
    options.calibration_samples = 4;
    options.calibration_length = 32;
  }
  return quantized(from, &options);
}

/* As adapters see it, which multiply by the blocks of the frozen model and their outliers. */
static double entropy_when_frozen(const hb_source *source) {
  hb_train_options options = usual_options("lora");
  hb_trainer *t = open_trainer(source, &options);
  double entropy = entropy_of(t);
  hb_trainer_destroy(t);
  return entropy;
}

static double entropy_as_written(const gguf_file *file, const hb_train_options *options) {
  hb_source source = source_of(file);
  hb_trainer *t = open_trainer(&source, options);
  double entropy = entropy_of(t);
  hb_trainer_destroy(t);
  assert_true(entropy == entropy_when_frozen(&source));
  return entropy;
}

static void scales_are_trained_after_every_method(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const char *const methods[][2] = {
      {"rtn", "q4_0"},         {"hqq", "q4_1"},  {"channel", "q8_0"},   {"gptq", "q3_k"},
      {"awq", "q4_0"},         {"spqr", "q4_0"}, {"zeroquant", "q4_0"}, {"smoothquant", "q8_0"},
      {"llm.int8", "q8_0"},    {"nf4", NULL},    {"fp4", NULL},         {"squeezellm", "table4"},
      {"squeezellm", "table3"}};
  gguf_file from = gguf_file_shared(MODEL);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    gguf_file base = made_by(&from, methods[i][0], methods[i][1]);
    hb_source source = source_of(&base);
    hb_train_options options = usual_options("e2e-qp");
    hb_trainer *t = open_trainer(&source, &options);
    double before = entropy_of(t);
    assert_true(before == entropy_when_frozen(&source));
    run_steps(t, 8);
    double after = entropy_of(t);
    if (!(after < before - 0.01)) fail_msg("%s: %f, then %f", methods[i][0], before, after);
    gguf_file to = written(t, hb_trainer_write);
    assert_true(entropy_as_written(&to, &options) == after);
    hb_trainer_destroy(t);
    gguf_file_close(&to);
    gguf_file_close(&base);
  }
  gguf_file_close(&from);
}

static void outliers_stay_as_they_are(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  gguf_file from = gguf_file_shared(MODEL), base = made_by(&from, "llm.int8", "q8_0");
  hb_source source = source_of(&base);
  hb_train_options options = usual_options("e2e-qp");
  hb_trainer *t = open_trainer(&source, &options);
  run_steps(t, 8);
  gguf_file to = written(t, hb_trainer_write);
  uint32_t beside = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(base.gguf); i++) {
    const hb_tensor *a = hb_gguf_tensor_at(base.gguf, i), *b = hb_gguf_tensor_at(to.gguf, i);
    if (a->type != HB_TYPE_I8) continue;
    beside++;
    assert_memory_equal(gguf_file_data(&base, a), gguf_file_data(&to, b), a->bytes);
  }
  assert_true(beside > 0);
  hb_trainer_destroy(t);
  gguf_file_close(&to);
  gguf_file_close(&base);
  gguf_file_close(&from);
}

/* The loss of a run's first step, with one of its parameters changed. */
static double first_loss(const hb_source *source, uint32_t parameter, uint64_t at, float value) {
  hb_train_options options = usual_options("e2e-qp");
  hb_trainer *t = open_trainer(source, &options);
  t->parameters[parameter].value[at] = value;
  double loss = run_steps(t, 1).loss;
  hb_trainer_destroy(t);
  return loss;
}

/* Codes in a column of a Q8_0 matrix. */
static void set_column(const gguf_file *file, const char *name, uint64_t column, uint8_t code) {
  const hb_tensor *t = hb_gguf_tensor(file->gguf, name);
  uint8_t *blocks = (uint8_t *)gguf_file_data(file, t);
  for (uint64_t row = 0; row < t->dims[1]; row++)
    blocks[(row * t->dims[0] / 32 + column / 32) * 34 + 2 + column % 32] = code;
}

/* Inputs skip columns with outliers, so that what codes say there is without effect. The factors
 * are those that f16 leaves of the scale; what remains is the loss's curvature and f32. */
static void columns_that_outliers_replace_have_no_part_in_scales(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  const char *name = "blk.0.attn_q.weight";
  gguf_file from = gguf_file_shared(MODEL), base = made_by(&from, "llm.int8", "q8_0");
  hb_source source = source_of(&base);
  hb_train_options options = usual_options("e2e-qp");
  hb_trainer *t = open_trainer(&source, &options);
  const hb_weight *before = hb_weight_named(t->model, hb_string_of(name));
  assert_true(before->outliers.column_count > 0);
  set_column(&base, name, before->outliers.columns[0], 100);
  hb_trainer_destroy(t);
  t = open_trainer(&source, &options);
  uint32_t p = 0;
  while (strcmp(t->parameters[p].name.data, name) != 0) p++;
  const hb_weight *w = hb_weight_named(t->model, t->parameters[p].name);
  const hb_quantizer *q = &t->quantizers[w - t->model->weights];
  run_steps(t, 1);
  double scored = 0;
  for (uint32_t i = 0; i < hb_graph_rows(t->graph); i++) scored += t->rows.targets[i] >= 0;
  uint64_t at = 0; /* the block with the steepest scale of those that have such a column */
  for (uint64_t k = 0; k < t->parameters[p].count; k++) {
    uint64_t first = k % (w->cols / 32) * 32, column = w->outliers.columns[0];
    bool skips = column >= first && column < first + 32;
    if (skips && fabs((double)q->parameter_gradients[k]) > fabs((double)q->parameter_gradients[at]))
      at = k;
  }
  const float unit = q->unit_d[at], step = 0x1p-3f;
  double got = (double)q->parameter_gradients[at] / scored;
  double above = (double)hb_f32_of_f16(hb_f16_of_f32((1 + step) * unit));
  double below = (double)hb_f32_of_f16(hb_f16_of_f32((1 - step) * unit));
  double loss = first_loss(&source, p, at, 1 + step) - first_loss(&source, p, at, 1 - step);
  double wanted = loss / ((above - below) / (double)unit);
  hb_trainer_destroy(t);
  assert_true(fabs(wanted) > 1e-5);
  assert_float_equal(got, wanted, 0.03 * fabs(wanted));
  gguf_file_close(&base);
  gguf_file_close(&from);
}

static void what_cannot_be_trained_is_refused_by_name(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  static const struct {
    const char *made_by, *type, *method;
    bool round_inputs;
    const char *reason;
  } cases[] = {
      {"spqr", "q4_0", "qat", false, "has outliers: such a model is trained by e2e-qp or lora"},
      {"squeezellm", "table3", "qat", false, "has TABLE3: such a model is trained by e2e-qp"},
      {"nf4", NULL, "full", false, "is NF4: what is quantized is trained by e2e-qp or lora"},
      {"spqr", "q4_0", "e2e-qp", true, "inputs cannot be rounded in training"}};
  gguf_file from = gguf_file_shared(MODEL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    gguf_file base = made_by(&from, cases[i].made_by, cases[i].type);
    hb_source source = source_of(&base);
    hb_train_options options = usual_options(cases[i].method);
    options.round_inputs = cases[i].round_inputs;
    refuses(&source, &options, cases[i].reason);
    gguf_file_close(&base);
  }
  gguf_file_close(&from);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_are_those_that_blocks_decode_to),
      cmocka_unit_test(gradients_are_those_of_differences),
      cmocka_unit_test(threads_change_nothing),
      cmocka_unit_test(scales_are_trained_after_every_method),
      cmocka_unit_test(outliers_stay_as_they_are),
      cmocka_unit_test(columns_that_outliers_replace_have_no_part_in_scales),
      cmocka_unit_test(what_cannot_be_trained_is_refused_by_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
