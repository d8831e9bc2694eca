#include "commands.h"
#include "common.h"
#include "token/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void print_tokens(const hb_tokenizer *tokenizer, const cli_tokens *tokens, bool ids_only) {
  for (size_t i = 0; i < tokens->count; i++) {
    hb_token id = tokens->data[i];
    if (ids_only) {
      printf(i ? " %" PRId32 : "%" PRId32, id);
      continue;
    }
    printf("%8" PRId32 "  ", id);
    cli_print_string(hb_token_text(tokenizer, id));
    printf("\n");
  }
  if (ids_only) printf("\n");
}

static int tokenize_with(const hb_tokenizer *tokenizer, const cli_options *options) {
  if (!tokenizer) return cli_fail("%s has no tokenizer", options->model);
  uint32_t flags =
      (options->no_bos ? 0 : HB_TOKENIZE_BOS) | (options->special ? HB_TOKENIZE_SPECIAL : 0);
  cli_text text;
  cli_tokens tokens;
  if (!cli_read_text(options->operands[0], &text)) return CLI_FAILED;
  bool ok = cli_tokenize(tokenizer, (hb_string){text.data, text.length}, flags, &tokens);
  free(text.data);
  if (!ok) return CLI_FAILED;
  print_tokens(tokenizer, &tokens, options->ids);
  free(tokens.data);
  return CLI_OK;
}

/* Needs the header alone, so that vocabulary-only files work too. */
static int tokenize(const cli_options *options) {
  hb_source source;
  hb_tokenizer *tokenizer;
  hb_error error;
  if (hb_source_open(options->model, &source, &error) != HB_OK) return cli_fail_error(&error);
  int code;
  if (hb_tokenizer_create(source.gguf, NULL, &tokenizer, &error) == HB_OK) {
    code = tokenize_with(tokenizer, options);
    hb_tokenizer_destroy(tokenizer);
  } else {
    code = cli_fail_error(&error);
  }
  hb_source_close(&source);
  return code;
}

const cli_command command_tokenize = {
    .name = "tokenize",
    .operands = "TEXT",
    .summary = "Splits a text (- for standard input) into a model's tokens",
    .takes = CLI_OPTIONS(OPTION_MODEL, OPTION_IDS, OPTION_SPECIAL, OPTION_NO_BOS),
    .needs = CLI_OPTIONS(OPTION_MODEL),
    .least_operands = 1,
    .most_operands = 1,
    .run = tokenize,
};
