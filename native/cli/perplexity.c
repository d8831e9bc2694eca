#include "commands.h"
#include "evaluate.h"
#include "kernel/kernel.h"
#include "quality/statistics.h"
#include "quality/windows.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct score {
  const hb_kernels *kernels;
  uint32_t vocabulary;
  cli_tokens window;
  moments losses; /* negative log-likelihoods */
} score;

/* Scores the token that follows position `index` of the window. */
static bool score_row(void *context, size_t index, const float *logits) {
  score *s = context;
  if (index + 1 >= s->window.count) return true;
  float log_sum = s->kernels->softmax(logits, s->vocabulary, NULL);
  moments_add(&s->losses, (double)log_sum - (double)logits[s->window.data[index + 1]]);
  return true;
}

static bool run_windows(const cli_engine *engine, const windows *w, score *s) {
  progress bar;
  char label[40] = "measuring";
  progress_begin(&bar, label);
  for (size_t i = 0; i < w->count; i++) {
    s->window = windows_at(w, i);
    hb_session_rewind(engine->session, 0);
    if (!evaluate(engine, &s->window, w->first, SPLIT_WHOLE, score_row, s)) return false;
    snprintf(label, sizeof label, "PPL %.4f", moments_exp(&s->losses).value);
    progress_update(&bar, i + 1, w->count);
  }
  progress_end(&bar);
  return true;
}

static bool measure(cli_engine *engine, const cli_options *options, const windows *w) {
  if (!cli_open_session(engine, options, w->context, 0, evaluate_rows(engine))) return false;
  score s = {.kernels = hb_kernels_for(engine->info.isa), .vocabulary = engine->info.vocabulary};
  if (!run_windows(engine, w, &s)) return false;
  estimate perplexity = moments_exp(&s.losses);
  printf("PPL = %.4f +- %.5f (%zu chunks of %" PRIu32 ", %" PRIu64 " tokens scored)\n",
         perplexity.value, perplexity.error, w->count, w->context, s.losses.count);
  return true;
}

static int perplexity(const cli_options *options) {
  cli_engine engine;
  windows w = {0};
  if (!cli_load(&engine, options)) return CLI_FAILED;
  bool ok = windows_open(&engine, options, &w) && measure(&engine, options, &w);
  windows_close(&w);
  cli_close(&engine);
  return ok ? CLI_OK : CLI_FAILED;
}

const cli_command command_perplexity = {
    .name = "perplexity",
    .operands = "",
    .summary = "Measures how well a model predicts a text",
    .details = "The text is cut into chunks of --ctx tokens that do not overlap. By llama.cpp's "
               "convention\n"
               "(--ctx 512 unless given) each begins with BOS and is scored in its second half; by "
               "Hugging\n"
               "Face's (2048, or what the model was made for) all but its first token are scored.",
    .takes = CLI_OPTIONS(CLI_COMPUTE_OPTIONS, OPTION_TEXT_FILE, OPTION_CONTEXT, OPTION_CHUNKS,
                         OPTION_CONVENTION),
    .needs = CLI_OPTIONS(OPTION_MODEL, OPTION_TEXT_FILE),
    .run = perplexity,
};
