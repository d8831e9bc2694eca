#include "model/architecture.h"

const hb_weight_traits hb_weight_table[HB_WEIGHT_KINDS] = {
#define HB_WEIGHT_ROW(kind, name, per_layer, cols, rows)                                           \
  {name, per_layer, HB_DIM_##cols, HB_DIM_##rows},
    HB_WEIGHT_LIST(HB_WEIGHT_ROW)
#undef HB_WEIGHT_ROW
};

/* Parts that architectures share. */
#define BASE (HB_HAS(TOKEN_EMBD) | HB_HAS(OUTPUT_NORM) | HB_HAS(ATTN_NORM) | HB_HAS(FFN_NORM))
#define ATTENTION (HB_HAS(Q) | HB_HAS(K) | HB_HAS(V) | HB_HAS(ATTN_OUTPUT))
#define QKV_BIASES (HB_HAS(Q_BIAS) | HB_HAS(K_BIAS) | HB_HAS(V_BIAS))
#define FUSED_ATTENTION (HB_HAS(QKV) | HB_HAS(ATTN_OUTPUT))
#define GATED (HB_HAS(GATE) | HB_HAS(UP) | HB_HAS(DOWN))
#define HEAD_NORMS (HB_HAS(Q_NORM) | HB_HAS(K_NORM))
#define BIASED                                                                                     \
  (HB_HAS(OUTPUT_NORM_BIAS) | HB_HAS(ATTN_NORM_BIAS) | HB_HAS(QKV_BIAS) |                          \
   HB_HAS(ATTN_OUTPUT_BIAS) | HB_HAS(FFN_NORM_BIAS) | HB_HAS(UP) | HB_HAS(UP_BIAS) |               \
   HB_HAS(DOWN) | HB_HAS(DOWN_BIAS))

static const hb_architecture architectures[] = {
    {
        .name = "llama", /* Llama 1 to 3, Mistral, TinyLlama, SmolLM, SmolLM2 */
        .needs = BASE | ATTENTION | GATED,
        .allows = HB_HAS(OUTPUT) | HB_HAS(ROPE_FREQS) | QKV_BIASES | HB_HAS(ATTN_OUTPUT_BIAS),
        .norm = HB_NORM_RMS,
        .rope = HB_ROPE_ADJACENT,
        .activation = HB_ACTIVATION_SILU_GATED,
    },
    {
        .name = "qwen2",
        .needs = BASE | ATTENTION | QKV_BIASES | GATED,
        .allows = HB_HAS(OUTPUT),
        .norm = HB_NORM_RMS,
        .rope = HB_ROPE_HALVES,
        .activation = HB_ACTIVATION_SILU_GATED,
    },
    {
        .name = "qwen3",
        .needs = BASE | ATTENTION | HEAD_NORMS | GATED,
        .allows = HB_HAS(OUTPUT),
        .norm = HB_NORM_RMS,
        .rope = HB_ROPE_HALVES,
        .activation = HB_ACTIVATION_SILU_GATED,
    },
    {
        .name = "phi3",
        .needs = BASE | FUSED_ATTENTION | HB_HAS(GATE_UP) | HB_HAS(DOWN),
        .allows = HB_HAS(OUTPUT) | HB_HAS(ROPE_LONG) | HB_HAS(ROPE_SHORT),
        .norm = HB_NORM_RMS,
        .rope = HB_ROPE_HALVES,
        .activation = HB_ACTIVATION_SILU_GATED,
    },
    {
        .name = "gemma3",
        .needs =
            BASE | ATTENTION | HEAD_NORMS | GATED | HB_HAS(POST_ATTN_NORM) | HB_HAS(POST_FFN_NORM),
        .allows = HB_HAS(OUTPUT),
        .norm = HB_NORM_RMS,
        .rope = HB_ROPE_HALVES,
        .activation = HB_ACTIVATION_GELU_GATED,
        .scaled_embedding = true,
        .window_period = 6,
        .window_rope_base = 10000,
        .wide_scale_layers = 62, /* Gemma 3 27B */
    },
    {
        .name = "gpt2",
        .needs = BASE | HB_HAS(POSITION_EMBD) | FUSED_ATTENTION | BIASED,
        .allows = HB_HAS(OUTPUT),
        .norm = HB_NORM_LAYER,
        .rope = HB_ROPE_NONE,
        .activation = HB_ACTIVATION_GELU,
    },
    {
        .name = "gptneox",
        .needs = BASE | HB_HAS(OUTPUT) | FUSED_ATTENTION | BIASED,
        .norm = HB_NORM_LAYER,
        .rope = HB_ROPE_HALVES,
        .activation = HB_ACTIVATION_GELU,
        .parallel_residual_key = true,
    },
};

const hb_architecture *hb_architecture_find(hb_string name) {
  for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
    if (hb_string_equal(hb_string_of(architectures[i].name), name)) return &architectures[i];
  return NULL;
}
