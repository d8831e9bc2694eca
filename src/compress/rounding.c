#include "compress/rounding.h"
#include "compress/trial.h"
#include "kernel/kernel.h"

enum {
  BLOCK = 32,    /* inputs that share a scale, unless all of a row do */
  SCALES = 24,   /* fixed ones that are tried */
  TOKENS = 2048, /* of the calibration text on which they are */
  LANES = 8      /* of their sums */
};

static float magnitude(float x) {
  return x < 0 ? -x : x;
}

/* To the nearest integer, halves to the even one; limited to what an int8 holds. */
static float to_int8(float x) {
  x = x > 127 ? 127 : x < -127 ? -127 : x;
  return (x + 12582912.0f) - 12582912.0f;
}

/* ---- A row ---- */

static void round_run(const hb_rounding *r, float *x, const float *scales, uint32_t count) {
  float largest = 0, d = r->fixed;
  for (uint32_t i = 0; i < count; i++) {
    float y = magnitude(scales ? x[i] / scales[i] : x[i]);
    if (y > largest) largest = y;
  }
  float inverse = r->how == HB_ACTIVATIONS_TENSOR ? 1 / d : 127 / largest;
  if (largest < 0x1p-120f) inverse = 0;
  if (r->how != HB_ACTIVATIONS_TENSOR) d = largest / 127;
  for (uint32_t i = 0; i < count; i++) {
    float scale = scales ? scales[i] : 1;
    x[i] = to_int8(x[i] / scale * inverse) * d * scale;
  }
}

void hb_round_row(const hb_rounding *r, float *row, const float *scales, uint32_t width) {
  if (!r->rounds) return;
  uint32_t run = r->how == HB_ACTIVATIONS_BLOCK ? BLOCK : width;
  for (uint32_t at = 0; at < width; at += run)
    round_run(r, row + at, scales ? scales + at : NULL, width - at < run ? width - at : run);
}

/* ---- A fixed scale ---- */

typedef struct scale_search {
  const hb_layer_work *l;
  hb_operand input;
  uint32_t op;
  const float *scales;
  const uint8_t *skip;
  float *row;     /* [width] an input over the scales, 0 where it is skipped */
  float *columns; /* [width] squares of the weights' columns */
  float d[SCALES];
  double errors[SCALES];
} scale_search;

static double error_of(const scale_search *s, float d) {
  double sums[LANES] = {0};
  float inverse = 1 / d;
  uint32_t whole = s->input.width / LANES * LANES;
  for (uint32_t c = 0; c < whole; c += LANES)
    for (uint32_t i = 0; i < LANES; i++) {
      float x = s->row[c + i], e = x - to_int8(x * inverse) * d;
      sums[i] += (double)(s->columns[c + i] * e * e);
    }
  for (uint32_t c = whole; c < s->input.width; c++) {
    float e = s->row[c] - to_int8(s->row[c] * inverse) * d;
    sums[c - whole] += (double)(s->columns[c] * e * e);
  }
  double sum = 0;
  for (uint32_t i = 0; i < LANES; i++) sum += sums[i];
  return sum;
}

static void look(void *context, const hb_walk *walk, uint32_t op) {
  scale_search *s = context;
  size_t stride;
  if (op != s->op) return;
  const float *rows = hb_walk_rows(walk, s->input, &stride);
  for (uint32_t row = 0; row < s->l->job->options->calibration_length; row++, rows += stride) {
    for (uint32_t c = 0; c < s->input.width; c++) {
      float x = s->scales ? rows[c] / s->scales[c] : rows[c];
      s->row[c] = s->skip && s->skip[c] ? 0 : x;
    }
    for (int i = 0; i < SCALES; i++) s->errors[i] += error_of(s, s->d[i]);
  }
}

/* From the scale that no input exceeds to a sixteenth of it. */
static void list_scales(scale_search *s, const float *largest) {
  float most = 0;
  for (uint32_t c = 0; c < s->input.width; c++) {
    float x = s->scales ? largest[c] / s->scales[c] : largest[c];
    if (!(s->skip && s->skip[c]) && x > most) most = x;
  }
  for (int i = 0; i < SCALES; i++)
    s->d[i] =
        most >= 0x1p-90f ? (float)(most / 127 * hb_exp(-i * (2.772588722239781 / SCALES))) : 1;
}

static void weigh_columns(const hb_layer_work *l, uint32_t first, uint32_t end, scale_search *s) {
  const hb_model *m = hb_walk_model(l->walk);
  for (uint32_t i = first; i < end; i++) {
    const float *values = hb_walk_values(l->walk, l->products[i].weight);
    for (uint64_t row = 0; row < m->weights[l->products[i].weight].rows; row++)
      for (uint32_t c = 0; c < s->input.width; c++, values++) s->columns[c] += *values * *values;
  }
  for (uint32_t c = 0; c < s->input.width && s->scales; c++)
    s->columns[c] *= s->scales[c] * s->scales[c];
}

hb_status hb_fixed_scale(hb_layer_work *l, uint32_t first, uint32_t end, const float *largest,
                         const float *scales, const uint8_t *skip, float *out, hb_error *error) {
  const hb_allocator *allocator = l->job->options->allocator;
  scale_search s = {.l = l, .op = l->products[first].op, .scales = scales, .skip = skip};
  s.input = hb_walk_model(l->walk)->program[s.op].in;
  uint64_t bytes = 2 * (uint64_t)s.input.width * sizeof(float);
  s.columns = hb_allocate_zero(allocator, bytes);
  if (!s.columns) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to scale inputs");
  s.row = s.columns + s.input.width;
  weigh_columns(l, first, end, &s);
  list_scales(&s, largest);
  hb_tap tap = {&s, look};
  uint32_t samples = hb_trial_samples(l, TOKENS, true);
  hb_status status = hb_walk_run(l->walk, s.op + 1, samples > 0 ? samples : 1, false, &tap, error);
  int best = 0;
  for (int i = 1; i < SCALES && !l->job->method->by_largest; i++)
    if (s.errors[i] < s.errors[best]) best = i;
  *out = s.d[best];
  hb_release(allocator, s.columns, bytes);
  return status;
}
