/* Turning the tensors of one GGUF file into those of another. requantize.c decides what becomes of
 * each tensor and hands the matrices, one after the other, to a method. A method reads the values
 * of its matrix, in any order and as often as it needs, and writes blocks of the job's type, from
 * the first to the last. */
#ifndef HB_REQUANTIZE_H
#define HB_REQUANTIZE_H

#include "gguf/gguf.h"
#include "gguf/write.h"

/* Values that a job converts at once: a multiple of every type's block. */
#define HB_PIECE_VALUES 8192

typedef struct hb_tensor_job {
  const hb_quantize_options *options;
  const hb_source *source;
  hb_gguf_writer *writer;

  const hb_tensor *tensor;     /* the one at work */
  uint64_t values;             /* of it */
  hb_type type;                /* that it becomes */
  uint64_t written;            /* values */
  double squares, differences; /* sums over what was written */

  uint64_t done, total; /* bytes of all tensors, for the progress */

  uint8_t bytes[4 * HB_PIECE_VALUES]; /* of a piece, as the source has it */
  float decoded[HB_PIECE_VALUES];     /* a piece of the result */
} hb_tensor_job;

/* Reads `count` values from number `first` on, in the order of the file. Both lie on borders of the
 * source's blocks, as every row does. */
hb_status hb_job_read(hb_tensor_job *job, uint64_t first, uint64_t count, float *out,
                      hb_error *error);

/* Writes the next `count` values: `blocks` of the job's type. They stand for the values `original`,
 * which are checked and against which the tensor's error is measured. */
hb_status hb_job_write(hb_tensor_job *job, const void *blocks, const float *original,
                       uint64_t count, hb_error *error);

/* Tells of `bytes` of the tensor read, beside those before it. HB_ABORTED if the caller asks. */
hb_status hb_job_progress(const hb_tensor_job *job, uint64_t bytes, hb_error *error);

/* A method converts the tensor of the job. */
typedef hb_status hb_method(hb_tensor_job *job, hb_error *error);

/* Rounds every value to the nearest one that its block can hold. */
hb_method hb_method_round;

#endif
