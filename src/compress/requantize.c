#include "compress/requantize.h"

/* ---- What becomes of each tensor ---- */

typedef struct plan {
  hb_type chosen; /* by the options */
  hb_type type;   /* that it becomes */
} plan;

static bool contains(hb_string text, const char *part) {
  size_t length = strlen(part);
  for (size_t i = 0; i + length <= text.length; i++)
    if (memcmp(text.data + i, part, length) == 0) return true;
  return false;
}

static bool ends_with(hb_string text, const char *end) {
  size_t length = strlen(end);
  return text.length >= length && memcmp(text.data + text.length - length, end, length) == 0;
}

/* Matrices, also stacked ones of experts, that inputs are multiplied with or rows are taken from.
 * Other tensors are small, and sensitive to rounding. */
static bool is_quantizable(const hb_tensor *t) {
  static const char *const kept[] = {"_norm.weight", "position_embd", "rope_freqs", "ffn_gate_inp"};
  if (t->dims[3] != 1 || (t->dims[1] == 1 && t->dims[2] == 1)) return false;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
    if (contains(t->name, kept[i])) return false;
  return ends_with(t->name, ".weight");
}

static hb_status plan_tensor(const hb_quantize_options *o, const hb_tensor *t, plan *out,
                             hb_error *error) {
  *out = (plan){t->type, t->type};
  if (!is_quantizable(t)) return HB_OK;
  hb_type chosen = o->choose ? o->choose(o->context, t, o->type) : o->type;
  const hb_type_traits *traits = hb_traits(chosen);
  if (!traits || (chosen != t->type && !traits->encode))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "tensor %S: values cannot be rounded to %s",
                   t->name, traits ? traits->name : "an unknown type");
  *out = (plan){chosen, t->dims[0] % traits->block_values == 0 ? chosen : HB_TYPE_F16};
  if (out->type != t->type && !hb_traits(t->type)->decode)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S has the type %s, which cannot be converted", t->name,
                   hb_type_name(t->type));
  return HB_OK;
}

static hb_status plan_tensors(const hb_source *source, const hb_quantize_options *o, plan *plans,
                              hb_error *error) {
  for (size_t i = 0; i < hb_gguf_tensor_count(source->gguf); i++)
    HB_TRY(plan_tensor(o, hb_gguf_tensor_at(source->gguf, i), &plans[i], error));
  return HB_OK;
}

/* ---- The header ---- */

/* general.file_type numbers mixtures and types in a way of its own (llama.cpp: llama_ftype). */
static uint32_t file_type(hb_type type) {
  switch (type) {
  case HB_TYPE_F16: return 1;
  case HB_TYPE_Q4_0: return 2;
  case HB_TYPE_Q4_1: return 3;
  case HB_TYPE_Q8_0: return 7;
  case HB_TYPE_Q5_0: return 8;
  case HB_TYPE_Q5_1: return 9;
  case HB_TYPE_BF16: return 32;
  default: return 0; /* F32 */
  }
}

static hb_status write_header(hb_tensor_job *job, const plan *plans, hb_error *error) {
  const hb_gguf *gguf = job->source->gguf;
  hb_gguf_writer *w = job->writer;
  HB_TRY(hb_gguf_writer_copy(w, gguf, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "general.quantization_version", 2, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "general.file_type", file_type(job->options->type), error));
  for (size_t i = 0; i < hb_gguf_tensor_count(gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    HB_TRY(hb_gguf_writer_add_tensor(w, t->name, plans[i].type, t->dim_count, t->dims, error));
    job->total += t->bytes;
  }
  return hb_gguf_writer_begin(w, error);
}

/* ---- The tensors ---- */

static hb_status copy_tensor(hb_tensor_job *job, hb_error *error) {
  const hb_tensor *t = job->tensor;
  uint64_t start = hb_gguf_shard_data_start(job->source->gguf, t->shard) + t->offset;
  for (uint64_t at = 0; at < t->bytes; at += sizeof job->bytes) {
    uint64_t left = t->bytes - at;
    size_t count = left < sizeof job->bytes ? (size_t)left : sizeof job->bytes;
    HB_TRY(job->source->read(job->source->context, t->shard, start + at, job->bytes, count, error));
    HB_TRY(hb_gguf_writer_data(job->writer, job->bytes, count, error));
    HB_TRY(hb_job_progress(job, at + count, error));
  }
  return HB_OK;
}

static void report_tensor(const hb_tensor_job *job, size_t index, const plan *p) {
  const hb_quantize_options *o = job->options;
  char reason[128];
  uint64_t row_bytes = 0;
  if (!o->report) return;
  hb_row_bytes(p->type, job->tensor->dims[0], &row_bytes);
  hb_quantize_report r = {.tensor = job->tensor,
                          .index = index,
                          .count = hb_gguf_tensor_count(job->source->gguf),
                          .type = p->type,
                          .bytes = row_bytes * (job->values / job->tensor->dims[0])};
  if (job->squares > 0) r.error = job->differences / job->squares;
  if (p->type != p->chosen) {
    hb_format(reason, sizeof reason, "rows of %u values do not divide into %s blocks of %u",
              job->tensor->dims[0], hb_type_name(p->chosen),
              (uint64_t)hb_traits(p->chosen)->block_values);
    r.reason = reason;
  }
  o->report(o->context, &r);
}

static hb_status convert_tensor(hb_tensor_job *job, size_t index, const plan *p, hb_error *error) {
  const hb_tensor *t = hb_gguf_tensor_at(job->source->gguf, index);
  job->tensor = t;
  job->type = p->type;
  job->values = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
  job->written = 0;
  job->squares = job->differences = 0;
  HB_TRY(p->type == t->type ? copy_tensor(job, error) : hb_method_round(job, error));
  job->done += t->bytes;
  report_tensor(job, index, p);
  return HB_OK;
}

static hb_status convert(hb_tensor_job *job, plan *plans, hb_error *error) {
  HB_TRY(plan_tensors(job->source, job->options, plans, error));
  HB_TRY(write_header(job, plans, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(job->source->gguf); i++)
    HB_TRY(convert_tensor(job, i, &plans[i], error));
  return hb_gguf_writer_finish(job->writer, error);
}

hb_status hb_quantize(const hb_source *source, const hb_quantize_options *options,
                      const hb_sink *sink, hb_error *error) {
  const hb_allocator *allocator = options->allocator;
  const hb_type_traits *traits = hb_traits(options->type);
  if (!traits || !traits->encode)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "values cannot be rounded to %s",
                   traits ? traits->name : "an unknown type");
  HB_TRY(hb_gguf_check_complete(source->gguf, error));
  uint64_t plan_bytes = (uint64_t)hb_gguf_tensor_count(source->gguf) * sizeof(plan);
  hb_gguf_writer *writer = NULL;
  HB_TRY(hb_gguf_writer_create(allocator, sink, &writer, error));
  plan *plans = hb_allocate(allocator, plan_bytes);
  hb_tensor_job *job = hb_allocate_zero(allocator, sizeof *job);
  hb_status status;
  if (plans && job) {
    job->options = options;
    job->source = source;
    job->writer = writer;
    status = convert(job, plans, error);
  } else {
    status = hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize");
  }
  hb_release(allocator, job, sizeof *job);
  hb_release(allocator, plans, plan_bytes);
  hb_gguf_writer_destroy(writer);
  return status;
}
