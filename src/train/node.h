/* The inside of a graph: one node for each operation of the program, with the memory that it reads
 * and writes. Whatever the backward pass reads lies where no later operation writes. */
#ifndef HB_TRAIN_NODE_H
#define HB_TRAIN_NODE_H

#include "train/graph.h"

/* Rows in memory. */
typedef struct hb_place {
  float *data; /* NULL while a graph is only measured */
  size_t stride;
} hb_place;

typedef struct hb_node {
  const hb_op *op;
  hb_place in, out; /* of the buffers' column 0 */
  hb_place
      kept; /* HEAD_NORM: its input; ADD: what it adds to; MATMUL: its rounded input, or NULL */
} hb_node;

struct hb_graph {
  hb_graph_options o;
  const hb_model *model;
  hb_team team;
  uint32_t rows;

  hb_node *nodes;        /* [model->op_count] */
  uint32_t *stage_first; /* [stages + 1]: nodes */
  uint32_t stages;

  const hb_batch *batch;
  uint8_t *memory; /* all that follows */
  uint64_t memory_bytes;
  hb_place *states;                 /* [stages + 1]: what each stage reads; that of 0 is none */
  hb_place gradient[HB_BUFFERS];    /* of what stands in a buffer where the backward pass is */
  float *cosine, *sine, *sine_back; /* [length][rope_dims / 2]; sine_back: -sine */
  float *mean, *factor;             /* [rows]: of norms */
  float *matrix;                    /* a matrix that is not F32, decoded */
  float *logits, *teacher;          /* [HB_LOSS_ROWS][vocabulary] */
  float *rounded;            /* [HB_LOSS_ROWS][width]: hidden states, if the output rounds them */
  float *losses, *entropies; /* [HB_LOSS_ROWS] */
  uint32_t held;             /* with recompute: the stage whose nodes hold values, or `stages` */
};

/* Rows whose logits are in memory at once. */
#define HB_LOSS_ROWS 256
/* Rows of queries whose scores are. */
#define HB_SCORE_ROWS 64

/* A matrix of the model in f32, [rows][cols], with its sparse values: its own memory, or decoded
 * into graph->matrix. */
const float *hb_graph_matrix(const hb_graph *graph, uint32_t weight);
/* A vector of the model, or NULL for HB_NONE. */
const float *hb_graph_vector(const hb_graph *graph, uint32_t weight);
/* Where a row stands in its document. */
uint32_t hb_graph_position(const hb_graph *graph, uint32_t row);
/* Rotates the heads of a row as a ROPE operation does, or back. */
void hb_graph_turn(const hb_graph *graph, const hb_op *op, uint32_t row, float *heads, bool back);

/* The MATMUL that leaves the logits. */
const hb_op *hb_graph_output(const hb_graph *graph);

void hb_node_forward(hb_graph *graph, const hb_node *node);
void hb_node_backward(hb_graph *graph, const hb_node *node, float *const *gradients);

/* Whether the input of a MATMUL is rounded to int8, and a row of it, out[in.width]. */
bool hb_graph_rounds(const hb_graph *graph, const hb_op *op);
void hb_graph_round(const hb_graph *graph, const hb_op *op, const float *x, float *out);

/* A MATMUL of `rows` rows, without what rounds its input. */
void hb_product_forward(const hb_graph *graph, const hb_op *op, hb_place in, uint32_t rows,
                        hb_place out);
/* Adds to the gradient of its input and, if that is not NULL, of its matrix. */
void hb_product_back(const hb_graph *graph, const hb_op *op, hb_place in, hb_place dout,
                     uint32_t rows, hb_place din, float *dweight);

void hb_attention_forward(hb_graph *graph, const hb_node *node);
void hb_attention_back(hb_graph *graph, const hb_node *node);

/* Bytes of a thread's room for attention. */
uint64_t hb_attention_room(const hb_graph *graph);

#endif
