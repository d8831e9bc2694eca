/* Files of the safetensors format: a u64 length, a JSON header of that length, then the bytes of
 * the tensors, each where the header says. They are read in place. */
#ifndef HB_IMPORT_SAFETENSORS_H
#define HB_IMPORT_SAFETENSORS_H

#include "gguf/names.h"
#include "import/json.h"

#define HB_SAFETENSORS_MAX_HEADER 100000000u /* as the format's own reader has it */
#define HB_SAFETENSORS_MAX_DIMS 8

typedef struct hb_safetensor {
  hb_string name;
  hb_string dtype;
  bool readable; /* of a type that a model may have: F32, F16 or BF16 */
  hb_type type;  /* if it is */
  uint32_t dim_count;
  uint64_t dims[HB_SAFETENSORS_MAX_DIMS]; /* the last runs fastest; unused ones are 1 */
  const uint8_t *data;                    /* unaligned */
  uint64_t bytes;
} hb_safetensor;

/* Names and types are views into `header`; the bytes of the file must outlive it. */
typedef struct hb_safetensors {
  hb_json header;
  hb_safetensor *tensors;
  uint32_t count;
  hb_names names;
} hb_safetensors;

/* Checks every number of the header: tensors lie inside the file, fill it without gaps or overlaps
 * and have the bytes that their shapes need; names are unique. */
hb_status hb_safetensors_open(const uint8_t *bytes, uint64_t size, hb_safetensors *out,
                              hb_error *error);
void hb_safetensors_close(hb_safetensors *file);

/* The tensor of that name, or NULL. */
const hb_safetensor *hb_safetensors_find(const hb_safetensors *file, hb_string name);

#endif
