/* Makes LoRA adapters for models held in memory, for tests. */
#ifndef HB_TEST_ADAPTERS_H
#define HB_TEST_ADAPTERS_H

#include "gguf_builder.h"
#include "gguf_files.h"
#include "random_blocks.h"

#include <math.h>

typedef struct adapter_shape {
  uint32_t rank;
  float alpha;      /* 0: the key is left out */
  hb_type type;     /* F32, F16, BF16 */
  const char *only; /* NULL, or the end of the names of matrices that get a pair */
  uint64_t seed;    /* of the values */
  float size;       /* of a value of B A, about; 0: 0.1 */
} adapter_shape;

static inline bool is_adapted(const adapter_shape *s, const hb_tensor *t) {
  size_t length = s->only ? strlen(s->only) : 0;
  return t->dim_count == 2 && memcmp(t->name.data, "blk.", 4) == 0 && t->name.length > length &&
         memcmp(t->name.data + t->name.length - length, s->only ? s->only : "", length) == 0;
}

/* The next value of A or B, as the type has it. */
static inline float put_adapter_value(buffer *b, hb_type type, float x) {
  if (type == HB_TYPE_F32) {
    put(b, &x, 4);
    return x;
  }
  uint16_t half = type == HB_TYPE_F16 ? hb_f16_of_f32(x) : hb_bf16_of_f32(x);
  put_u16(b, half);
  return type == HB_TYPE_F16 ? hb_f32_of_f16(half) : hb_f32_of_bf16(half);
}

static inline uint64_t adapter_bytes(const adapter_shape *s, uint64_t count) {
  return (count * s->rank * (s->type == HB_TYPE_F32 ? 4 : 2) + 31) / 32 * 32;
}

static inline void put_adapter_header(buffer *b, const gguf_file *model, const adapter_shape *s) {
  char name[80];
  uint64_t pairs = 0, offset = 0;
  hb_string architecture;
  const size_t count = hb_gguf_tensor_count(model->gguf);
  for (size_t i = 0; i < count; i++) pairs += is_adapted(s, hb_gguf_tensor_at(model->gguf, i));
  assert_int_equal(
      hb_value_string(hb_gguf_value(model->gguf, "general.architecture"), &architecture, NULL),
      HB_OK);
  snprintf(name, sizeof name, "%.*s", (int)architecture.length, architecture.data);
  put_header(b, 2 * pairs, s->alpha != 0 ? 4 : 3);
  put_key_string(b, "general.type", "adapter");
  put_key_string(b, "adapter.type", "lora");
  put_key_string(b, "general.architecture", name);
  if (s->alpha != 0) put_key_f32(b, "adapter.lora.alpha", s->alpha);
  for (size_t i = 0; i < count; i++) {
    const hb_tensor *t = hb_gguf_tensor_at(model->gguf, i);
    if (!is_adapted(s, t)) continue;
    snprintf(name, sizeof name, "%.*s.lora_a", (int)t->name.length, t->name.data);
    put_tensor(b, name, t->dims[0], s->rank, s->type, offset);
    offset += adapter_bytes(s, t->dims[0]);
    name[strlen(name) - 1] = 'b';
    put_tensor(b, name, s->rank, t->dims[1], s->type, offset);
    offset += adapter_bytes(s, t->dims[1]);
  }
  put_padding(b, 32);
}

/* The file of an adapter with random values. If `merged` is given, a copy of the model, in F32,
 * they are added to it, with the scale. */
static inline buffer adapter_for(const gguf_file *model, const adapter_shape *s,
                                 const gguf_file *merged, double scale) {
  buffer b = {0};
  uint64_t seed = s->seed;
  double factor = s->alpha != 0 ? scale * (double)s->alpha / s->rank : scale;
  put_adapter_header(&b, model, s);
  for (size_t i = 0; i < hb_gguf_tensor_count(model->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(model->gguf, i);
    if (!is_adapted(s, t)) continue;
    size_t cols = (size_t)t->dims[0], rows = (size_t)t->dims[1];
    float *values = malloc((cols + rows) * s->rank * sizeof *values),
          *low = values + cols * s->rank;
    assert_non_null(values);
    float size = sqrtf((s->size != 0 ? s->size : 0.1f) / sqrtf((float)s->rank));
    for (size_t k = 0; k < cols * s->rank; k++)
      values[k] = put_adapter_value(&b, s->type, size * random_unit(&seed));
    put_padding(&b, 32);
    for (size_t k = 0; k < rows * s->rank; k++)
      low[k] = put_adapter_value(&b, s->type, size * random_unit(&seed));
    put_padding(&b, 32);
    for (size_t row = 0; merged && row < rows; row++)
      for (size_t col = 0; col < cols; col++) {
        double sum = 0;
        float w;
        uint8_t *at = merged->bytes + hb_gguf_data_start(merged->gguf) + t->offset +
                      (row * cols + col) * sizeof w;
        for (size_t r = 0; r < s->rank; r++)
          sum += (double)low[row * s->rank + r] * (double)values[r * cols + col];
        memcpy(&w, at, sizeof w);
        w = (float)((double)w + factor * sum);
        memcpy(at, &w, sizeof w);
      }
    free(values);
  }
  return b;
}

#endif
