/* The beginning of a model, what is known of it, and its end. */
#include "model/model.h"

hb_status hb_model_begin(hb_model *m, hb_error *error) {
  const hb_value *name = hb_gguf_value(m->gguf, "general.architecture");
  hb_string architecture;
  if (!name) return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key general.architecture is missing");
  HB_TRY(hb_value_string(name, &architecture, error));
  hb_string stock = hb_stock_architecture(architecture);
  m->has_private = stock.length != architecture.length;
  m->architecture = hb_architecture_find(stock);
  if (!m->architecture)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "unknown architecture \"%S\"",
                   architecture);
  HB_TRY(hb_hyperparameters_read(m->gguf, m->architecture, &m->h, error));
  HB_TRY(hb_tokenizer_create(m->gguf, m->allocator, &m->tokenizer, error));
  HB_TRY(hb_weights_list(m, error));
  return hb_private_begin(m, error);
}

void hb_model_destroy(hb_model *m) {
  if (!m) return;
  for (uint32_t i = 0; i < m->weight_count; i++) hb_weight_release(m, &m->weights[i]);
  for (uint32_t i = 0; i < HB_ROPE_TABLES; i++)
    hb_release(m->allocator, m->rope[i].frequency, (uint64_t)m->h.rope_dims / 2 * sizeof(double));
  hb_release(m->allocator, m->weights, (uint64_t)m->weight_capacity * sizeof *m->weights);
  hb_release(m->allocator, m->weight_index, (uint64_t)m->weight_index_size * 4);
  hb_release(m->allocator, m->program, (uint64_t)m->op_capacity * sizeof *m->program);
  hb_tokenizer_destroy(m->tokenizer);
  hb_gguf_destroy(m->gguf);
  hb_release(m->allocator, m, sizeof *m);
}

/* Values that a tensor stands for; what stands beside a weight adds none. */
static uint64_t values_of(const hb_model *m, const hb_tensor *t) {
  const hb_weight *w = hb_weight_named(m, t->name);
  if (w && w->private_type != HB_TYPE_F32) return w->cols * w->rows;
  if (hb_beside_find(m, t->name).weight) return 0;
  return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

hb_type hb_model_tensor_type(const hb_model *m, const hb_tensor *t) {
  const hb_weight *w = hb_weight_named(m, t->name);
  return w && w->private_type != HB_TYPE_F32 ? w->private_type : t->type;
}

void hb_model_get_info(const hb_model *m, hb_model_info *out) {
  const hb_hyperparameters *h = &m->h;
  *out = (hb_model_info){
      .architecture = hb_string_of(m->architecture->name),
      .layers = h->layers,
      .width = h->width,
      .heads = h->heads,
      .kv_heads = h->kv_heads,
      .head_size = h->head_size,
      .feed_forward = h->feed_forward,
      .vocabulary = h->vocabulary,
      .context_length = h->context_length,
      .isa = m->kernels->isa,
  };
  const hb_value *name = hb_gguf_value(m->gguf, "general.name");
  if (name) hb_value_string(name, &out->name, NULL);
  for (size_t i = 0; i < hb_gguf_tensor_count(m->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(m->gguf, i);
    out->parameters += values_of(m, t);
    out->file_bytes += t->bytes;
  }
  hb_weights_bytes(m, &out->weight_bytes);
}

const hb_gguf *hb_model_gguf(const hb_model *m) {
  return m->gguf;
}

const hb_tokenizer *hb_model_tokenizer(const hb_model *m) {
  return m->tokenizer;
}

/* ---- The program in words ---- */

static const char *const op_names[] = {
#define HB_OP_NAME(kind, division) #kind,
    HB_OP_LIST(HB_OP_NAME)
#undef HB_OP_NAME
};

static const char *const buffer_names[] = {
#define HB_BUFFER_NAME(name, text) text,
    HB_BUFFER_LIST(HB_BUFFER_NAME)
#undef HB_BUFFER_NAME
};

size_t hb_model_operation(const hb_model *m, size_t index, char *out, size_t capacity) {
  if (index >= m->op_count) return 0;
  const hb_op *op = &m->program[index];
  const char *weight = op->weight == HB_NONE ? "" : m->weights[op->weight].name;
  const char *bias = op->bias == HB_NONE ? "" : m->weights[op->bias].name;
  return hb_format(out, capacity, "%s %s[%u+%u] -> %s[%u+%u]%s%s%s%s%s", op_names[op->kind],
                   buffer_names[op->in.buffer], (uint64_t)op->in.column, (uint64_t)op->in.width,
                   buffer_names[op->out.buffer], (uint64_t)op->out.column, (uint64_t)op->out.width,
                   *weight ? "  " : "", weight, *bias ? " + " : "", bias,
                   op->barrier ? "  (after all)" : "");
}
