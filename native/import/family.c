#include "import/family.h"

/* ---- Names of tensors, behind the prefixes below ---- */

/* Decoders in the manner of Llama. */
static const hb_rule llama_rules[] = {
    {"embed_tokens.weight", HB_WEIGHT_TOKEN_EMBD},
    {"norm.weight", HB_WEIGHT_OUTPUT_NORM},
    {"lm_head.weight", HB_WEIGHT_OUTPUT},
    {"layers.#.input_layernorm.weight", HB_WEIGHT_ATTN_NORM},
    {"layers.#.self_attn.q_proj.weight", HB_WEIGHT_Q},
    {"layers.#.self_attn.q_proj.bias", HB_WEIGHT_Q_BIAS},
    {"layers.#.self_attn.k_proj.weight", HB_WEIGHT_K},
    {"layers.#.self_attn.k_proj.bias", HB_WEIGHT_K_BIAS},
    {"layers.#.self_attn.v_proj.weight", HB_WEIGHT_V},
    {"layers.#.self_attn.v_proj.bias", HB_WEIGHT_V_BIAS},
    {"layers.#.self_attn.qkv_proj.weight", HB_WEIGHT_QKV},
    {"layers.#.self_attn.q_norm.weight", HB_WEIGHT_Q_NORM},
    {"layers.#.self_attn.k_norm.weight", HB_WEIGHT_K_NORM},
    {"layers.#.self_attn.o_proj.weight", HB_WEIGHT_ATTN_OUTPUT},
    {"layers.#.self_attn.o_proj.bias", HB_WEIGHT_ATTN_OUTPUT_BIAS},
    {"layers.#.mlp.gate_proj.weight", HB_WEIGHT_GATE},
    {"layers.#.mlp.gate_up_proj.weight", HB_WEIGHT_GATE_UP},
    {"layers.#.mlp.up_proj.weight", HB_WEIGHT_UP},
    {"layers.#.mlp.down_proj.weight", HB_WEIGHT_DOWN},
    {"layers.#.self_attn.rotary_emb.inv_freq", HB_RULE_DROPPED},
    {"rotary_emb.inv_freq", HB_RULE_DROPPED},
    {NULL, 0},
};

static const hb_rule one_norm_before[] = {
    {"layers.#.post_attention_layernorm.weight", HB_WEIGHT_FFN_NORM},
    {NULL, 0},
};

static const hb_rule gemma_rules[] = {
    {"layers.#.post_attention_layernorm.weight", HB_WEIGHT_POST_ATTN_NORM},
    {"layers.#.pre_feedforward_layernorm.weight", HB_WEIGHT_FFN_NORM},
    {"layers.#.post_feedforward_layernorm.weight", HB_WEIGHT_POST_FFN_NORM},
    {"vision_tower.*", HB_RULE_DROPPED}, /* of a model that also sees, the part that reads */
    {"multi_modal_projector.*", HB_RULE_DROPPED},
    {NULL, 0},
};

static const hb_rule gpt2_rules[] = {
    {"wte.weight", HB_WEIGHT_TOKEN_EMBD},
    {"wpe.weight", HB_WEIGHT_POSITION_EMBD},
    {"ln_f.weight", HB_WEIGHT_OUTPUT_NORM},
    {"ln_f.bias", HB_WEIGHT_OUTPUT_NORM_BIAS},
    {"lm_head.weight", HB_WEIGHT_OUTPUT},
    {"h.#.ln_1.weight", HB_WEIGHT_ATTN_NORM},
    {"h.#.ln_1.bias", HB_WEIGHT_ATTN_NORM_BIAS},
    {"h.#.attn.c_attn.weight", HB_WEIGHT_QKV},
    {"h.#.attn.c_attn.bias", HB_WEIGHT_QKV_BIAS},
    {"h.#.attn.c_proj.weight", HB_WEIGHT_ATTN_OUTPUT},
    {"h.#.attn.c_proj.bias", HB_WEIGHT_ATTN_OUTPUT_BIAS},
    {"h.#.ln_2.weight", HB_WEIGHT_FFN_NORM},
    {"h.#.ln_2.bias", HB_WEIGHT_FFN_NORM_BIAS},
    {"h.#.mlp.c_fc.weight", HB_WEIGHT_UP},
    {"h.#.mlp.c_fc.bias", HB_WEIGHT_UP_BIAS},
    {"h.#.mlp.c_proj.weight", HB_WEIGHT_DOWN},
    {"h.#.mlp.c_proj.bias", HB_WEIGHT_DOWN_BIAS},
    {"h.#.attn.bias", HB_RULE_DROPPED}, /* the causal mask */
    {"h.#.attn.masked_bias", HB_RULE_DROPPED},
    {NULL, 0},
};

static const hb_rule gptneox_rules[] = {
    {"embed_in.weight", HB_WEIGHT_TOKEN_EMBD},
    {"embed_out.weight", HB_WEIGHT_OUTPUT},
    {"final_layer_norm.weight", HB_WEIGHT_OUTPUT_NORM},
    {"final_layer_norm.bias", HB_WEIGHT_OUTPUT_NORM_BIAS},
    {"layers.#.input_layernorm.weight", HB_WEIGHT_ATTN_NORM},
    {"layers.#.input_layernorm.bias", HB_WEIGHT_ATTN_NORM_BIAS},
    {"layers.#.attention.query_key_value.weight", HB_WEIGHT_QKV},
    {"layers.#.attention.query_key_value.bias", HB_WEIGHT_QKV_BIAS},
    {"layers.#.attention.dense.weight", HB_WEIGHT_ATTN_OUTPUT},
    {"layers.#.attention.dense.bias", HB_WEIGHT_ATTN_OUTPUT_BIAS},
    {"layers.#.post_attention_layernorm.weight", HB_WEIGHT_FFN_NORM},
    {"layers.#.post_attention_layernorm.bias", HB_WEIGHT_FFN_NORM_BIAS},
    {"layers.#.mlp.dense_h_to_4h.weight", HB_WEIGHT_UP},
    {"layers.#.mlp.dense_h_to_4h.bias", HB_WEIGHT_UP_BIAS},
    {"layers.#.mlp.dense_4h_to_h.weight", HB_WEIGHT_DOWN},
    {"layers.#.mlp.dense_4h_to_h.bias", HB_WEIGHT_DOWN_BIAS},
    {"layers.#.attention.bias", HB_RULE_DROPPED},
    {"layers.#.attention.masked_bias", HB_RULE_DROPPED},
    {"layers.#.attention.rotary_emb.inv_freq", HB_RULE_DROPPED},
    {NULL, 0},
};

/* ---- The table ---- */

#define SILU "silu swish"
#define GELU "gelu gelu_new gelu_fast gelu_pytorch_tanh"

static const hb_family families[] = {
    {
        .model_types = "llama mistral",
        .architecture = "llama",
        .rules = {llama_rules, one_norm_before},
        .activations = SILU,
        .rope_base = 10000,
        .rope_share = 1,
    },
    {
        .model_types = "qwen2",
        .architecture = "qwen2",
        .rules = {llama_rules, one_norm_before},
        .activations = SILU,
        .rope_base = 10000,
        .rope_share = 1,
    },
    {
        .model_types = "qwen3",
        .architecture = "qwen3",
        .rules = {llama_rules, one_norm_before},
        .activations = SILU,
        .head_size = 128,
        .rope_base = 10000,
        .rope_share = 1,
    },
    {
        .model_types = "phi3",
        .architecture = "phi3",
        .rules = {llama_rules, one_norm_before},
        .partial_rope = true,
        .activations = SILU,
        .rope_base = 10000,
        .rope_share = 1,
    },
    {
        .model_types = "gemma3_text gemma3",
        .architecture = "gemma3",
        .rules = {llama_rules, gemma_rules},
        .norms_from_one = true,
        .tied = true,
        .activations = "gelu_pytorch_tanh",
        .head_size = 256,
        .heads = 8,
        .kv_heads = 4,
        .context = 131072,
        .vocabulary = 262208,
        .rope_base = 1000000,
        .rope_share = 1,
    },
    {
        .model_types = "gpt2",
        .architecture = "gpt2",
        .rules = {gpt2_rules},
        .transposed = true,
        .tied = true,
        .activations = GELU,
    },
    {
        .model_types = "gpt_neox",
        .architecture = "gptneox",
        .rules = {gptneox_rules},
        .qkv_by_head = true,
        .partial_rope = true,
        .activations = GELU,
        .rope_base = 10000,
        .rope_share = 0.25,
    },
};

bool hb_is_among(const char *words, hb_string word) {
  while (*words) {
    size_t length = strcspn(words, " ");
    if (hb_string_equal((hb_string){words, length}, word)) return true;
    words += length;
    words += strspn(words, " ");
  }
  return false;
}

const hb_family *hb_family_find(hb_string model_type) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    if (hb_is_among(families[i].model_types, model_type)) return &families[i];
  return NULL;
}

/* ---- Matching ---- */

/* Some files name the model that holds the tensors, and what holds that. */
static const char *const prefixes[] = {
    "language_model.model.",
    "model.language_model.",
    "model.",
    "language_model.",
    "transformer.",
    "gpt_neox.",
    "",
};

static bool matches(const char *rule, hb_string name, uint64_t *layer) {
  size_t at = 0;
  for (; *rule; rule++) {
    if (*rule == '*') return true;
    if (*rule != '#') {
      if (at == name.length || name.data[at++] != *rule) return false;
      continue;
    }
    size_t begin = at;
    *layer = 0;
    for (; at < name.length && name.data[at] >= '0' && name.data[at] <= '9' && at - begin < 9; at++)
      *layer = *layer * 10 + (uint64_t)(name.data[at] - '0');
    /* One spelling of a number, so that no two names are the same tensor's. */
    if (at == begin || (name.data[begin] == '0' && at - begin > 1)) return false;
  }
  return at == name.length;
}

const hb_rule *hb_family_rule(const hb_family *family, hb_string name, uint64_t *layer) {
  for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
    size_t length = strlen(prefixes[p]);
    if (name.length < length || memcmp(name.data, prefixes[p], length) != 0) continue;
    hb_string rest = {name.data + length, name.length - length};
    for (size_t list = 0; list < HB_FAMILY_LISTS && family->rules[list]; list++)
      for (const hb_rule *r = family->rules[list]; r->name; r++)
        if (matches(r->name, rest, layer)) return r;
  }
  return NULL;
}
