#include "compress/survey.h"

static void count_large(const hb_survey *s, uint32_t weight, const float *rows, size_t stride,
                        uint32_t count) {
  uint32_t *large = s->large[weight];
  for (uint32_t row = 0; row < count; row++)
    for (uint32_t c = 0; c < s->cols[weight]; c++) {
      float x = rows[row * stride + c];
      large[c] += x >= s->threshold || x <= -s->threshold;
    }
}

typedef struct look_context {
  const hb_survey *survey;
  uint32_t length;
} look_context;

static void look(void *context, const hb_walk *walk, uint32_t op) {
  const look_context *l = context;
  if (op == hb_walk_end(walk)) return;
  const hb_op *o = &hb_walk_model(walk)->program[op];
  size_t stride;
  const float *rows = hb_walk_rows(walk, o->in, &stride);
  count_large(l->survey, o->weight, rows, stride, l->length);
}

static hb_status no_memory(hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to count the large inputs of a model");
}

/* Room for every matrix of a layer. */
static hb_status prepare(hb_survey *s, const hb_model *m, hb_error *error) {
  s->weight_count = m->weight_count;
  s->large = hb_allocate_zero(s->allocator, (uint64_t)s->weight_count * sizeof *s->large);
  s->cols = hb_allocate_zero(s->allocator, (uint64_t)s->weight_count * sizeof *s->cols);
  s->names = hb_allocate(s->allocator, (uint64_t)s->weight_count * sizeof *s->names);
  if (!s->large || !s->cols || !s->names) return no_memory(error);
  for (uint32_t i = 0; i < s->weight_count; i++) {
    const hb_weight *w = &m->weights[i];
    memcpy(s->names[i], w->name, sizeof s->names[i]);
    if (!w->present || !hb_weight_table[w->kind].per_layer || w->rows == 1) continue;
    s->cols[i] = (uint32_t)w->cols;
    s->large[i] = hb_allocate_zero(s->allocator, w->cols * sizeof(uint32_t));
    if (!s->large[i]) return no_memory(error);
  }
  return HB_OK;
}

static hb_status run(hb_survey *s, hb_walk *walk, const hb_walk_options *o, hb_error *error) {
  look_context context = {s, o->length};
  hb_tap tap = {&context, look};
  HB_TRY(prepare(s, hb_walk_model(walk), error));
  for (uint32_t layer = 0; layer < hb_walk_model(walk)->h.layers; layer++) {
    HB_TRY(hb_walk_load(walk, layer, error));
    HB_TRY(hb_walk_run(walk, hb_walk_end(walk), o->samples, true, &tap, error));
  }
  return HB_OK;
}

hb_status hb_survey_create(const hb_walk_options *options, float threshold, hb_survey *out,
                           hb_error *error) {
  hb_walk *walk;
  *out = (hb_survey){.allocator = options->allocator,
                     .threshold = threshold,
                     .tokens = (uint64_t)options->samples * options->length};
  HB_TRY(hb_walk_create(options, &walk, error));
  hb_status status = run(out, walk, options, error);
  hb_walk_destroy(walk);
  return status;
}

void hb_survey_destroy(hb_survey *s) {
  for (uint32_t i = 0; s->large && s->cols && i < s->weight_count; i++)
    hb_release(s->allocator, s->large[i], s->cols[i] * sizeof(uint32_t));
  hb_release(s->allocator, s->large, (uint64_t)s->weight_count * sizeof *s->large);
  hb_release(s->allocator, s->cols, (uint64_t)s->weight_count * sizeof *s->cols);
  hb_release(s->allocator, s->names, (uint64_t)s->weight_count * sizeof *s->names);
  *s = (hb_survey){0};
}

uint32_t hb_survey_outliers(const hb_survey *s, hb_string name, uint16_t *columns) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < s->weight_count; i++) {
    if (!s->large[i] || !hb_string_equal(hb_string_of(s->names[i]), name)) continue;
    for (uint32_t c = 0; c < s->cols[i]; c++) {
      if ((double)s->large[i][c] < HB_OUTLIER_SHARE * (double)s->tokens) continue;
      if (columns) columns[count] = (uint16_t)c;
      count++;
    }
  }
  return count;
}
