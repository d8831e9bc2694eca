#include "step_line.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>

#define SECONDS_BETWEEN_DRAWINGS 0.2
#define SECONDS_BETWEEN_LINES 5

void step_line_begin(step_line *line, uint32_t steps, bool taught) {
  *line = (step_line){.steps = steps, .taught = taught, .terminal = terminal_is(STREAM_OUT)};
  if (!line->terminal) line->drawn_at = hb_clock();
}

const char *step_line_time(double seconds, char *buffer) {
  uint32_t s = seconds < 1e9 ? (uint32_t)(seconds + 0.5) : 1000000000;
  if (s >= 3600)
    snprintf(buffer, STEP_LINE_TIME, "%" PRIu32 " h %02" PRIu32 " min", s / 3600, s / 60 % 60);
  else if (s >= 60)
    snprintf(buffer, STEP_LINE_TIME, "%" PRIu32 " min %02" PRIu32 " s", s / 60, s % 60);
  else
    snprintf(buffer, STEP_LINE_TIME, "%" PRIu32 " s", s);
  return buffer;
}

void step_line_show(step_line *line, const hb_train_report *r, double tokens_per_second,
                    double seconds_left) {
  double now = hb_clock(), between = SECONDS_BETWEEN_LINES;
  if (line->terminal) between = SECONDS_BETWEEN_DRAWINGS;
  if (r->step < line->steps && now - line->drawn_at < between) return;
  char left[STEP_LINE_TIME];
  line->drawn_at = now;
  line->drawn = line->terminal;
  line->last = r->step == line->steps;
  printf("%sstep %" PRIu64 "/%" PRIu32, line->terminal ? "\r" : "", r->step, line->steps);
  if (r->layer > 0)
    printf("  layer %" PRIu32 "  error %.4g", r->layer, r->loss);
  else
    printf("  loss %.4f", r->loss);
  if (line->taught) printf("  entropy %.4f", r->entropy);
  if (r->teacher > 0) printf("  teacher %.4f", r->teacher);
  if (!line->terminal) printf("  norm %.3f  rate %.2e", r->norm, r->rate);
  printf("  %.0f tokens/s  %s left%s", tokens_per_second, step_line_time(seconds_left, left),
         line->terminal ? "\033[K" : "\n");
  fflush(stdout);
}

void step_line_end(step_line *line) {
  if (line->drawn) printf(line->last ? "\n" : "\r\033[K");
  line->drawn = false;
}
