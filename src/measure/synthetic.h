/* What a synthetic model is made of: its shape, the types of its tensors, its vocabulary. */
#ifndef HB_SYNTHETIC_H
#define HB_SYNTHETIC_H

#include "gguf/write.h"
#include "model/hyperparameters.h"
#include "model/recipe.h"

typedef struct hb_shape_plan {
  hb_hyperparameters h;
  const hb_architecture *architecture;
  uint64_t weights; /* HB_HAS bits */
} hb_shape_plan;

/* Parses a name of HB_SHAPE_LIST or "E,L,H,KV,F,V", and checks each number. */
hb_status hb_shape_read(const char *text, hb_shape_plan *out, hb_error *error);

/* Sets the tokenizer's keys: a SentencePiece vocabulary of three control tokens, the bytes, and
 * words of a made-up language. */
hb_status hb_synthetic_vocabulary(const hb_allocator *allocator, uint32_t count,
                                  hb_gguf_writer *writer, hb_error *error);

#endif
