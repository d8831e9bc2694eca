/* halfbyte: the command line. */
#include "commands.h"
#include "common.h"
#include "terminal.h"

#include <stdio.h>
#include <string.h>

static const cli_command *const commands[] = {
    &command_run,      &command_chat,     &command_inspect,    &command_tokenize,
    &command_logits,   &command_parity,   &command_perplexity, &command_compare,
    &command_eval,     &command_advise,   &command_calibrate,  &command_gradients,
    &command_quantize, &command_convert,  &command_merge,      &command_synth,
    &command_train,    &command_finetune, &command_bench,      &command_selftest,
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_usage(void) {
  printf("halfbyte " HB_VERSION ": runs and makes quantized language models.\n\n"
         "usage: halfbyte COMMAND [options]\n\ncommands:\n");
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
  printf("\nhalfbyte COMMAND --help tells more of each; halfbyte --version the version.\n"
         "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

static const cli_command *find_command(const char *name) {
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (strcmp(name, commands[i]->name) == 0) return commands[i];
  return NULL;
}

static int run_command(const cli_command *command, int count, char **arguments) {
  cli_options options;
  if (!cli_parse(command, count, arguments, &options)) return CLI_USAGE;
  if (options.help) {
    cli_print_help(command);
    return CLI_OK;
  }
  return command->run(&options);
}

int main(int count, char **arguments) {
  terminal_prepare_streams();
  const char *name = count > 1 ? arguments[1] : "";
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
    print_usage();
    return cli_finish_output(CLI_OK);
  }
  if (strcmp(name, "--version") == 0) {
    printf("halfbyte %s\n", hb_version());
    return cli_finish_output(CLI_OK);
  }
  const cli_command *command = find_command(name);
  if (!command) {
    fprintf(stderr, "halfbyte: %s%s\nSee halfbyte --help.\n",
            name[0] ? "there is no command " : "a command is missing", name);
    return CLI_USAGE;
  }
  return cli_finish_output(run_command(command, count - 2, arguments + 2));
}
