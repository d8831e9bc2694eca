/* Files that appear complete or not at all. */
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef _WIN32
#include <io.h>
#include <process.h>
#define getpid _getpid
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

static hb_status no_memory(hb_error *error, const char *path) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to write %s", hb_host_short_path(path));
}

#ifdef _WIN32

static char *resolve(const char *path, bool *replaceable) {
  *replaceable = true;
  return hb_host_copy_text(path);
}

static FILE *create_new(const char *path) {
  return fopen(path, "wbx");
}

static void take_permissions(FILE *stream, const char *like) {
  (void)stream;
  (void)like;
}

bool hb_host_flush(FILE *stream) {
  return fflush(stream) == 0 && _commit(_fileno(stream)) == 0;
}

static bool move_over(const char *from, const char *to) {
  remove(to);
  return rename(from, to) == 0;
}

#else

/* The real path, and whether a regular file may take that place. */
static char *resolve(const char *path, bool *replaceable) {
  struct stat info;
  *replaceable = true;
  if (stat(path, &info) != 0) return hb_host_copy_text(path);
  *replaceable = S_ISREG(info.st_mode);
  char *real = realpath(path, NULL);
  return real ? real : hb_host_copy_text(path);
}

static FILE *create_new(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return NULL;
  FILE *stream = fdopen(fd, "wb");
  if (!stream) close(fd);
  return stream;
}

/* Those of the file that it will replace. */
static void take_permissions(FILE *stream, const char *like) {
  struct stat info;
  if (stat(like, &info) == 0 && fchmod(fileno(stream), info.st_mode & 0777) != 0) errno = 0;
}

bool hb_host_flush(FILE *stream) {
  return fflush(stream) == 0 && fsync(fileno(stream)) == 0;
}

static bool move_over(const char *from, const char *to) {
  return rename(from, to) == 0;
}

#endif

/* Opens PATH.PROCESS-N.tmp for the first N from 0 that is not there yet. */
static hb_status open_temporary(hb_output *o, hb_error *error) {
  size_t size = strlen(o->path) + 48;
  o->temporary = malloc(size);
  if (!o->temporary) return no_memory(error, o->path);
  for (int n = 0; n < 100; n++) {
    snprintf(o->temporary, size, "%s.%ld-%d.tmp", o->path, (long)getpid(), n);
    o->stream = create_new(o->temporary);
    if (o->stream) take_permissions(o->stream, o->path);
    if (o->stream) return HB_OK;
    if (errno != EEXIST) break;
  }
  hb_status status = hb_host_fail_io(error, "create", o->path);
  free(o->temporary);
  o->temporary = NULL;
  return status;
}

static hb_status open_output(hb_output *o, const char *path, const int *resume, hb_error *error) {
  bool replaceable;
  o->path = resolve(path, &replaceable);
  if (!o->path) return no_memory(error, path);
  if (replaceable)
    return resume ? hb_host_journal_open(o, *resume != 0, error) : open_temporary(o, error);
  o->stream = fopen(o->path, "wb");
  return o->stream ? HB_OK : hb_host_fail_io(error, "write", path);
}

/* resume: NULL where no run can go on with it. */
static hb_status create(const char *path, const int *resume, hb_output **out, hb_error *error) {
  *out = NULL;
  hb_output *o = calloc(1, sizeof *o);
  if (!o) return no_memory(error, path);
  hb_status status = open_output(o, path, resume, error);
  if (status != HB_OK) {
    hb_output_destroy(o);
    return status;
  }
  *out = o;
  return HB_OK;
}

hb_status hb_output_create(const char *path, hb_output **out, hb_error *error) {
  return create(path, NULL, out, error);
}

hb_status hb_output_create_journaled(const char *path, int resume, hb_output **out,
                                     hb_error *error) {
  return create(path, &resume, out, error);
}

hb_status hb_output_write(hb_output *output, const void *bytes, size_t count, hb_error *error) {
  if (fwrite(bytes, 1, count, output->stream) == count) return HB_OK;
  return hb_host_fail_io(error, "write", output->path);
}

hb_status hb_output_commit(hb_output *output, hb_error *error) {
  bool flushed = output->temporary ? hb_host_flush(output->stream) : fflush(output->stream) == 0;
  if (!flushed) return hb_host_fail_io(error, "write", output->path);
  if (output->journal) take_permissions(output->stream, output->path);
  int closed = fclose(output->stream);
  output->stream = NULL;
  if (closed != 0) return hb_host_fail_io(error, "write", output->path);
  if (output->temporary && !move_over(output->temporary, output->path)) {
    return hb_host_fail_io(error, "replace", output->path);
  }
  output->committed = true;
  if (output->journal) hb_host_journal_remove(output->journal);
  return HB_OK;
}

void hb_output_destroy(hb_output *output) {
  if (!output) return;
  bool left = output->journal && !output->committed && hb_host_journal_keeps(output->journal);
  if (output->temporary && !output->committed && !left) remove(output->temporary);
  if (output->stream) fclose(output->stream);
  hb_host_journal_close(output->journal, left);
  free(output->temporary);
  free(output->path);
  free(output);
}
