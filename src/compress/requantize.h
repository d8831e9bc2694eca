/* Turning the tensors of one GGUF file into those of another, in the order of a plan. A tensor is
 * copied, or its values are read, changed by a method, and its blocks written. */
#ifndef HB_REQUANTIZE_H
#define HB_REQUANTIZE_H

#include "compress/method.h"
#include "compress/plan.h"

/* Values that are converted at once: a multiple of every type's block. */
#define HB_PIECE_VALUES 8192

typedef struct hb_resume hb_resume; /* resume.h */

typedef struct hb_tensor_job {
  const hb_quantize_options *options;
  const hb_source *source;
  const hb_plan *plan;
  const hb_method *method;
  const hb_survey *survey; /* where columns are kept; else NULL */
  hb_gguf_writer *writer;
  hb_resume *resume;

  const hb_tensor *tensor;     /* the one at work */
  hb_type type;                /* that it becomes */
  uint64_t values;             /* of it */
  uint32_t outliers;           /* values that are kept beside it */
  uint64_t written;            /* values */
  double squares, differences; /* sums over what was written */
  const char *note;            /* for the report, or NULL */
  const hb_rtn_range *range;   /* of it, where one scale is for all and it is done in strips */

  uint64_t done; /* bytes of all tensors before it, for the progress */

  uint8_t bytes[4 * HB_PIECE_VALUES]; /* of a piece, as the source has it */
  float decoded[HB_PIECE_VALUES];     /* a vector of the result */
} hb_tensor_job;

/* Begins with a tensor of the plan. */
void hb_job_begin(hb_tensor_job *job, size_t index);

/* Reads `count` values from number `first` on, in the order of the file. Both lie on borders of the
 * source's blocks, as every row does. */
hb_status hb_job_read(hb_tensor_job *job, uint64_t first, uint64_t count, float *out,
                      hb_error *error);

/* HB_MODEL if one of the next `count` values is no finite number. */
hb_status hb_job_check(const hb_tensor_job *job, const float *original, uint64_t count,
                       hb_error *error);

/* Room for the tensor's outliers, as the file has them: *sparse is to be released, whatever the
 * status, and NULL if there are none. */
hb_status hb_job_outliers(const hb_tensor_job *job, uint8_t **sparse, uint64_t *bytes,
                          hb_outliers *out, hb_error *error);

/* Writes the next `count` values: `bytes` bytes of blocks, of the job's type, which, with what may
 * stand beside them, stand for `decoded`. That is checked, and the tensor's error measured against
 * the values `original`. */
hb_status hb_job_write(hb_tensor_job *job, const void *blocks, uint64_t bytes,
                       const float *original, const float *decoded, uint64_t count,
                       hb_error *error);

/* Copies the tensor as it is. */
hb_status hb_job_copy(hb_tensor_job *job, hb_error *error);

/* Quantizes the tensor a strip of rows after the other, by what is known of its inputs; inputs may
 * be NULL, here and below. */
hb_status hb_job_quantize(hb_tensor_job *job, const hb_inputs *inputs, hb_error *error);

/* Quantizes `rows` rows, of the job's type, or rounds them if the type has no blocks. In the end
 * `weights` are the values that `blocks`, and `outliers` unless it is NULL, stand for. */
hb_status hb_job_blocks(hb_tensor_job *job, uint32_t rows, float *weights, uint8_t *blocks,
                        hb_outliers *outliers, const hb_inputs *inputs, hb_error *error);

/* Ends the tensor and tells the caller of it. */
void hb_job_end(hb_tensor_job *job, size_t index);

/* Tells of `bytes` of the tensor read, beside those before it. HB_ABORTED if the caller asks. */
hb_status hb_job_progress(const hb_tensor_job *job, uint64_t bytes, hb_error *error);

/* How a job's model is walked through. */
hb_walk_options hb_job_walk(hb_tensor_job *job);

/* Quantizes a model layer by layer, each from what calibration text brings to it through the
 * quantized layers before. */
hb_status hb_quantize_layers(hb_tensor_job *job, hb_error *error);

#endif
