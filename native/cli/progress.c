#include "progress.h"
#include "terminal.h"

#include <stdio.h>

#define BAR_WIDTH 30
#define SECONDS_BETWEEN 0.1

void progress_begin(progress *p, const char *label) {
  *p = (progress){label, terminal_is(STREAM_ERROR), 0};
}

void progress_update(progress *p, uint64_t done, uint64_t total) {
  if (!p->shown || total == 0) return;
  double now = hb_clock();
  if (now - p->drawn_at < SECONDS_BETWEEN) return;
  p->drawn_at = now;
  double part = done < total ? (double)done / (double)total : 1;
  char bar[BAR_WIDTH + 1];
  for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < part * BAR_WIDTH ? '#' : '.';
  bar[BAR_WIDTH] = 0;
  fprintf(stderr, "\r%s [%s] %3d %%\033[K", p->label, bar, (int)(part * 100));
}

void progress_end(progress *p) {
  if (p->shown && p->drawn_at > 0) fprintf(stderr, "\r\033[K");
}

int progress_report(void *context, uint64_t done, uint64_t total) {
  progress_update(context, done, total);
  return interrupted();
}
