/* What becomes of each tensor of a file, before anything is computed. */
#ifndef HB_PLAN_H
#define HB_PLAN_H

#include "compress/method.h"
#include "compress/survey.h"
#include "gguf/own_types.h"
#include "gguf/write.h"
#include "model/model.h"
#include "model/recipe.h"

typedef struct hb_tensor_plan {
  const hb_tensor *tensor;
  hb_type chosen;    /* by the recipe and the options */
  hb_type type;      /* that it becomes: `chosen`, unless its rows do not fit */
  uint32_t stage;    /* see hb_plan_stage */
  uint32_t outliers; /* values that are kept beside it */
  bool input_scale;  /* that of its input stands beside it, too */
} hb_tensor_plan;

/* Stages in the order of a calibrated result. */
enum { HB_STAGE_BEFORE, HB_STAGE_FIRST_LAYER };

typedef struct hb_plan {
  const hb_allocator *allocator;
  hb_tensor_plan *tensors; /* in the order of the result */
  size_t count;
  uint32_t layers;
  uint64_t bytes; /* of all tensors in the source */
} hb_plan;

/* What a plan follows. */
typedef struct hb_plan_rules {
  const hb_recipe *recipe;
  const hb_method *method;
  const hb_quantize_options *options; /* that the result tells of; NULL: nothing of them */
  double outliers;         /* the part of values of matrices in layers that is kept beside blocks */
  const hb_survey *survey; /* of inputs, where columns are kept; else NULL */
} hb_plan_rules;

/* For a method that calibrates, what a layer has stands together, layer by layer, and the output
 * last; else tensors stand in the order of the source. */
hb_status hb_plan_create(const hb_source *source, const hb_quantize_options *options,
                         const hb_plan_rules *rules, hb_plan *out, hb_error *error);
void hb_plan_destroy(hb_plan *plan);

/* Whether it is a matrix, or a stack of those of experts, that inputs are multiplied with or rows
 * are taken from. */
bool hb_plan_quantizes(const hb_tensor *tensor);

/* Whether a tensor of that name belongs to a layer. */
bool hb_plan_in_layers(hb_string name);

/* Bytes of the tensor with its outliers; 0: it has none. */
uint64_t hb_plan_outlier_bytes(const hb_tensor_plan *plan);

/* Writes metadata and records. Behind a matrix in a layer come its outliers, if it has some, and
 * the fixed scale of its input, if activations have those. */
hb_status hb_plan_write_header(const hb_plan *plan, const hb_source *source,
                               const hb_plan_rules *rules, hb_gguf_writer *writer, hb_error *error);

/* The stage of a layer's tensors, and that of the output matrix and what goes with it. */
static inline uint32_t hb_plan_stage(uint32_t layer) {
  return HB_STAGE_FIRST_LAYER + layer;
}

#endif
