/* Tokenizers from the metadata of a GGUF file alone. */
#ifndef HB_TOKENIZER_H
#define HB_TOKENIZER_H

#include "gguf/gguf.h"

/* Builds the tokenizer that tokenizer.ggml.* describes; *out = NULL (and HB_OK) if the file has
 * none. It keeps views into `gguf`, which must outlive it. */
hb_status hb_tokenizer_create(const hb_gguf *gguf, const hb_allocator *allocator,
                              hb_tokenizer **out, hb_error *error);
void hb_tokenizer_destroy(hb_tokenizer *tokenizer);

#endif
