/* Files that JavaScript reads, and what it takes of a result, while functions of the module run: it
 * has to do so without waiting. */
#ifndef HB_WASM_FILES_H
#define HB_WASM_FILES_H

#include "halfbyte.h"

#define HB_WASM_IMPORT(name) __attribute__((import_module("env"), import_name(name)))

/* The number of a source's first file, as JavaScript counts them; others are its shards. */
typedef struct hb_wasm_files {
  uint32_t first;
} hb_wasm_files;

/* The source of a file whose header was read. */
hb_source hb_wasm_source(const hb_gguf *gguf, hb_wasm_files *files);

/* Takes the bytes of the result. */
extern const hb_sink hb_wasm_sink;

#endif
