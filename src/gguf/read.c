/*
 * The GGUF reader. A header is read in two passes: while its bytes arrive they are scanned
 * (scan.h); then, with all of them in one place, the records are listed and checked against each
 * other.
 */
#include "gguf/names.h"
#include "gguf/scan.h"

enum {
  MAX_ALIGNMENT = 65536,
  DEFAULT_ALIGNMENT = 32,
  FEED_PIECE = 65536,
};

typedef enum stage { STAGE_HEADER, STAGE_PADDING, STAGE_DONE, STAGE_FAILED } stage;

typedef struct shard {
  stage stage;
  hb_scan scan;
  uint8_t *bytes; /* the header, without padding */
  uint64_t size;  /* of the header taken so far, at last with padding */
  uint64_t capacity;

  hb_value *values; /* [scan.value_count] */
  hb_names value_names;
  hb_tensor *tensors;    /* [scan.tensor_count] */
  uint64_t first_tensor; /* index of tensors[0] in the whole model */
  uint32_t alignment;
  uint64_t data_start, data_bytes;
} shard;

struct hb_gguf {
  const hb_allocator *allocator;
  shard **shards;
  uint32_t shard_count, shard_capacity;
  uint32_t expected_shards;
  uint64_t tensor_count; /* of all listed shards */
  hb_names tensor_names;
};

static shard *current(const hb_gguf *g) {
  return g->shard_count ? g->shards[g->shard_count - 1] : NULL;
}

static hb_string value_name(const void *context, uint32_t entry) {
  return ((const shard *)context)->values[entry].key;
}

static hb_string tensor_name(const void *context, uint32_t entry) {
  return hb_gguf_tensor_at(context, entry)->name;
}

/* ---- Creating ---- */

hb_status hb_gguf_create(const hb_allocator *allocator, hb_gguf **out, hb_error *error) {
  hb_gguf *g = hb_allocate_zero(allocator, sizeof *g);
  *out = g;
  if (!g) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a GGUF reader");
  g->allocator = allocator;
  g->expected_shards = 1;
  g->tensor_names = (hb_names){.allocator = allocator, .name_of = tensor_name, .context = g};
  return HB_OK;
}

static void destroy_shard(const hb_allocator *a, shard *s) {
  hb_release(a, s->bytes, s->capacity);
  hb_release(a, s->values, s->scan.value_count * sizeof *s->values);
  hb_release(a, s->tensors, s->scan.tensor_count * sizeof *s->tensors);
  hb_names_clear(&s->value_names);
  hb_release(a, s, sizeof *s);
}

void hb_gguf_destroy(hb_gguf *g) {
  if (!g) return;
  for (uint32_t i = 0; i < g->shard_count; i++) destroy_shard(g->allocator, g->shards[i]);
  hb_release(g->allocator, g->shards, (uint64_t)g->shard_capacity * sizeof *g->shards);
  hb_names_clear(&g->tensor_names);
  hb_release(g->allocator, g, sizeof *g);
}

/* Makes room for one more in the list of shards. */
static bool grow_shards(hb_gguf *g) {
  if (g->shard_count < g->shard_capacity) return true;
  uint32_t capacity = g->shard_capacity ? 2 * g->shard_capacity : 1;
  shard **shards = hb_allocate(g->allocator, (uint64_t)capacity * sizeof *shards);
  if (!shards) return false;
  for (uint32_t i = 0; i < g->shard_count; i++) shards[i] = g->shards[i];
  hb_release(g->allocator, g->shards, (uint64_t)g->shard_capacity * sizeof *shards);
  g->shards = shards;
  g->shard_capacity = capacity;
  return true;
}

hb_status hb_gguf_begin_shard(hb_gguf *g, uint64_t file_size, hb_error *error) {
  if (g->shard_count > 0 && current(g)->stage != STAGE_DONE)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the header before is not complete");
  if (g->shard_count == g->expected_shards)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the model has only %u files",
                   (uint64_t)g->expected_shards);
  shard *s = grow_shards(g) ? hb_allocate_zero(g->allocator, sizeof *s) : NULL;
  if (!s) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a shard");
  s->scan.file_size = file_size;
  s->alignment = DEFAULT_ALIGNMENT;
  s->first_tensor = g->tensor_count;
  s->value_names = (hb_names){.allocator = g->allocator, .name_of = value_name, .context = s};
  g->shards[g->shard_count++] = s;
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
    *at += v.count * hb_value_bytes(v.element);
  v.data = s->bytes + start;
  v.bytes = *at - start;
  return v;
}

static const hb_value *value_in(const shard *s, const char *key) {
  uint32_t entry = hb_names_find(&s->value_names, hb_string_of(key));
  return entry == HB_NO_NAME ? NULL : &s->values[entry];
}

static hb_status list_values(const hb_gguf *g, shard *s, uint64_t *at, hb_error *error) {
  uint64_t count = s->scan.value_count;
  s->values = hb_allocate(g->allocator, count * sizeof *s->values);
  if (!s->values) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u keys", count);
  for (uint64_t i = 0; i < count; i++) s->values[i] = take_value(s, at);
  uint32_t twice = 0;
  hb_status status = hb_names_extend(&s->value_names, (uint32_t)count, &twice);
  if (status == HB_FORMAT)
    return hb_fail(error, status, (uint64_t)((const uint8_t *)s->values[twice].key.data - s->bytes),
                   "key %S stands there twice", s->values[twice].key);
  if (status != HB_OK) return hb_fail(error, status, HB_NO_OFFSET, "no memory for %u keys", count);
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

static hb_status check_dims(const hb_tensor *t, uint64_t record, hb_error *error) {
  uint64_t values = 1;
  for (uint32_t d = 0; d < t->dim_count; d++)
    if (t->dims[d] == 0 || t->dims[d] > INT64_MAX || !hb_mul_u64(values, t->dims[d], &values))
      return hb_fail(error, HB_FORMAT, record, "tensor %S: dimension %u of %u values is impossible",
                     t->name, (uint64_t)d, t->dims[d]);
  return HB_OK;
}

/* Checks the type, and sets the size that follows from it and from dimensions that are sound. */
static hb_status measure(hb_tensor *t, uint64_t record, hb_error *error) {
  const hb_type_traits *traits = hb_traits(t->type);
  uint64_t rows = t->dims[1] * t->dims[2] * t->dims[3], row_bytes = 0;
  if (!traits || hb_type_is_private(t->type))
    return hb_fail(error, HB_UNSUPPORTED, record, "tensor %S has the unknown type %u", t->name,
                   (uint64_t)(uint32_t)t->type);
  if (t->dims[0] % traits->block_values != 0)
    return hb_fail(error, HB_FORMAT, record,
                   "tensor %S: rows of %u values do not divide into %s blocks of %u", t->name,
                   t->dims[0], traits->name, (uint64_t)traits->block_values);
  if (!hb_row_bytes(t->type, t->dims[0], &row_bytes) || !hb_mul_u64(row_bytes, rows, &t->bytes))
    return hb_fail(error, HB_FORMAT, record, "tensor %S has more bytes than can be counted",
                   t->name);
  return HB_OK;
}

/* Data come in the order of the records, without overlap, and within the file. */
static hb_status place(shard *s, const hb_tensor *t, uint64_t record, hb_error *error) {
  uint64_t end, file_end;
  if (t->offset % s->alignment != 0)
    return hb_fail(error, HB_FORMAT, record, "tensor %S: offset %u is no multiple of %u", t->name,
                   t->offset, (uint64_t)s->alignment);
  if (t->offset < s->data_bytes)
    return hb_fail(error, HB_FORMAT, record,
                   "tensor %S at offset %u overlaps the one before, which ends at %u", t->name,
                   t->offset, s->data_bytes);
  if (!hb_add_u64(t->offset, t->bytes, &end) || !hb_add_u64(s->data_start, end, &file_end) ||
      file_end > s->scan.file_size)
    return hb_fail(error, HB_TRUNCATED, record,
                   "tensor %S of %u bytes at offset %u runs past the end of the file", t->name,
                   t->bytes, t->offset);
  s->data_bytes = end;
  return HB_OK;
}

static hb_status take_tensor(shard *s, uint64_t *at, hb_tensor *t, hb_error *error) {
  uint64_t record = *at;
  *t = (hb_tensor){.name = take_string(s, at), .dims = {1, 1, 1, 1}};
  t->dim_count = hb_load_u32(s->bytes + *at);
  *at += 4;
  for (uint32_t d = 0; d < t->dim_count; d++, *at += 8) t->dims[d] = hb_load_u64(s->bytes + *at);
  t->type = (hb_type)hb_load_u32(s->bytes + *at);
  t->offset = hb_load_u64(s->bytes + *at + 4);
  *at += 12;
  HB_TRY(check_dims(t, record, error));
  HB_TRY(measure(t, record, error));
  return place(s, t, record, error);
}

static hb_status list_tensors(const hb_gguf *g, shard *s, uint64_t at, hb_error *error) {
  uint64_t count = s->scan.tensor_count;
  s->tensors = hb_allocate(g->allocator, count * sizeof *s->tensors);
  if (!s->tensors)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u tensors", count);
  /* Without tensors there are no data, and a file may end without padding. */
  if (!hb_align_u64(s->scan.cursor, count ? s->alignment : 1, &s->data_start))
    return hb_fail(error, HB_FORMAT, s->scan.cursor, "the header is too large");
  for (uint64_t i = 0; i < count; i++) {
    HB_TRY(take_tensor(s, &at, &s->tensors[i], error));
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

/* Enters the new shard's tensors among those of all shards. */
static hb_status add_tensors(hb_gguf *g, const shard *s, hb_error *error) {
  uint64_t count = s->first_tensor + s->scan.tensor_count;
  if (count > HB_GGUF_MAX_TENSORS)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "%u tensors in all files, more than %u",
                   count, (uint64_t)HB_GGUF_MAX_TENSORS);
  g->tensor_count = count;
  uint32_t twice = 0;
  hb_status status = hb_names_extend(&g->tensor_names, (uint32_t)count, &twice);
  if (status == HB_FORMAT)
    return hb_fail(error, status, HB_NO_OFFSET, "tensor %S stands there twice",
                   tensor_name(g, twice));
  if (status != HB_OK)
    return hb_fail(error, status, HB_NO_OFFSET, "no memory for %u tensors", count);
  return HB_OK;
}

hb_status hb_gguf_check_complete(const hb_gguf *g, hb_error *error) {
  uint64_t complete = g->shard_count;
  if (complete > 0 && current(g)->stage != STAGE_DONE) complete--;
  if (complete != g->expected_shards)
    return hb_fail(error, HB_TRUNCATED, HB_NO_OFFSET, "%u of %u files are complete", complete,
                   (uint64_t)g->expected_shards);
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
  uint64_t at = HB_GGUF_FIXED_BYTES;
  HB_TRY(list_values(g, s, &at, error));
  HB_TRY(read_alignment(s, error));
  HB_TRY(check_split(g, s, error));
  HB_TRY(list_tensors(g, s, at, error));
  return add_tensors(g, s, error);
}

/* Takes bytes up to the last record, and lists the records when they are all there. */
static hb_status feed_records(hb_gguf *g, shard *s, const uint8_t *bytes, size_t count,
                              size_t *used, hb_error *error) {
  while (s->scan.stage != HB_SCAN_DONE && *used < count) {
    size_t piece = count - *used < FEED_PIECE ? count - *used : FEED_PIECE;
    HB_TRY(append(g, s, bytes + *used, piece, error));
    *used += piece;
    HB_TRY(hb_scan_run(&s->scan, s->bytes, s->size, error));
  }
  if (s->scan.stage != HB_SCAN_DONE) return HB_OK;
  *used -= (size_t)(s->size - s->scan.cursor); /* what lies behind them is padding and data */
  s->size = s->scan.cursor;
  s->stage = STAGE_PADDING;
  return list(g, s, error);
}

hb_status hb_gguf_feed(hb_gguf *g, const void *bytes, size_t count, size_t *used, bool *done,
                       hb_error *error) {
  shard *s = current(g);
  *used = 0;
  *done = false;
  if (!s || s->stage == STAGE_DONE || s->stage == STAGE_FAILED)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "no header is being read");
  if (s->stage == STAGE_HEADER) {
    hb_status status = feed_records(g, s, bytes, count, used, error);
    if (status != HB_OK) s->stage = STAGE_FAILED;
    if (s->stage != STAGE_PADDING) return status;
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

uint64_t hb_gguf_shard_data_start(const hb_gguf *g, uint32_t shard) {
  return shard < g->shard_count ? g->shards[shard]->data_start : 0;
}

uint64_t hb_gguf_data_bytes(const hb_gguf *g) {
  return current(g) ? current(g)->data_bytes : 0;
}

uint32_t hb_gguf_alignment(const hb_gguf *g) {
  return current(g) ? current(g)->alignment : DEFAULT_ALIGNMENT;
}

/* Are its records listed? */
static bool listed(const shard *s) {
  return s->stage == STAGE_PADDING || s->stage == STAGE_DONE;
}

size_t hb_gguf_value_count(const hb_gguf *g) {
  return g->shard_count && listed(g->shards[0]) ? (size_t)g->shards[0]->scan.value_count : 0;
}

size_t hb_gguf_tensor_count(const hb_gguf *g) {
  return (size_t)g->tensor_count;
}

const hb_value *hb_gguf_value_at(const hb_gguf *g, size_t index) {
  return index < hb_gguf_value_count(g) ? &g->shards[0]->values[index] : NULL;
}

const hb_tensor *hb_gguf_tensor_at(const hb_gguf *g, size_t index) {
  if (index >= g->tensor_count) return NULL;
  uint32_t low = 0, high = g->shard_count; /* the last shard that begins at or before it */
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (g->shards[middle]->first_tensor <= index)
      low = middle;
    else
      high = middle;
  }
  return &g->shards[low]->tensors[index - g->shards[low]->first_tensor];
}

const hb_value *hb_gguf_value(const hb_gguf *g, const char *key) {
  return g->shard_count && listed(g->shards[0]) ? value_in(g->shards[0], key) : NULL;
}

const hb_tensor *hb_gguf_tensor(const hb_gguf *g, const char *name) {
  uint32_t entry = hb_names_find(&g->tensor_names, hb_string_of(name));
  return entry == HB_NO_NAME ? NULL : hb_gguf_tensor_at(g, entry);
}
