/* Block formats: what the bytes of a tensor of each type mean. One small file a family holds its
 * layout, its reference decoder and its encoder; types.c holds the one table of them. */
#ifndef HB_QUANT_H
#define HB_QUANT_H

#include "base/base.h"

typedef struct hb_type_traits {
  hb_type type;
  const char *name;
  uint32_t block_values;
  uint32_t block_bytes;
  bool supported;
  /* Of halfbyte's own types: what blocks share (HB_PRIVATE_TYPE_LIST). 0 for those of GGUF. */
  uint32_t sharing_blocks, shared_bytes;
  /* Decodes `blocks` blocks to f32, exactly as ggml's reference does; of a type whose blocks share
   * bytes, the first ones of a row. NULL if not supported. */
  void (*decode)(const void *in, float *out, size_t blocks);
  /* Encodes f32 to `blocks` blocks, round to nearest, with ggml's reference conventions. NULL where
   * only richer methods (src/compress) write the type. */
  void (*encode)(const float *in, void *out, size_t blocks);
} hb_type_traits;

/* NULL for a number that is no type. */
const hb_type_traits *hb_traits(hb_type type);

/* Whether it is one of HB_PRIVATE_TYPE_LIST. */
static inline bool hb_type_is_private(hb_type type) {
  return type >= HB_TYPE_NF4;
}

/* Bytes of a row of `values` values; false if they do not fill whole blocks or the size wraps. */
bool hb_row_bytes(hb_type type, uint64_t values, uint64_t *bytes);

#endif
