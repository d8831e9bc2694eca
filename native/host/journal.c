/* Outputs that a later run can go on with: PATH.unfinished, and PATH.unfinished.journal with its
 * marks, each as it is in memory (every target is little-endian), behind a line that says so. */
#include "output.h"

#include <errno.h>
#include <stdlib.h>

#ifdef _WIN32
#include <io.h>
#else
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#define MAGIC "halfbyte journal 1\n"
enum { MAGIC_BYTES = sizeof MAGIC - 1, MOST_MARKS = 1 << 20 };

struct host_journal {
  hb_journal face;
  hb_output *output;
  char *path;
  FILE *file;     /* the marks; NULL until there is one to write */
  FILE *reader;   /* of what an earlier run wrote, or NULL */
  hb_mark *marks; /* that an earlier run noted */
  size_t marked;  /* marks that stand in the file */
  bool was_there; /* the output was, when it was opened */
  bool begun;     /* it is being written */
  bool given_up;
};

static hb_status no_memory(hb_error *error, const hb_output *o) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to write %s",
                 hb_host_short_path(o->path));
}

static hb_status fail_busy(hb_error *error, const char *path) {
  return hb_fail(error, HB_IO, HB_NO_OFFSET, "another run is writing %s", hb_host_short_path(path));
}

/* ---- The system's part ---- */

#ifdef _WIN32

static hb_status open_unfinished(const char *path, const char *like, FILE **out, hb_error *error) {
  (void)like;
  *out = fopen(path, "r+b");
  if (!*out) *out = fopen(path, "w+b");
  return *out ? HB_OK : hb_host_fail_io(error, "write", path);
}

static bool cut_file(FILE *stream, uint64_t bytes) {
  return fflush(stream) == 0 && _chsize_s(_fileno(stream), (long long)bytes) == 0 &&
         _fseeki64(stream, (long long)bytes, SEEK_SET) == 0;
}

static bool go_to(FILE *stream, uint64_t offset) {
  return _fseeki64(stream, (long long)offset, SEEK_SET) == 0;
}

static uint64_t size_of(FILE *stream) {
  long long size = _filelengthi64(_fileno(stream));
  return size < 0 ? 0 : (uint64_t)size;
}

#else

/* A run locks what it writes, and a file that has got its final name meanwhile is not ours. */
static hb_status lock(int fd, const char *path, hb_error *error) {
  struct stat opened, named;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK ? fail_busy(error, path) : hb_host_fail_io(error, "lock", path);
  if (fstat(fd, &opened) != 0) return hb_host_fail_io(error, "write", path);
  if (stat(path, &named) != 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
    return fail_busy(error, path);
  if (S_ISREG(opened.st_mode)) return HB_OK;
  return hb_fail(error, HB_IO, HB_NO_OFFSET, "%s is no regular file", hb_host_short_path(path));
}

/* With the permissions of the file that it will replace, but that a later run can go on with it. */
static hb_status open_unfinished(const char *path, const char *like, FILE **out, hb_error *error) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return hb_host_fail_io(error, "write", path);
  struct stat info;
  hb_status status = lock(fd, path, error);
  if (status == HB_OK && stat(like, &info) == 0 && fchmod(fd, (info.st_mode & 0777) | 0600) != 0)
    errno = 0;
  *out = status == HB_OK ? fdopen(fd, "r+b") : NULL;
  if (*out) return HB_OK;
  close(fd);
  return status != HB_OK ? status : hb_host_fail_io(error, "write", path);
}

static bool cut_file(FILE *stream, uint64_t bytes) {
  return fflush(stream) == 0 && ftruncate(fileno(stream), (off_t)bytes) == 0 &&
         fseeko(stream, (off_t)bytes, SEEK_SET) == 0;
}

static bool go_to(FILE *stream, uint64_t offset) {
  return fseeko(stream, (off_t)offset, SEEK_SET) == 0;
}

static uint64_t size_of(FILE *stream) {
  struct stat info;
  return fstat(fileno(stream), &info) == 0 ? (uint64_t)info.st_size : 0;
}

#endif

/* ---- What an earlier run left ---- */

/* A mark that was cut off does not count. */
static hb_status read_marks(host_journal *j, FILE *file, hb_error *error) {
  char magic[MAGIC_BYTES];
  uint64_t size = size_of(file);
  if (size == 0) return HB_OK;
  if (fread(magic, 1, sizeof magic, file) != sizeof magic ||
      memcmp(magic, MAGIC, sizeof magic) != 0)
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "%s is no journal of this version",
                   hb_host_short_path(j->path));
  uint64_t count = (size - MAGIC_BYTES) / sizeof *j->marks;
  if (count == 0) return HB_OK;
  if (count > MOST_MARKS) count = MOST_MARKS;
  j->marks = malloc((size_t)count * sizeof *j->marks);
  if (!j->marks) return no_memory(error, j->output);
  j->marked = fread(j->marks, sizeof *j->marks, (size_t)count, file);
  return HB_OK;
}

static hb_status look_back(host_journal *j, hb_error *error) {
  j->was_there = size_of(j->output->stream) > 0;
  FILE *file = fopen(j->path, "rb");
  if (!file) return errno == ENOENT ? HB_OK : hb_host_fail_io(error, "open", j->path);
  hb_status status = read_marks(j, file, error);
  fclose(file);
  if (status != HB_OK || j->marked == 0) return status;
  j->reader = fopen(j->output->temporary, "rb");
  return j->reader ? HB_OK : hb_host_fail_io(error, "open", j->output->temporary);
}

/* ---- As hb_quantize calls it ---- */

static hb_status read_earlier(void *context, uint64_t offset, void *bytes, size_t count,
                              hb_error *error) {
  host_journal *j = context;
  if (go_to(j->reader, offset) && fread(bytes, 1, count, j->reader) == count) return HB_OK;
  if (ferror(j->reader)) return hb_host_fail_io(error, "read", j->output->temporary);
  return hb_fail(error, HB_TRUNCATED, offset, "%s ends early",
                 hb_host_short_path(j->output->temporary));
}

static hb_status open_journal(host_journal *j, hb_error *error) {
  size_t bytes = MAGIC_BYTES + j->marked * sizeof *j->marks;
  j->file = fopen(j->path, j->marked > 0 ? "r+b" : "wb");
  if (!j->file) return hb_host_fail_io(error, "write", j->path);
  if (j->marked > 0 ? cut_file(j->file, bytes) : fwrite(MAGIC, 1, bytes, j->file) == bytes)
    return HB_OK;
  return hb_host_fail_io(error, "write", j->path);
}

/* Marks that no longer hold go before the bytes that they are about. */
static hb_status keep(void *context, const hb_mark *kept, hb_error *error) {
  host_journal *j = context;
  size_t count = 0;
  while (count < j->face.count && kept->bytes > 0 && j->marks[count].bytes <= kept->bytes) count++;
  j->marked = count;
  j->begun = true;
  HB_TRY(open_journal(j, error));
  if (!hb_host_flush(j->file)) return hb_host_fail_io(error, "write", j->path);
  if (cut_file(j->output->stream, kept->bytes)) return HB_OK;
  return hb_host_fail_io(error, "write", j->output->temporary);
}

static hb_status note(void *context, const hb_mark *mark, hb_error *error) {
  host_journal *j = context;
  if (!hb_host_flush(j->output->stream))
    return hb_host_fail_io(error, "write", j->output->temporary);
  if (fwrite(mark, sizeof *mark, 1, j->file) != 1 || !hb_host_flush(j->file))
    return hb_host_fail_io(error, "write", j->path);
  j->marked++;
  return HB_OK;
}

/* ---- The output's ---- */

static char *joined(const char *path, const char *end) {
  size_t size = strlen(path) + strlen(end) + 1;
  char *text = malloc(size);
  if (text) snprintf(text, size, "%s%s", path, end);
  return text;
}

hb_status hb_host_journal_open(hb_output *o, bool resume, hb_error *error) {
  host_journal *j = calloc(1, sizeof *j);
  if (!j) return no_memory(error, o);
  o->journal = j;
  j->output = o;
  o->temporary = joined(o->path, ".unfinished");
  if (o->temporary) j->path = joined(o->temporary, ".journal");
  if (!j->path) return no_memory(error, o);
  j->was_there = true; /* until it is known better: what is another run's stays */
  HB_TRY(open_unfinished(o->temporary, o->path, &o->stream, error));
  hb_status status = look_back(j, error);
  if (status != HB_OK && resume) return status;
  j->face = (hb_journal){.context = j, .read = read_earlier, .keep = keep, .note = note};
  if (!resume) return HB_OK;
  j->face.marks = j->marks;
  j->face.count = j->marked;
  j->face.bytes = size_of(o->stream);
  return HB_OK;
}

bool hb_host_journal_keeps(const host_journal *j) {
  if (j->given_up) return false;
  return j->begun ? j->marked > 0 : j->was_there;
}

void hb_host_journal_remove(host_journal *j) {
  if (j->path) remove(j->path);
}

void hb_host_journal_close(host_journal *j, bool keep) {
  if (!j) return;
  if (j->file) fclose(j->file);
  if (j->reader) fclose(j->reader);
  if (j->begun && !keep) hb_host_journal_remove(j);
  free(j->marks);
  free(j->path);
  free(j);
}

const hb_journal *hb_output_journal(const hb_output *o) {
  return o->journal ? &o->journal->face : NULL;
}

size_t hb_output_marks(const hb_output *o) {
  return o->journal ? o->journal->marked : 0;
}

void hb_output_give_up(hb_output *o) {
  if (o->journal && o->journal->begun) o->journal->given_up = true;
}
