#include "header.h"
#include "shards.h"

#include <stdlib.h>

static hb_status read_shard(hb_gguf *gguf, const hb_file *file, hb_error *error) {
  size_t used;
  bool done;
  HB_TRY(hb_gguf_begin_shard(gguf, file->size, error));
  HB_TRY(hb_gguf_feed(gguf, file->data, (size_t)file->size, &used, &done, error));
  if (done) return HB_OK;
  return hb_fail(error, HB_TRUNCATED, file->size, "the file ends inside its header");
}

static hb_status read_shards(hb_gguf *gguf, const shard_set *set, char *name, hb_error *error) {
  for (uint32_t i = 0; i < set->count; i++) {
    hb_file file;
    HB_TRY(hb_shards_open(set, i, name, &file, error));
    hb_status status = read_shard(gguf, &file, error);
    hb_file_close(&file);
    if (status != HB_OK) return hb_host_name_path(error, name, status);
  }
  return hb_host_name_path(error, set->path, hb_gguf_check_complete(gguf, error));
}

hb_status hb_read_header(const char *path, hb_gguf **out, hb_error *error) {
  *out = NULL;
  shard_set set;
  HB_TRY(hb_shards_find(path, &set, error));
  hb_gguf *gguf;
  HB_TRY(hb_gguf_create(NULL, &gguf, error));
  char *name = malloc(set.name_capacity);
  hb_status status = name ? read_shards(gguf, &set, name, error)
                          : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a path");
  free(name);
  if (status != HB_OK) {
    hb_gguf_destroy(gguf);
    return status;
  }
  *out = gguf;
  return HB_OK;
}
