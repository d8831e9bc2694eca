/* Merging adapters into a model: what merge.c, which goes over its tensors, shares with
 * merge_matrix.c, which changes one. */
#ifndef HB_MERGE_H
#define HB_MERGE_H

#include "compress/requantize.h"
#include "model/adapter.h"

/* What an adapter adds to the matrix at work. */
typedef struct hb_merging_values {
  uint32_t rank;
  float *a, *b; /* [rank][cols], [rows][rank] with the factor in it */
  uint64_t a_bytes, b_bytes;
} hb_merging_values;

typedef struct hb_merging {
  const hb_merge_options *options;
  const hb_source *source;
  hb_model *model; /* weights without data */
  hb_adapter adapters[HB_MAX_ADAPTERS];
  uint32_t adapter_count;
  hb_type type; /* of merged matrices, if options have one */
  hb_tensor_job *job;

  /* Of the matrix at work. */
  hb_merging_values pairs[HB_MAX_ADAPTERS];
  uint32_t pair_count;
  hb_tensor as; /* its tensor, with the type and the columns of its values */
} hb_merging;

/* What one of the adapters, at a scale other than 0, has for a matrix; false: nothing. */
bool hb_merging_pair(const hb_merging *merging, uint32_t adapter, hb_string matrix,
                     hb_adapter_pair *out);

/* The type that the values of a tensor of the source have in the result. */
hb_type hb_merging_type(const hb_merging *merging, const hb_tensor *tensor);

/* Writes the matrix that is tensor `index` of the source, changed. */
hb_status hb_merging_write(hb_merging *merging, size_t index, hb_error *error);

#endif
