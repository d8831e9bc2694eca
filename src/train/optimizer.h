/* AdamW over the parameters of a model: clipping to a norm, moments in f32 or 8 bits, and a state
 * that is one block of memory, which a checkpoint writes as it is and which may lie in a mapped
 * file. Parameters are cut into blocks of 4096 values, which threads share: results do not depend
 * on their number. */
#ifndef HB_TRAIN_OPTIMIZER_H
#define HB_TRAIN_OPTIMIZER_H

#include "train/kernels.h"

typedef struct hb_parameter {
  hb_string name; /* for errors */
  float *value;
  const float *gradient;
  uint64_t count;
  float rate;  /* times the step's; 1 usually */
  float decay; /* times the optimizer's; 0 for norms and biases */
} hb_parameter;

typedef enum hb_moments { HB_MOMENTS_F32, HB_MOMENTS_8_BIT } hb_moments;

typedef struct hb_optimizer_options {
  const hb_train_kernels *kernels;
  float beta1, beta2, epsilon, decay;
  float max_norm; /* gradients are scaled down to it; 0: never */
  hb_moments moments;
  const hb_allocator *allocator;
  const hb_allocator *state_allocator; /* of the state's one block; NULL: `allocator` */
} hb_optimizer_options;

typedef struct hb_optimizer hb_optimizer;

/* Bytes of the state: about 8 a value, or 2 with 8 bits. False if they cannot be counted. */
bool hb_optimizer_state_size(const hb_parameter *parameters, uint32_t count, hb_moments moments,
                             uint64_t *bytes);

/* The list and the options are copied, with the pointers in them. Moments begin with 0. */
hb_status hb_optimizer_create(const hb_optimizer_options *options, const hb_parameter *parameters,
                              uint32_t count, hb_optimizer **out, hb_error *error);
void hb_optimizer_destroy(hb_optimizer *optimizer);

/* One step down the gradients times `scale` (of a mean over micro-batches). *norm (may be NULL) is
 * that of all of these, before it is clipped. If that is not finite nothing changes, and the error
 * names the step and a parameter. */
hb_status hb_optimizer_step(hb_optimizer *optimizer, const hb_parallel *parallel, float rate,
                            float scale, double *norm, hb_error *error);

uint64_t hb_optimizer_steps(const hb_optimizer *optimizer); /* that were done */

/* The state. What a checkpoint holds is read back into it; then hb_optimizer_resume says whether it
 * is that of such parameters. If it is not, moments begin with 0 again. */
void *hb_optimizer_state(hb_optimizer *optimizer, uint64_t *bytes);
hb_status hb_optimizer_resume(hb_optimizer *optimizer, hb_error *error);

#endif
