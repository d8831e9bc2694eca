/* Whole files for reading. */
#include "host.h"

#include <errno.h>
#include <stdlib.h>

hb_status hb_host_fail_io(hb_error *error, const char *verb, const char *path) {
  const char *cause = strerror(errno);
  return hb_fail(error, HB_IO, HB_NO_OFFSET, "cannot %s %s: %s", verb, hb_host_short_path(path),
                 cause);
}

const char *hb_host_short_path(const char *path) {
  size_t length = strlen(path);
  return length > HOST_SHOWN_PATH ? path + length - HOST_SHOWN_PATH : path;
}

hb_status hb_host_name_path(hb_error *error, const char *path, hb_status status) {
  if (!error || status == HB_OK) return status;
  hb_error copy = *error;
  return hb_fail(error, status, copy.offset, "%s: %s", hb_host_short_path(path), copy.message);
}

char *hb_host_copy_text(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = malloc(size);
  if (copy) memcpy(copy, text, size);
  return copy;
}

#ifdef _WIN32
#include <direct.h>
#include <sys/stat.h>

bool hb_host_same_file(const char *a, const char *b) {
  return _stricmp(a, b) == 0;
}

bool hb_host_exists(const char *path) {
  struct _stat64 info;
  return _stat64(path, &info) == 0;
}

bool hb_host_is_folder(const char *path) {
  struct _stat64 info;
  return _stat64(path, &info) == 0 && (info.st_mode & _S_IFDIR) != 0;
}

bool hb_host_make_folder(const char *path) {
  return hb_host_is_folder(path) || _mkdir(path) == 0;
}

void hb_host_remove_folder(const char *path) {
  (void)_rmdir(path);
}

bool hb_host_map(FILE *stream, hb_file *out) {
  (void)stream;
  (void)out;
  return false;
}

void hb_host_forget(const hb_file *file, uint64_t begin, uint64_t end) {
  (void)file;
  (void)begin;
  (void)end;
}

static hb_status read_all(FILE *stream, const char *path, hb_file *out, hb_error *error) {
  if (_fseeki64(stream, 0, SEEK_END) != 0) return hb_host_fail_io(error, "read", path);
  int64_t size = _ftelli64(stream);
  if (size < 0 || _fseeki64(stream, 0, SEEK_SET) != 0) return hb_host_fail_io(error, "read", path);
  uint8_t *data = malloc(size ? (size_t)size : 1);
  if (!data) {
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of %s", (uint64_t)size,
                   hb_host_short_path(path));
  }
  if (fread(data, 1, (size_t)size, stream) != (size_t)size) {
    free(data);
    return hb_host_fail_io(error, "read", path);
  }
  *out = (hb_file){data, (uint64_t)size, 0};
  return HB_OK;
}

hb_status hb_file_open(const char *path, hb_file *out, hb_error *error) {
  *out = (hb_file){0};
  FILE *stream = fopen(path, "rb");
  if (!stream) return hb_host_fail_io(error, "open", path);
  hb_status status = read_all(stream, path, out, error);
  fclose(stream);
  return status;
}

void hb_file_close(hb_file *file) {
  free((void *)file->data);
  *file = (hb_file){0};
}

#else

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool hb_host_same_file(const char *a, const char *b) {
  struct stat first, second;
  return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

bool hb_host_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

bool hb_host_is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool hb_host_make_folder(const char *path) {
  return hb_host_is_folder(path) || mkdir(path, 0777) == 0;
}

void hb_host_remove_folder(const char *path) {
  (void)rmdir(path);
}

#define READ_AT_ONCE ((size_t)1 << 20)

/* What cannot be mapped, such as a pipe, grows in memory as it arrives. */
static hb_status read_all(int fd, const char *path, hb_file *out, hb_error *error) {
  uint8_t *data = NULL;
  size_t size = 0, capacity = 0;
  for (;;) {
    if (capacity - size < READ_AT_ONCE) {
      size_t wanted = capacity > SIZE_MAX / 4 ? 0 : capacity * 2 + READ_AT_ONCE;
      uint8_t *grown = wanted ? realloc(data, wanted) : NULL;
      if (!grown) {
        free(data);
        return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the contents of %s",
                       hb_host_short_path(path));
      }
      data = grown;
      capacity = wanted;
    }
    ssize_t got = read(fd, data + size, READ_AT_ONCE);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      free(data);
      return hb_host_fail_io(error, "read", path);
    }
    if (got == 0) break;
    size += (size_t)got;
  }
  *out = (hb_file){data, size, 0};
  return HB_OK;
}

static bool map(int fd, hb_file *out) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0 ||
      (uint64_t)info.st_size > SIZE_MAX)
    return false;
  void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return false;
  madvise(data, (size_t)info.st_size, MADV_SEQUENTIAL);
  *out = (hb_file){data, (uint64_t)info.st_size, 1};
  return true;
}

bool hb_host_map(FILE *stream, hb_file *out) {
  return map(fileno(stream), out);
}

void hb_host_forget(const hb_file *file, uint64_t begin, uint64_t end) {
  madvise((void *)(file->data + begin), (size_t)(end - begin), MADV_DONTNEED);
}

hb_status hb_file_open(const char *path, hb_file *out, hb_error *error) {
  *out = (hb_file){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return hb_host_fail_io(error, "open", path);
  hb_status status = map(fd, out) ? HB_OK : read_all(fd, path, out, error);
  close(fd);
  return status;
}

void hb_file_close(hb_file *file) {
  if (file->mapped) {
    munmap((void *)file->data, (size_t)file->size);
  } else {
    free((void *)file->data);
  }
  *file = (hb_file){0};
}

#endif
