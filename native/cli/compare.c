#include "commands.h"
#include "quality/compare.h"
#include "report/figures.h"
#include "report/report.h"

#include <inttypes.h>
#include <stdio.h>

static void print_model(const char *name, const compared_model *m) {
  char file[24], weights[24], session[24];
  printf("%-10s %9.4f +- %-8.4f %10s %6.3f %9.1f %9.1f   %s + %s\n", name, m->perplexity.value,
         m->perplexity.error, cli_size(m->file_bytes, file), m->bits_per_weight, m->speed.decode,
         m->speed.prefill, cli_size(m->weight_bytes, weights), cli_size(m->session_bytes, session));
}

static void print_table(const comparison *c) {
  printf("%-10s %-21s %10s %6s %9s %9s   %s\n", "", "perplexity", "file", "bits", "decode/s",
         "prefill/s", "memory: weights + context");
  print_model("reference", &c->reference);
  print_model("model", &c->model);
  printf("\nln(ratio of perplexities)   %.6f +- %.6f\n", c->log_ratio.value, c->log_ratio.error);
  printf("KL divergence, mean         %.6f +- %.6f nats\n", c->mean_kl.value, c->mean_kl.error);
  printf("  median                    %.6f\n", c->median_kl);
  printf("  90 %%, 95 %%                %.6f, %.6f\n", c->kl90, c->kl95);
  printf("  99 %%, 99.9 %%              %.6f, %.6f\n", c->kl99, c->kl999);
  printf("  largest                   %.6f\n", c->max_kl);
  printf("same likeliest token        %.3f +- %.3f %%\n", 100 * c->same_top.value,
         100 * c->same_top.error);
  printf("RMS change of probability   %.3f +- %.3f %%\n", 100 * c->rms_change.value,
         100 * c->rms_change.error);
  printf("%zu chunks of %" PRIu32 ", %" PRIu64 " tokens scored; %" PRIu32 " threads\n", c->chunks,
         c->context, c->tokens, c->threads);
}

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
  if (!report_compare(options->operands[0], options->operands[1], options, options->report,
                      &result))
    return CLI_FAILED;
  if (options->json) return print_json(&result);
  print_table(&result);
  return CLI_OK;
}

const cli_command command_compare = {
    .name = "compare",
    .operands = "REF MODEL",
    .summary = "Measures what quantizing a model cost",
    .details = "Both models read the text in step. Told are their perplexities, how far the\n"
               "predictions of MODEL are from those of REF, sizes, speeds and memory.",
    .takes = CLI_BIT(TEXT_FILE) | CLI_BIT(CONTEXT) | CLI_BIT(CHUNKS) | CLI_BIT(CONVENTION) |
             CLI_BIT(THREADS) | CLI_BIT(ISA) | CLI_BIT(KV) | CLI_BIT(JSON) | CLI_BIT(REPORT),
    .needs = CLI_BIT(TEXT_FILE),
    .least_operands = 2,
    .most_operands = 2,
    .run = compare,
};
