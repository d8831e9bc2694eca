/* Memory for what is large and read again and again. */
#include "host.h"

#ifdef _WIN32

const hb_allocator *hb_host_allocator(void) {
  return hb_allocator_or_default(NULL);
}

#else

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)       /* the usual size; where it is another, nothing is lost */
#define PAGES_MULTIPLE ((size_t)64 << 10) /* whatever size the small pages have */

static size_t whole_pages(size_t size) {
  return (size + PAGES_MULTIPLE - 1) / PAGES_MULTIPLE * PAGES_MULTIPLE;
}

/* Blocks of a huge page and more come from the system, at a multiple of its size. What does not
 * fill the last one takes small pages, so that no memory is lost. */
static void *host_allocate(void *context, size_t size, size_t alignment) {
  (void)context;
  if (size < HUGE_PAGE) return hb_allocate(NULL, size);
  if (size > SIZE_MAX / 2 || alignment > HUGE_PAGE) return NULL;
  size_t span = whole_pages(size);
  uint8_t *mapped =
      mmap(NULL, span + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return NULL;
  size_t before = (size_t)(-(uintptr_t)mapped & (HUGE_PAGE - 1));
  uint8_t *block = mapped + before;
  if (before > 0) munmap(mapped, before);
  if (before < HUGE_PAGE) munmap(block + span, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
  madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
  return block;
}

static void host_release(void *context, void *block, size_t size) {
  (void)context;
  if (size < HUGE_PAGE)
    hb_release(NULL, block, size);
  else
    munmap(block, whole_pages(size));
}

static const hb_allocator host_allocator = {NULL, host_allocate, host_release};

const hb_allocator *hb_host_allocator(void) {
  return &host_allocator;
}

#endif
