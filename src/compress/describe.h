/* The model in a source as it is before its weights are read, and their values. */
#ifndef HB_DESCRIBE_H
#define HB_DESCRIBE_H

#include "model/model.h"

/* A model whose matrices count as F32, whatever the source has, and whose weights have no data; its
 * program is there. The header stays the source's: hb_described_destroy instead of
 * hb_model_destroy. HB_UNSUPPORTED for formats of halfbyte's own unless `own_formats`: then what
 * stands beside weights is bound, too. */
hb_status hb_describe(const hb_allocator *allocator, hb_isa isa, const hb_source *source,
                      bool own_formats, hb_model **out, hb_error *error);
void hb_described_destroy(hb_model *model);

/* The type of a weight's values, whose tensor may be I8 in the file. */
hb_type hb_weight_type(const hb_weight *weight, const hb_tensor *tensor);

/* Whether a weight is a vector. */
bool hb_weight_is_vector(const hb_weight *weight);
uint64_t hb_weight_values(const hb_weight *weight);

#define HB_VALUES_PIECE (1u << 16) /* bytes of a tensor that are read at once */

/* `count` values of `type`, whose blocks share no bytes, of a tensor from number `from` on, which
 * begins a block; piece: [HB_VALUES_PIECE], to work in. */
hb_status hb_source_values(const hb_source *source, const hb_tensor *tensor, hb_type type,
                           uint64_t from, uint64_t count, uint8_t *piece, float *out,
                           hb_error *error);

#endif
