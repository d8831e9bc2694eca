/* Linear algebra in double with the same bits everywhere: each element of a result is one chain of
 * operations in a stated order, which neither threads, vectors nor blocks change.
 *
 * A matrix is [n][n], row after row. */
#ifndef HB_DENSE_H
#define HB_DENSE_H

#include "base/base.h"

/* Adds x^T x of `count` rows x[n] of floats, `stride` apart, to the upper triangle of gram: to
 * gram[i][j], i <= j, one row after the other, the product exact and the sum rounded. So the bits
 * do not depend on how rows are cut into calls. The lower triangle is left undefined. */
hb_status hb_gram_add(const hb_allocator *allocator, const hb_parallel *parallel, double *gram,
                      uint32_t n, const float *x, size_t stride, uint32_t count, hb_error *error);

/* Ends the adding of `count` rows, at least one: divides by it, and fills the lower triangle. */
void hb_gram_finish(const hb_parallel *parallel, double *gram, uint32_t n, uint64_t count);

/* Factors a = L L^T, reading the upper triangle of a. In the end a[i][j] is L[i][j] for j <= i, and
 * above the diagonal L[j][i], so that columns of L can be read as rows, too:
 *   L[i][j] = (a[i][j] - L[i][0] L[j][0] - ... - L[i][j-1] L[j][j-1]) / L[j][j]
 * from left to right, on the diagonal the square root of such a difference. *found is the number of
 * columns found: n, or fewer if a is not positive definite (or holds what is no number), which
 * shows in column *found; then a is left undefined. */
hb_status hb_cholesky(const hb_allocator *allocator, const hb_parallel *parallel, double *a,
                      uint32_t n, uint32_t *found, hb_error *error);

#endif
