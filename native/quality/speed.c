#include "quality/speed.h"
#include "bench/bench.h"

enum { REPEATS = 5, MOST_ENGINES = 2, MOST_PROMPT = 128, MOST_DECODED = 16 };

typedef struct timing {
  samples prefill, decode;
} timing;

static bool take(cli_engine *engine, const cli_tokens *tokens, timing *out, bool counts) {
  hb_error error;
  size_t prompt = tokens->count / 2 < MOST_PROMPT ? tokens->count / 2 : MOST_PROMPT;
  size_t decoded = tokens->count - prompt < MOST_DECODED ? tokens->count - prompt : MOST_DECODED;
  hb_session_rewind(engine->session, 0);
  double start = hb_clock();
  hb_status status = hb_session_append(engine->session, tokens->data, prompt, &error);
  double filled = hb_clock();
  for (size_t i = 0; status == HB_OK && i < decoded; i++)
    status = hb_session_append(engine->session, tokens->data + prompt + i, 1, &error);
  double end = hb_clock();
  if (status != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  if (!counts) return true;
  bench_add(&out->prefill, (double)prompt / (filled - start));
  bench_add(&out->decode, (double)decoded / (end - filled));
  return true;
}

bool measure_speeds(cli_engine *const *engines, size_t count, const cli_tokens *tokens,
                    speed *out) {
  timing timings[MOST_ENGINES] = {0};
  for (int repeat = 0; repeat <= REPEATS; repeat++)
    for (size_t i = 0; i < count; i++)
      if (!take(engines[i], tokens, &timings[i], repeat > 0)) return false;
  for (size_t i = 0; i < count; i++)
    out[i] = (speed){bench_median(&timings[i].prefill), bench_median(&timings[i].decode)};
  return true;
}
