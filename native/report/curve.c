#include "report/curve.h"
#include "cli/run_log.h"

#include <stdlib.h>
#include <string.h>

#define DATA_MARK "@DATA@"

enum { MOST_POINTS = 1000 };

/* curve.html, with a NUL behind it. Made by embed.cmake. */
extern const char curve_page[];

/* ---- Steps ---- */

static const char *const fields[] = {"step", "tokens",  "seconds", "rate",
                                     "loss", "entropy", "norm"};
enum {
  FIELDS = sizeof fields / sizeof *fields,
  FIRST_MEAN = 4 /* the others are those of the last */
};

typedef struct points {
  json_text *out;
  uint64_t steps, group;
  uint64_t count; /* steps in the group so far */
  double sums[FIELDS];
} points;

static bool count_step(void *context, hb_item line) {
  points *p = context;
  double loss;
  if (hb_json_f64(hb_json_get(line, "loss"), &loss)) p->steps++;
  return true;
}

static void end_group(points *p) {
  if (p->count == 0) return;
  json_open(p->out, '[');
  for (int i = 0; i < FIELDS; i++)
    json_number(p->out, i < FIRST_MEAN ? p->sums[i] : p->sums[i] / (double)p->count);
  json_end(p->out, ']');
  memset(p->sums, 0, sizeof p->sums);
  p->count = 0;
}

static bool add_step(void *context, hb_item line) {
  points *p = context;
  double values[FIELDS] = {0};
  if (hb_json_kind_of(hb_json_get(line, "loss")) != HB_JSON_NUMBER) return true;
  for (int i = 0; i < FIELDS; i++) {
    hb_json_f64(hb_json_get(line, fields[i]), &values[i]);
    p->sums[i] = i < FIRST_MEAN ? values[i] : p->sums[i] + values[i];
  }
  if (++p->count == p->group) end_group(p);
  return true;
}

static void add_steps(const cli_text *log, json_text *out) {
  points p = {.out = out};
  run_log_each(log, count_step, &p);
  p.group = p.steps / MOST_POINTS + 1;
  json_member_count(out, "group", p.group);
  json_key(out, "steps");
  json_open(out, '[');
  run_log_each(log, add_step, &p);
  end_group(&p);
  json_end(out, ']');
}

/* ---- The rest ---- */

static bool add_run(void *context, hb_item line) {
  json_text *out = context;
  hb_item run = hb_json_get(line, "run");
  if (!run.in) return true;
  json_key(out, "run");
  json_copy(out, run);
  return false;
}

static bool add_measurement(void *context, hb_item line) {
  json_text *out = context;
  double step = 0, entropy;
  if (!hb_json_f64(hb_json_get(line, "validation"), &entropy)) return true;
  hb_json_f64(hb_json_get(line, "step"), &step);
  json_open(out, '[');
  json_number(out, step);
  json_number(out, entropy);
  json_end(out, ']');
  return true;
}

bool curve_read(const char *path, curve *out) {
  cli_text log;
  json_text *data = &out->data;
  *out = (curve){0};
  if (!cli_read_file(path, &log)) return false;
  json_open(data, '{');
  run_log_each(&log, add_run, data);
  add_steps(&log, data);
  json_key(data, "validation");
  json_open(data, '[');
  run_log_each(&log, add_measurement, data);
  json_end(data, ']');
  json_end(data, '}');
  free(log.data);
  if (!data->failed) return true;
  cli_fail("no memory for the page of the run");
  curve_close(out);
  return false;
}

void curve_close(curve *curve) {
  json_close(&curve->data);
}

hb_status curve_write(void *context, const hb_sink *sink, hb_error *error) {
  const curve *c = context;
  const char *mark = strstr(curve_page, DATA_MARK), *rest = mark + strlen(DATA_MARK);
  HB_TRY(sink->write(sink->context, curve_page, (size_t)(mark - curve_page), error));
  HB_TRY(sink->write(sink->context, c->data.data, c->data.length, error));
  return sink->write(sink->context, rest, strlen(rest), error);
}
