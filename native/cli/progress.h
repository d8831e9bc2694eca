/* A bar on stderr for long work, if stderr is a terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "halfbyte.h"

#include <stdbool.h>

typedef struct progress {
  const char *label; /* may change between drawings */
  bool shown;        /* stderr is a terminal */
  double drawn_at;   /* hb_clock() of the last drawing */
} progress;

void progress_begin(progress *p, const char *label);
/* Draws at most ten times a second. */
void progress_update(progress *p, uint64_t done, uint64_t total);
/* Removes the bar. */
void progress_end(progress *p);

/* For hb_file_progress, with a progress as its context: draws, and stops after Ctrl-C. */
int progress_report(void *context, uint64_t done, uint64_t total);

#endif
