#include "compress/method.h"
#include "compress/channel.h"
#include "compress/gptq.h"
#include "compress/hqq.h"
#include "compress/spqr.h"
#include "compress/tables.h"
#include "quant/quant.h"

static const struct {
  const char *name;
  bool calibrates, gram;
} assignments[] = {
#define HB_ASSIGNMENT_ROW(name, text, calibrates, gram) {text, calibrates, gram},
    HB_ASSIGNMENT_LIST(HB_ASSIGNMENT_ROW)
#undef HB_ASSIGNMENT_ROW
};

enum {
  ASSIGNMENTS = sizeof assignments / sizeof *assignments,
  USUAL_GROUP = 128 /* columns that share a scale */
};

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
    {"nf4", {.assignment = HB_ASSIGN_ROUND, .type = "nf4"}},
    {"fp4", {.assignment = HB_ASSIGN_ROUND, .type = "fp4"}},
};

static void add(const hb_method *part, hb_method *out) {
  out->assignment = part->assignment;
  out->awq |= part->awq;
  out->smooth |= part->smooth;
  out->outlier_columns |= part->outlier_columns;
  if (part->activations != HB_ACTIVATIONS_BLOCK) out->activations = part->activations;
  if (part->type) out->type = part->type;
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

hb_status hb_method_set_granularity(hb_method *method, const char *name, uint32_t group,
                                    hb_error *error) {
  static const char *const names[] = {"tensor", "channel", "group", "block"};
  const char *wanted = name ? name : "group";
  method->shares = name || group > 0;
  if (!method->shares) return HB_OK;
  if (method->assignment != HB_ASSIGN_ROUND)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "a scale for a %s is what rtn can do; this method chooses its scales for blocks",
                   wanted);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(wanted, names[i]) != 0) continue;
    method->granularity = (hb_rtn_granularity)i;
    method->group = group > 0 ? group : USUAL_GROUP;
    if (group == 0 || method->granularity == HB_RTN_GROUP) return HB_OK;
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "groups of %u columns and a scale for a %s",
                   (uint64_t)group, wanted);
  }
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "a tensor, channel, group or block shares a scale, not a %s", name);
}

bool hb_method_wants_gram(const hb_method *method) {
  return assignments[method->assignment].gram;
}

bool hb_method_takes_importance(const hb_method *method) {
  return method->assignment == HB_ASSIGN_FIT && !method->awq && !method->smooth &&
         !method->outlier_columns && method->activations != HB_ACTIVATIONS_TENSOR;
}

bool hb_method_takes_gradients(const hb_method *method) {
  return method->assignment == HB_ASSIGN_TABLES && !method->awq && !method->smooth &&
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

/* GPTQ's own is 0.01; with more, errors in text that was not calibrated with are smaller. */
#define DAMPING 0.05

static double damping_of(const hb_matrix_job *job) {
  return job->damping > 0 ? job->damping : DAMPING;
}

static const char uncompensated[] =
    "columns do not make up for each other, as the correlations of its inputs have no factor";

static hb_status spqr(const hb_matrix_job *job, hb_outliers *outliers, const char **note,
                      hb_error *error) {
  hb_spqr_options options = {.fraction = fraction_of(job, outliers), .damping = damping_of(job)};
  hb_spqr_report report;
  HB_TRY(hb_matrix_spqr(job, &options, outliers, &report, error));
  if (report.damping == 0) *note = uncompensated;
  return HB_OK;
}

static hb_status gptq(const hb_matrix_job *job, const char **note, hb_error *error) {
  hb_gptq_options options = {.order = HB_GPTQ_BETTER, .damping = damping_of(job), .refine = true};
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

/* How rtn rounds to a type; false if its scales cannot be shared. */
static bool find_grid(hb_type type, hb_rtn_options *out) {
  static const struct {
    hb_type type;
    hb_rtn_options options;
  } grids[] = {
      {HB_TYPE_Q4_0, {.bits = 4, .symmetric = true}}, {HB_TYPE_Q4_1, {.bits = 4}},
      {HB_TYPE_Q5_0, {.bits = 5, .symmetric = true}}, {HB_TYPE_Q5_1, {.bits = 5}},
      {HB_TYPE_Q8_0, {.bits = 8, .symmetric = true}},
  };
  for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
    if (grids[i].type != type) continue;
    *out = grids[i].options;
    return true;
  }
  return false;
}

static hb_status rtn(const hb_method *method, hb_type type, const hb_matrix_job *job,
                     const hb_rtn_range *range, hb_error *error) {
  hb_rtn_options options;
  if (!method->shares || !find_grid(type, &options)) return hb_matrix_round(job, error);
  options.granularity = method->granularity;
  options.group = method->group;
  options.range = range;
  return hb_matrix_rtn(job, &options, error);
}

bool hb_method_divides(const hb_method *method, hb_type type, uint64_t cols) {
  hb_rtn_options options;
  if (!method->shares || method->granularity != HB_RTN_GROUP) return true;
  if (!find_grid(type, &options)) return true;
  return method->group % hb_traits(type)->block_values == 0 && cols % method->group == 0;
}

bool hb_method_writes(const hb_method *method, hb_type type) {
  hb_rtn_options options;
  if (method->shares && !find_grid(type, &options)) return false;
  return is_table(type) == (method->assignment == HB_ASSIGN_TABLES);
}

hb_method hb_method_plain(hb_type type) {
  return (hb_method){.assignment = is_table(type) ? HB_ASSIGN_TABLES : HB_ASSIGN_ROUND};
}

static hb_status tables(hb_type type, const hb_matrix_job *job, hb_outliers *outliers,
                        hb_error *error) {
  hb_tables_options options = {.bits = type == HB_TYPE_TABLE4 ? 4 : 3,
                               .sensitivity = job->sensitivity};
  if (outliers) options.fraction = fraction_of(job, outliers);
  options.sensitive = options.fraction * (HB_TABLES_SENSITIVE / HB_TABLES_FRACTION);
  return hb_matrix_tables(job, &options, outliers, error);
}

hb_status hb_method_apply(const hb_method *method, hb_type type, const hb_matrix_job *job,
                          const hb_rtn_range *range, hb_outliers *outliers, const char **note,
                          hb_error *error) {
  switch (method->assignment) {
  case HB_ASSIGN_ROUND: return rtn(method, type, job, range, error);
  case HB_ASSIGN_FIT: return hb_matrix_fit(job, error);
  case HB_ASSIGN_GPTQ: return gptq(job, note, error);
  case HB_ASSIGN_CHANNEL: return hb_matrix_channel(job, outliers, error);
  case HB_ASSIGN_SPQR: return outliers ? spqr(job, outliers, note, error) : gptq(job, note, error);
  case HB_ASSIGN_HQQ: return hb_matrix_hqq(job, error);
  case HB_ASSIGN_TABLES: return tables(type, job, outliers, error);
  }
  return HB_OK;
}
