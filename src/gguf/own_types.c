#include "gguf/own_types.h"

static hb_status append(hb_own_types *t, const void *data, size_t count, hb_error *error) {
  if (t->capacity - t->bytes < count) {
    uint64_t capacity = 2 * t->capacity + count + 1024;
    uint8_t *entries = hb_allocate(t->allocator, capacity);
    if (!entries)
      return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the types of tensors");
    if (t->bytes > 0) memcpy(entries, t->entries, (size_t)t->bytes);
    hb_release(t->allocator, t->entries, t->capacity);
    t->entries = entries;
    t->capacity = capacity;
  }
  memcpy(t->entries + t->bytes, data, count);
  t->bytes += count;
  return HB_OK;
}

static hb_status note(hb_own_types *t, hb_string name, hb_type type, hb_error *error) {
  char entry[HB_GGUF_MAX_WRITTEN_NAME + 16];
  uint64_t length = hb_format(entry, sizeof entry, "%S %s", name, hb_type_name(type));
  t->features |= 1u << (type - HB_TYPE_NF4);
  t->count++;
  HB_TRY(append(t, &length, sizeof length, error)); /* every target is little-endian */
  return append(t, entry, (size_t)length, error);
}

hb_status hb_own_types_add_matrix(hb_own_types *t, hb_gguf_writer *w, hb_string name, hb_type type,
                                  uint64_t cols, uint64_t rows, hb_error *error) {
  uint64_t dims[2] = {cols, rows};
  if (!hb_type_is_private(type)) return hb_gguf_writer_add_tensor(w, name, type, 2, dims, error);
  if (!hb_row_bytes(type, cols, &dims[0]))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "tensor %S: rows of %u values do not divide into blocks of %s", name, cols,
                   hb_type_name(type));
  HB_TRY(hb_gguf_writer_add_tensor(w, name, HB_TYPE_I8, 2, dims, error));
  return note(t, name, type, error);
}

static hb_status set_features(const hb_own_types *t, hb_gguf_writer *w, hb_error *error) {
  /* The first features are those of the types. */
  static const char *const names[] = {
#define FEATURE_NAME(name, text) text,
      HB_FEATURE_LIST(FEATURE_NAME)
#undef FEATURE_NAME
  };
  hb_string features[sizeof names / sizeof *names];
  size_t count = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (t->features >> i & 1) features[count++] = hb_string_of(names[i]);
  return hb_gguf_writer_set_strings(w, "halfbyte.features", features, count, error);
}

hb_status hb_own_types_set(const hb_own_types *t, hb_gguf_writer *w, hb_string architecture,
                           hb_error *error) {
  char name[96];
  hb_format(name, sizeof name, "%s%S", t->features ? HB_PRIVATE_PREFIX : "", architecture);
  HB_TRY(hb_gguf_writer_set_string(w, "general.architecture", hb_string_of(name), error));
  if (t->features == 0) return HB_OK;
  HB_TRY(set_features(t, w, error));
  if (t->count == 0) return HB_OK;
  const hb_value v = {.key = hb_string_of("halfbyte.tensor_types"),
                      .type = HB_VALUE_ARRAY,
                      .element = HB_VALUE_STRING,
                      .count = t->count,
                      .data = t->entries,
                      .bytes = t->bytes};
  return hb_gguf_writer_set(w, &v, error);
}

void hb_own_types_release(hb_own_types *t) {
  hb_release(t->allocator, t->entries, t->capacity);
  *t = (hb_own_types){.allocator = t->allocator};
}
