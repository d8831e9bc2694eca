/* What a report tells of the types that a model may become. */
#include "quality/prospects.h"
#include "import/json.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

/* Whether the run's matrices are those of the model in the types of a prospect. */
static bool has_types(const hb_model *model, hb_item run, const char *type) {
  hb_json_walk walk = hb_json_begin(hb_json_get(run, "tensors"));
  bool any = false;
  while (hb_json_step(&walk)) {
    hb_string name, own;
    uint64_t values;
    if (!hb_json_string(hb_json_get(walk.value, "name"), &name) ||
        !hb_json_string(hb_json_get(walk.value, "type"), &own) ||
        !hb_json_u64(hb_json_get(walk.value, "values"), &values))
      return false;
    const hb_weight *w = hb_weight_named(model, name);
    if (!w || !w->present || w->rows * w->cols != values) return false;
    hb_type expected = prospect_type(model, type, (uint32_t)(w - model->weights));
    if (!hb_string_equal(own, hb_string_of(hb_type_name(expected)))) return false;
    any = true;
  }
  return any;
}

static void rate(const hb_model *model, hb_item run, prospects *out) {
  double excess;
  if (!hb_json_f64(hb_json_get(hb_json_get(run, "logRatio"), "value"), &excess)) return;
  for (int i = 0; i < PROSPECTS; i++) {
    prospect *p = &out->at[i];
    if (!has_types(model, run, p->type) || (p->measured && p->excess <= excess)) continue;
    p->measured = true;
    p->excess = excess;
  }
}

bool prospects_rate(const hb_model *model, const char *report, prospects *out) {
  size_t length = strlen(report) + sizeof "/report.json";
  char *path = malloc(length);
  hb_json json = {0};
  hb_error error;
  if (!path) {
    cli_fail("no memory");
    return false;
  }
  snprintf(path, length, "%s/report.json", report);
  hb_status status = hb_json_open(path, &json, &error);
  free(path);
  if (status != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  hb_json_walk walk = hb_json_begin(hb_json_get(hb_json_root(&json), "runs"));
  while (hb_json_step(&walk)) rate(model, walk.value, out);
  hb_json_close(&json);
  return true;
}
