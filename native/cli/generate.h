/* Generation as run and chat do it: text streams to stdout while it comes. */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "common.h"

typedef struct generation {
  uint64_t generated; /* tokens */
  double seconds;
  hb_finish finish; /* HB_FINISH_NONE: interrupted */
} generation;

/* Continues the engine's session after `prompt`, which it already holds. */
bool cli_generate(const cli_engine *engine, const cli_options *options, uint64_t seed,
                  const cli_tokens *prompt, generation *out);

#endif
