#include "commands.h"
#include "evaluate.h"
#include "quality/answers.h"
#include "report/figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Lines ---- */

typedef struct lines {
  hb_string rest;
  size_t number; /* of the line that was taken last */
} lines;

static bool is_blank(hb_string line) {
  for (size_t i = 0; i < line.length; i++)
    if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r') return false;
  return true;
}

/* The next line that is not blank. */
static bool next_line(lines *l, hb_string *out) {
  while (l->rest.length > 0) {
    const char *end = memchr(l->rest.data, '\n', l->rest.length);
    size_t length = end ? (size_t)(end - l->rest.data) : l->rest.length;
    size_t taken = end ? length + 1 : length;
    *out = (hb_string){l->rest.data, length};
    l->rest = (hb_string){l->rest.data + taken, l->rest.length - taken};
    l->number++;
    if (!is_blank(*out)) return true;
  }
  return false;
}

static bool answer_line(const cli_engine *engine, const char *place, hb_string line,
                        answer_scores *scores) {
  task t;
  hb_error error;
  if (task_parse(line, &t, &error) != HB_OK) {
    cli_fail("%s: %s", place, error.message);
    return false;
  }
  bool ok = answer_task(engine, &t, place, scores);
  task_close(&t);
  return ok;
}

static bool answer_all(const cli_engine *engine, const char *path, hb_string text,
                       answer_scores *scores) {
  lines l = {text, 0};
  hb_string line;
  char place[160];
  progress bar;
  bool ok = true;
  progress_begin(&bar, "answering");
  while (ok && next_line(&l, &line)) {
    snprintf(place, sizeof place, "%.100s, line %zu", path, l.number);
    ok = answer_line(engine, place, line, scores);
    progress_update(&bar, text.length - l.rest.length, text.length);
  }
  progress_end(&bar);
  if (ok && scores->choices + scores->words == 0) {
    cli_fail("%s has no tasks", path);
    return false;
  }
  return ok;
}

/* ---- Telling ---- */

static void print_share(const char *name, uint64_t count, uint64_t all) {
  estimate share = share_of(count, all);
  printf("%-28s %.2f +- %.2f %%\n", name, 100 * share.value, 100 * share.error);
}

static void print_scores(const answer_scores *s) {
  if (s->choices > 0) {
    printf("%" PRIu64 " tasks with choices\n", s->choices);
    print_share("  right", s->right, s->choices);
    print_share("  right, by length", s->right_by_length, s->choices);
  }
  if (s->words > 0) {
    estimate perplexity = moments_exp(&s->word_losses);
    printf("%" PRIu64 " last words\n", s->words);
    print_share("  told", s->told, s->words);
    printf("%-28s %.4f +- %.4f\n", "  perplexity of a word", perplexity.value, perplexity.error);
  }
}

static int print_json(const answer_scores *s) {
  json_text j = {0};
  json_open(&j, '{');
  json_member_count(&j, "choices", s->choices);
  figures_write_estimate(&j, "accuracy", share_of(s->right, s->choices));
  figures_write_estimate(&j, "accuracyByLength", share_of(s->right_by_length, s->choices));
  json_member_count(&j, "lastWords", s->words);
  figures_write_estimate(&j, "lastWordAccuracy", share_of(s->told, s->words));
  figures_write_estimate(&j, "lastWordPerplexity", moments_exp(&s->word_losses));
  json_end(&j, '}');
  int code = j.failed ? cli_fail("no memory") : CLI_OK;
  if (!j.failed) printf("%s\n", j.data);
  json_close(&j);
  return code;
}

static int answer_file(const cli_engine *engine, const cli_options *options) {
  const char *path = options->operands[1];
  answer_scores scores = {0};
  cli_text text;
  if (!cli_read_file(path, &text)) return CLI_FAILED;
  bool ok = answer_all(engine, path, (hb_string){text.data, text.length}, &scores);
  free(text.data);
  if (!ok) return CLI_FAILED;
  if (options->json) return print_json(&scores);
  print_scores(&scores);
  return CLI_OK;
}

static int eval(const cli_options *options) {
  cli_engine engine;
  cli_options with_model = *options;
  with_model.model = options->operands[0];
  if (!cli_load(&engine, &with_model)) return CLI_FAILED;
  int code = CLI_FAILED;
  if (cli_open_session(&engine, options, 0, 0, evaluate_rows(&engine)))
    code = answer_file(&engine, options);
  cli_close(&engine);
  return code;
}

const cli_command command_eval = {
    .name = "eval",
    .operands = "MODEL TASKS",
    .summary = "Lets a model answer questions with choices, and tell last words",
    .details =
        "TASKS is JSONL. With choices:\n"
        "  {\"query\": .., \"choices\": [..], \"answer\": 0}, or lines of HellaSwag or ARC\n"
        "of which the likeliest counts as the answer; by length, the likeliest for each of its\n"
        "characters. With last words, as of LAMBADA:\n"
        "  {\"text\": ..}",
    .takes = CLI_OPTIONS(OPTION_LORA, OPTION_THREADS, OPTION_ISA, OPTION_KV, OPTION_CONTEXT,
                         OPTION_JSON),
    .least_operands = 2,
    .most_operands = 2,
    .run = eval,
};
