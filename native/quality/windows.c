#include "quality/windows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LLAMA_CONTEXT = 512, HF_CONTEXT = 2048, LEAST_CONTEXT = 4 };

static uint32_t standard_context(const cli_engine *engine, cli_convention convention) {
  if (convention == CONVENTION_LLAMA) return LLAMA_CONTEXT;
  uint32_t trained = engine->info.context_length;
  return trained < HF_CONTEXT ? trained : HF_CONTEXT;
}

static bool read_tokens(const cli_engine *engine, const cli_options *options, cli_tokens *out) {
  cli_text text;
  if (!cli_read_file(options->text_file, &text)) return false;
  bool trims = options->convention == CONVENTION_LLAMA;
  if (trims && text.length && text.data[text.length - 1] == '\n') text.length--;
  bool ok =
      cli_tokenize(engine->tokenizer, (hb_string){text.data, text.length}, HB_TOKENIZE_BOS, out);
  free(text.data);
  return ok;
}

static void look_for_calibration(const cli_engine *engine, windows *w) {
  w->overlap =
      hb_provenance_overlap(hb_model_gguf(engine->model), w->tokens.data, w->count * w->context);
  if (w->overlap.found == 0) return;
  cli_warn(
      "of %zu passages of the text that the model was calibrated with, %zu stand in this text: "
      "it does better on it than on others",
      w->overlap.known, w->overlap.found);
}

bool windows_open(const cli_engine *engine, const cli_options *options, windows *out) {
  *out = (windows){.convention = options->convention, .lead = HB_NO_TOKEN};
  uint32_t context =
      options->context ? options->context : standard_context(engine, options->convention);
  bool llama = options->convention == CONVENTION_LLAMA;
  size_t least = (llama ? 2 : 1) * (size_t)(context < LEAST_CONTEXT ? LEAST_CONTEXT : context);
  if (!read_tokens(engine, options, &out->tokens)) return false;
  if (context < LEAST_CONTEXT || out->tokens.count < least) {
    cli_fail("the text has %zu tokens; --ctx %" PRIu32 " takes at least %zu", out->tokens.count,
             context, least);
    windows_close(out);
    return false;
  }
  out->context = context;
  out->count = out->tokens.count / context;
  if (options->chunks && options->chunks < out->count) out->count = options->chunks;
  look_for_calibration(engine, out);
  if (!llama) return true;
  hb_tokenizer_info info;
  hb_tokenizer_get_info(engine->tokenizer, &info);
  if (info.add_bos) out->lead = info.bos;
  out->first = context / 2;
  return true;
}

bool windows_of(const cli_tokens *tokens, uint32_t context, windows *out) {
  *out = (windows){.context = context, .count = tokens->count / context, .lead = HB_NO_TOKEN};
  out->tokens = (cli_tokens){malloc((tokens->count + 1) * sizeof *tokens->data), tokens->count};
  if (!out->tokens.data) {
    cli_fail("no memory");
    return false;
  }
  if (tokens->count) memcpy(out->tokens.data, tokens->data, tokens->count * sizeof *tokens->data);
  return true;
}

void windows_close(windows *w) {
  free(w->tokens.data);
  *w = (windows){0};
}

cli_tokens windows_at(const windows *w, size_t index) {
  cli_tokens window = {w->tokens.data + index * w->context, w->context};
  if (w->lead != HB_NO_TOKEN) window.data[0] = w->lead;
  return window;
}

bool windows_same(const windows *a, const windows *b) {
  return a->context == b->context && a->tokens.count == b->tokens.count && a->lead == b->lead &&
         memcmp(a->tokens.data, b->tokens.data, a->tokens.count * sizeof *a->tokens.data) == 0;
}
