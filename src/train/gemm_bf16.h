/* Products of matrices whose operands are rounded to bf16, on x86. */
#ifndef HB_GEMM_BF16_H
#define HB_GEMM_BF16_H

#include "train/kernels.h"

/* Panels of 32 rows of A and of 32 columns of B are packed in tiles of 16 lanes by 32 steps of k.
 */
enum {
  HB_BF16_DEPTH = 768,   /* steps of k at a time */
  HB_BF16_ROWS = 256,    /* of A that are packed at a time */
  HB_BF16_COLUMNS = 768, /* of B */
  HB_BF16_ROOM = (HB_BF16_ROWS + HB_BF16_COLUMNS) * HB_BF16_DEPTH * 2
};

void hb_gemm_bf16_avx512(const hb_gemm *g, void *room);
void hb_gemm_bf16_amx(const hb_gemm *g, void *room);

#endif
