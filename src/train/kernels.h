/* The arithmetic of training, in f32: products of matrices, and what the forward pass does to rows,
 * with its derivatives. One table of functions per ISA; scalar is the definition, and avx2, avx512
 * and neon give the same bits. WebAssembly has no fused multiply-add, and so other bits in
 * products.
 *
 * Nothing here checks arguments. "+=" adds to what stands in the result. */
#ifndef HB_TRAIN_KERNELS_H
#define HB_TRAIN_KERNELS_H

#include "base/base.h"

/* C[m][n] = A B, or C + A B: each element is one chain of fused multiply-adds over k in order,
 * which begins with 0 or with what stands in C. Strides are in floats, so that each operand may be
 * read transposed. C's rows are contiguous and overlap neither A nor B. */
typedef struct hb_gemm {
  uint32_t m, n, k;
  const float *a; /* A(i, l) = a[i * a_row + l * a_col] */
  size_t a_row, a_col;
  const float *b; /* B(l, j) = b[l * b_row + j * b_col] */
  size_t b_row, b_col;
  float *c;
  size_t c_row;
  bool add;
} hb_gemm;

/* How a token's loss is made of the model's logits x and the teacher's y. */
typedef struct hb_loss {
  float target;  /* weight of -log softmax(x)[target] */
  float teacher; /* weight of the KL divergence of softmax(y / temperature) from softmax(x /
                    temperature), times temperature^2 */
  float temperature;
  float z; /* weight of log(sum of exp(x))^2 */
} hb_loss;

/* AdamW (arXiv:1711.05101): what is the same for all values of a step. */
typedef struct hb_adamw {
  float rate, beta1, beta2, epsilon, decay;
  float scale;              /* of gradients: from clipping, and of a mean over micro-batches */
  float correct1, correct2; /* 1 / (1 - beta^step) */
} hb_adamw;

typedef struct hb_train_kernels {
  hb_isa isa;

  uint64_t gemm_room; /* bytes that a call works in, at a multiple of 64 */
  void (*gemm)(const hb_gemm *g, void *room);
  /* The same with A and B rounded to bf16 and sums in f32, whose order is the machine's own: bits
   * depend on it, not on how m and n are divided. NULL where there is no instruction for it. */
  void (*gemm_bf16)(const hb_gemm *g, void *room);

  /* dx += d rms_norm(x) / dx . dy; returns 1 / sqrt(mean(x^2) + eps). Weights may be NULL: 1. */
  float (*rms_norm_back)(const float *x, const float *weight, const float *dy, float eps, size_t n,
                         float *dx);
  /* The same of layer_norm; *mean is set, the reciprocal of the deviation returned. */
  float (*layer_norm_back)(const float *x, const float *weight, const float *dy, float eps,
                           size_t n, float *dx, float *mean);
  /* dw[c] += dy[c] * (x[c] - mean) * factor, for a row's `n` columns. */
  void (*norm_weight_back)(const float *x, const float *dy, float mean, float factor, size_t n,
                           float *dw);

  /* out = a + b * factor, rounded twice. out may be a. */
  void (*multiply_add)(const float *a, const float *b, float factor, size_t n, float *out);
  float (*dot)(const float *a, const float *b, size_t n); /* in 8 lanes */
  double (*squares)(const float *x, size_t n);            /* sum of squares, in 8 lanes of double */

  /* dgate and dup of y = silu(gate) * up; gelu in its tanh form. Results are written, not added,
   * and may be the operands. */
  void (*silu_mul_back)(const float *gate, const float *up, const float *dy, size_t n, float *dgate,
                        float *dup);
  void (*gelu_mul_back)(const float *gate, const float *up, const float *dy, size_t n, float *dgate,
                        float *dup);
  void (*gelu_back)(const float *x, const float *dy, size_t n, float *dx);

  /* A row of attention: x[first .. end - 1] become softmax(scale * x) over these, all other x[0 ..
   * n - 1] become 0. */
  void (*attention)(float *x, float scale, size_t first, size_t end, size_t n);
  /* dp becomes d loss / d x of the same: scale * p * (dp - sum of p * dp). */
  void (*attention_back)(const float *p, float scale, size_t first, size_t end, size_t n,
                         float *dp);

  /* The loss of a row of n logits x, as `loss` says, and dx = factor * its derivative, which may be
   * x. y: the teacher's logits, or NULL where `teacher` is 0. target: 0 .. n - 1, or negative:
   * `target` and `z` do not count. *entropy gets -log softmax(x)[target] (0 without a target);
   * returned is the whole loss. */
  float (*loss)(const float *x, const float *y, const hb_loss *loss, int32_t target, float factor,
                size_t n, float *dx, float *entropy);

  /* One step of AdamW on n values; m and v are its moments. */
  void (*adamw)(const hb_adamw *a, const float *gradient, size_t n, float *value, float *m,
                float *v);
} hb_train_kernels;

/* The table of an ISA that hb_isa_available says this build and machine have, else NULL. That of
 * amx differs from avx512 in gemm_bf16; where a CPU has AVX2 but no FMA, avx2 is scalar. */
const hb_train_kernels *hb_train_kernels_for(hb_isa isa);

#endif
