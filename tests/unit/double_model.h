/* A second implementation of models, for the tests of training: plain loops in double, for the
 * architectures that can be trained. */
#ifndef HB_TEST_DOUBLE_MODEL_H
#define HB_TEST_DOUBLE_MODEL_H

#include "support.h"

#include "train/net.h"

#include <math.h>

enum { DOUBLE_MOST_ROWS = 32, DOUBLE_MOST_WIDTH = 512 };

typedef struct double_model {
  const hb_net *net;
  double *values; /* as net->values */
} double_model;

static inline double_model double_model_of(const hb_net *net) {
  double_model d = {net, malloc(net->count * sizeof(double))};
  assert_non_null(d.values);
  for (uint64_t i = 0; i < net->count; i++) d.values[i] = net->values[i];
  return d;
}

static inline const double *double_weight(const double_model *d, hb_weight_kind kind,
                                          uint32_t layer) {
  uint32_t weight = hb_weight_find(d->net->model, kind, layer);
  return weight == HB_NONE ? NULL : d->values + d->net->start[weight];
}

static inline void double_norm(const double_model *d, const double *weight, const double *bias,
                               size_t n, bool rms, const double *x, double *out) {
  double mean = 0, squares = 0;
  for (size_t i = 0; i < n && !rms; i++) mean += x[i] / (double)n;
  for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
  double factor = 1 / sqrt(squares / (double)n + (double)d->net->model->h.norm_eps);
  for (size_t i = 0; i < n; i++) out[i] = (x[i] - mean) * factor * weight[i] + (bias ? bias[i] : 0);
}

static inline void double_product(const double *w, const double *bias, size_t rows, size_t cols,
                                  const double *x, double *out) {
  for (size_t r = 0; r < rows; r++) {
    out[r] = bias ? bias[r] : 0;
    for (size_t c = 0; c < cols; c++) out[r] += w[r * cols + c] * x[c];
  }
}

static inline void double_rope(const hb_model *m, double *heads, size_t count, uint32_t position) {
  uint32_t pairs = m->h.rope_dims / 2;
  bool adjacent = m->architecture->rope == HB_ROPE_ADJACENT;
  for (size_t head = 0; head < count; head++)
    for (uint32_t i = 0; i < pairs; i++) {
      double angle = position * pow(m->h.rope_base, -2.0 * i / m->h.rope_dims);
      double *a = heads + head * m->h.head_size + (adjacent ? 2 * i : i);
      double *b = a + (adjacent ? 1 : pairs), was = *a;
      *a = was * cos(angle) - *b * sin(angle);
      *b = was * sin(angle) + *b * cos(angle);
    }
}

/* q, k and v side by side, of a row that stands at `position` of its document. */
static inline void double_qkv(const double_model *d, uint32_t layer, const double *x,
                              uint32_t position, double *out) {
  const hb_hyperparameters *h = &d->net->model->h;
  size_t q = h->heads * h->head_size, k = h->kv_heads * h->head_size, width = h->width;
  const double *fused = double_weight(d, HB_WEIGHT_QKV, layer);
  if (fused) {
    double_product(fused, double_weight(d, HB_WEIGHT_QKV_BIAS, layer), q + 2 * k, width, x, out);
  } else {
    double_product(double_weight(d, HB_WEIGHT_Q, layer), double_weight(d, HB_WEIGHT_Q_BIAS, layer),
                   q, width, x, out);
    double_product(double_weight(d, HB_WEIGHT_K, layer), double_weight(d, HB_WEIGHT_K_BIAS, layer),
                   k, width, x, out + q);
    double_product(double_weight(d, HB_WEIGHT_V, layer), double_weight(d, HB_WEIGHT_V_BIAS, layer),
                   k, width, x, out + q + k);
  }
  for (size_t i = 0; i < q + k; i += h->head_size) {
    hb_weight_kind kind = i < q ? HB_WEIGHT_Q_NORM : HB_WEIGHT_K_NORM;
    const double *weight = double_weight(d, kind, layer);
    if (weight) double_norm(d, weight, NULL, h->head_size, true, out + i, out + i);
  }
  double_rope(d->net->model, out, h->heads + h->kv_heads, position);
}

static inline void double_attend(const double_model *d, const double *qkv, size_t stride,
                                 uint32_t row, uint32_t first, double *out) {
  const hb_hyperparameters *h = &d->net->model->h;
  size_t size = h->head_size, q = h->heads * size, k = h->kv_heads * size;
  for (size_t head = 0; head < h->heads; head++) {
    size_t kv = head / (h->heads / h->kv_heads);
    double weight[DOUBLE_MOST_ROWS], sum = 0;
    for (uint32_t i = first; i <= row; i++) {
      double score = 0;
      for (size_t c = 0; c < size; c++)
        score += qkv[row * stride + head * size + c] * qkv[i * stride + q + kv * size + c];
      weight[i] = exp(score / sqrt((double)size));
      sum += weight[i];
    }
    for (size_t c = 0; c < size; c++) {
      out[head * size + c] = 0;
      for (uint32_t i = first; i <= row; i++)
        out[head * size + c] += weight[i] / sum * qkv[i * stride + q + k + kv * size + c];
    }
  }
}

static inline double double_gelu(double x) {
  return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static inline void double_feed_forward(const double_model *d, uint32_t layer, const double *x,
                                       double *out) {
  const hb_hyperparameters *h = &d->net->model->h;
  double gate[DOUBLE_MOST_WIDTH], up[DOUBLE_MOST_WIDTH];
  const double *gates = double_weight(d, HB_WEIGHT_GATE, layer);
  double_product(double_weight(d, HB_WEIGHT_UP, layer), double_weight(d, HB_WEIGHT_UP_BIAS, layer),
                 h->feed_forward, h->width, x, up);
  if (gates) double_product(gates, NULL, h->feed_forward, h->width, x, gate);
  for (size_t i = 0; i < h->feed_forward; i++)
    up[i] = gates ? gate[i] / (1 + exp(-gate[i])) * up[i] : double_gelu(up[i]);
  double_product(double_weight(d, HB_WEIGHT_DOWN, layer),
                 double_weight(d, HB_WEIGHT_DOWN_BIAS, layer), h->width, h->feed_forward, up, out);
}

static inline void double_layer(const double_model *d, uint32_t layer, const uint32_t *first,
                                uint32_t rows, double (*stream)[DOUBLE_MOST_WIDTH]) {
  static double qkv[DOUBLE_MOST_ROWS][DOUBLE_MOST_WIDTH];
  const hb_model *m = d->net->model;
  bool rms = m->architecture->norm == HB_NORM_RMS;
  double x[DOUBLE_MOST_WIDTH], part[DOUBLE_MOST_WIDTH];
  for (uint32_t row = 0; row < rows; row++) {
    double_norm(d, double_weight(d, HB_WEIGHT_ATTN_NORM, layer),
                double_weight(d, HB_WEIGHT_ATTN_NORM_BIAS, layer), m->h.width, rms, stream[row], x);
    double_qkv(d, layer, x, row - first[row], qkv[row]);
  }
  for (uint32_t row = 0; row < rows; row++) {
    double_attend(d, qkv[0], DOUBLE_MOST_WIDTH, row, first[row], x);
    double_product(double_weight(d, HB_WEIGHT_ATTN_OUTPUT, layer),
                   double_weight(d, HB_WEIGHT_ATTN_OUTPUT_BIAS, layer), m->h.width,
                   m->h.heads * m->h.value_size, x, part);
    for (uint32_t i = 0; i < m->h.width; i++) stream[row][i] += part[i];
    double_norm(d, double_weight(d, HB_WEIGHT_FFN_NORM, layer),
                double_weight(d, HB_WEIGHT_FFN_NORM_BIAS, layer), m->h.width, rms, stream[row], x);
    double_feed_forward(d, layer, x, part);
    for (uint32_t i = 0; i < m->h.width; i++) stream[row][i] += part[i];
  }
}

/* -log of the probability of a target, given the row's residual stream. */
static inline double double_entropy(const double_model *d, const double *stream, int32_t target) {
  const hb_model *m = d->net->model;
  double x[DOUBLE_MOST_WIDTH], logit[DOUBLE_MOST_WIDTH], sum = 0;
  const double *output = double_weight(d, HB_WEIGHT_OUTPUT, 0);
  assert_true(m->h.vocabulary <= DOUBLE_MOST_WIDTH);
  double_norm(d, double_weight(d, HB_WEIGHT_OUTPUT_NORM, 0),
              double_weight(d, HB_WEIGHT_OUTPUT_NORM_BIAS, 0), m->h.width,
              m->architecture->norm == HB_NORM_RMS, stream, x);
  double_product(output ? output : double_weight(d, HB_WEIGHT_TOKEN_EMBD, 0), NULL, m->h.vocabulary,
                 m->h.width, x, logit);
  for (uint32_t i = 0; i < m->h.vocabulary; i++) sum += exp(logit[i]);
  return log(sum) - logit[target];
}

/* The sum over the targets of one sequence. */
static inline double double_loss(const double_model *d, const hb_token *tokens,
                                 const int32_t *targets, const uint32_t *first, uint32_t rows) {
  static double stream[DOUBLE_MOST_ROWS][DOUBLE_MOST_WIDTH];
  const hb_model *m = d->net->model;
  const double *positions = double_weight(d, HB_WEIGHT_POSITION_EMBD, 0);
  double loss = 0;
  for (uint32_t row = 0; row < rows; row++)
    for (uint32_t i = 0; i < m->h.width; i++) {
      stream[row][i] =
          double_weight(d, HB_WEIGHT_TOKEN_EMBD, 0)[(size_t)tokens[row] * m->h.width + i];
      if (positions) stream[row][i] += positions[(row - first[row]) * m->h.width + i];
    }
  for (uint32_t layer = 0; layer < m->h.layers; layer++)
    double_layer(d, layer, first, rows, stream);
  for (uint32_t row = 0; row < rows; row++)
    if (targets[row] >= 0) loss += double_entropy(d, stream[row], targets[row]);
  return loss;
}

#endif
