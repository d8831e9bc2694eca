#include "evaluate.h"

#define LOGIT_BYTES ((uint64_t)64 << 20)
#define MOST_ROWS 256

uint32_t evaluate_rows(const cli_engine *engine) {
  uint64_t rows = LOGIT_BYTES / (engine->info.vocabulary * sizeof(float));
  if (rows < 1) return 1;
  return rows < MOST_ROWS ? (uint32_t)rows : MOST_ROWS;
}

/* Tokens of step number `step`. The pieces are small and uneven: rows of a step that do not fill
 * the kernels' tiles must give the same bits. */
static size_t step_size(cli_split split, size_t step, uint32_t most) {
  static const uint8_t pieces[] = {3, 1, 5, 2, 17, 4};
  size_t size = split == SPLIT_WHOLE    ? most
                : split == SPLIT_SINGLE ? 1
                                        : pieces[step % sizeof pieces];
  return size < most ? size : most;
}

bool evaluate_step(const cli_engine *engine, const hb_token *tokens, size_t count, size_t first,
                   size_t end) {
  hb_row rows[MOST_ROWS];
  hb_error error;
  for (size_t i = 0; i < count; i++)
    rows[i] = (hb_row){engine->session, tokens[i], i >= first && i < end};
  if (hb_step(engine->session, rows, count, &error) == HB_OK) return true;
  cli_fail_error(&error);
  return false;
}

bool evaluate(const cli_engine *engine, const cli_tokens *tokens, size_t first, cli_split split,
              evaluate_row take, void *context) {
  uint32_t most = evaluate_rows(engine);
  size_t done = 0;
  for (size_t step = 0; done < tokens->count; step++) {
    size_t count = step_size(split, step, most);
    if (count > tokens->count - done) count = tokens->count - done;
    size_t wanted = first > done ? first - done : 0;
    if (!evaluate_step(engine, tokens->data + done, count, wanted, count)) return false;
    for (size_t i = wanted; i < count; i++)
      if (!take(context, done + i, hb_session_logits(engine->session, i - wanted))) return false;
    done += count;
  }
  return true;
}
