/* Rotary positions (Su et al., arXiv 2104.09864), their linear scaling and YaRN (Peng et al., arXiv
 * 2309.00071). All in double precision, so that position 131071 is as exact as position 0. */
#include "model/model.h"

#define TWO_PI 6.283185307179586476925

/* The pair whose wavelength fits `rotations` times into the original context. */
static double yarn_pair(const hb_hyperparameters *h, double base, double rotations) {
  return h->rope_dims * hb_log(h->original_context_length / (rotations * TWO_PI)) /
         (2 * hb_log(base));
}

static double floor_at_least_zero(double x) {
  return x < 0 ? 0 : (double)(uint32_t)x;
}

/* How much of pair i's angle is interpolated: 1 for slow pairs, 0 for fast ones. */
static double yarn_share(const hb_hyperparameters *h, double base, uint32_t i) {
  double last = h->rope_dims - 1;
  double low = floor_at_least_zero(yarn_pair(h, base, h->yarn_beta_fast));
  double end = yarn_pair(h, base, h->yarn_beta_slow);
  double high = floor_at_least_zero(end);
  if (high < end) high += 1; /* ceiling */
  if (high > last) high = last;
  double width = high - low < 0.001 ? 0.001 : high - low;
  double ramp = (i - low) / width;
  return ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
}

/* `divisors`: a factor by which each pair turns slower, or NULL. */
static hb_status make_table(hb_model *m, hb_rope_table *table, double base, hb_rope_scaling scaling,
                            const float *divisors, hb_error *error) {
  const hb_hyperparameters *h = &m->h;
  uint32_t pairs = h->rope_dims / 2;
  table->frequency = hb_allocate(m->allocator, (uint64_t)pairs * sizeof(double));
  if (!table->frequency)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the table of rotations");
  for (uint32_t i = 0; i < pairs; i++) {
    double f = hb_pow(base, -2.0 * i / h->rope_dims);
    if (divisors) f /= divisors[i];
    if (scaling == HB_SCALING_LINEAR) f /= h->rope_factor;
    if (scaling == HB_SCALING_YARN) {
      double share = yarn_share(h, base, i);
      f = f / h->rope_factor * share + f * (1 - share);
    }
    if (!(f >= -TWO_PI && f <= TWO_PI))
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the rotation of pair %u is out of range",
                     (uint64_t)i);
    table->frequency[i] = f;
  }
  table->magnitude = h->rope_attention_factor;
  if (scaling == HB_SCALING_YARN && h->rope_factor > 1)
    table->magnitude *= 1 + 0.1 * hb_log(h->rope_factor);
  return HB_OK;
}

static const float *divisors_of(const hb_model *m, hb_weight_kind kind) {
  uint32_t index = hb_weight_find(m, kind, 0);
  return index == HB_NONE ? NULL : m->weights[index].vector;
}

hb_status hb_rope_prepare(hb_model *m, hb_error *error) {
  const hb_hyperparameters *h = &m->h;
  if (h->rope_dims == 0) return HB_OK;
  const float *divisors = divisors_of(m, HB_WEIGHT_ROPE_FREQS);
  if (!divisors) divisors = divisors_of(m, HB_WEIGHT_ROPE_SHORT);
  const float *far = divisors_of(m, HB_WEIGHT_ROPE_LONG);
  HB_TRY(make_table(m, &m->rope[HB_ROPE_GLOBAL], h->rope_base, h->rope_scaling, divisors, error));
  if (h->window > 0)
    HB_TRY(
        make_table(m, &m->rope[HB_ROPE_WINDOW], h->window_rope_base, HB_SCALING_NONE, NULL, error));
  if (far) HB_TRY(make_table(m, &m->rope[HB_ROPE_LONG], h->rope_base, h->rope_scaling, far, error));
  return HB_OK;
}

uint32_t hb_rope_table_of(const hb_model *m, uint32_t layer, uint32_t context_length) {
  if (!hb_layer_is_global(m->architecture, &m->h, layer)) return HB_ROPE_WINDOW;
  bool far = m->rope[HB_ROPE_LONG].frequency && context_length > m->h.original_context_length;
  return far ? HB_ROPE_LONG : HB_ROPE_GLOBAL;
}

void hb_rope_angles(const hb_model *m, const hb_rope_table *table, uint32_t position, float *cosine,
                    float *sine) {
  for (uint32_t i = 0; i < m->h.rope_dims / 2; i++) {
    double s, c;
    hb_sincos(position * table->frequency[i], &s, &c);
    cosine[i] = (float)(c * table->magnitude);
    sine[i] = (float)(s * table->magnitude);
  }
}
