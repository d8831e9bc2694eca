/* A type for each matrix under a budget of bits. */
#include "compress/sensitivity.h"
#include "quant/quant.h"

/* Rising in size. */
static const hb_type wide_types[] = {HB_TYPE_Q2_K, HB_TYPE_Q3_K, HB_TYPE_Q4_K, HB_TYPE_Q5_K,
                                     HB_TYPE_Q6_K, HB_TYPE_Q8_0, HB_TYPE_F16};
static const hb_type narrow_types[] = {HB_TYPE_Q4_0, HB_TYPE_Q5_0, HB_TYPE_Q8_0, HB_TYPE_F16};
static const hb_type odd_types[] = {HB_TYPE_F16};

static hb_status add_types(hb_sensitivity *s, const hb_type *types, size_t count, hb_error *error) {
  const hb_tensor *t = s->tensor;
  s->values = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
  s->item.count = (uint32_t)count;
  if (!hb_traits(t->type)->decode)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S has the type %s, which cannot be converted", t->name,
                   hb_type_name(t->type));
  for (size_t i = 0; i < count; i++) {
    uint64_t row;
    s->types[i] = types[i];
    if (!hb_row_bytes(types[i], t->dims[0], &row) ||
        !hb_mul_u64(row, s->values / t->dims[0], &s->item.bytes[i]))
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %S is too large", t->name);
  }
  return HB_OK;
}

static hb_status describe(hb_sensitivity *s, hb_error *error) {
#define TYPES(list) list, sizeof list / sizeof *list
  uint64_t cols = s->tensor->dims[0];
  if (cols % 256 == 0) return add_types(s, TYPES(wide_types), error);
  if (cols % 32 == 0) return add_types(s, TYPES(narrow_types), error);
  return add_types(s, TYPES(odd_types), error);
#undef TYPES
}

static hb_status collect(const hb_gguf *gguf, hb_sensitivity *items, size_t *count,
                         hb_error *error) {
  *count = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    if (!hb_plan_quantizes(t)) continue;
    items[*count].tensor = t;
    HB_TRY(describe(&items[(*count)++], error));
  }
  if (*count > 0) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "no tensor is a matrix that could be quantized");
}

/* The losses are of no use to a caller whose budget fits nothing. */
static hb_status check_budget(const hb_sensitivity *items, size_t count, double bits,
                              hb_error *error) {
  double least = 0, values = 0;
  for (size_t i = 0; i < count; i++) {
    least += 8 * (double)items[i].item.bytes[0];
    values += (double)items[i].values;
  }
  if (bits * values >= least) return HB_OK;
  uint64_t wanted = (uint64_t)(bits * 100), needed = (uint64_t)(least / values * 100) + 1;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "a budget of %u.%u%u bits a weight is too small: the smallest types need %u.%u%u",
                 wanted / 100, wanted / 10 % 10, wanted % 10, needed / 100, needed / 10 % 10,
                 needed % 10);
}

static hb_status solve(hb_tensor_job *job, hb_sensitivity *items, hb_budget_item *budget,
                       size_t count, double bits, hb_error *error) {
  double values = 0;
  HB_TRY(hb_sensitivity_measure(job, items, count, error));
  for (size_t i = 0; i < count; i++) {
    budget[i] = items[i].item;
    values += (double)items[i].values;
  }
  hb_budget_solve(budget, count, (uint64_t)(bits * values / 8));
  return HB_OK;
}

static void tell(const hb_gguf *gguf, const hb_sensitivity *items, const hb_budget_item *budget,
                 hb_budget_choice *out) {
  for (size_t i = 0, next = 0; i < hb_gguf_tensor_count(gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    out[i] = (hb_budget_choice){.type = t->type};
    if (!hb_plan_quantizes(t)) continue;
    const hb_budget_item *b = &budget[next];
    out[i] =
        (hb_budget_choice){items[next].types[b->chosen], b->bytes[b->chosen], b->loss[b->chosen]};
    next++;
  }
}

static hb_status check(const hb_source *source, const hb_quantize_options *o, double bits,
                       hb_error *error) {
  hb_method method;
  HB_TRY(hb_method_find(o->method ? o->method : "rtn", &method, error));
  HB_TRY(hb_check_parallel(o->parallel, error));
  if (hb_method_outliers(&method) > 0 || method.type || method.outlier_columns ||
      method.assignment == HB_ASSIGN_CHANNEL)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "method %s has a size of its own, which a budget cannot choose", o->method);
  if (o->gradients)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a budget has no use for gradients");
  if (!o->calibration || o->calibration_samples == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a budget needs text to calibrate with");
  if (!(bits > 0 && bits <= 32))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a budget has more than 0, at most 32 bits");
  return hb_gguf_check_complete(source->gguf, error);
}

static hb_status choose(hb_tensor_job *job, hb_sensitivity *items, hb_budget_item *budget,
                        double bits, hb_budget_choice *out, hb_error *error) {
  size_t count;
  HB_TRY(collect(job->source->gguf, items, &count, error));
  HB_TRY(check_budget(items, count, bits, error));
  HB_TRY(solve(job, items, budget, count, bits, error));
  tell(job->source->gguf, items, budget, out);
  return HB_OK;
}

hb_status hb_budget_choose(const hb_source *source, const hb_quantize_options *options, double bits,
                           hb_budget_choice *out, hb_error *error) {
  HB_TRY(check(source, options, bits, error));
  const hb_allocator *allocator = options->allocator;
  uint64_t count = hb_gguf_tensor_count(source->gguf);
  const hb_method rounding = {.assignment = HB_ASSIGN_ROUND};
  hb_tensor_job *job = hb_allocate_zero(allocator, sizeof *job);
  hb_sensitivity *items = hb_allocate_zero(allocator, count * sizeof *items);
  hb_budget_item *budget = hb_allocate(allocator, count * sizeof *budget);
  hb_status status = HB_MEMORY;
  if (job && items && budget) {
    job->options = options;
    job->source = source;
    job->method = &rounding;
    status = choose(job, items, budget, bits, out, error);
  } else {
    hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a budget");
  }
  hb_release(allocator, job, sizeof *job);
  hb_release(allocator, items, count * sizeof *items);
  hb_release(allocator, budget, count * sizeof *budget);
  return status;
}
