/* Files read once, from their first byte to their last, without ever being held whole. */
#ifndef HB_HOST_STREAM_H
#define HB_HOST_STREAM_H

#include "host.h"

typedef struct hb_stream {
  uint64_t size; /* of the file, or HB_SIZE_UNKNOWN */
  uint64_t at;   /* bytes given out */
  hb_file file;  /* if it could be mapped; else */
  FILE *stream;
  uint8_t *buffer;
} hb_stream;

/* The error names the path. */
hb_status hb_stream_open(const char *path, hb_stream *out, hb_error *error);
/* The next bytes, which are gone after the next call; 0 of them at the end. */
hb_status hb_stream_next(hb_stream *stream, const uint8_t **bytes, size_t *count, hb_error *error);
void hb_stream_close(hb_stream *stream);

#endif
