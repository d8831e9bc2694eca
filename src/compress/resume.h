/* Runs that can be gone on with (hb_journal). What reaches the caller's sink passes through here,
 * and its hash is taken. A run that goes on writes what an earlier one made once more, out of that
 * one's file: it reaches the hash, and not the sink; and its values take their places in the walk,
 * so that all that follows is what it would have been. */
#ifndef HB_RESUME_H
#define HB_RESUME_H

#include "base/sha256.h"
#include "compress/layerwise.h"

struct hb_resume {
  const hb_journal *journal; /* NULL: nothing is noted */
  hb_sink sink;              /* the caller's */
  hb_run run;
  hb_sha256 hash;    /* of the result so far */
  uint64_t position; /* bytes of it */
  uint64_t noted;    /* of them, by the last mark */
  hb_mark kept;      /* what an earlier run made */
  bool checked;      /* it was written once more, and is the same */
};

/* Before the header is written: looks at what an earlier run left. A run of another kind is
 * refused with HB_ARGUMENT. */
hb_status hb_resume_begin(hb_tensor_job *job, const hb_plan_rules *rules, const hb_sink *sink,
                          hb_resume *out, hb_error *error);

/* The `write` of a sink, whose context is an hb_resume. */
hb_status hb_resume_write(void *context, const void *bytes, size_t count, hb_error *error);

/* Whether an earlier run made the first `tensors` tensors of the plan. */
bool hb_resume_has(const hb_tensor_job *job, size_t tensors);

/* Writes a tensor that the earlier run made, with what stands beside it. Its values go to the
 * walk's weight of that name, if there are both. */
hb_status hb_resume_tensor(hb_tensor_job *job, const hb_walk *walk, size_t index, hb_error *error);

/* Notes that the first `tensors` tensors are written, if at least so many bytes came since the last
 * mark; not where they are all. HB_FORMAT if what was taken up is not what its mark said. */
hb_status hb_resume_note(hb_tensor_job *job, size_t tensors, uint64_t least, hb_error *error);

#endif
