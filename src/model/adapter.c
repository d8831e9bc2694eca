#include "model/adapter.h"
#include "base/half.h"

#define A_SUFFIX ".lora_a"
#define B_SUFFIX ".lora_b"

enum { SUFFIX_LENGTH = sizeof A_SUFFIX - 1, MAX_NAME = 64 };

/* ---- Keys ---- */

static hb_status need_text(const hb_gguf *gguf, const char *key, hb_string wanted,
                           hb_error *error) {
  const hb_value *v = hb_gguf_value(gguf, key);
  hb_string text;
  if (!v)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the file is no LoRA adapter: it has no key %s",
                   key);
  HB_TRY(hb_value_string(v, &text, error));
  if (hb_string_equal(text, wanted)) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the adapter's %s is \"%S\" instead of \"%S\"", key,
                 text, wanted);
}

static hb_status read_keys(hb_adapter *a, hb_string architecture, hb_error *error) {
  HB_TRY(need_text(a->gguf, "general.type", hb_string_of("adapter"), error));
  HB_TRY(need_text(a->gguf, "adapter.type", hb_string_of("lora"), error));
  HB_TRY(need_text(a->gguf, "general.architecture", architecture, error));
  if (hb_gguf_value(a->gguf, "adapter.alora.invocation_tokens"))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "the adapter begins to work at certain tokens (aLoRA), which is not supported");
  const hb_value *alpha = hb_gguf_value(a->gguf, "adapter.lora.alpha");
  if (alpha) HB_TRY(hb_value_f64(alpha, 0, &a->alpha, error));
  if (a->alpha >= -1e9 && a->alpha <= 1e9) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "adapter.lora.alpha is out of its range");
}

/* ---- Pairs ---- */

static bool ends_with(hb_string name, const char *suffix) {
  return name.length > SUFFIX_LENGTH &&
         memcmp(name.data + name.length - SUFFIX_LENGTH, suffix, SUFFIX_LENGTH) == 0;
}

/* The other half of the pair of a tensor with either suffix, or NULL. */
static const hb_tensor *partner(const hb_adapter *a, const hb_tensor *t) {
  char name[MAX_NAME + SUFFIX_LENGTH + 1];
  size_t length = t->name.length;
  if (length >= sizeof name) return NULL;
  memcpy(name, t->name.data, length);
  name[length] = 0;
  name[length - 1] = name[length - 1] == 'a' ? 'b' : 'a';
  return hb_gguf_tensor(a->gguf, name);
}

static hb_status check_tensor(const hb_adapter *a, const hb_tensor *t, hb_error *error) {
  bool is_a = ends_with(t->name, A_SUFFIX);
  if (!is_a && !ends_with(t->name, B_SUFFIX))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S of the adapter is neither lora_a nor lora_b of a matrix", t->name);
  if (t->type != HB_TYPE_F32 && t->type != HB_TYPE_F16 && t->type != HB_TYPE_BF16)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S of the adapter has the type %s; it can be F32, F16 or BF16", t->name,
                   hb_type_name(t->type));
  const hb_tensor *other = partner(a, t);
  if (!other)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %S of the adapter lacks its %s", t->name,
                   is_a ? "lora_b" : "lora_a");
  uint64_t rank = t->dims[is_a ? 1 : 0];
  if (t->dims[2] != 1 || t->dims[3] != 1 || rank > HB_MAX_RANK || rank != other->dims[is_a ? 0 : 1])
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %S of the adapter, %u x %u, and its %s, %u x %u, have no rank in common "
                   "that is at most %u",
                   t->name, t->dims[0], t->dims[1], is_a ? "lora_b" : "lora_a", other->dims[0],
                   other->dims[1], (uint64_t)HB_MAX_RANK);
  return HB_OK;
}

bool hb_adapter_pair_at(const hb_adapter *a, size_t index, hb_adapter_pair *out) {
  const hb_tensor *t = hb_gguf_tensor_at(a->gguf, index);
  if (!ends_with(t->name, A_SUFFIX)) return false;
  *out = (hb_adapter_pair){.matrix = {t->name.data, t->name.length - SUFFIX_LENGTH},
                           .a = t,
                           .b = partner(a, t),
                           .rank = t->dims[1]};
  return true;
}

hb_status hb_adapter_check_fit(const hb_adapter_pair *p, uint64_t cols, uint64_t rows,
                               hb_error *error) {
  if (p->a->dims[0] == cols && p->b->dims[1] == rows) return HB_OK;
  return hb_fail(
      error, HB_MODEL, HB_NO_OFFSET,
      "the adapter's pair for %S is made for a matrix of %u x %u, the model's is %u x %u",
      p->matrix, p->a->dims[0], p->b->dims[1], cols, rows);
}

double hb_adapter_factor(const hb_adapter *a, const hb_adapter_pair *p, double scale) {
  return a->alpha != 0 ? scale * a->alpha / (double)p->rank : scale;
}

/* ---- The file ---- */

static hb_status read_header(hb_adapter *a, const uint8_t *bytes, size_t size, hb_error *error) {
  size_t used;
  bool done;
  HB_TRY(hb_gguf_begin_shard(a->gguf, size, error));
  HB_TRY(hb_gguf_feed(a->gguf, bytes, size, &used, &done, error));
  if (!done) return hb_fail(error, HB_TRUNCATED, size, "the adapter's file ends inside its header");
  if (hb_gguf_shard_count(a->gguf) != 1)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "the adapter is split into %u files",
                   (uint64_t)hb_gguf_shard_count(a->gguf));
  a->data = bytes + used;
  return HB_OK;
}

static hb_status check(hb_adapter *a, hb_string architecture, hb_error *error) {
  size_t count = hb_gguf_tensor_count(a->gguf);
  HB_TRY(read_keys(a, architecture, error));
  if (count == 0) return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the adapter has no tensors");
  for (size_t i = 0; i < count; i++) HB_TRY(check_tensor(a, hb_gguf_tensor_at(a->gguf, i), error));
  return HB_OK;
}

hb_status hb_adapter_open(const hb_allocator *allocator, const void *bytes, size_t size,
                          hb_string architecture, hb_adapter *out, hb_error *error) {
  *out = (hb_adapter){0};
  HB_TRY(hb_gguf_create(allocator, &out->gguf, error));
  hb_status status = read_header(out, bytes, size, error);
  if (status == HB_OK) status = check(out, architecture, error);
  if (status != HB_OK) hb_adapter_close(out);
  return status;
}

void hb_adapter_close(hb_adapter *a) {
  hb_gguf_destroy(a->gguf);
  a->gguf = NULL;
}

hb_status hb_adapter_values(const hb_adapter *a, const hb_tensor *t, double factor, float *out,
                            hb_error *error) {
  uint64_t count = t->dims[0] * t->dims[1];
  hb_traits(t->type)->decode(a->data + t->offset, out, (size_t)count);
  for (uint64_t i = 0; i < count; i++) {
    out[i] = (float)(factor * (double)out[i]);
    if ((hb_bits_of_f32(out[i]) & 0x7f800000u) == 0x7f800000u)
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                     "value %u of tensor %S of the adapter is no finite number%s", i, t->name,
                     factor != 1 ? " when it is scaled" : "");
  }
  return HB_OK;
}
