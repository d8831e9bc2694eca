#include "compress/divide.h"
#include "kernel/fpstate.h"

typedef struct division {
  void (*body)(void *context, uint32_t first, uint32_t end);
  void *context;
  uint32_t count, threads;
} division;

static void run_share(void *argument, uint32_t thread) {
  const division *d = argument;
  uint32_t first = (uint32_t)((uint64_t)d->count * thread / d->threads);
  uint32_t end = (uint32_t)((uint64_t)d->count * (thread + 1) / d->threads);
  hb_fp_state fp = hb_fp_enter();
  if (first < end) d->body(d->context, first, end);
  hb_fp_leave(fp);
}

void hb_divide(const hb_parallel *parallel, uint32_t count,
               void (*body)(void *context, uint32_t first, uint32_t end), void *context) {
  division d = {body, context, count, parallel && count > 1 ? parallel->threads : 1};
  if (d.threads > 1)
    parallel->run(parallel->context, run_share, &d);
  else
    run_share(&d, 0);
}
