#include "compress/resume.h"
#include "base/half.h"
#include "quant/quant.h"

enum { SAMPLE_BYTES = 256, SAMPLES = 16 }; /* of a tensor that tell one model from another */

/* ---- What a run is ---- */

static void add_number(hb_sha256 *hash, uint64_t x) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(x >> 8 * i);
  hb_sha256_update(hash, bytes, sizeof bytes);
}

static void add_string(hb_sha256 *hash, hb_string text) {
  add_number(hash, text.length);
  hb_sha256_update(hash, text.data, text.length);
}

static void add_text(hb_sha256 *hash, const char *text) {
  add_number(hash, text != NULL);
  if (text) add_string(hash, hb_string_of(text));
}

static hb_status add_sample(hb_sha256 *hash, const hb_source *source, const hb_tensor *t,
                            uint64_t at, hb_error *error) {
  uint8_t bytes[SAMPLE_BYTES];
  uint64_t start = hb_gguf_shard_data_start(source->gguf, t->shard) + t->offset;
  size_t count = t->bytes - at < sizeof bytes ? (size_t)(t->bytes - at) : sizeof bytes;
  HB_TRY(source->read(source->context, t->shard, start + at, bytes, count, error));
  hb_sha256_update(hash, bytes, count);
  return HB_OK;
}

static hb_status add_tensor(hb_sha256 *hash, const hb_source *source, const hb_tensor *t,
                            hb_error *error) {
  add_string(hash, t->name);
  add_number(hash, t->type);
  for (int d = 0; d < 4; d++) add_number(hash, t->dims[d]);
  uint64_t part = t->bytes / SAMPLES;
  if (part <= SAMPLE_BYTES) part = SAMPLE_BYTES; /* all of it */
  for (uint64_t i = 0; i <= SAMPLES && i * part < t->bytes; i++)
    HB_TRY(add_sample(hash, source, t, i * part, error));
  return HB_OK;
}

/* Its records, and some bytes of every tensor. */
static hb_status add_source(hb_sha256 *hash, const hb_source *source, hb_error *error) {
  for (size_t i = 0; i < hb_gguf_value_count(source->gguf); i++) {
    const hb_value *v = hb_gguf_value_at(source->gguf, i);
    add_string(hash, v->key);
    add_number(hash, v->type);
    add_string(hash, (hb_string){(const char *)v->data, (size_t)v->bytes});
  }
  for (size_t i = 0; i < hb_gguf_tensor_count(source->gguf); i++)
    HB_TRY(add_tensor(hash, source, hb_gguf_tensor_at(source->gguf, i), error));
  return HB_OK;
}

static hb_status add_inputs(hb_sha256 *hash, const hb_quantize_options *o, hb_error *error) {
  uint64_t tokens = o->calibration ? (uint64_t)o->calibration_samples * o->calibration_length : 0;
  add_number(hash, o->calibration_samples);
  add_number(hash, o->calibration_length);
  for (uint64_t i = 0; i < tokens; i++) add_number(hash, (uint32_t)o->calibration[i]);
  if (o->importance) HB_TRY(add_source(hash, o->importance, error));
  return o->gradients ? add_source(hash, o->gradients, error) : HB_OK;
}

static hb_status hash_bytes(void *context, const void *bytes, size_t count, hb_error *error) {
  (void)error;
  hb_sha256_update(context, bytes, count);
  return HB_OK;
}

/* Types and what stands beside matrices are in the header. */
static hb_status add_header(hb_sha256 *hash, const hb_tensor_job *job, const hb_plan_rules *rules,
                            hb_error *error) {
  hb_gguf_writer *writer;
  hb_sink sink = {hash, hash_bytes};
  HB_TRY(hb_gguf_writer_create(job->options->allocator, &sink, &writer, error));
  hb_status status = hb_plan_write_header(job->plan, job->source, rules, writer, error);
  hb_gguf_writer_destroy(writer);
  return status;
}

static hb_status describe(const hb_tensor_job *job, const hb_plan_rules *rules, hb_run *run,
                          hb_error *error) {
  const hb_quantize_options *o = job->options;
  hb_sha256 source, inputs, options;
  hb_sha256_init(&source);
  hb_sha256_init(&inputs);
  hb_sha256_init(&options);
  HB_TRY(add_source(&source, job->source, error));
  HB_TRY(add_inputs(&inputs, o, error));
  add_text(&options, HB_VERSION); /* another may come to other results */
  add_text(&options, o->method);
  add_text(&options, o->activations);
  add_text(&options, o->granularity);
  add_number(&options, o->group_size);
  hb_sha256_update(&options, &o->outlier_threshold, sizeof o->outlier_threshold);
  hb_sha256_update(&options, &o->smooth_alpha, sizeof o->smooth_alpha);
  HB_TRY(add_header(&options, job, rules, error));
  hb_sha256_final(&source, run->source);
  hb_sha256_final(&inputs, run->inputs);
  hb_sha256_final(&options, run->options);
  return HB_OK;
}

/* ---- What an earlier run left ---- */

static hb_status check_run(const hb_run *now, const hb_run *earlier, hb_error *error) {
  const char *what = NULL;
  if (memcmp(now->options, earlier->options, sizeof now->options) != 0)
    what = "had other options, or was one of another version";
  if (memcmp(now->inputs, earlier->inputs, sizeof now->inputs) != 0)
    what = "was calibrated with something else";
  if (memcmp(now->source, earlier->source, sizeof now->source) != 0)
    what = "read another model, or this one has changed since";
  if (!what) return HB_OK;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "the interrupted run %s: it cannot be gone on with", what);
}

/* Whether the hash, at mark->bytes, is the mark's. */
static bool fits(const hb_sha256 *hash, const hb_mark *mark) {
  hb_sha256 copy = *hash;
  uint8_t digest[HB_SHA256_BYTES];
  hb_sha256_final(&copy, digest);
  return memcmp(digest, mark->digest, sizeof digest) == 0;
}

static hb_status hash_more(const hb_journal *journal, hb_sha256 *hash, uint64_t from, uint64_t to,
                           uint8_t *piece, size_t capacity, hb_error *error) {
  while (from < to) {
    size_t count = to - from < capacity ? (size_t)(to - from) : capacity;
    HB_TRY(journal->read(journal->context, from, piece, count, error));
    hb_sha256_update(hash, piece, count);
    from += count;
  }
  return HB_OK;
}

/* The last mark up to which everything is as it was written. */
static hb_status find_kept(hb_tensor_job *job, const hb_journal *journal, hb_resume *r,
                           hb_error *error) {
  hb_sha256 hash;
  hb_sha256_init(&hash);
  for (size_t i = 0; i < journal->count; i++) {
    const hb_mark *mark = &journal->marks[i];
    if (i == 0) HB_TRY(check_run(&r->run, &mark->run, error));
    bool next = memcmp(&mark->run, &r->run, sizeof r->run) == 0 && mark->bytes > r->kept.bytes &&
                mark->tensors > r->kept.tensors && mark->tensors < job->plan->count &&
                mark->bytes <= journal->bytes;
    if (!next) break;
    HB_TRY(hash_more(journal, &hash, r->kept.bytes, mark->bytes, job->bytes, sizeof job->bytes,
                     error));
    if (!fits(&hash, mark)) break;
    r->kept = *mark;
  }
  r->noted = r->kept.bytes;
  return journal->keep(journal->context, &r->kept, error);
}

/* Rounding takes no longer than taking up what is there. */
static bool takes_long(const hb_method *method) {
  return hb_method_calibrates(method) ||
         (method->assignment != HB_ASSIGN_ROUND && method->assignment != HB_ASSIGN_CHANNEL);
}

hb_status hb_resume_begin(hb_tensor_job *job, const hb_plan_rules *rules, const hb_sink *sink,
                          hb_resume *out, hb_error *error) {
  *out = (hb_resume){.sink = *sink, .checked = true};
  const hb_journal *journal = job->options->journal;
  if (!journal) return HB_OK;
  if (!takes_long(job->method) && journal->count == 0)
    return journal->keep(journal->context, &out->kept, error);
  HB_TRY(describe(job, rules, &out->run, error));
  HB_TRY(find_kept(job, journal, out, error));
  out->journal = journal;
  hb_sha256_init(&out->hash);
  out->checked = out->kept.tensors == 0;
  return HB_OK;
}

/* ---- Writing ---- */

hb_status hb_resume_write(void *context, const void *bytes, size_t count, hb_error *error) {
  hb_resume *r = context;
  if (r->journal) hb_sha256_update(&r->hash, bytes, count);
  uint64_t there = r->kept.bytes > r->position ? r->kept.bytes - r->position : 0;
  size_t skipped = there < count ? (size_t)there : count;
  r->position += count;
  if (skipped == count) return HB_OK;
  return r->sink.write(r->sink.context, (const uint8_t *)bytes + skipped, count - skipped, error);
}

bool hb_resume_has(const hb_tensor_job *job, size_t tensors) {
  return job->resume && tensors <= job->resume->kept.tensors;
}

hb_status hb_resume_note(hb_tensor_job *job, size_t tensors, uint64_t least, hb_error *error) {
  hb_resume *r = job->resume;
  if (!r->journal || tensors < r->kept.tensors) return HB_OK;
  if (!r->checked) {
    r->checked =
        tensors == r->kept.tensors && r->position == r->kept.bytes && fits(&r->hash, &r->kept);
    if (r->checked) return HB_OK;
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                   "what the interrupted run left is not what it noted");
  }
  if (r->position - r->noted < least || tensors == job->plan->count) return HB_OK;
  hb_mark mark = {.run = r->run, .bytes = r->position, .tensors = tensors};
  hb_sha256 copy = r->hash;
  hb_sha256_final(&copy, mark.digest);
  r->noted = r->position;
  return r->journal->note(r->journal->context, &mark, error);
}

/* ---- Taking up ---- */

/* Where the parts of a tensor lie in the earlier run's file, and what is wanted of them. */
typedef struct taking {
  hb_tensor_job *job;
  const hb_journal *journal;
  uint64_t rows, cols, row_bytes;
  uint8_t *row;    /* [row_bytes] */
  float *values;   /* [rows][cols] of the walk, or NULL */
  uint8_t *sparse; /* [sparse_bytes] */
  uint64_t sparse_bytes;
} taking;

/* The next part; the writer ends what it holds of a tensor when it has all of it. */
static hb_status take_bytes(const taking *t, uint64_t at, void *bytes, uint64_t count,
                            hb_error *error) {
  HB_TRY(t->journal->read(t->journal->context, at, bytes, (size_t)count, error));
  return hb_gguf_writer_data(t->job->writer, bytes, (size_t)count, error);
}

static hb_status take_rows(const taking *t, hb_error *error) {
  const hb_type_traits *traits = hb_traits(t->job->type);
  uint64_t at = t->job->resume->position;
  for (uint64_t row = 0; row < t->rows; row++) {
    HB_TRY(take_bytes(t, at + row * t->row_bytes, t->row, t->row_bytes, error));
    if (t->values)
      traits->decode(t->row, t->values + row * t->cols, (size_t)(t->cols / traits->block_values));
  }
  return t->values ? hb_job_check(t->job, t->values, t->rows * t->cols, error) : HB_OK;
}

static hb_status take_outliers(const taking *t, const char *name, hb_error *error) {
  hb_sparse sparse;
  HB_TRY(take_bytes(t, t->job->resume->position, t->sparse, t->sparse_bytes, error));
  HB_TRY(hb_outliers_read(t->sparse, t->sparse_bytes, (uint32_t)t->rows, (uint32_t)t->cols, name,
                          &sparse, error));
  for (uint64_t row = 0; row < t->rows && t->values; row++)
    for (uint32_t i = sparse.start[row]; i < sparse.start[row + 1]; i++)
      t->values[row * t->cols + sparse.column[i]] += hb_f32_of_f16(sparse.value[i]);
  return HB_OK;
}

static hb_status take_parts(const taking *t, const hb_tensor_plan *plan, hb_error *error) {
  char name[64];
  uint8_t scale[sizeof(float)];
  hb_format(name, sizeof name, "%S", plan->tensor->name);
  HB_TRY(take_rows(t, error));
  if (t->sparse_bytes > 0) HB_TRY(take_outliers(t, name, error));
  if (!plan->input_scale) return HB_OK;
  return take_bytes(t, t->job->resume->position, scale, sizeof scale, error);
}

hb_status hb_resume_tensor(hb_tensor_job *job, const hb_walk *walk, size_t index, hb_error *error) {
  const hb_allocator *allocator = job->options->allocator;
  const hb_tensor_plan *plan = &job->plan->tensors[index];
  taking t = {.job = job, .journal = job->resume->journal, .cols = plan->tensor->dims[0]};
  hb_job_begin(job, index);
  t.rows = job->values / t.cols;
  t.sparse_bytes = hb_plan_outlier_bytes(plan);
  hb_row_bytes(plan->type, t.cols, &t.row_bytes);
  const hb_weight *weight = walk ? hb_weight_named(hb_walk_model(walk), plan->tensor->name) : NULL;
  if (weight) t.values = hb_walk_values(walk, (uint32_t)(weight - hb_walk_model(walk)->weights));
  t.row = hb_allocate(allocator, t.row_bytes);
  t.sparse = hb_allocate(allocator, t.sparse_bytes);
  hb_status status = t.row && t.sparse ? take_parts(&t, plan, error)
                                       : hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                                                 "no memory for tensor %S", plan->tensor->name);
  hb_release(allocator, t.row, t.row_bytes);
  hb_release(allocator, t.sparse, t.sparse_bytes);
  if (status == HB_OK) hb_job_end(job, index);
  return status;
}
