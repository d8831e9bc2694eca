#include "compress/awq.h"
#include "compress/fold.h"
#include "compress/trial.h"
#include "kernel/kernel.h"

enum {
  RATIOS = 20,  /* scales that are tried: magnitude^(i / 20) */
  TOKENS = 2048 /* of the calibration text on which they are */
};

/* scales = magnitude^ratio, over the geometric middle of its range. */
static void make_scales(const float *magnitude, uint32_t width, double ratio, float *scales) {
  float least = 0, most = 0;
  for (uint32_t c = 0; c < width; c++) {
    float s = ratio == 0 ? 1 : (float)hb_pow(magnitude[c] > 1e-30f ? magnitude[c] : 1e-30, ratio);
    if (s < 1e-4f) s = 1e-4f;
    scales[c] = s;
    if (c == 0 || s < least) least = s;
    if (c == 0 || s > most) most = s;
  }
  float middle = hb_sqrtf(least * most);
  for (uint32_t c = 0; c < width; c++) scales[c] /= middle;
}

/* The best of the ratios, into `best`. */
static hb_status search_scales(hb_trial *t, const float *magnitude, float *scales, float *best,
                               hb_error *error) {
  const hb_method plain = {.assignment = HB_ASSIGN_ROUND};
  const hb_rounding exact = {0};
  double least = 0;
  for (int i = 0; i < RATIOS; i++) {
    double loss;
    make_scales(magnitude, t->width, (double)i / RATIOS, scales);
    HB_TRY(hb_trial_run(t, &plain, scales, &exact, &loss, error));
    if (i > 0 && !(loss < least)) continue;
    least = loss;
    memcpy(best, scales, t->width * sizeof(float));
  }
  return HB_OK;
}

static hb_status scale_input(hb_layer_work *l, uint32_t first, uint32_t end, const hb_fold *fold,
                             float *magnitude, float *vectors, hb_error *error) {
  uint32_t width = hb_walk_model(l->walk)->program[l->products[first].op].in.width;
  float *best = vectors + width;
  hb_trial trial;
  hb_fold_share(fold, width, magnitude);
  hb_status status =
      hb_trial_create(l, first, end, hb_trial_samples(l, TOKENS, false), &trial, error);
  if (status == HB_OK) status = search_scales(&trial, magnitude, vectors, best, error);
  if (status == HB_OK) hb_fold_apply(l, first, end, fold, best);
  hb_trial_destroy(&trial);
  return status;
}

hb_status hb_awq_layer(hb_layer_work *l, hb_error *error) {
  const hb_allocator *allocator = l->job->options->allocator;
  for (uint32_t first = 0, end; first < l->count; first = end) {
    uint32_t op = l->products[first].op;
    hb_operand in = hb_walk_model(l->walk)->program[op].in;
    hb_fold fold;
    end = hb_layer_group_end(l, first);
    if (!hb_fold_find(l, op, &fold)) continue;
    hb_statistics statistics;
    float *vectors = hb_allocate(allocator, 3 * (uint64_t)in.width * sizeof(float));
    hb_status status = hb_layer_gather(l, in, op, false, &statistics, NULL, error);
    if (status == HB_OK && !vectors)
      status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to search scales");
    if (status == HB_OK) {
      float *magnitude = vectors + 2 * in.width;
      for (uint32_t c = 0; c < in.width; c++) magnitude[c] = (float)statistics.magnitude[c];
      status = scale_input(l, first, end, &fold, magnitude, vectors, error);
    }
    hb_release(allocator, vectors, 3 * (uint64_t)in.width * sizeof(float));
    hb_statistics_destroy(&statistics);
    HB_TRY(status);
  }
  return HB_OK;
}
