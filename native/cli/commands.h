/* The subcommands, one in each file of its name (main.c holds their table). */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

extern const cli_command command_run, command_chat, command_inspect, command_tokenize,
    command_logits, command_parity, command_perplexity, command_compare, command_eval,
    command_advise, command_calibrate, command_gradients, command_quantize, command_convert,
    command_merge, command_synth, command_train, command_finetune, command_bench, command_selftest;

/* Options of every command that computes with a model. */
#define CLI_COMPUTE_OPTIONS OPTION_MODEL, OPTION_LORA, OPTION_THREADS, OPTION_ISA, OPTION_KV

/* Options of the commands that generate text. */
#define CLI_SAMPLING_OPTIONS                                                                       \
  OPTION_MAX_TOKENS, OPTION_TEMPERATURE, OPTION_TOP_K, OPTION_TOP_P, OPTION_MIN_P,                 \
      OPTION_REPEAT_PENALTY, OPTION_SEED, OPTION_STOP, OPTION_CONTEXT, OPTION_STATS

#endif
