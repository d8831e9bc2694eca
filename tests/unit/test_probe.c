/* Probes: what they count, and what they refuse. */
#include "support.h"

#include "kernel/kernel.h"
#include "quant/quant.h"

static hb_probe *probe_of(hb_probe_kind kind, hb_type type, uint32_t rows, uint32_t cols,
                          uint32_t batch, const hb_parallel *parallel) {
  hb_probe *probe;
  hb_error error;
  hb_probe_options options = {.parallel = parallel,
                              .isa = hb_isa_best(),
                              .kind = kind,
                              .type = type,
                              .rows = rows,
                              .cols = cols,
                              .batch = batch};
  if (hb_probe_create(&options, &probe, &error) != HB_OK) fail_msg("%s", error.message);
  return probe;
}

static void check(hb_probe *probe, uint64_t bytes, uint64_t operations) {
  hb_probe_run(probe);
  assert_int_equal(hb_probe_bytes(probe), bytes);
  assert_int_equal(hb_probe_operations(probe), operations);
  hb_probe_destroy(probe);
}

static void every_supported_type_is_multiplied_and_packed(void **state) {
  (void)state;
  hb_threads *threads;
  assert_int_equal(hb_threads_create(3, &threads, NULL), HB_OK);
  for (int type = 0; type < 64; type++) {
    const hb_type_traits *t = hb_traits((hb_type)type);
    if (!t || !t->supported) continue;
    uint64_t packed;
    assert_true(hb_packed_size((hb_type)type, 40, 512, &packed));
    const hb_parallel *parallel = hb_threads_parallel(threads);
    check(probe_of(HB_PROBE_MATMUL, (hb_type)type, 40, 512, 17, parallel), packed,
          2ull * 40 * 512 * 17);
    check(probe_of(HB_PROBE_PACK, (hb_type)type, 40, 512, 0, parallel),
          40ull * 512 / t->block_values * t->block_bytes, 0);
  }
  hb_threads_destroy(threads);
}

static void other_probes_count_what_they_read(void **state) {
  (void)state;
  check(probe_of(HB_PROBE_READ, HB_TYPE_F32, 100, 4096, 0, NULL), 409600, 0);
  check(probe_of(HB_PROBE_COPY, HB_TYPE_F32, 100, 4096, 0, NULL), 409600, 0);
  check(probe_of(HB_PROBE_READ, HB_TYPE_F32, 7, 11, 0, NULL), 77, 0);
  check(probe_of(HB_PROBE_QUANTIZE, HB_TYPE_F32, 0, 320, 5, NULL), 320 * 5 * 4, 2 * 320 * 5);
  check(probe_of(HB_PROBE_ATTEND, HB_TYPE_F32, 100, 0, 3, NULL), 3 * 100 * 2 * 64 * 2,
        4 * 3 * 100 * 4 * 64);
}

static void what_cannot_be_probed_is_refused(void **state) {
  (void)state;
  hb_probe *probe;
  hb_error error;
  hb_probe_options options = {.isa = hb_isa_best(), .kind = (hb_probe_kind)99};
  assert_int_equal(hb_probe_create(&options, &probe, &error), HB_ARGUMENT);
  assert_null(probe);
  options = (hb_probe_options){.isa = hb_isa_best(), .kind = HB_PROBE_MATMUL, .cols = 33};
  options.type = HB_TYPE_Q4_0;
  assert_int_equal(hb_probe_create(&options, &probe, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "33"));
  options.type = HB_TYPE_IQ2_S;
  options.cols = 256;
  assert_int_equal(hb_probe_create(&options, &probe, &error), HB_ARGUMENT);
  options = (hb_probe_options){.isa = hb_isa_best(), .kind = HB_PROBE_QUANTIZE, .cols = 31};
  assert_int_equal(hb_probe_create(&options, &probe, &error), HB_ARGUMENT);
  options = (hb_probe_options){.isa = (hb_isa)77};
  assert_int_equal(hb_probe_create(&options, &probe, &error), HB_ARGUMENT);
  hb_parallel nobody = {.threads = 0};
  options = (hb_probe_options){.isa = hb_isa_best(), .parallel = &nobody};
  assert_int_equal(hb_probe_create(&options, &probe, &error), HB_ARGUMENT);
  assert_int_equal(hb_probe_create(NULL, &probe, &error), HB_ARGUMENT);
}

static void operands_that_no_memory_holds_are_refused(void **state) {
  (void)state;
  static const hb_probe_kind kinds[] = {HB_PROBE_READ,     HB_PROBE_COPY, HB_PROBE_MATMUL,
                                        HB_PROBE_QUANTIZE, HB_PROBE_PACK, HB_PROBE_ATTEND};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    hb_probe *probe;
    hb_error error;
    hb_probe_options options = {.isa = hb_isa_best(),
                                .kind = kinds[i],
                                .type = HB_TYPE_Q4_0,
                                .rows = UINT32_MAX,
                                .cols = UINT32_MAX - 31,
                                .batch = UINT32_MAX};
    assert_int_equal(hb_probe_create(&options, &probe, &error), HB_MEMORY);
    assert_null(probe);
  }
}

/* Memory that is refused from allocation number `left` on. */
typedef struct scarce {
  int left;
  int live;
} scarce;

static void *allocate_scarce(void *context, size_t size, size_t alignment) {
  scarce *s = context;
  if (s->left == 0) return NULL;
  s->left--;
  s->live++;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void release_scarce(void *context, void *block, size_t size) {
  (void)size;
  ((scarce *)context)->live--;
  free(block);
}

static void nothing_is_kept_when_memory_runs_out(void **state) {
  (void)state;
#define COUNT_KIND(name, number, text) +1
  enum { KINDS = 0 HB_PROBE_LIST(COUNT_KIND) };
#undef COUNT_KIND
  for (int kind = 0; kind < KINDS; kind++) {
    hb_probe *probe = NULL;
    for (int most = 0; !probe; most++) {
      scarce memory = {.left = most};
      hb_allocator allocator = {&memory, allocate_scarce, release_scarce};
      hb_probe_options options = {.allocator = &allocator,
                                  .isa = hb_isa_best(),
                                  .kind = (hb_probe_kind)kind,
                                  .type = HB_TYPE_Q4_0,
                                  .rows = 16,
                                  .cols = 64};
      hb_status status = hb_probe_create(&options, &probe, NULL);
      assert_int_equal(status, probe ? HB_OK : HB_MEMORY);
      if (probe) hb_probe_destroy(probe);
      assert_int_equal(memory.live, 0);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_supported_type_is_multiplied_and_packed),
      cmocka_unit_test(other_probes_count_what_they_read),
      cmocka_unit_test(what_cannot_be_probed_is_refused),
      cmocka_unit_test(operands_that_no_memory_holds_are_refused),
      cmocka_unit_test(nothing_is_kept_when_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
