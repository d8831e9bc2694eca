#include "kernel/isa.h"

#include "base/half.h"

enum { MANY = 8 }; /* rows of activations that share the reading of an entry */

/* The sums of a constant number of rows of activations, each in its own order. */
HB_INLINE void add_to_rows(const hb_sparse *o, uint32_t first, uint32_t end, const float *x,
                           size_t x_stride, size_t x_rows, float *out, size_t out_stride) {
  for (uint32_t n = first; n < end; n++) {
    float sum[MANY];
    for (size_t r = 0; r < x_rows; r++) sum[r] = out[r * out_stride + n];
    for (uint32_t i = o->start[n]; i < o->start[n + 1]; i++) {
      float value = hb_f32_of_f16(o->value[i]);
      for (size_t r = 0; r < x_rows; r++) sum[r] += value * x[r * x_stride + o->column[i]];
    }
    for (size_t r = 0; r < x_rows; r++) out[r * out_stride + n] = sum[r];
  }
}

void hb_add_outliers(const hb_sparse *o, uint32_t first, uint32_t end, const float *x,
                     size_t x_stride, size_t x_rows, float *out, size_t out_stride) {
  size_t r = 0;
  for (; r + MANY <= x_rows; r += MANY)
    add_to_rows(o, first, end, x + r * x_stride, x_stride, MANY, out + r * out_stride, out_stride);
  for (; r < x_rows; r++)
    add_to_rows(o, first, end, x + r * x_stride, x_stride, 1, out + r * out_stride, out_stride);
}
