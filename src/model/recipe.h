/* Which type each matrix of a model gets: one throughout, or a mixture, in which some get more bits
 * than others. */
#ifndef HB_RECIPE_H
#define HB_RECIPE_H

#include "model/architecture.h"

typedef struct hb_recipe {
  hb_type type;              /* of matrices that no other field names */
  hb_type output;            /* of the one that gives the logits */
  hb_type attention_output;  /* of attn_output */
  hb_type value, value_more; /* of attn_v and ffn_down, and of those that get more bits */
  /* Those are the first so many layers' attn_v, and ffn_down in the first 1/so many of all layers;
   * 0: they are spread. */
  uint8_t first_values, first_downs;
  uint32_t file_type; /* general.file_type (llama.cpp: llama_ftype), or HB_NO_FILE_TYPE */
} hb_recipe;

#define HB_NO_FILE_TYPE UINT32_MAX /* llama.cpp knows no number for it */

/* The recipe of a tensor type's or a mixture's name. */
hb_status hb_recipe_find(const char *name, hb_recipe *out, hb_error *error);

/* The type of a weight in layer `layer` of `layers`. tied: the table of embeddings is the output
 * matrix, too. */
hb_type hb_recipe_type(const hb_recipe *recipe, hb_weight_kind kind, uint32_t layer,
                       uint32_t layers, bool tied);

/* general.file_type of a model whose matrices are mostly of that type, though it began as the
 * recipe: of a mixture's types, that of the one of middle size, as llama.cpp guesses. */
uint32_t hb_recipe_file_type(const hb_recipe *recipe, hb_type most);

/* `type`, or, where rows of `cols` values do not divide into its blocks, what llama.cpp falls back
 * to, or F16. `type` is one that a recipe names. */
hb_type hb_type_fitting(hb_type type, uint64_t cols);

#endif
