#include "adapters.h"
#include "commands.h"
#include "common.h"
#include "host/host.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct job {
  progress bar;
  uint64_t matrices;
  double worst; /* relative squared error of a matrix */
} job;

/* The operand and those of --lora. */
typedef struct opened {
  cli_adapter adapters[CLI_MAX_LIST + 1];
  hb_merge_adapter parts[CLI_MAX_LIST + 1];
  size_t count;
} opened;

static void report(void *context, const hb_quantize_report *r) {
  job *j = context;
  j->matrices++;
  if (r->error > j->worst) j->worst = r->error;
}

static int advance(void *context, uint64_t done, uint64_t total) {
  return progress_report(&((job *)context)->bar, done, total);
}

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

static bool open_one(opened *o, const char *text) {
  cli_adapter *a = &o->adapters[o->count];
  if (!cli_adapter_open(text, a)) return false;
  o->parts[o->count++] = (hb_merge_adapter){a->file.data, (size_t)a->file.size, a->scale};
  return true;
}

static bool open_all(opened *o, const cli_options *options) {
  if (!open_one(o, options->operands[1])) return false;
  for (uint32_t i = 0; i < options->adapters.count; i++)
    if (!open_one(o, options->adapters.texts[i])) return false;
  return true;
}

static int merge_to(const hb_source *source, const cli_options *options, const opened *adapters,
                    hb_output *output, const hb_parallel *parallel) {
  job j = {0};
  hb_merge_options merge = {.parallel = parallel,
                            .adapters = adapters->parts,
                            .adapter_count = adapters->count,
                            .type = options->type,
                            .context = &j,
                            .report = report,
                            .progress = advance};
  hb_sink sink = {output, write_bytes};
  hb_error error;
  progress_begin(&j.bar, "merging");
  hb_status status = hb_merge_adapters(source, &merge, &sink, &error);
  progress_end(&j.bar);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  if (status != HB_OK) return cli_fail_error(&error);
  printf("%" PRIu64 " matrices changed, relative squared error at most %.3g\n", j.matrices,
         j.worst);
  return CLI_OK;
}

static bool is_input(const hb_source *source, const opened *adapters, const char *path) {
  for (size_t i = 0; i < adapters->count; i++)
    if (hb_host_same_file(adapters->adapters[i].path, path)) return true;
  return hb_source_includes(source, path);
}

static int with_output(const hb_source *source, const cli_options *options,
                       const opened *adapters) {
  const char *out = options->operands[2];
  hb_output *output;
  hb_threads *threads;
  hb_error error;
  if (is_input(source, adapters, out))
    return cli_fail("%s is an input file; give another name to write", out);
  interrupt_catch(); /* so that the temporary file goes away */
  if (hb_threads_create(options->threads, &threads, &error) != HB_OK) return cli_fail_error(&error);
  int code = CLI_FAILED;
  if (hb_output_create(out, &output, &error) == HB_OK) {
    code = merge_to(source, options, adapters, output, hb_threads_parallel(threads));
    hb_output_destroy(output);
  } else {
    cli_fail_error(&error);
  }
  hb_threads_destroy(threads);
  return code;
}

static int merge(const cli_options *options) {
  hb_source source;
  hb_error error;
  if (hb_source_open(options->operands[0], &source, &error) != HB_OK) return cli_fail_error(&error);
  opened adapters = {0};
  int code = open_all(&adapters, options) ? with_output(&source, options, &adapters) : CLI_FAILED;
  for (size_t i = 0; i < adapters.count; i++) cli_adapter_close(&adapters.adapters[i]);
  hb_source_close(&source);
  return code;
}

const cli_command command_merge = {
    .name = "merge",
    .operands = "MODEL ADAPTER[=SCALE] OUT",
    .summary = "Writes a model with a LoRA adapter in its weights",
    .details =
        "The matrices that change are rounded to the type that they have, or to another; all "
        "other\ntensors stay as they are. Adapters can also be added when a model runs: "
        "--lora.",
    .takes = CLI_OPTIONS(OPTION_LORA, OPTION_MERGED_TYPE, OPTION_THREADS),
    .least_operands = 3,
    .most_operands = 3,
    .run = merge,
};
