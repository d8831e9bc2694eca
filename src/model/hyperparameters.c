#include "model/hyperparameters.h"

/* Reads keys "ARCHITECTURE.suffix". */
typedef struct reader {
  const hb_gguf *gguf;
  const char *architecture;
  hb_error *error;
} reader;

static const hb_value *find(const reader *r, const char *suffix, char *key, size_t capacity) {
  hb_format(key, capacity, "%s.%s", r->architecture, suffix);
  return hb_gguf_value(r->gguf, key);
}

/* An integer in 1..limit, or 0 where the key is absent. An array (a number a layer) must hold one
 * number throughout. */
static hb_status read_u32(const reader *r, const char *suffix, uint32_t limit, uint32_t *out) {
  char key[96];
  const hb_value *value = find(r, suffix, key, sizeof key);
  *out = 0;
  if (!value) return HB_OK;
  uint64_t count = value->type == HB_VALUE_ARRAY ? value->count : 1;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t v;
    HB_TRY(hb_value_u64(value, i, &v, r->error));
    if (v < 1 || v > limit)
      return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET, "%s is %u, not in 1..%u", key, v,
                     (uint64_t)limit);
    if (i > 0 && v != *out)
      return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s differs between layers", key);
    *out = (uint32_t)v;
  }
  return HB_OK;
}

static hb_status need_u32(const reader *r, const char *suffix, uint32_t limit, uint32_t *out) {
  HB_TRY(read_u32(r, suffix, limit, out));
  if (*out == 0)
    return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET, "key %s.%s is missing", r->architecture,
                   suffix);
  return HB_OK;
}

/* A real number in low..high; *out keeps its value where the key is absent. */
static hb_status read_f64(const reader *r, const char *suffix, double low, double high,
                          double *out) {
  char key[96];
  const hb_value *value = find(r, suffix, key, sizeof key);
  if (!value) return HB_OK;
  double v;
  HB_TRY(hb_value_f64(value, 0, &v, r->error));
  if (!(v >= low && v <= high))
    return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET, "%s is out of its range", key);
  *out = v;
  return HB_OK;
}

static hb_status read_f32(const reader *r, const char *suffix, double low, double high,
                          float *out) {
  double v = *out;
  HB_TRY(read_f64(r, suffix, low, high, &v));
  *out = (float)v;
  return HB_OK;
}

static hb_status read_heads(const reader *r, hb_hyperparameters *h) {
  HB_TRY(need_u32(r, "attention.head_count", HB_MAX_HEADS, &h->heads));
  HB_TRY(read_u32(r, "attention.head_count_kv", HB_MAX_HEADS, &h->kv_heads));
  if (h->kv_heads == 0) h->kv_heads = h->heads;
  if (h->heads % h->kv_heads != 0)
    return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET,
                   "%u attention heads cannot share %u key/value heads evenly", (uint64_t)h->heads,
                   (uint64_t)h->kv_heads);
  HB_TRY(read_u32(r, "attention.key_length", HB_MAX_HEAD_SIZE, &h->head_size));
  HB_TRY(read_u32(r, "attention.value_length", HB_MAX_HEAD_SIZE, &h->value_size));
  uint32_t even_share = h->width / h->heads;
  if (h->head_size == 0 || h->value_size == 0) {
    if (h->width % h->heads != 0 || even_share > HB_MAX_HEAD_SIZE)
      return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET,
                     "embedding length %u does not divide into %u heads of at most %u",
                     (uint64_t)h->width, (uint64_t)h->heads, (uint64_t)HB_MAX_HEAD_SIZE);
    if (h->head_size == 0) h->head_size = even_share;
    if (h->value_size == 0) h->value_size = even_share;
  }
  return HB_OK;
}

static hb_status read_rope_scaling(const reader *r, hb_hyperparameters *h) {
  char key[96];
  const hb_value *value = find(r, "rope.scaling.type", key, sizeof key);
  hb_string type = hb_string_of("none");
  if (value) HB_TRY(hb_value_string(value, &type, r->error));
  double factor = 0;
  HB_TRY(read_f64(r, "rope.scale_linear", 0, 1e6, &factor)); /* the key of old files */
  if (factor > 0 && !value) type = hb_string_of("linear");
  HB_TRY(read_f64(r, "rope.scaling.factor", 0, 1e6, &factor));
  h->rope_factor = factor > 0 ? factor : 1;

  /* longrope is the factors' tensors of phi3, which apply whatever the type says. */
  if (hb_string_equal(type, hb_string_of("none")) ||
      hb_string_equal(type, hb_string_of("longrope")))
    h->rope_scaling = HB_SCALING_NONE;
  else if (hb_string_equal(type, hb_string_of("linear")))
    h->rope_scaling = HB_SCALING_LINEAR;
  else if (hb_string_equal(type, hb_string_of("yarn")))
    h->rope_scaling = HB_SCALING_YARN;
  else
    return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s is \"%S\"", key, type);

  h->rope_attention_factor = 1;
  HB_TRY(read_f64(r, "rope.scaling.attn_factor", 0, 1e6, &h->rope_attention_factor));
  HB_TRY(read_f64(r, "rope.scaling.yarn_attn_factor", 0, 1e6, &h->rope_attention_factor));
  h->yarn_beta_fast = 32;
  h->yarn_beta_slow = 1;
  HB_TRY(read_f64(r, "rope.scaling.yarn_beta_fast", 1e-6, 1e6, &h->yarn_beta_fast));
  HB_TRY(read_f64(r, "rope.scaling.yarn_beta_slow", 1e-6, 1e6, &h->yarn_beta_slow));
  HB_TRY(read_u32(r, "rope.scaling.original_context_length", HB_MAX_CONTEXT,
                  &h->original_context_length));
  if (h->original_context_length == 0) h->original_context_length = h->context_length;
  return HB_OK;
}

static hb_status read_rope(const reader *r, const hb_architecture *a, hb_hyperparameters *h) {
  if (a->rope == HB_ROPE_NONE) return HB_OK;
  HB_TRY(read_u32(r, "rope.dimension_count", HB_MAX_HEAD_SIZE, &h->rope_dims));
  if (h->rope_dims == 0) h->rope_dims = h->head_size;
  if (h->rope_dims > h->head_size || h->rope_dims % 2 != 0)
    return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET,
                   "%s.rope.dimension_count is %u, odd or more than the head size %u", a->name,
                   (uint64_t)h->rope_dims, (uint64_t)h->head_size);
  h->rope_base = 10000;
  HB_TRY(read_f64(r, "rope.freq_base", 1, 1e12, &h->rope_base));
  h->window_rope_base = a->window_rope_base;
  HB_TRY(read_f64(r, "rope.freq_base_swa", 1, 1e12, &h->window_rope_base));
  return read_rope_scaling(r, h);
}

/* As many as the tokenizer has tokens; else what the key or the embedding says. */
static hb_status read_vocabulary(const reader *r, hb_hyperparameters *h) {
  const hb_value *tokens = hb_gguf_value(r->gguf, "tokenizer.ggml.tokens");
  const hb_tensor *embedding = hb_gguf_tensor(r->gguf, hb_weight_table[HB_WEIGHT_TOKEN_EMBD].name);
  uint64_t count = 0;
  if (tokens && tokens->type == HB_VALUE_ARRAY) {
    count = tokens->count;
  } else {
    HB_TRY(read_u32(r, "vocab_size", HB_MAX_VOCABULARY, &h->vocabulary));
    count = h->vocabulary ? h->vocabulary : embedding ? embedding->dims[1] : 0;
  }
  if (count < 1 || count > HB_MAX_VOCABULARY)
    return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET, "the vocabulary has %u tokens, not 1..%u",
                   count, (uint64_t)HB_MAX_VOCABULARY);
  h->vocabulary = (uint32_t)count;
  return HB_OK;
}

static hb_status refuse_experts(const reader *r) {
  uint32_t experts;
  HB_TRY(read_u32(r, "expert_count", UINT32_MAX, &experts));
  if (experts > 0)
    return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "%s.expert_count: mixtures of experts are not supported", r->architecture);
  return HB_OK;
}

hb_status hb_hyperparameters_read(const hb_gguf *gguf, const hb_architecture *a,
                                  hb_hyperparameters *h, hb_error *error) {
  const reader r = {gguf, a->name, error};
  *h = (hb_hyperparameters){0};
  HB_TRY(need_u32(&r, "block_count", HB_MAX_LAYERS, &h->layers));
  HB_TRY(need_u32(&r, "embedding_length", HB_MAX_WIDTH, &h->width));
  HB_TRY(need_u32(&r, "feed_forward_length", HB_MAX_FEED_FORWARD, &h->feed_forward));
  HB_TRY(need_u32(&r, "context_length", HB_MAX_CONTEXT, &h->context_length));
  HB_TRY(read_heads(&r, h));
  HB_TRY(read_vocabulary(&r, h));
  HB_TRY(read_rope(&r, a, h));

  const char *eps_key =
      a->norm == HB_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
  h->norm_eps = -1;
  HB_TRY(read_f32(&r, eps_key, 0, 1, &h->norm_eps));
  if (h->norm_eps < 0)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %s.%s is missing", a->name, eps_key);

  if (a->parallel_residual_key) {
    char key[96];
    const hb_value *value = find(&r, "use_parallel_residual", key, sizeof key);
    int parallel = 1;
    if (value) HB_TRY(hb_value_bool(value, &parallel, error));
    h->parallel_residual = parallel;
  }
  if (a->window_period > 0)
    HB_TRY(need_u32(&r, "attention.sliding_window", HB_MAX_CONTEXT, &h->window));
  HB_TRY(read_f32(&r, "attn_logit_softcapping", 0, 1e6, &h->attention_softcap));
  HB_TRY(read_f32(&r, "final_logit_softcapping", 0, 1e6, &h->output_softcap));
  return refuse_experts(&r);
}

uint64_t hb_dim_size(const hb_hyperparameters *h, hb_dim dim) {
  uint64_t q = (uint64_t)h->heads * h->head_size;
  uint64_t k = (uint64_t)h->kv_heads * h->head_size;
  uint64_t v = (uint64_t)h->kv_heads * h->value_size;
  switch (dim) {
  case HB_DIM_ONE: return 1;
  case HB_DIM_WIDTH: return h->width;
  case HB_DIM_HEAD: return h->head_size;
  case HB_DIM_Q: return q;
  case HB_DIM_K: return k;
  case HB_DIM_V: return v;
  case HB_DIM_QKV: return q + k + v;
  case HB_DIM_ATTEND: return (uint64_t)h->heads * h->value_size;
  case HB_DIM_FF: return h->feed_forward;
  case HB_DIM_FF2: return 2 * (uint64_t)h->feed_forward;
  case HB_DIM_VOCAB: return h->vocabulary;
  case HB_DIM_CONTEXT: return h->context_length;
  case HB_DIM_PAIRS: return h->rope_dims / 2;
  case HB_DIM_ADAPTER: break;
  }
  return 0;
}

bool hb_layer_is_global(const hb_architecture *a, const hb_hyperparameters *h, uint32_t layer) {
  return h->window == 0 || (layer + 1) % a->window_period == 0;
}
