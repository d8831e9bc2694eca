/* A session's memory, and the execution of one batch of rows. */
#ifndef HB_SESSION_H
#define HB_SESSION_H

#include "model/model.h"
#include "model/pace.h"

#include <stdatomic.h>

/* Steps of at most so many rows are timed. Larger ones are worth dividing. */
#define HB_PACED_ROWS 8

/* Where the parts of a session's one block of memory begin, in bytes. */
typedef struct hb_session_layout {
  uint64_t cache;
  uint64_t buffer[HB_BUFFERS];
  uint64_t int8;
  uint64_t angles;
  uint64_t positions;
  uint64_t wanted;
  uint64_t rows;
  uint64_t total;
} hb_session_layout;

/* How far a state was saved or restored; next = 0 after the session moved. */
typedef struct hb_state_cursor {
  uint64_t seed; /* of checksums: that of piece 0 */
  uint32_t next; /* piece */
  uint32_t positions;
} hb_state_cursor;

struct hb_session {
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  const hb_model *model;
  uint64_t weight_bytes; /* of the model */
  uint32_t adaptations;  /* the model's when the session was made */
  hb_session_layout layout;
  uint32_t context_length;
  uint32_t batch;
  uint32_t logit_rows;
  hb_kv_type kv;
  bool hidden; /* steps end before the logits; the buffer of these keeps hidden states */

  uint32_t position;    /* tokens in the cache */
  uint32_t logit_count; /* rows of logits, or hidden states, of the last step */

  uint8_t *memory;
  uint8_t *cache;            /* [layer][kv head][block of 32 positions], see kernel.h */
  uint64_t cache_head_bytes; /* of one layer and head */
  float *buffer[HB_BUFFERS]; /* [batch][buffer_width]; logits: [logit_rows][kept_width] */
  uint8_t *int8;             /* [batch][int8_stride bytes] */
  uint64_t int8_stride;
  float *angles;       /* [batch][global, window][cosine, sine][rope_dims / 2] */
  uint32_t *positions; /* [batch] */
  uint32_t *wanted;    /* rows of the batch whose logits are wanted */

  hb_row *rows; /* [batch], for hb_session_append */

  hb_state_cursor state;

  atomic_uint arrived, phase;  /* of the barrier between operations */
  hb_pace pace[HB_PACED_ROWS]; /* of steps of 1, 2 .. rows */
};

/* Runs the model's program over rows[0..count), count <= lead->batch, whose positions stand in
 * lead->positions. Logits of lead->wanted[0..wanted) go to the buffer from row lead->logit_count.
 */
void hb_execute(hb_session *lead, const hb_row *rows, uint32_t count, uint32_t wanted);

/* Runs only the operations first .. end - 1 on what the buffers hold; all rows are wanted. */
void hb_execute_part(hb_session *lead, const hb_row *rows, uint32_t count, uint32_t first,
                     uint32_t end);

#endif
