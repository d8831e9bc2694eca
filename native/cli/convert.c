#include "commands.h"
#include "common.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct job {
  progress bar;
  uint64_t tensors, bytes;
  bool keep; /* the types of the matrices */
} job;

static hb_type choose(void *context, const hb_tensor *tensor, hb_type type) {
  return ((job *)context)->keep ? tensor->type : type;
}

static void report(void *context, const hb_quantize_report *r) {
  job *j = context;
  j->tensors++;
  j->bytes += r->bytes;
}

static int advance(void *context, uint64_t done, uint64_t total) {
  return progress_report(&((job *)context)->bar, done, total);
}

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

/* The type that the file is said to be of: the first tensor's, which is the embedding. */
static const char *type_of(const hb_source *source, const cli_options *options) {
  if (options->type) return options->type;
  const hb_tensor *first = hb_gguf_tensor_at(source->gguf, 0);
  return hb_type_name(first ? first->type : HB_TYPE_F32);
}

static int convert_to(const hb_source *source, const cli_options *options, hb_output *output) {
  job j = {.keep = !options->type};
  hb_quantize_options quantize_options = {.type = type_of(source, options),
                                          .context = &j,
                                          .choose = choose,
                                          .report = report,
                                          .progress = advance};
  hb_sink sink = {output, write_bytes};
  hb_error error;
  progress_begin(&j.bar, "converting");
  hb_status status = hb_quantize(source, &quantize_options, &sink, &error);
  progress_end(&j.bar);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  if (status != HB_OK) return cli_fail_error(&error);
  char size[24];
  printf("%" PRIu64 " tensors, %s\n", j.tensors, cli_size(j.bytes, size));
  return CLI_OK;
}

static int convert_source(const hb_source *source, const cli_options *options) {
  hb_output *output;
  hb_error error;
  if (hb_source_includes(source, options->operands[1]))
    return cli_fail("%s is an input file; give another name to write", options->operands[1]);
  interrupt_catch(); /* so that the temporary file goes away */
  if (hb_output_create(options->operands[1], &output, &error) != HB_OK)
    return cli_fail_error(&error);
  int code = convert_to(source, options, output);
  hb_output_destroy(output);
  return code;
}

static int convert(const cli_options *options) {
  hb_type type = HB_TYPE_F32;
  bool known = !options->type ||
               hb_type_from_name((hb_string){options->type, strlen(options->type)}, &type) == HB_OK;
  if (!known || (type != HB_TYPE_F32 && type != HB_TYPE_F16 && type != HB_TYPE_BF16))
    return cli_fail("convert writes f32, f16 or bf16; halfbyte quantize writes other types");
  hb_source source;
  hb_error error;
  if (hb_source_open(options->operands[0], &source, &error) != HB_OK) return cli_fail_error(&error);
  int code = convert_source(&source, options);
  hb_source_close(&source);
  return code;
}

const cli_command command_convert = {
    .name = "convert",
    .operands = "DIR OUT",
    .summary = "Writes a folder of Hugging Face as a GGUF file",
    .details =
        "DIR holds config.json, model.safetensors (or its index and parts) and tokenizer.json "
        "or\n"
        "tokenizer.model. Every command that takes a model takes such a folder, too.",
    .takes = CLI_OPTIONS(OPTION_FLOAT_TYPE),
    .least_operands = 2,
    .most_operands = 2,
    .run = convert,
};
