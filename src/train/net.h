/* A model in memory in F32, to be trained, and numbers that lie as its weights do. */
#ifndef HB_TRAIN_NET_H
#define HB_TRAIN_NET_H

#include "model/model.h"

typedef struct hb_net {
  const hb_allocator *allocator;
  hb_model *model; /* its weights point into `values` */
  float *values;
  uint64_t count;  /* floats of all weights, each filled up to 16 */
  uint64_t *start; /* [weights]: where each begins */
} hb_net;

/* Reads all weights of a source, of whatever type. Zero *net to begin; to be ended in any case. */
hb_status hb_net_load(hb_net *net, const hb_allocator *allocator, hb_isa isa,
                      const hb_source *source, hb_error *error);
void hb_net_end(hb_net *net);

/* The values of a weight, and how many. */
float *hb_net_values(const hb_net *net, uint32_t weight);
/* Outliers that stand beside a matrix: adds those of a row to its values, all of them to those of a
 * net; and takes the gradient from the columns that they replace. */
void hb_outliers_add(const hb_weight *weight, uint32_t row, float *values);
void hb_net_add_outliers(const hb_net *net, uint32_t weight);
void hb_net_skip_outliers(const hb_net *net, uint32_t weight, float *gradient);

uint64_t hb_net_count(const hb_net *net, uint32_t weight);

#endif
