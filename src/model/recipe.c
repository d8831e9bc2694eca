#include "model/recipe.h"
#include "quant/quant.h"

/* A type that may be chosen. */
typedef struct type_choice {
  hb_type type;
  hb_type narrow;     /* for rows that do not divide into its blocks, as llama.cpp chooses */
  uint32_t file_type; /* general.file_type of a model of it (llama.cpp: llama_ftype) */
} type_choice;

static const type_choice type_choices[] = {
    {HB_TYPE_F32, HB_TYPE_F32, 0},
    {HB_TYPE_F16, HB_TYPE_F16, 1},
    {HB_TYPE_BF16, HB_TYPE_BF16, 32},
    {HB_TYPE_Q4_0, HB_TYPE_Q4_0, 2},
    {HB_TYPE_Q4_1, HB_TYPE_Q4_1, 3},
    {HB_TYPE_Q5_0, HB_TYPE_Q5_0, 8},
    {HB_TYPE_Q5_1, HB_TYPE_Q5_1, 9},
    {HB_TYPE_Q8_0, HB_TYPE_Q8_0, 7},
    {HB_TYPE_Q2_K, HB_TYPE_IQ4_NL, 10},
    {HB_TYPE_Q3_K, HB_TYPE_IQ4_NL, 11},
    {HB_TYPE_Q4_K, HB_TYPE_Q5_0, 14},
    {HB_TYPE_Q5_K, HB_TYPE_Q5_1, 16},
    {HB_TYPE_Q6_K, HB_TYPE_Q8_0, 18},
    {HB_TYPE_IQ4_NL, HB_TYPE_IQ4_NL, 25},
    {HB_TYPE_IQ4_XS, HB_TYPE_IQ4_NL, 30},
    {HB_TYPE_TQ1_0, HB_TYPE_Q4_0, 36},
    {HB_TYPE_TQ2_0, HB_TYPE_Q4_0, 37},
    {HB_TYPE_MXFP4, HB_TYPE_MXFP4, 38},
    {HB_TYPE_NF4, HB_TYPE_IQ4_NL, HB_NO_FILE_TYPE},
    {HB_TYPE_FP4, HB_TYPE_IQ4_NL, HB_NO_FILE_TYPE},
    {HB_TYPE_TABLE4, HB_TYPE_F16, HB_NO_FILE_TYPE},
    {HB_TYPE_TABLE3, HB_TYPE_F16, HB_NO_FILE_TYPE},
    {HB_TYPE_INT2_64, HB_TYPE_IQ4_NL, HB_NO_FILE_TYPE},
};

static const type_choice *choice_of(hb_type type) {
  for (size_t i = 0; i < sizeof type_choices / sizeof *type_choices; i++)
    if (type_choices[i].type == type) return &type_choices[i];
  return NULL;
}

/* As llama.cpp mixes them; fields: see hb_recipe. */
static const struct {
  const char *name, *capitals;
  hb_recipe recipe;
} mixtures[] = {
    {"q3_k_s",
     "Q3_K_S",
     {HB_TYPE_Q3_K, HB_TYPE_Q6_K, HB_TYPE_Q3_K, HB_TYPE_Q3_K, HB_TYPE_Q3_K, 0, 0, 11}},
    {"q3_k_m",
     "Q3_K_M",
     {HB_TYPE_Q3_K, HB_TYPE_Q6_K, HB_TYPE_Q4_K, HB_TYPE_Q4_K, HB_TYPE_Q5_K, 2, 16, 12}},
    {"q3_k_l",
     "Q3_K_L",
     {HB_TYPE_Q3_K, HB_TYPE_Q6_K, HB_TYPE_Q5_K, HB_TYPE_Q5_K, HB_TYPE_Q5_K, 0, 0, 13}},
    {"q4_k_s",
     "Q4_K_S",
     {HB_TYPE_Q4_K, HB_TYPE_Q6_K, HB_TYPE_Q4_K, HB_TYPE_Q4_K, HB_TYPE_Q5_K, 4, 8, 14}},
    {"q4_k_m",
     "Q4_K_M",
     {HB_TYPE_Q4_K, HB_TYPE_Q6_K, HB_TYPE_Q4_K, HB_TYPE_Q4_K, HB_TYPE_Q6_K, 0, 0, 15}},
    {"q5_k_s",
     "Q5_K_S",
     {HB_TYPE_Q5_K, HB_TYPE_Q6_K, HB_TYPE_Q5_K, HB_TYPE_Q5_K, HB_TYPE_Q5_K, 0, 0, 16}},
    {"q5_k_m",
     "Q5_K_M",
     {HB_TYPE_Q5_K, HB_TYPE_Q6_K, HB_TYPE_Q5_K, HB_TYPE_Q5_K, HB_TYPE_Q6_K, 0, 0, 17}},
};

hb_status hb_recipe_find(const char *name, hb_recipe *out, hb_error *error) {
  for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
    if (strcmp(name, mixtures[i].name) == 0 || strcmp(name, mixtures[i].capitals) == 0) {
      *out = mixtures[i].recipe;
      return HB_OK;
    }
  hb_type t;
  if (hb_type_from_name(hb_string_of(name), &t) != HB_OK)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "type %S is neither a tensor type nor a mixture (q4_k_m and the like)",
                   hb_string_of(name));
  const type_choice *choice = choice_of(t);
  if (!choice)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "type %s is not supported", hb_type_name(t));
  *out = (hb_recipe){t, t, t, t, t, 0, 0, choice->file_type};
  return HB_OK;
}

/* Does layer `i` of `n` have a better attn_v or ffn_down? (llama.cpp: use_more_bits, Q3_K_M and
 * Q4_K_S) */
static bool gets_more_bits(const hb_recipe *r, hb_weight_kind kind, uint32_t i, uint32_t n) {
  if (r->first_values > 0) return i < (kind == HB_WEIGHT_V ? r->first_values : n / r->first_downs);
  return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

uint32_t hb_recipe_file_type(const hb_recipe *r, hb_type most) {
  if (most == r->type) return r->file_type;
  switch (most) {
  case HB_TYPE_Q3_K: return 12;
  case HB_TYPE_Q4_K: return 15;
  case HB_TYPE_Q5_K: return 17;
  default: break;
  }
  const type_choice *choice = choice_of(most);
  return choice ? choice->file_type : HB_NO_FILE_TYPE;
}

static hb_type type_of(const hb_recipe *r, hb_weight_kind kind, uint32_t layer, uint32_t layers,
                       bool tied) {
  switch (kind) {
  case HB_WEIGHT_OUTPUT: return r->output;
  case HB_WEIGHT_TOKEN_EMBD: return tied ? r->output : r->type;
  case HB_WEIGHT_ATTN_OUTPUT: return r->attention_output;
  case HB_WEIGHT_V:
  case HB_WEIGHT_DOWN: return gets_more_bits(r, kind, layer, layers) ? r->value_more : r->value;
  default: return r->type;
  }
}

hb_type hb_recipe_type(const hb_recipe *r, hb_weight_kind kind, uint32_t layer, uint32_t layers,
                       bool tied) {
  return hb_weight_table[kind].rows == HB_DIM_ONE ? HB_TYPE_F32
                                                  : type_of(r, kind, layer, layers, tied);
}

hb_type hb_type_fitting(hb_type type, uint64_t cols) {
  if (cols % hb_traits(type)->block_values == 0) return type;
  hb_type narrow = choice_of(type)->narrow;
  return cols % hb_traits(narrow)->block_values == 0 ? narrow : HB_TYPE_F16;
}
