/* How fast loaded models run, briefly measured: in turns, so that what else the machine does meets
 * both alike. */
#ifndef QUALITY_SPEED_H
#define QUALITY_SPEED_H

#include "cli/common.h"

typedef struct speed {
  double prefill, decode; /* tokens a second, medians */
} speed;

/* Measures `count` engines, whose sessions are rewound; at least 16 tokens, of which half are read
 * at once and at most 16 one by one. */
bool measure_speeds(cli_engine *const *engines, size_t count, const cli_tokens *tokens, speed *out);

#endif
