#include "train/frozen.h"

enum { PIECE = 1 << 18 }; /* bytes that are read at once */

/* Where the last tensor of a file ends. */
static uint64_t file_end(const hb_gguf *gguf, uint32_t shard) {
  uint64_t end = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    if (t->shard == shard && t->offset + t->bytes > end) end = t->offset + t->bytes;
  }
  return hb_gguf_shard_data_start(gguf, shard) + end;
}

static hb_status feed(hb_loader *loader, const hb_source *source, uint8_t *piece, hb_error *error) {
  for (uint32_t shard = 0; shard < hb_gguf_shard_count(source->gguf); shard++) {
    uint64_t end = file_end(source->gguf, shard);
    HB_TRY(hb_loader_begin_file(loader, HB_SIZE_UNKNOWN, error));
    for (uint64_t at = 0; at < end;) {
      size_t count = end - at < PIECE ? (size_t)(end - at) : PIECE;
      HB_TRY(source->read(source->context, shard, at, piece, count, error));
      HB_TRY(hb_loader_feed(loader, piece, count, error));
      at += count;
    }
  }
  return HB_OK;
}

hb_status hb_frozen_load(const hb_load_options *options, const hb_source *source, hb_model **out,
                         hb_error *error) {
  hb_loader *loader;
  *out = NULL;
  HB_TRY(hb_loader_create(options, &loader, error));
  uint8_t *piece = hb_allocate(options->allocator, PIECE);
  hb_status status = piece ? feed(loader, source, piece, error)
                           : hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to read a model");
  if (status == HB_OK) status = hb_loader_finish(loader, out, error);
  hb_release(options->allocator, piece, PIECE);
  hb_loader_destroy(loader);
  return status;
}
