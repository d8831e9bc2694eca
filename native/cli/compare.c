#include "commands.h"
#include "quality/compare.h"
#include "report/figures.h"
#include "report/report.h"

#include <stdio.h>

static int print_json(const comparison *c) {
  json_text j = {0};
  json_open(&j, '{');
  figures_write(&j, c);
  json_end(&j, '}');
  if (!j.failed) printf("%s\n", j.data);
  int code = j.failed ? cli_fail("no memory") : CLI_OK;
  json_close(&j);
  return code;
}

static int compare(const cli_options *options) {
  comparison result;
  if (!report_compare(options->operands[0], options->operands[1], NULL, options, options->report,
                      &result))
    return CLI_FAILED;
  if (options->json) return print_json(&result);
  compared_print(&result);
  return CLI_OK;
}

const cli_command command_compare = {
    .name = "compare",
    .operands = "REF MODEL",
    .summary = "Measures what quantizing a model cost",
    .details =
        "Both models read the text in step. Told are their perplexities, how far the\n"
        "predictions of MODEL are from those of REF, sizes, speeds and memory. Adapters are\n"
        "added to MODEL alone.",
    .takes =
        CLI_OPTIONS(OPTION_TEXT_FILE, OPTION_LORA, OPTION_CONTEXT, OPTION_CHUNKS, OPTION_CONVENTION,
                    OPTION_THREADS, OPTION_ISA, OPTION_KV, OPTION_JSON, OPTION_REPORT),
    .needs = CLI_OPTIONS(OPTION_TEXT_FILE),
    .least_operands = 2,
    .most_operands = 2,
    .run = compare,
};
