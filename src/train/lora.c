#include "train/lora.h"
#include "gguf/write.h"
#include "kernel/kernel.h"
#include "measure/random.h"
#include "model/adapter.h"
#include "quant/quant.h"

enum { PIECE = 256 }; /* values that are rounded at once */

static hb_status out_of_memory(hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for an adapter");
}

/* ---- Which matrices ---- */

static bool is_matrix_in_layer(const hb_weight *w) {
  return w->present && hb_weight_table[w->kind].per_layer &&
         hb_weight_table[w->kind].rows != HB_DIM_ONE;
}

/* "attn_q" of "attn_q.weight". */
static hb_string short_name(const hb_weight *w) {
  hb_string name = hb_string_of(hb_weight_table[w->kind].name);
  name.length -= sizeof ".weight" - 1;
  return name;
}

/* Takes the next name off a list. */
static hb_string next_name(const char **list) {
  const char *at = *list;
  while (*at && *at != ',') at++;
  hb_string name = {*list, (size_t)(at - *list)};
  *list = *at ? at + 1 : at;
  return name;
}

static bool is_listed(const char *list, const hb_weight *w) {
  if (!list) return true;
  while (*list)
    if (hb_string_equal(next_name(&list), short_name(w))) return true;
  return false;
}

static hb_status check_names(const hb_model *m, const char *list, hb_error *error) {
  while (list && *list) {
    hb_string name = next_name(&list);
    uint32_t i = 0;
    while (i < m->weight_count && !(is_matrix_in_layer(&m->weights[i]) &&
                                    hb_string_equal(name, short_name(&m->weights[i]))))
      i++;
    if (i == m->weight_count)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no layer has a matrix '%S' to be adapted",
                     name);
  }
  return HB_OK;
}

/* ---- Parts ---- */

static void add_part(hb_lora *lora, uint32_t matrix, uint64_t cols, uint64_t rows, double factor) {
  /* Parts stand in the model behind its own weights. */
  uint32_t weight = lora->model->own_weights + lora->part_count;
  lora->parts[lora->part_count++] = (hb_lora_part){matrix, weight, cols, rows, lora->count, factor};
  lora->count += cols * rows;
}

static void add_pair(hb_lora *lora, const hb_weight *w, uint64_t rank) {
  uint32_t matrix = (uint32_t)(w - lora->model->weights);
  add_part(lora, matrix, w->cols, rank, 1);
  add_part(lora, matrix, rank, w->rows, lora->alpha != 0 ? lora->alpha / (double)rank : 1);
}

static hb_status make_parts(hb_lora *lora, uint64_t pairs, hb_error *error) {
  lora->capacity = 2 * pairs;
  lora->parts = hb_allocate_zero(lora->allocator, lora->capacity * sizeof *lora->parts);
  return lora->parts ? HB_OK : out_of_memory(error);
}

static hb_status make_values(hb_lora *lora, hb_error *error) {
  lora->values = hb_allocate_zero(lora->allocator, lora->count * sizeof *lora->values);
  return lora->values ? HB_OK : out_of_memory(error);
}

/* ---- Writing ---- */

static hb_status declare(const hb_lora *lora, hb_gguf_writer *writer, hb_error *error) {
  char name[64];
  hb_string architecture = hb_string_of(lora->model->architecture->name);
  HB_TRY(hb_gguf_writer_set_string(writer, "general.type", hb_string_of("adapter"), error));
  HB_TRY(hb_gguf_writer_set_string(writer, "general.architecture", architecture, error));
  HB_TRY(hb_gguf_writer_set_string(writer, "adapter.type", hb_string_of("lora"), error));
  if (lora->alpha != 0)
    HB_TRY(hb_gguf_writer_set_f32(writer, "adapter.lora.alpha", (float)lora->alpha, error));
  for (uint32_t i = 0; i < lora->part_count; i++) {
    const hb_lora_part *p = &lora->parts[i];
    const uint64_t dims[] = {p->cols, p->rows};
    hb_format(name, sizeof name, "%s%s", lora->model->weights[p->matrix].name,
              hb_weight_table[i % 2 == 0 ? HB_WEIGHT_LORA_A : HB_WEIGHT_LORA_B].name);
    HB_TRY(hb_gguf_writer_add_tensor(writer, hb_string_of(name), lora->type, 2, dims, error));
  }
  return hb_gguf_writer_begin(writer, error);
}

static hb_status write_parts(const hb_lora *lora, hb_gguf_writer *writer, hb_error *error) {
  const hb_type_traits *traits = hb_traits(lora->type);
  uint8_t encoded[PIECE * sizeof(float)];
  for (uint32_t i = 0; i < lora->part_count; i++) {
    const float *values = lora->values + lora->parts[i].start;
    uint64_t count = hb_lora_count(&lora->parts[i]);
    for (uint64_t done = 0; done < count; done += PIECE) {
      size_t now = count - done < PIECE ? (size_t)(count - done) : PIECE;
      traits->encode(values + done, encoded, now);
      HB_TRY(hb_gguf_writer_data(writer, encoded, now * traits->block_bytes, error));
    }
  }
  return hb_gguf_writer_finish(writer, error);
}

hb_status hb_lora_write(const hb_lora *lora, const hb_sink *sink, hb_error *error) {
  hb_gguf_writer *writer;
  HB_TRY(hb_gguf_writer_create(lora->allocator, sink, &writer, error));
  hb_status status = declare(lora, writer, error);
  if (status == HB_OK) status = write_parts(lora, writer, error);
  hb_gguf_writer_destroy(writer);
  return status;
}

/* ---- A new adapter ---- */

/* He et al., arXiv:1502.01852, as PEFT has it: uniform within 1 / sqrt(columns). */
static void fill_a(float *values, const hb_lora_part *a, uint64_t seed) {
  hb_random random = hb_random_begin(seed, a->weight);
  float bound = 1 / hb_sqrtf((float)a->cols);
  for (uint64_t i = 0; i < hb_lora_count(a); i++) {
    int32_t part = (int32_t)(hb_random_next(&random) >> 39) - (1 << 24);
    values[i] = bound * ((float)part * 0x1p-24f);
  }
}

static hb_status list_new(hb_lora *lora, const hb_lora_options *o, hb_error *error) {
  const hb_model *m = lora->model;
  HB_TRY(check_names(m, o->matrices, error));
  HB_TRY(make_parts(lora, m->own_weights, error));
  for (uint32_t i = 0; i < m->own_weights; i++)
    if (is_matrix_in_layer(&m->weights[i]) && is_listed(o->matrices, &m->weights[i]))
      add_pair(lora, &m->weights[i], o->rank);
  if (lora->part_count == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no matrix is to be adapted");
  HB_TRY(make_values(lora, error));
  for (uint32_t i = 0; i < lora->part_count; i += 2)
    fill_a(lora->values + lora->parts[i].start, &lora->parts[i], o->seed);
  return HB_OK;
}

typedef struct memory {
  const hb_allocator *allocator;
  uint8_t *bytes;
  size_t size, capacity;
} memory;

static hb_status write_memory(void *context, const void *bytes, size_t count, hb_error *error) {
  memory *m = context;
  if (count > m->capacity - m->size) {
    size_t capacity = 2 * (m->size + count);
    uint8_t *grown = hb_allocate(m->allocator, capacity);
    if (!grown) return out_of_memory(error);
    if (m->size > 0) memcpy(grown, m->bytes, m->size);
    hb_release(m->allocator, m->bytes, m->capacity);
    m->bytes = grown;
    m->capacity = capacity;
  }
  memcpy(m->bytes + m->size, bytes, count);
  m->size += count;
  return HB_OK;
}

static hb_status begin_new(hb_lora *lora, const hb_lora_options *o, hb_error *error) {
  memory file = {.allocator = lora->allocator};
  hb_sink sink = {&file, write_memory};
  lora->alpha = (double)(float)o->alpha;
  HB_TRY(list_new(lora, o, error));
  hb_status status = hb_lora_write(lora, &sink, error);
  if (status == HB_OK) status = hb_model_adapt(lora->model, file.bytes, file.size, 1, error);
  hb_release(file.allocator, file.bytes, file.capacity);
  return status;
}

/* ---- An adapter that is there ---- */

static hb_status list_read(hb_lora *lora, const hb_adapter *from, hb_error *error) {
  hb_adapter_pair pair;
  lora->alpha = (double)(float)from->alpha; /* as it will be written */
  HB_TRY(make_parts(lora, hb_gguf_tensor_count(from->gguf) / 2, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(from->gguf); i++)
    if (hb_adapter_pair_at(from, i, &pair))
      add_pair(lora, hb_weight_named(lora->model, pair.matrix), pair.rank);
  HB_TRY(make_values(lora, error));
  uint32_t part = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(from->gguf); i++) {
    if (!hb_adapter_pair_at(from, i, &pair)) continue;
    float *a = lora->values + lora->parts[part++].start;
    float *b = lora->values + lora->parts[part++].start;
    HB_TRY(hb_adapter_values(from, pair.a, 1, a, error));
    HB_TRY(hb_adapter_values(from, pair.b, 1, b, error));
  }
  return HB_OK;
}

static hb_status read_adapter(hb_lora *lora, const hb_lora_options *o, hb_error *error) {
  hb_adapter from;
  HB_TRY(hb_model_adapt(lora->model, o->adapter, o->adapter_size, 1, error)); /* checks it */
  HB_TRY(hb_adapter_open(lora->allocator, o->adapter, o->adapter_size,
                         hb_string_of(lora->model->architecture->name), &from, error));
  hb_status status = list_read(lora, &from, error);
  hb_adapter_close(&from);
  return status;
}

/* An error says that it is of this file: the model and the original are files, too. */
static hb_status begin_read(hb_lora *lora, const hb_lora_options *o, hb_error *error) {
  hb_status status = read_adapter(lora, o, error);
  if (status == HB_OK || !error) return status;
  hb_error cause = *error;
  return hb_fail(error, status, cause.offset, "the adapter to begin with: %s", cause.message);
}

/* ---- Training ---- */

hb_status hb_lora_begin(hb_lora *lora, const hb_allocator *allocator, hb_model *model,
                        const hb_lora_options *o, hb_error *error) {
  *lora = (hb_lora){.allocator = allocator, .model = model, .type = o->type};
  return o->adapter ? begin_read(lora, o, error) : begin_new(lora, o, error);
}

void hb_lora_end(hb_lora *lora) {
  hb_release(lora->allocator, lora->parts, lora->capacity * sizeof *lora->parts);
  hb_release(lora->allocator, lora->values, lora->count * sizeof *lora->values);
  *lora = (hb_lora){0};
}

/* As a file of this type has them and hb_model_adapt reads them. */
static void round_values(const hb_lora *lora, const hb_lora_part *p, float *out) {
  const hb_type_traits *traits = hb_traits(lora->type);
  const float *values = lora->values + p->start;
  uint8_t encoded[PIECE * sizeof(float)];
  uint64_t count = hb_lora_count(p);
  for (uint64_t done = 0; done < count; done += PIECE) {
    size_t now = count - done < PIECE ? (size_t)(count - done) : PIECE;
    traits->encode(values + done, encoded, now);
    traits->decode(encoded, out + done, now);
  }
  for (uint64_t i = 0; i < count; i++) out[i] = (float)(p->factor * (double)out[i]);
}

void hb_lora_project(const hb_lora *lora) {
  for (uint32_t i = 0; i < lora->part_count; i++) {
    const hb_lora_part *p = &lora->parts[i];
    round_values(lora, p, (float *)(void *)lora->model->weights[p->weight].matrix.data);
  }
}

void hb_lora_back(const hb_lora *lora, float *gradients) {
  for (uint32_t i = 0; i < lora->part_count; i++) {
    const hb_lora_part *p = &lora->parts[i];
    float *g = gradients + p->start;
    for (uint64_t k = 0; k < hb_lora_count(p); k++) g[k] *= (float)p->factor;
  }
}
