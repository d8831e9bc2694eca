/* Folders of Hugging Face for tests: a temporary folder, files in it, safetensors. */
#ifndef HB_TEST_FOLDER_FILES_H
#define HB_TEST_FOLDER_FILES_H

#include "support.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct test_folder {
  char path[64];
} test_folder;

static inline void folder_create(test_folder *f) {
  strcpy(f->path, "/tmp/halfbyte-folder-XXXXXX");
  assert_non_null(mkdtemp(f->path));
}

static inline const char *folder_file(const test_folder *f, const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", f->path, name);
  return path;
}

static inline void folder_write(const test_folder *f, const char *name, const void *bytes,
                                size_t size) {
  FILE *file = fopen(folder_file(f, name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static inline void folder_text(const test_folder *f, const char *name, const char *text) {
  folder_write(f, name, text, strlen(text));
}

static inline void folder_remove(const test_folder *f, const char *name) {
  assert_int_equal(unlink(folder_file(f, name)), 0);
}

static inline void folder_destroy(const test_folder *f) {
  DIR *dir = opendir(f->path);
  assert_non_null(dir);
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
    if (entry->d_name[0] != '.') folder_remove(f, entry->d_name);
  closedir(dir);
  rmdir(f->path);
}

/* ---- safetensors ---- */

typedef struct tensors_file {
  char *header;
  size_t header_size, header_capacity;
  uint8_t *data;
  size_t data_size, data_capacity;
} tensors_file;

static inline void tensors_grow(void *list, size_t *capacity, size_t needed) {
  if (needed <= *capacity) return;
  *capacity = 2 * needed + 1024;
  void **block = list;
  *block = realloc(*block, *capacity);
  assert_non_null(*block);
}

static inline void tensors_print(tensors_file *t, const char *text) {
  size_t length = strlen(text);
  tensors_grow(&t->header, &t->header_capacity, t->header_size + length + 1);
  memcpy(t->header + t->header_size, text, length + 1);
  t->header_size += length;
}

/* Dimensions in the order of the file, the last runs fastest; ends with 0. */
static inline void tensors_add(tensors_file *t, const char *name, const char *dtype,
                               const uint64_t *dims, const void *bytes, size_t size) {
  char line[512];
  int at = snprintf(line, sizeof line, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                    t->header_size ? "," : "{", name, dtype);
  for (int d = 0; dims[d]; d++)
    at += snprintf(line + at, sizeof line - (size_t)at, d ? ",%llu" : "%llu",
                   (unsigned long long)dims[d]);
  snprintf(line + at, sizeof line - (size_t)at, "],\"data_offsets\":[%zu,%zu]}", t->data_size,
           t->data_size + size);
  tensors_print(t, line);
  tensors_grow(&t->data, &t->data_capacity, t->data_size + size);
  memcpy(t->data + t->data_size, bytes, size);
  t->data_size += size;
}

/* The bytes of a file with that header, for free(). */
static inline uint8_t *tensors_bytes(const char *header, const void *data, size_t data_size,
                                     size_t *size) {
  size_t length = strlen(header);
  uint8_t *bytes = malloc(8 + length + data_size);
  assert_non_null(bytes);
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
  memcpy(bytes + 8, header, length);
  if (data_size) memcpy(bytes + 8 + length, data, data_size);
  *size = 8 + length + data_size;
  return bytes;
}

static inline void tensors_write(tensors_file *t, const test_folder *f, const char *name) {
  size_t size;
  tensors_print(t, t->header_size ? "}" : "{}");
  uint8_t *bytes = tensors_bytes(t->header, t->data, t->data_size, &size);
  folder_write(f, name, bytes, size);
  free(bytes);
  free(t->header);
  free(t->data);
  *t = (tensors_file){0};
}

/* ---- Opening ---- */

/* Opens a folder that must be sound. */
static inline hb_source source_of(const char *path) {
  hb_source source;
  hb_error error = {0};
  if (hb_source_open(path, &source, &error) != HB_OK) fail_msg("%s", error.message);
  return source;
}

#endif
