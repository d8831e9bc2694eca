/* The logits of given tokens, one row at a time. */
#ifndef CLI_EVALUATE_H
#define CLI_EVALUATE_H

#include "common.h"

/* Takes the logits after one token; false stops, after saying why. */
typedef bool (*evaluate_row)(void *context, size_t index, const float *logits);

/* Rows whose logits are kept at once: as many as 64 MiB hold, from 1 to 256. */
uint32_t evaluate_rows(const cli_engine *engine);

/* Appends `count` tokens, evaluate_rows at most, to the engine's session and keeps the logits after
 * number `first` to `end` - 1 of them, from number 0 on. */
bool evaluate_step(const cli_engine *engine, const hb_token *tokens, size_t count, size_t first,
                   size_t end);

/* Appends tokens to the engine's session, which was opened with evaluate_rows, split as asked for,
 * and gives the logits after tokens `first` .. count - 1 to `take`, in order. */
bool evaluate(const cli_engine *engine, const cli_tokens *tokens, size_t first, cli_split split,
              evaluate_row take, void *context);

#endif
