#include "compress/awq.h"
#include "compress/fold.h"
#include "kernel/kernel.h"

enum {
  RATIOS = 20,          /* scales that are tried: magnitude^(i / 20) */
  SEARCH_TOKENS = 2048, /* of the calibration text on which they are */
};

/* ---- The search ---- */

typedef struct search {
  hb_layer_work *l;
  uint32_t first, end; /* of the layer's products: those that read the input */
  uint32_t module_end; /* operation */
  uint32_t width;      /* of the input */
  uint32_t samples;    /* that are run */
  hb_operand out;      /* of the module */
  float *saved;        /* the products' weights, one after the other */
  uint8_t *blocks;
  uint64_t saved_bytes; /* of weights, and of blocks */
  float *expected;      /* [samples][length][out] */
  uint64_t expected_bytes;
  double loss;
  bool comparing;
} search;

/* What the module leaves: kept at first, later compared. */
static void look(void *context, const hb_walk *walk, uint32_t op) {
  search *s = context;
  if (op != s->module_end) return;
  size_t stride, width = s->out.width, length = s->l->job->options->calibration_length;
  const float *rows = hb_walk_rows(walk, s->out, &stride);
  float *expected = s->expected + hb_walk_sample(walk) * length * width;
  for (size_t row = 0; row < length; row++) {
    if (!s->comparing) {
      memcpy(expected + row * width, rows + row * stride, width * sizeof(float));
      continue;
    }
    for (size_t i = 0; i < width; i++) {
      double d = (double)rows[row * stride + i] - expected[row * width + i];
      s->loss += d * d;
    }
  }
}

static hb_status run(search *s, bool comparing, hb_error *error) {
  hb_tap tap = {s, look};
  s->comparing = comparing;
  s->loss = 0;
  return hb_walk_run(s->l->walk, s->module_end, s->samples, false, &tap, error);
}

static const hb_weight *weight_of(const search *s, uint32_t product) {
  return &hb_walk_model(s->l->walk)->weights[s->l->products[product].weight];
}

static float *values_of(const search *s, uint32_t product) {
  return hb_walk_values(s->l->walk, s->l->products[product].weight);
}

/* Quantizes what the search's products would be with these scales. */
static hb_status try_scales(search *s, const float *scales, hb_error *error) {
  const hb_method *method = s->l->job->method;
  hb_method plain;
  hb_status status = HB_OK;
  s->l->job->method = &plain;
  for (uint32_t i = s->first; i < s->end && status == HB_OK; i++) {
    const hb_weight *w = weight_of(s, i);
    hb_scale_columns(values_of(s, i), w->rows, s->width, scales, false);
    hb_job_begin(s->l->job, s->l->products[i].plan);
    plain = hb_method_plain(s->l->job->type);
    status = hb_job_blocks(s->l->job, (uint32_t)w->rows, values_of(s, i), s->blocks, NULL, NULL,
                           NULL, error);
    hb_scale_columns(values_of(s, i), w->rows, s->width, scales, true);
  }
  s->l->job->method = method;
  return status == HB_OK ? run(s, true, error) : status;
}

static void restore(const search *s) {
  const float *from = s->saved;
  for (uint32_t i = s->first; i < s->end; i++) {
    uint64_t count = weight_of(s, i)->rows * s->width;
    memcpy(values_of(s, i), from, (size_t)count * sizeof(float));
    from += count;
  }
}

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
static hb_status search_scales(search *s, const float *magnitude, float *scales, float *best,
                               hb_error *error) {
  double least = 0;
  HB_TRY(run(s, false, error));
  for (int i = 0; i < RATIOS; i++) {
    make_scales(magnitude, s->width, (double)i / RATIOS, scales);
    hb_status status = try_scales(s, scales, error);
    restore(s);
    HB_TRY(status);
    if (i > 0 && !(s->loss < least)) continue;
    least = s->loss;
    memcpy(best, scales, s->width * sizeof(float));
  }
  return HB_OK;
}

/* ---- One input ---- */

static hb_status allocate(search *s, hb_error *error) {
  const hb_quantize_options *o = s->l->job->options;
  s->saved_bytes = 0;
  for (uint32_t i = s->first; i < s->end; i++)
    s->saved_bytes += weight_of(s, i)->rows * s->width * sizeof(float);
  s->expected_bytes = (uint64_t)s->samples * o->calibration_length * s->out.width * sizeof(float);
  s->saved = hb_allocate(o->allocator, s->saved_bytes);
  s->blocks = hb_allocate(o->allocator, s->saved_bytes); /* no type takes more */
  s->expected = hb_allocate(o->allocator, s->expected_bytes);
  if (!s->saved || !s->blocks || !s->expected)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to search scales of layer %u",
                   (uint64_t)s->l->layer);
  float *to = s->saved;
  for (uint32_t i = s->first; i < s->end; i++) {
    uint64_t count = weight_of(s, i)->rows * s->width;
    memcpy(to, values_of(s, i), (size_t)count * sizeof(float));
    to += count;
  }
  return HB_OK;
}

static void release(search *s) {
  const hb_allocator *allocator = s->l->job->options->allocator;
  hb_release(allocator, s->saved, s->saved_bytes);
  hb_release(allocator, s->blocks, s->saved_bytes);
  hb_release(allocator, s->expected, s->expected_bytes);
}

/* The module ends with the next product that writes to the hidden state. */
static void find_module(search *s) {
  const hb_op *program = hb_walk_model(s->l->walk)->program;
  uint32_t op = s->l->products[s->first].op;
  while (program[op].kind != HB_OP_MATMUL || program[op].out.buffer != HB_BUFFER_HIDDEN) op++;
  s->module_end = op + 1;
  s->out = program[op].out;
}

static hb_status scale_input(hb_layer_work *l, uint32_t first, uint32_t end, const hb_fold *fold,
                             float *magnitude, float *vectors, hb_error *error) {
  const hb_quantize_options *o = l->job->options;
  const hb_op *op = &hb_walk_model(l->walk)->program[l->products[first].op];
  search s = {.l = l, .first = first, .end = end, .width = op->in.width};
  s.samples = (SEARCH_TOKENS + o->calibration_length - 1) / o->calibration_length;
  if (s.samples > o->calibration_samples) s.samples = o->calibration_samples;
  float *best = vectors + s.width;
  find_module(&s);
  hb_fold_share(fold, s.width, magnitude);
  hb_status status = allocate(&s, error);
  if (status == HB_OK) status = search_scales(&s, magnitude, vectors, best, error);
  if (status == HB_OK) {
    for (uint32_t i = first; i < end; i++)
      hb_scale_columns(values_of(&s, i), weight_of(&s, i)->rows, s.width, best, false);
    hb_fold_divide(fold, s.width, best);
  }
  release(&s);
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
