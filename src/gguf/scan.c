/*
 *   | "GGUF" | version u32 | tensors u64 | values u64 |
 *   | value:  key string | type u32 | value |                              ... values times
 *   | tensor: name string | dims u32 | u64 a dim | type u32 | offset u64 |  ... tensors times
 *   | padding to general.alignment | data |
 *   string: length u64, bytes.  array: element type u32, count u64, elements
 */
#include "gguf/scan.h"

enum {
  MIN_VALUE_BYTES = 8 + 1 + 4 + 1,
  MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
  MAX_KEY = 65535,
  MAX_NAME = 255,
  MAX_DIMS = 4,
};

/* What a step finds: go on, or wait for more bytes. */
typedef enum progress { GOES_ON, WAITS } progress;

typedef struct scanner {
  hb_scan *scan;
  const uint8_t *bytes;
  uint64_t size;
  uint64_t at; /* runs ahead of scan->cursor within a record */
  hb_error *error;
} scanner;

/* Are `count` bytes there at c->at? Refuses what cannot come. */
static hb_status need(const scanner *c, uint64_t count, const char *what, progress *out) {
  uint64_t end;
  bool fits = hb_add_u64(c->at, count, &end);
  if (!fits || end > c->scan->file_size) /* HB_SIZE_UNKNOWN is the largest number */
    return hb_fail(c->error, HB_TRUNCATED, c->at, "%s of %u bytes runs past the end of the file",
                   what, count);
  if (end > HB_GGUF_MAX_HEADER)
    return hb_fail(c->error, HB_UNSUPPORTED, c->at, "%s makes the header larger than %u bytes",
                   what, (uint64_t)HB_GGUF_MAX_HEADER);
  *out = end <= c->size ? GOES_ON : WAITS;
  return HB_OK;
}

#define NEED(count, what)                                                                          \
  do {                                                                                             \
    HB_TRY(need(c, count, what, out));                                                             \
    if (*out == WAITS) return HB_OK;                                                               \
  } while (0)

static hb_status scan_string(scanner *c, uint64_t least, uint64_t most, const char *what,
                             progress *out) {
  NEED(8, what);
  uint64_t length = hb_load_u64(c->bytes + c->at);
  if (length < least || length > most)
    return hb_fail(c->error, HB_FORMAT, c->at, "%s has %u bytes, not %u to %u", what, length, least,
                   most);
  c->at += 8;
  NEED(length, what);
  c->at += length;
  return HB_OK;
}

static hb_status scan_type(scanner *c, hb_value_type *type, progress *out) {
  NEED(4, "a value type");
  uint32_t number = hb_load_u32(c->bytes + c->at);
  if (number > HB_VALUE_F64)
    return hb_fail(c->error, HB_FORMAT, c->at, "unknown value type %u", (uint64_t)number);
  *type = (hb_value_type)number;
  c->at += 4;
  return HB_OK;
}

/* The strings of an array, one by one, each a step that need not be repeated. */
static hb_status scan_strings(scanner *c, progress *out) {
  *out = GOES_ON;
  while (c->scan->strings_left > 0) {
    HB_TRY(scan_string(c, 0, UINT64_MAX, "a string", out));
    if (*out == WAITS) return HB_OK;
    c->scan->cursor = c->at;
    c->scan->strings_left--;
  }
  c->scan->in_array = false;
  return HB_OK;
}

static hb_status scan_array(scanner *c, progress *out) {
  hb_value_type element = HB_VALUE_U8;
  uint64_t start = c->at, bytes;
  HB_TRY(scan_type(c, &element, out));
  if (*out == WAITS) return HB_OK;
  if (element == HB_VALUE_ARRAY)
    return hb_fail(c->error, HB_UNSUPPORTED, start, "an array of arrays");
  NEED(8, "an array's length");
  uint64_t count = hb_load_u64(c->bytes + c->at);
  uint32_t least = element == HB_VALUE_STRING ? 8 : hb_value_bytes(element);
  if (!hb_mul_u64(count, least, &bytes))
    return hb_fail(c->error, HB_TRUNCATED, c->at,
                   "an array of %u elements runs past the end of the file", count);
  c->at += 8;
  HB_TRY(need(c, bytes, "an array", out));
  if (element == HB_VALUE_STRING) {
    c->scan->in_array = true;
    c->scan->strings_left = count;
    c->scan->cursor = c->at;
    return scan_strings(c, out);
  }
  if (*out == GOES_ON) c->at += bytes;
  return HB_OK;
}

static hb_status scan_value(scanner *c, progress *out) {
  hb_value_type type = HB_VALUE_U8;
  if (c->scan->in_array) return scan_strings(c, out);
  HB_TRY(scan_string(c, 1, MAX_KEY, "a key", out));
  if (*out == WAITS) return HB_OK;
  HB_TRY(scan_type(c, &type, out));
  if (*out == WAITS) return HB_OK;
  if (type == HB_VALUE_ARRAY) return scan_array(c, out);
  if (type == HB_VALUE_STRING) return scan_string(c, 0, UINT64_MAX, "a string", out);
  NEED(hb_value_bytes(type), "a value");
  c->at += hb_value_bytes(type);
  return HB_OK;
}

static hb_status scan_tensor(scanner *c, progress *out) {
  HB_TRY(scan_string(c, 1, MAX_NAME, "a tensor's name", out));
  if (*out == WAITS) return HB_OK;
  NEED(4, "a tensor's record");
  uint32_t dims = hb_load_u32(c->bytes + c->at);
  if (dims < 1 || dims > MAX_DIMS)
    return hb_fail(c->error, HB_FORMAT, c->at, "a tensor has %u dimensions, not 1 to %u",
                   (uint64_t)dims, (uint64_t)MAX_DIMS);
  uint64_t rest = 4 + 8 * (uint64_t)dims + 4 + 8;
  NEED(rest, "a tensor's record");
  c->at += rest;
  return HB_OK;
}

static hb_status check_version(const scanner *c, uint32_t version) {
  if (version == 2 || version == 3) return HB_OK;
  if (version != 0 && (version & 0xffff) == 0)
    return hb_fail(c->error, HB_UNSUPPORTED, 4, "the file is big-endian");
  return hb_fail(c->error, HB_UNSUPPORTED, 4, "GGUF version %u; 2 and 3 can be read",
                 (uint64_t)version);
}

/* Refuses numbers of records that the file, or the largest header, has no room for. */
static hb_status check_counts(const scanner *c) {
  hb_scan *s = c->scan;
  uint64_t values, tensors, bytes = 0;
  progress ignored;
  if (!hb_mul_u64(s->value_count, MIN_VALUE_BYTES, &values) ||
      !hb_mul_u64(s->tensor_count, MIN_TENSOR_BYTES, &tensors) ||
      !hb_add_u64(values, tensors, &bytes))
    return hb_fail(c->error, HB_TRUNCATED, 8, "%u tensors and %u keys fit into no file",
                   s->tensor_count, s->value_count);
  if (s->tensor_count > HB_GGUF_MAX_TENSORS)
    return hb_fail(c->error, HB_UNSUPPORTED, 8, "%u tensors, more than %u", s->tensor_count,
                   (uint64_t)HB_GGUF_MAX_TENSORS);
  return need(c, bytes, "the list of keys and tensors", &ignored);
}

static hb_status scan_fixed(scanner *c, progress *out) {
  NEED(4, "the header");
  if (memcmp(c->bytes, "GGUF", 4) != 0)
    return hb_fail(c->error, HB_FORMAT, 0, "the file does not begin with GGUF");
  NEED(HB_GGUF_FIXED_BYTES, "the header");
  HB_TRY(check_version(c, hb_load_u32(c->bytes + 4)));
  c->scan->tensors_left = c->scan->tensor_count = hb_load_u64(c->bytes + 8);
  c->scan->values_left = c->scan->value_count = hb_load_u64(c->bytes + 16);
  c->at = HB_GGUF_FIXED_BYTES;
  return check_counts(c);
}

/* One record of the current stage. */
static hb_status scan_record(scanner *c, progress *out) {
  switch (c->scan->stage) {
  case HB_SCAN_FIXED: return scan_fixed(c, out);
  case HB_SCAN_VALUES: return scan_value(c, out);
  default: return scan_tensor(c, out);
  }
}

/* Goes to the first stage from the current one on that has records left. */
static void next_stage(hb_scan *s) {
  if (s->stage == HB_SCAN_FIXED) s->stage = HB_SCAN_VALUES;
  if (s->stage == HB_SCAN_VALUES && s->values_left == 0) s->stage = HB_SCAN_TENSORS;
  if (s->stage == HB_SCAN_TENSORS && s->tensors_left == 0) s->stage = HB_SCAN_DONE;
}

hb_status hb_scan_run(hb_scan *s, const uint8_t *bytes, uint64_t size, hb_error *error) {
  while (s->stage != HB_SCAN_DONE) {
    scanner c = {s, bytes, size, s->cursor, error};
    progress out = GOES_ON;
    HB_TRY(scan_record(&c, &out));
    if (out == WAITS) return HB_OK;
    s->cursor = c.at;
    if (s->stage == HB_SCAN_VALUES) s->values_left--;
    if (s->stage == HB_SCAN_TENSORS) s->tensors_left--;
    next_stage(s);
  }
  return HB_OK;
}
