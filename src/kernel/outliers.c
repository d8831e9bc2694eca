#include "kernel/kernel.h"

#include "base/half.h"

void hb_add_outliers(const hb_sparse *o, uint32_t first, uint32_t end, const float *x, float *out) {
  for (uint32_t n = first; n < end; n++) {
    float sum = out[n];
    for (uint32_t i = o->start[n]; i < o->start[n + 1]; i++)
      sum += hb_f32_of_f16(o->value[i]) * x[o->column[i]];
    out[n] = sum;
  }
}
