/* Writing GGUF v3 files: metadata, then tensor records, then the tensors' bytes as they are made.
 * The result satisfies the strict reader of ggml: data packed in the order of the records,
 * everything padded to general.alignment. */
#ifndef HB_GGUF_WRITE_H
#define HB_GGUF_WRITE_H

#include "gguf/gguf.h"

typedef struct hb_gguf_writer hb_gguf_writer;

/* A status other than HB_OK from the sink ends the writing and is handed on. */
hb_status hb_gguf_writer_create(const hb_allocator *allocator, const hb_sink *sink,
                                hb_gguf_writer **out, hb_error *error);
void hb_gguf_writer_destroy(hb_gguf_writer *writer);

/* ---- 1. Metadata ---- */

/* Begins with all keys of `from`, except split.*, in their order. The values stay where they are:
 * `from` must outlive the header. Only before the first key is set. */
hb_status hb_gguf_writer_copy(hb_gguf_writer *writer, const hb_gguf *from, hb_error *error);

/* Sets a key, in the place of the one of that name or behind all others. The value is copied. */
hb_status hb_gguf_writer_set(hb_gguf_writer *writer, const hb_value *value, hb_error *error);
hb_status hb_gguf_writer_set_u32(hb_gguf_writer *writer, const char *key, uint32_t value,
                                 hb_error *error);
hb_status hb_gguf_writer_set_f32(hb_gguf_writer *writer, const char *key, float value,
                                 hb_error *error);
hb_status hb_gguf_writer_set_bool(hb_gguf_writer *writer, const char *key, int value,
                                  hb_error *error);
hb_status hb_gguf_writer_set_string(hb_gguf_writer *writer, const char *key, hb_string value,
                                    hb_error *error);
hb_status hb_gguf_writer_set_strings(hb_gguf_writer *writer, const char *key,
                                     const hb_string *values, size_t count, hb_error *error);
/* `count` elements of a fixed-size type, little-endian. */
hb_status hb_gguf_writer_set_array(hb_gguf_writer *writer, const char *key, hb_value_type element,
                                   const void *values, size_t count, hb_error *error);

/* Takes a key out, if it is there. */
void hb_gguf_writer_remove(hb_gguf_writer *writer, const char *key);

/* ---- 2. Tensors ---- */

#define HB_GGUF_MAX_WRITTEN_NAME 63 /* bytes; ggml reads no longer ones */

/* Declares the next tensor; its name is copied. */
hb_status hb_gguf_writer_add_tensor(hb_gguf_writer *writer, hb_string name, hb_type type,
                                    uint32_t dim_count, const uint64_t *dims, hb_error *error);

/* ---- 3. The file ---- */

/* Writes the header. No key or tensor can be added afterwards. */
hb_status hb_gguf_writer_begin(hb_gguf_writer *writer, hb_error *error);

/* Writes the next bytes of the tensors, in the order they were declared, in pieces of any size that
 * do not reach over the end of a tensor. Padding is added. */
hb_status hb_gguf_writer_data(hb_gguf_writer *writer, const void *bytes, size_t count,
                              hb_error *error);

/* Checks that every tensor was written whole. */
hb_status hb_gguf_writer_finish(hb_gguf_writer *writer, hb_error *error);

#endif
