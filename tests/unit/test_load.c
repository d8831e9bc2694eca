/* Loading in threads, from files and pipes, and the memory that it takes. */
#define _XOPEN_SOURCE 700 /* mkdtemp, fork */
#include "support.h"

#include "model/model.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL "examples/models/tales-5.8m-q4_0.gguf"

typedef struct counter {
  hb_allocator allocator;
  uint64_t held, peak;
  unsigned large; /* blocks of 64 KiB and more */
} counter;

static void *count_allocate(void *context, size_t size, size_t alignment) {
  counter *c = context;
  c->held += size;
  if (c->held > c->peak) c->peak = c->held;
  c->large += size >= 65536;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void count_release(void *context, void *block, size_t size) {
  ((counter *)context)->held -= size;
  free(block);
}

static unsigned runs;

/* Three threads, one after the other. */
static void run_in_turn(void *context, void (*work)(void *argument, uint32_t index),
                        void *argument) {
  (void)context;
  runs++;
  for (uint32_t i = 0; i < 3; i++) work(argument, i);
}

static hb_model *load_pieces(const uint8_t *bytes, size_t size, size_t piece,
                             const hb_parallel *parallel, const hb_allocator *allocator) {
  hb_loader *loader;
  hb_model *model;
  hb_load_options options = {.allocator = allocator, .parallel = parallel, .isa = HB_ISA_SCALAR};
  assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_OK);
  assert_int_equal(hb_loader_begin_file(loader, size, NULL), HB_OK);
  for (size_t at = 0; at < size; at += piece) {
    size_t count = size - at < piece ? size - at : piece;
    assert_int_equal(hb_loader_feed(loader, bytes + at, count, NULL), HB_OK);
  }
  assert_int_equal(hb_loader_finish(loader, &model, NULL), HB_OK);
  hb_loader_destroy(loader);
  return model;
}

static void assert_same_weights(const hb_model *a, const hb_model *b) {
  assert_int_equal(a->weight_count, b->weight_count);
  for (uint32_t i = 0; i < a->weight_count; i++) {
    const hb_weight *x = &a->weights[i], *y = &b->weights[i];
    assert_int_equal(x->present, y->present);
    if (!x->present) continue;
    assert_int_equal(x->matrix.bytes, y->matrix.bytes);
    if (x->vector)
      assert_memory_equal(x->vector, y->vector, x->matrix.bytes);
    else
      assert_memory_equal(x->matrix.data, y->matrix.data, x->matrix.bytes);
  }
}

static void weights_packed_in_threads_and_pieces_are_the_same(void **state) {
  (void)state;
  static const size_t pieces[] = {300007, 1 << 20, SIZE_MAX};
  const hb_parallel parallel = {.threads = 3, .run = run_in_turn};
  size_t size;
  uint8_t *bytes = read_file(MODEL, &size);
  hb_model *expected = load_pieces(bytes, size, 4096, NULL, NULL);
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    size_t piece = pieces[i] < size ? pieces[i] : size;
    runs = 0;
    hb_model *model = load_pieces(bytes, size, piece, &parallel, NULL);
    assert_true(runs > 0);
    assert_same_weights(model, expected);
    hb_model_destroy(model);
  }
  hb_model_destroy(expected);
  free(bytes);
}

static void loading_takes_little_more_memory_than_the_weights(void **state) {
  (void)state;
  size_t size;
  uint8_t *bytes = read_file(MODEL, &size);
  counter c = {{&c, count_allocate, count_release}, 0, 0, 0};
  hb_model *model = load_pieces(bytes, size, 65536, NULL, &c.allocator);
  hb_model_info info;
  hb_model_get_info(model, &info);
  assert_true(info.weight_bytes > 3000000);
  assert_true(c.peak < info.weight_bytes + 1500000);
  assert_true(c.large < 12); /* the weights of all layers lie in one */
  hb_model_destroy(model);
  assert_int_equal(c.held, 0);
  free(bytes);
}

static void thread_counts_that_cannot_be_are_refused(void **state) {
  (void)state;
  const hb_parallel none = {.threads = 0, .run = run_in_turn};
  const hb_parallel many = {.threads = HB_MAX_THREADS + 1, .run = run_in_turn};
  const hb_parallel idle = {.threads = 2};
  const hb_parallel *const refused[] = {&none, &many, &idle};
  for (size_t i = 0; i < 3; i++) {
    hb_loader *loader;
    hb_load_options options = {.isa = HB_ISA_SCALAR, .parallel = refused[i]};
    assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_ARGUMENT);
    assert_null(loader);
  }
}

/* ---- Files ---- */

static void a_model_loads_from_a_file_in_threads(void **state) {
  (void)state;
  size_t size;
  uint8_t *bytes = read_file(MODEL, &size);
  hb_model *expected = load_pieces(bytes, size, size, NULL, NULL), *model;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(2, &threads, NULL), HB_OK);
  hb_load_options options = {.isa = HB_ISA_SCALAR, .parallel = hb_threads_parallel(threads)};
  assert_int_equal(hb_load_file(MODEL, &options, NULL, &model, NULL), HB_OK);
  assert_same_weights(model, expected);
  hb_model_destroy(model);
  hb_model_destroy(expected);
  hb_threads_destroy(threads);
  free(bytes);
}

/* Writes the model into a pipe, from another process. */
static pid_t write_to_pipe(const char *path, const uint8_t *bytes, size_t size) {
  pid_t child = fork();
  if (child != 0) return child;
  FILE *out = fopen(path, "wb");
  _exit(out && fwrite(bytes, 1, size, out) == size && fclose(out) == 0 ? 0 : 1);
}

static void a_model_loads_from_a_pipe(void **state) {
  (void)state;
  char folder[] = "/tmp/halfbyte-test-XXXXXX", path[64];
  size_t size;
  uint8_t *bytes = read_file(MODEL, &size);
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/pipe", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  pid_t child = write_to_pipe(path, bytes, size);
  hb_model *expected = load_pieces(bytes, size, size, NULL, NULL), *model;
  hb_load_options options = {.isa = HB_ISA_SCALAR};
  hb_error error = {0};
  if (hb_load_file(path, &options, NULL, &model, &error) != HB_OK) fail_msg("%s", error.message);
  int ended;
  assert_int_equal(waitpid(child, &ended, 0), child);
  assert_int_equal(ended, 0);
  assert_same_weights(model, expected);
  hb_model_destroy(model);
  hb_model_destroy(expected);
  remove(path);
  rmdir(folder);
  free(bytes);
}

static void what_cannot_be_read_is_named(void **state) {
  (void)state;
  hb_model *model;
  hb_error error;
  hb_load_options options = {.isa = HB_ISA_SCALAR};
  assert_int_equal(hb_load_file("/no/such/model", &options, NULL, &model, &error), HB_IO);
  assert_non_null(strstr(error.message, "/no/such/model: No such file"));
  assert_int_equal(hb_load_file("/tmp", &options, NULL, &model, &error), HB_IO);
  assert_non_null(strstr(error.message, "/tmp: the folder has no config.json"));
#ifdef __linux__ /* nothing is mapped at address 0 */
  assert_int_equal(hb_load_file("/proc/self/mem", &options, NULL, &model, &error), HB_IO);
  assert_non_null(strstr(error.message, "/proc/self/mem: cannot be read: Input/output error"));
#endif
  assert_int_equal(hb_load_file("/dev/null", &options, NULL, &model, &error), HB_TRUNCATED);
  assert_non_null(strstr(error.message, "/dev/null"));
  assert_int_equal(hb_load_file(MODEL, NULL, NULL, &model, &error), HB_ARGUMENT);
}

static void host_memory_is_aligned_and_writable_to_its_end(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 9999999};
  const hb_allocator *a = hb_host_allocator();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint8_t *block = a->allocate(a->context, sizes[i], 64);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 64, 0);
    memset(block, 7, sizes[i]);
    a->release(a->context, block, sizes[i]);
  }
  assert_null(a->allocate(a->context, SIZE_MAX - 100, 64));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(weights_packed_in_threads_and_pieces_are_the_same),
      cmocka_unit_test(loading_takes_little_more_memory_than_the_weights),
      cmocka_unit_test(thread_counts_that_cannot_be_are_refused),
      cmocka_unit_test(a_model_loads_from_a_file_in_threads),
      cmocka_unit_test(a_model_loads_from_a_pipe),
      cmocka_unit_test(what_cannot_be_read_is_named),
      cmocka_unit_test(host_memory_is_aligned_and_writable_to_its_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
