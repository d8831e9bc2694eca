/* A LoRA adapter in training (Hu et al., arXiv:2106.09685): beside a frozen matrix W of the model
 * stand A, [rank][columns], and B, [rows][rank], and the product is W x + alpha / rank B (A x). The
 * model has them as if they came from a file (src/model/adapt.c). Here are their values before they
 * are rounded to the type of the file, which takes gradients straight through: what is written is
 * what was computed with, bit for bit. */
#ifndef HB_TRAIN_LORA_H
#define HB_TRAIN_LORA_H

#include "model/model.h"

typedef struct hb_lora_options {
  uint32_t rank;
  double alpha;
  hb_type type;         /* of its tensors: F32, F16, BF16 */
  const char *matrices; /* names of matrices in layers, as "attn_q,attn_v"; NULL: all */
  uint64_t seed;        /* of A; B begins with zeros */
  /* The bytes of an adapter to begin with, whose rank, alpha and matrices count instead; or NULL.
   */
  const void *adapter;
  size_t adapter_size;
} hb_lora_options;

/* Numbers of A or of B, [rows][cols]. */
typedef struct hb_lora_part {
  uint32_t matrix, weight; /* of the model: W; A or B */
  uint64_t cols, rows;
  uint64_t start; /* in `values` */
  double factor;  /* in the model, of the numbers in the file */
} hb_lora_part;

typedef struct hb_lora {
  const hb_allocator *allocator;
  hb_model *model;
  hb_type type;
  double alpha;        /* 0: a file without one */
  hb_lora_part *parts; /* A and B of each matrix in turn */
  uint32_t part_count;
  uint64_t capacity;
  float *values; /* of all parts */
  uint64_t count;
} hb_lora;

/* Adapts a model without adapters, which must outlive this. Zero *lora to begin; to be ended in any
 * case. */
hb_status hb_lora_begin(hb_lora *lora, const hb_allocator *allocator, hb_model *model,
                        const hb_lora_options *options, hb_error *error);
void hb_lora_end(hb_lora *lora);

static inline uint64_t hb_lora_count(const hb_lora_part *part) {
  return part->cols * part->rows;
}

/* Gives the model the values as they are now. */
void hb_lora_project(const hb_lora *lora);

/* From gradients of the model's weights, which lie as `values` do, those of the values. */
void hb_lora_back(const hb_lora *lora, float *gradients);

/* Writes the file that hb_model_adapt takes. */
hb_status hb_lora_write(const hb_lora *lora, const hb_sink *sink, hb_error *error);

#endif
