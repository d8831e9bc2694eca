/* What a result says of how it was made, so that measuring it on the text it was calibrated with
 * can be noticed:
 *
 *   halfbyte.method       the method's name; absent: rtn
 *   halfbyte.calibration  u64s: hashes of some runs of HB_PASSAGE_TOKENS tokens of the calibration
 *                         text, spread over it, rising */
#ifndef HB_PROVENANCE_H
#define HB_PROVENANCE_H

#include "gguf/write.h"

enum { HB_PASSAGE_TOKENS = 32, HB_MOST_PASSAGES = 512 };

#define HB_METHOD_KEY "halfbyte.method"

/* Sets halfbyte.calibration for tokens [samples][length], or, where they are NULL, as `from` has
 * it, if that is not NULL and does. */
hb_status hb_provenance_set_text(hb_gguf_writer *writer, const hb_allocator *allocator,
                                 const hb_token *tokens, uint32_t samples, uint32_t length,
                                 const hb_gguf *from, hb_error *error);

/* Sets both keys. */
hb_status hb_provenance_set(hb_gguf_writer *writer, const hb_quantize_options *options,
                            hb_error *error);

/* How many passages of the calibration text the model's file knows, and how many of them stand
 * somewhere in `count` tokens. */
typedef struct hb_overlap {
  size_t known, found;
} hb_overlap;

hb_overlap hb_provenance_overlap(const hb_gguf *model, const hb_token *tokens, size_t count);

#endif
