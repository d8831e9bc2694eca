#include "train/net.h"
#include "compress/describe.h"

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

static hb_status read_all(hb_net *net, const hb_source *source, uint8_t *piece, hb_error *error) {
  for (uint32_t i = 0; i < net->model->weight_count; i++) {
    hb_weight *w = &net->model->weights[i];
    if (!w->present) continue;
    float *values = hb_net_values(net, i);
    const hb_tensor *t = hb_gguf_tensor(source->gguf, w->name);
    HB_TRY(hb_source_values(source, t, hb_weight_type(w, t), 0, hb_weight_values(w), piece, values,
                            error));
    if (hb_weight_is_vector(w))
      w->vector = values;
    else
      w->matrix.data = (uint8_t *)values;
  }
  return HB_OK;
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
