/* config.json: the keys of a GGUF file that follow from it. */
#ifndef HB_IMPORT_CONFIG_H
#define HB_IMPORT_CONFIG_H

#include "gguf/write.h"
#include "import/family.h"
#include "import/json.h"

/* Tensors that the file's RoPE scaling stands for. */
typedef enum hb_factors {
  HB_FACTORS_LLAMA3,
  HB_FACTORS_LONG,
  HB_FACTORS_SHORT,
  HB_FACTOR_KINDS
} hb_factors;

typedef struct hb_config {
  const hb_family *family;
  const hb_architecture *architecture;
  hb_item root; /* config.json */
  hb_item text; /* its part about the language model, or all of it */
  uint64_t vocabulary;
  bool tied;                       /* the output matrix is the embedding */
  float *factors[HB_FACTOR_KINDS]; /* [pairs] each, from malloc, or NULL */
  uint64_t pairs;
} hb_config;

/* Reads what a model's numbers are, refuses by name what the architecture does not compute, and
 * sets general.architecture and the keys of the architecture. */
hb_status hb_config_read(hb_item root, hb_gguf_writer *writer, hb_config *out, hb_error *error);
void hb_config_close(hb_config *config);

#endif
