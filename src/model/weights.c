/* Which weights a model has, and where they are. */
#include "model/model.h"
#include "quant/quant.h"

static uint32_t kinds_in_layers(const hb_architecture *a, bool per_layer) {
  uint32_t count = 0;
  for (uint32_t kind = 0; kind < HB_WEIGHT_KINDS; kind++)
    count +=
        hb_weight_table[kind].per_layer == per_layer && ((a->needs | a->allows) >> kind & 1) != 0;
  return count;
}

static void list_kind(hb_model *model, uint32_t kind, uint32_t layer) {
  const hb_weight_traits *traits = &hb_weight_table[kind];
  hb_weight *w = &model->weights[model->weight_count++];
  *w = (hb_weight){
      .kind = (hb_weight_kind)kind,
      .layer = layer,
      .required = (model->architecture->needs >> kind & 1) != 0,
      .cols = hb_dim_size(&model->h, traits->cols),
      .rows = hb_dim_size(&model->h, traits->rows),
  };
  if (traits->per_layer)
    hb_format(w->name, sizeof w->name, "blk.%u.%s", (uint64_t)layer, traits->name);
  else
    hb_format(w->name, sizeof w->name, "%s", traits->name);
}

static void list_kinds(hb_model *model, bool per_layer, uint32_t layer) {
  uint64_t kinds = model->architecture->needs | model->architecture->allows;
  for (uint32_t kind = 0; kind < HB_WEIGHT_KINDS; kind++)
    if ((kinds >> kind & 1) && hb_weight_table[kind].per_layer == per_layer)
      list_kind(model, kind, layer);
}

static uint32_t hash_slot(const hb_model *model, hb_string name) {
  uint32_t mask = model->weight_index_size - 1;
  uint32_t slot = (uint32_t)hb_hash(name.data, name.length) & mask;
  while (model->weight_index[slot] != 0) {
    const hb_weight *w = &model->weights[model->weight_index[slot] - 1];
    if (hb_string_equal(hb_string_of(w->name), name)) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

hb_status hb_weights_list(hb_model *model, hb_error *error) {
  const hb_architecture *a = model->architecture;
  uint32_t count = kinds_in_layers(a, false) + kinds_in_layers(a, true) * model->h.layers;
  model->weight_index_size = 16;
  while (model->weight_index_size < 2 * count) model->weight_index_size *= 2;
  model->weights = hb_allocate_zero(model->allocator, (uint64_t)count * sizeof(hb_weight));
  model->weight_index = hb_allocate_zero(model->allocator, (uint64_t)model->weight_index_size * 4);
  if (!model->weights || !model->weight_index) {
    hb_release(model->allocator, model->weights, (uint64_t)count * sizeof(hb_weight));
    model->weights = NULL;
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a list of %u weights",
                   (uint64_t)count);
  }
  list_kinds(model, false, 0);
  for (uint32_t layer = 0; layer < model->h.layers; layer++) list_kinds(model, true, layer);
  model->own_weights = model->weight_capacity = model->weight_count;
  for (uint32_t i = 0; i < model->weight_count; i++)
    model->weight_index[hash_slot(model, hb_string_of(model->weights[i].name))] = i + 1;
  return HB_OK;
}

hb_weight *hb_weight_named(const hb_model *model, hb_string name) {
  uint32_t entry = model->weight_index[hash_slot(model, name)];
  return entry ? &model->weights[entry - 1] : NULL;
}

uint32_t hb_weight_find(const hb_model *model, hb_weight_kind kind, uint32_t layer) {
  char name[48];
  if (hb_weight_table[kind].per_layer)
    hb_format(name, sizeof name, "blk.%u.%s", (uint64_t)layer, hb_weight_table[kind].name);
  else
    hb_format(name, sizeof name, "%s", hb_weight_table[kind].name);
  const hb_weight *w = hb_weight_named(model, hb_string_of(name));
  return w && w->present && w->kind == kind ? (uint32_t)(w - model->weights) : HB_NONE;
}

/* The type of the tensor's values. Of a type of halfbyte's own, its bytes as I8 are dims[0]. */
static hb_status type_of_tensor(const hb_weight *w, const hb_tensor *tensor, hb_tensor *as,
                                hb_error *error) {
  *as = *tensor;
  if (w->private_type == HB_TYPE_F32) return HB_OK;
  uint64_t row_bytes;
  if (tensor->type != HB_TYPE_I8 || !hb_row_bytes(w->private_type, w->cols, &row_bytes) ||
      tensor->dims[0] != row_bytes)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %s has rows of %u %s, which hold no %u values of %s", w->name,
                   tensor->dims[0], hb_type_name(tensor->type), w->cols,
                   hb_type_name(w->private_type));
  as->type = w->private_type;
  as->dims[0] = w->cols;
  return HB_OK;
}

hb_status hb_weight_bind(hb_weight *w, const hb_tensor *stored, hb_error *error) {
  hb_tensor as, *tensor = &as;
  HB_TRY(type_of_tensor(w, stored, tensor, error));
  const hb_type_traits *traits = hb_traits(tensor->type);
  if (!traits || !traits->supported)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %s has the unsupported type %s",
                   w->name, traits ? traits->name : "?");
  if (tensor->dims[0] != w->cols || tensor->dims[1] != w->rows || tensor->dims[2] != 1 ||
      tensor->dims[3] != 1)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %s has the shape %u x %u x %u x %u, not %u x %u", w->name,
                   tensor->dims[0], tensor->dims[1], tensor->dims[2], tensor->dims[3], w->cols,
                   w->rows);
  bool vector = hb_weight_table[w->kind].rows == HB_DIM_ONE;
  if (vector && traits->block_values != 1)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "vector %s has the block type %s", w->name,
                   traits->name);
  w->matrix =
      (hb_matrix){.type = tensor->type, .rows = (uint32_t)w->rows, .cols = (uint32_t)w->cols};
  if (vector)
    w->matrix.bytes = w->cols * sizeof(float);
  else if (!hb_packed_size(tensor->type, w->rows, w->cols, &w->matrix.bytes))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %s of type %s has no kernel",
                   w->name, traits->name);
  w->file_bytes = tensor->bytes;
  w->present = true;
  return HB_OK;
}

hb_status hb_weights_check(const hb_model *model, hb_error *error) {
  for (uint32_t i = 0; i < model->weight_count; i++)
    if (model->weights[i].required && !model->weights[i].present)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %s is missing", model->weights[i].name);
  return HB_OK;
}

bool hb_weights_bytes(const hb_model *model, uint64_t *bytes) {
  *bytes = 0;
  for (uint32_t i = 0; i < model->weight_count; i++)
    if (model->weights[i].present && (!hb_add_u64(*bytes, model->weights[i].matrix.bytes, bytes) ||
                                      !hb_add_u64(*bytes, model->weights[i].outliers.bytes, bytes)))
      return false;
  return true;
}

/* Blocks of weights are some of the largest pages that systems have, so that these pay; and no
 * larger than a system gives easily. A larger weight has its own. */
#define BLOCK_BYTES ((uint64_t)64 << 20)

/* The weight of a tensor, or NULL if the model has no use for it. */
static hb_weight *weight_of(const hb_model *model, size_t index) {
  return hb_weight_named(model, hb_gguf_tensor_at(model->gguf, index)->name);
}

static void place(hb_weight *w, uint8_t *data) {
  if (hb_weight_table[w->kind].rows == HB_DIM_ONE)
    w->vector = (float *)(void *)data;
  else
    w->matrix.data = data;
}

void hb_weight_release(const hb_model *m, hb_weight *w) {
  hb_beside_release(m, w);
  if (w->block_bytes == 0) return;
  hb_release(m->allocator, w->vector ? (void *)w->vector : w->matrix.data, w->block_bytes);
}

hb_status hb_weight_allocate(const hb_model *model, size_t index, hb_error *error) {
  hb_weight *first = weight_of(model, index);
  uint64_t bytes = first->matrix.bytes, at = 0;
  size_t end = index + 1, count = hb_gguf_tensor_count(model->gguf);
  for (; end < count; end++) {
    const hb_weight *w = weight_of(model, end);
    if (!w) continue;
    uint64_t next;
    if (!hb_align_u64(bytes, HB_ALIGNMENT, &next) || !hb_add_u64(next, w->matrix.bytes, &next) ||
        next > BLOCK_BYTES)
      break;
    bytes = next;
  }
  uint8_t *block = hb_allocate(model->allocator, bytes);
  if (!block)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                   "no memory for %u bytes of weights from tensor %s on", bytes, first->name);
  for (size_t i = index; i < end; i++) {
    hb_weight *w = weight_of(model, i);
    if (!w) continue;
    place(w, block + at);
    hb_align_u64(at + w->matrix.bytes, HB_ALIGNMENT, &at);
  }
  first->block_bytes = bytes;
  return HB_OK;
}
