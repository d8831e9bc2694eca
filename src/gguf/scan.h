/* The first pass over a header, while its bytes arrive: checks every length and type as soon as it
 * is there, and finds where the header ends. */
#ifndef HB_GGUF_SCAN_H
#define HB_GGUF_SCAN_H

#include "gguf/gguf.h"

typedef enum hb_scan_stage {
  HB_SCAN_FIXED,
  HB_SCAN_VALUES,
  HB_SCAN_TENSORS,
  HB_SCAN_DONE,
} hb_scan_stage;

/* Zeroed but for file_size to begin. Bytes before `cursor` are sound: a record, or a string of an
 * array of strings, is scanned once, however the bytes arrive. */
typedef struct hb_scan {
  uint64_t file_size; /* or HB_SIZE_UNKNOWN */
  hb_scan_stage stage;
  uint64_t cursor;
  uint64_t value_count, tensor_count; /* known after HB_SCAN_FIXED */
  uint64_t values_left, tensors_left;
  bool in_array; /* of strings, of which this many are left: */
  uint64_t strings_left;
} hb_scan;

#define HB_GGUF_FIXED_BYTES 24 /* before the first record */

/* Scans on, as far as bytes[0..size) go: all bytes of the header that have arrived. */
hb_status hb_scan_run(hb_scan *scan, const uint8_t *bytes, uint64_t size, hb_error *error);

#endif
