/* What distinguishes one architecture from another, as data. To add one that is made of the same
 * parts, add a row to the table in architecture.c. */
#ifndef HB_ARCHITECTURE_H
#define HB_ARCHITECTURE_H

#include "base/base.h"

/* Sizes that shapes are made of, from the hyperparameters. */
typedef enum hb_dim {
  HB_DIM_ONE,    /* the weight is a vector */
  HB_DIM_WIDTH,  /* embedding */
  HB_DIM_HEAD,   /* one head of q or k */
  HB_DIM_Q,      /* all heads of q */
  HB_DIM_K,      /* all heads of k */
  HB_DIM_V,      /* all heads of v */
  HB_DIM_QKV,    /* q, k and v side by side */
  HB_DIM_ATTEND, /* all heads of the attention's output */
  HB_DIM_FF,     /* feed forward */
  HB_DIM_FF2,    /* gate and up side by side */
  HB_DIM_VOCAB,
  HB_DIM_CONTEXT, /* positions that the model was made for */
  HB_DIM_PAIRS,   /* pairs that RoPE rotates */
  HB_DIM_ADAPTER, /* as an adapter's file has it */
} hb_dim;

/* X(KIND, name, in every layer, columns, rows): every weight that an architecture may have. Names
 * of layers' weights stand behind "blk.N.". Two kinds may share a name where architectures differ
 * in its shape. */
#define HB_WEIGHT_LIST(X)                                                                          \
  X(TOKEN_EMBD, "token_embd.weight", 0, WIDTH, VOCAB)                                              \
  X(POSITION_EMBD, "position_embd.weight", 0, WIDTH, CONTEXT)                                      \
  X(OUTPUT_NORM, "output_norm.weight", 0, WIDTH, ONE)                                              \
  X(OUTPUT_NORM_BIAS, "output_norm.bias", 0, WIDTH, ONE)                                           \
  X(OUTPUT, "output.weight", 0, WIDTH, VOCAB)                                                      \
  X(ROPE_FREQS, "rope_freqs.weight", 0, PAIRS, ONE)                                                \
  X(ROPE_LONG, "rope_factors_long.weight", 0, PAIRS, ONE)                                          \
  X(ROPE_SHORT, "rope_factors_short.weight", 0, PAIRS, ONE)                                        \
  X(ATTN_NORM, "attn_norm.weight", 1, WIDTH, ONE)                                                  \
  X(ATTN_NORM_BIAS, "attn_norm.bias", 1, WIDTH, ONE)                                               \
  X(Q, "attn_q.weight", 1, WIDTH, Q)                                                               \
  X(Q_BIAS, "attn_q.bias", 1, Q, ONE)                                                              \
  X(K, "attn_k.weight", 1, WIDTH, K)                                                               \
  X(K_BIAS, "attn_k.bias", 1, K, ONE)                                                              \
  X(V, "attn_v.weight", 1, WIDTH, V)                                                               \
  X(V_BIAS, "attn_v.bias", 1, V, ONE)                                                              \
  X(QKV, "attn_qkv.weight", 1, WIDTH, QKV)                                                         \
  X(QKV_BIAS, "attn_qkv.bias", 1, QKV, ONE)                                                        \
  X(Q_NORM, "attn_q_norm.weight", 1, HEAD, ONE)                                                    \
  X(K_NORM, "attn_k_norm.weight", 1, HEAD, ONE)                                                    \
  X(ATTN_OUTPUT, "attn_output.weight", 1, ATTEND, WIDTH)                                           \
  X(ATTN_OUTPUT_BIAS, "attn_output.bias", 1, WIDTH, ONE)                                           \
  X(POST_ATTN_NORM, "post_attention_norm.weight", 1, WIDTH, ONE)                                   \
  X(FFN_NORM, "ffn_norm.weight", 1, WIDTH, ONE)                                                    \
  X(FFN_NORM_BIAS, "ffn_norm.bias", 1, WIDTH, ONE)                                                 \
  X(GATE, "ffn_gate.weight", 1, WIDTH, FF)                                                         \
  X(GATE_UP, "ffn_up.weight", 1, WIDTH, FF2)                                                       \
  X(UP, "ffn_up.weight", 1, WIDTH, FF)                                                             \
  X(UP_BIAS, "ffn_up.bias", 1, FF, ONE)                                                            \
  X(DOWN, "ffn_down.weight", 1, FF, WIDTH)                                                         \
  X(DOWN_BIAS, "ffn_down.bias", 1, WIDTH, ONE)                                                     \
  X(POST_FFN_NORM, "post_ffw_norm.weight", 1, WIDTH, ONE)                                          \
  X(LORA_A, ".lora_a", 1, ADAPTER, ADAPTER) /* behind the name of its matrix */                    \
  X(LORA_B, ".lora_b", 1, ADAPTER, ADAPTER)

typedef enum hb_weight_kind {
#define HB_WEIGHT_ENUM(kind, name, per_layer, cols, rows) HB_WEIGHT_##kind,
  HB_WEIGHT_LIST(HB_WEIGHT_ENUM)
#undef HB_WEIGHT_ENUM
      HB_WEIGHT_KINDS
} hb_weight_kind;

typedef struct hb_weight_traits {
  const char *name;
  bool per_layer;
  hb_dim cols, rows;
} hb_weight_traits;

extern const hb_weight_traits hb_weight_table[HB_WEIGHT_KINDS];

#define HB_HAS(kind) ((uint64_t)1 << HB_WEIGHT_##kind)

typedef enum hb_norm { HB_NORM_RMS, HB_NORM_LAYER } hb_norm;
typedef enum hb_rope { HB_ROPE_NONE, HB_ROPE_ADJACENT, HB_ROPE_HALVES } hb_rope;
typedef enum hb_activation {
  HB_ACTIVATION_SILU_GATED, /* silu(gate) * up */
  HB_ACTIVATION_GELU_GATED, /* gelu(gate) * up, tanh form */
  HB_ACTIVATION_GELU,       /* gelu(up) */
} hb_activation;

typedef struct hb_architecture {
  const char *name; /* general.architecture */
  uint64_t needs;   /* weights that must be there, as HB_HAS bits */
  uint64_t allows;  /* weights that are used if they are there */
  hb_norm norm;
  hb_rope rope;
  hb_activation activation;
  bool parallel_residual_key; /* NAME.use_parallel_residual chooses; true where it is absent */
  bool scaled_embedding;      /* times sqrt(width) */
  uint32_t window_period; /* of each so many layers the last sees everything, the others a sliding
                             window; 0: no windows */
  float window_rope_base; /* of the windowed layers, unless rope.freq_base_swa says otherwise */
  uint32_t wide_scale_layers; /* a model of so many layers scales its scores by 1/sqrt(width /
                                 heads) instead of 1/sqrt(head size) */
} hb_architecture;

/* The row with that name, or NULL. */
const hb_architecture *hb_architecture_find(hb_string name);

#endif
