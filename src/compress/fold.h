/* Where the inputs of a product come from, and scales that go from the inputs to its weights: what
 * the input's maker is divided by, the weights are multiplied with, and the layer computes the
 * same. */
#ifndef HB_FOLD_H
#define HB_FOLD_H

#include "compress/layerwise.h"

/* What makes an input. */
typedef struct hb_fold {
  bool is_norm;
  float *vectors[2]; /* a norm's weight and bias, or the bias of a matrix; NULL: none */
  float *rows;       /* [..][row_cols] of a matrix, or NULL */
  uint32_t row_cols;
  uint32_t first;         /* the row or element that makes input 0 */
  uint32_t sharing, size; /* `sharing` runs of `size` inputs come from the same rows */
} hb_fold;

/* What makes the input of operation `op`: a norm, attn_v, or what is multiplied with an activation.
 * False if nothing that could take scales in. */
bool hb_fold_find(const hb_layer_work *layer, uint32_t op, hb_fold *out);

/* Gives inputs that come from the same rows the same magnitude: the mean of theirs. */
void hb_fold_share(const hb_fold *fold, uint32_t width, float *magnitude);

/* The same with the largest of theirs. */
void hb_fold_share_largest(const hb_fold *fold, uint32_t width, float *magnitude);

/* Divides what makes the inputs of products first .. end - 1 by scales[width], which are the same
 * where rows are shared, and multiplies the columns of their weights. */
void hb_fold_apply(hb_layer_work *layer, uint32_t first, uint32_t end, const hb_fold *fold,
                   const float *scales);

/* Columns times scales, or divided by them. */
void hb_scale_columns(float *values, uint64_t rows, uint32_t cols, const float *scales,
                      bool divide);

#endif
