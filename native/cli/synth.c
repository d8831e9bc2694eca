#include "commands.h"
#include "common.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE_BYTES ((size_t)1 << 20)

static int write_pieces(hb_synthetic *model, uint8_t *piece, hb_output *output) {
  uint64_t done = 0, total = hb_synthetic_size(model);
  progress bar;
  hb_error error;
  hb_status status = HB_OK;
  progress_begin(&bar, "writing");
  while (status == HB_OK && done < total && progress_report(&bar, done, total) == 0) {
    size_t count = hb_synthetic_read(model, piece, PIECE_BYTES);
    status = hb_output_write(output, piece, count, &error);
    done += count;
  }
  progress_end(&bar);
  if (status == HB_OK && done < total) return cli_fail("writing was stopped");
  if (status == HB_OK) status = hb_output_commit(output, &error);
  if (status != HB_OK) return cli_fail_error(&error);
  char size[24];
  printf("%s written\n", cli_size(total, size));
  return CLI_OK;
}

static int write_file(hb_synthetic *model, const char *path) {
  hb_output *output;
  hb_error error;
  interrupt_catch(); /* so that the temporary file goes away */
  if (hb_output_create(path, &output, &error) != HB_OK) return cli_fail_error(&error);
  uint8_t *piece = malloc(PIECE_BYTES);
  int code = piece ? write_pieces(model, piece, output) : cli_fail("no memory");
  free(piece);
  hb_output_destroy(output);
  return code;
}

static int write_random(const cli_options *options) {
  hb_synthetic *model;
  hb_error error;
  hb_status status = hb_synthetic_create(NULL, options->shape, options->weights,
                                         options->weight_seed, &model, &error);
  if (status != HB_OK) {
    int code = cli_fail_error(&error);
    return status == HB_ARGUMENT ? CLI_USAGE : code;
  }
  int code = write_file(model, options->output);
  hb_synthetic_destroy(model);
  return code;
}

/* ---- A model with outliers ---- */

static int advance(void *context, uint64_t done, uint64_t total) {
  return progress_report(context, done, total);
}

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

static int plant_to(const hb_source *source, const cli_options *options, hb_output *output) {
  progress bar;
  hb_error error;
  hb_sink sink = {output, write_bytes};
  hb_outlier_options plant = {.seed = options->weight_seed, .context = &bar, .progress = advance};
  progress_begin(&bar, "planting outliers");
  hb_status status = hb_plant_outliers(source, &plant, &sink, &error);
  progress_end(&bar);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  return status == HB_OK ? CLI_OK : cli_fail_error(&error);
}

static int plant_source(const hb_source *source, const cli_options *options) {
  hb_output *output;
  hb_error error;
  if (hb_source_includes(source, options->output))
    return cli_fail("%s is an input file; give another name to write", options->output);
  interrupt_catch(); /* so that the temporary file goes away */
  if (hb_output_create(options->output, &output, &error) != HB_OK) return cli_fail_error(&error);
  int code = plant_to(source, options, output);
  hb_output_destroy(output);
  return code;
}

static int write_planted(const cli_options *options) {
  hb_source source;
  hb_error error;
  if (hb_source_open(options->plant, &source, &error) != HB_OK) return cli_fail_error(&error);
  int code = plant_source(&source, options);
  hb_source_close(&source);
  return code;
}

static int synth(const cli_options *options) {
  if (!options->shape == !options->plant) {
    cli_fail("synth needs either --shape SHAPE or --outliers MODEL");
    return CLI_USAGE;
  }
  if (!options->plant) return write_random(options);
  if (!cli_given(options, OPTION_WEIGHTS)) return write_planted(options);
  cli_fail("--type is for --shape; a model with outliers is F32");
  return CLI_USAGE;
}

#define SHAPE_NAME(name, width, layers, heads, kv_heads, feed_forward, vocabulary, own) "\n  " name

const cli_command command_synth = {
    .name = "synth",
    .operands = "",
    .summary = "Writes a model with random weights, or a model with planted outliers",
    .details =
        "The same shape, type and seed give the same bytes everywhere. A matrix whose rows\n"
        "do not divide into the type's blocks gets the next larger type that fits.\n"
        "With --outliers, a few channels that matrices read are 30 to 100 times larger than in\n"
        "MODEL, which makes it hard to quantize and leaves its results as they are.\n"
        "Known shapes:" HB_SHAPE_LIST(SHAPE_NAME),
    .takes =
        CLI_OPTIONS(OPTION_SHAPE, OPTION_PLANT, OPTION_WEIGHTS, OPTION_WEIGHT_SEED, OPTION_OUTPUT),
    .needs = CLI_OPTIONS(OPTION_OUTPUT),
    .run = synth,
};
