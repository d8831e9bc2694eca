/* The tensors of a GGUF file as views of those of a folder: which one each comes from, and how its
 * rows are brought into another order as they are read. */
#ifndef HB_IMPORT_WEIGHTS_H
#define HB_IMPORT_WEIGHTS_H

#include "import/config.h"
#include "import/safetensors.h"
#include "model/hyperparameters.h"

typedef enum hb_row_order {
  HB_ROWS_AS_THEY_ARE,
  HB_ROWS_TURNED,     /* of a head, halves that RoPE pairs become neighbours */
  HB_ROWS_BY_HEAD,    /* q, k, v of each head become all q, all k, all v */
  HB_ROWS_TRANSPOSED, /* they are the source's columns */
} hb_row_order;

typedef struct hb_import_weight {
  hb_weight_kind kind;
  uint32_t layer;
  const hb_safetensor *from; /* or, where it is NULL, */
  const float *computed;     /* [cols] */
  hb_row_order order;
  uint64_t rows, cols;  /* of what is read; a vector whose order changes has one column */
  uint64_t head, heads; /* rows of a head, where the order depends on it */
  hb_type type;         /* of the result: the source's, or F32 */
  bool plus_one;        /* added to each value */

  bool drawn; /* from neither: at random (initial.c) */
  float mean, deviation;
  uint64_t stream; /* state of the generator */
} hb_import_weight;

typedef struct hb_import_weights {
  hb_import_weight *list; /* in the order of the file to be */
  uint32_t count;
} hb_import_weights;

/* Finds the source of every weight. Refuses tensors that are unknown, of a wrong shape or type, or
 * missing. `files` and `config` must outlive the result. */
hb_status hb_import_match(const hb_config *config, const hb_hyperparameters *h,
                          const hb_safetensors *files, uint32_t file_count, hb_import_weights *out,
                          hb_error *error);
/* Lists the weights of a model that is yet to be trained, to be drawn. */
hb_status hb_import_begin(const hb_config *config, const hb_hyperparameters *h, uint64_t seed,
                          hb_import_weights *out, hb_error *error);
void hb_import_weights_close(hb_import_weights *weights);

hb_status hb_import_declare(const hb_import_weights *weights, hb_gguf_writer *writer,
                            hb_error *error);

/* Bytes of a weight, from byte `at` on; all within it. Safe to call from several threads. */
void hb_import_read(const hb_import_weight *weight, uint64_t at, void *bytes, size_t count);

#endif
