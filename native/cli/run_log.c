#include "run_log.h"
#include "host/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

static bool parse_line(hb_string line, hb_json *out) {
  hb_error error;
  char *copy = malloc(line.length + 1);
  if (!copy) return false;
  memcpy(copy, line.data, line.length);
  return hb_json_parse(copy, line.length, out, &error) == HB_OK;
}

size_t run_log_each(const cli_text *log, bool (*body)(void *context, hb_item line), void *context) {
  size_t at = 0;
  while (at < log->length) {
    const char *begin = log->data + at, *end = memchr(begin, '\n', log->length - at);
    hb_json json;
    if (!end || !parse_line((hb_string){begin, (size_t)(end - begin)}, &json)) break;
    bool goes_on = body(context, hb_json_root(&json));
    hb_json_close(&json);
    if (!goes_on) break;
    at += (size_t)(end - begin) + 1;
  }
  return at;
}

/* ---- Going on ---- */

typedef struct kept {
  uint64_t last;
  double seconds;
} kept;

static bool keep_line(void *context, hb_item line) {
  kept *k = context;
  uint64_t step;
  double seconds;
  if (!hb_json_u64(hb_json_get(line, "step"), &step)) return true;
  if (step > k->last) return false;
  if (hb_json_f64(hb_json_get(line, "seconds"), &seconds)) k->seconds = seconds;
  return true;
}

static hb_status write_text(void *context, const hb_sink *sink, hb_error *error) {
  const cli_text *text = context;
  return sink->write(sink->context, text->data, text->length, error);
}

static bool cut(const run_folder *folder, const char *path, uint64_t step, run_log *log) {
  cli_text text;
  kept k = {.last = step};
  if (!cli_read_file(path, &text)) return false;
  size_t length = run_log_each(&text, keep_line, &k);
  log->seconds = k.seconds;
  bool ok = true;
  if (length < text.length) {
    text.length = length;
    ok = run_folder_write(folder, "log.jsonl", write_text, &text);
  }
  free(text.data);
  return ok;
}

static bool open_stream(const char *path, bool goes_on, const json_text *about, run_log *log) {
  log->stream = fopen(path, goes_on ? "ab" : "wb");
  if (!log->stream) {
    cli_fail("cannot write %s: %s", path, strerror(errno));
    return false;
  }
  if (!goes_on) fprintf(log->stream, "%s\n", about->data);
  return true;
}

bool run_log_open(const run_folder *folder, uint64_t step, const json_text *about, run_log *out) {
  *out = (run_log){0};
  char *path = run_folder_file(folder, "log.jsonl");
  if (!path) return false;
  bool goes_on = step > 0 && hb_host_exists(path);
  bool ok = (!goes_on || cut(folder, path, step, out)) && open_stream(path, goes_on, about, out);
  free(path);
  return ok;
}

void run_log_close(run_log *log) {
  if (log->stream) fclose(log->stream);
  log->stream = NULL;
}

/* ---- Writing ---- */

static void end_line(run_log *log, json_text *line) {
  json_end(line, '}');
  if (!line->failed) fprintf(log->stream, "%s\n", line->data);
  json_close(line);
}

void run_log_step(run_log *log, const hb_train_report *r, double seconds) {
  json_text line = {0};
  json_open(&line, '{');
  json_member_count(&line, "step", r->step);
  json_member_count(&line, "tokens", r->tokens);
  if (r->layer > 0) json_member_count(&line, "layer", r->layer);
  json_member_number(&line, "loss", r->loss);
  if (r->layer == 0) json_member_number(&line, "entropy", r->entropy);
  if (r->teacher > 0) json_member_number(&line, "teacher", r->teacher);
  json_member_number(&line, "norm", r->norm);
  json_member_number(&line, "rate", r->rate);
  json_member_number(&line, "seconds", seconds);
  end_line(log, &line);
}

void run_log_validation(run_log *log, uint64_t step, double entropy) {
  json_text line = {0};
  json_open(&line, '{');
  json_member_count(&line, "step", step);
  json_member_number(&line, "validation", entropy);
  end_line(log, &line);
}

bool run_log_flush(run_log *log) {
  if (!ferror(log->stream) && hb_host_flush(log->stream)) return true;
  cli_fail("cannot write log.jsonl: %s", strerror(errno));
  return false;
}
