/* Memory that lies in a file. */
#include "host.h"

struct hb_paged {
  hb_allocator allocator;
  int fd;
  uint64_t size; /* of the file */
};

const hb_allocator *hb_paged_allocator(const hb_paged *paged) {
  return &paged->allocator;
}

#ifdef _WIN32

hb_status hb_paged_create(const char *path, hb_paged **out, hb_error *error) {
  *out = NULL;
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "memory in a file, %s, on this system",
                 hb_host_short_path(path));
}

void hb_paged_destroy(hb_paged *paged) {
  (void)paged;
}

#else

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES_MULTIPLE ((uint64_t)64 << 10) /* whatever size pages have */

static uint64_t whole_pages(size_t size) {
  return ((uint64_t)size + PAGES_MULTIPLE - 1) / PAGES_MULTIPLE * PAGES_MULTIPLE;
}

/* The disk's room is taken at once, so that none can lack when a page is written. */
static void *paged_allocate(void *context, size_t size, size_t alignment) {
  hb_paged *p = context;
  uint64_t bytes = whole_pages(size);
  if (size > SIZE_MAX / 2 || bytes > INT64_MAX / 2 - p->size || alignment > PAGES_MULTIPLE)
    return NULL;
  if (posix_fallocate(p->fd, (off_t)p->size, (off_t)bytes) != 0) return NULL;
  void *block =
      mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, (off_t)p->size);
  if (block == MAP_FAILED) return NULL;
  p->size += bytes;
  return block;
}

static void paged_release(void *context, void *block, size_t size) {
  (void)context;
  munmap(block, (size_t)whole_pages(size));
}

/* Nobody else sees the file: it goes away with the process, however that ends. */
hb_status hb_paged_create(const char *path, hb_paged **out, hb_error *error) {
  hb_paged *p = malloc(sizeof *p);
  *out = NULL;
  if (!p) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a list of pages");
  *p = (hb_paged){{p, paged_allocate, paged_release},
                  open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
                  0};
  if (p->fd < 0 || unlink(path) != 0) {
    hb_status status = hb_host_fail_io(error, "make", path);
    hb_paged_destroy(p);
    return status;
  }
  *out = p;
  return HB_OK;
}

void hb_paged_destroy(hb_paged *p) {
  if (!p) return;
  if (p->fd >= 0) close(p->fd);
  free(p);
}

#endif
