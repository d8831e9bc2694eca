/* Sums of products in double, the inside of every product of matrices here. A tile of 8 x 24 sums
 * stays in registers while the inputs pass by. Each sum is its own chain of roundings in the order
 * of k, a lane is a column, so neither the width of the vectors nor the cutting into tiles shows in
 * the bits. */
#ifndef HB_TILE_H
#define HB_TILE_H

#include "base/base.h"

#define HB_TILE_ROWS 8
#define HB_TILE_COLS 24

/* c[i][j] becomes c[i][j] + a[0][i] b[0][j] + a[1][i] b[1][j] + ..., i < 8, j < 24, k < count. The
 * strides are doubles from one row to the next. */
typedef struct hb_tile {
  const double *a, *b;
  double *c;
  size_t a_stride, b_stride, c_stride, count;
} hb_tile;

typedef struct hb_tiles {
  void (*add)(const hb_tile *tile);
  void (*subtract)(const hb_tile *tile); /* minus instead of each plus */
} hb_tiles;

/* The code for an instruction set that hb_isa_available names. */
hb_tiles hb_tiles_for(hb_isa isa);

/* The fastest code here. */
hb_tiles hb_tiles_best(void);

#endif
