#include "calibration.h"
#include "compress/samples.h"
#include "jsonl.h"
#include "own_text.h"
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Tokens of all files, one after the other. Rendered prompts have control tokens, texts have none.
 */
static bool read_files(const hb_tokenizer *tokenizer, const cli_list *files, cli_tokens *all) {
  for (uint32_t i = 0; i < files->count; i++) {
    cli_text text;
    cli_tokens tokens;
    if (!cli_read_file(files->texts[i], &text)) return false;
    bool prompts = cli_is_jsonl(files->texts[i]);
    bool ok = !prompts || cli_jsonl_texts(files->texts[i], &text);
    ok = ok && cli_tokenize(tokenizer, (hb_string){text.data, text.length},
                            prompts ? HB_TOKENIZE_SPECIAL : 0, &tokens);
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

static bool cut(const hb_source *source, const cli_tokens *all, const hb_tokenizer *tokenizer,
                const cli_options *options, cli_calibration *out) {
  hb_tokenizer_info info;
  hb_error error;
  out->samples = options->calibration_samples;
  out->length = options->calibration_length;
  if (hb_samples_plan(source->gguf, all->count, &out->samples, &out->length, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  out->tokens = malloc((size_t)out->samples * out->length * sizeof *out->tokens);
  if (!out->tokens) {
    cli_fail("no memory for the calibration");
    return false;
  }
  hb_tokenizer_get_info(tokenizer, &info);
  bool drawn = cli_given(options, OPTION_CALIBRATION_SEED);
  hb_samples_take(all->data, all->count, out->samples, out->length,
                  drawn ? &options->calibration_seed : NULL, info.add_bos ? info.bos : HB_NO_TOKEN,
                  out->tokens);
  return true;
}

bool cli_calibration_read(const hb_source *source, const cli_options *options,
                          cli_calibration *out) {
  hb_tokenizer *tokenizer = NULL;
  cli_tokens all = {0};
  hb_error error;
  *out = (cli_calibration){0};
  for (uint32_t i = 0; i < options->calibration.count; i++) {
    if (strcmp(options->calibration.texts[i], CLI_OWN_TEXT) != 0) continue;
    if (options->calibration.count == 1) return cli_own_text(options, out);
    cli_fail("--calibration " CLI_OWN_TEXT " stands for a text of the model's own and goes with no "
             "file; a file of this name is ./" CLI_OWN_TEXT);
    return false;
  }
  if (hb_tokenizer_create(source->gguf, NULL, &tokenizer, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  bool ok = read_files(tokenizer, &options->calibration, &all) &&
            cut(source, &all, tokenizer, options, out);
  free(all.data);
  hb_tokenizer_destroy(tokenizer);
  return ok;
}
