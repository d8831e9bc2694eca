/* Round to nearest with a uniform grid of few bits whose parameters a tensor, a row or a group of
 * columns shares. The result lies in a stock type: its blocks repeat the parameters.
 *
 *   symmetric, b bits:  level = d * q, q = -2^(b-1) .. 2^(b-1) - 1, and d takes the value of
 * largest magnitude, with its sign, to the first level. 8 bits: -127 .. 127. asymmetric: level = d
 * * q - d * z, q = 0 .. 2^b - 1, d = (high - low) / (2^b - 1), z = -low / d to the nearest integer
 * (halves up), and low <= 0 <= high.
 *
 * d and d * z are rounded to f16 before codes are chosen. A value takes the nearest level, of two
 * equally near ones that of the lower code. A group of zeros has the grid of -1 .. 1. */
#ifndef HB_RTN_H
#define HB_RTN_H

#include "compress/matrix.h"

typedef enum hb_rtn_granularity {
  HB_RTN_TENSOR,  /* one grid */
  HB_RTN_CHANNEL, /* a grid a row, that is, an output */
  HB_RTN_GROUP,   /* a grid for `group` columns of a row */
  HB_RTN_BLOCK    /* a grid for each block of the type */
} hb_rtn_granularity;

/* What values lie in, from 0, 0, 0 on. */
typedef struct hb_rtn_range {
  float low, high; /* low <= 0 <= high */
  float extreme;   /* the first value of largest magnitude */
} hb_rtn_range;

/* A range that has the values, too, which come behind those in it. */
hb_rtn_range hb_rtn_joined(hb_rtn_range range, const float *values, size_t count);

typedef struct hb_rtn_options {
  uint32_t bits; /* 2 .. 8, asymmetric 2 .. 5 */
  bool symmetric;
  hb_rtn_granularity granularity;
  uint32_t group; /* columns: a multiple of 32 that divides them */
  /* Tries ranges smaller by up to this many percent, below 100, and takes the one with the least
   * sum of importance * (x - value)^2. 0: the range that no value exceeds. */
  uint32_t most_shrink;
  /* HB_RTN_TENSOR: of the whole tensor, where the job has a part of its rows; NULL: the job's.
   * most_shrink is 0 then. */
  const hb_rtn_range *range;
} hb_rtn_options;

/* The type that holds the result: Q4_0 Q5_0 Q8_0, or Q4_1 Q5_1. HB_ARGUMENT for other bits;
 * HB_UNSUPPORTED for 6 to 8 asymmetric ones, which no stock type holds. */
hb_status hb_rtn_type(const hb_rtn_options *options, hb_type *type, hb_error *error);

/* Quantizes a job whose coder is that of hb_rtn_type. */
hb_status hb_matrix_rtn(const hb_matrix_job *job, const hb_rtn_options *options, hb_error *error);

#endif
