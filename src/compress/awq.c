#include "compress/awq.h"
#include "kernel/kernel.h"

enum {
  RATIOS = 20,          /* scales that are tried: magnitude^(i / 20) */
  SEARCH_TOKENS = 2048, /* of the calibration text on which they are */
};

/* ---- Where an input comes from ---- */

/* Input c is what row or element `first + c % period` (after `spread`, see below) makes. */
typedef struct producer {
  float *vectors[2]; /* [first + c]: a norm's weight and bias, or a bias; NULL */
  float *rows;       /* [first + ..][row_cols] of a matrix, or NULL */
  uint32_t row_cols;
  uint32_t first;
  uint32_t sharing,
      size; /* `sharing` runs of `size` inputs come from the same rows; else 1 and all */
} producer;

static uint32_t producer_index(const producer *p, uint32_t c) {
  return p->first + c / (p->size * p->sharing) * p->size + c % p->size;
}

static float *values_named(const hb_walk *w, uint32_t layer, hb_weight_kind kind) {
  uint32_t found = hb_weight_find(hb_walk_model(w), kind, layer);
  return found == HB_NONE ? NULL : hb_walk_values(w, found);
}

static void from_norm(const hb_walk *w, const hb_op *op, uint32_t width, producer *p) {
  *p = (producer){.sharing = 1, .size = width};
  p->vectors[0] = hb_walk_values(w, op->weight);
  if (op->bias != HB_NONE) p->vectors[1] = hb_walk_values(w, op->bias);
}

/* Heads of the attention's output are sums of rows that attn_v made, which several heads share. */
static void from_values(const hb_walk *w, uint32_t layer, uint32_t width, producer *p) {
  const hb_hyperparameters *h = &hb_walk_model(w)->h;
  *p = (producer){.sharing = h->heads / h->kv_heads, .size = h->value_size};
  p->row_cols = h->width;
  p->rows = values_named(w, layer, HB_WEIGHT_V);
  p->vectors[0] = values_named(w, layer, HB_WEIGHT_V_BIAS);
  (void)width;
  if (p->rows) return;
  p->rows = values_named(w, layer, HB_WEIGHT_QKV);
  p->vectors[0] = values_named(w, layer, HB_WEIGHT_QKV_BIAS);
  p->first = h->heads * h->head_size + h->kv_heads * h->head_size;
}

/* Only a factor of the activation is linear. */
static bool from_activation(const hb_walk *w, uint32_t layer, uint32_t width, producer *p) {
  const hb_model *m = hb_walk_model(w);
  if (m->architecture->activation == HB_ACTIVATION_GELU) return false;
  *p = (producer){.sharing = 1, .size = width, .row_cols = m->h.width};
  p->rows = values_named(w, layer, HB_WEIGHT_UP);
  p->vectors[0] = values_named(w, layer, HB_WEIGHT_UP_BIAS);
  if (p->rows) return true;
  p->rows = values_named(w, layer, HB_WEIGHT_GATE_UP);
  p->first = width;
  return p->rows != NULL;
}

/* What makes the input of operation `op`; false if it cannot take a scale in. */
static bool find_producer(const hb_layer_work *l, uint32_t op, producer *p) {
  const hb_op *program = hb_walk_model(l->walk)->program;
  hb_operand in = program[op].in;
  for (uint32_t i = op; i-- > hb_walk_first(l->walk);) {
    if (program[i].out.buffer != in.buffer) continue;
    switch (program[i].kind) {
    case HB_OP_NORM: from_norm(l->walk, &program[i], in.width, p); return p->vectors[0] != NULL;
    case HB_OP_ATTEND: from_values(l->walk, l->layer, in.width, p); return true;
    case HB_OP_ACTIVATE: return from_activation(l->walk, l->layer, in.width, p);
    case HB_OP_SELECT: continue;
    default: return false;
    }
  }
  return false;
}

static void divide_producer(const producer *p, uint32_t width, const float *scales) {
  for (uint32_t c = 0; c < width; c++) {
    if (c / p->size % p->sharing != 0) continue; /* its row was divided before */
    uint32_t row = producer_index(p, c);
    for (int i = 0; i < 2; i++)
      if (p->vectors[i]) p->vectors[i][row] /= scales[c];
    if (!p->rows) continue;
    float *values = p->rows + (uint64_t)row * p->row_cols;
    for (uint32_t j = 0; j < p->row_cols; j++) values[j] /= scales[c];
  }
}

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

/* Columns times scales, or divided by them. */
static void scale_columns(float *values, uint64_t rows, uint32_t cols, const float *scales,
                          bool divide) {
  for (uint64_t row = 0; row < rows; row++)
    for (uint32_t c = 0; c < cols; c++)
      values[row * cols + c] =
          divide ? values[row * cols + c] / scales[c] : values[row * cols + c] * scales[c];
}

/* Quantizes what the search's products would be with these scales. */
static hb_status try_scales(search *s, const float *scales, hb_error *error) {
  static const hb_method plain = {.assignment = HB_ASSIGN_ROUND};
  const hb_method *method = s->l->job->method;
  hb_status status = HB_OK;
  s->l->job->method = &plain;
  for (uint32_t i = s->first; i < s->end && status == HB_OK; i++) {
    const hb_weight *w = weight_of(s, i);
    scale_columns(values_of(s, i), w->rows, s->width, scales, false);
    hb_job_begin(s->l->job, s->l->products[i].plan);
    status = hb_job_blocks(s->l->job, (uint32_t)w->rows, values_of(s, i), s->blocks, NULL, NULL,
                           NULL, error);
    scale_columns(values_of(s, i), w->rows, s->width, scales, true);
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

/* Inputs that come from the same rows get the same scale: that of their mean magnitude. */
static void share_magnitudes(const producer *p, uint32_t width, float *magnitude) {
  uint32_t run = p->size * p->sharing;
  for (uint32_t start = 0; start < width; start += run)
    for (uint32_t i = 0; i < p->size; i++) {
      float sum = 0;
      for (uint32_t k = 0; k < p->sharing; k++) sum += magnitude[start + k * p->size + i];
      for (uint32_t k = 0; k < p->sharing; k++)
        magnitude[start + k * p->size + i] = sum / (float)p->sharing;
    }
}

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

static hb_status scale_input(hb_layer_work *l, uint32_t first, uint32_t end, const producer *p,
                             float *magnitude, float *vectors, hb_error *error) {
  const hb_quantize_options *o = l->job->options;
  const hb_op *op = &hb_walk_model(l->walk)->program[l->products[first].op];
  search s = {.l = l, .first = first, .end = end, .width = op->in.width};
  s.samples = (SEARCH_TOKENS + o->calibration_length - 1) / o->calibration_length;
  if (s.samples > o->calibration_samples) s.samples = o->calibration_samples;
  float *best = vectors + s.width;
  find_module(&s);
  share_magnitudes(p, s.width, magnitude);
  hb_status status = allocate(&s, error);
  if (status == HB_OK) status = search_scales(&s, magnitude, vectors, best, error);
  if (status == HB_OK) {
    for (uint32_t i = first; i < end; i++)
      scale_columns(values_of(&s, i), weight_of(&s, i)->rows, s.width, best, false);
    divide_producer(p, s.width, best);
  }
  release(&s);
  return status;
}

hb_status hb_awq_layer(hb_layer_work *l, hb_error *error) {
  const hb_allocator *allocator = l->job->options->allocator;
  for (uint32_t first = 0, end; first < l->count; first = end) {
    uint32_t op = l->products[first].op;
    hb_operand in = hb_walk_model(l->walk)->program[op].in;
    producer p;
    end = hb_layer_group_end(l, first);
    if (!find_producer(l, op, &p)) continue;
    hb_statistics statistics;
    float *vectors = hb_allocate(allocator, 3 * (uint64_t)in.width * sizeof(float));
    hb_status status = hb_layer_gather(l, in, op, false, &statistics, NULL, error);
    if (status == HB_OK && !vectors)
      status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to search scales");
    if (status == HB_OK) {
      float *magnitude = vectors + 2 * in.width;
      for (uint32_t c = 0; c < in.width; c++) magnitude[c] = (float)statistics.magnitude[c];
      status = scale_input(l, first, end, &p, magnitude, vectors, error);
    }
    hb_release(allocator, vectors, 3 * (uint64_t)in.width * sizeof(float));
    hb_statistics_destroy(&statistics);
    HB_TRY(status);
  }
  return HB_OK;
}
