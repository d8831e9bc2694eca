#include "compress/fold.h"

static uint32_t row_of(const hb_fold *p, uint32_t c) {
  return p->first + c / (p->size * p->sharing) * p->size + c % p->size;
}

static float *values_named(const hb_walk *w, uint32_t layer, hb_weight_kind kind) {
  uint32_t found = hb_weight_find(hb_walk_model(w), kind, layer);
  return found == HB_NONE ? NULL : hb_walk_values(w, found);
}

static void from_norm(const hb_walk *w, const hb_op *op, uint32_t width, hb_fold *p) {
  *p = (hb_fold){.sharing = 1, .size = width};
  p->vectors[0] = hb_walk_values(w, op->weight);
  if (op->bias != HB_NONE) p->vectors[1] = hb_walk_values(w, op->bias);
  p->is_norm = true;
}

/* Heads of the attention's output are sums of rows that attn_v made, which several heads share. */
static void from_values(const hb_walk *w, uint32_t layer, hb_fold *p) {
  const hb_hyperparameters *h = &hb_walk_model(w)->h;
  *p = (hb_fold){.sharing = h->heads / h->kv_heads, .size = h->value_size};
  p->row_cols = h->width;
  p->rows = values_named(w, layer, HB_WEIGHT_V);
  p->vectors[0] = values_named(w, layer, HB_WEIGHT_V_BIAS);
  if (p->rows) return;
  p->rows = values_named(w, layer, HB_WEIGHT_QKV);
  p->vectors[0] = values_named(w, layer, HB_WEIGHT_QKV_BIAS);
  p->first = h->heads * h->head_size + h->kv_heads * h->head_size;
}

/* Only a factor of the activation is linear. */
static bool from_activation(const hb_walk *w, uint32_t layer, uint32_t width, hb_fold *p) {
  const hb_model *m = hb_walk_model(w);
  if (m->architecture->activation == HB_ACTIVATION_GELU) return false;
  *p = (hb_fold){.sharing = 1, .size = width, .row_cols = m->h.width};
  p->rows = values_named(w, layer, HB_WEIGHT_UP);
  p->vectors[0] = values_named(w, layer, HB_WEIGHT_UP_BIAS);
  if (p->rows) return true;
  p->rows = values_named(w, layer, HB_WEIGHT_GATE_UP);
  p->first = width;
  return p->rows != NULL;
}

bool hb_fold_find(const hb_layer_work *l, uint32_t op, hb_fold *p) {
  const hb_op *program = hb_walk_model(l->walk)->program;
  hb_operand in = program[op].in;
  for (uint32_t i = op; i-- > hb_walk_first(l->walk);) {
    if (program[i].out.buffer != in.buffer) continue;
    switch (program[i].kind) {
    case HB_OP_NORM: from_norm(l->walk, &program[i], in.width, p); return p->is_norm;
    case HB_OP_ATTEND: from_values(l->walk, l->layer, p); return true;
    case HB_OP_ACTIVATE: return from_activation(l->walk, l->layer, in.width, p);
    case HB_OP_SELECT: continue;
    default: return false;
    }
  }
  return false;
}

void hb_fold_share(const hb_fold *p, uint32_t width, float *magnitude) {
  uint32_t run = p->size * p->sharing;
  for (uint32_t start = 0; start < width; start += run)
    for (uint32_t i = 0; i < p->size; i++) {
      float sum = 0;
      for (uint32_t k = 0; k < p->sharing; k++) sum += magnitude[start + k * p->size + i];
      for (uint32_t k = 0; k < p->sharing; k++)
        magnitude[start + k * p->size + i] = sum / (float)p->sharing;
    }
}

void hb_fold_share_largest(const hb_fold *p, uint32_t width, float *magnitude) {
  uint32_t run = p->size * p->sharing;
  for (uint32_t start = 0; start < width; start += run)
    for (uint32_t i = 0; i < p->size; i++) {
      float most = 0;
      for (uint32_t k = 0; k < p->sharing; k++) {
        float m = magnitude[start + k * p->size + i];
        if (m > most) most = m;
      }
      for (uint32_t k = 0; k < p->sharing; k++) magnitude[start + k * p->size + i] = most;
    }
}

void hb_scale_columns(float *values, uint64_t rows, uint32_t cols, const float *scales,
                      bool divide) {
  for (uint64_t row = 0; row < rows; row++)
    for (uint32_t c = 0; c < cols; c++)
      values[row * cols + c] =
          divide ? values[row * cols + c] / scales[c] : values[row * cols + c] * scales[c];
}

static void divide_makers(const hb_fold *p, uint32_t width, const float *scales) {
  for (uint32_t c = 0; c < width; c++) {
    if (c / p->size % p->sharing != 0) continue; /* its row was divided before */
    uint32_t row = row_of(p, c);
    for (int i = 0; i < 2; i++)
      if (p->vectors[i]) p->vectors[i][row] /= scales[c];
    if (!p->rows) continue;
    float *values = p->rows + (uint64_t)row * p->row_cols;
    for (uint32_t j = 0; j < p->row_cols; j++) values[j] /= scales[c];
  }
}

void hb_fold_apply(hb_layer_work *l, uint32_t first, uint32_t end, const hb_fold *fold,
                   const float *scales) {
  const hb_model *m = hb_walk_model(l->walk);
  uint32_t width = m->program[l->products[first].op].in.width;
  for (uint32_t i = first; i < end; i++)
    hb_scale_columns(hb_walk_values(l->walk, l->products[i].weight),
                     m->weights[l->products[i].weight].rows, width, scales, false);
  divide_makers(fold, width, scales);
}
