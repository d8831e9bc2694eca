#include "commands.h"
#include "generate.h"
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void explain(const cli_engine *engine) {
  bool has_template = hb_gguf_value(hb_model_gguf(engine->model), "tokenizer.chat_template");
  fprintf(stderr,
          "%s\n"
          "Each line that you type continues the text; the model goes on from there. "
          "An empty line lets it go on, Ctrl-D ends.\n",
          has_template
              ? "This model has a chat template (Jinja), which this program does not apply."
              : "This model has no chat template: it continues texts and was not made to "
                "converse.");
}

/* Reads a line of any length with its newline; false at the end of the input. */
static bool read_line(cli_text *line) {
  size_t capacity = 256;
  *line = (cli_text){malloc(capacity), 0};
  int c = EOF;
  while (line->data && (c = getchar()) != EOF) {
    if (line->length + 1 == capacity) {
      char *grown = realloc(line->data, capacity *= 2);
      if (!grown) free(line->data);
      line->data = grown;
      if (!grown) break;
    }
    line->data[line->length++] = (char)c;
    if (c == '\n') break;
  }
  if (line->data && line->length) return true;
  if (!line->data) cli_fail("no memory");
  free(line->data);
  return false;
}

/* Begins anew if `count` tokens more do not fit. */
static void make_room(const cli_engine *engine, size_t count) {
  uint32_t position = hb_session_position(engine->session);
  if (count <= hb_session_context_length(engine->session) - position) return;
  fprintf(stderr, "[the context is full: the model forgets what was said]\n");
  hb_session_rewind(engine->session, 0);
}

/* Appends a line and lets the model answer. */
static int answer(const cli_engine *engine, const cli_options *options, const cli_text *line,
                  uint64_t seed) {
  bool first = hb_session_position(engine->session) == 0;
  bool empty = line->length == 1 && line->data[0] == '\n';
  cli_tokens tokens = {0};
  if (first && empty) {
    if (!cli_prompt_tokens(engine, "", &tokens)) return CLI_FAILED;
  } else if (!cli_tokenize(engine->tokenizer, (hb_string){line->data, line->length},
                           first ? HB_TOKENIZE_BOS : 0, &tokens)) {
    return CLI_FAILED;
  }
  make_room(engine, tokens.count);
  hb_error error;
  generation made;
  int code = CLI_FAILED;
  if (hb_session_append(engine->session, tokens.data, tokens.count, &error) != HB_OK) {
    cli_fail_error(&error);
  } else {
    interrupt_catch_key();
    if (cli_generate(engine, options, seed, &tokens, &made)) code = CLI_OK;
    printf("\n");
    if (options->stats && made.seconds > 0)
      fprintf(stderr, "[%.1f tokens/s]\n", (double)made.generated / made.seconds);
  }
  free(tokens.data);
  return fflush(stdout) == 0 ? code : CLI_FAILED;
}

static int converse(const cli_engine *engine, const cli_options *options) {
  explain(engine);
  uint64_t seed = cli_given(options, OPTION_SEED) ? options->seed : hb_random_seed();
  bool prompting = terminal_is(STREAM_IN);
  for (;; seed++) {
    if (prompting) fprintf(stderr, "> ");
    cli_text line;
    if (!read_line(&line)) break;
    int code = answer(engine, options, &line, seed);
    free(line.data);
    if (code != CLI_OK) return code;
  }
  if (prompting) fprintf(stderr, "\n");
  return CLI_OK;
}

static int chat(const cli_options *options) {
  cli_engine engine;
  if (!cli_load(&engine, options)) return CLI_FAILED;
  int code = CLI_FAILED;
  if (!engine.tokenizer) {
    cli_fail("the model has no tokenizer");
  } else if (cli_open_session(&engine, options, 0, 0, 1)) {
    code = converse(&engine, options);
  }
  cli_close(&engine);
  return code;
}

const cli_command command_chat = {
    .name = "chat",
    .operands = "",
    .summary = "Converses with a model, line by line",
    .details = "Chat templates are not applied: what you type continues the text as it is.",
    .takes = CLI_OPTIONS(CLI_COMPUTE_OPTIONS, CLI_SAMPLING_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_MODEL),
    .run = chat,
};
