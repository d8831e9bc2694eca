/* train and finetune: runs of hb_trainer, whose state is kept in a folder. */
#include "commands.h"
#include "common.h"
#include "corpus.h"
#include "import/initial.h"
#include "report/curve.h"
#include "run_folder.h"
#include "run_log.h"
#include "step_line.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
  const cli_options *options;
  const char *model, *method;
  hb_source source, original, teacher;
  hb_file adapter; /* to begin with */
  hb_paged *state;
  cli_corpus text, validation;
  hb_threads *threads;
  hb_trainer *trainer;
  run_folder folder;
  run_log log;
  step_line line;
  double seconds; /* of training in this process */
  uint64_t first; /* step that it begins behind */
} training;

/* ---- Files of the run ---- */

static hb_status write_checkpoint(void *context, const hb_sink *sink, hb_error *error) {
  return hb_trainer_save(context, sink, error);
}

static hb_status write_result(void *context, const hb_sink *sink, hb_error *error) {
  return hb_trainer_write(context, sink, error);
}

static bool draw(const training *t) {
  curve curve;
  char *path = run_folder_file(&t->folder, "log.jsonl");
  bool ok = path && curve_read(path, &curve);
  free(path);
  if (!ok) return false;
  ok = run_folder_write(&t->folder, "training.html", curve_write, &curve);
  curve_close(&curve);
  return ok;
}

static bool measure(training *t, uint64_t step) {
  double entropy;
  hb_error error;
  if (t->validation.text.documents == 0) return true;
  if (hb_trainer_evaluate(t->trainer, &t->validation.text, &entropy, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  step_line_end(&t->line);
  printf("step %" PRIu64 "  validation %.5f\n", step, entropy);
  fflush(stdout);
  run_log_validation(&t->log, step, entropy);
  return true;
}

/* The log is on the disk before the checkpoint, which a run that is resumed cuts it back to. */
static bool save(training *t, uint64_t step) {
  return measure(t, step) && run_log_flush(&t->log) &&
         run_folder_write(&t->folder, "checkpoint.gguf", write_checkpoint, t->trainer) && draw(t);
}

/* ---- The run ---- */

static bool step(training *t, hb_train_report *r) {
  hb_error error;
  double began = hb_clock();
  if (hb_trainer_step(t->trainer, r, &error) != HB_OK) {
    step_line_end(&t->line);
    cli_fail_error(&error);
    return false;
  }
  t->seconds += hb_clock() - began;
  double done = (double)(r->step - t->first), left = (double)(t->options->steps - r->step);
  double tokens = (double)r->tokens / (double)r->step * done;
  run_log_step(&t->log, r, t->log.seconds + t->seconds);
  step_line_show(&t->line, r, tokens / t->seconds, t->seconds / done * left);
  return true;
}

static int stop(training *t, uint64_t at) {
  step_line_end(&t->line);
  printf("stopped after step %" PRIu64 "; --resume goes on\n", at);
  return CLI_FAILED;
}

static int finish(training *t) {
  char time[STEP_LINE_TIME];
  step_line_end(&t->line);
  if (!run_folder_write_result(&t->folder, write_result, t->trainer)) return CLI_FAILED;
  printf("%s/%s written, after %s of training\n", t->options->output, t->folder.name,
         step_line_time(t->log.seconds + t->seconds, time));
  return CLI_OK;
}

static int run(training *t) {
  const cli_options *o = t->options;
  hb_train_report r = {.step = t->first};
  step_line_begin(&t->line, o->steps, o->teacher > 0 || o->z > 0);
  if (t->first == 0 && !measure(t, 0)) return CLI_FAILED;
  while (r.step < o->steps) {
    if (!step(t, &r)) return CLI_FAILED;
    bool stops = interrupted();
    if ((r.step % o->save_every == 0 || r.step == o->steps || stops) && !save(t, r.step))
      return CLI_FAILED;
    if (stops && r.step < o->steps) return stop(t, r.step);
  }
  return finish(t);
}

/* ---- Beginning ---- */

static bool restore(training *t) {
  hb_source saved;
  hb_error error;
  if (!t->folder.has_checkpoint) {
    if (t->options->resume) printf("%s has no checkpoint: begins anew\n", t->options->output);
    return true;
  }
  char *path = run_folder_file(&t->folder, "checkpoint.gguf");
  if (!path) return false;
  hb_status status = hb_source_open(path, &saved, &error);
  free(path);
  if (status == HB_OK) {
    status = hb_trainer_restore(t->trainer, &saved, &error);
    hb_source_close(&saved);
  }
  if (status != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  t->first = hb_trainer_steps(t->trainer);
  printf("goes on after step %" PRIu64 "\n", t->first);
  fflush(stdout);
  return true;
}

static void add_list(json_text *out, const char *name, const cli_list *list) {
  json_key(out, name);
  json_open(out, '[');
  for (uint32_t i = 0; i < list->count; i++) json_string(out, hb_string_of(list->texts[i]));
  json_end(out, ']');
}

/* The first line of the log. */
static bool describe(const training *t, const hb_train_options *o, json_text *out) {
  const hb_corpus *text = &t->text.text;
  json_open(out, '{');
  json_key(out, "run");
  json_open(out, '{');
  json_member_string(out, "model", t->model);
  json_member_string(out, "method", o->method);
  if (t->options->original) json_member_string(out, "original", t->options->original);
  if (t->options->teacher_model)
    json_member_string(out, "teacher_model", t->options->teacher_model);
  add_list(out, "data", &t->options->data);
  json_member_count(out, "documents", text->documents);
  json_member_count(out, "text_tokens", text->start[text->documents]);
  json_member_count(out, "steps", o->steps);
  json_member_count(out, "sequences", (uint64_t)o->sequences * o->accumulate);
  json_member_number(out, "rate", o->rate);
  json_member_string(out, "schedule", o->schedule);
  json_member_number(out, "teacher", o->teacher);
  json_member_count(out, "seed", o->seed);
  json_member_string(out, "isa", hb_isa_name(o->isa));
  json_key(out, "bf16");
  json_bool(out, o->bf16 != 0);
  json_member_string(out, "version", hb_version());
  json_end(out, '}');
  json_end(out, '}');
  if (out->failed) cli_fail("no memory for the log");
  return !out->failed;
}

static bool open_log(training *t) {
  json_text about = {0};
  bool ok = describe(t, hb_trainer_options(t->trainer), &about) &&
            run_log_open(&t->folder, t->first, &about, &t->log);
  json_close(&about);
  return ok;
}

static hb_train_options options_of(const training *t, const char *method) {
  const cli_options *o = t->options;
  return (hb_train_options){
      .allocator = hb_host_allocator(),
      .parallel = hb_threads_parallel(t->threads),
      .isa = o->isa,
      .method = method,
      .original = o->original ? &t->original : NULL,
      .text = t->text.text,
      .seed = o->weight_seed,
      .steps = o->steps,
      .sequences = o->sequences,
      .length = o->length,
      .accumulate = o->accumulate,
      .samples = o->samples,
      .rate = (double)o->rate,
      .rate_end = (double)o->rate_end,
      .warmup = (double)o->warmup,
      .schedule = o->schedule,
      .scale_rate = (double)o->scale_rate,
      .decay = (double)o->decay,
      .damping = cli_given(o, OPTION_DAMPING) && o->damping == 0 ? -1 : (double)o->damping,
      .clip = cli_given(o, OPTION_CLIP) && o->clip == 0 ? -1 : (double)o->clip,
      .teacher = (double)o->teacher,
      .temperature = (double)o->distillation,
      .teacher_model = o->teacher_model ? &t->teacher : NULL,
      .joint = o->joint,
      .z = (double)o->z,
      .round_inputs = o->round_inputs,
      .bf16 = o->bf16,
      .tables = o->tables,
      .recompute = o->recompute,
      .small_moments = o->small_moments,
      .state_allocator = t->state ? hb_paged_allocator(t->state) : NULL,
      .rank = o->rank,
      .alpha = (double)o->alpha,
      .matrices = o->matrices,
      .adapter_type = o->type,
      .adapter = t->adapter.data,
      .adapter_size = (size_t)t->adapter.size};
}

static int with_trainer(training *t) {
  hb_error error;
  hb_train_options options = options_of(t, t->method);
  if (hb_trainer_create(&t->source, &options, &t->trainer, &error) != HB_OK)
    return cli_fail_error(&error);
  if (!restore(t) || !open_log(t)) return CLI_FAILED;
  interrupt_catch();
  int code = run(t);
  run_log_close(&t->log);
  return code;
}

static bool read_texts(training *t) {
  const cli_options *o = t->options;
  if (!cli_corpus_read(&t->source, &o->data, &t->text)) return false;
  if (o->validation.count > 0 && !cli_corpus_read(&t->source, &o->validation, &t->validation))
    return false;
  printf("%" PRIu32 " documents, %" PRIu64 " tokens\n", t->text.text.documents,
         t->text.text.start[t->text.text.documents]);
  fflush(stdout);
  return true;
}

static int with_sources(training *t) {
  hb_error error;
  char *result = run_folder_file(&t->folder, t->folder.name);
  bool own = result && (hb_source_includes(&t->source, result) ||
                        (t->options->original && hb_source_includes(&t->original, result)) ||
                        (t->options->teacher_model && hb_source_includes(&t->teacher, result)));
  free(result);
  if (own) return cli_fail("%s/%s is an input", t->options->output, t->folder.name);
  if (!read_texts(t)) return CLI_FAILED;
  if (hb_threads_create(t->options->threads, &t->threads, &error) != HB_OK)
    return cli_fail_error(&error);
  return with_trainer(t);
}

/* `begins`: it may be without weights. */
static hb_status open_model(const training *t, const char *path, bool begins, hb_source *out,
                            hb_error *error) {
  if (!begins || !hb_is_untrained(path)) return hb_source_open(path, out, error);
  HB_TRY(hb_untrained_open(path, t->options->weight_seed, out, error));
  printf("%s: weights begin at random\n", path);
  return HB_OK;
}

static bool open_files(training *t) {
  const cli_options *o = t->options;
  hb_error error;
  hb_status status = open_model(t, t->model, o->model != NULL, &t->source, &error);
  if (status == HB_OK && o->original) status = hb_source_open(o->original, &t->original, &error);
  if (status == HB_OK && o->teacher_model)
    status = open_model(t, o->teacher_model, true, &t->teacher, &error);
  if (status == HB_OK && o->adapter) status = hb_file_open(o->adapter, &t->adapter, &error);
  if (status == HB_OK && o->state) status = hb_paged_create(o->state, &t->state, &error);
  if (status != HB_OK) cli_fail_error(&error);
  return status == HB_OK;
}

/* Options that say nothing together. */
static const char *find_contradiction(const cli_options *o, const char *method) {
  bool taught = o->teacher > 0;
  if (taught && !o->original && !o->teacher_model)
    return "--teacher needs --original or --teacher-model, the model that teaches";
  if (!taught && (cli_given(o, OPTION_TRAIN_TEMPERATURE) || o->teacher_model || o->joint))
    return "--temperature, --teacher-model and --joint are the teacher's: they need --teacher";
  if (o->teacher_model && !o->joint && hb_is_untrained(o->teacher_model))
    return "--teacher-model begins at random, and has nothing to teach without --joint";
  bool begins = strcmp(method, "full") != 0 && strcmp(method, "lora") != 0 &&
                (strcmp(method, "e2e-qp") != 0 || o->tables);
  if (o->original && !begins && (!taught || o->teacher_model))
    return "--original has no use here: it is no teacher, and no weights begin with it";
  static const cli_option_id of_lora[] = {OPTION_RANK, OPTION_ALPHA, OPTION_MATRICES,
                                          OPTION_ADAPTER_TYPE, OPTION_FIRST_ADAPTER};
  for (size_t i = 0; i < sizeof of_lora / sizeof *of_lora && strcmp(method, "lora") != 0; i++)
    if (cli_given(o, of_lora[i]))
      return "--rank, --alpha, --matrices, --type and --lora are of the method lora";
  return NULL;
}

static int train_model(const cli_options *options, const char *model, const char *method) {
  training t = {.options = options, .model = model, .method = method};
  const char *wrong = find_contradiction(options, method);
  if (wrong) {
    cli_fail("%s", wrong);
    return CLI_USAGE;
  }
  if (!hb_isa_available(options->isa))
    return cli_fail("this machine or build has no %s", hb_isa_name(options->isa));
  const char *result = strcmp(method, "lora") == 0 ? "adapter.gguf" : "model.gguf";
  if (!run_folder_open(options->output, result, options->resume, &t.folder)) return CLI_FAILED;
  int code = open_files(&t) ? with_sources(&t) : CLI_FAILED;
  hb_trainer_destroy(t.trainer);
  hb_threads_destroy(t.threads);
  cli_corpus_free(&t.text);
  cli_corpus_free(&t.validation);
  hb_paged_destroy(t.state);
  hb_file_close(&t.adapter);
  hb_source_close(&t.original);
  hb_source_close(&t.teacher);
  hb_source_close(&t.source);
  run_folder_close(&t.folder);
  return code;
}

static int train(const cli_options *options) {
  return train_model(options, options->model, "full");
}

static int finetune(const cli_options *options) {
  return train_model(options, options->operands[0], options->method);
}

#define TRAINING_OPTIONS                                                                           \
  OPTION_DATA, OPTION_VALIDATION, OPTION_STEPS, OPTION_OUT_FOLDER, OPTION_RATE, OPTION_RATE_END,   \
      OPTION_WARMUP, OPTION_SCHEDULE, OPTION_DECAY, OPTION_CLIP, OPTION_SEQUENCES, OPTION_LENGTH,  \
      OPTION_ACCUMULATE, OPTION_ORIGINAL, OPTION_TEACHER, OPTION_TEACHER_MODEL, OPTION_JOINT,      \
      OPTION_TRAIN_TEMPERATURE, OPTION_Z_LOSS, OPTION_BF16, OPTION_RECOMPUTE,                      \
      OPTION_SMALL_MOMENTS, OPTION_STATE, OPTION_SAVE_EVERY, OPTION_TRAIN_RESUME,                  \
      OPTION_ORDER_SEED, OPTION_THREADS, OPTION_ISA

#define TEXTS                                                                                      \
  "Documents of a plain text end with <|endoftext|> or, in a file without, with two empty "        \
  "lines;\n"                                                                                       \
  "each line of a .jsonl file is one. training.html shows how the run goes."

const cli_command command_train = {
    .name = "train",
    .operands = "",
    .summary = "Trains a model on text",
    .details = TEXTS,
    .takes = CLI_OPTIONS(OPTION_INIT, TRAINING_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_INIT, OPTION_DATA, OPTION_STEPS, OPTION_OUT_FOLDER),
    .run = train,
};

const cli_command command_finetune = {
    .name = "finetune",
    .operands = "QUANTIZED",
    .summary = "Trains a quantized model on",
    .details =
        "qat trains the weights of the original through their rounding, and the scales of blocks;\n"
        "e2e-qp the scales alone. Types stay as they are. lora leaves a model of any types as it\n"
        "is and trains an adapter of it: run --lora DIR/adapter.gguf, or merge.\n"
        "block-ap, autoround and lkd go layer by layer, each for an equal part of the steps, "
        "until\n"
        "it gives what the original's gives: block-ap trains the same as qat; autoround moves\n"
        "weights by signs of gradients, at most half a step from the original; lkd is block-ap\n"
        "that asks the original's layer on what the quantized layers before it leave.\n" TEXTS,
    .takes =
        CLI_OPTIONS(OPTION_TRAIN_METHOD, OPTION_SCALE_RATE, OPTION_DAMPING, OPTION_ROUND_INPUTS,
                    OPTION_TABLES, OPTION_RANK, OPTION_ALPHA, OPTION_MATRICES, OPTION_ADAPTER_TYPE,
                    OPTION_FIRST_ADAPTER, OPTION_SAMPLES, TRAINING_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_TRAIN_METHOD, OPTION_DATA, OPTION_STEPS, OPTION_OUT_FOLDER),
    .least_operands = 1,
    .most_operands = 1,
    .run = finetune,
};
