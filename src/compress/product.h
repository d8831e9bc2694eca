/* Products of matrices that are not square or not symmetric, in double, with the same bits
 * everywhere: like dense.h, and made of its tiles.
 *
 * Rows of results are `hb_product_stride(columns)` doubles apart, of which the last ones are
 * padding that begins as 0 and stays 0. */
#ifndef HB_PRODUCT_H
#define HB_PRODUCT_H

#include "base/base.h"

/* The doubles of a row of `columns`: whole tiles. */
uint32_t hb_product_stride(uint32_t columns);

/* Adds sum over k of (x[k] - y[k])^T y[k] to out[n][stride]: row after row, the difference and each
 * product exact or rounded once. x and y are `count` rows of n floats, x_stride and y_stride apart.
 * n is a multiple of 8. */
hb_status hb_product_add_drift(const hb_allocator *allocator, const hb_parallel *parallel,
                               double *out, uint32_t n, const float *x, size_t x_stride,
                               const float *y, size_t y_stride, uint32_t count, hb_error *error);

/* Replaces each row b of rows[n][stride] by the x with a x = b, where `factor` [n][n] is a as
 * hb_cholesky leaves it. n is a multiple of 8. */
hb_status hb_product_solve(const hb_allocator *allocator, const hb_parallel *parallel,
                           const double *factor, uint32_t n, double *rows, hb_error *error);

/* Adds w times m to w, rounded once for each value: w[rows][n] floats, m[n][stride]. */
hb_status hb_product_move(const hb_allocator *allocator, const hb_parallel *parallel,
                          const double *m, uint32_t n, float *w, uint32_t rows, hb_error *error);

#endif
