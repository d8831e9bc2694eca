/* What a synthetic model is made of: its shape, the types of its tensors, its vocabulary. */
#ifndef HB_SYNTHETIC_H
#define HB_SYNTHETIC_H

#include "gguf/write.h"
#include "model/hyperparameters.h"

typedef struct hb_shape_plan {
  hb_hyperparameters h;
  const hb_architecture *architecture;
  uint64_t weights; /* HB_HAS bits */
} hb_shape_plan;

/* Parses a name of HB_SHAPE_LIST or "E,L,H,KV,F,V", and checks each number. */
hb_status hb_shape_read(const char *text, hb_shape_plan *out, hb_error *error);

/* The types that a name stands for: those of a mixture, or one throughout. */
typedef struct hb_recipe {
  hb_type type;              /* of matrices that no other field names */
  hb_type output;            /* of the one that gives the logits */
  hb_type attention_output;  /* of attn_output */
  hb_type value, value_more; /* of attn_v and ffn_down, and of those that get more bits */
  bool first_layers;         /* those are the first ones; else they are spread */
  uint32_t file_type;        /* general.file_type */
} hb_recipe;

hb_status hb_recipe_find(const char *name, hb_recipe *out, hb_error *error);

/* The type of a weight whose rows have `cols` values, a multiple of 32. */
hb_type hb_recipe_type(const hb_recipe *recipe, const hb_shape_plan *shape, hb_weight_kind kind,
                       uint32_t layer, uint64_t cols);

/* Sets the tokenizer's keys: a SentencePiece vocabulary of three control tokens, the bytes, and
 * words of a made-up language. */
hb_status hb_vocabulary_write(const hb_allocator *allocator, uint32_t count, hb_gguf_writer *writer,
                              hb_error *error);

#endif
