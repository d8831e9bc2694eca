#include "calibration.h"
#include "jsonl.h"
#include "measure/random.h"
#include "model/hyperparameters.h"
#include "token/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_TOKENS 4096 /* fewer say little of the inputs that a layer gets */

/* Tokens of all files, one after the other. */
static bool read_files(const hb_tokenizer *tokenizer, const cli_list *files, cli_tokens *all) {
  for (uint32_t i = 0; i < files->count; i++) {
    cli_text text;
    cli_tokens tokens;
    if (!cli_read_file(files->texts[i], &text)) return false;
    bool ok = !cli_is_jsonl(files->texts[i]) || cli_jsonl_texts(files->texts[i], &text);
    ok = ok && cli_tokenize(tokenizer, (hb_string){text.data, text.length}, 0, &tokens);
    free(text.data);
    if (!ok) return false;
    hb_token *joined = realloc(all->data, (all->count + tokens.count + 1) * sizeof *joined);
    if (joined) {
      for (size_t j = 0; j < tokens.count; j++) joined[all->count + j] = tokens.data[j];
      all->data = joined;
      all->count += tokens.count;
    }
    free(tokens.data);
    if (!joined) {
      cli_fail("no memory for the tokens of %s", files->texts[i]);
      return false;
    }
  }
  return true;
}

/* The context that the model was made for, as long as the options want at most. */
static bool choose_length(const hb_source *source, const cli_options *options, uint32_t *length) {
  hb_error error;
  hb_string name;
  char key[96];
  uint64_t context;
  const hb_value *architecture = hb_gguf_value(source->gguf, "general.architecture");
  if (!architecture || hb_value_string(architecture, &name, &error) != HB_OK) {
    cli_fail("key general.architecture is missing");
    return false;
  }
  snprintf(key, sizeof key, "%.*s.context_length", (int)(name.length < 64 ? name.length : 64),
           name.data);
  const hb_value *value = hb_gguf_value(source->gguf, key);
  if (!value || hb_value_u64(value, 0, &context, &error) != HB_OK || context == 0) {
    cli_fail("key %s is missing or no number", key);
    return false;
  }
  *length = options->calibration_length < context ? options->calibration_length : (uint32_t)context;
  return true;
}

/* The next of the pieces that are drawn, where `wanted` of those from *next on will be: every set
 * of them is as likely. */
static size_t draw(hb_random *random, size_t *next, size_t pieces, uint32_t wanted) {
  while (hb_random_next(random) % (pieces - *next) >= wanted) ++*next;
  return (*next)++;
}

/* Copies the samples out of `pieces` pieces: those that a seed draws, or evenly spread ones. */
static void take_pieces(const hb_token *from, size_t pieces, const cli_options *options,
                        cli_calibration *out) {
  hb_random random = hb_random_begin(options->calibration_seed, 0);
  bool drawn = cli_given(options, OPTION_CALIBRATION_SEED);
  size_t next = 0;
  for (uint32_t i = 0; i < out->samples; i++) {
    size_t piece =
        drawn ? draw(&random, &next, pieces, out->samples - i) : pieces * i / out->samples;
    memcpy(out->tokens + (size_t)i * out->length, from + piece * out->length,
           out->length * sizeof *from);
  }
}

static bool cut(const cli_tokens *all, const hb_tokenizer *tokenizer, const cli_options *options,
                cli_calibration *out) {
  hb_tokenizer_info info;
  hb_tokenizer_get_info(tokenizer, &info);
  size_t pieces = all->count / out->length;
  if (all->count < LEAST_TOKENS || pieces == 0) {
    cli_fail("the text to calibrate with has %zu tokens; at least %d are needed", all->count,
             LEAST_TOKENS);
    return false;
  }
  out->samples =
      pieces < options->calibration_samples ? (uint32_t)pieces : options->calibration_samples;
  out->tokens = malloc((size_t)out->samples * out->length * sizeof *out->tokens);
  if (!out->tokens) {
    cli_fail("no memory for the calibration");
    return false;
  }
  take_pieces(all->data, pieces, options, out);
  for (uint32_t i = 0; i < out->samples && info.add_bos && info.bos != HB_NO_TOKEN; i++)
    out->tokens[(size_t)i * out->length] = info.bos;
  return true;
}

bool cli_calibration_read(const hb_source *source, const cli_options *options,
                          cli_calibration *out) {
  hb_tokenizer *tokenizer = NULL;
  cli_tokens all = {0};
  hb_error error;
  *out = (cli_calibration){0};
  if (hb_tokenizer_create(source->gguf, NULL, &tokenizer, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  bool ok = choose_length(source, options, &out->length) &&
            read_files(tokenizer, &options->calibration, &all) &&
            cut(&all, tokenizer, options, out);
  free(all.data);
  hb_tokenizer_destroy(tokenizer);
  return ok;
}
