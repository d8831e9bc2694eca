/* Reading GGUF headers as their bytes arrive, and writing GGUF files.
 *
 * The reader owns one growing buffer with the raw bytes of each shard's header; keys, values and
 * names are views into it. Everything that comes from the file is checked here: who holds an
 * hb_gguf may rely on types, sizes, alignments, offsets (in order, without overlap) and unique
 * names. */
#ifndef HB_GGUF_H
#define HB_GGUF_H

#include "base/base.h"
#include "quant/quant.h"

/* Limits; a file beyond them gets HB_UNSUPPORTED. */
#define HB_GGUF_MAX_HEADER (1u << 29)
#define HB_GGUF_MAX_SHARDS 1024
#define HB_GGUF_MAX_TENSORS (1u << 20) /* of all shards */

hb_status hb_gguf_create(const hb_allocator *allocator, hb_gguf **out, hb_error *error);
void hb_gguf_destroy(hb_gguf *gguf);

/* Starts the header of the next shard, whose file has `file_size` bytes or HB_SIZE_UNKNOWN. */
hb_status hb_gguf_begin_shard(hb_gguf *gguf, uint64_t file_size, hb_error *error);

/* Takes bytes of the current shard's header: sets *used to how many belong to it (with the padding
 * before the data) and *done when it is complete. Views into earlier shards stay valid; those into
 * the current one are valid once it is done. */
hb_status hb_gguf_feed(hb_gguf *gguf, const void *bytes, size_t count, size_t *used, bool *done,
                       hb_error *error);

uint32_t hb_gguf_shard(const hb_gguf *gguf);       /* index of the current one */
uint32_t hb_gguf_shard_count(const hb_gguf *gguf); /* split.count, or 1 */
uint64_t hb_gguf_data_start(const hb_gguf *gguf);  /* file offset of the current shard's data */
uint64_t hb_gguf_data_bytes(const hb_gguf *gguf);  /* up to the end of its last tensor */
uint32_t hb_gguf_alignment(const hb_gguf *gguf);   /* of the current shard */

/* File offset of the data of a shard whose header is complete; else 0. */
uint64_t hb_gguf_shard_data_start(const hb_gguf *gguf, uint32_t shard);

/* After the last shard: all shards are there, and split.tensors.count agrees. */
hb_status hb_gguf_check_complete(const hb_gguf *gguf, hb_error *error);

/* Bytes of a value of a fixed-size type, else 0. */
uint32_t hb_value_bytes(hb_value_type type);

#endif
