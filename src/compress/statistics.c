#include "compress/statistics.h"
#include "compress/dense.h"
#include "compress/divide.h"

hb_status hb_statistics_create(const hb_allocator *allocator, uint32_t cols, bool with_gram,
                               hb_statistics *out, hb_error *error) {
  uint64_t gram_bytes = (uint64_t)cols * cols * sizeof(double);
  *out = (hb_statistics){.allocator = allocator, .cols = cols};
  out->squares = hb_allocate_zero(allocator, cols * sizeof(double));
  out->magnitude = hb_allocate_zero(allocator, cols * sizeof(double));
  out->largest = hb_allocate_zero(allocator, cols * sizeof(float));
  if (with_gram) out->gram = hb_allocate_zero(allocator, gram_bytes);
  if (out->squares && out->magnitude && out->largest && (out->gram || !with_gram)) return HB_OK;
  hb_statistics_destroy(out);
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for statistics of %u inputs",
                 (uint64_t)cols);
}

void hb_statistics_destroy(hb_statistics *s) {
  hb_release(s->allocator, s->squares, s->cols * sizeof(double));
  hb_release(s->allocator, s->magnitude, s->cols * sizeof(double));
  hb_release(s->allocator, s->largest, s->cols * sizeof(float));
  hb_release(s->allocator, s->gram, (uint64_t)s->cols * s->cols * sizeof(double));
  *s = (hb_statistics){0};
}

typedef struct addition {
  hb_statistics *statistics;
  const float *x;
  size_t stride;
  uint32_t rows;
} addition;

static void add_columns(void *context, uint32_t first, uint32_t end) {
  const addition *a = context;
  hb_statistics *s = a->statistics;
  for (uint32_t row = 0; row < a->rows; row++) {
    const float *x = a->x + row * a->stride;
    for (uint32_t c = first; c < end; c++) {
      float magnitude = x[c] < 0 ? -x[c] : x[c];
      s->squares[c] += (double)x[c] * x[c];
      s->magnitude[c] += magnitude;
      s->largest[c] = magnitude > s->largest[c] ? magnitude : s->largest[c];
    }
  }
}

hb_status hb_statistics_add(hb_statistics *s, const float *x, size_t stride, uint32_t rows,
                            const hb_parallel *parallel, hb_error *error) {
  addition a = {s, x, stride, rows};
  hb_divide(parallel, s->cols, add_columns, &a);
  s->rows += rows;
  if (!s->gram) return HB_OK;
  return hb_gram_add(s->allocator, parallel, s->gram, s->cols, x, stride, rows, error);
}

void hb_statistics_finish(hb_statistics *s, const hb_parallel *parallel, float *importance) {
  for (uint32_t i = 0; i < s->cols; i++) {
    s->squares[i] /= (double)s->rows;
    s->magnitude[i] /= (double)s->rows;
    if (importance) importance[i] = (float)s->squares[i];
  }
  if (s->gram) hb_gram_finish(parallel, s->gram, s->cols, s->rows);
}
