/* A model in memory: its weights, and the program that computes with them. */
#ifndef HB_MODEL_H
#define HB_MODEL_H

#include "kernel/kernel.h"
#include "model/hyperparameters.h"
#include "token/tokenizer.h"

/* ---- Weights ---- */

/* Outliers beside a matrix: the bytes of their tensor, and what they are made of. */
typedef struct hb_weight_outliers {
  uint64_t bytes; /* 0: there are none */
  uint8_t *data;  /* NULL until they arrive */
  hb_sparse parts;
  uint16_t *columns; /* increasing: those that have an entry; NULL unless inputs skip them */
  uint32_t column_count;
} hb_weight_outliers;

typedef struct hb_weight {
  char name[48];
  hb_weight_kind kind;
  uint32_t layer;
  bool required;
  bool present;        /* the file has it, with the right shape and a type we know */
  uint64_t cols, rows; /* as the architecture wants them; rows = 1 for a vector */
  uint64_t file_bytes;
  hb_matrix matrix; /* a matrix, in the layout of the kernels; data NULL until its bytes arrive */
  float *vector;    /* a vector, [cols] */
  uint64_t block_bytes; /* of the block of memory that begins with this weight; 0: it lies in one */

  /* Of files with formats of halfbyte's own (private.c). */
  hb_type private_type; /* that halfbyte.tensor_types gives it; F32: none */
  hb_weight_outliers outliers;
  bool has_input_scale;
  float input_scale;

  /* Index of the LORA_A of the first adapter that adds to its product; of a LORA_A, that of the
   * next one; 0: none. Its LORA_B follows it. */
  uint32_t adapter;
} hb_weight;

/* How inputs of the matrices in layers become int8: one scale for each block of 32, for each row,
 * or a fixed one. */
typedef enum hb_activations {
  HB_ACTIVATIONS_BLOCK,
  HB_ACTIVATIONS_TOKEN,
  HB_ACTIVATIONS_TENSOR
} hb_activations;

/* ---- The program ---- */

/* X(KIND, how its work is divided): the operations that a forward pass is made of. ROWS: by the
 * rows of the batch. GROUPS: by groups of 16 rows of the weight. HEADS: by row and key/value head.
 */
#define HB_OP_LIST(X)                                                                              \
  X(EMBED, ROWS)        /* out = row `token` of the weight */                                      \
  X(POSITION, ROWS)     /* out += row `position` of the weight */                                  \
  X(SCALE, ROWS)        /* out = in * parameter */                                                 \
  X(NORM, ROWS)         /* out = norm(in) * weight + bias */                                       \
  X(HEAD_NORM, ROWS)    /* every head of out is normed in place */                                 \
  X(SKIP, ROWS)         /* out = in, but 0 in the columns of the weight's outliers */              \
  X(QUANTIZE, ROWS)     /* the int8 buffer = in */                                                 \
  X(QUANTIZE_ROW, ROWS) /* the same with one scale for the row, which the weight may fix */        \
  X(MATMUL, GROUPS)     /* out = weight * in + bias */                                             \
  X(OUTLIERS, GROUPS)   /* out += the weight's outliers * in */                                    \
  X(ROPE, ROWS)         /* every head of out is rotated in place */                                \
  X(STORE, ROWS)        /* k and v of in go to the cache of the layer */                           \
  X(ATTEND, HEADS)      /* out = attention of in, the rows' q, over the cache */                   \
  X(ACTIVATE, ROWS)     /* out = activation(in), gated by what stands beside it */                 \
  X(ADD, ROWS)          /* out += in */                                                            \
  X(SELECT, NEVER) /* out's row i = its row of the i-th wanted logits; from here on only these */  \
  X(SOFTCAP, ROWS) /* out = cap * tanh(in / cap) */

typedef enum hb_op_kind {
#define HB_OP_ENUM(kind, division) HB_OP_##kind,
  HB_OP_LIST(HB_OP_ENUM)
#undef HB_OP_ENUM
} hb_op_kind;

typedef enum hb_division {
  HB_DIVIDE_ROWS,
  HB_DIVIDE_GROUPS,
  HB_DIVIDE_HEADS,
  HB_DIVIDE_NEVER
} hb_division;

/* X(NAME, name): what operations read and write, each [rows of the batch][its width] f32. */
#define HB_BUFFER_LIST(X)                                                                          \
  X(STREAM, "stream") /* the residual stream */                                                    \
  X(HIDDEN, "hidden") /* what a part of a layer reads and leaves */                                \
  X(BESIDE, "beside") /* attention's result while a parallel residual's feed forward runs */       \
  X(QKV, "qkv")                                                                                    \
  X(ATTENDED, "attended")                                                                          \
  X(FF, "ff")           /* gate and up side by side */                                             \
  X(SKIPPED, "skipped") /* an input without the columns of outliers */                             \
  X(LOW, "low")         /* an input by the A of adapters */                                        \
  X(RAISED, "raised")   /* that by their B: what is added to products */                           \
  X(LOGITS, "logits")

typedef enum hb_buffer {
#define HB_BUFFER_ENUM(name, text) HB_BUFFER_##name,
  HB_BUFFER_LIST(HB_BUFFER_ENUM)
#undef HB_BUFFER_ENUM
      HB_BUFFERS
} hb_buffer;

#define HB_NONE UINT32_MAX

/* `width` columns of a buffer from `column` on. */
typedef struct hb_operand {
  hb_buffer buffer;
  uint32_t column;
  uint32_t width;
} hb_operand;

typedef struct hb_op {
  hb_op_kind kind;
  uint32_t layer;
  hb_operand in, out;
  uint32_t weight, bias; /* indices of model->weights, or HB_NONE */
  float parameter;
  bool selected; /* works on the rows whose logits are wanted, not on all */
  bool barrier;  /* all threads must have finished what stands before */
} hb_op;

/* ---- The model ---- */

/* Angles of RoPE: the pair i turns by position * frequency[i]. */
typedef struct hb_rope_table {
  double *frequency; /* [rope_dims / 2] */
  double magnitude;  /* factor of cosine and sine (YaRN) */
} hb_rope_table;

/* Which table: layers that see everything; those with a window; everything beyond the original
 * context (phi3's long factors). */
enum { HB_ROPE_GLOBAL, HB_ROPE_WINDOW, HB_ROPE_LONG, HB_ROPE_TABLES };

struct hb_model {
  const hb_allocator *allocator;
  const hb_kernels *kernels;
  const hb_architecture *architecture;
  hb_hyperparameters h;
  hb_gguf *gguf;
  hb_tokenizer *tokenizer;

  hb_weight *weights;
  uint32_t weight_count;      /* those of adapters stand last */
  uint32_t weight_capacity;   /* of the list */
  uint32_t own_weights;       /* all others */
  uint32_t *weight_index;     /* hash table of these by name: index + 1, or 0 */
  uint32_t weight_index_size; /* a power of two */

  hb_op *program;
  uint32_t op_count, op_capacity;
  uint32_t hidden_ops; /* how many of them leave the states behind the last norm in HIDDEN */
  uint32_t buffer_width[HB_BUFFERS];
  uint32_t int8_width; /* of the widest quantized input */

  hb_rope_table rope[HB_ROPE_TABLES];

  bool has_private; /* the file may have formats of halfbyte's own */
  hb_activations activations;
  bool skip_outliers; /* columns with outliers count as 0 in int8 inputs */

  bool loaded; /* the weights are there */
  uint32_t adapter_count;
  uint32_t adaptations; /* how often adapters came or went */
};

/* ---- model.c ---- */

/* Gives a model that has its allocator, kernels and the header of its first file what follows from
 * them: architecture, numbers, tokenizer, and the list of its weights. */
hb_status hb_model_begin(hb_model *model, hb_error *error);

/* ---- weights.c ---- */

/* Lists the weights that the architecture needs and allows. */
hb_status hb_weights_list(hb_model *model, hb_error *error);
/* The weight with that name, or NULL. */
hb_weight *hb_weight_named(const hb_model *model, hb_string name);
/* Its index if it is present, else HB_NONE. `layer` is ignored for weights outside of layers. */
uint32_t hb_weight_find(const hb_model *model, hb_weight_kind kind, uint32_t layer);
/* Checks the tensor's shape and type against the weight and marks it present. */
hb_status hb_weight_bind(hb_weight *weight, const hb_tensor *tensor, hb_error *error);
/* Every required weight is present. */
hb_status hb_weights_check(const hb_model *model, hb_error *error);
/* Bytes that the present weights and what stands beside them take, or false if the sum wraps. */
bool hb_weights_bytes(const hb_model *model, uint64_t *bytes);
/* Gives the weight of the header's tensor `index` its memory, in a block shared with the weights
 * whose tensors follow it. */
hb_status hb_weight_allocate(const hb_model *model, size_t index, hb_error *error);
/* Releases the block that begins with the weight, and what stands beside it. */
void hb_weight_release(const hb_model *model, hb_weight *weight);

/* ---- private.c: formats of halfbyte's own ---- */

/* A tensor that stands beside a weight. */
typedef struct hb_beside {
  hb_weight *weight; /* NULL: it is no such tensor */
  bool is_scale;     /* of its input; else its outliers */
} hb_beside;

/* Reads the keys that describe them; the weights are listed. */
hb_status hb_private_begin(hb_model *model, hb_error *error);
hb_beside hb_beside_find(const hb_model *model, hb_string name);
/* Checks the tensor's shape and type. */
hb_status hb_beside_bind(const hb_beside *beside, const hb_tensor *tensor, hb_error *error);
/* What was announced is there. */
hb_status hb_private_check(const hb_model *model, hb_error *error);
/* Where the bytes of a bound tensor go; NULL if there is no memory. */
uint8_t *hb_beside_place(const hb_model *model, const hb_beside *beside);
/* Checks the bytes, when all are there. */
hb_status hb_beside_finish(const hb_model *model, const hb_beside *beside, hb_error *error);
/* Products that share an int8 input agree on it. */
hb_status hb_private_finish(const hb_model *model, hb_error *error);
void hb_beside_release(const hb_model *model, hb_weight *weight);

/* ---- compile.c, rope.c ---- */

/* Makes the program from the weights that are present, anew if there was one: one that is not
 * longer needs no memory. */
hb_status hb_model_compile(hb_model *model, hb_error *error);
/* Makes the tables of angles; needs the weights' data. */
hb_status hb_rope_prepare(hb_model *model, hb_error *error);
/* Cosines and sines [rope_dims / 2] of one position. */
void hb_rope_angles(const hb_model *model, const hb_rope_table *table, uint32_t position,
                    float *cosine, float *sine);
/* The table that a layer uses in a session of `context_length` positions. */
uint32_t hb_rope_table_of(const hb_model *model, uint32_t layer, uint32_t context_length);

hb_division hb_op_division(hb_op_kind kind);

#endif
