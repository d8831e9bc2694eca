/* The headers of a GGUF file and its shards, whatever model it holds: for looking into it. */
#ifndef HB_HOST_HEADER_H
#define HB_HOST_HEADER_H

#include "gguf/gguf.h"

/* To be released with hb_gguf_destroy. */
hb_status hb_read_header(const char *path, hb_gguf **out, hb_error *error);

#endif
