/* Models from files: a loader fed with their bytes, shard by shard. */
#include "shards.h"
#include "stream.h"
#include "gguf/gguf.h"

#include <stdlib.h>

typedef struct load_job {
  hb_loader *loader;
  const hb_file_progress *progress;
  uint64_t done, total; /* bytes of all files; total grows as files are opened */
  int header_only;
} load_job;

/* Feeds one file; with header_only stops after its header. */
static hb_status feed_file(load_job *job, hb_stream *file, hb_error *error) {
  HB_TRY(hb_loader_begin_file(job->loader, file->size, error));
  for (;;) {
    const uint8_t *bytes;
    size_t count;
    HB_TRY(hb_stream_next(file, &bytes, &count, error));
    if (count == 0) break;
    HB_TRY(hb_loader_feed(job->loader, bytes, count, error));
    const hb_file_progress *p = job->progress;
    if (p && p->report && p->report(p->context, job->done + file->at, job->total)) {
      return hb_fail(error, HB_ABORTED, HB_NO_OFFSET, "loading was stopped");
    }
    if (job->header_only && hb_loader_state(job->loader).header_done) break;
  }
  job->done += file->at;
  return HB_OK;
}

static uint64_t size_of(const hb_stream *file) {
  return file->size == HB_SIZE_UNKNOWN ? 0 : file->size;
}

/* Bytes of all files, as far as they can be opened: what cannot is reported when its turn comes. */
static uint64_t total_size(const shard_set *set, char *name) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < set->count; i++) {
    hb_stream file;
    hb_shards_name(set, i, name);
    if (hb_stream_open(name, &file, NULL) != HB_OK) continue;
    total += size_of(&file);
    hb_stream_close(&file);
  }
  return total;
}

static hb_status feed_files(load_job *job, const shard_set *set, char *name, hb_error *error) {
  for (uint32_t i = 0; i < set->count; i++) {
    hb_stream file;
    hb_shards_name(set, i, name);
    HB_TRY(hb_stream_open(name, &file, error));
    if (set->count == 1) job->total = size_of(&file);
    hb_status status = feed_file(job, &file, error);
    hb_stream_close(&file);
    if (status != HB_OK) return hb_host_name_path(error, name, status);
    uint32_t declared = hb_loader_state(job->loader).shard_count;
    if (i == 0 && declared != set->count) {
      return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                     "%s: the file says it is one of %u, its name says one of %u",
                     hb_host_short_path(name), (uint64_t)declared, (uint64_t)set->count);
    }
  }
  return HB_OK;
}

/* ---- Folders, which are read as the one GGUF file that they stand for ---- */

#define PIECE ((size_t)1 << 20)
#define REMEMBERED (64 * PIECE) /* that may stay in memory though it was read */

static hb_status feed_source(load_job *job, const hb_source *source, uint8_t *piece,
                             hb_error *error) {
  const hb_host_source *host = source->context;
  uint64_t start = hb_gguf_shard_data_start(source->gguf, 0);
  job->total = start + hb_gguf_data_bytes(source->gguf);
  HB_TRY(hb_loader_begin_file(job->loader, job->total, error));
  while (job->done < job->total) {
    uint64_t left = job->total - job->done;
    size_t count = left < PIECE ? (size_t)left : PIECE;
    HB_TRY(source->read(source->context, 0, job->done, piece, count, error));
    HB_TRY(hb_loader_feed(job->loader, piece, count, error));
    job->done += count;
    if (job->done % REMEMBERED == 0 && host->forget) host->forget(host);
    const hb_file_progress *p = job->progress;
    if (p && p->report && p->report(p->context, job->done, job->total))
      return hb_fail(error, HB_ABORTED, HB_NO_OFFSET, "loading was stopped");
    if (job->header_only && hb_loader_state(job->loader).header_done) break;
  }
  return HB_OK;
}

static hb_status feed_folder(load_job *job, const char *path, hb_error *error) {
  hb_source source;
  HB_TRY(hb_source_open(path, &source, error));
  uint8_t *piece = malloc(PIECE);
  hb_status status;
  if (piece)
    status = hb_host_name_path(error, path, feed_source(job, &source, piece, error));
  else
    status =
        hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to read %s", hb_host_short_path(path));
  free(piece);
  hb_source_close(&source);
  return status;
}

/* Feeds the loader of the job all that the options ask for. */
static hb_status load(load_job *job, const char *path, hb_error *error) {
  shard_set set;
  if (hb_host_is_folder(path)) return feed_folder(job, path, error);
  HB_TRY(hb_shards_find(path, &set, error));
  char *name = malloc(set.name_capacity);
  if (!name) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a path");
  if (set.count > 1 && job->progress) job->total = total_size(&set, name);
  hb_status status = feed_files(job, &set, name, error);
  free(name);
  return status;
}

hb_status hb_load_file(const char *path, const hb_load_options *options,
                       const hb_file_progress *progress, hb_model **out, hb_error *error) {
  *out = NULL;
  if (!options) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "loading needs options");
  hb_load_options own = *options;
  if (!own.allocator) own.allocator = hb_host_allocator();
  load_job job = {.progress = progress, .header_only = own.header_only};
  HB_TRY(hb_loader_create(&own, &job.loader, error));
  hb_status status = load(&job, path, error);
  if (status == HB_OK)
    status = hb_host_name_path(error, path, hb_loader_finish(job.loader, out, error));
  hb_loader_destroy(job.loader);
  return status;
}
