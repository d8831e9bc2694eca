/* What the files of halfbyte-host share. */
#ifndef HB_HOST_H
#define HB_HOST_H

#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700 /* realpath */
#define _DEFAULT_SOURCE   /* madvise, MAP_ANONYMOUS */
#define _DARWIN_C_SOURCE
#endif

#include "base/base.h"

#include <stdio.h>

#define HOST_SHOWN_PATH 100 /* bytes of a path, from its end, that fit an error's sentence */

const char *hb_host_short_path(const char *path);

/* HB_IO: "cannot VERB PATH: " and the meaning of errno. */
hb_status hb_host_fail_io(hb_error *error, const char *verb, const char *path);

/* Puts a path before the sentence of an error; returns `status`, which may be HB_OK. */
hb_status hb_host_name_path(hb_error *error, const char *path, hb_status status);

/* A copy from malloc, or NULL. */
char *hb_host_copy_text(const char *text);

/* Maps a regular file, which may then be closed; false if that cannot be done. */
bool hb_host_map(FILE *stream, hb_file *out);
/* Lets bytes of a mapped file leave memory. `begin` is a multiple of the size of a page. */
void hb_host_forget(const hb_file *file, uint64_t begin, uint64_t end);

/* Whether two paths lead to the same existing file. */
bool hb_host_same_file(const char *a, const char *b);

bool hb_host_exists(const char *path);
bool hb_host_is_folder(const char *path);
/* True if it is there in the end. */
bool hb_host_make_folder(const char *path);
/* Only one that is empty goes away. */
void hb_host_remove_folder(const char *path);

/* What the context of every source from hb_source_open begins with. */
typedef struct hb_host_source {
  void (*close)(void *context);
  bool (*includes)(const void *context, const char *path);
  void (*forget)(const void *context); /* lets what was read leave memory; NULL: does nothing */
} hb_host_source;

#endif
