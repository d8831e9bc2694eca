/* The host helpers: the thread pool, and files that appear whole or not at all. */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink */
#include "halfbyte.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Threads ---- */

typedef struct tally {
  uint32_t threads;
  atomic_uint calls[HB_MAX_THREADS];
  atomic_uint together; /* threads that have arrived in this run */
} tally;

/* Returns only when all threads are inside: so they must run at the same time. */
static void meet(void *argument, uint32_t index) {
  tally *t = argument;
  atomic_fetch_add(&t->calls[index], 1);
  atomic_fetch_add(&t->together, 1);
  while (atomic_load(&t->together) < t->threads) {
    struct timespec moment = {0, 1000};
    nanosleep(&moment, NULL);
  }
}

static void check_pool(uint32_t threads, unsigned runs, long pause_ns) {
  hb_threads *pool;
  assert_int_equal(hb_threads_create(threads, &pool, NULL), HB_OK);
  const hb_parallel *parallel = hb_threads_parallel(pool);
  assert_int_equal(parallel->threads, threads);
  tally *t = calloc(1, sizeof *t);
  t->threads = threads;
  for (unsigned i = 0; i < runs; i++) {
    atomic_store(&t->together, 0);
    parallel->run(parallel->context, meet, t);
    assert_int_equal(atomic_load(&t->together), threads);
    struct timespec pause = {0, pause_ns};
    if (pause_ns) nanosleep(&pause, NULL);
  }
  for (uint32_t i = 0; i < HB_MAX_THREADS; i++)
    assert_int_equal(atomic_load(&t->calls[i]), i < threads ? runs : 0);
  parallel->yield(parallel->context);
  free(t);
  hb_threads_destroy(pool);
}

static void every_index_runs_once_and_at_the_same_time(void **state) {
  (void)state;
  check_pool(1, 100, 0);
  check_pool(2, 1000, 0);
  check_pool(3, 200, 0);
  check_pool(HB_MAX_THREADS, 5, 0);
}

static void sleeping_threads_wake_up(void **state) {
  (void)state;
  check_pool(2, 20, 2000000);
  check_pool(5, 10, 2000000);
}

static void add_one(void *argument, uint32_t index) {
  (void)index;
  atomic_fetch_add((atomic_uint *)argument, 1);
}

static void short_runs_follow_each_other_without_loss(void **state) {
  (void)state;
  hb_threads *pool;
  atomic_uint sum = 0;
  assert_int_equal(hb_threads_create(2, &pool, NULL), HB_OK);
  const hb_parallel *parallel = hb_threads_parallel(pool);
  for (unsigned i = 0; i < 20000; i++) {
    parallel->run(parallel->context, add_one, &sum);
    assert_int_equal(atomic_load(&sum), 2 * (i + 1));
  }
  hb_threads_destroy(pool);
}

static void a_pool_has_a_thread_a_processor_and_at_most_64(void **state) {
  (void)state;
  hb_threads *pool;
  hb_error error;
  uint32_t processors = hb_cpu_count();
  assert_in_range(processors, 1, HB_MAX_THREADS);
  assert_int_equal(hb_threads_create(0, &pool, NULL), HB_OK);
  assert_int_equal(hb_threads_parallel(pool)->threads, processors);
  hb_threads_destroy(pool);
  assert_int_equal(hb_threads_create(HB_MAX_THREADS + 1, &pool, &error), HB_ARGUMENT);
  assert_null(pool);
  assert_non_null(strstr(error.message, "65 threads"));
  hb_threads_destroy(NULL);
}

/* ---- Files ---- */

typedef struct folder {
  char path[64];
  char file[80];
  char link[80];
} folder;

static int make_folder(void **state) {
  folder *f = calloc(1, sizeof *f);
  *state = f;
  strcpy(f->path, "/tmp/halfbyte-test-XXXXXX");
  if (!mkdtemp(f->path)) return -1;
  snprintf(f->file, sizeof f->file, "%s/file", f->path);
  snprintf(f->link, sizeof f->link, "%s/link", f->path);
  return 0;
}

/* Fails if a temporary file is left. */
static int remove_folder(void **state) {
  folder *f = *state;
  remove(f->link);
  remove(f->file);
  int result = rmdir(f->path);
  free(f);
  return result;
}

static void write_file(const char *path, const char *text, bool commit) {
  hb_output *output;
  assert_int_equal(hb_output_create(path, &output, NULL), HB_OK);
  assert_int_equal(hb_output_write(output, text, strlen(text), NULL), HB_OK);
  if (commit) assert_int_equal(hb_output_commit(output, NULL), HB_OK);
  hb_output_destroy(output);
}

static void assert_file(const char *path, const char *text) {
  hb_file file;
  assert_int_equal(hb_file_open(path, &file, NULL), HB_OK);
  assert_int_equal(file.size, strlen(text));
  if (file.size) assert_memory_equal(file.data, text, (size_t)file.size);
  hb_file_close(&file);
}

static void a_committed_output_replaces_the_file(void **state) {
  folder *f = *state;
  write_file(f->file, "first", true);
  assert_file(f->file, "first");
  write_file(f->file, "", true);
  assert_file(f->file, "");
}

static void without_a_commit_the_old_file_stays(void **state) {
  folder *f = *state;
  write_file(f->file, "kept", true);
  write_file(f->file, "lost", false);
  assert_file(f->file, "kept");
}

static void permissions_and_symbolic_links_survive_an_output(void **state) {
  folder *f = *state;
  struct stat info;
  write_file(f->file, "old", true);
  assert_int_equal(chmod(f->file, 0640), 0);
  assert_int_equal(symlink("file", f->link), 0);
  write_file(f->link, "new", true);
  assert_file(f->file, "new");
  assert_int_equal(lstat(f->link, &info), 0);
  assert_true(S_ISLNK(info.st_mode));
  assert_int_equal(stat(f->file, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0640);
}

static void a_device_is_written_and_not_replaced(void **state) {
  struct stat info;
  (void)state;
  write_file("/dev/null", "nothing", true);
  assert_int_equal(stat("/dev/null", &info), 0);
  assert_true(S_ISCHR(info.st_mode));
}

static void errors_of_files_name_the_path_and_the_cause(void **state) {
  folder *f = *state;
  hb_file file;
  hb_output *output;
  hb_error error;
  assert_int_equal(hb_file_open(f->file, &file, &error), HB_IO);
  assert_non_null(strstr(error.message, f->file));
  assert_non_null(strstr(error.message, "No such file"));
  assert_int_equal(hb_file_open(f->path, &file, &error), HB_IO);
  assert_non_null(strstr(error.message, "directory"));
  assert_int_equal(hb_output_create("/no/such/folder/file", &output, &error), HB_IO);
  assert_null(output);
  assert_non_null(strstr(error.message, "/no/such/folder/file"));
  hb_output_destroy(NULL);
}

static void a_full_disk_is_reported(void **state) {
  (void)state;
  hb_output *output;
  hb_error error;
  if (access("/dev/full", W_OK) != 0) skip();
  assert_int_equal(hb_output_create("/dev/full", &output, NULL), HB_OK);
  hb_status status = hb_output_write(output, "x", 1, &error);
  if (status == HB_OK) status = hb_output_commit(output, &error);
  assert_int_equal(status, HB_IO);
  assert_non_null(strstr(error.message, "/dev/full"));
  hb_output_destroy(output);
}

/* ---- Time and chance ---- */

static void the_clock_runs_forward_and_seeds_differ(void **state) {
  (void)state;
  struct timespec pause = {0, 2000000};
  double before = hb_clock();
  nanosleep(&pause, NULL);
  double passed = hb_clock() - before;
  assert_true(passed >= 0.002 && passed < 10);
  assert_true(hb_random_seed() != hb_random_seed());
}

/* ---- Memory in a file ---- */

static void memory_in_a_file_is_blocks_of_their_own(void **state) {
  folder *f = *state;
  static const size_t sizes[] = {1, 65536, 65537, 1000000};
  uint8_t *blocks[4];
  hb_paged *paged;
  hb_error error;
  assert_int_equal(hb_paged_create(f->file, &paged, &error), HB_OK);
  assert_int_equal(access(f->file, F_OK), -1);
  const hb_allocator *a = hb_paged_allocator(paged);
  for (size_t i = 0; i < 4; i++) {
    blocks[i] = a->allocate(a->context, sizes[i], 64);
    assert_non_null(blocks[i]);
    assert_int_equal((uintptr_t)blocks[i] % 64, 0);
    memset(blocks[i], (int)i + 1, sizes[i]);
  }
  assert_null(a->allocate(a->context, SIZE_MAX - 100, 64));
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(blocks[i][0], i + 1);
    assert_int_equal(blocks[i][sizes[i] - 1], i + 1);
    a->release(a->context, blocks[i], sizes[i]);
  }
  hb_paged_destroy(paged);
}

static void memory_takes_no_file_that_is_there(void **state) {
  folder *f = *state;
  hb_paged *paged;
  hb_error error;
  write_file(f->file, "mine", true);
  assert_int_equal(hb_paged_create(f->file, &paged, &error), HB_IO);
  assert_non_null(strstr(error.message, "File exists"));
  assert_null(paged);
  assert_int_equal(access(f->file, F_OK), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_index_runs_once_and_at_the_same_time),
      cmocka_unit_test(sleeping_threads_wake_up),
      cmocka_unit_test(short_runs_follow_each_other_without_loss),
      cmocka_unit_test(a_pool_has_a_thread_a_processor_and_at_most_64),
      cmocka_unit_test_setup_teardown(a_committed_output_replaces_the_file, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(without_a_commit_the_old_file_stays, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(permissions_and_symbolic_links_survive_an_output, make_folder,
                                      remove_folder),
      cmocka_unit_test(a_device_is_written_and_not_replaced),
      cmocka_unit_test_setup_teardown(errors_of_files_name_the_path_and_the_cause, make_folder,
                                      remove_folder),
      cmocka_unit_test(a_full_disk_is_reported),
      cmocka_unit_test_setup_teardown(memory_in_a_file_is_blocks_of_their_own, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(memory_takes_no_file_that_is_there, make_folder,
                                      remove_folder),
      cmocka_unit_test(the_clock_runs_forward_and_seeds_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
