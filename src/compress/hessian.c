#include "compress/hessian.h"
#include "compress/dense.h"
#include "compress/divide.h"

#include <float.h>

/* ---- Order ---- */

static bool comes_first(const hb_hessian *h, uint32_t a, uint32_t b) {
  float x = h->importance[a], y = h->importance[b];
  return x > y || (x == y && a < b);
}

/* Merges the sorted runs from[0 .. half) and from[half .. count). */
static void merge(const hb_hessian *h, const uint32_t *from, uint32_t half, uint32_t count,
                  uint32_t *to) {
  uint32_t a = 0, b = half;
  for (uint32_t i = 0; i < count; i++) {
    bool left = b == count || (a < half && comes_first(h, from[a], from[b]));
    to[i] = from[left ? a++ : b++];
  }
}

static void reverse(uint32_t *x, uint32_t n) {
  for (uint32_t i = 0; i < n / 2; i++) {
    uint32_t swap = x[i];
    x[i] = x[n - 1 - i];
    x[n - 1 - i] = swap;
  }
}

static hb_status choose_order(hb_hessian *h, hb_error *error) {
  uint32_t n = h->n;
  for (uint32_t i = 0; i < n; i++) h->order[i] = i;
  if (h->columns == HB_COLUMNS_FALLING) {
    uint32_t *merged = hb_allocate(h->allocator, (uint64_t)n * sizeof *merged);
    if (!merged) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to sort columns");
    for (uint64_t width = 1; width < n; width *= 2) {
      for (uint64_t at = 0; at < n; at += 2 * width) {
        uint32_t count = (uint32_t)(n - at < 2 * width ? n - at : 2 * width);
        uint32_t half = width < count ? (uint32_t)width : count;
        merge(h, h->order + at, half, count, merged + at);
      }
      memcpy(h->order, merged, (size_t)n * sizeof *merged);
    }
    hb_release(h->allocator, merged, (uint64_t)n * sizeof *merged);
  }
  reverse(h->order, n);
  return HB_OK;
}

/* ---- Factor ---- */

typedef struct arrangement {
  const hb_hessian *hessian;
  const double *gram;
  double added; /* to the diagonal */
} arrangement;

/* The upper triangle of the damped H, in order. */
static void arrange_rows(void *context, uint32_t first, uint32_t end) {
  const arrangement *a = context;
  const hb_hessian *h = a->hessian;
  for (uint32_t i = first; i < end; i++) {
    const double *from = a->gram + (size_t)h->order[i] * h->n;
    double *to = h->factor + (size_t)i * h->n;
    for (uint32_t j = i; j < h->n; j++) to[j] = from[h->order[j]];
    to[i] += a->added;
  }
}

/* The mean of what is not 0 on the diagonal. */
static double mean_importance(const hb_hessian *h) {
  double sum = 0;
  uint32_t live = 0;
  for (uint32_t i = 0; i < h->n; i++) {
    sum += h->importance[i];
    live += h->importance[i] != 0;
  }
  return live ? sum / live : 0;
}

static hb_status find_factor(const hb_matrix_job *job, double damping, hb_hessian *h,
                             hb_error *error) {
  double mean = mean_importance(h);
  if (!(mean > 0 && mean <= DBL_MAX)) return HB_OK;
  for (int attempt = 0; attempt < 3; attempt++, damping *= 10) {
    arrangement a = {h, job->gram, damping * mean};
    uint32_t found = 0;
    hb_divide(job->parallel, h->n, arrange_rows, &a);
    HB_TRY(hb_cholesky(h->allocator, job->parallel, h->factor, h->n, &found, error));
    if (found < h->n) continue;
    h->damping = damping;
    return HB_OK;
  }
  return HB_OK;
}

/* ---- The whole ---- */

static uint64_t factor_bytes(const hb_hessian *h) {
  return (uint64_t)h->n * h->n * sizeof(double);
}

hb_status hb_hessian_create(const hb_matrix_job *job, hb_column_order columns, double damping,
                            hb_hessian *h, hb_error *error) {
  uint64_t n = job->cols;
  *h = (hb_hessian){.allocator = job->allocator, .n = job->cols, .columns = columns};
  h->order = hb_allocate(h->allocator, n * sizeof *h->order);
  h->importance = hb_allocate(h->allocator, n * sizeof *h->importance);
  h->factor = hb_allocate(h->allocator, factor_bytes(h));
  hb_status status;
  if (h->order && h->importance && h->factor) {
    for (size_t i = 0; i < n; i++) h->importance[i] = (float)job->gram[i * n + i];
    status = choose_order(h, error);
    if (status == HB_OK) status = find_factor(job, damping, h, error);
  } else {
    status =
        hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to factor a matrix of %u columns", n);
  }
  if (status != HB_OK) hb_hessian_release(h);
  return status;
}

void hb_hessian_forget(hb_hessian *h) {
  memset(h->factor, 0, (size_t)factor_bytes(h));
  for (size_t i = 0; i < h->n; i++) {
    h->factor[i * h->n + i] = 1;
    h->importance[i] = 1;
  }
}

void hb_hessian_release(hb_hessian *h) {
  hb_release(h->allocator, h->factor, factor_bytes(h));
  hb_release(h->allocator, h->importance, (uint64_t)h->n * sizeof *h->importance);
  hb_release(h->allocator, h->order, (uint64_t)h->n * sizeof *h->order);
}
