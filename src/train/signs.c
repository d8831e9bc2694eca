#include "train/signs.h"

#include <float.h>

/* ---- A step ---- */

typedef struct descent {
  hb_quantizer *q;
  const float *gradient;
  float rate;
} descent;

static float sign_of(float x) {
  return (float)((x > 0) - (x < 0));
}

static void descend_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const descent *d = context;
  (void)thread;
  hb_quantizer *q = d->q;
  uint64_t step = q->coder->step, grids = q->cols / step;
  for (uint64_t g = first * grids; g < end * grids; g++) {
    float by = d->rate * hb_quantizer_step(q, q->grids[g]);
    for (uint64_t i = g * step; i < (g + 1) * step; i++)
      q->weights[i] -= by * sign_of(d->gradient[i]);
  }
}

void hb_quantizer_descend(hb_quantizer *q, const hb_team *team, const float *gradient, float rate,
                          float scale_rate) {
  descent d = {q, gradient, rate};
  hb_team_divide(team, q->rows, 1, descend_rows, &d);
  for (uint64_t i = 0; i < q->parameter_count; i++)
    q->parameters[i] -= scale_rate * sign_of(q->parameter_gradients[i]);
}

/* ---- The best ---- */

enum { HEADER_BYTES = 64 };

hb_status hb_best_begin(hb_best *best, const hb_allocator *allocator,
                        const hb_parameter *parameters, uint32_t count, hb_error *error) {
  const double none = DBL_MAX;
  *best = (hb_best){.allocator = allocator, .parameters = parameters, .count = count};
  best->bytes = HEADER_BYTES;
  for (uint32_t i = 0; i < count; i++) best->bytes += parameters[i].count * sizeof(float);
  best->state = hb_allocate_zero(allocator, best->bytes);
  if (!best->state)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of a layer's best",
                   best->bytes);
  memcpy(best->state, &none, sizeof none);
  return HB_OK;
}

void hb_best_end(hb_best *best) {
  hb_release(best->allocator, best->state, best->bytes);
  *best = (hb_best){0};
}

void hb_best_offer(hb_best *best, double loss) {
  double least;
  memcpy(&least, best->state, sizeof least);
  if (!(loss < least)) return;
  memcpy(best->state, &loss, sizeof loss);
  uint8_t *at = best->state + HEADER_BYTES;
  for (uint32_t i = 0; i < best->count; i++) {
    size_t bytes = (size_t)best->parameters[i].count * sizeof(float);
    memcpy(at, best->parameters[i].value, bytes);
    at += bytes;
  }
}

void hb_best_put_back(const hb_best *best) {
  const uint8_t *at = best->state + HEADER_BYTES;
  for (uint32_t i = 0; i < best->count; i++) {
    size_t bytes = (size_t)best->parameters[i].count * sizeof(float);
    memcpy(best->parameters[i].value, at, bytes);
    at += bytes;
  }
}
