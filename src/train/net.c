#include "train/net.h"
#include "base/half.h"
#include "compress/describe.h"
#include "quant/quant.h"

static uint64_t filled_up(uint64_t count) {
  return (count + 15) / 16 * 16;
}

static hb_status place(hb_net *net, hb_error *error) {
  const hb_model *m = net->model;
  net->start = hb_allocate_zero(net->allocator, m->weight_count * sizeof *net->start);
  if (!net->start) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model");
  for (uint32_t i = 0; i < m->weight_count; i++) {
    net->start[i] = net->count;
    net->count += filled_up(hb_net_count(net, i));
  }
  net->values = hb_allocate_zero(net->allocator, net->count * sizeof *net->values);
  if (!net->values)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of weights",
                   net->count * sizeof *net->values);
  return HB_OK;
}

/* Rows whose blocks share bytes. */
static hb_status read_rows(const hb_weight *w, const hb_source *source, hb_type type,
                           uint8_t *piece, float *values, hb_error *error) {
  const hb_tensor *t = hb_gguf_tensor(source->gguf, w->name);
  const hb_type_traits *traits = hb_traits(type);
  uint64_t at = hb_gguf_shard_data_start(source->gguf, t->shard) + t->offset, bytes = 0;
  if (!hb_row_bytes(type, w->cols, &bytes) || bytes > HB_VALUES_PIECE)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s has rows of %u values: too many",
                   w->name, w->cols);
  for (uint64_t row = 0; row < w->rows; row++) {
    HB_TRY(source->read(source->context, t->shard, at + row * bytes, piece, (size_t)bytes, error));
    traits->decode(piece, values + row * w->cols, (size_t)(w->cols / traits->block_values));
  }
  return HB_OK;
}

static hb_status read_values(const hb_weight *w, const hb_source *source, uint8_t *piece,
                             float *values, hb_error *error) {
  const hb_tensor *t = hb_gguf_tensor(source->gguf, w->name);
  hb_type type = hb_weight_type(w, t);
  if (hb_traits(type)->shared_bytes > 0) return read_rows(w, source, type, piece, values, error);
  return hb_source_values(source, t, type, 0, hb_weight_values(w), piece, values, error);
}

/* What stands beside weights; its outliers become part of them. */
static hb_status read_beside(hb_net *net, const hb_source *source, hb_error *error) {
  for (size_t i = 0; i < hb_gguf_tensor_count(source->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(source->gguf, i);
    hb_beside beside = hb_beside_find(net->model, t->name);
    if (!beside.weight) continue;
    uint8_t *place = hb_beside_place(net->model, &beside);
    if (!place) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %S", t->name);
    uint64_t at = hb_gguf_shard_data_start(source->gguf, t->shard) + t->offset;
    HB_TRY(source->read(source->context, t->shard, at, place, (size_t)t->bytes, error));
    HB_TRY(hb_beside_finish(net->model, &beside, error));
    if (!beside.is_scale) hb_net_add_outliers(net, (uint32_t)(beside.weight - net->model->weights));
  }
  return HB_OK;
}

static hb_status read_all(hb_net *net, const hb_source *source, uint8_t *piece, hb_error *error) {
  for (uint32_t i = 0; i < net->model->weight_count; i++) {
    hb_weight *w = &net->model->weights[i];
    if (!w->present) continue;
    float *values = hb_net_values(net, i);
    HB_TRY(read_values(w, source, piece, values, error));
    if (hb_weight_is_vector(w))
      w->vector = values;
    else
      w->matrix.data = (uint8_t *)values;
  }
  return read_beside(net, source, error);
}

hb_status hb_net_load(hb_net *net, const hb_allocator *allocator, hb_isa isa,
                      const hb_source *source, hb_error *error) {
  net->allocator = allocator;
  HB_TRY(hb_describe(allocator, isa, source, true, &net->model, error));
  HB_TRY(place(net, error));
  uint8_t *piece = hb_allocate(allocator, HB_VALUES_PIECE);
  if (!piece) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model");
  hb_status status = read_all(net, source, piece, error);
  hb_release(allocator, piece, HB_VALUES_PIECE);
  HB_TRY(status);
  HB_TRY(hb_rope_prepare(net->model, error));
  net->model->loaded = true;
  return HB_OK;
}

void hb_net_end(hb_net *net) {
  if (!net->model) return;
  hb_release(net->allocator, net->values, net->count * sizeof *net->values);
  hb_release(net->allocator, net->start, net->model->weight_count * sizeof *net->start);
  hb_described_destroy(net->model);
  *net = (hb_net){0};
}

float *hb_net_values(const hb_net *net, uint32_t weight) {
  return net->values + net->start[weight];
}

uint64_t hb_net_count(const hb_net *net, uint32_t weight) {
  const hb_weight *w = &net->model->weights[weight];
  return w->present ? hb_weight_values(w) : 0;
}

/* ---- Outliers ---- */

void hb_outliers_add(const hb_weight *w, uint32_t row, float *values) {
  const hb_weight_outliers *o = &w->outliers;
  if (!o->data) return;
  for (uint32_t i = 0; i < o->column_count; i++) values[o->columns[i]] = 0; /* inputs skip them */
  for (uint32_t i = o->parts.start[row]; i < o->parts.start[row + 1]; i++)
    values[o->parts.column[i]] += hb_f32_of_f16(o->parts.value[i]);
}

void hb_net_add_outliers(const hb_net *net, uint32_t weight) {
  const hb_weight *w = &net->model->weights[weight];
  float *values = hb_net_values(net, weight);
  for (uint32_t row = 0; row < w->rows && w->outliers.data; row++)
    hb_outliers_add(w, row, values + row * w->cols);
}

void hb_net_skip_outliers(const hb_net *net, uint32_t weight, float *gradient) {
  const hb_weight *w = &net->model->weights[weight];
  for (uint32_t row = 0; row < w->rows && w->outliers.data; row++)
    for (uint32_t i = 0; i < w->outliers.column_count; i++)
      gradient[row * w->cols + w->outliers.columns[i]] = 0;
}
