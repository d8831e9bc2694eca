/* The rate of each step of a training: warm-up, then constant or falling. */
#ifndef HB_TRAIN_SCHEDULE_H
#define HB_TRAIN_SCHEDULE_H

#include "base/base.h"

typedef enum hb_schedule_kind {
  HB_SCHEDULE_CONSTANT,
  HB_SCHEDULE_LINEAR,
  HB_SCHEDULE_COSINE, /* half a period */
} hb_schedule_kind;

typedef struct hb_schedule {
  hb_schedule_kind kind;
  float rate;      /* after the warm-up, the highest */
  float last;      /* part of `rate`, 0 .. 1, that it has fallen to when all steps are done */
  uint64_t warmup; /* steps in which the rate rises in equal parts, of which none is 0 */
  uint64_t steps;  /* in all */
} hb_schedule;

hb_status hb_schedule_check(const hb_schedule *schedule, hb_error *error);

/* Steps count from 0; beyond the end the rate stays what it became. */
float hb_schedule_rate(const hb_schedule *schedule, uint64_t step);

#endif
