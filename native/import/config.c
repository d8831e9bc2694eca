#include "import/config.h"
#include "kernel/kernel.h"

#include <stdlib.h>

#define MOST INT32_MAX /* of any count; what computes with them knows narrower limits */

typedef struct reader {
  hb_config *c;
  hb_gguf_writer *writer;
  hb_error *error;
  uint64_t width, layers, heads, kv_heads, head_size, context, original_context;
} reader;

/* ---- Values ---- */

/* The member of the first of those names, with spaces between them, that `object` has. */
static hb_item find(hb_item object, const char *names) {
  char name[64];
  hb_item found = {NULL, 0};
  while (*names && !found.in) {
    size_t length = strcspn(names, " ");
    hb_format(name, sizeof name, "%S", (hb_string){names, length});
    found = hb_json_get(object, name);
    names += length;
    names += strspn(names, " ");
  }
  return found;
}

static hb_status wrong(const reader *r, const char *names, const char *what) {
  return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET, "\"%s\" %s", names, what);
}

static hb_status refuse(const reader *r, const char *name, const char *what) {
  return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "\"%s\" %s", name, what);
}

/* A whole number from 1 on; `fallback` where it is absent, unless that is 0. */
static hb_status read_count(const reader *r, hb_item object, const char *names, uint64_t fallback,
                            uint64_t *out) {
  hb_item item = find(object, names);
  *out = fallback;
  if (!item.in) return fallback > 0 ? HB_OK : wrong(r, names, "is missing");
  if (!hb_json_u64(item, out) || *out < 1 || *out > MOST)
    return wrong(r, names, "is no whole number from 1 to 2147483647");
  return HB_OK;
}

static hb_status read_real(const reader *r, hb_item object, const char *names, double fallback,
                           double *out) {
  hb_item item = find(object, names);
  *out = fallback;
  if (!item.in) return HB_OK;
  if (!hb_json_f64(item, out) || !(*out > 0 && *out < 1e12))
    return wrong(r, names, "is no positive number");
  return HB_OK;
}

static hb_status read_flag(const reader *r, hb_item object, const char *name, bool fallback,
                           bool *out) {
  hb_item item = hb_json_get(object, name);
  *out = fallback;
  if (!item.in || hb_json_bool(item, out)) return HB_OK;
  return wrong(r, name, "is neither true nor false");
}

/* ---- Keys ---- */

static const char *key_of(const reader *r, const char *suffix, char *key, size_t capacity) {
  hb_format(key, capacity, "%s.%s", r->c->architecture->name, suffix);
  return key;
}

static hb_status set_count(const reader *r, const char *suffix, uint64_t value) {
  char key[96];
  return hb_gguf_writer_set_u32(r->writer, key_of(r, suffix, key, sizeof key), (uint32_t)value,
                                r->error);
}

static hb_status set_real(const reader *r, const char *suffix, double value) {
  char key[96];
  return hb_gguf_writer_set_f32(r->writer, key_of(r, suffix, key, sizeof key), (float)value,
                                r->error);
}

static hb_status set_text(const reader *r, const char *suffix, const char *value) {
  char key[96];
  return hb_gguf_writer_set_string(r->writer, key_of(r, suffix, key, sizeof key),
                                   hb_string_of(value), r->error);
}

/* ---- What must be as the architecture computes it ---- */

static hb_status check_activation(const reader *r) {
  hb_string name;
  hb_item item = find(r->c->text, "hidden_activation hidden_act activation_function");
  if (!item.in) return HB_OK;
  if (hb_json_string(item, &name) && hb_is_among(r->c->family->activations, name)) return HB_OK;
  return refuse(r, "hidden_act", "is an activation that the architecture lacks");
}

static hb_status check_flags(const reader *r) {
  static const struct {
    const char *name;
    bool value;
  } flags[] = {{"scale_attn_by_inverse_layer_idx", false},
               {"scale_attn_weights", true},
               {"add_cross_attention", false},
               {"is_encoder_decoder", false},
               {"use_bidirectional_attention", false}};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    bool value;
    HB_TRY(read_flag(r, r->c->text, flags[i].name, flags[i].value, &value));
    if (value != flags[i].value) return refuse(r, flags[i].name, value ? "is true" : "is false");
  }
  if (find(r->c->root, "quantization_config").in || find(r->c->text, "quantization_config").in)
    return refuse(r, "quantization_config", "says that the weights are quantized already");
  return HB_OK;
}

/* Which layers have a window is a property of the architecture. */
static hb_status check_windows(const reader *r) {
  uint64_t period = r->c->architecture->window_period, stated, layer = 0;
  HB_TRY(
      read_count(r, r->c->text, "sliding_window_pattern _sliding_window_pattern", period, &stated));
  if (stated != period) return refuse(r, "sliding_window_pattern", "is not the architecture's");
  hb_json_walk w = hb_json_begin(hb_json_get(r->c->text, "layer_types"));
  for (hb_string type; hb_json_step(&w); layer++) {
    const char *expected = (layer + 1) % period == 0 ? "full_attention" : "sliding_attention";
    if (!hb_json_string(w.value, &type) || !hb_string_equal(type, hb_string_of(expected)))
      return refuse(r, "layer_types", "are not the architecture's");
  }
  return HB_OK;
}

/* Scores are divided by the root of the head size but in one model. */
static hb_status check_score_scale(const reader *r) {
  double scale;
  uint64_t expected = r->head_size;
  if (r->layers == r->c->architecture->wide_scale_layers) expected = r->width / r->heads;
  HB_TRY(read_real(r, r->c->text, "query_pre_attn_scalar", 256, &scale));
  if (scale != (double)expected)
    return refuse(r, "query_pre_attn_scalar", "is not the architecture's");
  return HB_OK;
}

/* ---- Sizes ---- */

static hb_status read_heads(reader *r) {
  const hb_family *f = r->c->family;
  hb_item text = r->c->text;
  HB_TRY(read_count(r, text, "num_attention_heads n_head", f->heads, &r->heads));
  HB_TRY(read_count(r, text, "num_key_value_heads", f->kv_heads ? f->kv_heads : r->heads,
                    &r->kv_heads));
  uint64_t share = r->width / r->heads;
  HB_TRY(read_count(r, text, "head_dim", f->head_size ? f->head_size : share, &r->head_size));
  if (r->head_size == share && share * r->heads != r->width)
    return wrong(r, "num_attention_heads", "does not divide the width");
  return HB_OK;
}

/* Where the architecture has no windows, the context ends where one would begin to matter. */
static hb_status write_context(reader *r) {
  uint64_t window;
  bool used;
  hb_item text = r->c->text;
  HB_TRY(read_count(r, text, "max_position_embeddings n_positions n_ctx", r->c->family->context,
                    &r->context));
  HB_TRY(read_flag(r, text, "use_sliding_window", true, &used));
  if (r->c->architecture->window_period > 0) {
    HB_TRY(check_windows(r));
    HB_TRY(check_score_scale(r));
    HB_TRY(read_count(r, text, "sliding_window", 4096, &window));
    HB_TRY(set_count(r, "attention.sliding_window", window));
    return set_count(r, "context_length", r->context);
  }
  HB_TRY(read_count(r, text, "sliding_window", r->context, &window));
  return set_count(r, "context_length", used && window < r->context ? window : r->context);
}

static hb_status write_softcap(const reader *r, const char *name) {
  double cap;
  HB_TRY(read_real(r, r->c->text, name, 0, &cap));
  return cap > 0 ? set_real(r, name, cap) : HB_OK;
}

static hb_status write_sizes(reader *r) {
  hb_item text = r->c->text;
  uint64_t feed_forward;
  HB_TRY(read_count(r, text, "hidden_size n_embd", 0, &r->width));
  HB_TRY(read_count(r, text, "num_hidden_layers n_layer", 0, &r->layers));
  HB_TRY(read_heads(r));
  HB_TRY(write_context(r));
  /* GPT-2 leaves its size out where it is four times the width. */
  uint64_t usual = hb_json_get(text, "n_embd").in ? 4 * r->width : 0;
  HB_TRY(read_count(r, text, "intermediate_size n_inner", usual, &feed_forward));
  HB_TRY(read_count(r, text, "vocab_size", r->c->family->vocabulary, &r->c->vocabulary));
  HB_TRY(set_count(r, "embedding_length", r->width));
  HB_TRY(set_count(r, "block_count", r->layers));
  HB_TRY(set_count(r, "feed_forward_length", feed_forward));
  HB_TRY(set_count(r, "attention.head_count", r->heads));
  HB_TRY(set_count(r, "attention.head_count_kv", r->kv_heads));
  if (r->head_size * r->heads != r->width) {
    HB_TRY(set_count(r, "attention.key_length", r->head_size));
    HB_TRY(set_count(r, "attention.value_length", r->head_size));
  }
  HB_TRY(set_count(r, "vocab_size", r->c->vocabulary));
  bool rms = r->c->architecture->norm == HB_NORM_RMS;
  double epsilon;
  HB_TRY(read_real(r, text, "rms_norm_eps layer_norm_epsilon layer_norm_eps", rms ? 1e-6 : 1e-5,
                   &epsilon));
  HB_TRY(write_softcap(r, "attn_logit_softcapping"));
  HB_TRY(write_softcap(r, "final_logit_softcapping"));
  return set_real(r, rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
                  epsilon);
}

/* ---- RoPE ---- */

static hb_status make_factors(const reader *r, hb_factors kind, float **out) {
  *out = r->c->factors[kind] = malloc((size_t)r->c->pairs * sizeof **out);
  return *out ? HB_OK : hb_fail(r->error, HB_MEMORY, HB_NO_OFFSET, "no memory for RoPE factors");
}

/* Sets `factors` to what Llama 3.1 and later divide the rotation of each pair by: nothing where the
 * original context holds many turns, all where it holds few, part of it between. */
static hb_status scale_llama3(const reader *r, hb_item rope, double base, uint64_t dims) {
  double factor, low, high;
  float *factors;
  uint64_t original;
  HB_TRY(read_real(r, rope, "factor", 8, &factor));
  HB_TRY(read_real(r, rope, "low_freq_factor", 1, &low));
  HB_TRY(read_real(r, rope, "high_freq_factor", 4, &high));
  HB_TRY(read_count(r, rope, "original_max_position_embeddings", 8192, &original));
  if (!(low < high)) return wrong(r, "low_freq_factor", "is not below \"high_freq_factor\"");
  HB_TRY(make_factors(r, HB_FACTORS_LLAMA3, &factors));
  for (uint64_t i = 0; i < r->c->pairs; i++) {
    double length = 6.283185307179586476925 * hb_pow(base, 2.0 * (double)i / (double)dims);
    double turns = (double)original / length;
    double share = (turns - low) / (high - low); /* of the rotation that stays as it was */
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    factors[i] = (float)(1 / ((1 - share) / factor + share));
  }
  return HB_OK;
}

static hb_status read_factors(const reader *r, hb_item rope, const char *name, hb_factors kind) {
  float *factors;
  uint64_t i = 0;
  HB_TRY(make_factors(r, kind, &factors));
  hb_json_walk w = hb_json_begin(hb_json_get(rope, name));
  for (double x; hb_json_step(&w); i++) {
    if (i == r->c->pairs || !hb_json_f64(w.value, &x) || !(x > 0 && x < 1e12)) break;
    factors[i] = (float)x;
  }
  if (i == r->c->pairs && w.next == w.end) return HB_OK;
  return wrong(r, name, "is no list of a positive number for each rotated pair");
}

/* Phi-3: factors for contexts up to the original one, and for longer ones. */
static hb_status scale_long(const reader *r, hb_item rope) {
  if (!((r->c->architecture->allows & HB_HAS(ROPE_LONG))))
    return refuse(r, "rope_type", "is \"longrope\"");
  double stretch = (double)r->context / (double)r->original_context, magnitude = 1;
  if (stretch > 1) {
    double x = 1 + hb_log(stretch) / hb_log((double)r->original_context);
    magnitude = hb_exp(0.5 * hb_log(x));
  }
  HB_TRY(read_real(r, rope, "attention_factor", magnitude, &magnitude));
  HB_TRY(read_factors(r, rope, "long_factor", HB_FACTORS_LONG));
  HB_TRY(read_factors(r, rope, "short_factor", HB_FACTORS_SHORT));
  HB_TRY(set_text(r, "rope.scaling.type", "longrope"));
  HB_TRY(set_count(r, "rope.scaling.original_context_length", r->original_context));
  return set_real(r, "rope.scaling.attn_factor", magnitude);
}

static hb_status scale_yarn(const reader *r, hb_item rope) {
  double factor, fast, slow, own, magnitude;
  HB_TRY(read_real(r, rope, "factor", 1, &factor));
  HB_TRY(read_real(r, rope, "beta_fast", 32, &fast));
  HB_TRY(read_real(r, rope, "beta_slow", 1, &slow));
  if (find(rope, "mscale mscale_all_dim").in) return refuse(r, "mscale", "is not supported");
  bool truncated;
  HB_TRY(read_flag(r, rope, "truncate", true, &truncated));
  if (!truncated) return refuse(r, "truncate", "is false");
  HB_TRY(set_text(r, "rope.scaling.type", "yarn"));
  HB_TRY(set_real(r, "rope.scaling.factor", factor));
  HB_TRY(set_count(r, "rope.scaling.original_context_length", r->original_context));
  HB_TRY(set_real(r, "rope.scaling.yarn_beta_fast", fast));
  HB_TRY(set_real(r, "rope.scaling.yarn_beta_slow", slow));
  own = factor > 1 ? 1 + 0.1 * hb_log(factor) : 1; /* which always applies */
  HB_TRY(read_real(r, rope, "attention_factor", own, &magnitude));
  return magnitude == own ? HB_OK : set_real(r, "rope.scaling.attn_factor", magnitude / own);
}

static hb_status write_scaling(const reader *r, hb_item rope, double base, uint64_t dims) {
  hb_string type = hb_string_of("default");
  hb_item item = find(rope, "rope_type type");
  double factor;
  if (item.in && !hb_json_string(item, &type)) return wrong(r, "rope_type", "is no string");
  if (hb_is_among("default", type)) return HB_OK;
  if (hb_is_among("llama3", type)) {
    if (!(r->c->architecture->allows & HB_HAS(ROPE_FREQS)))
      return refuse(r, "rope_type", "is \"llama3\"");
    return scale_llama3(r, rope, base, dims);
  }
  if (hb_is_among("longrope su", type)) return scale_long(r, rope);
  if (hb_is_among("yarn", type)) return scale_yarn(r, rope);
  if (!hb_is_among("linear", type))
    return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "\"rope_type\" is \"%S\"", type);
  HB_TRY(read_real(r, rope, "factor", 1, &factor));
  HB_TRY(set_text(r, "rope.scaling.type", "linear"));
  return set_real(r, "rope.scaling.factor", factor);
}

static hb_status write_rope(reader *r) {
  const hb_family *f = r->c->family;
  hb_item text = r->c->text, rope = find(text, "rope_parameters rope_scaling");
  hb_item local = hb_json_get(rope, "sliding_attention"),
          full = hb_json_get(rope, "full_attention");
  double base, local_base, share;
  if (r->c->architecture->rope == HB_ROPE_NONE) return HB_OK;
  if (full.in) rope = full; /* Transformers 5: kinds of layers have their own */
  HB_TRY(read_real(r, text, "rope_theta rotary_emb_base", f->rope_base, &base));
  HB_TRY(read_real(r, rope, "rope_theta", base, &base));
  HB_TRY(read_real(r, text, "partial_rotary_factor rotary_pct", f->rope_share, &share));
  HB_TRY(read_real(r, rope, "partial_rotary_factor", share, &share));
  if (share > 1 || (share < 1 && !f->partial_rope))
    return refuse(r, "partial_rotary_factor", "does not suit the architecture");
  uint64_t dims = (uint64_t)((double)r->head_size * share);
  r->c->pairs = dims / 2;
  HB_TRY(read_count(r, text, "original_max_position_embeddings", r->context, &r->original_context));
  HB_TRY(read_count(r, rope, "original_max_position_embeddings", r->original_context,
                    &r->original_context));
  HB_TRY(set_real(r, "rope.freq_base", base));
  HB_TRY(set_count(r, "rope.dimension_count", dims));
  if (r->c->architecture->window_period > 0) {
    HB_TRY(read_real(r, text, "rope_local_base_freq", 10000, &local_base));
    HB_TRY(read_real(r, local, "rope_theta", local_base, &local_base));
    HB_TRY(set_real(r, "rope.freq_base_swa", local_base));
  }
  return write_scaling(r, rope, base, dims);
}

/* ---- Whole ---- */

static hb_status find_family(reader *r) {
  hb_config *c = r->c;
  hb_string type = {"", 0};
  hb_item part = hb_json_get(c->root, "text_config");
  c->text = part.in ? part : c->root;
  hb_item item = hb_json_get(c->text, "model_type");
  if (!item.in) item = hb_json_get(c->root, "model_type");
  if (!hb_json_string(item, &type)) return wrong(r, "model_type", "is missing");
  c->family = hb_family_find(type);
  if (!c->family)
    return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "\"model_type\" is \"%S\"", type);
  hb_string name = hb_string_of(c->family->architecture);
  c->architecture = hb_architecture_find(name);
  return hb_gguf_writer_set_string(r->writer, "general.architecture", name, r->error);
}

static hb_status read_config(reader *r) {
  hb_config *c = r->c;
  HB_TRY(find_family(r));
  HB_TRY(check_activation(r));
  HB_TRY(check_flags(r));
  HB_TRY(write_sizes(r));
  HB_TRY(write_rope(r));
  HB_TRY(read_flag(r, c->root, "tie_word_embeddings", c->family->tied, &c->tied));
  HB_TRY(read_flag(r, c->text, "tie_word_embeddings", c->tied, &c->tied));
  if (!c->architecture->parallel_residual_key) return HB_OK;
  bool parallel;
  char key[96];
  HB_TRY(read_flag(r, c->text, "use_parallel_residual", true, &parallel));
  return hb_gguf_writer_set_bool(r->writer, key_of(r, "use_parallel_residual", key, sizeof key),
                                 parallel, r->error);
}

hb_status hb_config_read(hb_item root, hb_gguf_writer *writer, hb_config *out, hb_error *error) {
  *out = (hb_config){.root = root};
  reader r = {.c = out, .writer = writer, .error = error};
  hb_status status = read_config(&r);
  if (status != HB_OK) hb_config_close(out);
  return status;
}

void hb_config_close(hb_config *config) {
  for (int i = 0; i < HB_FACTOR_KINDS; i++) free(config->factors[i]);
  *config = (hb_config){0};
}
