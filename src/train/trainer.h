/* The inside of a trainer. */
#ifndef HB_TRAIN_TRAINER_H
#define HB_TRAIN_TRAINER_H

#include "train/blocks.h"
#include "train/frozen.h"
#include "train/graph.h"
#include "train/lora.h"
#include "train/net.h"
#include "train/optimizer.h"
#include "train/packer.h"
#include "train/quantizer.h"
#include "train/schedule.h"

typedef enum hb_train_method {
#define HB_TRAIN_METHOD_ENUM(name, text) HB_TRAIN_##name,
  HB_TRAIN_METHOD_LIST(HB_TRAIN_METHOD_ENUM)
#undef HB_TRAIN_METHOD_ENUM
} hb_train_method;

static inline bool hb_train_by_layers(hb_train_method method) {
  return method == HB_TRAIN_BLOCK_AP || method == HB_TRAIN_AUTOROUND || method == HB_TRAIN_LKD;
}

/* Tokens of a batch, in memory of their own. */
typedef struct hb_rows {
  hb_token *tokens;
  int32_t *targets;
  uint32_t *first;
} hb_rows;

struct hb_trainer {
  const hb_allocator *allocator;
  hb_train_options o; /* with every field filled in */
  hb_train_method method;
  const hb_source *source;
  hb_team team;
  const hb_model *model; /* that is trained: of `net`, or with the adapter */
  hb_net net;
  hb_model *frozen; /* that an adapter is trained on */
  hb_lora lora;
  hb_type adapter_type;
  hb_net guide; /* the teacher, or whose layers are followed; empty without one */
  hb_graph *graph, *teacher;

  hb_quantizer *quantizers; /* [weights]; where there are none, not begun */
  bool *rounds;             /* [weights]: inputs are rounded to int8 */
  float *gradients;         /* as net.values, or lora.values */
  uint64_t gradient_count;
  float **of_weight;        /* [weights], NULL: frozen */
  float *guide_gradients;   /* as guide.values: of a teacher that learns; else NULL */
  float **of_guide;         /* [weights of the guide], NULL: frozen */
  hb_parameter *parameters; /* what the optimizer changes */
  uint32_t parameter_count, parameter_capacity;
  hb_optimizer *optimizer; /* of all of them, or of a layer's; NULL: none */
  hb_blocks *blocks;       /* where layers are trained one by one; else NULL */
  hb_schedule schedule;

  hb_packer *packer;
  hb_rows rows;
  uint64_t step, tokens;
  char run[65]; /* 64 hexadecimal digits, which checkpoints of the same run have */
};

/* options.c: fills in what was left open and checks it. */
hb_status hb_train_check(hb_trainer *trainer, const hb_train_options *options, hb_error *error);

/* trained.c: the model, what is beside it, and the original; the optimizer of what is trained. */
hb_status hb_train_load(hb_trainer *trainer, hb_error *error);
hb_status hb_train_begin_optimizer(hb_trainer *trainer, hb_error *error);
/* Appends what is trained of a weight to the parameters. */
void hb_train_add_parameters(hb_trainer *trainer, uint32_t weight);
hb_status hb_train_make_optimizer(const hb_trainer *trainer, const hb_parameter *parameters,
                                  uint32_t count, hb_optimizer **out, hb_error *error);

/* setup.c: gives a trainer all but its text. */
hb_status hb_train_set_up(hb_trainer *trainer, hb_error *error);
void hb_train_take_down(hb_trainer *trainer);

/* checkpoint.c: tells a run from others. */
hb_status hb_train_name_run(hb_trainer *trainer, hb_error *error);

/* Whether a weight is trained, and training has come to it: layer by layer it may not. */
bool hb_train_reached(const hb_trainer *trainer, uint32_t weight);

/* Behind a step of the optimizer at that rate. */
void hb_train_damp(const hb_trainer *trainer, float rate);

/* Brings the values of quantized weights, or those of the adapter, up to date. */
void hb_train_project(hb_trainer *trainer);

/* The rows of sequences `number` .. of a packer. */
void hb_train_take(const hb_trainer *trainer, hb_packer *packer, uint64_t number);

#endif
