/* The files of a model. The path "NAME-00001-of-0000N.gguf" stands for N of them. */
#ifndef HB_HOST_SHARDS_H
#define HB_HOST_SHARDS_H

#include "host.h"

typedef struct shard_set {
  const char *path; /* of the first */
  size_t stem;      /* bytes of `path` before "-00001-of-" */
  const char *extension;
  uint32_t count;
  size_t name_capacity; /* bytes that any file's path needs */
} shard_set;

hb_status hb_shards_find(const char *path, shard_set *out, hb_error *error);

/* Writes the path of file `index` to `name`, of name_capacity bytes. */
void hb_shards_name(const shard_set *set, uint32_t index, char *name);

/* Opens file `index`; its path goes to `name`, of name_capacity bytes. */
hb_status hb_shards_open(const shard_set *set, uint32_t index, char *name, hb_file *file,
                         hb_error *error);

#endif
