#include "report/report.h"
#include "host/host.h"
#include "report/figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "halfbyte report 1"
#define DATA_MARK "@DATA@"

/* report.html, with a NUL behind it. Made by embed.cmake. */
extern const char report_page[];

/* ---- Collecting ---- */

static void name_method(const hb_model *model, const char *otherwise, report_run *out) {
  const hb_value *value = hb_gguf_value(hb_model_gguf(model), HB_METHOD_KEY);
  hb_string method;
  if (value && hb_value_string(value, &method, NULL) == HB_OK)
    hb_format(out->method, sizeof out->method, "%S", method);
  else if (otherwise)
    hb_format(out->method, sizeof out->method, "%s", otherwise);
}

bool report_gather(compared_pair *pair, const comparison *figures, const char *method,
                   report_run *out) {
  *out = (report_run){.figures = *figures};
  name_method(pair->model.model, method, out);
  if (!report_tensors(pair, out)) return false;
  return pair->windows.count == 0 || (report_layers(pair, out) && report_samples(pair, out));
}

void report_close(report_run *run) {
  for (size_t i = 0; i < run->sample_count; i++) {
    free(run->samples[i].prompt);
    free(run->samples[i].reference);
    free(run->samples[i].model);
  }
  free(run->layer_errors);
  free(run->tensors);
  *run = (report_run){0};
}

/* ---- Writing ---- */

static void write_histogram(json_text *j, const char *name, const report_histogram *h) {
  json_key(j, name);
  json_open(j, '{');
  json_member_count(j, "count", h->count);
  json_member_number(j, "rms", h->root_mean_square);
  json_member_number(j, "largest", h->largest);
  json_member_count(j, "outliers", h->outliers);
  json_key(j, "bins");
  json_open(j, '[');
  for (int i = 0; i < REPORT_BINS; i++) json_count(j, h->bins[i]);
  json_end(j, ']');
  json_end(j, '}');
}

static void write_reference(json_text *j, const report_run *run) {
  json_open(j, '{');
  json_member_string(j, "path", run->figures.reference.path);
  json_key(j, "tensors");
  json_open(j, '[');
  for (size_t i = 0; i < run->tensor_count; i++) {
    const report_tensor *t = &run->tensors[i];
    json_open(j, '{');
    json_member_string(j, "name", t->name);
    write_histogram(j, "weights", &t->weights);
    if (t->has_input) write_histogram(j, "input", &t->input);
    json_end(j, '}');
  }
  json_end(j, ']');
  json_end(j, '}');
}

static void write_tensors(json_text *j, const report_run *run) {
  json_key(j, "tensors");
  json_open(j, '[');
  for (size_t i = 0; i < run->tensor_count; i++) {
    const report_tensor *t = &run->tensors[i];
    json_open(j, '{');
    json_member_string(j, "name", t->name);
    json_member_string(j, "type", hb_type_name(t->type));
    json_member_count(j, "values", t->values);
    json_member_count(j, "bytes", t->bytes);
    json_member_number(j, "error", t->error);
    json_key(j, "rescaled");
    json_bool(j, t->rescaled);
    json_end(j, '}');
  }
  json_end(j, ']');
}

static void write_samples(json_text *j, const report_run *run) {
  json_key(j, "samples");
  json_open(j, '[');
  for (size_t i = 0; i < run->sample_count; i++) {
    json_open(j, '{');
    json_member_string(j, "prompt", run->samples[i].prompt);
    json_member_string(j, "reference", run->samples[i].reference);
    json_member_string(j, "model", run->samples[i].model);
    json_end(j, '}');
  }
  json_end(j, ']');
}

static void write_run(json_text *j, const report_run *run) {
  json_open(j, '{');
  figures_write(j, &run->figures);
  if (run->method[0]) json_member_string(j, "method", run->method);
  write_tensors(j, run);
  json_key(j, "layers");
  json_open(j, '[');
  for (size_t i = 0; i < run->layer_count; i++) json_number(j, run->layer_errors[i]);
  json_end(j, ']');
  write_samples(j, run);
  json_end(j, '}');
}

/* ---- Merging ---- */

static bool has_path(hb_item object, const char *path) {
  hb_string found;
  return hb_json_string(hb_json_get(object, "path"), &found) &&
         hb_string_equal(found, hb_string_of(path));
}

/* The earlier references but that of the run, which follows them. */
static void merge_references(json_text *j, hb_item earlier, const report_run *run) {
  json_key(j, "references");
  json_open(j, '[');
  hb_json_walk walk = hb_json_begin(hb_json_get(earlier, "references"));
  while (hb_json_step(&walk))
    if (!has_path(walk.value, run->figures.reference.path)) json_copy(j, walk.value);
  write_reference(j, run);
  json_end(j, ']');
}

static void merge_runs(json_text *j, hb_item earlier, const report_run *run) {
  json_key(j, "runs");
  json_open(j, '[');
  hb_json_walk walk = hb_json_begin(hb_json_get(earlier, "runs"));
  while (hb_json_step(&walk))
    if (!has_path(hb_json_get(walk.value, "model"), run->figures.model.path))
      json_copy(j, walk.value);
  write_run(j, run);
  json_end(j, ']');
}

static bool is_report(hb_item root) {
  hb_string format;
  return hb_json_string(hb_json_get(root, "format"), &format) &&
         hb_string_equal(format, hb_string_of(FORMAT));
}

/* Nothing if there is none. */
static bool read_earlier(const char *path, hb_json *out) {
  hb_error error;
  *out = (hb_json){0};
  if (!hb_host_exists(path)) return true;
  if (hb_json_open(path, out, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  if (is_report(hb_json_root(out))) return true;
  cli_fail("%s is no report of halfbyte; give another folder", path);
  hb_json_close(out);
  return false;
}

static bool merge(const char *path, const report_run *run, json_text *out) {
  hb_json earlier;
  if (!read_earlier(path, &earlier)) return false;
  json_open(out, '{');
  json_member_string(out, "format", FORMAT);
  merge_references(out, hb_json_root(&earlier), run);
  merge_runs(out, hb_json_root(&earlier), run);
  json_end(out, '}');
  hb_json_close(&earlier);
  if (out->failed) cli_fail("no memory for the report");
  return !out->failed;
}

/* ---- Files ---- */

typedef struct part {
  const char *data;
  size_t length;
} part;

static bool write_file(const char *path, const part *parts, size_t count) {
  hb_output *output;
  hb_error error;
  hb_status status = hb_output_create(path, &output, &error);
  for (size_t i = 0; status == HB_OK && i < count; i++)
    status = hb_output_write(output, parts[i].data, parts[i].length, &error);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  if (status != HB_OK) cli_fail_error(&error);
  hb_output_destroy(output);
  return status == HB_OK;
}

static bool write_page(const char *path, const json_text *data) {
  const char *mark = strstr(report_page, DATA_MARK);
  const char *rest = mark + strlen(DATA_MARK);
  part parts[] = {
      {report_page, (size_t)(mark - report_page)},
      {data->data, data->length},
      {rest, strlen(rest)},
  };
  return write_file(path, parts, 3);
}

static char *path_in(const char *folder, const char *name) {
  size_t length = strlen(folder) + strlen(name) + 2;
  char *path = malloc(length);
  if (path) snprintf(path, length, "%s/%s", folder, name);
  return path;
}

static bool make_folder(const char *folder) {
  if (hb_host_make_folder(folder)) return true;
  cli_fail("cannot make the folder %s: %s", folder, strerror(errno));
  return false;
}

bool report_check(const char *folder) {
  hb_json earlier;
  char *json = path_in(folder, "report.json");
  if (!json) cli_fail("no memory for the report");
  bool ok = json && make_folder(folder) && read_earlier(json, &earlier);
  if (ok) hb_json_close(&earlier);
  free(json);
  return ok;
}

bool report_write(const char *folder, const report_run *run) {
  json_text data = {0};
  char *json = path_in(folder, "report.json"), *page = path_in(folder, "index.html");
  bool ok = json && page;
  if (!ok) cli_fail("no memory for the report");
  ok = ok && make_folder(folder) && merge(json, run, &data);
  part all = {data.data, data.length};
  ok = ok && write_file(json, &all, 1) && write_page(page, &data);
  json_close(&data);
  free(page);
  free(json);
  return ok;
}

static bool report_pair(compared_pair *pair, const comparison *figures, const char *method,
                        const char *folder) {
  report_run run;
  bool ok = report_gather(pair, figures, method, &run) && report_write(folder, &run);
  report_close(&run);
  return ok;
}

bool report_compare(const char *reference, const char *model, const char *method,
                    const cli_options *options, const char *folder, comparison *out) {
  compared_pair pair;
  if (!compared_open(reference, model, options, &pair)) return false;
  bool ok = compared_run(&pair, options, out);
  if (ok) compared_warn(out);
  ok = ok && (!folder || report_pair(&pair, out, method, folder));
  compared_close(&pair);
  return ok;
}

bool report_plain(const char *reference, const char *model, const char *method,
                  const cli_options *options, const cli_tokens *tokens, uint32_t context,
                  const char *folder) {
  compared_pair pair;
  comparison figures;
  if (!compared_open_plain(reference, model, options, tokens, context, &pair)) return false;
  bool ok =
      compared_describe(&pair, options, &figures) && report_pair(&pair, &figures, method, folder);
  compared_close(&pair);
  return ok;
}
