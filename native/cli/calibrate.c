#include "calibration.h"
#include "commands.h"
#include "common.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

/* What is measured: inputs or gradients. */
typedef struct measurement {
  hb_status (*run)(const hb_source *, const hb_calibrate_options *, const hb_sink *, hb_error *);
  const char *label, *what;
} measurement;

static int calibrate_to(const hb_source *source, const cli_options *options,
                        const measurement *measurement, const cli_calibration *calibration,
                        const hb_parallel *parallel, hb_output *output) {
  hb_string datasets[CLI_MAX_LIST];
  uint32_t count = options->calibration.count;
  for (uint32_t i = 0; i < count; i++)
    datasets[i] = (hb_string){options->calibration.texts[i], strlen(options->calibration.texts[i])};
  progress bar;
  hb_calibrate_options calibrate_options = {.parallel = parallel,
                                            .calibration = calibration->tokens,
                                            .calibration_samples = calibration->samples,
                                            .calibration_length = calibration->length,
                                            .datasets = datasets,
                                            .dataset_count = count,
                                            .context = &bar,
                                            .progress = progress_report};
  hb_sink sink = {output, write_bytes};
  hb_error error;
  progress_begin(&bar, measurement->label);
  hb_status status = measurement->run(source, &calibrate_options, &sink, &error);
  progress_end(&bar);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  if (status != HB_OK) return cli_fail_error(&error);
  printf("%s measured over %" PRIu32 " pieces of %" PRIu32 " tokens\n", measurement->what,
         calibration->samples, calibration->length);
  return CLI_OK;
}

static int with_output(const hb_source *source, const cli_options *options,
                       const measurement *measurement, const cli_calibration *calibration,
                       const hb_parallel *parallel) {
  hb_output *output;
  hb_error error;
  interrupt_catch(); /* so that the temporary file goes away */
  if (hb_output_create(options->output, &output, &error) != HB_OK) return cli_fail_error(&error);
  int code = calibrate_to(source, options, measurement, calibration, parallel, output);
  hb_output_destroy(output);
  return code;
}

static int calibrate_source(const hb_source *source, const cli_options *options,
                            const measurement *measurement) {
  hb_threads *threads;
  hb_error error;
  cli_calibration calibration;
  if (hb_source_includes(source, options->output))
    return cli_fail("%s is an input file; give another name to write", options->output);
  if (!cli_calibration_read(source, options, &calibration)) return CLI_FAILED;
  int code = CLI_FAILED;
  if (hb_threads_create(options->threads, &threads, &error) == HB_OK) {
    code = with_output(source, options, measurement, &calibration, hb_threads_parallel(threads));
    hb_threads_destroy(threads);
  } else {
    cli_fail_error(&error);
  }
  free(calibration.tokens);
  return code;
}

static int measure(const cli_options *options, const measurement *measurement) {
  hb_source source;
  hb_error error;
  if (hb_source_open(options->operands[0], &source, &error) != HB_OK) return cli_fail_error(&error);
  int code = calibrate_source(&source, options, measurement);
  hb_source_close(&source);
  return code;
}

static int calibrate(const cli_options *options) {
  const measurement inputs = {hb_calibrate, "calibrating", "inputs"};
  return measure(options, &inputs);
}

static int measure_gradients(const cli_options *options) {
  const measurement squares = {hb_calibrate_gradients, "running backward", "squared gradients"};
  return measure(options, &squares);
}

#define TEXT_OPTIONS                                                                               \
  OPTION_CALIBRATION, OPTION_CALIBRATION_SAMPLES, OPTION_CALIBRATION_LENGTH,                       \
      OPTION_CALIBRATION_SEED, OPTION_OUTPUT, OPTION_THREADS

const cli_command command_calibrate = {
    .name = "calibrate",
    .operands = "MODEL",
    .summary = "Measures over a text how large the inputs of each matrix are",
    .details = "The file that it writes, an importance matrix as llama.cpp has it, tells quantize "
               "which\nvalues matter.",
    .takes = CLI_OPTIONS(TEXT_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_CALIBRATION, OPTION_OUTPUT),
    .least_operands = 1,
    .most_operands = 1,
    .run = calibrate,
};

const cli_command command_gradients = {
    .name = "gradients",
    .operands = "MODEL",
    .summary = "Measures over a text how much the loss changes with each weight",
    .details = "The file that it writes has the mean squared gradients of the matrices in layers, "
               "by which\nquantize --method squeezellm --gradients weighs errors.",
    .takes = CLI_OPTIONS(TEXT_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_CALIBRATION, OPTION_OUTPUT),
    .least_operands = 1,
    .most_operands = 1,
    .run = measure_gradients,
};
