/* How the models of Hugging Face that share a configuration and names of tensors become one of our
 * architectures. To add one, add a row to the table in family.c. */
#ifndef HB_IMPORT_FAMILY_H
#define HB_IMPORT_FAMILY_H

#include "model/architecture.h"

/* Where a tensor goes: a weight, or nowhere. */
#define HB_RULE_DROPPED (-1)

typedef struct hb_rule {
  const char *name; /* '#' stands for a layer's number, '*' at the end for anything */
  int kind;         /* hb_weight_kind, or HB_RULE_DROPPED */
} hb_rule;

#define HB_FAMILY_LISTS 2

typedef struct hb_family {
  const char *model_types;  /* of config.json, with spaces between */
  const char *architecture; /* ours */
  const hb_rule *rules[HB_FAMILY_LISTS];
  bool transposed;     /* matrices of layers are [in, out] (Conv1D) */
  bool qkv_by_head;    /* the rows of q, k and v of each head lie together */
  bool norms_from_one; /* norms multiply by 1 + weight */
  bool tied;           /* unless tie_word_embeddings says otherwise */
  bool partial_rope;   /* may rotate a part of each head */
  const char *activations;
  /* What counts where config.json is silent; 0: it must not be, unless it says so here. */
  uint32_t head_size;       /* 0: even shares of the width */
  uint32_t heads, kv_heads; /* kv_heads 0: as many as heads */
  uint32_t context, vocabulary;
  double rope_base, rope_share; /* share of a head that is rotated */
} hb_family;

/* The family with that model_type, or NULL. */
const hb_family *hb_family_find(hb_string model_type);

/* Finds the rule for a tensor's name; *layer gets its number if it is of a layer. NULL if there is
 * none. */
const hb_rule *hb_family_rule(const hb_family *family, hb_string name, uint64_t *layer);

/* Is `word` one of the words, which have spaces between them? */
bool hb_is_among(const char *words, hb_string word);

#endif
