#include "train/schedule.h"
#include "kernel/kernel.h"

#include <float.h>

hb_status hb_schedule_check(const hb_schedule *schedule, hb_error *error) {
  const hb_schedule *s = schedule;
  if (s->kind != HB_SCHEDULE_CONSTANT && s->kind != HB_SCHEDULE_LINEAR &&
      s->kind != HB_SCHEDULE_COSINE)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a schedule is constant, linear or cosine");
  if (!(s->rate >= 0.0f && s->rate <= FLT_MAX))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the learning rate must be 0 or more");
  if (!(s->last >= 0.0f && s->last <= 1.0f))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "the part of the learning rate that is left at the end must be 0 to 1");
  if (s->warmup > s->steps)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "the warm-up of %u steps is longer than the training of %u", s->warmup,
                   s->steps);
  return HB_OK;
}

/* Of the fall that has been done, 0 .. 1, after `part` of the time. */
static double fallen(hb_schedule_kind kind, double part) {
  double sine, cosine;
  switch (kind) {
  case HB_SCHEDULE_LINEAR: return part;
  case HB_SCHEDULE_COSINE:
    hb_sincos(part * 3.14159265358979323846, &sine, &cosine);
    return 0.5 - 0.5 * cosine;
  default: return 0.0;
  }
}

float hb_schedule_rate(const hb_schedule *schedule, uint64_t step) {
  const hb_schedule *s = schedule;
  if (step < s->warmup) return (float)((double)s->rate * (double)(step + 1) / (double)s->warmup);
  double part = step < s->steps ? (double)(step - s->warmup) / (double)(s->steps - s->warmup) : 1.0;
  return (float)((double)s->rate * (1.0 - (1.0 - (double)s->last) * fallen(s->kind, part)));
}
