#include "compress/outliers.h"
#include "base/half.h"
#include "quant/private.h"

/* Bits of floats that are not negative rise with them. The largest are found by counting: first the
 * upper halves of the bits, then the lower halves of those that share the decisive upper half. */
enum { HALVES = 65536 };

typedef struct cut {
  uint32_t bits;  /* larger ones are all taken */
  uint64_t equal; /* and so many that equal it */
} cut;

/* Goes down the counts until `wanted` are reached; returns where, and how many are still wanted
 * there. */
static uint32_t find_half(const uint64_t *counts, uint64_t *wanted) {
  uint32_t half = HALVES - 1;
  while (half > 0 && counts[half] < *wanted) *wanted -= counts[half--];
  return half;
}

static cut find_cut(const float *scores, uint64_t count, uint64_t wanted, uint64_t *counts) {
  memset(counts, 0, HALVES * sizeof *counts);
  for (uint64_t i = 0; i < count; i++) counts[hb_bits_of_f32(scores[i]) >> 16]++;
  uint32_t upper = find_half(counts, &wanted);
  memset(counts, 0, HALVES * sizeof *counts);
  for (uint64_t i = 0; i < count; i++) {
    uint32_t bits = hb_bits_of_f32(scores[i]);
    if (bits >> 16 == upper) counts[bits & 0xffff]++;
  }
  uint32_t lower = find_half(counts, &wanted);
  return (cut){upper << 16 | lower, wanted};
}

/* Of equal scores the first ones are taken. */
static void list_outliers(const hb_matrix_job *job, const float *scores, cut c, hb_outliers *out) {
  uint32_t at = 0;
  for (uint32_t row = 0; row < job->rows; row++) {
    out->starts[row] = at;
    for (uint32_t column = 0; column < job->cols; column++) {
      uint32_t bits = hb_bits_of_f32(scores[(size_t)row * job->cols + column]);
      if (bits < c.bits || (bits == c.bits && c.equal == 0)) continue;
      if (bits == c.bits) c.equal--;
      out->columns[at++] = (uint16_t)column;
    }
  }
  out->starts[job->rows] = at;
}

hb_status hb_outliers_choose(const hb_matrix_job *job, const float *scores, hb_outliers *out,
                             hb_error *error) {
  uint64_t bytes = HALVES * sizeof(uint64_t);
  uint64_t *counts = hb_allocate(job->allocator, bytes);
  if (!counts) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to choose outliers");
  cut c = find_cut(scores, (uint64_t)job->rows * job->cols, out->count, counts);
  list_outliers(job, scores, c, out);
  hb_release(job->allocator, counts, bytes);
  return HB_OK;
}

hb_status hb_outliers_check(const hb_matrix_job *job, hb_error *error) {
  if (job->cols <= HB_OUTLIERS_MOST_COLUMNS) return HB_OK;
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "rows of %u values cannot have outliers",
                 (uint64_t)job->cols);
}

hb_status hb_outlier_count(uint32_t rows, uint32_t cols, double fraction, uint32_t *count,
                           hb_error *error) {
  if (!(fraction >= 0 && fraction <= 1))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the part of outliers is not between 0 and 1");
  double exact = fraction * ((double)rows * cols);
  if (exact >= 0x1p32)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a matrix cannot have 2^32 outliers");
  *count = (uint32_t)exact;
  return HB_OK;
}
