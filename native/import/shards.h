/* The safetensors of a folder: model.safetensors, or those that model.safetensors.index.json lists.
 */
#ifndef HB_IMPORT_SHARDS_H
#define HB_IMPORT_SHARDS_H

#include "host/host.h"
#include "import/safetensors.h"

#define HB_FOLDER_MAX_FILES 512

typedef struct hb_tensor_files {
  char **paths; /* [count] */
  hb_file *files;
  hb_safetensors *tensors;
  uint32_t count;
} hb_tensor_files;

hb_status hb_tensor_files_open(const char *folder, hb_tensor_files *out, hb_error *error);
void hb_tensor_files_close(hb_tensor_files *files);

/* The path of a file in a folder, for free(); NULL if there is no memory. */
char *hb_folder_path(const char *folder, hb_string name);

#endif
