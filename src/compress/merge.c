/* Adapters merged into a model: the matrices that they change are decoded, W + factor B A is
 * rounded once to f32, and plainly to the type again; all other tensors are copied. */
#include "compress/merge.h"
#include "compress/coder.h"
#include "quant/quant.h"

/* ---- The model's tensors ---- */

static hb_status bind(hb_model *m, hb_error *error) {
  for (size_t i = 0; i < hb_gguf_tensor_count(m->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(m->gguf, i);
    hb_weight *w = hb_weight_named(m, t->name);
    hb_beside beside = hb_beside_find(m, t->name);
    if (beside.weight) HB_TRY(hb_beside_bind(&beside, t, error));
    if (w) HB_TRY(hb_weight_bind(w, t, error));
  }
  HB_TRY(hb_weights_check(m, error));
  return hb_private_check(m, error);
}

static hb_status describe(hb_merging *g, hb_error *error) {
  hb_model *m = hb_allocate_zero(g->options->allocator, sizeof *m);
  g->model = m;
  if (!m) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model");
  m->allocator = g->options->allocator;
  m->gguf = (hb_gguf *)g->source->gguf; /* lent; given back before the model ends */
  HB_TRY(hb_model_begin(m, error));
  return bind(m, error);
}

/* The matrix that a pair belongs to, which can be merged. */
static hb_status find_matrix(const hb_merging *g, const hb_adapter_pair *pair,
                             const hb_weight **out, hb_error *error) {
  const hb_weight *w = hb_weight_named(g->model, pair->matrix);
  bool table = w && (w->kind == HB_WEIGHT_TOKEN_EMBD || w->kind == HB_WEIGHT_POSITION_EMBD);
  if (!w || !w->present || hb_weight_table[w->kind].rows == HB_DIM_ONE)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %S of the adapter belongs to no matrix of the model", pair->a->name);
  if (table)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "the adapter changes %s, a table whose rows are read as they are", w->name);
  *out = w;
  return hb_adapter_check_fit(pair, w->cols, w->rows, error);
}

static hb_status check_adapter(const hb_merging *g, const hb_adapter *a, hb_error *error) {
  hb_adapter_pair pair;
  const hb_weight *w;
  for (size_t i = 0; i < hb_gguf_tensor_count(a->gguf); i++)
    if (hb_adapter_pair_at(a, i, &pair)) HB_TRY(find_matrix(g, &pair, &w, error));
  return HB_OK;
}

static hb_status open_adapters(hb_merging *g, hb_error *error) {
  const hb_merge_options *o = g->options;
  hb_string architecture = hb_string_of(g->model->architecture->name);
  for (size_t i = 0; i < o->adapter_count; i++) {
    hb_adapter *a = &g->adapters[i];
    hb_error own = {0};
    hb_status status = hb_adapter_open(o->allocator, o->adapters[i].bytes, o->adapters[i].size,
                                       architecture, a, &own);
    if (status == HB_OK) {
      g->adapter_count++;
      status = check_adapter(g, a, &own);
    }
    if (status != HB_OK)
      return hb_fail(error, status, own.offset, "adapter %u: %s", (uint64_t)i + 1, own.message);
  }
  return HB_OK;
}

bool hb_merging_pair(const hb_merging *g, uint32_t adapter, hb_string matrix,
                     hb_adapter_pair *out) {
  const hb_adapter *a = &g->adapters[adapter];
  if (g->options->adapters[adapter].scale == 0) return false;
  for (size_t i = 0; i < hb_gguf_tensor_count(a->gguf); i++)
    if (hb_adapter_pair_at(a, i, out) && hb_string_equal(out->matrix, matrix)) return true;
  return false;
}

static bool is_merged(const hb_merging *g, const hb_tensor *t) {
  hb_adapter_pair pair;
  for (uint32_t i = 0; i < g->adapter_count; i++)
    if (hb_merging_pair(g, i, t->name, &pair)) return true;
  return false;
}

hb_type hb_merging_type(const hb_merging *g, const hb_tensor *t) {
  hb_type before = hb_model_tensor_type(g->model, t);
  if (!is_merged(g, t) || !g->options->type) return before;
  return hb_type_fitting(g->type, hb_weight_named(g->model, t->name)->cols);
}

/* ---- The header ---- */

static hb_status declare(const hb_merging *g, const hb_tensor *t, hb_own_types *own,
                         hb_error *error) {
  hb_gguf_writer *w = g->job->writer;
  hb_type type = hb_merging_type(g, t);
  if (type == t->type)
    return hb_gguf_writer_add_tensor(w, t->name, type, t->dim_count, t->dims, error);
  const hb_weight *weight = hb_weight_named(g->model, t->name);
  return hb_own_types_add_matrix(own, w, t->name, type, weight->cols, weight->rows, error);
}

/* Those besides types. */
static uint32_t features_of(const hb_model *m) {
  uint32_t features = 0;
  if (m->activations != HB_ACTIVATIONS_BLOCK) features |= 1u << HB_FEATURE_ACTIVATIONS;
  for (uint32_t i = 0; i < m->weight_count; i++)
    if (m->weights[i].outliers.bytes > 0) features |= 1u << HB_FEATURE_OUTLIERS;
  return features;
}

static hb_status write_keys(const hb_merging *g, hb_own_types *own, hb_error *error) {
  hb_gguf_writer *w = g->job->writer;
  HB_TRY(hb_gguf_writer_copy(w, g->source->gguf, error));
  if (g->options->type) hb_gguf_writer_remove(w, "general.file_type");
  hb_gguf_writer_remove(w, "halfbyte.features");
  hb_gguf_writer_remove(w, "halfbyte.tensor_types");
  own->features = features_of(g->model);
  for (size_t i = 0; i < hb_gguf_tensor_count(g->source->gguf); i++)
    HB_TRY(declare(g, hb_gguf_tensor_at(g->source->gguf, i), own, error));
  return hb_own_types_set(own, w, hb_string_of(g->model->architecture->name), error);
}

static hb_status write_header(const hb_merging *g, hb_error *error) {
  hb_own_types own = {.allocator = g->options->allocator};
  hb_status status = write_keys(g, &own, error);
  hb_own_types_release(&own);
  return status == HB_OK ? hb_gguf_writer_begin(g->job->writer, error) : status;
}

static hb_status write_tensors(hb_merging *g, hb_error *error) {
  for (size_t i = 0; i < hb_gguf_tensor_count(g->source->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(g->source->gguf, i);
    g->job->tensor = t;
    HB_TRY(is_merged(g, t) ? hb_merging_write(g, i, error) : hb_job_copy(g->job, error));
    g->job->done += t->bytes;
  }
  return hb_gguf_writer_finish(g->job->writer, error);
}

/* ---- The whole ---- */

static hb_status run(hb_merging *g, const hb_sink *sink, hb_error *error) {
  const hb_merge_options *o = g->options;
  const hb_quantize_options options = {.allocator = o->allocator,
                                       .parallel = o->parallel,
                                       .context = o->context,
                                       .progress = o->progress};
  hb_plan plan = {.allocator = o->allocator};
  HB_TRY(describe(g, error));
  HB_TRY(open_adapters(g, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(g->source->gguf); i++)
    plan.bytes += hb_gguf_tensor_at(g->source->gguf, i)->bytes;
  g->job->options = &options;
  g->job->source = g->source;
  g->job->plan = &plan; /* for the progress alone */
  HB_TRY(hb_gguf_writer_create(o->allocator, sink, &g->job->writer, error));
  HB_TRY(write_header(g, error));
  return write_tensors(g, error);
}

static hb_status check_options(const hb_source *source, const hb_merge_options *o, hb_type *type,
                               hb_error *error) {
  if (!o->adapters || o->adapter_count == 0 || o->adapter_count > HB_MAX_ADAPTERS)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "1 to %u adapters can be merged",
                   (uint64_t)HB_MAX_ADAPTERS);
  for (size_t i = 0; i < o->adapter_count; i++)
    if (!o->adapters[i].bytes || !(o->adapters[i].scale >= -1e9 && o->adapters[i].scale <= 1e9))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "adapter %u has no bytes or an odd scale",
                     (uint64_t)i + 1);
  *type = HB_TYPE_F32;
  bool known = !o->type || hb_type_from_name(hb_string_of(o->type), type) == HB_OK;
  bool written =
      known && (hb_coder_of(*type) || hb_type_is_private(*type) || hb_traits(*type)->encode);
  if (!written)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "\"%s\" is no type that can be written",
                   o->type);
  HB_TRY(hb_check_parallel(o->parallel, error));
  return hb_gguf_check_complete(source->gguf, error);
}

hb_status hb_merge_adapters(const hb_source *source, const hb_merge_options *options,
                            const hb_sink *sink, hb_error *error) {
  hb_type type;
  HB_TRY(check_options(source, options, &type, error));
  hb_merging *g = hb_allocate_zero(options->allocator, sizeof *g);
  hb_tensor_job *job = hb_allocate_zero(options->allocator, sizeof *job);
  hb_status status = HB_MEMORY;
  if (g && job) {
    g->options = options;
    g->source = source;
    g->type = type;
    g->job = job;
    status = run(g, sink, error);
    hb_gguf_writer_destroy(job->writer);
    for (uint32_t i = 0; i < g->adapter_count; i++) hb_adapter_close(&g->adapters[i]);
    if (g->model) g->model->gguf = NULL;
    hb_model_destroy(g->model);
  } else {
    hb_fail(error, status, HB_NO_OFFSET, "no memory to merge");
  }
  hb_release(options->allocator, job, sizeof *job);
  hb_release(options->allocator, g, sizeof *g);
  return status;
}
