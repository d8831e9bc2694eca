/* What every part of the core uses: memory through the caller's allocator, arithmetic on sizes that
 * cannot wrap, and errors with a sentence. */
#ifndef HB_BASE_H
#define HB_BASE_H

#include "halfbyte.h"

#include <stdbool.h>
#include <string.h>

/* ---- Memory ---- */

#define HB_ALIGNMENT 64 /* of every block: a cache line and the widest vector */

/* `allocator`, or the C library's where it is NULL. */
const hb_allocator *hb_allocator_or_default(const hb_allocator *allocator);

/* `size` bytes (0 is allowed and gives a unique block), zeroed or not; NULL if there are none. A
 * size beyond size_t (wasm32) counts as not to be had. */
void *hb_allocate(const hb_allocator *allocator, uint64_t size);
void *hb_allocate_zero(const hb_allocator *allocator, uint64_t size);
/* Gives back what hb_allocate gave for the same size. NULL is fine. */
void hb_release(const hb_allocator *allocator, void *block, uint64_t size);

/* The next `bytes` of a block that is laid out in parts; it is only measured while it is NULL. */
static inline void *hb_take(uint8_t *block, uint64_t *used, uint64_t bytes) {
  uint64_t at = *used;
  *used += bytes + (HB_ALIGNMENT - bytes % HB_ALIGNMENT) % HB_ALIGNMENT;
  return block ? block + at : NULL;
}

/* ---- Sizes: each returns false instead of wrapping ---- */

static inline bool hb_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
  *out = a + b;
  return *out >= a;
}

static inline bool hb_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
  *out = a * b;
  return a == 0 || *out / a == b;
}

/* Rounds up to a multiple of `alignment`, a power of two. */
static inline bool hb_align_u64(uint64_t a, uint64_t alignment, uint64_t *out) {
  bool fits = hb_add_u64(a, alignment - 1, out);
  *out &= ~(alignment - 1);
  return fits;
}

/* ---- Errors ---- */

/* Fills *error (if not NULL) and returns `status`. `format` knows %s (const char *), %S (hb_string
 * by value, made printable and cut to 80 bytes), %u (uint64_t), %d (int64_t) and %%; arguments must
 * have exactly these types. */
hb_status hb_fail(hb_error *error, hb_status status, uint64_t offset, const char *format, ...);

/* Writes a sentence in the same format into out[capacity] (NUL-terminated); returns the length it
 * needs. */
size_t hb_format(char *out, size_t capacity, const char *format, ...);

/* Whether what a caller passes as threads, NULL or not, can be used. */
hb_status hb_check_parallel(const hb_parallel *parallel, hb_error *error);

/* Returns from the calling function with the status of `call` unless it is HB_OK. */
#define HB_TRY(call)                                                                               \
  do {                                                                                             \
    hb_status hb_try_status = (call);                                                              \
    if (hb_try_status != HB_OK) return hb_try_status;                                              \
  } while (0)

/* ---- Strings ---- */

static inline hb_string hb_string_of(const char *text) {
  return (hb_string){text, strlen(text)};
}

static inline bool hb_string_equal(hb_string a, hb_string b) {
  return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* FNV-1a with a final mix, for hash tables. */
uint64_t hb_hash(const void *bytes, size_t count);

/* ---- Little-endian loads from any address ---- */

static inline uint16_t hb_load_u16(const void *at) {
  const uint8_t *b = (const uint8_t *)at;
  return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t hb_load_u32(const void *at) {
  const uint8_t *b = (const uint8_t *)at;
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t hb_load_u64(const void *at) {
  return hb_load_u32(at) | (uint64_t)hb_load_u32((const uint8_t *)at + 4) << 32;
}

static inline void hb_store_u16(void *at, uint16_t v) {
  uint8_t *b = (uint8_t *)at;
  b[0] = (uint8_t)v;
  b[1] = (uint8_t)(v >> 8);
}

#endif
