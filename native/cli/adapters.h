/* LoRA adapters from the command line: --lora FILE[=SCALE]. */
#ifndef CLI_ADAPTERS_H
#define CLI_ADAPTERS_H

#include "options.h"

typedef struct cli_adapter {
  char *path;
  hb_file file;
  double scale;
} cli_adapter;

/* Opens the file that the text names, and reads its scale: 1, or the number behind the last equals
 * sign. On failure says so and returns false; here and below. */
bool cli_adapter_open(const char *text, cli_adapter *out);
void cli_adapter_close(cli_adapter *adapter);

/* Adds those of --lora to the model. */
bool cli_add_adapters(hb_model *model, const cli_options *options);

#endif
