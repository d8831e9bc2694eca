/* Folders of Hugging Face as sources: config.json, the tokenizer's files and safetensors, seen as
 * one GGUF file whose header is made and whose tensors are read where they lie. */
#ifndef HB_IMPORT_FOLDER_H
#define HB_IMPORT_FOLDER_H

#include "host/host.h"

/* Opens a folder; the result is closed as every source is. */
hb_status hb_folder_open(const char *path, hb_source *out, hb_error *error);
/* The same without safetensors, which are drawn. */
hb_status hb_folder_open_untrained(const char *path, uint64_t seed, hb_source *out,
                                   hb_error *error);

#endif
