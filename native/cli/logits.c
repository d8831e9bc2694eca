/* logits and parity: what a model says after each of the given tokens, as a file or as one hash. */
#include "commands.h"
#include "evaluate.h"
#include "terminal.h"
#include "base/half.h"
#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>

/* Little-endian bytes of a row of floats, by pieces. */
#define PIECE 1024

typedef bool (*take_bytes)(void *context, const uint8_t *bytes, size_t count);

typedef struct row_writer {
  uint32_t vocabulary;
  bool one_nan; /* every NaN as 0x7fc00000, since targets differ in its other bits */
  take_bytes take;
  void *context;
} row_writer;

static bool write_row(void *context, size_t index, const float *logits) {
  const row_writer *w = context;
  uint8_t bytes[PIECE * 4];
  (void)index;
  for (uint32_t done = 0; done < w->vocabulary;) {
    uint32_t count = w->vocabulary - done < PIECE ? w->vocabulary - done : PIECE;
    for (uint32_t i = 0; i < count; i++) {
      float value = logits[done + i];
      uint32_t bits = w->one_nan && value != value ? 0x7fc00000u : hb_bits_of_f32(value);
      for (int b = 0; b < 4; b++) bytes[i * 4 + b] = (uint8_t)(bits >> 8 * b);
    }
    if (!w->take(w->context, bytes, count * (size_t)4)) return false;
    done += count;
  }
  return true;
}

/* Computes the logits of the tokens that the options give, into `writer`. */
static int compute(const cli_options *options, cli_split split, bool one_nan, take_bytes take,
                   void *context) {
  cli_engine engine;
  cli_tokens tokens = {0};
  if (!cli_load(&engine, options)) return CLI_FAILED;
  engine.parallel.least_work = 0; /* what is compared should have been divided */
  engine.parallel.clock = NULL;
  row_writer writer = {engine.info.vocabulary, one_nan, take, context};
  bool ok = cli_input_tokens(&engine, options, &tokens) &&
            cli_open_session(&engine, options, (uint32_t)tokens.count, 0, evaluate_rows(&engine)) &&
            evaluate(&engine, &tokens, 0, split, write_row, &writer);
  free(tokens.data);
  cli_close(&engine);
  return ok ? CLI_OK : CLI_FAILED;
}

/* ---- logits ---- */

static bool to_file(void *context, const uint8_t *bytes, size_t count) {
  hb_error error;
  if (interrupted()) {
    cli_fail("stopped");
    return false;
  }
  if (hb_output_write(context, bytes, count, &error) == HB_OK) return true;
  cli_fail_error(&error);
  return false;
}

static int logits(const cli_options *options) {
  hb_output *output;
  hb_error error;
  interrupt_catch(); /* so that the temporary file goes away */
  if (hb_output_create(options->output, &output, &error) != HB_OK) return cli_fail_error(&error);
  int code = compute(options, SPLIT_WHOLE, false, to_file, output);
  if (code == CLI_OK && hb_output_commit(output, &error) != HB_OK) code = cli_fail_error(&error);
  hb_output_destroy(output);
  return code;
}

const cli_command command_logits = {
    .name = "logits",
    .operands = "",
    .summary = "Writes a model's logits after each of the given tokens",
    .details = "OUT becomes little-endian float32, [tokens][vocabulary].",
    .takes = CLI_OPTIONS(CLI_COMPUTE_OPTIONS, OPTION_TOKENS, OPTION_OUTPUT),
    .needs = CLI_OPTIONS(OPTION_MODEL, OPTION_TOKENS, OPTION_OUTPUT),
    .run = logits,
};

/* ---- parity ---- */

static bool to_hash(void *context, const uint8_t *bytes, size_t count) {
  hb_sha256_update(context, bytes, count);
  return true;
}

static int parity(const cli_options *options) {
  hb_sha256 hash;
  uint8_t digest[32];
  if (!options->tokens == !options->prompt) {
    cli_fail("parity takes either --tokens or -p");
    return CLI_USAGE;
  }
  hb_sha256_init(&hash);
  int code = compute(options, options->split, true, to_hash, &hash);
  if (code != CLI_OK) return code;
  hb_sha256_final(&hash, digest);
  for (size_t i = 0; i < sizeof digest; i++) printf("%02x", digest[i]);
  printf("\n");
  return CLI_OK;
}

const cli_command command_parity = {
    .name = "parity",
    .operands = "",
    .summary = "Prints one SHA-256 of a model's logits, the same on every machine",
    .details = "Takes --tokens or -p. The hash covers the bytes that logits would write.",
    .takes = CLI_OPTIONS(CLI_COMPUTE_OPTIONS, OPTION_TOKENS, OPTION_PROMPT, OPTION_SPLIT),
    .needs = CLI_OPTIONS(OPTION_MODEL),
    .run = parity,
};
