#include "stream.h"

#include <errno.h>
#include <stdlib.h>

/* Of a mapped file: enough to divide over threads, little enough to leave a processor's cache
 * last. Of what must be read: what stays in the cache until it is used. */
#define SLICE ((uint64_t)4 << 20)
#define READ_AT_ONCE ((size_t)1 << 20)

#ifdef _WIN32
#define seek_to _fseeki64
#define place_in _ftelli64
#else
#define seek_to fseeko
#define place_in ftello
#endif

/* What has no end that could be found, such as a pipe, has an unknown size. */
static uint64_t size_of(FILE *stream) {
  if (seek_to(stream, 0, SEEK_END) != 0) return HB_SIZE_UNKNOWN;
  int64_t size = place_in(stream);
  return seek_to(stream, 0, SEEK_SET) == 0 && size >= 0 ? (uint64_t)size : HB_SIZE_UNKNOWN;
}

hb_status hb_stream_open(const char *path, hb_stream *out, hb_error *error) {
  *out = (hb_stream){0};
  out->stream = fopen(path, "rb");
  if (!out->stream) return hb_host_fail_io(error, "open", path);
  if (hb_host_map(out->stream, &out->file)) {
    fclose(out->stream);
    out->stream = NULL;
    out->size = out->file.size;
    return HB_OK;
  }
  setvbuf(out->stream, NULL, _IONBF, 0);
  out->size = size_of(out->stream);
  out->buffer = malloc(READ_AT_ONCE);
  if (out->buffer) return HB_OK;
  hb_stream_close(out);
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to read %s", hb_host_short_path(path));
}

static void next_of_map(hb_stream *s, const uint8_t **bytes, size_t *count) {
  if (s->at > 0) hb_host_forget(&s->file, (s->at - 1) / SLICE * SLICE, s->at);
  uint64_t left = s->size - s->at;
  *bytes = s->file.data + s->at;
  *count = (size_t)(left < SLICE ? left : SLICE);
}

hb_status hb_stream_next(hb_stream *s, const uint8_t **bytes, size_t *count, hb_error *error) {
  if (!s->stream) {
    next_of_map(s, bytes, count);
  } else {
    errno = 0;
    *bytes = s->buffer;
    *count = fread(s->buffer, 1, READ_AT_ONCE, s->stream);
    if (ferror(s->stream)) {
      const char *cause = strerror(errno);
      return hb_fail(error, HB_IO, s->at, "cannot be read: %s", cause);
    }
  }
  s->at += *count;
  return HB_OK;
}

void hb_stream_close(hb_stream *s) {
  if (s->stream) fclose(s->stream);
  free(s->buffer);
  hb_file_close(&s->file);
  *s = (hb_stream){0};
}
