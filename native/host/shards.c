#include "shards.h"
#include "gguf/gguf.h"

#include <stdio.h>

#define NUMBERS "-00001-of-00001"

/* Reads five digits, or returns UINT32_MAX. */
static uint32_t five_digits(const char *at) {
  uint32_t value = 0;
  for (int i = 0; i < 5; i++) {
    if (at[i] < '0' || at[i] > '9') return UINT32_MAX;
    value = value * 10 + (uint32_t)(at[i] - '0');
  }
  return value;
}

hb_status hb_shards_find(const char *path, shard_set *out, hb_error *error) {
  size_t length = strlen(path), numbers = sizeof NUMBERS - 1;
  *out = (shard_set){path, length, "", 1, length + 1};
  const char *dot = strrchr(path, '.');
  size_t end = dot ? (size_t)(dot - path) : length;
  if (end < numbers) return HB_OK;
  const char *at = path + end - numbers;
  if (at[0] != '-' || memcmp(at + 6, "-of-", 4) != 0) return HB_OK;
  uint32_t index = five_digits(at + 1), count = five_digits(at + 10);
  if (index == UINT32_MAX || count == UINT32_MAX) return HB_OK;
  if (index != 1) {
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%s: this is file %u of a split model; give the first one",
                   hb_host_short_path(path), (uint64_t)index);
  }
  if (count < 1 || count > HB_GGUF_MAX_SHARDS) {
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s: a model split in %u files",
                   hb_host_short_path(path), (uint64_t)count);
  }
  out->stem = end - numbers;
  out->extension = path + end;
  out->count = count;
  return HB_OK;
}

void hb_shards_name(const shard_set *set, uint32_t index, char *name) {
  if (set->count == 1) {
    memcpy(name, set->path, set->name_capacity);
  } else {
    snprintf(name, set->name_capacity, "%.*s-%05u-of-%05u%s", (int)set->stem, set->path,
             (unsigned)(index + 1), (unsigned)set->count, set->extension);
  }
}

hb_status hb_shards_open(const shard_set *set, uint32_t index, char *name, hb_file *file,
                         hb_error *error) {
  hb_shards_name(set, index, name);
  return hb_file_open(name, file, error);
}
