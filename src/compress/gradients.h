/* Gradient files: how much the loss of a model changes with each of its weights, the diagonal of
 * the Fisher information. Such a file is a GGUF with
 *
 *   general.type          "gradients"
 *   general.architecture  the model's
 *   gradients.sequences   u32: how many pieces of text were looked at
 *   gradients.length      u32: tokens of each
 *   halfbyte.calibration  hashes of passages of that text (provenance.h)
 *
 * and, for each matrix in layers, an F32 tensor of its name and dimensions: the mean over sequences
 * of the squared derivative of a sequence's summed loss by each weight. It may have the same of the
 * table of embeddings and the output matrix. */
#ifndef HB_GRADIENTS_H
#define HB_GRADIENTS_H

#include "gguf/write.h"

#define HB_GRADIENTS_TYPE "gradients" /* general.type of such a file */

/* ---- Reading ---- */

/* HB_MODEL unless the file is such a one, of a model of this architecture, has every matrix that
 * layers of `model` have, and none that is not the model's in name, dimensions and type. */
hb_status hb_gradients_check(const hb_gguf *gradients, const hb_gguf *model, hb_error *error);

bool hb_gradients_has(const hb_gguf *gradients, const hb_tensor *matrix);

/* Values first .. first + count - 1 of a matrix that the file, which was checked, has. HB_MODEL
 * names one that is negative or no finite number. */
hb_status hb_gradients_read(const hb_source *gradients, const hb_tensor *matrix, uint64_t first,
                            uint64_t count, float *out, hb_error *error);

/* ---- Writing ---- */

/* Whether a file is to have that tensor of a model: matrices in layers, and with `outer` the table
 * of embeddings and the output matrix, too. */
bool hb_gradients_wants(const hb_tensor *tensor, bool outer);

typedef struct hb_gradients_options {
  const hb_allocator *allocator;
  const hb_gguf *model;
  const hb_token *tokens; /* [sequences][length] */
  uint32_t sequences, length;
  bool outer; /* see hb_gradients_wants */
  void *context;
  /* Sets *squares to the sums over sequences of the squared derivatives by a matrix's values, in
   * the order of the model's file. Asked for each wanted matrix once, as they come in the model;
   * what was given before is no longer looked at. */
  hb_status (*sums)(void *context, const hb_tensor *matrix, const float **squares, hb_error *error);
} hb_gradients_options;

/* Writes a gradient file. HB_MODEL names a matrix and the place of a sum that is negative or no
 * finite number. */
hb_status hb_gradients_write(const hb_gradients_options *options, const hb_sink *sink,
                             hb_error *error);

#endif
