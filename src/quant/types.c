/* The one table of tensor types. */
#include "quant/quant.h"
#include "quant/formats.h"

/* A row of HB_TYPE_LIST names its functions through these: NULL where there is none. */
#define FUNCTIONS_F32 hb_decode_f32, hb_encode_f32
#define FUNCTIONS_F16 hb_decode_f16, hb_encode_f16
#define FUNCTIONS_BF16 hb_decode_bf16, hb_encode_bf16
#define FUNCTIONS_Q4_0 hb_decode_q4_0, hb_encode_q4_0
#define FUNCTIONS_Q4_1 hb_decode_q4_1, hb_encode_q4_1
#define FUNCTIONS_Q5_0 hb_decode_q5_0, hb_encode_q5_0
#define FUNCTIONS_Q5_1 hb_decode_q5_1, hb_encode_q5_1
#define FUNCTIONS_Q8_0 hb_decode_q8_0, hb_encode_q8_0
#define FUNCTIONS_Q2_K hb_decode_q2_k, NULL
#define FUNCTIONS_Q3_K hb_decode_q3_k, NULL
#define FUNCTIONS_Q4_K hb_decode_q4_k, NULL
#define FUNCTIONS_Q5_K hb_decode_q5_k, NULL
#define FUNCTIONS_Q6_K hb_decode_q6_k, NULL
#define FUNCTIONS_IQ4_NL hb_decode_iq4_nl, NULL
#define FUNCTIONS_IQ4_XS hb_decode_iq4_xs, NULL
#define FUNCTIONS_TQ1_0 hb_decode_tq1_0, NULL
#define FUNCTIONS_TQ2_0 hb_decode_tq2_0, NULL
#define FUNCTIONS_MXFP4 hb_decode_mxfp4, NULL
#define FUNCTIONS_Q8_1 NULL, NULL
#define FUNCTIONS_Q8_K NULL, NULL
#define FUNCTIONS_IQ2_XXS NULL, NULL
#define FUNCTIONS_IQ2_XS NULL, NULL
#define FUNCTIONS_IQ3_XXS NULL, NULL
#define FUNCTIONS_IQ1_S NULL, NULL
#define FUNCTIONS_IQ3_S NULL, NULL
#define FUNCTIONS_IQ2_S NULL, NULL
#define FUNCTIONS_I8 NULL, NULL
#define FUNCTIONS_I16 NULL, NULL
#define FUNCTIONS_I32 NULL, NULL
#define FUNCTIONS_I64 NULL, NULL
#define FUNCTIONS_F64 NULL, NULL
#define FUNCTIONS_IQ1_M NULL, NULL
#define FUNCTIONS_NVFP4 NULL, NULL
#define FUNCTIONS_Q1_0 NULL, NULL
#define FUNCTIONS_Q2_0 NULL, NULL
#define FUNCTIONS_NF4 hb_decode_nf4, NULL
#define FUNCTIONS_FP4 hb_decode_fp4, NULL
#define FUNCTIONS_TABLE4 hb_decode_table4, NULL
#define FUNCTIONS_TABLE3 hb_decode_table3, NULL
#define FUNCTIONS_INT2_64 hb_decode_int2_64, NULL

static const hb_type_traits table[] = {
#define TYPE_ROW(name, id, values, bytes, supported)                                               \
  {HB_TYPE_##name, #name, values, bytes, supported, 0, 0, FUNCTIONS_##name},
    HB_TYPE_LIST(TYPE_ROW)
#undef TYPE_ROW
#define TYPE_ROW(name, id, values, bytes, sharing, shared)                                         \
  {HB_TYPE_##name, #name, values, bytes, true, sharing, shared, FUNCTIONS_##name},
        HB_PRIVATE_TYPE_LIST(TYPE_ROW)
#undef TYPE_ROW
};

enum { TYPES = sizeof table / sizeof *table };

const hb_type_traits *hb_traits(hb_type type) {
  for (size_t i = 0; i < TYPES; i++)
    if (table[i].type == type) return &table[i];
  return NULL;
}

bool hb_row_bytes(hb_type type, uint64_t values, uint64_t *bytes) {
  const hb_type_traits *t = hb_traits(type);
  if (!t || values % t->block_values != 0) return false;
  uint64_t blocks = values / t->block_values, shared = t->shared_bytes;
  if (t->sharing_blocks > 0)
    shared *= blocks / t->sharing_blocks + (blocks % t->sharing_blocks != 0);
  return hb_mul_u64(blocks, t->block_bytes, bytes) && hb_add_u64(*bytes, shared, bytes);
}

const char *hb_type_name(hb_type type) {
  const hb_type_traits *t = hb_traits(type);
  return t ? t->name : NULL;
}

static char upper(char c) {
  return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool same_name(hb_string a, const char *name) {
  if (a.length != strlen(name)) return false;
  for (size_t i = 0; i < a.length; i++)
    if (upper(a.data[i]) != name[i]) return false;
  return true;
}

hb_status hb_type_from_name(hb_string name, hb_type *type) {
  for (size_t i = 0; i < TYPES; i++)
    if (same_name(name, table[i].name)) {
      *type = table[i].type;
      return HB_OK;
    }
  return HB_ARGUMENT;
}
