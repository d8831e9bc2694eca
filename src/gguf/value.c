/* Metadata values: conversion to what a caller wants, without loss. */
#include "gguf/gguf.h"
#include "base/half.h"

uint32_t hb_value_bytes(hb_value_type type) {
  switch (type) {
#define HB_VALUE_BYTES(name, id, bytes)                                                            \
  case HB_VALUE_##name: return bytes;
    HB_VALUE_LIST(HB_VALUE_BYTES)
#undef HB_VALUE_BYTES
  }
  return 0;
}

static hb_status wrong_type(const hb_value *v, const char *wanted, hb_error *error) {
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %S is no %s", v->key, wanted);
}

static hb_status does_not_fit(const hb_value *v, hb_error *error) {
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the value of key %S is out of range", v->key);
}

/* Where element `index` of a scalar or an array of fixed-size elements stands, and its type. */
static hb_status element(const hb_value *v, uint64_t index, hb_value_type *type, const uint8_t **at,
                         const char *wanted, hb_error *error) {
  *type = v->type == HB_VALUE_ARRAY ? v->element : v->type;
  *at = NULL;
  uint32_t bytes = hb_value_bytes(*type);
  if (bytes == 0) return wrong_type(v, wanted, error);
  if (index >= v->count)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %S has %u elements, no number %u", v->key,
                   v->count, index);
  *at = v->data + index * bytes;
  return HB_OK;
}

/* Sign and magnitude of an integer of any width; false for other types. */
static bool integer(hb_value_type type, const uint8_t *at, bool *negative, uint64_t *bits) {
  int64_t s = 0;
  *negative = false;
  switch (type) {
  case HB_VALUE_U8: *bits = *at; return true;
  case HB_VALUE_U16: *bits = hb_load_u16(at); return true;
  case HB_VALUE_U32: *bits = hb_load_u32(at); return true;
  case HB_VALUE_U64: *bits = hb_load_u64(at); return true;
  case HB_VALUE_I8: s = (int8_t)*at; break;
  case HB_VALUE_I16: s = (int16_t)hb_load_u16(at); break;
  case HB_VALUE_I32: s = (int32_t)hb_load_u32(at); break;
  case HB_VALUE_I64: s = (int64_t)hb_load_u64(at); break;
  default: return false;
  }
  *negative = s < 0;
  *bits = (uint64_t)s;
  return true;
}

hb_status hb_value_u64(const hb_value *v, uint64_t index, uint64_t *out, hb_error *error) {
  hb_value_type type;
  const uint8_t *at;
  bool negative;
  HB_TRY(element(v, index, &type, &at, "integer", error));
  if (!integer(type, at, &negative, out)) return wrong_type(v, "integer", error);
  return negative ? does_not_fit(v, error) : HB_OK;
}

hb_status hb_value_i64(const hb_value *v, uint64_t index, int64_t *out, hb_error *error) {
  hb_value_type type;
  const uint8_t *at;
  bool negative;
  uint64_t bits;
  HB_TRY(element(v, index, &type, &at, "integer", error));
  if (!integer(type, at, &negative, &bits)) return wrong_type(v, "integer", error);
  if (!negative && bits > INT64_MAX) return does_not_fit(v, error);
  *out = (int64_t)bits;
  return HB_OK;
}

hb_status hb_value_f64(const hb_value *v, uint64_t index, double *out, hb_error *error) {
  hb_value_type type;
  const uint8_t *at;
  bool negative;
  uint64_t bits;
  HB_TRY(element(v, index, &type, &at, "number", error));
  if (type == HB_VALUE_F32) {
    *out = hb_f32_of_bits(hb_load_u32(at));
  } else if (type == HB_VALUE_F64) {
    bits = hb_load_u64(at);
    memcpy(out, &bits, 8);
  } else if (integer(type, at, &negative, &bits)) {
    *out = negative ? (double)(int64_t)bits : (double)bits;
  } else {
    return wrong_type(v, "number", error);
  }
  return HB_OK;
}

hb_status hb_value_bool(const hb_value *v, int *out, hb_error *error) {
  if (v->type != HB_VALUE_BOOL) return wrong_type(v, "boolean", error);
  if (*v->data > 1) return does_not_fit(v, error);
  *out = *v->data;
  return HB_OK;
}

/* The reader has checked that the length fits the value. */
static hb_string string_at(const uint8_t *at) {
  return (hb_string){(const char *)at + 8, (size_t)hb_load_u64(at)};
}

hb_status hb_value_string(const hb_value *v, hb_string *out, hb_error *error) {
  if (v->type != HB_VALUE_STRING) return wrong_type(v, "string", error);
  *out = string_at(v->data);
  return HB_OK;
}

hb_status hb_value_next_string(const hb_value *v, uint64_t *cursor, hb_string *out,
                               hb_error *error) {
  if (v->type != HB_VALUE_ARRAY || v->element != HB_VALUE_STRING)
    return wrong_type(v, "array of strings", error);
  if (*cursor >= v->bytes)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %S has only %u strings", v->key, v->count);
  *out = string_at(v->data + *cursor);
  *cursor += 8 + out->length;
  return HB_OK;
}
