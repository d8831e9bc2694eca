#include "generate.h"
#include "terminal.h"

#include <stdio.h>
#include <string.h>

static hb_status create(const cli_engine *engine, const cli_options *options, uint64_t seed,
                        hb_generator **out, hb_error *error) {
  hb_string stops[CLI_MAX_LIST];
  for (uint32_t i = 0; i < options->stops.count; i++)
    stops[i] = (hb_string){options->stops.texts[i], strlen(options->stops.texts[i])};
  hb_generate_options generate = {
      .sampler = hb_sampler_defaults(),
      .max_tokens = options->max_tokens,
      .ignore_end = options->ignore_eos,
      .stop = stops,
      .stop_count = options->stops.count,
  };
  generate.sampler.temperature = options->temperature;
  generate.sampler.top_k = options->top_k;
  generate.sampler.top_p = options->top_p;
  generate.sampler.min_p = options->min_p;
  generate.sampler.repetition_penalty = options->repeat_penalty;
  generate.sampler.seed = seed;
  return hb_generator_create(engine->session, &generate, out, error);
}

static hb_status stream(hb_generator *generator, generation *out, hb_error *error) {
  hb_piece piece = {0};
  double start = hb_clock();
  do {
    hb_status status = hb_generator_next(generator, &piece, error);
    if (status != HB_OK) return status;
    if (piece.token != HB_NO_TOKEN) out->generated++;
    if (piece.text.length) fwrite(piece.text.data, 1, piece.text.length, stdout);
    if (fflush(stdout) != 0) break;
  } while (piece.finish == HB_FINISH_NONE && !interrupted());
  out->seconds = hb_clock() - start;
  out->finish = piece.finish;
  return HB_OK;
}

bool cli_generate(const cli_engine *engine, const cli_options *options, uint64_t seed,
                  const cli_tokens *prompt, generation *out) {
  *out = (generation){0};
  hb_generator *generator;
  hb_error error;
  hb_status status = create(engine, options, seed, &generator, &error);
  if (status == HB_OK) {
    hb_generator_accept(generator, prompt->data, prompt->count);
    status = stream(generator, out, &error);
    hb_generator_destroy(generator);
  }
  if (status != HB_OK) cli_fail_error(&error);
  return status == HB_OK;
}
