#include "commands.h"
#include "generate.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static double rate(uint64_t count, double seconds) {
  return seconds > 0 ? (double)count / seconds : 0;
}

static void print_stats(const cli_engine *engine, uint64_t seed) {
  char weights[24];
  fprintf(stderr,
          "load %.2f s; weights %s; %s; %" PRIu32 " threads; position %" PRIu32 " of %" PRIu32
          "; seed %" PRIu64 "\n",
          engine->load_seconds, cli_size(engine->info.weight_bytes, weights),
          hb_isa_name(engine->info.isa), hb_threads_parallel(engine->threads)->threads,
          hb_session_position(engine->session), hb_session_context_length(engine->session), seed);
}

static int run_prompt(const cli_engine *engine, const cli_options *options,
                      const cli_tokens *prompt) {
  hb_error error;
  double start = hb_clock();
  if (hb_session_append(engine->session, prompt->data, prompt->count, &error) != HB_OK)
    return cli_fail_error(&error);
  double prefill = hb_clock() - start;

  generation made;
  uint64_t seed = cli_given(options, OPTION_SEED) ? options->seed : hb_random_seed();
  interrupt_catch();
  if (!cli_generate(engine, options, seed, prompt, &made)) return CLI_FAILED;
  printf("\n");
  if (fflush(stdout) != 0) return CLI_FAILED;

  fprintf(stderr,
          "prompt %zu tokens, %.1f tokens/s; generated %" PRIu64 " tokens, %.1f tokens/s%s\n",
          prompt->count, rate(prompt->count, prefill), made.generated,
          rate(made.generated, made.seconds),
          made.finish == HB_FINISH_CONTEXT ? "; the context is full" : "");
  if (options->stats) print_stats(engine, seed);
  return CLI_OK;
}

static int run(const cli_options *options) {
  cli_engine engine;
  if (!cli_load(&engine, options)) return CLI_FAILED;
  int code = CLI_FAILED;
  cli_tokens prompt;
  const char *text = options->prompt ? options->prompt : "";
  if (cli_open_session(&engine, options, 0, 0, 1) && cli_prompt_tokens(&engine, text, &prompt)) {
    code = run_prompt(&engine, options, &prompt);
    free(prompt.data);
  }
  cli_close(&engine);
  return code;
}

const cli_command command_run = {
    .name = "run",
    .operands = "",
    .summary = "Continues a text with a model",
    .details = "The continuation streams to standard output, the speed goes to standard error.\n"
               "Without a prompt the model begins a text of its own.",
    .takes =
        CLI_OPTIONS(CLI_COMPUTE_OPTIONS, CLI_SAMPLING_OPTIONS, OPTION_PROMPT, OPTION_IGNORE_EOS),
    .needs = CLI_OPTIONS(OPTION_MODEL),
    .run = run,
};
