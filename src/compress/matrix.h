/* One matrix being quantized: what each method is given and what it leaves. */
#ifndef HB_COMPRESS_MATRIX_H
#define HB_COMPRESS_MATRIX_H

#include "compress/coder.h"

/* What is known of a matrix and its inputs x. Each part may be missing: NULL or 0. */
typedef struct hb_inputs {
  const float *importance;  /* [cols] mean square of each */
  const float *sensitivity; /* [rows][cols] what the square of a weight's error costs */
  const double *gram;       /* [cols][cols] mean of x x^T */
  const double *drift;      /* what to add to weights: themselves times this (drift.h) */
  double damping;           /* of the gram, part of its mean diagonal; 0: the method's own */
} hb_inputs;

typedef struct hb_matrix_job {
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  const hb_coder *coder;    /* of the type that it becomes */
  uint32_t rows, cols;      /* cols is a multiple of the coder's values */
  float *weights;           /* [rows][cols]; in the end the values that `blocks` stand for */
  uint8_t *blocks;          /* [rows][cols / values][block_bytes]: the result */
  const float *importance;  /* [cols] mean square of each input, or NULL: all alike */
  const float *sensitivity; /* [rows][cols] what the square of an error costs, or NULL */
  const double *gram;       /* [cols][cols] mean of x x^T over the inputs x, or NULL */
  double damping;           /* of the gram, part of its mean diagonal; 0: the method's own */
} hb_matrix_job;

/* What every method wants of a job: whole blocks in a row, finite weights, importance that is not
 * negative. HB_ARGUMENT or HB_MODEL names what is wrong. */
hb_status hb_matrix_check(const hb_matrix_job *job, hb_error *error);
/* The same where there is no coder. */
hb_status hb_matrix_check_numbers(const hb_matrix_job *job, hb_error *error);

/* Rounds each block on its own, by coder->round or coder->fit. */
hb_status hb_matrix_round(const hb_matrix_job *job, hb_error *error);
hb_status hb_matrix_fit(const hb_matrix_job *job, hb_error *error);

/* Decodes `blocks` into `weights`. */
void hb_matrix_decode(const hb_matrix_job *job);

#endif
