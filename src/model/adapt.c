/* Adapters of a loaded model: their weights stand behind its own, and the program multiplies by
 * them, too. */
#include "model/adapter.h"
#include "model/model.h"

/* An adapter on its way into a model. */
typedef struct addition {
  hb_model *model;
  const hb_adapter *adapter;
  double scale;
  uint64_t pairs, bytes;
  hb_weight *weights; /* those of the model, and behind them the new ones */
  uint8_t *block;
} addition;

/* ---- Which matrices ---- */

static hb_status find_target(const hb_model *m, const hb_adapter_pair *pair, hb_weight **out,
                             hb_error *error) {
  hb_weight *w = hb_weight_named(m, pair->matrix);
  if (!w || !w->present || hb_weight_table[w->kind].rows == HB_DIM_ONE)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %S of the adapter belongs to no matrix of the model", pair->a->name);
  if (!hb_weight_table[w->kind].per_layer)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "the adapter changes %s, which is not in a layer: it can only be merged",
                   w->name);
  *out = w;
  return hb_adapter_check_fit(pair, w->cols, w->rows, error);
}

/* Bytes of F32 that a tensor of a pair takes, filled up so that another can follow. */
static uint64_t room_for(const hb_tensor *t) {
  uint64_t bytes = t->dims[0] * t->dims[1] * sizeof(float); /* a file has at least half of them */
  hb_align_u64(bytes, HB_ALIGNMENT, &bytes);
  return bytes;
}

static hb_status measure(addition *n, hb_error *error) {
  hb_adapter_pair pair;
  hb_weight *target;
  for (size_t i = 0; i < hb_gguf_tensor_count(n->adapter->gguf); i++) {
    if (!hb_adapter_pair_at(n->adapter, i, &pair)) continue;
    HB_TRY(find_target(n->model, &pair, &target, error));
    n->bytes += room_for(pair.a) + room_for(pair.b);
    n->pairs++;
  }
  return HB_OK;
}

/* ---- Weights ---- */

static uint64_t weights_bytes(uint64_t count) {
  return count * sizeof(hb_weight);
}

static hb_status add_weight(addition *n, uint32_t index, hb_weight_kind kind, const hb_weight *of,
                            const hb_tensor *t, double factor, uint8_t *data, hb_error *error) {
  hb_weight *w = &n->weights[index];
  *w = (hb_weight){.kind = kind,
                   .layer = of->layer,
                   .present = true,
                   .cols = t->dims[0],
                   .rows = t->dims[1],
                   .file_bytes = t->bytes,
                   .matrix = {.type = HB_TYPE_F32,
                              .rows = (uint32_t)t->dims[1],
                              .cols = (uint32_t)t->dims[0],
                              .bytes = t->dims[0] * t->dims[1] * sizeof(float),
                              .data = data}};
  hb_format(w->name, sizeof w->name, "%s%s", of->name, hb_weight_table[kind].name);
  return hb_adapter_values(n->adapter, t, factor, (float *)(void *)data, error);
}

/* Behind the adapters that the matrix has. */
static void link(addition *n, uint32_t target, uint32_t a) {
  uint32_t at = target;
  while (n->weights[at].adapter != 0) at = n->weights[at].adapter;
  n->weights[at].adapter = a;
}

static hb_status add_weights(addition *n, hb_error *error) {
  const hb_model *m = n->model;
  uint32_t index = m->weight_count;
  uint8_t *data = n->block;
  hb_adapter_pair pair;
  hb_weight *target;
  for (size_t i = 0; i < hb_gguf_tensor_count(n->adapter->gguf); i++) {
    if (!hb_adapter_pair_at(n->adapter, i, &pair)) continue;
    HB_TRY(find_target(m, &pair, &target, error));
    double factor = hb_adapter_factor(n->adapter, &pair, n->scale);
    HB_TRY(add_weight(n, index, HB_WEIGHT_LORA_A, target, pair.a, 1, data, error));
    data += room_for(pair.a);
    HB_TRY(add_weight(n, index + 1, HB_WEIGHT_LORA_B, target, pair.b, factor, data, error));
    data += room_for(pair.b);
    link(n, (uint32_t)(target - m->weights), index);
    index += 2;
  }
  n->weights[m->weight_count].block_bytes = n->bytes;
  return HB_OK;
}

/* ---- The model ---- */

/* Gives the model another list of weights and the program that follows from it. It fails only if
 * that is longer than any that it had. */
static hb_status exchange(hb_model *m, hb_weight *weights, uint32_t count, hb_error *error) {
  m->weights = weights;
  m->weight_count = count;
  return hb_model_compile(m, error);
}

static hb_status take_over(addition *n, hb_error *error) {
  hb_model *m = n->model;
  hb_weight *before = m->weights;
  uint32_t count = m->weight_count;
  hb_status status = exchange(m, n->weights, count + 2 * (uint32_t)n->pairs, error);
  if (status != HB_OK) {
    exchange(m, before, count, NULL);
    return status;
  }
  hb_release(m->allocator, before, weights_bytes(m->weight_capacity));
  m->weight_capacity = m->weight_count;
  m->adapter_count++;
  m->adaptations++;
  return HB_OK;
}

static hb_status add(addition *n, hb_error *error) {
  hb_model *m = n->model;
  HB_TRY(measure(n, error));
  if (n->scale == 0) return HB_OK;
  uint64_t count = m->weight_count + 2 * n->pairs;
  n->weights = hb_allocate(m->allocator, weights_bytes(count));
  n->block = hb_allocate(m->allocator, n->bytes);
  hb_status status = HB_OK;
  if (!n->weights || !n->block)
    status =
        hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of an adapter", n->bytes);
  if (status == HB_OK) memcpy(n->weights, m->weights, (size_t)weights_bytes(m->weight_count));
  if (status == HB_OK) status = add_weights(n, error);
  if (status == HB_OK) status = take_over(n, error);
  if (status == HB_OK) return HB_OK;
  hb_release(m->allocator, n->weights, weights_bytes(count));
  hb_release(m->allocator, n->block, n->bytes);
  return status;
}

void hb_model_unadapt(hb_model *m) {
  if (!m || m->adapter_count == 0) return;
  for (uint32_t i = m->own_weights; i < m->weight_count; i++) hb_weight_release(m, &m->weights[i]);
  for (uint32_t i = 0; i < m->own_weights; i++) m->weights[i].adapter = 0;
  exchange(m, m->weights, m->own_weights, NULL);
  m->adapter_count = 0;
  m->adaptations++;
}

hb_status hb_model_adapt(hb_model *m, const void *bytes, size_t size, double scale,
                         hb_error *error) {
  if (!m || !bytes || m->op_count == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "an adapter needs a whole model and the bytes of its file");
  if (!(scale >= -1e9 && scale <= 1e9))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the adapter's scale is out of its range");
  if (m->adapter_count == HB_MAX_ADAPTERS)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a model can have %u adapters at most",
                   (uint64_t)HB_MAX_ADAPTERS);
  hb_adapter adapter;
  HB_TRY(hb_adapter_open(m->allocator, bytes, size, hb_string_of(m->architecture->name), &adapter,
                         error));
  hb_status status = add(&(addition){.model = m, .adapter = &adapter, .scale = scale}, error);
  hb_adapter_close(&adapter);
  return status;
}
