/*
 * The arithmetic of a forward pass, the same bits on every ISA.
 *
 * One table of functions (hb_kernels) per ISA. scalar (generic.c) is the definition. Two bodies of
 * code are shared: vector.inc, written over 8 virtual f32 lanes, and matmul.inc, written over
 * groups of 16 interleaved rows; an ISA file supplies the few primitives they stand on and includes
 * both.
 *
 * Nothing here checks arguments: the model's compiler has (src/model).
 */
#ifndef HB_KERNEL_H
#define HB_KERNEL_H

#include "quant/private.h"

/* ---- Weights ------------------------------------------------------------------------------- */

#define HB_GROUP 16 /* rows interleaved; a vector lane holds one of them */
#define HB_BLOCK 32 /* values of an activation block */

/* A weight matrix [rows][cols] in the layout of the kernels. Quantized types are interleaved in
 * groups of 16 rows, the last group filled up with rows of zeros. F32, F16 and BF16 stay row after
 * row: a vector of their sum runs along the row (8 lanes). The layout is the same on every ISA. */
typedef struct hb_matrix {
  hb_type type; /* in the file */
  uint32_t rows;
  uint32_t cols;
  uint64_t bytes; /* of data */
  uint8_t *data;  /* 64-byte aligned */
} hb_matrix;

/* Bytes of a packed matrix; false if the type has no kernel, cols is no multiple of its block, or
 * the size wraps. */
bool hb_packed_size(hb_type type, uint64_t rows, uint64_t cols, uint64_t *bytes);

/* Packs rows 16*group .. (as many as the group has) from their GGUF form, `raw`, row after row,
 * into m->data. Lossless. */
void hb_pack_group(const hb_matrix *m, size_t group, const void *raw);

/* Decodes one row to f32[cols], bit for bit what the type's reference decoder gives. */
void hb_unpack_row(const hb_matrix *m, size_t row, float *out);

static inline size_t hb_group_count(const hb_matrix *m) {
  return ((size_t)m->rows + HB_GROUP - 1) / HB_GROUP;
}

/* 1 if products with this type take int8 activations, 0 if f32. */
bool hb_type_wants_int8(hb_type type);

/* out[n] += value * x[column] for each entry of the rows n = first .. end - 1, in order, rounding
 * each operation; for `x_rows` rows of activations, whose strides are in floats. The same code on
 * every ISA. */
void hb_add_outliers(const hb_sparse *outliers, uint32_t first, uint32_t end, const float *x,
                     size_t x_stride, size_t x_rows, float *out, size_t out_stride);

/* ---- Attention ----------------------------------------------------------------------------- */

#define HB_KV_BLOCK 32       /* positions in a block of the cache */
#define HB_MAX_HEAD_SIZE 512 /* of k and v: attend keeps its sums on the stack */
#define HB_ATTEND_ROWS 8     /* rows that attend takes at once with profit */

/* The cache of one layer and one KV head is an array of blocks of 32 positions, counted from
 * position 0. A block holds, in f16 or f32, K transposed [head_size][32], then V [32][v_size]. */
typedef struct hb_attend_args {
  const void *cache;           /* block 0 */
  uint32_t head_size;          /* of q and k */
  uint32_t value_size;         /* of v and the output */
  uint32_t position;           /* of the first row, the last that it sees */
  uint32_t window;             /* positions that a row sees at most, up to its own; 0: all */
  float scale;                 /* of a score */
  float softcap;               /* 0, or c: score = c * tanh(score / c) */
  uint32_t heads;              /* query heads that share the cache; 0 counts as 1 */
  uint32_t rows;               /* rows that stand at successive positions; 0 counts as 1 */
  size_t q_stride, out_stride; /* floats from one row to the next */
} hb_attend_args;

#define HB_MAXIMA_GROUP 128 /* values that give 8 maxima */

/* ---- The table ----------------------------------------------------------------------------- */

typedef struct hb_kernels {
  hb_isa isa;

  /* Bytes of a row of k activations (k a multiple of 32) quantized for this ISA's matmul. Every ISA
   * holds the same numbers: per block of 32 d = amax / 127 (f32), q = round-half-even(x * (127 /
   * amax)), and the sums of q over each 16; how they are stored is its own. */
  size_t (*activation_bytes)(size_t k);
  void (*quantize)(const float *x, size_t k, void *out); /* one row */
  /* The same with one d for all of the row: `d`, if it is not 0, else amax of the row / 127. q is
   * limited to -127..127. A row with an infinity or a NaN gets d = amax and q = 0. */
  void (*quantize_row)(const float *x, size_t k, float d, void *out);

  /* out[r * out_stride + n] = sum over k of x[r][k] * w[n][k], for r < x_rows and the rows n of the
   * weight groups group_first .. group_last - 1 (rows beyond m->rows are not written). x: rows of
   * x_stride bytes, made by `quantize`, or f32 where the type is not hb_type_wants_int8. */
  void (*matmul)(const hb_matrix *m, const void *x, size_t x_stride, size_t x_rows,
                 size_t group_first, size_t group_last, float *out, size_t out_stride);

  /* out = x / sqrt(mean(x^2) + eps) * weight. weight may be NULL: 1. out may be x, here and below.
   */
  void (*rms_norm)(const float *x, const float *weight, float eps, size_t n, float *out);
  /* out = (x - mean) / sqrt(variance + eps) * weight + bias. weight and bias may be NULL. */
  void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, size_t n,
                     float *out);

  /* Rotates n_rot/2 pairs of one head: (x[a], x[b]) by the angle whose cosine and sine are given
   * per pair. Adjacent pairs (2i, 2i+1), or halves (i, i + n_rot/2). The rest of the head stays. */
  void (*rope_adjacent)(float *head, const float *cos, const float *sin, size_t n_rot);
  void (*rope_halves)(float *head, const float *cos, const float *sin, size_t n_rot);

  /* Stores one position of K and V into a head's cache. */
  void (*kv_store)(void *cache, hb_kv_type kv, uint32_t head_size, uint32_t value_size,
                   uint32_t position, const float *k, const float *v);
  /* out[value_size] = softmax(scale * q.K) V over the visible positions, block by block. The heads
   * of a row lie one after the other in q and in out; the result of a head and row does not depend
   * on the others. */
  void (*attend)(const hb_attend_args *args, hb_kv_type kv, const float *q, float *out);

  void (*add)(const float *a, const float *b, size_t n, float *out);
  void (*scale)(const float *x, float factor, size_t n, float *out);
  void (*silu)(const float *x, size_t n, float *out); /* x / (1 + exp(-x)) */
  void (*gelu)(const float *x, size_t n, float *out); /* tanh form */
  void (*silu_mul)(const float *gate, const float *up, size_t n, float *out);
  void (*gelu_mul)(const float *gate, const float *up, size_t n, float *out);
  void (*softcap)(const float *x, float cap, size_t n, float *out); /* cap * tanh(x / cap) */
  /* Log-sum-exp and probabilities: out = exp(x - max) / sum; returns log(sum of exp(x - max)) +
   * max. out may be NULL. */
  float (*softmax)(const float *x, size_t n, float *out);

  /* For samplers, which search a vocabulary. out[8 g + l], l < 8, is the largest of the values
   * x[128 g + 8 i + l], i < 16, of which n may cut some off; -infinity if none is a number. */
  void (*maxima)(const float *x, size_t n, float *out);
  /* out = 2^((x - max) factor), and 0 for what is no number; returns the sum. No x lies above max;
   * factor is not negative, and both are finite. out may be NULL. */
  float (*weights)(const float *x, size_t n, float max, float factor, float *out);
} hb_kernels;

/* The table of an ISA that hb_isa_available says this build and machine have, else NULL. */
const hb_kernels *hb_kernels_for(hb_isa isa);

/* ---- Scalar functions, from + - * / alone (math.c); errors in ulp are in the tests ---- */

float hb_expf(float x); /* 0 below -87, where subnormal results would begin */
float hb_logf(float x);
float hb_tanhf(float x);
double hb_exp(double x);
double hb_log(double x);
/* base^exponent for base > 0. */
double hb_pow(double base, double exponent);
/* Both at once; |angle| up to 2^31. */
void hb_sincos(double angle, double *sine, double *cosine);
/* Correctly rounded square roots (an instruction everywhere, or integer arithmetic). */
float hb_sqrtf(float x);

#endif
