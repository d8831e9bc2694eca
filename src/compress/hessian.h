/* The mean x x^T of a matrix's inputs, made ready for rounding its columns one after the other. For
 * an error e in a row, e^T H e is the mean square error of that row's output. With H = L L^T it is
 * the sum over i of
 *
 *   (L[i][i] e[i] + sum over k > i of L[k][i] e[k])^2
 *
 * so once the columns k > i are rounded, the best that column i can do is to make its own term
 * small: to round w[i] + (sum over k > i of L[k][i] e[k]) / L[i][i]. GPTQ (arXiv:2210.17323) gets
 * the same numbers from the inverse of H; this form needs no inverse. */
#ifndef HB_HESSIAN_H
#define HB_HESSIAN_H

#include "compress/matrix.h"

typedef enum hb_column_order {
  HB_COLUMNS_FALLING, /* by falling mean square of the input ("act-order") */
  HB_COLUMNS_NATURAL
} hb_column_order;

typedef struct hb_hessian {
  const hb_allocator *allocator;
  uint32_t n;
  hb_column_order columns;
  uint32_t *order;   /* [n]: the column at each place. The last place is rounded first */
  double *factor;    /* [n][n] of the damped H in that order, as hb_cholesky leaves it */
  float *importance; /* [n]: the diagonal of H, by column; 0: no input was ever seen ("dead") */
  double damping;    /* part of the mean diagonal that was added to it; 0: there is no factor */
} hb_hessian;

/* Factors job->gram in an order. Damps with `damping`, ten times and a hundred times that until it
 * is positive definite; if it never is (few inputs, or some that are no numbers), or if no input
 * was seen, `damping` of the result is 0. */
hb_status hb_hessian_create(const hb_matrix_job *job, hb_column_order columns, double damping,
                            hb_hessian *out, hb_error *error);

/* Makes of one without a factor that of inputs that are all alike, so that errors are not
 * compensated. */
void hb_hessian_forget(hb_hessian *hessian);
void hb_hessian_release(hb_hessian *hessian);

#endif
