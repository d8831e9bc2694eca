/* How a training run goes, in a line: on a terminal one that is drawn anew, else one every few
 * seconds. */
#ifndef CLI_STEP_LINE_H
#define CLI_STEP_LINE_H

#include "common.h"

typedef struct step_line {
  uint32_t steps; /* of the run */
  bool taught;    /* the loss is not the entropy alone */
  bool terminal;
  bool drawn;      /* there is one on the terminal, */
  bool last;       /* and it stays */
  double drawn_at; /* hb_clock() */
} step_line;

void step_line_begin(step_line *line, uint32_t steps, bool taught);

/* tokens_per_second, seconds_left: as far as they are known. */
void step_line_show(step_line *line, const hb_train_report *r, double tokens_per_second,
                    double seconds_left);

/* Makes room for other lines; that of the last step stays above them. */
void step_line_end(step_line *line);

#define STEP_LINE_TIME 32

/* "1 h 05 min", "3 min 20 s" or "12 s" into a buffer of STEP_LINE_TIME bytes, which is returned. */
const char *step_line_time(double seconds, char *buffer);

#endif
