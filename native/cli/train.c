/* train and finetune: runs of hb_trainer, whose state is kept in a folder. */
#include "commands.h"
#include "common.h"
#include "corpus.h"
#include "terminal.h"
#include "host/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct training {
  const cli_options *options;
  hb_source source, original;
  cli_corpus text, validation;
  hb_threads *threads;
  hb_trainer *trainer;
  FILE *log;
  double began, said; /* hb_clock() */
  uint64_t first;     /* step of this process */
} training;

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

/* Writes DIR/name by `write`, which a reader finds whole or not at all. */
static bool write_file(training *t, const char *name,
                       hb_status (*write)(hb_trainer *, const hb_sink *, hb_error *)) {
  char path[1024];
  hb_output *output;
  hb_error error;
  snprintf(path, sizeof path, "%s/%s", t->options->output, name);
  if (hb_output_create(path, &output, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  hb_sink sink = {output, write_bytes};
  hb_status status = write(t->trainer, &sink, &error);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  hb_output_destroy(output);
  if (status != HB_OK) cli_fail_error(&error);
  return status == HB_OK;
}

/* ---- Progress ---- */

static void say(training *t, const hb_train_report *r) {
  double now = hb_clock(), passed = now - t->began;
  uint64_t done = r->step - t->first, left = t->options->steps - r->step;
  double tokens = (double)r->tokens / (double)r->step * (double)done;
  bool last = left == 0;
  if (!last && now - t->said < 2) return;
  t->said = now;
  printf("step %" PRIu64 "/%" PRIu32 "  loss %.4f  entropy %.4f  norm %.3f  rate %.2e  %.0f "
         "tokens/s  %.0f s left\n",
         r->step, t->options->steps, r->loss, r->entropy, r->norm, r->rate, tokens / passed,
         passed / (double)done * (double)left);
  fflush(stdout);
}

static void log_step(training *t, const hb_train_report *r) {
  fprintf(t->log,
          "{\"step\":%" PRIu64 ",\"tokens\":%" PRIu64
          ",\"loss\":%.7g,\"entropy\":%.7g,\"norm\":%.5g,\"rate\":%.6g}\n",
          r->step, r->tokens, r->loss, r->entropy, r->norm, r->rate);
}

static bool measure(training *t, uint64_t step) {
  double entropy;
  hb_error error;
  if (t->validation.text.documents == 0) return true;
  if (hb_trainer_evaluate(t->trainer, &t->validation.text, &entropy, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  printf("step %" PRIu64 "  validation %.5f\n", step, entropy);
  fprintf(t->log, "{\"step\":%" PRIu64 ",\"validation\":%.7g}\n", step, entropy);
  fflush(stdout);
  return true;
}

/* ---- The run ---- */

static bool save(training *t, uint64_t step) {
  fflush(t->log);
  return measure(t, step) && write_file(t, "checkpoint.gguf", hb_trainer_save);
}

static int run(training *t) {
  hb_train_report r = {.step = t->first};
  hb_error error;
  t->began = t->said = hb_clock();
  if (t->first == 0 && !measure(t, 0)) return CLI_FAILED;
  while (r.step < t->options->steps) {
    if (hb_trainer_step(t->trainer, &r, &error) != HB_OK) return cli_fail_error(&error);
    log_step(t, &r);
    say(t, &r);
    bool stops = interrupted();
    if ((r.step % t->options->save_every == 0 || r.step == t->options->steps || stops) &&
        !save(t, r.step))
      return CLI_FAILED;
    if (stops) {
      printf("stopped after step %" PRIu64 "; --resume goes on\n", r.step);
      return CLI_FAILED;
    }
  }
  if (!write_file(t, "model.gguf", hb_trainer_write)) return CLI_FAILED;
  printf("%s/model.gguf written\n", t->options->output);
  return CLI_OK;
}

static bool restore(training *t) {
  char path[1024];
  hb_source saved;
  hb_error error;
  if (!t->options->resume) return true;
  snprintf(path, sizeof path, "%s/checkpoint.gguf", t->options->output);
  if (hb_source_open(path, &saved, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  hb_status status = hb_trainer_restore(t->trainer, &saved, &error);
  hb_source_close(&saved);
  if (status != HB_OK) cli_fail_error(&error);
  t->first = hb_trainer_steps(t->trainer);
  return status == HB_OK;
}

static hb_train_options options_of(const training *t, const char *method) {
  const cli_options *o = t->options;
  return (hb_train_options){.allocator = hb_host_allocator(),
                            .parallel = hb_threads_parallel(t->threads),
                            .isa = cli_given(o, OPTION_ISA) ? o->isa : hb_isa_best(),
                            .method = method,
                            .original = o->original ? &t->original : NULL,
                            .text = t->text.text,
                            .seed = o->weight_seed,
                            .steps = o->steps,
                            .sequences = o->sequences,
                            .length = o->length,
                            .accumulate = o->accumulate,
                            .rate = (double)o->rate,
                            .rate_end = (double)o->rate_end,
                            .warmup = (double)o->warmup,
                            .schedule = o->schedule,
                            .scale_rate = (double)o->scale_rate,
                            .decay = (double)o->decay,
                            .clip = o->clip > 0 ? (double)o->clip : -1,
                            .teacher = (double)o->teacher,
                            .temperature = (double)o->distillation,
                            .round_inputs = o->round_inputs,
                            .bf16 = o->bf16,
                            .recompute = o->recompute,
                            .small_moments = o->small_moments};
}

static int with_trainer(training *t, const char *method) {
  hb_error error;
  char path[1024];
  hb_train_options options = options_of(t, method);
  if (hb_trainer_create(&t->source, &options, &t->trainer, &error) != HB_OK)
    return cli_fail_error(&error);
  if (!restore(t)) return CLI_FAILED;
  snprintf(path, sizeof path, "%s/log.jsonl", t->options->output);
  t->log = fopen(path, t->first > 0 ? "a" : "w");
  if (!t->log) return cli_fail("%s cannot be written", path);
  interrupt_catch();
  int code = run(t);
  fclose(t->log);
  return code;
}

static int with_text(training *t, const char *method) {
  hb_error error;
  const cli_options *o = t->options;
  if (!cli_corpus_read(&t->source, &o->data, &t->text)) return CLI_FAILED;
  if (o->validation.count > 0 && !cli_corpus_read(&t->source, &o->validation, &t->validation))
    return CLI_FAILED;
  printf("%" PRIu32 " documents, %" PRIu64 " tokens\n", t->text.text.documents,
         t->text.text.start[t->text.text.documents]);
  if (!hb_host_make_folder(o->output)) return cli_fail("%s cannot be made a folder", o->output);
  if (hb_threads_create(o->threads, &t->threads, &error) != HB_OK) return cli_fail_error(&error);
  return with_trainer(t, method);
}

static int train_model(const cli_options *options, const char *model, const char *method) {
  training t = {.options = options};
  hb_error error;
  if (hb_source_open(model, &t.source, &error) != HB_OK ||
      (options->original && hb_source_open(options->original, &t.original, &error) != HB_OK))
    return cli_fail_error(&error);
  int code = with_text(&t, method);
  hb_trainer_destroy(t.trainer);
  hb_threads_destroy(t.threads);
  cli_corpus_free(&t.text);
  cli_corpus_free(&t.validation);
  if (options->original) hb_source_close(&t.original);
  hb_source_close(&t.source);
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
      OPTION_ACCUMULATE, OPTION_ORIGINAL, OPTION_TEACHER, OPTION_TRAIN_TEMPERATURE, OPTION_BF16,   \
      OPTION_RECOMPUTE, OPTION_SMALL_MOMENTS, OPTION_SAVE_EVERY, OPTION_TRAIN_RESUME,              \
      OPTION_ORDER_SEED, OPTION_THREADS, OPTION_ISA

const cli_command command_train = {
    .name = "train",
    .operands = "",
    .summary = "Trains a model on text",
    .takes = CLI_OPTIONS(OPTION_INIT, TRAINING_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_INIT, OPTION_DATA, OPTION_STEPS, OPTION_OUT_FOLDER),
    .run = train,
};

const cli_command command_finetune = {
    .name = "finetune",
    .operands = "QUANTIZED",
    .summary = "Trains a quantized model on",
    .details = "qat trains the weights of the original through their rounding, and the scales of "
               "blocks;\ne2e-qp the scales alone. Types stay as they are.",
    .takes =
        CLI_OPTIONS(OPTION_TRAIN_METHOD, OPTION_SCALE_RATE, OPTION_ROUND_INPUTS, TRAINING_OPTIONS),
    .needs = CLI_OPTIONS(OPTION_TRAIN_METHOD, OPTION_DATA, OPTION_STEPS, OPTION_OUT_FOLDER),
    .least_operands = 1,
    .most_operands = 1,
    .run = finetune,
};
