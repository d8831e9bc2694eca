/* A model's program run forward over whole sequences, and backward for the gradients of its
 * weights. The operations are those of src/model, over f32.
 *
 * Stage 0 is the embedding, stage 1 + l layer l, and the last one the output's norm. Rows are
 * [sequences][length]; a token sees its document up to itself. */
#ifndef HB_TRAIN_GRAPH_H
#define HB_TRAIN_GRAPH_H

#include "model/model.h"
#include "train/team.h"

typedef struct hb_graph hb_graph;

typedef struct hb_graph_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* results never depend on it */
  hb_isa isa;
  /* Its matrices may be of any type, those to be trained F32; values may change between runs. */
  const hb_model *model;
  uint32_t sequences, length;
  bool bf16;      /* products in bf16, whose bits depend on the machine */
  bool recompute; /* keep what lies between layers alone, and run layers again for the rest */
  /* For each weight: whether its inputs are rounded to int8, as running quantized types does; NULL:
   * none. */
  const bool *round_inputs;
} hb_graph_options;

/* Tokens of `rows` = sequences * length. */
typedef struct hb_batch {
  const hb_token *tokens;
  const int32_t *targets; /* the token to foretell; negative: none */
  const uint32_t *first;  /* the position in its sequence where a token's document begins; never
                             falls within a sequence */
} hb_batch;

/* HB_UNSUPPORTED names what the model has that cannot be differentiated here: windows, soft caps,
 * norms behind a part of a layer. */
hb_status hb_graph_create(const hb_graph_options *options, hb_graph **out, hb_error *error);
void hb_graph_destroy(hb_graph *graph);

uint32_t hb_graph_rows(const hb_graph *graph);
uint32_t hb_graph_stages(const hb_graph *graph);

/* Runs the stages first .. end - 1 on what the stage before left. The batch counts for stage 0 and
 * for what documents see, and must live until the backward pass is done. */
void hb_graph_forward(hb_graph *graph, const hb_batch *batch, uint32_t first, uint32_t end);

/* The residual stream [rows][width] before a stage other than 0; behind the last one the normed
 * states. */
float *hb_graph_states(const hb_graph *graph, uint32_t stage);
/* The gradient of the loss with respect to them, where the backward pass stands. The caller fills
 * it for the stage behind the last one of a run backward; hb_graph_loss does. */
float *hb_graph_state_gradient(const hb_graph *graph, uint32_t stage);

/* Runs backward through the stages end - 1 .. first, which have run forward, and adds to
 * gradients[weight], which lies as the weight does, for each weight of the model; NULL: frozen. */
void hb_graph_backward(hb_graph *graph, float *const *gradients, uint32_t first, uint32_t end);

/* Sums over the scored tokens of a batch. */
typedef struct hb_loss_sums {
  double loss;    /* whole, as hb_loss weighs it */
  double entropy; /* -log of the target's probability */
  uint64_t scored;
} hb_loss_sums;

/* The loss of the states that all stages left. With gradients (else NULL: nothing is
 * differentiated) the gradient of `factor` times the loss is left for the last stage and added to
 * the output matrix's. teacher: a graph that has run forward over the same batch, or NULL. */
void hb_graph_loss(hb_graph *graph, const hb_batch *batch, const hb_loss *loss,
                   const hb_graph *teacher, float factor, float *const *gradients,
                   hb_loss_sums *out);

#endif
