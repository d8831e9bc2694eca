#include "measure/synthetic.h"
#include "gguf/own_types.h"
#include "kernel/kernel.h"
#include "measure/random.h"

/* The weights of a tensor are runs of values, drawn from a bank. A run is as long as the longest
 * block, or shorter where rows do not divide into such; of types of halfbyte's own it is a row. */
enum {
  BANK_RUNS = 256,
  MOST_RUN_VALUES = 256,
  BANK_BYTES = BANK_RUNS * MOST_RUN_VALUES * 4, /* F32 needs most */
  ALIGNMENT = 32
};

typedef struct tensor {
  hb_type type;
  uint32_t run_values, runs; /* in the bank */
  float mean, deviation;
  uint64_t start, end; /* in the file, without the padding */
} tensor;

struct hb_synthetic {
  const hb_allocator *allocator;
  uint64_t seed;
  tensor *tensors;
  uint32_t tensor_count, tensor_capacity;
  uint8_t *header;
  uint64_t header_bytes, header_capacity;
  uint64_t size, position;
  hb_own_types own;

  /* The tensor that is read, number `next` - 1. */
  uint32_t next;
  hb_random random;
  uint64_t picks; /* numbers of the runs to come, a byte each */
  uint32_t pick_count;
  uint32_t run_bytes, run_used;
  const uint8_t *run;
  uint8_t bank[BANK_BYTES];
};

/* ---- The tensors ---- */

/* Outputs about as large as inputs, norms and biases that change little, and logits large enough to
 * make some tokens much likelier than others. */
static void choose_distribution(hb_weight_kind kind, uint64_t cols, tensor *t) {
  float unit = 1 / hb_sqrtf((float)cols);
  switch (kind) {
  case HB_WEIGHT_ATTN_NORM:
  case HB_WEIGHT_FFN_NORM:
  case HB_WEIGHT_OUTPUT_NORM:
    t->mean = 1;
    t->deviation = 0.05f;
    break;
  case HB_WEIGHT_Q_BIAS:
  case HB_WEIGHT_K_BIAS:
  case HB_WEIGHT_V_BIAS: t->deviation = 0.1f; break;
  case HB_WEIGHT_TOKEN_EMBD:
  case HB_WEIGHT_OUTPUT: t->deviation = 4 * unit; break;
  default: t->deviation = unit; break;
  }
}

static hb_status choose_run(hb_string name, uint64_t cols, tensor *t, hb_error *error) {
  t->runs = BANK_RUNS;
  t->run_values = MOST_RUN_VALUES;
  while (cols % t->run_values != 0) t->run_values /= 2;
  if (!hb_type_is_private(t->type)) return HB_OK;
  uint64_t bytes, fit;
  t->run_values = (uint32_t)cols;
  hb_row_bytes(t->type, cols, &bytes);
  fit = BANK_BYTES / bytes;
  if (fit < BANK_RUNS) t->runs = (uint32_t)fit;
  if (fit == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "tensor %S: rows of %s may have %u bytes, these have %u", name,
                   hb_type_name(t->type), (uint64_t)BANK_BYTES, bytes);
  return HB_OK;
}

static hb_status add_tensor(hb_synthetic *s, const hb_shape_plan *shape, const hb_recipe *recipe,
                            hb_weight_kind kind, uint32_t layer, hb_gguf_writer *w,
                            hb_error *error) {
  const hb_weight_traits *traits = &hb_weight_table[kind];
  const uint64_t dims[2] = {hb_dim_size(&shape->h, traits->cols),
                            hb_dim_size(&shape->h, traits->rows)};
  char name[HB_GGUF_MAX_WRITTEN_NAME + 1];
  if (traits->per_layer)
    hb_format(name, sizeof name, "blk.%u.%s", (uint64_t)layer, traits->name);
  else
    hb_format(name, sizeof name, "%s", traits->name);

  bool tied = (shape->weights & HB_HAS(OUTPUT)) == 0;
  hb_type type = hb_recipe_type(recipe, kind, layer, shape->h.layers, tied);
  tensor t = {.type = hb_type_fitting(type, dims[0])};
  HB_TRY(choose_run(hb_string_of(name), dims[0], &t, error));
  choose_distribution(kind, dims[0], &t);
  /* From here on offsets count from the end of the header, which is not known yet. No sum wraps, by
   * the limits of the hyperparameters. */
  uint64_t row_bytes;
  hb_row_bytes(t.type, dims[0], &row_bytes);
  t.start = s->size;
  t.end = t.start + row_bytes * dims[1];
  hb_align_u64(t.end, ALIGNMENT, &s->size);
  s->tensors[s->tensor_count++] = t;
  if (dims[1] == 1) return hb_gguf_writer_add_tensor(w, hb_string_of(name), t.type, 1, dims, error);
  return hb_own_types_add_matrix(&s->own, w, hb_string_of(name), t.type, dims[0], dims[1], error);
}

static hb_status add_tensors(hb_synthetic *s, const hb_shape_plan *shape, const hb_recipe *recipe,
                             bool per_layer, uint32_t layer, hb_gguf_writer *w, hb_error *error) {
  for (uint32_t kind = 0; kind < HB_WEIGHT_KINDS; kind++)
    if ((shape->weights >> kind & 1) != 0 && hb_weight_table[kind].per_layer == per_layer)
      HB_TRY(add_tensor(s, shape, recipe, (hb_weight_kind)kind, layer, w, error));
  return HB_OK;
}

static hb_status plan_tensors(hb_synthetic *s, const hb_shape_plan *shape, const hb_recipe *recipe,
                              hb_gguf_writer *w, hb_error *error) {
  s->tensor_capacity = HB_WEIGHT_KINDS * (1 + shape->h.layers);
  s->tensors = hb_allocate(s->allocator, (uint64_t)s->tensor_capacity * sizeof *s->tensors);
  if (!s->tensors)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the tensors of %u layers",
                   (uint64_t)shape->h.layers);
  HB_TRY(add_tensors(s, shape, recipe, false, 0, w, error));
  for (uint32_t layer = 0; layer < shape->h.layers; layer++)
    HB_TRY(add_tensors(s, shape, recipe, true, layer, w, error));
  return HB_OK;
}

/* ---- The metadata ---- */

typedef struct keys {
  hb_gguf_writer *writer;
  const char *architecture;
  hb_error *error;
} keys;

static hb_status set_u32(const keys *k, const char *suffix, uint32_t value) {
  char key[96];
  hb_format(key, sizeof key, "%s.%s", k->architecture, suffix);
  return hb_gguf_writer_set_u32(k->writer, key, value, k->error);
}

static hb_status set_f32(const keys *k, const char *suffix, float value) {
  char key[96];
  hb_format(key, sizeof key, "%s.%s", k->architecture, suffix);
  return hb_gguf_writer_set_f32(k->writer, key, value, k->error);
}

static hb_status set_shape(const keys *k, const hb_hyperparameters *h) {
  HB_TRY(set_u32(k, "context_length", h->context_length));
  HB_TRY(set_u32(k, "embedding_length", h->width));
  HB_TRY(set_u32(k, "block_count", h->layers));
  HB_TRY(set_u32(k, "feed_forward_length", h->feed_forward));
  HB_TRY(set_u32(k, "attention.head_count", h->heads));
  HB_TRY(set_u32(k, "attention.head_count_kv", h->kv_heads));
  HB_TRY(set_f32(k, "attention.layer_norm_rms_epsilon", h->norm_eps));
  HB_TRY(set_u32(k, "rope.dimension_count", h->rope_dims));
  HB_TRY(set_f32(k, "rope.freq_base", (float)h->rope_base));
  return set_u32(k, "vocab_size", h->vocabulary);
}

static hb_status set_keys(const hb_synthetic *s, const hb_shape_plan *shape,
                          const hb_recipe *recipe, hb_gguf_writer *w, hb_error *error) {
  const keys k = {w, shape->architecture->name, error};
  HB_TRY(hb_gguf_writer_set_string(w, "general.architecture", hb_string_of(k.architecture), error));
  HB_TRY(hb_gguf_writer_set_string(w, "general.type", hb_string_of("model"), error));
  HB_TRY(hb_gguf_writer_set_string(w, "general.name", hb_string_of("random weights"), error));
  HB_TRY(hb_gguf_writer_set_u32(w, "general.quantization_version", 2, error));
  if (recipe->file_type != HB_NO_FILE_TYPE)
    HB_TRY(hb_gguf_writer_set_u32(w, "general.file_type", recipe->file_type, error));
  HB_TRY(set_shape(&k, &shape->h));
  return hb_synthetic_vocabulary(s->allocator, shape->h.vocabulary, w, error);
}

/* ---- The header ---- */

static hb_status keep_header(void *context, const void *bytes, size_t count, hb_error *error) {
  hb_synthetic *s = context;
  uint64_t needed = s->header_bytes + count;
  if (needed > s->header_capacity) {
    uint64_t capacity = needed > 2 * s->header_capacity ? needed : 2 * s->header_capacity;
    uint8_t *moved = hb_allocate(s->allocator, capacity);
    if (!moved) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a GGUF header");
    if (s->header_bytes > 0) memcpy(moved, s->header, (size_t)s->header_bytes);
    hb_release(s->allocator, s->header, s->header_capacity);
    s->header = moved;
    s->header_capacity = capacity;
  }
  memcpy(s->header + s->header_bytes, bytes, count);
  s->header_bytes = needed;
  return HB_OK;
}

static hb_status write_header(hb_synthetic *s, const hb_shape_plan *shape, const hb_recipe *recipe,
                              hb_error *error) {
  const hb_sink sink = {s, keep_header};
  hb_gguf_writer *w = NULL;
  HB_TRY(hb_gguf_writer_create(s->allocator, &sink, &w, error));
  hb_status status = set_keys(s, shape, recipe, w, error);
  if (status == HB_OK) status = plan_tensors(s, shape, recipe, w, error);
  if (status == HB_OK)
    status = hb_own_types_set(&s->own, w, hb_string_of(shape->architecture->name), error);
  if (status == HB_OK) status = hb_gguf_writer_begin(w, error);
  hb_gguf_writer_destroy(w);
  for (uint32_t i = 0; i < s->tensor_count; i++) {
    s->tensors[i].start += s->header_bytes;
    s->tensors[i].end += s->header_bytes;
  }
  s->size += s->header_bytes;
  return status;
}

hb_status hb_synthetic_create(const hb_allocator *allocator, const char *shape, const char *type,
                              uint64_t seed, hb_synthetic **out, hb_error *error) {
  hb_shape_plan plan;
  hb_recipe recipe;
  *out = NULL;
  HB_TRY(hb_shape_read(shape, &plan, error));
  HB_TRY(hb_recipe_find(type, &recipe, error));
  allocator = hb_allocator_or_default(allocator);
  hb_synthetic *s = hb_allocate_zero(allocator, sizeof *s);
  if (!s) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a synthetic model");
  s->allocator = s->own.allocator = allocator;
  s->seed = seed;
  hb_status status = write_header(s, &plan, &recipe, error);
  if (status == HB_OK)
    *out = s;
  else
    hb_synthetic_destroy(s);
  return status;
}

void hb_synthetic_destroy(hb_synthetic *s) {
  if (!s) return;
  hb_own_types_release(&s->own);
  hb_release(s->allocator, s->header, s->header_capacity);
  hb_release(s->allocator, s->tensors, (uint64_t)s->tensor_capacity * sizeof *s->tensors);
  hb_release(s->allocator, s, sizeof *s);
}

/* ---- Reading ---- */

uint64_t hb_synthetic_size(const hb_synthetic *s) {
  return s->size;
}

static void begin_tensor(hb_synthetic *s) {
  const tensor *t = &s->tensors[s->next];
  uint32_t blocks = t->run_values / hb_traits(t->type)->block_values;
  uint64_t run_bytes;
  hb_row_bytes(t->type, t->run_values, &run_bytes);
  s->random = hb_random_begin(s->seed, s->next++);
  if (hb_type_is_private(t->type))
    hb_random_rows(&s->random, t->type, t->run_values, t->deviation, s->bank, t->runs);
  else
    hb_random_blocks(&s->random, t->type, t->mean, t->deviation, s->bank, t->runs * blocks);
  s->run_bytes = s->run_used = (uint32_t)run_bytes;
  s->pick_count = 0;
}

static void begin_run(hb_synthetic *s) {
  if (s->pick_count == 0) {
    s->picks = hb_random_next(&s->random);
    s->pick_count = 8;
  }
  s->run = s->bank + (s->picks & 255) % s->tensors[s->next - 1].runs * s->run_bytes;
  s->picks >>= 8;
  s->pick_count--;
  s->run_used = 0;
}

static void read_runs(hb_synthetic *s, uint8_t *out, size_t count) {
  while (count > 0) {
    if (s->run_used == s->run_bytes) begin_run(s);
    size_t left = s->run_bytes - s->run_used, piece = count < left ? count : left;
    memcpy(out, s->run + s->run_used, piece);
    s->run_used += (uint32_t)piece;
    out += piece;
    count -= piece;
  }
}

static bool in_tensor(const hb_synthetic *s) {
  return s->next > 0 && s->position < s->tensors[s->next - 1].end;
}

/* Where what is read now ends: the header, a tensor, or the padding behind one. */
static uint64_t end_of_part(const hb_synthetic *s) {
  if (s->position < s->header_bytes) return s->header_bytes;
  if (in_tensor(s)) return s->tensors[s->next - 1].end;
  return s->next < s->tensor_count ? s->tensors[s->next].start : s->size;
}

/* The next bytes of one part. */
static size_t read_piece(hb_synthetic *s, uint8_t *out, size_t capacity) {
  uint64_t left = end_of_part(s) - s->position;
  size_t count = left < capacity ? (size_t)left : capacity;
  if (s->position < s->header_bytes)
    memcpy(out, s->header + s->position, count);
  else if (in_tensor(s))
    read_runs(s, out, count);
  else
    memset(out, 0, count);
  s->position += count;
  if (s->next < s->tensor_count && s->position == s->tensors[s->next].start) begin_tensor(s);
  return count;
}

size_t hb_synthetic_read(hb_synthetic *s, void *out, size_t capacity) {
  size_t count = 0;
  while (count < capacity && s->position < s->size)
    count += read_piece(s, (uint8_t *)out + count, capacity - count);
  return count;
}
