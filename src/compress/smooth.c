#include "compress/smooth.h"
#include "compress/fold.h"
#include "kernel/kernel.h"

#define LEAST 1e-5 /* of a scale, and of what it is made of */

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

/* scales: [width], at first the largest weights. */
static void make_scales(const float *largest, uint32_t width, double alpha, float *scales) {
  for (uint32_t c = 0; c < width; c++) {
    double s = power(largest[c], alpha) / power(scales[c], 1 - alpha);
    scales[c] = (float)(s > LEAST ? s : LEAST);
  }
}

static hb_status smooth_input(hb_layer_work *l, uint32_t first, uint32_t end, const hb_fold *fold,
                              double alpha, float *scales, hb_error *error) {
  const hb_model *m = hb_walk_model(l->walk);
  const hb_op *op = &m->program[l->products[first].op];
  uint32_t width = op->in.width;
  hb_statistics statistics;
  hb_status status =
      hb_layer_gather(l, op->in, l->products[first].op, false, &statistics, NULL, error);
  if (status == HB_OK) {
    for (uint32_t i = first; i < end; i++)
      raise_to_columns(hb_walk_values(l->walk, l->products[i].weight),
                       m->weights[l->products[i].weight].rows, width, scales);
    make_scales(statistics.largest, width, alpha, scales);
    for (uint32_t i = first; i < end; i++)
      hb_scale_columns(hb_walk_values(l->walk, l->products[i].weight),
                       m->weights[l->products[i].weight].rows, width, scales, false);
    hb_fold_divide(fold, width, scales);
  }
  hb_statistics_destroy(&statistics);
  return status;
}

hb_status hb_smooth_layer(hb_layer_work *l, double alpha, hb_error *error) {
  const hb_allocator *allocator = l->job->options->allocator;
  for (uint32_t first = 0, end; first < l->count; first = end) {
    uint32_t op = l->products[first].op;
    uint64_t bytes = hb_walk_model(l->walk)->program[op].in.width * sizeof(float);
    hb_fold fold;
    end = hb_layer_group_end(l, first);
    if (!hb_fold_find(l, op, &fold) || !fold.is_norm) continue;
    float *scales = hb_allocate_zero(allocator, bytes);
    if (!scales) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to smooth inputs");
    hb_status status = smooth_input(l, first, end, &fold, alpha, scales, error);
    hb_release(allocator, scales, bytes);
    HB_TRY(status);
  }
  return HB_OK;
}
