/* The files of a model, kept open, whatever it is: for quantizing it or looking into it. */
#include "shards.h"
#include "gguf/gguf.h"
#include "import/folder.h"

#include <stdlib.h>

typedef struct files {
  hb_host_source source; /* first */
  hb_gguf *gguf;
  uint32_t count;
  char *name; /* of the file at hand */
  shard_set set;
  char *path; /* that `set` refers to */
  hb_file file[];
} files;

static hb_status read_bytes(void *context, uint32_t shard, uint64_t offset, void *bytes,
                            size_t count, hb_error *error) {
  files *f = context;
  const hb_file *file = &f->file[shard < f->count ? shard : 0];
  if (shard >= f->count || offset > file->size || count > file->size - offset)
    return hb_fail(error, HB_TRUNCATED, offset, "%s: the file ends before byte %u",
                   hb_host_short_path(f->path), offset + count);
  memcpy(bytes, file->data + offset, count);
  return HB_OK;
}

static hb_status read_header(files *f, uint32_t index, hb_error *error) {
  const hb_file *file = &f->file[index];
  size_t used;
  bool done;
  HB_TRY(hb_gguf_begin_shard(f->gguf, file->size, error));
  HB_TRY(hb_gguf_feed(f->gguf, file->data, (size_t)file->size, &used, &done, error));
  if (done) return HB_OK;
  return hb_fail(error, HB_TRUNCATED, file->size, "the file ends inside its header");
}

static hb_status open_files(files *f, hb_error *error) {
  HB_TRY(hb_gguf_create(NULL, &f->gguf, error));
  for (uint32_t i = 0; i < f->set.count; i++) {
    HB_TRY(hb_shards_open(&f->set, i, f->name, &f->file[i], error));
    f->count = i + 1;
    HB_TRY(hb_host_name_path(error, f->name, read_header(f, i, error)));
  }
  return hb_host_name_path(error, f->path, hb_gguf_check_complete(f->gguf, error));
}

static void close_files(void *context) {
  files *f = context;
  if (!f) return;
  for (uint32_t i = 0; i < f->count; i++) hb_file_close(&f->file[i]);
  hb_gguf_destroy(f->gguf);
  free(f->name);
  free(f->path);
  free(f);
}

static bool is_one_of_files(const void *context, const char *path) {
  const files *f = context;
  for (uint32_t i = 0; i < f->count; i++) {
    hb_shards_name(&f->set, i, f->name);
    if (hb_host_same_file(f->name, path)) return true;
  }
  return false;
}

static hb_status open_gguf(const char *path, hb_source *out, hb_error *error) {
  shard_set set;
  HB_TRY(hb_shards_find(path, &set, error));
  files *f = calloc(1, sizeof *f + set.count * sizeof f->file[0]);
  hb_status status = HB_MEMORY;
  if (f) {
    f->source = (hb_host_source){close_files, is_one_of_files, NULL};
    f->path = hb_host_copy_text(path);
    f->name = malloc(set.name_capacity);
  }
  if (!f || !f->path || !f->name) {
    hb_fail(error, status, HB_NO_OFFSET, "no memory to open %s", hb_host_short_path(path));
  } else if ((status = hb_shards_find(f->path, &f->set, error)) == HB_OK) {
    status = open_files(f, error);
  }
  if (status != HB_OK) {
    close_files(f);
    return status;
  }
  *out = (hb_source){f->gguf, f, read_bytes};
  return HB_OK;
}

hb_status hb_source_open(const char *path, hb_source *out, hb_error *error) {
  *out = (hb_source){0};
  return hb_host_is_folder(path) ? hb_folder_open(path, out, error) : open_gguf(path, out, error);
}

void hb_source_close(hb_source *source) {
  hb_host_source *s = source->context;
  if (s) s->close(s);
  *source = (hb_source){0};
}

int hb_source_includes(const hb_source *source, const char *path) {
  const hb_host_source *s = source->context;
  return s && s->includes(s, path);
}
