/* What the unit tests share: cmocka, the data of ../shared, files, models. */
#ifndef HB_TEST_SUPPORT_H
#define HB_TEST_SUPPORT_H

#include "halfbyte.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The path of a file of the shared test data, or NULL where there is none. Overwritten by the next
 * call. */
static inline const char *shared_path(const char *relative) {
  static char path[1024];
  const char *root = getenv("HB_SHARED");
  snprintf(path, sizeof path, "%s/%s", root && *root ? root : "../shared", relative);
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  fclose(f);
  return path;
}

/* Ends the test as skipped, saying so, unless the shared data are there. */
#define NEED_SHARED(relative)                                                                      \
  do {                                                                                             \
    if (!shared_path(relative)) {                                                                  \
      print_message("skipped: no shared data (%s)\n", relative);                                   \
      skip();                                                                                      \
    }                                                                                              \
  } while (0)

/* The whole file, for free(); fails the test if it cannot be read. */
static inline uint8_t *read_file(const char *path, size_t *size) {
  FILE *f = path ? fopen(path, "rb") : NULL;
  if (!f) fail_msg("cannot open %s", path ? path : "(nothing)");
  fseek(f, 0, SEEK_END);
  *size = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = malloc(*size + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *size, f), *size);
  fclose(f);
  return bytes;
}

static inline uint8_t *read_shared(const char *relative, size_t *size) {
  return read_file(shared_path(relative), size);
}

/* Loads a model from the bytes of its one file. */
static inline hb_status load_bytes(const uint8_t *bytes, size_t size, hb_isa isa, hb_model **model,
                                   hb_error *error) {
  hb_loader *loader = NULL;
  hb_load_options options = {.isa = isa};
  *model = NULL;
  hb_status status = hb_loader_create(&options, &loader, error);
  if (status == HB_OK) status = hb_loader_begin_file(loader, size, error);
  if (status == HB_OK) status = hb_loader_feed(loader, bytes, size, error);
  if (status == HB_OK) status = hb_loader_finish(loader, model, error);
  hb_loader_destroy(loader);
  return status;
}

/* How many instruction sets there are, on whatever machine. */
#define COUNT_ISA(name, number, text) +1
enum { ISA_COUNT = 0 HB_ISA_LIST(COUNT_ISA) };
#undef COUNT_ISA

/* Loads a model of the shared data; fails the test if that fails. */
static inline hb_model *load_shared(const char *relative, hb_isa isa) {
  size_t size;
  hb_error error = {0};
  hb_model *model;
  uint8_t *bytes = read_shared(relative, &size);
  if (load_bytes(bytes, size, isa, &model, &error) != HB_OK)
    fail_msg("%s: %s", relative, error.message);
  free(bytes);
  return model;
}

/* Sum of squared differences over the sum of squares of `expected`. */
static inline double normalized_squared_error(const float *got, const float *expected, size_t n) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < n; i++) {
    difference += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]);
    norm += (double)expected[i] * expected[i];
  }
  return difference / norm;
}

static inline size_t index_of_largest(const float *x, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

#endif
