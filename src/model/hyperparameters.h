/* The numbers of a model, read from its metadata and checked, so that whatever computes with them
 * need not. */
#ifndef HB_HYPERPARAMETERS_H
#define HB_HYPERPARAMETERS_H

#include "gguf/gguf.h"
#include "model/architecture.h"

#define HB_MAX_LAYERS 1000
#define HB_MAX_WIDTH (1u << 17)
#define HB_MAX_HEADS 1024
#define HB_MAX_HEAD_SIZE 512
#define HB_MAX_FEED_FORWARD (1u << 20)
#define HB_MAX_CONTEXT (1u << 24)
#define HB_MAX_VOCABULARY (1u << 22)

typedef enum hb_rope_scaling {
  HB_SCALING_NONE,
  HB_SCALING_LINEAR,
  HB_SCALING_YARN
} hb_rope_scaling;

typedef struct hb_hyperparameters {
  uint32_t layers;
  uint32_t width;
  uint32_t heads, kv_heads; /* heads is a multiple of kv_heads */
  uint32_t head_size;       /* of q and k; even if rotated */
  uint32_t value_size;      /* of v, a head */
  uint32_t feed_forward;
  uint32_t vocabulary;
  uint32_t context_length;
  float norm_eps;
  bool parallel_residual;
  uint32_t window;         /* positions that a windowed layer sees; 0: all */
  float attention_softcap; /* 0: none */
  float output_softcap;

  uint32_t rope_dims; /* values of a head that are rotated; even; 0 without RoPE */
  double rope_base, window_rope_base;
  hb_rope_scaling rope_scaling;
  double rope_factor; /* by which the context was stretched */
  double rope_attention_factor;
  double yarn_beta_fast, yarn_beta_slow;
  uint32_t original_context_length;
} hb_hyperparameters;

/* HB_MODEL or HB_UNSUPPORTED, with the key's name, for what is missing or out of range. */
hb_status hb_hyperparameters_read(const hb_gguf *gguf, const hb_architecture *architecture,
                                  hb_hyperparameters *out, hb_error *error);

/* 0 only for HB_DIM_ADAPTER: a dimension of a weight. Fits 32 bits by the limits above, but for
 * HB_DIM_QKV and the like, which fit 64 with room. */
uint64_t hb_dim_size(const hb_hyperparameters *h, hb_dim dim);

/* 1 if the layer sees everything, 0 if it has a sliding window. */
bool hb_layer_is_global(const hb_architecture *architecture, const hb_hyperparameters *h,
                        uint32_t layer);

#endif
