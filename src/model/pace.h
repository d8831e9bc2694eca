/* Whether a small step is faster on all threads or on the caller's alone: found by trying, as it
 * depends on the model, on the processor, and on what else the machine is doing. Threads that
 * must share their processors wait for each other longer than they compute. */
#ifndef HB_PACE_H
#define HB_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Of steps of one size. Zeroed to begin with. */
typedef struct hb_pace {
  double alone, together; /* seconds that a step took of late; 0: not known */
  uint32_t steps;         /* since the slower way was tried last */
  uint32_t patience;      /* steps until it is tried again */
} hb_pace;

/* How the next step should be computed. */
bool hb_pace_together(const hb_pace *pace);

/* Notes how long it took. */
void hb_pace_note(hb_pace *pace, bool together, double seconds);

#endif
