#include "compress/smooth.h"
#include "compress/fold.h"
#include "compress/trial.h"
#include "kernel/kernel.h"

#define LEAST 1e-5 /* of a scale, and of what it is made of */

enum {
  USUAL = 5,    /* tenths: alpha of 0.5 */
  TOKENS = 1024 /* of the calibration text on which others are tried */
};

/* The largest magnitude in each column. */
static void raise_to_columns(const float *values, uint64_t rows, uint32_t cols, float *largest) {
  for (uint64_t row = 0; row < rows; row++)
    for (uint32_t c = 0; c < cols; c++) {
      float x = values[row * cols + c];
      if (x < 0) x = -x;
      if (x > largest[c]) largest[c] = x;
    }
}

static double power(float x, double exponent) {
  return hb_pow(x > LEAST ? x : LEAST, exponent);
}

static void make_scales(const float *inputs, const float *weights, uint32_t width, double alpha,
                        float *scales) {
  for (uint32_t c = 0; c < width; c++) {
    double s = power(inputs[c], alpha) / power(weights[c], 1 - alpha);
    scales[c] = (float)(s > LEAST ? s : LEAST);
  }
}

/* ---- The search ---- */

typedef struct smoothing {
  hb_layer_work *l;
  uint32_t first, end, width;
  const hb_fold *fold;
  uint32_t held_out;       /* samples on which scales are tried; the others tell them */
  float *inputs, *weights; /* [width] the largest magnitudes */
  float *largest;          /* [width] of the inputs with those that are held out */
  float *scales, *best;    /* [width] */
} smoothing;

enum { VECTORS = 5 };

static void look(void *context, const hb_walk *walk, uint32_t op) {
  const smoothing *s = context;
  if (op != s->l->products[s->first].op) return;
  size_t stride;
  const float *rows = hb_walk_rows(walk, hb_walk_model(walk)->program[op].in, &stride);
  for (uint32_t row = 0; row < s->l->job->options->calibration_length; row++, rows += stride) {
    raise_to_columns(rows, 1, s->width, s->largest);
    if (hb_walk_sample(walk) >= s->held_out) raise_to_columns(rows, 1, s->width, s->inputs);
  }
}

/* The largest inputs and weights. */
static hb_status measure(const smoothing *s, hb_error *error) {
  const hb_model *m = hb_walk_model(s->l->walk);
  hb_tap tap = {(void *)s, look};
  HB_TRY(hb_walk_run(s->l->walk, s->l->products[s->first].op + 1,
                     s->l->job->options->calibration_samples, false, &tap, error));
  for (uint32_t i = s->first; i < s->end; i++)
    raise_to_columns(hb_walk_values(s->l->walk, s->l->products[i].weight),
                     m->weights[s->l->products[i].weight].rows, s->width, s->weights);
  hb_fold_share_largest(s->fold, s->width, s->inputs);
  hb_fold_share_largest(s->fold, s->width, s->weights);
  return HB_OK;
}

/* How inputs and weights will be rounded. */
static hb_status try_scales(const smoothing *s, hb_trial *trial, double *loss, hb_error *error) {
  const hb_method *method = s->l->job->method;
  hb_method plain = {.assignment = HB_ASSIGN_ROUND};
  hb_rounding rounding = {.rounds = true, .how = method->activations};
  if (method->assignment == HB_ASSIGN_CHANNEL) plain.assignment = HB_ASSIGN_CHANNEL;
  if (rounding.how == HB_ACTIVATIONS_TENSOR)
    HB_TRY(hb_fixed_scale(s->l, s->first, s->end, s->largest, s->scales, NULL, &rounding.fixed,
                          error));
  return hb_trial_run(trial, &plain, s->scales, &rounding, loss, error);
}

/* Keeps the scales of alpha = tenths / 10 if they are better than *least. */
static hb_status improve(const smoothing *s, hb_trial *trial, int tenths, double *least,
                         bool *better, hb_error *error) {
  double loss;
  make_scales(s->inputs, s->weights, s->width, tenths / 10.0, s->scales);
  HB_TRY(try_scales(s, trial, &loss, error));
  *better = loss < *least;
  if (!*better) return HB_OK;
  *least = loss;
  memcpy(s->best, s->scales, s->width * sizeof(float));
  return HB_OK;
}

/* The best of no scales, those of the usual alpha, and others from there up as long as it gets
 * better, or else down: into s->best. */
static hb_status search(const smoothing *s, hb_trial *trial, hb_error *error) {
  double least;
  bool better, rises = false;
  for (uint32_t c = 0; c < s->width; c++) s->scales[c] = s->best[c] = 1;
  HB_TRY(try_scales(s, trial, &least, error));
  HB_TRY(improve(s, trial, USUAL, &least, &better, error));
  for (int tenths = USUAL + 1; tenths <= 10 && (better || tenths == USUAL + 1); tenths++) {
    HB_TRY(improve(s, trial, tenths, &least, &better, error));
    rises |= better;
  }
  for (int tenths = USUAL - 1; tenths > 0 && (better || tenths == USUAL - 1) && !rises; tenths--)
    HB_TRY(improve(s, trial, tenths, &least, &better, error));
  return HB_OK;
}

static hb_status choose_scales(const smoothing *s, double alpha, hb_error *error) {
  if (alpha > 0) {
    make_scales(s->inputs, s->weights, s->width, alpha, s->best);
    return HB_OK;
  }
  hb_trial trial;
  hb_status status = hb_trial_create(s->l, s->first, s->end, s->held_out, &trial, error);
  if (status == HB_OK) status = search(s, &trial, error);
  hb_trial_destroy(&trial);
  return status;
}

/* ---- A layer ---- */

static hb_status smooth_input(smoothing *s, double alpha, hb_error *error) {
  const hb_allocator *allocator = s->l->job->options->allocator;
  uint64_t bytes = VECTORS * (uint64_t)s->width * sizeof(float);
  float *vectors = hb_allocate_zero(allocator, bytes);
  if (!vectors) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to smooth inputs");
  s->inputs = vectors;
  s->weights = vectors + s->width;
  s->largest = vectors + 2 * s->width;
  s->scales = vectors + 3 * s->width;
  s->best = vectors + 4 * s->width;
  hb_status status = measure(s, error);
  if (status == HB_OK) status = choose_scales(s, alpha, error);
  if (status == HB_OK) hb_fold_apply(s->l, s->first, s->end, s->fold, s->best);
  hb_release(allocator, vectors, bytes);
  return status;
}

hb_status hb_smooth_layer(hb_layer_work *l, double alpha, hb_error *error) {
  uint32_t held_out = hb_trial_samples(l, TOKENS, true);
  if (alpha == 0 && held_out == 0) alpha = USUAL / 10.0;
  for (uint32_t first = 0, end; first < l->count; first = end) {
    uint32_t op = l->products[first].op;
    hb_fold fold;
    end = hb_layer_group_end(l, first);
    if (!hb_fold_find(l, op, &fold) || (alpha > 0 && !fold.is_norm)) continue;
    smoothing s = {.l = l, .first = first, .end = end, .fold = &fold};
    s.width = hb_walk_model(l->walk)->program[op].in.width;
    s.held_out = alpha > 0 ? 0 : held_out;
    HB_TRY(smooth_input(&s, alpha, error));
  }
  return HB_OK;
}
