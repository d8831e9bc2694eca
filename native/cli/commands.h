/* The subcommands, one in each file of its name (main.c holds their table). */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

extern const cli_command command_run, command_chat, command_inspect, command_tokenize,
    command_logits, command_parity, command_perplexity, command_compare, command_eval,
    command_advise, command_calibrate, command_quantize, command_convert, command_synth,
    command_bench, command_selftest;

/* Options of every command that computes with a model. */
#define CLI_COMPUTE_OPTIONS (CLI_BIT(MODEL) | CLI_BIT(THREADS) | CLI_BIT(ISA) | CLI_BIT(KV))

/* Options of the commands that generate text. */
#define CLI_SAMPLING_OPTIONS                                                                       \
  (CLI_BIT(MAX_TOKENS) | CLI_BIT(TEMPERATURE) | CLI_BIT(TOP_K) | CLI_BIT(TOP_P) | CLI_BIT(MIN_P) | \
   CLI_BIT(REPEAT_PENALTY) | CLI_BIT(SEED) | CLI_BIT(STOP) | CLI_BIT(CONTEXT) | CLI_BIT(STATS))

#endif
