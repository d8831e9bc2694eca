#include "gguf/write.h"
#include "gguf/names.h"

enum { MAX_KEY = 65535, MAX_ALIGNMENT = 65536, DEFAULT_ALIGNMENT = 32, BUFFER_BYTES = 4096 };

/* A value that is a view into another file, or into a block of its own: data, then key. */
typedef struct entry {
  hb_value value;
  uint8_t *block;
  uint64_t block_bytes;
} entry;

typedef struct tensor {
  char name[HB_GGUF_MAX_WRITTEN_NAME + 1];
  uint32_t name_length;
  hb_type type;
  uint32_t dim_count;
  uint64_t dims[4];
  uint64_t bytes;
} tensor;

typedef enum stage { STAGE_DECLARING, STAGE_DATA, STAGE_FAILED } stage;

struct hb_gguf_writer {
  const hb_allocator *allocator;
  hb_sink sink;
  stage stage;

  entry *entries;
  uint64_t entry_count, entry_capacity;
  tensor *tensors;
  uint64_t tensor_count, tensor_capacity;

  uint32_t alignment;
  uint64_t tensor;  /* the one whose bytes come next */
  uint64_t written; /* of them */

  uint64_t position; /* in the file */
  uint8_t buffer[BUFFER_BYTES];
  size_t buffered;
};

/* ---- Creating ---- */

hb_status hb_gguf_writer_create(const hb_allocator *allocator, const hb_sink *sink,
                                hb_gguf_writer **out, hb_error *error) {
  hb_gguf_writer *w = hb_allocate_zero(allocator, sizeof *w);
  *out = w;
  if (!w) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a GGUF writer");
  w->allocator = allocator;
  w->sink = *sink;
  w->alignment = DEFAULT_ALIGNMENT;
  return HB_OK;
}

static void release_entry(const hb_gguf_writer *w, entry *e) {
  hb_release(w->allocator, e->block, e->block_bytes);
}

void hb_gguf_writer_destroy(hb_gguf_writer *w) {
  if (!w) return;
  for (uint64_t i = 0; i < w->entry_count; i++) release_entry(w, &w->entries[i]);
  hb_release(w->allocator, w->entries, w->entry_capacity * sizeof *w->entries);
  hb_release(w->allocator, w->tensors, w->tensor_capacity * sizeof *w->tensors);
  hb_release(w->allocator, w, sizeof *w);
}

/* Makes room for `count` items of `size` bytes in a list that doubles; the list, moved perhaps, or
 * NULL. */
static void *grow(const hb_gguf_writer *w, void *list, uint64_t *capacity, uint64_t used,
                  uint64_t count, size_t size) {
  if (count <= *capacity) return list;
  uint64_t larger = *capacity ? 2 * *capacity : 16;
  while (larger < count) larger *= 2;
  void *moved = hb_allocate(w->allocator, larger * size);
  if (!moved) return NULL;
  if (used > 0) memcpy(moved, list, (size_t)used * size);
  hb_release(w->allocator, list, *capacity * size);
  *capacity = larger;
  return moved;
}

static hb_status check_declaring(const hb_gguf_writer *w, hb_error *error) {
  if (w->stage == STAGE_DECLARING) return HB_OK;
  return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the header is written already");
}

/* ---- Metadata ---- */

static hb_status reserve_entries(hb_gguf_writer *w, uint64_t count, hb_error *error) {
  entry *entries =
      grow(w, w->entries, &w->entry_capacity, w->entry_count, count, sizeof *w->entries);
  if (!entries) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u keys", count);
  w->entries = entries;
  return HB_OK;
}

hb_status hb_gguf_writer_copy(hb_gguf_writer *w, const hb_gguf *from, hb_error *error) {
  HB_TRY(check_declaring(w, error));
  if (w->entry_count > 0)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "keys were set before others were copied");
  size_t count = hb_gguf_value_count(from);
  HB_TRY(reserve_entries(w, count > 0 ? count : 1, error));
  for (size_t i = 0; i < count; i++) {
    const hb_value *v = hb_gguf_value_at(from, i);
    if (v->key.length >= 6 && memcmp(v->key.data, "split.", 6) == 0) continue;
    w->entries[w->entry_count++] = (entry){.value = *v};
  }
  return HB_OK;
}

static entry *find_entry(const hb_gguf_writer *w, hb_string key) {
  for (uint64_t i = 0; i < w->entry_count; i++)
    if (hb_string_equal(w->entries[i].value.key, key)) return &w->entries[i];
  return NULL;
}

hb_status hb_gguf_writer_set(hb_gguf_writer *w, const hb_value *value, hb_error *error) {
  HB_TRY(check_declaring(w, error));
  if (value->key.length < 1 || value->key.length > MAX_KEY)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a key has %u bytes, not 1 to %u",
                   (uint64_t)value->key.length, (uint64_t)MAX_KEY);
  entry *place = find_entry(w, value->key);
  if (!place) HB_TRY(reserve_entries(w, w->entry_count + 1, error));
  entry e = {.value = *value, .block_bytes = value->bytes + value->key.length};
  e.block = hb_allocate(w->allocator, e.block_bytes);
  if (!e.block) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for key %S", value->key);
  if (value->bytes > 0) memcpy(e.block, value->data, (size_t)value->bytes);
  memcpy(e.block + value->bytes, value->key.data, value->key.length);
  e.value.data = e.block;
  e.value.key.data = (const char *)e.block + value->bytes;
  if (place)
    release_entry(w, place);
  else
    place = &w->entries[w->entry_count++];
  *place = e;
  return HB_OK;
}

static void store_u32(uint8_t *at, uint32_t v) {
  hb_store_u16(at, (uint16_t)v);
  hb_store_u16(at + 2, (uint16_t)(v >> 16));
}

static void store_u64(uint8_t *at, uint64_t v) {
  store_u32(at, (uint32_t)v);
  store_u32(at + 4, (uint32_t)(v >> 32));
}

static hb_status set_scalar(hb_gguf_writer *w, const char *key, hb_value_type type,
                            const uint8_t *data, hb_error *error) {
  hb_value v = {hb_string_of(key), type, type, 1, data, hb_value_bytes(type)};
  return hb_gguf_writer_set(w, &v, error);
}

hb_status hb_gguf_writer_set_u32(hb_gguf_writer *w, const char *key, uint32_t value,
                                 hb_error *error) {
  uint8_t data[4];
  store_u32(data, value);
  return set_scalar(w, key, HB_VALUE_U32, data, error);
}

hb_status hb_gguf_writer_set_f32(hb_gguf_writer *w, const char *key, float value, hb_error *error) {
  uint32_t bits;
  uint8_t data[4];
  memcpy(&bits, &value, 4);
  store_u32(data, bits);
  return set_scalar(w, key, HB_VALUE_F32, data, error);
}

hb_status hb_gguf_writer_set_bool(hb_gguf_writer *w, const char *key, int value, hb_error *error) {
  uint8_t data = value != 0;
  return set_scalar(w, key, HB_VALUE_BOOL, &data, error);
}

/* Sets a value whose data are strings, each with its length before it. */
static hb_status set_texts(hb_gguf_writer *w, hb_value v, const hb_string *texts, size_t count,
                           hb_error *error) {
  for (size_t i = 0; i < count; i++) v.bytes += 8 + (uint64_t)texts[i].length;
  uint8_t *data = hb_allocate(w->allocator, v.bytes);
  if (!data) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for key %S", v.key);
  uint8_t *at = data;
  for (size_t i = 0; i < count; i++) {
    store_u64(at, texts[i].length);
    if (texts[i].length > 0) memcpy(at + 8, texts[i].data, texts[i].length);
    at += 8 + texts[i].length;
  }
  v.data = data;
  hb_status status = hb_gguf_writer_set(w, &v, error);
  hb_release(w->allocator, data, v.bytes);
  return status;
}

hb_status hb_gguf_writer_set_string(hb_gguf_writer *w, const char *key, hb_string value,
                                    hb_error *error) {
  hb_value v = {.key = hb_string_of(key), .type = HB_VALUE_STRING, .element = HB_VALUE_STRING};
  v.count = 1;
  return set_texts(w, v, &value, 1, error);
}

hb_status hb_gguf_writer_set_strings(hb_gguf_writer *w, const char *key, const hb_string *values,
                                     size_t count, hb_error *error) {
  hb_value v = {.key = hb_string_of(key), .type = HB_VALUE_ARRAY, .element = HB_VALUE_STRING};
  v.count = count;
  return set_texts(w, v, values, count, error);
}

hb_status hb_gguf_writer_set_array(hb_gguf_writer *w, const char *key, hb_value_type element,
                                   const void *values, size_t count, hb_error *error) {
  hb_value v = {hb_string_of(key), HB_VALUE_ARRAY, element, count, values, 0};
  if (hb_value_bytes(element) == 0 || !hb_mul_u64(count, hb_value_bytes(element), &v.bytes))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "key %s is no array of fixed-size elements",
                   key);
  return hb_gguf_writer_set(w, &v, error);
}

void hb_gguf_writer_remove(hb_gguf_writer *w, const char *key) {
  entry *e = find_entry(w, hb_string_of(key));
  if (!e || w->stage != STAGE_DECLARING) return;
  release_entry(w, e);
  entry *end = w->entries + --w->entry_count;
  for (; e < end; e++) *e = e[1];
}

/* ---- Tensors ---- */

hb_status hb_gguf_writer_add_tensor(hb_gguf_writer *w, hb_string name, hb_type type,
                                    uint32_t dim_count, const uint64_t *dims, hb_error *error) {
  HB_TRY(check_declaring(w, error));
  if (name.length < 1 || name.length > HB_GGUF_MAX_WRITTEN_NAME)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "tensor %S: the name has not 1 to %u bytes",
                   name, (uint64_t)HB_GGUF_MAX_WRITTEN_NAME);
  if (dim_count < 1 || dim_count > 4)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "tensor %S has %u dimensions, not 1 to 4",
                   name, (uint64_t)dim_count);
  if (w->tensor_count >= HB_GGUF_MAX_TENSORS)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "more than %u tensors",
                   (uint64_t)HB_GGUF_MAX_TENSORS);
  tensor t = {.name_length = (uint32_t)name.length, .type = type, .dim_count = dim_count};
  memcpy(t.name, name.data, name.length);
  bool fits = !hb_type_is_private(type) && hb_row_bytes(type, dims[0], &t.bytes);
  for (uint32_t d = 0; d < dim_count; d++) {
    t.dims[d] = dims[d];
    fits = fits && dims[d] > 0 && (d == 0 || hb_mul_u64(t.bytes, dims[d], &t.bytes));
  }
  if (!fits)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "tensor %S: its dimensions do not fit its type", name);
  tensor *tensors = grow(w, w->tensors, &w->tensor_capacity, w->tensor_count, w->tensor_count + 1,
                         sizeof *w->tensors);
  if (!tensors) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for tensor %S", name);
  w->tensors = tensors;
  w->tensors[w->tensor_count++] = t;
  return HB_OK;
}

static hb_string tensor_name(const void *context, uint32_t i) {
  const tensor *t = &((const hb_gguf_writer *)context)->tensors[i];
  return (hb_string){t->name, t->name_length};
}

static hb_status check_names(const hb_gguf_writer *w, hb_error *error) {
  hb_names names = {.allocator = w->allocator, .name_of = tensor_name, .context = w};
  uint32_t twice = 0;
  hb_status status = hb_names_extend(&names, (uint32_t)w->tensor_count, &twice);
  hb_names_clear(&names);
  if (status == HB_FORMAT)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "tensor %S was declared twice",
                   tensor_name(w, twice));
  if (status != HB_OK)
    return hb_fail(error, status, HB_NO_OFFSET, "no memory for %u names", w->tensor_count);
  return HB_OK;
}

/* ---- The file ---- */

static hb_status flush(hb_gguf_writer *w, hb_error *error) {
  size_t count = w->buffered;
  w->buffered = 0;
  return count > 0 ? w->sink.write(w->sink.context, w->buffer, count, error) : HB_OK;
}

static hb_status put(hb_gguf_writer *w, const void *bytes, uint64_t count, hb_error *error) {
  w->position += count;
  if (count > sizeof w->buffer - w->buffered) HB_TRY(flush(w, error));
  if (count > sizeof w->buffer) return w->sink.write(w->sink.context, bytes, (size_t)count, error);
  if (count > 0) memcpy(w->buffer + w->buffered, bytes, (size_t)count);
  w->buffered += (size_t)count;
  return HB_OK;
}

static hb_status put_u32(hb_gguf_writer *w, uint32_t v, hb_error *error) {
  uint8_t bytes[4];
  store_u32(bytes, v);
  return put(w, bytes, sizeof bytes, error);
}

static hb_status put_u64(hb_gguf_writer *w, uint64_t v, hb_error *error) {
  uint8_t bytes[8];
  store_u64(bytes, v);
  return put(w, bytes, sizeof bytes, error);
}

static hb_status put_string(hb_gguf_writer *w, hb_string text, hb_error *error) {
  HB_TRY(put_u64(w, text.length, error));
  return put(w, text.data, text.length, error);
}

static hb_status put_padding(hb_gguf_writer *w, hb_error *error) {
  static const uint8_t zeros[64];
  while (w->position % w->alignment != 0) {
    uint64_t left = w->alignment - w->position % w->alignment;
    HB_TRY(put(w, zeros, left < sizeof zeros ? left : sizeof zeros, error));
  }
  return HB_OK;
}

static hb_status put_value(hb_gguf_writer *w, const hb_value *v, hb_error *error) {
  HB_TRY(put_string(w, v->key, error));
  HB_TRY(put_u32(w, v->type, error));
  if (v->type == HB_VALUE_ARRAY) {
    HB_TRY(put_u32(w, v->element, error));
    HB_TRY(put_u64(w, v->count, error));
  }
  return put(w, v->data, v->bytes, error);
}

/* Writes the record of a tensor at *offset of the data, and moves *offset behind it. */
static hb_status put_tensor(hb_gguf_writer *w, uint64_t i, uint64_t *offset, hb_error *error) {
  const tensor *t = &w->tensors[i];
  uint64_t end;
  if (!hb_add_u64(*offset, t->bytes, &end) || !hb_align_u64(end, w->alignment, &end))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the tensors have too many bytes");
  HB_TRY(put_string(w, tensor_name(w, (uint32_t)i), error));
  HB_TRY(put_u32(w, t->dim_count, error));
  for (uint32_t d = 0; d < t->dim_count; d++) HB_TRY(put_u64(w, t->dims[d], error));
  HB_TRY(put_u32(w, t->type, error));
  HB_TRY(put_u64(w, *offset, error));
  *offset = end;
  return HB_OK;
}

static hb_status choose_alignment(hb_gguf_writer *w, hb_error *error) {
  const entry *e = find_entry(w, hb_string_of("general.alignment"));
  uint64_t alignment = DEFAULT_ALIGNMENT;
  if (e) HB_TRY(hb_value_u64(&e->value, 0, &alignment, error));
  if ((e && e->value.type != HB_VALUE_U32) || alignment == 0 || alignment > MAX_ALIGNMENT ||
      (alignment & (alignment - 1)) != 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "general.alignment is no power of two from 1 to %u as u32",
                   (uint64_t)MAX_ALIGNMENT);
  w->alignment = (uint32_t)alignment;
  return HB_OK;
}

static hb_status put_header(hb_gguf_writer *w, hb_error *error) {
  HB_TRY(check_names(w, error));
  HB_TRY(choose_alignment(w, error));
  HB_TRY(put(w, "GGUF", 4, error));
  HB_TRY(put_u32(w, 3, error));
  HB_TRY(put_u64(w, w->tensor_count, error));
  HB_TRY(put_u64(w, w->entry_count, error));
  for (uint64_t i = 0; i < w->entry_count; i++) HB_TRY(put_value(w, &w->entries[i].value, error));
  uint64_t offset = 0;
  for (uint64_t i = 0; i < w->tensor_count; i++) HB_TRY(put_tensor(w, i, &offset, error));
  if (w->tensor_count > 0) HB_TRY(put_padding(w, error));
  return flush(w, error);
}

/* A file of which a part is missing cannot be gone on with. */
static hb_status remember(hb_gguf_writer *w, hb_status status) {
  if (status != HB_OK) w->stage = STAGE_FAILED;
  return status;
}

hb_status hb_gguf_writer_begin(hb_gguf_writer *w, hb_error *error) {
  HB_TRY(check_declaring(w, error));
  w->stage = STAGE_DATA;
  return remember(w, put_header(w, error));
}

static hb_status end_tensor(hb_gguf_writer *w, hb_error *error) {
  w->tensor++;
  w->written = 0;
  HB_TRY(put_padding(w, error));
  return flush(w, error);
}

hb_status hb_gguf_writer_data(hb_gguf_writer *w, const void *bytes, size_t count, hb_error *error) {
  if (w->stage != STAGE_DATA)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "no header was written, or writing failed");
  if (count == 0) return HB_OK;
  uint64_t left = w->tensor < w->tensor_count ? w->tensors[w->tensor].bytes - w->written : 0;
  if (count > left)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "%u bytes for a tensor that lacks %u",
                   (uint64_t)count, left);
  HB_TRY(remember(w, put(w, bytes, count, error)));
  w->written += count;
  return count == left ? remember(w, end_tensor(w, error)) : HB_OK;
}

hb_status hb_gguf_writer_finish(hb_gguf_writer *w, hb_error *error) {
  if (w->stage != STAGE_DATA)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "no header was written, or writing failed");
  if (w->tensor < w->tensor_count)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "tensor %S lacks %u bytes",
                   tensor_name(w, (uint32_t)w->tensor), w->tensors[w->tensor].bytes - w->written);
  return HB_OK;
}
