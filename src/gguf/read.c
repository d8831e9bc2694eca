/*
 * The GGUF reader. A header is read in two passes: while its bytes arrive, a scanner that can stop
 * anywhere checks every length and type and finds where the header ends; then, with all its bytes
 * in one place, the records are listed.
 *
 *   | "GGUF" | version u32 | tensors u64 | values u64 |
 *   | value:  key string | type u32 | value |                              ... values times
 *   | tensor: name string | dims u32 | u64 a dim | type u32 | offset u64 |  ... tensors times
 *   | padding to general.alignment | data |
 *   string: length u64, bytes.  array: element type u32, count u64, elements
 */
#include "gguf/gguf.h"
#include "gguf/index.h"

enum {
  FIXED_BYTES = 24,
  MIN_VALUE_BYTES = 8 + 1 + 4 + 1,
  MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
  MAX_KEY = 65535,
  MAX_NAME = 255,
  MAX_DIMS = 4,
  MAX_ALIGNMENT = 65536,
  DEFAULT_ALIGNMENT = 32,
  FEED_PIECE = 65536,
};

typedef enum stage { STAGE_FIXED, STAGE_VALUES, STAGE_TENSORS, STAGE_PADDING, STAGE_DONE } stage;

typedef struct shard {
  uint64_t file_size;
  uint8_t *bytes; /* the header, without padding */
  uint64_t size;  /* of the header taken so far, at last with padding */
  uint64_t capacity;

  /* The scanner: records before `cursor` are sound. */
  stage stage;
  uint64_t cursor;
  uint64_t values_left, tensors_left;
  bool in_array; /* of strings: some of its elements lie before the cursor */
  uint64_t strings_left;

  uint64_t value_count, tensor_count;
  hb_value *values;
  hb_name_index value_index;
  hb_tensor *tensors;
  uint64_t first_tensor; /* index of tensors[0] in the whole model */
  uint32_t alignment;
  uint64_t data_start, data_bytes;
} shard;

struct hb_gguf {
  const hb_allocator *allocator;
  shard **shards;
  uint32_t shard_count, shard_capacity;
  uint32_t expected_shards;
  uint64_t tensor_count; /* of all complete headers */
  hb_name_index tensor_index;
};

static shard *current(const hb_gguf *g) {
  return g->shard_count ? g->shards[g->shard_count - 1] : NULL;
}

/* ---- Creating ---- */

hb_status hb_gguf_create(const hb_allocator *allocator, hb_gguf **out, hb_error *error) {
  hb_gguf *g = hb_allocate_zero(allocator, sizeof *g);
  *out = g;
  if (!g) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a GGUF reader");
  g->allocator = allocator;
  g->expected_shards = 1;
  return HB_OK;
}

static void destroy_shard(const hb_allocator *a, shard *s) {
  hb_release(a, s->bytes, s->capacity);
  hb_release(a, s->values, s->value_count * sizeof *s->values);
  hb_release(a, s->tensors, s->tensor_count * sizeof *s->tensors);
  hb_name_index_destroy(a, &s->value_index);
  hb_release(a, s, sizeof *s);
}

void hb_gguf_destroy(hb_gguf *g) {
  if (!g) return;
  for (uint32_t i = 0; i < g->shard_count; i++) destroy_shard(g->allocator, g->shards[i]);
  hb_release(g->allocator, g->shards, (uint64_t)g->shard_capacity * sizeof *g->shards);
  hb_name_index_destroy(g->allocator, &g->tensor_index);
  hb_release(g->allocator, g, sizeof *g);
}

hb_status hb_gguf_begin_shard(hb_gguf *g, uint64_t file_size, hb_error *error) {
  if (g->shard_count > 0 && current(g)->stage != STAGE_DONE)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the header before is not complete");
  if (g->shard_count == g->shard_capacity) {
    uint32_t capacity = g->shard_capacity ? 2 * g->shard_capacity : 1;
    shard **shards = hb_allocate(g->allocator, (uint64_t)capacity * sizeof *shards);
    if (!shards) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a shard");
    for (uint32_t i = 0; i < g->shard_count; i++) shards[i] = g->shards[i];
    hb_release(g->allocator, g->shards, (uint64_t)g->shard_capacity * sizeof *shards);
    g->shards = shards;
    g->shard_capacity = capacity;
  }
  shard *s = hb_allocate_zero(g->allocator, sizeof *s);
  if (!s) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a shard");
  s->file_size = file_size;
  s->alignment = DEFAULT_ALIGNMENT;
  s->first_tensor = g->tensor_count;
  g->shards[g->shard_count++] = s;
  return HB_OK;
}

/* ---- Scanning ---- */

/* What a step of the scanner finds: go on, or wait for more bytes. */
typedef enum progress { GOES_ON, WAITS } progress;

typedef struct scanner {
  shard *s;
  uint64_t at; /* runs ahead of s->cursor within a record */
  hb_error *error;
} scanner;

/* Are `count` bytes there at c->at? Refuses what cannot come. */
static hb_status need(const scanner *c, uint64_t count, const char *what, progress *out) {
  uint64_t end;
  bool fits = hb_add_u64(c->at, count, &end);
  if (!fits || (c->s->file_size != HB_SIZE_UNKNOWN && end > c->s->file_size))
    return hb_fail(c->error, HB_TRUNCATED, c->at, "%s of %u bytes runs past the end of the file",
                   what, count);
  if (end > HB_GGUF_MAX_HEADER)
    return hb_fail(c->error, HB_UNSUPPORTED, c->at, "%s makes the header larger than %u bytes",
                   what, (uint64_t)HB_GGUF_MAX_HEADER);
  *out = end <= c->s->size ? GOES_ON : WAITS;
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
  uint64_t length = hb_load_u64(c->s->bytes + c->at);
  if (length < least || length > most)
    return hb_fail(c->error, HB_FORMAT, c->at, "%s has %u bytes, not %u to %u", what, length, least,
                   most);
  c->at += 8;
  NEED(length, what);
  c->at += length;
  return HB_OK;
}

static uint32_t fixed_bytes(uint32_t type) {
  switch (type) {
#define VALUE_BYTES(name, id, bytes)                                                               \
  case id: return bytes;
    HB_VALUE_LIST(VALUE_BYTES)
#undef VALUE_BYTES
  default: return 0;
  }
}

static hb_status scan_type(scanner *c, uint32_t *type, progress *out) {
  NEED(4, "a value type");
  *type = hb_load_u32(c->s->bytes + c->at);
  if (*type > HB_VALUE_F64)
    return hb_fail(c->error, HB_FORMAT, c->at, "unknown value type %u", (uint64_t)*type);
  c->at += 4;
  return HB_OK;
}

/* The strings of an array, one by one, each a step that need not be repeated. */
static hb_status scan_strings(scanner *c, progress *out) {
  *out = GOES_ON;
  while (c->s->strings_left > 0) {
    HB_TRY(scan_string(c, 0, HB_GGUF_MAX_HEADER, "a string", out));
    if (*out == WAITS) return HB_OK;
    c->s->cursor = c->at;
    c->s->strings_left--;
  }
  c->s->in_array = false;
  return HB_OK;
}

static hb_status scan_array(scanner *c, progress *out) {
  uint32_t element;
  HB_TRY(scan_type(c, &element, out));
  if (*out == WAITS) return HB_OK;
  if (element == HB_VALUE_ARRAY)
    return hb_fail(c->error, HB_UNSUPPORTED, c->at, "an array of arrays");
  NEED(8, "an array's length");
  uint64_t count = hb_load_u64(c->s->bytes + c->at), bytes;
  c->at += 8;
  uint32_t each = element == HB_VALUE_STRING ? 8 : fixed_bytes(element);
  if (!hb_mul_u64(count, each, &bytes))
    return hb_fail(c->error, HB_FORMAT, c->at, "an array of %u elements", count);
  HB_TRY(need(c, bytes, "an array", out));
  if (element == HB_VALUE_STRING) {
    c->s->in_array = true;
    c->s->strings_left = count;
    c->s->cursor = c->at;
    return scan_strings(c, out);
  }
  if (*out == GOES_ON) c->at += bytes;
  return HB_OK;
}

static hb_status scan_value(scanner *c, progress *out) {
  uint32_t type;
  if (c->s->in_array) return scan_strings(c, out);
  HB_TRY(scan_string(c, 1, MAX_KEY, "a key", out));
  if (*out == WAITS) return HB_OK;
  HB_TRY(scan_type(c, &type, out));
  if (*out == WAITS) return HB_OK;
  if (type == HB_VALUE_ARRAY) return scan_array(c, out);
  if (type == HB_VALUE_STRING) return scan_string(c, 0, HB_GGUF_MAX_HEADER, "a string", out);
  NEED(fixed_bytes(type), "a value");
  c->at += fixed_bytes(type);
  return HB_OK;
}

static hb_status scan_tensor(scanner *c, progress *out) {
  HB_TRY(scan_string(c, 1, MAX_NAME, "a tensor's name", out));
  if (*out == WAITS) return HB_OK;
  NEED(4, "a tensor's record");
  uint32_t dims = hb_load_u32(c->s->bytes + c->at);
  if (dims < 1 || dims > MAX_DIMS)
    return hb_fail(c->error, HB_FORMAT, c->at, "a tensor has %u dimensions, not 1 to %u",
                   (uint64_t)dims, (uint64_t)MAX_DIMS);
  uint64_t rest = 4 + 8 * (uint64_t)dims + 4 + 8;
  NEED(rest, "a tensor's record");
  c->at += rest;
  return HB_OK;
}

static hb_status scan_fixed(scanner *c, progress *out) {
  shard *s = c->s;
  const uint8_t *b = s->bytes;
  size_t there = s->size < 4 ? (size_t)s->size : 4;
  if (memcmp(b, "GGUF", there) != 0)
    return hb_fail(c->error, HB_FORMAT, 0, "the file does not begin with GGUF");
  NEED(FIXED_BYTES, "the header");
  uint32_t version = hb_load_u32(b + 4);
  if ((version & 0xffff) == 0)
    return hb_fail(c->error, HB_UNSUPPORTED, 4, "the file is big-endian");
  if (version != 2 && version != 3)
    return hb_fail(c->error, HB_UNSUPPORTED, 4, "GGUF version %u", (uint64_t)version);
  s->tensors_left = s->tensor_count = hb_load_u64(b + 8);
  s->values_left = s->value_count = hb_load_u64(b + 16);
  c->at += FIXED_BYTES;
  uint64_t values, tensors, bytes = 0;
  bool fits = hb_mul_u64(s->value_count, MIN_VALUE_BYTES, &values) &&
              hb_mul_u64(s->tensor_count, MIN_TENSOR_BYTES, &tensors) &&
              hb_add_u64(values, tensors, &bytes);
  progress ignored;
  if (!fits)
    return hb_fail(c->error, HB_FORMAT, 8, "%u tensors and %u keys", s->tensor_count,
                   s->value_count);
  return need(c, bytes, "the list of keys and tensors", &ignored);
}

/* Scans as far as the bytes go. */
static hb_status scan(shard *s, hb_error *error) {
  while (s->stage < STAGE_PADDING) {
    scanner c = {s, s->cursor, error};
    progress out = GOES_ON;
    if (s->stage == STAGE_FIXED) {
      HB_TRY(scan_fixed(&c, &out));
    } else if (s->stage == STAGE_VALUES && s->values_left > 0) {
      HB_TRY(scan_value(&c, &out));
    } else if (s->stage == STAGE_TENSORS && s->tensors_left > 0) {
      HB_TRY(scan_tensor(&c, &out));
    } else {
      s->stage++;
      continue;
    }
    if (out == WAITS) return HB_OK;
    s->cursor = c.at;
    if (s->stage == STAGE_FIXED)
      s->stage++;
    else if (s->stage == STAGE_VALUES)
      s->values_left--;
    else
      s->tensors_left--;
  }
  return HB_OK;
}

/* ---- Listing: every record has been scanned ---- */

static hb_string take_string(const shard *s, uint64_t *at) {
  hb_string text = {(const char *)s->bytes + *at + 8, (size_t)hb_load_u64(s->bytes + *at)};
  *at += 8 + text.length;
  return text;
}

static hb_value take_value(const shard *s, uint64_t *at) {
  hb_value v = {.key = take_string(s, at), .count = 1};
  v.type = v.element = (hb_value_type)hb_load_u32(s->bytes + *at);
  *at += 4;
  if (v.type == HB_VALUE_ARRAY) {
    v.element = (hb_value_type)hb_load_u32(s->bytes + *at);
    v.count = hb_load_u64(s->bytes + *at + 4);
    *at += 12;
  }
  uint64_t start = *at;
  if (v.element == HB_VALUE_STRING)
    for (uint64_t i = 0; i < v.count; i++) take_string(s, at);
  else
    *at += v.count * fixed_bytes(v.element);
  v.data = s->bytes + start;
  v.bytes = *at - start;
  return v;
}

static hb_string key_of(const void *context, uint32_t entry) {
  return ((const shard *)context)->values[entry].key;
}

static const hb_value *value_in(const shard *s, const char *key) {
  uint32_t entry = hb_name_index_find(&s->value_index, hb_string_of(key), key_of, s);
  return entry == UINT32_MAX ? NULL : &s->values[entry];
}

static hb_status list_values(const hb_gguf *g, shard *s, uint64_t *at, hb_error *error) {
  s->values = hb_allocate(g->allocator, s->value_count * sizeof *s->values);
  if (!s->values || !hb_name_index_create(g->allocator, s->value_count, &s->value_index))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u keys", s->value_count);
  for (uint64_t i = 0; i < s->value_count; i++) {
    uint64_t start = *at;
    s->values[i] = take_value(s, at);
    if (!hb_name_index_add(&s->value_index, (uint32_t)i, key_of, s))
      return hb_fail(error, HB_FORMAT, start, "key %S stands there twice", s->values[i].key);
  }
  return HB_OK;
}

static hb_status read_alignment(shard *s, hb_error *error) {
  const hb_value *v = value_in(s, "general.alignment");
  if (!v) return HB_OK;
  uint64_t alignment = v->type == HB_VALUE_U32 ? hb_load_u32(v->data) : 0;
  if (alignment == 0 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
    return hb_fail(error, HB_FORMAT, (uint64_t)(v->data - s->bytes),
                   "general.alignment is no power of two from 1 to %u as u32",
                   (uint64_t)MAX_ALIGNMENT);
  s->alignment = (uint32_t)alignment;
  return HB_OK;
}

/* Reads the record and checks its numbers against each other. */
static hb_status take_tensor(const shard *s, uint64_t *at, hb_tensor *t, hb_error *error) {
  uint64_t start = *at, values = 1, rows = 1, row_bytes;
  *t = (hb_tensor){.name = take_string(s, at), .dims = {1, 1, 1, 1}};
  t->dim_count = hb_load_u32(s->bytes + *at);
  *at += 4;
  for (uint32_t d = 0; d < t->dim_count; d++, *at += 8) {
    t->dims[d] = hb_load_u64(s->bytes + *at);
    if (t->dims[d] == 0 || t->dims[d] > INT64_MAX || !hb_mul_u64(values, t->dims[d], &values))
      return hb_fail(error, HB_FORMAT, *at, "tensor %S has an impossible dimension %u", t->name,
                     t->dims[d]);
    if (d > 0) rows *= t->dims[d];
  }
  t->type = (hb_type)hb_load_u32(s->bytes + *at);
  t->offset = hb_load_u64(s->bytes + *at + 4);
  *at += 12;
  const hb_type_traits *traits = hb_traits(t->type);
  if (!traits)
    return hb_fail(error, HB_UNSUPPORTED, start, "tensor %S has the unknown type %u", t->name,
                   (uint64_t)(uint32_t)t->type);
  if (!hb_row_bytes(t->type, t->dims[0], &row_bytes) || !hb_mul_u64(row_bytes, rows, &t->bytes))
    return hb_fail(error, HB_FORMAT, start,
                   "tensor %S: rows of %u values do not divide into %s blocks of %u", t->name,
                   t->dims[0], traits->name, (uint64_t)traits->block_values);
  if (t->offset % s->alignment != 0)
    return hb_fail(error, HB_FORMAT, start, "tensor %S: offset %u is no multiple of %u", t->name,
                   t->offset, (uint64_t)s->alignment);
  return HB_OK;
}

/* Data come in the order of the records, without overlap, and within the file. */
static hb_status place_tensor(shard *s, const hb_tensor *t, hb_error *error) {
  uint64_t end, file_end;
  if (t->offset < s->data_bytes)
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                   "tensor %S at offset %u overlaps the one before, which ends at %u", t->name,
                   t->offset, s->data_bytes);
  if (!hb_add_u64(t->offset, t->bytes, &end) || !hb_add_u64(s->data_start, end, &file_end) ||
      (s->file_size != HB_SIZE_UNKNOWN && file_end > s->file_size))
    return hb_fail(error, HB_TRUNCATED, HB_NO_OFFSET,
                   "tensor %S of %u bytes at offset %u runs past the end of the file", t->name,
                   t->bytes, t->offset);
  s->data_bytes = end;
  return HB_OK;
}

static hb_status list_tensors(const hb_gguf *g, shard *s, uint64_t at, hb_error *error) {
  s->tensors = hb_allocate(g->allocator, s->tensor_count * sizeof *s->tensors);
  if (!s->tensors)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u tensors", s->tensor_count);
  if (!hb_align_u64(s->cursor, s->tensor_count ? s->alignment : 1, &s->data_start))
    return hb_fail(error, HB_FORMAT, s->cursor, "the header is too large");
  for (uint64_t i = 0; i < s->tensor_count; i++) {
    HB_TRY(take_tensor(s, &at, &s->tensors[i], error));
    HB_TRY(place_tensor(s, &s->tensors[i], error));
    s->tensors[i].shard = g->shard_count - 1;
  }
  return HB_OK;
}

/* ---- Shards ---- */

/* An integer in 0..limit, or `absent`. */
static hb_status split_number(const shard *s, const char *key, uint64_t absent, uint64_t limit,
                              uint64_t *out, hb_error *error) {
  const hb_value *v = value_in(s, key);
  *out = absent;
  if (!v) return HB_OK;
  HB_TRY(hb_value_u64(v, 0, out, error));
  if (*out > limit)
    return hb_fail(error, HB_UNSUPPORTED, (uint64_t)(v->data - s->bytes), "%s is %u, more than %u",
                   key, *out, limit);
  return HB_OK;
}

static hb_status check_split(hb_gguf *g, const shard *s, hb_error *error) {
  uint64_t number, count;
  HB_TRY(split_number(s, "split.no", 0, HB_GGUF_MAX_SHARDS, &number, error));
  HB_TRY(split_number(s, "split.count", 1, HB_GGUF_MAX_SHARDS, &count, error));
  if (count == 0) count = 1;
  if (g->shard_count == 1) g->expected_shards = (uint32_t)count;
  if (number != g->shard_count - 1 || count != g->expected_shards || number >= count)
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                   "this is shard %u of %u, where shard %u of %u should be", number + 1, count,
                   (uint64_t)g->shard_count, (uint64_t)g->expected_shards);
  return HB_OK;
}

static hb_string name_of(const void *context, uint32_t entry) {
  return hb_gguf_tensor_at(context, entry)->name;
}

/* Enters the new shard's tensors, and makes the table larger for all when it must. */
static hb_status index_tensors(hb_gguf *g, shard *s, hb_error *error) {
  uint64_t first = s->first_tensor;
  if (!hb_add_u64(first, s->tensor_count, &g->tensor_count) || g->tensor_count >= UINT32_MAX / 4)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "too many tensors");
  if (2 * g->tensor_count > g->tensor_index.size) {
    hb_name_index_destroy(g->allocator, &g->tensor_index);
    if (!hb_name_index_create(g->allocator, g->tensor_count, &g->tensor_index))
      return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u tensors", g->tensor_count);
    first = 0;
  }
  for (uint64_t i = first; i < g->tensor_count; i++)
    if (!hb_name_index_add(&g->tensor_index, (uint32_t)i, name_of, g))
      return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "tensor %S stands there twice",
                     name_of(g, (uint32_t)i));
  return HB_OK;
}

hb_status hb_gguf_check_complete(const hb_gguf *g, hb_error *error) {
  if (g->shard_count != g->expected_shards || current(g)->stage != STAGE_DONE)
    return hb_fail(error, HB_TRUNCATED, HB_NO_OFFSET, "%u of %u files are complete",
                   (uint64_t)g->shard_count, (uint64_t)g->expected_shards);
  uint64_t expected;
  HB_TRY(split_number(g->shards[0], "split.tensors.count", g->tensor_count, UINT32_MAX, &expected,
                      error));
  if (expected != g->tensor_count)
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "the shards hold %u tensors, not %u",
                   g->tensor_count, expected);
  return HB_OK;
}

/* ---- Feeding ---- */

static hb_status append(const hb_gguf *g, shard *s, const uint8_t *bytes, size_t count,
                        hb_error *error) {
  if (s->size + count > s->capacity) {
    uint64_t capacity = s->capacity ? 2 * s->capacity : 4096;
    while (capacity < s->size + count) capacity *= 2;
    uint8_t *larger = hb_allocate(g->allocator, capacity);
    if (!larger)
      return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a header of %u bytes",
                     capacity);
    if (s->bytes) memcpy(larger, s->bytes, (size_t)s->size);
    hb_release(g->allocator, s->bytes, s->capacity);
    s->bytes = larger;
    s->capacity = capacity;
  }
  memcpy(s->bytes + s->size, bytes, count);
  s->size += count;
  return HB_OK;
}

static hb_status list(hb_gguf *g, shard *s, hb_error *error) {
  uint64_t at = FIXED_BYTES;
  HB_TRY(list_values(g, s, &at, error));
  HB_TRY(read_alignment(s, error));
  HB_TRY(check_split(g, s, error));
  HB_TRY(list_tensors(g, s, at, error));
  return index_tensors(g, s, error);
}

hb_status hb_gguf_feed(hb_gguf *g, const void *data, size_t count, size_t *used, bool *done,
                       hb_error *error) {
  shard *s = current(g);
  const uint8_t *bytes = data;
  *used = 0;
  *done = false;
  if (!s || s->stage == STAGE_DONE)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "no header is being read");
  while (s->stage < STAGE_PADDING && *used < count) {
    size_t piece = count - *used < FEED_PIECE ? count - *used : FEED_PIECE;
    HB_TRY(append(g, s, bytes + *used, piece, error));
    *used += piece;
    HB_TRY(scan(s, error));
  }
  if (s->stage < STAGE_PADDING) return HB_OK;
  if (!s->values) {                         /* all records are there for the first time */
    *used -= (size_t)(s->size - s->cursor); /* what lies behind them is padding and data */
    s->size = s->cursor;
    HB_TRY(list(g, s, error));
  }
  uint64_t padding = s->data_start - s->size;
  size_t piece = count - *used < padding ? count - *used : (size_t)padding;
  *used += piece;
  s->size += piece;
  if (s->size == s->data_start) s->stage = STAGE_DONE;
  *done = s->stage == STAGE_DONE;
  return HB_OK;
}

/* ---- Asking ---- */

uint32_t hb_gguf_shard(const hb_gguf *g) {
  return g->shard_count ? g->shard_count - 1 : 0;
}

uint32_t hb_gguf_shard_count(const hb_gguf *g) {
  return g->expected_shards;
}

uint64_t hb_gguf_data_start(const hb_gguf *g) {
  return current(g) ? current(g)->data_start : 0;
}

uint64_t hb_gguf_data_bytes(const hb_gguf *g) {
  return current(g) ? current(g)->data_bytes : 0;
}

uint32_t hb_gguf_alignment(const hb_gguf *g) {
  return current(g) ? current(g)->alignment : DEFAULT_ALIGNMENT;
}

size_t hb_gguf_value_count(const hb_gguf *g) {
  return g->shard_count && g->shards[0]->values ? (size_t)g->shards[0]->value_count : 0;
}

size_t hb_gguf_tensor_count(const hb_gguf *g) {
  return (size_t)g->tensor_count;
}

const hb_value *hb_gguf_value_at(const hb_gguf *g, size_t index) {
  return index < hb_gguf_value_count(g) ? &g->shards[0]->values[index] : NULL;
}

const hb_tensor *hb_gguf_tensor_at(const hb_gguf *g, size_t index) {
  if (index >= g->tensor_count) return NULL;
  uint32_t i = g->shard_count - 1;
  while (g->shards[i]->first_tensor > index) i--;
  return &g->shards[i]->tensors[index - g->shards[i]->first_tensor];
}

const hb_value *hb_gguf_value(const hb_gguf *g, const char *key) {
  return g->shard_count ? value_in(g->shards[0], key) : NULL;
}

const hb_tensor *hb_gguf_tensor(const hb_gguf *g, const char *name) {
  uint32_t entry = hb_name_index_find(&g->tensor_index, hb_string_of(name), name_of, g);
  return entry == UINT32_MAX ? NULL : hb_gguf_tensor_at(g, entry);
}
