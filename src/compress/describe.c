#include "compress/describe.h"
#include "quant/quant.h"

bool hb_weight_is_vector(const hb_weight *weight) {
  return hb_weight_table[weight->kind].rows == HB_DIM_ONE;
}

uint64_t hb_weight_values(const hb_weight *weight) {
  return weight->cols * weight->rows;
}

hb_type hb_weight_type(const hb_weight *weight, const hb_tensor *tensor) {
  return weight->private_type != HB_TYPE_F32 ? weight->private_type : tensor->type;
}

hb_status hb_source_values(const hb_source *source, const hb_tensor *t, hb_type type, uint64_t from,
                           uint64_t count, uint8_t *piece, float *out, hb_error *error) {
  const hb_type_traits *traits = hb_traits(type);
  uint64_t at = hb_gguf_shard_data_start(source->gguf, t->shard) + t->offset +
                from / traits->block_values * traits->block_bytes;
  uint64_t blocks = count / traits->block_values;
  size_t most = HB_VALUES_PIECE / traits->block_bytes;
  while (blocks > 0) {
    size_t now = blocks < most ? (size_t)blocks : most;
    HB_TRY(source->read(source->context, t->shard, at, piece, now * traits->block_bytes, error));
    traits->decode(piece, out, now);
    at += now * traits->block_bytes;
    out += now * traits->block_values;
    blocks -= now;
  }
  return HB_OK;
}

static hb_status bind(hb_model *m, hb_error *error) {
  for (size_t i = 0; i < hb_gguf_tensor_count(m->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(m->gguf, i);
    hb_weight *weight = hb_weight_named(m, t->name);
    if (weight) HB_TRY(hb_weight_bind(weight, t, error));
    hb_beside beside = hb_beside_find(m, t->name);
    if (beside.weight) HB_TRY(hb_beside_bind(&beside, t, error));
    if (!weight) continue;
    weight->matrix.type = HB_TYPE_F32;
    weight->matrix.bytes = hb_weight_values(weight) * sizeof(float);
  }
  HB_TRY(hb_weights_check(m, error));
  return hb_model_compile(m, error);
}

static hb_status describe(hb_model *m, hb_isa isa, const hb_source *source, bool own_formats,
                          hb_error *error) {
  m->kernels = hb_kernels_for(isa);
  m->gguf = (hb_gguf *)source->gguf; /* lent; given back before the model ends */
  if (!m->kernels)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "this build or machine has no %s kernels",
                   hb_isa_name(isa));
  HB_TRY(hb_model_begin(m, error));
  if (m->has_private && !own_formats)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "a model with formats of halfbyte's own cannot be changed once more");
  return bind(m, error);
}

hb_status hb_describe(const hb_allocator *allocator, hb_isa isa, const hb_source *source,
                      bool own_formats, hb_model **out, hb_error *error) {
  hb_model *m = hb_allocate_zero(allocator, sizeof *m);
  *out = NULL;
  if (!m) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model");
  m->allocator = allocator;
  hb_status status = describe(m, isa, source, own_formats, error);
  if (status == HB_OK)
    *out = m;
  else
    hb_described_destroy(m);
  return status;
}

void hb_described_destroy(hb_model *m) {
  if (!m) return;
  m->gguf = NULL;
  hb_model_destroy(m);
}
