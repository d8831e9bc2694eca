#include "calibration.h"
#include "commands.h"
#include "common.h"
#include "compress/method.h"
#include "host/host.h"
#include "import/initial.h"
#include "model/recipe.h"
#include "own_text.h"
#include "quant/quant.h"
#include "report/report.h"
#include "rules.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is known of matrices and their inputs: text to run, or a file, or nothing. */
typedef struct cli_inputs {
  cli_calibration calibration;
  const hb_source *importance, *gradients;
} cli_inputs;

typedef struct job {
  progress bar;
  uint64_t tensors, converted, kept;
  uint64_t bytes_before, bytes_after, values;
  double worst;         /* relative squared error of a tensor */
  hb_type experimental; /* of tensors that became it */
  bool has_experimental;
  const hb_gguf *source;
  hb_budget_choice *budget; /* of each tensor, or NULL */
  cli_rules rules;
} job;

static hb_type choose(void *context, const hb_tensor *tensor, hb_type type) {
  const job *j = context;
  if (j->budget)
    for (size_t i = 0; i < hb_gguf_tensor_count(j->source); i++)
      if (hb_gguf_tensor_at(j->source, i) == tensor) type = j->budget[i].type;
  return cli_rules_type(&j->rules, tensor->name, type);
}

/* Fewer than 4 bits a value. */
static bool is_experimental(hb_type type) {
  const hb_type_traits *t = hb_traits(type);
  return type == HB_TYPE_TABLE3 || (t && 8 * t->block_bytes < 4 * t->block_values);
}

static void report(void *context, const hb_quantize_report *r) {
  job *j = context;
  const hb_tensor *t = r->tensor;
  j->tensors++;
  j->bytes_before += t->bytes;
  j->bytes_after += r->bytes;
  j->values += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
  if (r->type != t->type) j->converted++;
  if (r->type != t->type && is_experimental(r->type)) {
    j->experimental = r->type;
    j->has_experimental = true;
  }
  if (r->kept) j->kept++;
  if (r->error > j->worst) j->worst = r->error;
  if (!r->reason && !r->note) return;
  progress_end(&j->bar);
  cli_print_string(t->name);
  printf(": %s", hb_type_name(r->type));
  if (r->reason) printf(", as %s", r->reason);
  if (r->note) printf("; %s", r->note);
  printf("\n");
}

static int advance(void *context, uint64_t done, uint64_t total) {
  return progress_report(&((job *)context)->bar, done, total);
}

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

static void print_budget(const job *j) {
  printf("%-8s %12s %13s  matrix\n", "type", "bytes", "sensitivity");
  for (size_t i = 0; i < hb_gguf_tensor_count(j->source); i++) {
    const hb_budget_choice *c = &j->budget[i];
    if (c->bytes == 0) continue;
    printf("%-8s %12" PRIu64 " %13.3g  ", hb_type_name(c->type), c->bytes, c->sensitivity);
    cli_print_string(hb_gguf_tensor_at(j->source, i)->name);
    printf("\n");
  }
}

/* A type for each matrix of the source, in j->budget, from malloc. */
static hb_status choose_types(const hb_source *source, const hb_quantize_options *options,
                              float bits, job *j, hb_error *error) {
  j->source = source->gguf;
  j->budget = malloc(hb_gguf_tensor_count(source->gguf) * sizeof *j->budget);
  if (!j->budget) {
    *error = (hb_error){HB_MEMORY, HB_NO_OFFSET, "no memory for a budget"};
    return HB_MEMORY;
  }
  progress_begin(&j->bar, "measuring");
  hb_status status = hb_budget_choose(source, options, (double)bits, j->budget, error);
  progress_end(&j->bar);
  if (status == HB_OK) print_budget(j);
  return status;
}

/* Keeps what another run can go on with, and says so. */
static int fail(const hb_error *error, hb_output *output) {
  cli_fail_error(error);
  bool comes_again = error->status != HB_IO && error->status != HB_ABORTED &&
                     error->status != HB_MEMORY && error->status != HB_ARGUMENT;
  if (comes_again) hb_output_give_up(output);
  if (!comes_again && error->status != HB_ARGUMENT && hb_output_marks(output) > 0)
    fprintf(stderr, "what is done is kept; the same command with --resume goes on with it\n");
  return CLI_FAILED;
}

/* Whether gradients were meant, and inputs had to do. */
static bool weighs_by_inputs(const hb_quantize_options *o) {
  hb_method method;
  hb_error error;
  return o->method && !o->gradients && hb_method_find(o->method, &method, &error) == HB_OK &&
         method.assignment == HB_ASSIGN_TABLES;
}

static int quantize_to(const hb_source *source, const cli_options *options,
                       const cli_inputs *inputs, const hb_parallel *parallel, hb_output *output) {
  const cli_calibration *calibration = &inputs->calibration;
  job j = {0};
  hb_quantize_options quantize_options = {.parallel = parallel,
                                          .type = options->type,
                                          .method = options->method,
                                          .calibration = calibration->tokens,
                                          .calibration_samples = calibration->samples,
                                          .calibration_length = calibration->length,
                                          .importance = inputs->importance,
                                          .gradients = inputs->gradients,
                                          .activations = options->activations,
                                          .outliers = (double)options->outliers,
                                          .journal = hb_output_journal(output),
                                          .granularity = options->granularity,
                                          .group_size = options->group_size,
                                          .smooth_alpha = (double)options->smooth_alpha,
                                          .context = &j,
                                          .report = report,
                                          .progress = advance};
  if (cli_given(options, OPTION_OUTLIER_THRESHOLD))
    quantize_options.outlier_threshold = (double)options->outlier_threshold;
  if (options->tensor_rules) {
    if (!cli_rules_read(options->tensor_rules, source->gguf, &j.rules)) return CLI_USAGE;
    quantize_options.choose = choose;
  }
  size_t found = hb_output_marks(output);
  hb_sink sink = {output, write_bytes};
  hb_error error;
  hb_status status = HB_OK;
  if (cli_given(options, OPTION_BITS_PER_WEIGHT)) {
    quantize_options.choose = choose;
    quantize_options.type = "q4_k"; /* of what the budget leaves as it is: nothing */
    status = choose_types(source, &quantize_options, options->bits_per_weight, &j, &error);
  }
  if (status == HB_OK) {
    progress_begin(&j.bar, "quantizing");
    status = hb_quantize(source, &quantize_options, &sink, &error);
    progress_end(&j.bar);
  }
  free(j.budget);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  if (status != HB_OK) return fail(&error, output);

  char before[24], after[24];
  printf("%" PRIu64 " of %" PRIu64 " tensors converted: %s -> %s, %.3f bits/weight, "
         "relative squared error at most %.3g\n",
         j.converted, j.tensors, cli_size(j.bytes_before, before), cli_size(j.bytes_after, after),
         j.values ? 8.0 * (double)j.bytes_after / (double)j.values : 0, j.worst);
  if (j.kept)
    printf("%" PRIu64 " of them are from the interrupted run, whose errors do not count here\n",
           j.kept);
  if (options->resume && found > 0 && !j.kept)
    printf("nothing of the interrupted run was intact: all was made anew\n");
  if (!options->method && !inputs->importance && j.converted > 0 &&
      j.bytes_after * 8 < 6 * j.values)
    printf("rounded without text to calibrate with: with --calibration TEXT, or " CLI_OWN_TEXT
           ", it costs less quality\n");
  if (weighs_by_inputs(&quantize_options) && j.converted > 0)
    printf("squared inputs stood in for squared gradients, which --gradients FILE would bring\n");
  if (j.has_experimental)
    printf("experimental: %s has fewer than 4 bits a value, which costs quality: halfbyte compare "
           "tells how much\n",
           hb_type_name(j.experimental));
  return CLI_OK;
}

/* Measures what it cost, on a text or, without one, as far as the weights and some of the
 * calibration text tell. */
static int measure(const cli_options *options, const cli_calibration *calibration) {
  enum { CONTEXT = 64 };
  const char *from = options->operands[0], *to = options->operands[1];
  comparison figures; /* a file that does not say what made it was rounded */
  if (options->text_file) {
    if (!report_compare(from, to, "rtn", options, options->report, &figures)) return CLI_FAILED;
    compared_print(&figures);
    return CLI_OK;
  }
  uint32_t context = calibration->length < CONTEXT ? calibration->length : CONTEXT;
  cli_tokens tokens = {calibration->tokens, (size_t)calibration->samples * calibration->length};
  if (!options->report ||
      report_plain(from, to, "rtn", options, &tokens, context ? context : CONTEXT, options->report))
    return CLI_OK;
  return CLI_FAILED;
}

static int with_output(const hb_source *source, const cli_options *options,
                       const cli_inputs *inputs, const hb_parallel *parallel) {
  hb_output *output;
  hb_error error;
  interrupt_catch(); /* so that what cannot be gone on with goes away */
  if (hb_output_create_journaled(options->operands[1], options->resume, &output, &error) != HB_OK)
    return cli_fail_error(&error);
  bool left = hb_output_marks(output) > 0;
  if (left && !options->resume)
    printf("begins anew; with --resume it would go on with %s.unfinished\n", options->operands[1]);
  if (!left && options->resume) printf("no interrupted run left anything: begins anew\n");
  int code = quantize_to(source, options, inputs, parallel, output);
  hb_output_destroy(output);
  return code == CLI_OK ? measure(options, &inputs->calibration) : code;
}

/* What is written only in the end should not fail only then. */
static bool check_measuring(const cli_options *options) {
  cli_text text;
  if (!options->report && !options->text_file) return true;
  if (options->report && !report_check(options->report)) return false;
  if (!options->text_file) return true;
  if (!cli_read_file(options->text_file, &text)) return false;
  free(text.data);
  return true;
}

/* Says so and returns false if the source is quantized and that was not allowed. */
static bool check_source(const hb_source *source, const cli_options *options) {
  for (size_t i = 0; i < hb_gguf_tensor_count(source->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(source->gguf, i);
    if (t->type == HB_TYPE_F32 || t->type == HB_TYPE_F16 || t->type == HB_TYPE_BF16) continue;
    if (options->allow_requantize) return true;
    cli_fail("%s is quantized already (%.*s is %s); with --allow-requantize its errors add up",
             options->operands[0], (int)t->name.length, t->name.data, hb_type_name(t->type));
    return false;
  }
  return true;
}

/* Whether the result, or what it is until it is finished, would be written over an input. */
static bool overwrites(const hb_source *source, const char *out) {
  size_t size = strlen(out) + sizeof ".unfinished";
  char *unfinished = malloc(size);
  if (!unfinished) return true;
  snprintf(unfinished, size, "%s.unfinished", out);
  bool same = hb_source_includes(source, out) || hb_source_includes(source, unfinished);
  free(unfinished);
  return same;
}

static int quantize_source(const hb_source *source, cli_inputs inputs, const cli_options *options) {
  hb_threads *threads;
  hb_error error;
  const hb_source *measured = inputs.importance ? inputs.importance : inputs.gradients;
  if (overwrites(source, options->operands[1]) ||
      (measured && overwrites(measured, options->operands[1])))
    return cli_fail("%s is an input file; give another name to write", options->operands[1]);
  if (!check_source(source, options) || !check_measuring(options)) return CLI_FAILED;
  if (options->calibration.count > 0 && !cli_calibration_read(source, options, &inputs.calibration))
    return CLI_FAILED;
  int code = CLI_FAILED;
  if (hb_threads_create(options->threads, &threads, &error) == HB_OK) {
    code = with_output(source, options, &inputs, hb_threads_parallel(threads));
    hb_threads_destroy(threads);
  } else {
    cli_fail_error(&error);
  }
  free(inputs.calibration.tokens);
  return code;
}

static int quantize_measured(const hb_source *source, const cli_options *options) {
  const char *file = options->imatrix ? options->imatrix : options->gradients;
  hb_source measured;
  hb_error error;
  cli_inputs inputs = {.importance = options->imatrix ? &measured : NULL,
                       .gradients = options->gradients ? &measured : NULL};
  if (!file) return quantize_source(source, inputs, options);
  if (hb_source_open(file, &measured, &error) != HB_OK) return cli_fail_error(&error);
  int code = quantize_source(source, inputs, options);
  hb_source_close(&measured);
  return code;
}

/* The method that is meant where none is named. */
static const char *usual_method(const cli_options *options) {
  hb_type type;
  bool is_type = options->type && hb_type_from_name(hb_string_of(options->type), &type) == HB_OK;
  if (is_type && (type == HB_TYPE_TABLE4 || type == HB_TYPE_TABLE3)) return "squeezellm";
  bool text = options->calibration.count > 0 || cli_given(options, OPTION_BITS_PER_WEIGHT);
  return text && !options->granularity && options->group_size == 0 ? "gptq" : NULL;
}

/* Names what the command line leaves open: the method, and a text for one that wants text. */
static bool complete(cli_options *o, hb_method *method, hb_error *error) {
  if (!o->method && !o->imatrix) o->method = usual_method(o);
  if (hb_method_find(o->method ? o->method : "rtn", method, error) != HB_OK) return false;
  if (o->activations && hb_method_set_activations(method, o->activations, error) != HB_OK)
    return false;
  bool wants = hb_method_calibrates(method) || cli_given(o, OPTION_BITS_PER_WEIGHT);
  if (wants && !o->imatrix && !o->gradients && o->calibration.count == 0)
    o->calibration = (cli_list){.texts = {CLI_OWN_TEXT}, .count = 1};
  return true;
}

/* A configuration alone has weights at random; a folder without weights is an error. */
static hb_status open_source(const char *path, hb_source *out, hb_error *error) {
  bool begins = !hb_host_is_folder(path) && hb_is_untrained(path);
  return begins ? hb_untrained_open(path, 1, out, error) : hb_source_open(path, out, error);
}

static int quantize(const cli_options *given) {
  hb_source source;
  hb_error error;
  hb_recipe recipe;
  hb_method method;
  cli_options completed = *given;
  const cli_options *options = &completed;
  if (!complete(&completed, &method, &error)) {
    cli_fail_error(&error);
    return CLI_USAGE;
  }
  bool typed = cli_given(options, OPTION_TYPE) || method.type;
  if (typed == cli_given(options, OPTION_BITS_PER_WEIGHT)) {
    cli_fail("quantize needs --type TYPE or --bits-per-weight N, and not both");
    return CLI_USAGE;
  }
  if (options->type && hb_recipe_find(options->type, &recipe, &error) != HB_OK) {
    cli_fail_error(&error);
    return CLI_USAGE;
  }
  if ((options->imatrix != NULL) + (options->gradients != NULL) + (options->calibration.count > 0) >
      1) {
    cli_fail("quantize takes one of --calibration, --imatrix and --gradients");
    return CLI_USAGE;
  }
  if (open_source(options->operands[0], &source, &error) != HB_OK) return cli_fail_error(&error);
  int code = quantize_measured(&source, options);
  hb_source_close(&source);
  return code;
}

const cli_command command_quantize = {
    .name = "quantize",
    .operands = "IN OUT",
    .summary = "Writes a model, or a folder of Hugging Face, with its matrices in another type",
    .details =
        "A matrix whose rows do not divide into the type's blocks falls back to a type that fits,\n"
        "and a line says so. With text to calibrate with, the model is quantized layer by layer,\n"
        "as a rule by gptq; with an importance file the method is imatrix, else rtn. A method "
        "that\n"
        "wants text and is given none, and --calibration " CLI_OWN_TEXT
        ", take one that the model writes.\n"
        "Instead of text, squeezellm takes a gradient file, which weighs every value.\n"
        "Methods: rtn imatrix gptq awq spqr hqq squeezellm channel smoothquant llm.int8 "
        "zeroquant,\n"
        "and nf4 fp4, which are rtn onto the types of these names; a+b joins two, as awq+gptq.\n"
        "With a budget of bits, it is measured what rounding each matrix costs, and those that it\n"
        "costs more get more bits.\n"
        "With -f it is measured on that text what quantizing cost, as compare does; with --report "
        "a\n"
        "page shows it, layer by layer; both load the two models.\n"
        "Types of fewer than 4 bits (q3_k, q2_k, int2_64, table3, tq2_0, tq1_0) are experimental.\n"
        "IN may be a config.json: weights at random, to train through their rounding (finetune).\n"
        "Where it takes long, what is done of it lies in OUT.unfinished, and if the run is\n"
        "interrupted, the same command with --resume goes on with it, to the same result.",
    .takes = CLI_OPTIONS(OPTION_TYPE, OPTION_METHOD, OPTION_CALIBRATION, OPTION_CALIBRATION_SAMPLES,
                         OPTION_CALIBRATION_LENGTH, OPTION_CALIBRATION_SEED, OPTION_IMATRIX,
                         OPTION_GRADIENTS, OPTION_OUTLIERS, OPTION_OUTLIER_THRESHOLD,
                         OPTION_SMOOTH_ALPHA, OPTION_ACTIVATIONS, OPTION_GRANULARITY,
                         OPTION_GROUP_SIZE, OPTION_TENSOR_RULES, OPTION_ALLOW_REQUANTIZE,
                         OPTION_RESUME, OPTION_TEXT_FILE, OPTION_CONTEXT, OPTION_CHUNKS,
                         OPTION_CONVENTION, OPTION_REPORT, OPTION_THREADS, OPTION_BITS_PER_WEIGHT),
    .least_operands = 2,
    .most_operands = 2,
    .run = quantize,
};
