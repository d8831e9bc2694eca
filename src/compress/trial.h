/* What quantizing the products of one input does to the module that they are in, attention or feed
 * forward: measured with scales that go from the input to the products' weights. */
#ifndef HB_TRIAL_H
#define HB_TRIAL_H

#include "compress/layerwise.h"
#include "compress/rounding.h"

typedef struct hb_trial {
  hb_layer_work *l;
  uint32_t first, end;   /* of the layer's products: those that read the input */
  uint32_t module_end;   /* operation */
  uint32_t width;        /* of the input */
  uint32_t samples;      /* that are run */
  hb_operand input, out; /* of the products, and of the module */
  float *saved;          /* the products' weights, one after the other */
  uint8_t *blocks;
  uint64_t saved_bytes; /* of weights, and of blocks */
  float *expected;      /* [samples][length][out] */
  uint64_t expected_bytes;
  const float *scales; /* of the run at work */
  hb_rounding rounding;
  double loss;
  bool comparing;
} hb_trial;

/* How many of the calibration text's samples, from the first on, have so many tokens. `held_out`:
 * at most half of all, so that the others can tell what is tried. */
uint32_t hb_trial_samples(const hb_layer_work *layer, uint32_t tokens, bool held_out);

/* Of products first .. end - 1, which read the same input, on the first `samples` samples. Runs the
 * module as it is. *out is to be destroyed, whatever the status. */
hb_status hb_trial_create(hb_layer_work *layer, uint32_t first, uint32_t end, uint32_t samples,
                          hb_trial *out, hb_error *error);
void hb_trial_destroy(hb_trial *trial);

/* The sum of squared differences of what the module leaves, with weights times scales[width]
 * quantized by `method`, and the input over scales rounded as `rounding` says. */
hb_status hb_trial_run(hb_trial *trial, const hb_method *method, const float *scales,
                       const hb_rounding *rounding, double *loss, hb_error *error);

#endif
