#include "compress/method.h"
#include "compress/channel.h"
#include "compress/gptq.h"
#include "compress/hqq.h"
#include "compress/spqr.h"
#include "compress/tables.h"

static const struct {
  const char *name;
  bool calibrates, gram;
} assignments[] = {
#define HB_ASSIGNMENT_ROW(name, text, calibrates, gram) {text, calibrates, gram},
    HB_ASSIGNMENT_LIST(HB_ASSIGNMENT_ROW)
#undef HB_ASSIGNMENT_ROW
};

enum { ASSIGNMENTS = sizeof assignments / sizeof *assignments };

static const struct {
  const char *name;
  hb_method method;
} known[] = {
    {"awq", {.assignment = HB_ASSIGN_FIT, .awq = true}},
    {"smoothquant",
     {.assignment = HB_ASSIGN_CHANNEL, .smooth = true, .activations = HB_ACTIVATIONS_TOKEN}},
    {"llm.int8",
     {.assignment = HB_ASSIGN_CHANNEL,
      .outlier_columns = true,
      .activations = HB_ACTIVATIONS_TOKEN}},
    {"zeroquant", {.assignment = HB_ASSIGN_ROUND, .activations = HB_ACTIVATIONS_TOKEN}},
};

static void add(const hb_method *part, hb_method *out) {
  out->assignment = part->assignment;
  out->awq |= part->awq;
  out->smooth |= part->smooth;
  out->outlier_columns |= part->outlier_columns;
  if (part->activations != HB_ACTIVATIONS_BLOCK) out->activations = part->activations;
}

static bool set_part(hb_string part, hb_method *out) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (hb_string_equal(part, hb_string_of(known[i].name))) {
      add(&known[i].method, out);
      return true;
    }
  for (int i = 0; i < ASSIGNMENTS; i++)
    if (hb_string_equal(part, hb_string_of(assignments[i].name))) {
      out->assignment = (hb_assignment)i;
      return true;
    }
  return false;
}

hb_status hb_method_find(const char *text, hb_method *out, hb_error *error) {
  *out = (hb_method){.assignment = HB_ASSIGN_FIT};
  for (const char *at = text;; at++) {
    size_t length = 0;
    while (at[length] != '\0' && at[length] != '+') length++;
    if (!set_part((hb_string){at, length}, out))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "unknown method %S",
                     (hb_string){at, length});
    at += length;
    if (*at == '\0') return HB_OK;
  }
}

hb_status hb_method_set_activations(hb_method *method, const char *name, hb_error *error) {
  static const struct {
    const char *name;
    hb_activations activations;
    bool by_largest;
  } ways[] = {
      {"block", HB_ACTIVATIONS_BLOCK, false},
      {"token", HB_ACTIVATIONS_TOKEN, false},
      {"tensor", HB_ACTIVATIONS_TENSOR, false},
      {"tensor-max", HB_ACTIVATIONS_TENSOR, true},
  };
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    if (strcmp(name, ways[i].name) == 0) {
      method->activations = ways[i].activations;
      method->by_largest = ways[i].by_largest;
      return HB_OK;
    }
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "activations are block, token, tensor or tensor-max, not %s", name);
}

bool hb_method_wants_gram(const hb_method *method) {
  return assignments[method->assignment].gram;
}

bool hb_method_takes_importance(const hb_method *method) {
  return method->assignment == HB_ASSIGN_FIT && !method->awq && !method->smooth &&
         !method->outlier_columns && method->activations != HB_ACTIVATIONS_TENSOR;
}

bool hb_method_calibrates(const hb_method *method) {
  if (method->measured) return false;
  return method->awq || method->smooth || method->outlier_columns ||
         method->activations == HB_ACTIVATIONS_TENSOR || assignments[method->assignment].calibrates;
}

/* The fraction that gives that many outliers: in the middle of those that do. */
static double fraction_of(const hb_matrix_job *job, const hb_outliers *outliers) {
  return (outliers->count + 0.5) / ((double)job->rows * job->cols);
}

static const char uncompensated[] =
    "columns do not make up for each other, as the correlations of its inputs have no factor";

static hb_status spqr(const hb_matrix_job *job, hb_outliers *outliers, const char **note,
                      hb_error *error) {
  hb_spqr_options options = {.fraction = fraction_of(job, outliers)};
  hb_spqr_report report;
  HB_TRY(hb_matrix_spqr(job, &options, outliers, &report, error));
  if (report.damping == 0) *note = uncompensated;
  return HB_OK;
}

static hb_status gptq(const hb_matrix_job *job, const char **note, hb_error *error) {
  hb_gptq_options options = {.order = HB_GPTQ_BETTER};
  hb_gptq_report report;
  if (!job->gram) return hb_matrix_fit(job, error); /* a table of embeddings reads no inputs */
  HB_TRY(hb_matrix_gptq(job, &options, &report, error));
  if (report.damping == 0) *note = uncompensated;
  return HB_OK;
}

double hb_method_outliers(const hb_method *method) {
  switch (method->assignment) {
  case HB_ASSIGN_SPQR: return HB_SPQR_FRACTION;
  case HB_ASSIGN_TABLES: return HB_TABLES_FRACTION;
  default: return 0;
  }
}

static bool is_table(hb_type type) {
  return type == HB_TYPE_TABLE4 || type == HB_TYPE_TABLE3;
}

bool hb_method_writes(const hb_method *method, hb_type type) {
  return is_table(type) == (method->assignment == HB_ASSIGN_TABLES);
}

hb_method hb_method_plain(hb_type type) {
  return (hb_method){.assignment = is_table(type) ? HB_ASSIGN_TABLES : HB_ASSIGN_ROUND};
}

static hb_status tables(hb_type type, const hb_matrix_job *job, hb_outliers *outliers,
                        hb_error *error) {
  hb_tables_options options = {.bits = type == HB_TYPE_TABLE4 ? 4 : 3};
  if (outliers) options.fraction = fraction_of(job, outliers);
  return hb_matrix_tables(job, &options, outliers, error);
}

hb_status hb_method_apply(const hb_method *method, hb_type type, const hb_matrix_job *job,
                          hb_outliers *outliers, const char **note, hb_error *error) {
  switch (method->assignment) {
  case HB_ASSIGN_ROUND: return hb_matrix_round(job, error);
  case HB_ASSIGN_FIT: return hb_matrix_fit(job, error);
  case HB_ASSIGN_GPTQ: return gptq(job, note, error);
  case HB_ASSIGN_CHANNEL: return hb_matrix_channel(job, outliers, error);
  case HB_ASSIGN_SPQR: return outliers ? spqr(job, outliers, note, error) : gptq(job, note, error);
  case HB_ASSIGN_HQQ: return hb_matrix_hqq(job, error);
  case HB_ASSIGN_TABLES: return tables(type, job, outliers, error);
  }
  return HB_OK;
}
