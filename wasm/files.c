#include "files.h"
#include "base/base.h"

/* Reads `count` bytes at `offset` of a file; the number of bytes that were there, or -1. */
HB_WASM_IMPORT("read")
int32_t hb_wasm_read(uint32_t file, double offset, void *bytes, size_t count);
/* Takes the next bytes of the result; 0 if that worked. */
HB_WASM_IMPORT("write") int32_t hb_wasm_write(const void *bytes, size_t count);

static hb_status read_bytes(void *context, uint32_t shard, uint64_t offset, void *bytes,
                            size_t count, hb_error *error) {
  const hb_wasm_files *files = context;
  int32_t got = hb_wasm_read(files->first + shard, (double)offset, bytes, count);
  if (got >= 0 && (size_t)got == count) return HB_OK;
  if (got < 0) return hb_fail(error, HB_IO, offset, "the source could not be read");
  return hb_fail(error, HB_TRUNCATED, offset, "the file ends before byte %u", offset + count);
}

hb_source hb_wasm_source(const hb_gguf *gguf, hb_wasm_files *files) {
  return (hb_source){gguf, files, read_bytes};
}

static hb_status write_bytes(void *context, const void *bytes, size_t count, hb_error *error) {
  (void)context;
  if (hb_wasm_write(bytes, count) == 0) return HB_OK;
  return hb_fail(error, HB_IO, HB_NO_OFFSET, "the result could not be written");
}

const hb_sink hb_wasm_sink = {NULL, write_bytes};
