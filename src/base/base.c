#include "base/base.h"

#include <stdarg.h>

#ifndef HB_NO_MALLOC
#include <stdlib.h>

/* The C library's allocator. aligned_alloc is missing on Windows, so a block is aligned by hand and
 * the address that malloc gave stands in the bytes before it. */
static void *malloc_allocate(void *context, size_t size, size_t alignment) {
  (void)context;
  if (size > SIZE_MAX - alignment - sizeof(void *)) return NULL;
  void *raw = malloc(size + alignment + sizeof(void *));
  if (!raw) return NULL;
  uintptr_t start = (uintptr_t)raw + sizeof(void *);
  void **block = (void **)((start + alignment - 1) & ~(uintptr_t)(alignment - 1));
  block[-1] = raw;
  return block;
}

static void malloc_release(void *context, void *block, size_t size) {
  (void)context;
  (void)size;
  free(((void **)block)[-1]);
}

static const hb_allocator malloc_allocator = {NULL, malloc_allocate, malloc_release};
#endif

const hb_allocator *hb_allocator_or_default(const hb_allocator *allocator) {
#ifndef HB_NO_MALLOC
  return allocator ? allocator : &malloc_allocator;
#else
  return allocator;
#endif
}

void *hb_allocate(const hb_allocator *allocator, uint64_t size) {
  const hb_allocator *a = hb_allocator_or_default(allocator);
  if (size > SIZE_MAX / 2) return NULL;
  return a->allocate(a->context, size ? (size_t)size : 1, HB_ALIGNMENT);
}

void *hb_allocate_zero(const hb_allocator *allocator, uint64_t size) {
  void *block = hb_allocate(allocator, size);
  if (block) memset(block, 0, (size_t)size);
  return block;
}

void hb_release(const hb_allocator *allocator, void *block, uint64_t size) {
  const hb_allocator *a = hb_allocator_or_default(allocator);
  if (block) a->release(a->context, block, size ? (size_t)size : 1);
}

/* ---- Errors ---- */

typedef struct writer {
  char *out;
  size_t capacity;
  size_t length; /* that the text needs, whether it fits or not */
} writer;

static void put(writer *w, char c) {
  if (w->length + 1 < w->capacity) w->out[w->length] = c;
  w->length++;
}

static void put_text(writer *w, const char *text) {
  for (; *text; text++) put(w, *text);
}

static void put_u64(writer *w, uint64_t v) {
  char digits[20];
  int n = 0;
  do digits[n++] = (char)('0' + v % 10);
  while (v /= 10);
  while (n > 0) put(w, digits[--n]);
}

/* Text from a file: control characters and anything that is not ASCII become '?'. */
static void put_printable(writer *w, hb_string text) {
  size_t shown = text.length < 80 ? text.length : 80;
  for (size_t i = 0; i < shown; i++) {
    char c = text.data[i];
    put(w, c >= 32 && c < 127 ? c : '?');
  }
  if (shown < text.length) put_text(w, "...");
}

static size_t format_list(char *out, size_t capacity, const char *format, va_list args) {
  writer w = {out, capacity, 0};
  for (const char *f = format; *f; f++) {
    if (*f != '%') {
      put(&w, *f);
      continue;
    }
    switch (*++f) {
    case 's': put_text(&w, va_arg(args, const char *)); break;
    case 'S': put_printable(&w, va_arg(args, hb_string)); break;
    case 'u': put_u64(&w, va_arg(args, uint64_t)); break;
    case 'd': {
      int64_t v = va_arg(args, int64_t);
      if (v < 0) put(&w, '-');
      put_u64(&w, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
      break;
    }
    default: put(&w, '%'); break;
    }
  }
  if (capacity > 0) out[w.length < capacity ? w.length : capacity - 1] = 0;
  return w.length;
}

size_t hb_format(char *out, size_t capacity, const char *format, ...) {
  va_list args;
  va_start(args, format);
  size_t length = format_list(out, capacity, format, args);
  va_end(args);
  return length;
}

hb_status hb_fail(hb_error *error, hb_status status, uint64_t offset, const char *format, ...) {
  if (error) {
    va_list args;
    va_start(args, format);
    format_list(error->message, sizeof error->message, format, args);
    va_end(args);
    error->status = status;
    error->offset = offset;
  }
  return status;
}

hb_status hb_check_parallel(const hb_parallel *parallel, hb_error *error) {
  if (!parallel || (parallel->threads >= 1 && parallel->threads <= HB_MAX_THREADS && parallel->run))
    return HB_OK;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "threads must be 1..%u",
                 (uint64_t)HB_MAX_THREADS);
}

const char *hb_status_text(hb_status status) {
  switch (status) {
#define HB_STATUS_CASE(name, number, js, text)                                                     \
  case HB_##name: return text;
    HB_STATUS_LIST(HB_STATUS_CASE)
#undef HB_STATUS_CASE
  }
  return "unknown status";
}

const char *hb_version(void) {
  return HB_VERSION;
}

uint64_t hb_hash(const void *bytes, size_t count) {
  const uint8_t *b = (const uint8_t *)bytes;
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; i++) h = (h ^ b[i]) * 0x100000001b3u;
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}
