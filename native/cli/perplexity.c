/* Perplexity by the convention of llama.cpp: the text is tokenized as a whole and cut into chunks
 * of the context's length that do not overlap; the first token of each is replaced by BOS if the
 * model wants one; the second half of each chunk is scored. */
#include "commands.h"
#include "evaluate.h"
#include "kernel/kernel.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STANDARD_CONTEXT 512

typedef struct score {
  const hb_kernels *kernels;
  uint32_t vocabulary;
  const cli_tokens *chunk;
  uint64_t count;
  double sum, square_sum; /* of the negative log-likelihoods */
} score;

/* Scores the token that follows position `index` of the chunk. */
static bool score_row(void *context, size_t index, const float *logits) {
  score *s = context;
  if (index + 1 >= s->chunk->count) return true;
  float log_sum = s->kernels->softmax(logits, s->vocabulary, NULL);
  double loss = (double)log_sum - (double)logits[s->chunk->data[index + 1]];
  s->sum += loss;
  s->square_sum += loss * loss;
  s->count++;
  return true;
}

static double perplexity_of(const score *s) {
  return hb_exp(s->sum / (double)s->count);
}

/* The standard error of the perplexity. */
static double error_of(const score *s) {
  double mean = s->sum / (double)s->count;
  double variance = s->square_sum / (double)s->count - mean * mean;
  if (variance <= 0 || s->count < 2) return 0;
  return perplexity_of(s) * sqrt(variance / (double)(s->count - 1));
}

static bool run_chunks(const cli_engine *engine, const cli_tokens *tokens, size_t context,
                       size_t chunks, score *s) {
  hb_tokenizer_info info;
  hb_tokenizer_get_info(engine->tokenizer, &info);
  progress bar;
  char estimate[40] = "measuring";
  progress_begin(&bar, estimate);
  for (size_t i = 0; i < chunks; i++) {
    cli_tokens chunk = {tokens->data + i * context, context};
    if (info.add_bos && info.bos != HB_NO_TOKEN) chunk.data[0] = info.bos;
    s->chunk = &chunk;
    hb_session_rewind(engine->session, 0);
    if (!evaluate(engine, &chunk, context / 2, SPLIT_WHOLE, score_row, s)) return false;
    snprintf(estimate, sizeof estimate, "PPL %.4f", perplexity_of(s));
    progress_update(&bar, i + 1, chunks);
  }
  progress_end(&bar);
  return true;
}

/* Tokenizes the file's text. One newline at its end does not count, as llama.cpp drops it. */
static bool read_tokens(const cli_engine *engine, const cli_options *options, cli_tokens *out) {
  cli_text text;
  if (!cli_read_file(options->text_file, &text)) return false;
  if (text.length && text.data[text.length - 1] == '\n') text.length--;
  bool ok =
      cli_tokenize(engine->tokenizer, (hb_string){text.data, text.length}, HB_TOKENIZE_BOS, out);
  free(text.data);
  return ok;
}

static bool measure(cli_engine *engine, const cli_options *options, const cli_tokens *tokens) {
  uint32_t context = options->context ? options->context : STANDARD_CONTEXT;
  if (context < 4 || tokens->count < 2 * (size_t)context) {
    cli_fail("the text has %zu tokens; --ctx %" PRIu32 " takes at least %zu", tokens->count,
             context, 2 * (size_t)(context < 4 ? 4 : context));
    return false;
  }
  size_t chunks = tokens->count / context;
  if (options->chunks && options->chunks < chunks) chunks = options->chunks;
  if (!cli_open_session(engine, options, context, 0, evaluate_rows(engine))) return false;

  score s = {.kernels = hb_kernels_for(engine->info.isa), .vocabulary = engine->info.vocabulary};
  if (!run_chunks(engine, tokens, context, chunks, &s)) return false;
  printf("PPL = %.4f +- %.5f (%zu chunks of %" PRIu32 ", %" PRIu64 " tokens scored)\n",
         perplexity_of(&s), error_of(&s), chunks, context, s.count);
  return true;
}

static int perplexity(const cli_options *options) {
  cli_engine engine;
  cli_tokens tokens = {0};
  if (!cli_load(&engine, options)) return CLI_FAILED;
  bool ok = read_tokens(&engine, options, &tokens) && measure(&engine, options, &tokens);
  free(tokens.data);
  cli_close(&engine);
  return ok ? CLI_OK : CLI_FAILED;
}

const cli_command command_perplexity = {
    .name = "perplexity",
    .operands = "",
    .summary = "Measures how well a model predicts a text",
    .details =
        "The convention is llama.cpp's: chunks of --ctx tokens (default 512), each scored in "
        "its\nsecond half.",
    .takes = CLI_COMPUTE_OPTIONS | CLI_BIT(TEXT_FILE) | CLI_BIT(CONTEXT) | CLI_BIT(CHUNKS),
    .needs = CLI_BIT(MODEL) | CLI_BIT(TEXT_FILE),
    .run = perplexity,
};
