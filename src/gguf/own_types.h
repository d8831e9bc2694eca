/* The keys of a file some of whose tensors have types of halfbyte's own (quant/private.h). */
#ifndef HB_OWN_TYPES_H
#define HB_OWN_TYPES_H

#include "gguf/write.h"
#include "quant/private.h"

/* Which tensors do. Begins empty, with its allocator. */
typedef struct hb_own_types {
  const hb_allocator *allocator;
  uint8_t *entries; /* "NAME TYPE", as a GGUF array of strings has them */
  uint64_t bytes, capacity, count;
  uint32_t features; /* bits 1 << HB_FEATURE_..; those of types are set here */
} hb_own_types;

/* Declares the tensor of a matrix [rows][cols], of any type, and notes it if it is one of these. */
hb_status hb_own_types_add_matrix(hb_own_types *types, hb_gguf_writer *writer, hb_string name,
                                  hb_type type, uint64_t cols, uint64_t rows, hb_error *error);

/* Sets halfbyte.tensor_types and halfbyte.features, if there were any, and general.architecture,
 * given its stock name. */
hb_status hb_own_types_set(const hb_own_types *types, hb_gguf_writer *writer,
                           hb_string architecture, hb_error *error);
void hb_own_types_release(hb_own_types *types);

#endif
