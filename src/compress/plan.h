/* What becomes of each tensor of a file, before anything is computed. */
#ifndef HB_PLAN_H
#define HB_PLAN_H

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

/* Plans for the types of a recipe. by_stage: what a model's layers have stands together, layer by
 * layer, and the output last; else in the order of the source. outliers: the part of the values of
 * matrices in layers that is kept beside their blocks. */
hb_status hb_plan_create(const hb_source *source, const hb_quantize_options *options,
                         const hb_recipe *recipe, bool by_stage, double outliers, hb_plan *out,
                         hb_error *error);
void hb_plan_destroy(hb_plan *plan);

/* Bytes of the tensor with its outliers; 0: it has none. */
uint64_t hb_plan_outlier_bytes(const hb_tensor_plan *plan);

/* Writes metadata and records. */
hb_status hb_plan_write_header(const hb_plan *plan, const hb_source *source, uint32_t file_type,
                               hb_gguf_writer *writer, hb_error *error);

/* The stage of a layer's tensors, and that of the output matrix and what goes with it. */
static inline uint32_t hb_plan_stage(uint32_t layer) {
  return HB_STAGE_FIRST_LAYER + layer;
}

#endif
