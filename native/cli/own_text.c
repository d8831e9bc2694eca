#include "own_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TOKENS 8192 /* twice what is asked of a file, as each costs a pass */

/* Pieces that are written at the same time, a token of each a step. */
typedef struct writing {
  const cli_engine *engine;
  cli_calibration *out;
  hb_session **sessions; /* [samples]; the first one leads */
  hb_sampler **samplers; /* [samples] */
  hb_row *rows;          /* [samples] */
} writing;

static hb_status open_piece(const writing *w, uint32_t i, uint64_t seed, hb_error *error) {
  hb_session_options options = {.parallel = &w->engine->parallel,
                                .context_length = w->out->length,
                                .batch = i == 0 ? w->out->samples : 1,
                                .logit_rows = i == 0 ? w->out->samples : 1};
  hb_sampler_options sampler = hb_sampler_defaults();
  sampler.temperature = 1; /* as likely as the model thinks, with nothing cut off */
  sampler.top_p = 1;
  sampler.seed = seed + i;
  hb_status status = hb_session_create(w->engine->model, &options, &w->sessions[i], error);
  if (status != HB_OK) return status;
  return hb_sampler_create(NULL, w->engine->info.vocabulary, &sampler, &w->samplers[i], error);
}

/* The token of every piece behind `position`. */
static hb_status write_tokens(const writing *w, uint32_t position, hb_error *error) {
  const cli_calibration *c = w->out;
  for (uint32_t i = 0; i < c->samples; i++)
    w->rows[i] = (hb_row){w->sessions[i], c->tokens[(size_t)i * c->length + position], 1};
  hb_status status = hb_step(w->sessions[0], w->rows, c->samples, error);
  for (uint32_t i = 0; i < c->samples && status == HB_OK; i++)
    c->tokens[(size_t)i * c->length + position + 1] =
        hb_sampler_sample(w->samplers[i], hb_session_logits(w->sessions[0], i), NULL);
  return status;
}

static hb_status write_pieces(const writing *w, uint64_t seed, hb_token first, hb_error *error) {
  const cli_calibration *c = w->out;
  hb_status status = HB_OK;
  for (uint32_t i = 0; i < c->samples && status == HB_OK; i++) {
    c->tokens[(size_t)i * c->length] = first;
    status = open_piece(w, i, seed, error);
  }
  progress bar;
  progress_begin(&bar, "writing");
  for (uint32_t p = 0; p + 1 < c->length && status == HB_OK; p++) {
    status = write_tokens(w, p, error);
    if (status == HB_OK && progress_report(&bar, p + 1, c->length) != 0) {
      *error = (hb_error){HB_ABORTED, HB_NO_OFFSET, "writing a text was stopped"};
      status = HB_ABORTED;
    }
  }
  progress_end(&bar);
  return status;
}

static bool allocate(writing *w) {
  uint32_t samples = w->out->samples;
  w->out->tokens = malloc((size_t)samples * w->out->length * sizeof *w->out->tokens);
  w->sessions = calloc(samples, sizeof *w->sessions);
  w->samplers = calloc(samples, sizeof *w->samplers);
  w->rows = calloc(samples, sizeof *w->rows);
  if (w->out->tokens && w->sessions && w->samplers && w->rows) return true;
  cli_fail("no memory for a text of %" PRIu32 " pieces", samples);
  return false;
}

static void release(const writing *w) {
  for (uint32_t i = 0; i < w->out->samples; i++) {
    if (w->samplers) hb_sampler_destroy(w->samplers[i]);
    if (w->sessions) hb_session_destroy(w->sessions[i]);
  }
  free(w->sessions);
  free(w->samplers);
  free(w->rows);
}

static bool write_text(const cli_engine *engine, const cli_options *options, hb_token first,
                       cli_calibration *out) {
  hb_error error;
  uint32_t context = engine->info.context_length;
  out->length = options->calibration_length < context ? options->calibration_length : context;
  out->samples = (TOKENS + out->length - 1) / out->length;
  if (out->samples > options->calibration_samples) out->samples = options->calibration_samples;
  writing w = {.engine = engine, .out = out};
  bool ok = allocate(&w);
  if (ok && write_pieces(&w, options->calibration_seed, first, &error) != HB_OK) {
    cli_fail_error(&error);
    ok = false;
  }
  release(&w);
  if (ok) return true;
  free(out->tokens);
  out->tokens = NULL;
  return false;
}

bool cli_own_text(const cli_options *options, cli_calibration *out) {
  cli_options of_model = *options;
  cli_engine engine;
  cli_tokens begin;
  *out = (cli_calibration){0};
  of_model.model = options->operands[0];
  if (!cli_load(&engine, &of_model)) return false;
  bool ok = cli_prompt_tokens(&engine, "", &begin);
  if (ok) {
    ok = write_text(&engine, options, begin.data[0], out);
    free(begin.data);
  }
  cli_close(&engine);
  if (ok)
    printf("calibrating with %" PRIu32 " pieces of %" PRIu32 " tokens that the model wrote\n",
           out->samples, out->length);
  return ok;
}
