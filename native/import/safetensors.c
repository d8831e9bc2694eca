#include "import/safetensors.h"

#include <stdlib.h>

/* The types of the format, and the bytes of a value. */
typedef struct dtype {
  const char *name;
  uint32_t bytes;
  bool readable;
  hb_type type; /* if it is */
} dtype;

static const dtype dtypes[] = {
    {"F32", 4, true, HB_TYPE_F32}, {"F16", 2, true, HB_TYPE_F16}, {"BF16", 2, true, HB_TYPE_BF16},
    {"F64", 8, false, 0},          {"I64", 8, false, 0},          {"U64", 8, false, 0},
    {"I32", 4, false, 0},          {"U32", 4, false, 0},          {"I16", 2, false, 0},
    {"U16", 2, false, 0},          {"I8", 1, false, 0},           {"U8", 1, false, 0},
    {"BOOL", 1, false, 0},         {"F8_E4M3", 1, false, 0},      {"F8_E5M2", 1, false, 0},
    {"F8_E8M0", 1, false, 0},
};

static hb_status fail(const hb_safetensor *t, const char *what, hb_error *error) {
  return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "tensor %S: %s", t->name, what);
}

static hb_status read_dtype(hb_item record, hb_safetensor *t, uint64_t *bytes, hb_error *error) {
  if (!hb_json_string(hb_json_get(record, "dtype"), &t->dtype))
    return fail(t, "\"dtype\" is no string", error);
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
    if (!hb_string_equal(t->dtype, hb_string_of(dtypes[i].name))) continue;
    *bytes = dtypes[i].bytes;
    t->readable = dtypes[i].readable;
    t->type = dtypes[i].type;
    return HB_OK;
  }
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %S has the unknown type %S", t->name,
                 t->dtype);
}

/* Multiplies the dimensions into *bytes. */
static hb_status read_shape(hb_item record, hb_safetensor *t, uint64_t *bytes, hb_error *error) {
  hb_item shape = hb_json_get(record, "shape");
  if (hb_json_kind_of(shape) != HB_JSON_ARRAY) return fail(t, "\"shape\" is no array", error);
  for (uint32_t d = 0; d < HB_SAFETENSORS_MAX_DIMS; d++) t->dims[d] = 1;
  hb_json_walk w = hb_json_begin(shape);
  while (hb_json_step(&w)) {
    if (t->dim_count == HB_SAFETENSORS_MAX_DIMS)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %S has more than %u dimensions",
                     t->name, (uint64_t)HB_SAFETENSORS_MAX_DIMS);
    uint64_t *dim = &t->dims[t->dim_count++];
    if (!hb_json_u64(w.value, dim)) return fail(t, "a dimension is no whole number", error);
    if (!hb_mul_u64(*bytes, *dim, bytes)) return fail(t, "its size is out of range", error);
  }
  return HB_OK;
}

static hb_status read_place(hb_item record, hb_safetensor *t, uint64_t *begin, uint64_t *end,
                            hb_error *error) {
  hb_json_walk w = hb_json_begin(hb_json_get(record, "data_offsets"));
  if (!w.keyed && hb_json_step(&w) && hb_json_u64(w.value, begin) && hb_json_step(&w) &&
      hb_json_u64(w.value, end) && !hb_json_step(&w))
    return HB_OK;
  return fail(t, "\"data_offsets\" are no two whole numbers", error);
}

static hb_status read_record(hb_item record, hb_safetensor *t, const uint8_t *data, uint64_t size,
                             hb_error *error) {
  uint64_t begin = 0, end = 0;
  HB_TRY(read_dtype(record, t, &t->bytes, error));
  HB_TRY(read_shape(record, t, &t->bytes, error));
  HB_TRY(read_place(record, t, &begin, &end, error));
  if (end < begin || end - begin != t->bytes)
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                   "tensor %S needs %u bytes by its shape; its place is from byte %u to %u",
                   t->name, t->bytes, begin, end);
  if (end > size)
    return hb_fail(error, HB_TRUNCATED, HB_NO_OFFSET,
                   "tensor %S ends at byte %u of the data, which have %u", t->name, end, size);
  t->data = data + begin;
  return HB_OK;
}

static int by_place(const void *a, const void *b) {
  const hb_safetensor *x = *(const hb_safetensor *const *)a, *y = *(const hb_safetensor *const *)b;
  if (x->data != y->data) return x->data < y->data ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

static hb_status check_places(const hb_safetensors *f, const uint8_t *data, uint64_t size,
                              hb_error *error) {
  const hb_safetensor **sorted = malloc((f->count + 1) * sizeof(hb_safetensor *));
  if (!sorted) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to check tensors");
  for (uint32_t i = 0; i < f->count; i++) sorted[i] = &f->tensors[i];
  qsort(sorted, f->count, sizeof *sorted, by_place);
  const uint8_t *at = data;
  hb_status status = HB_OK;
  for (uint32_t i = 0; i < f->count && status == HB_OK; i++) {
    if (sorted[i]->data != at)
      status = fail(sorted[i],
                    sorted[i]->data < at ? "its place is another tensor's, too"
                                         : "before it lie bytes of no tensor",
                    error);
    at = sorted[i]->data + sorted[i]->bytes;
  }
  if (status == HB_OK && at != data + size)
    status = hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "the last %u bytes belong to no tensor",
                     (uint64_t)(data + size - at));
  free((void *)sorted);
  return status;
}

static hb_string name_of(const void *context, uint32_t i) {
  return ((const hb_safetensor *)context)[i].name;
}

static hb_status index_names(hb_safetensors *f, hb_error *error) {
  uint32_t twice = 0;
  f->names = (hb_names){.name_of = name_of, .context = f->tensors};
  hb_status status = hb_names_extend(&f->names, f->count, &twice);
  if (status == HB_FORMAT) return fail(&f->tensors[twice], "there are two of that name", error);
  return status == HB_OK ? HB_OK : hb_fail(error, status, HB_NO_OFFSET, "no memory for names");
}

static hb_status read_records(hb_safetensors *f, const uint8_t *data, uint64_t size,
                              hb_error *error) {
  hb_item root = hb_json_root(&f->header);
  if (hb_json_kind_of(root) != HB_JSON_OBJECT)
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "the header is no JSON object");
  uint32_t count = 0;
  for (hb_json_walk w = hb_json_begin(root); hb_json_step(&w);) count++;
  f->tensors = calloc(count + 1, sizeof *f->tensors);
  if (!f->tensors)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u tensors", (uint64_t)count);
  for (hb_json_walk w = hb_json_begin(root); hb_json_step(&w);) {
    if (hb_string_equal(w.key, hb_string_of("__metadata__"))) continue;
    hb_safetensor *t = &f->tensors[f->count++];
    t->name = w.key;
    HB_TRY(read_record(w.value, t, data, size, error));
  }
  HB_TRY(index_names(f, error));
  return check_places(f, data, size, error);
}

hb_status hb_safetensors_open(const uint8_t *bytes, uint64_t size, hb_safetensors *out,
                              hb_error *error) {
  *out = (hb_safetensors){0};
  uint64_t length = size >= 8 ? hb_load_u64(bytes) : 0;
  if (size < 8 || length > size - 8)
    return hb_fail(error, HB_TRUNCATED, 0, "the file has %u bytes; its header alone needs %u more",
                   size, size < 8 ? 8 : length);
  if (length > HB_SAFETENSORS_MAX_HEADER)
    return hb_fail(error, HB_UNSUPPORTED, 0, "the header has %u bytes", length);
  char *text = malloc((size_t)length + 1);
  if (!text) return hb_fail(error, HB_MEMORY, 0, "no memory for a header of %u bytes", length);
  memcpy(text, bytes + 8, (size_t)length);
  HB_TRY(hb_json_parse(text, (size_t)length, &out->header, error));
  hb_status status = read_records(out, bytes + 8 + length, size - 8 - length, error);
  if (status != HB_OK) hb_safetensors_close(out);
  return status;
}

void hb_safetensors_close(hb_safetensors *file) {
  hb_names_clear(&file->names);
  free(file->tensors);
  hb_json_close(&file->header);
  *file = (hb_safetensors){0};
}

const hb_safetensor *hb_safetensors_find(const hb_safetensors *file, hb_string name) {
  uint32_t found = hb_names_find(&file->names, name);
  return found == HB_NO_NAME ? NULL : &file->tensors[found];
}
