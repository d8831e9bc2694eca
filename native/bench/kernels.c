/* halfbyte bench --kernels: every kernel and type alone, with the bytes that it moves and the
 * operations that it does. The fastest of several runs is told: a kernel takes no time that is not
 * its own. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

/* Seconds that one kernel is run for, and how often at least. */
#define KERNEL_SECONDS 0.2
enum { KERNEL_RUNS = 3 };

typedef struct kernel_case {
  const char *name;
  hb_probe_kind kind;
  hb_type type;
  bool has_type;
  uint32_t rows, cols, batch;
} kernel_case;

static const hb_type supported_types[] = {
#define SUPPORTED_0(name)
#define SUPPORTED_1(name) HB_TYPE_##name,
#define TYPE_ENTRY(name, id, values, bytes, supported) SUPPORTED_##supported(name)
    HB_TYPE_LIST(TYPE_ENTRY)
#undef TYPE_ENTRY
#define TYPE_ENTRY(name, id, values, bytes, sharing, shared) HB_TYPE_##name,
        HB_PRIVATE_TYPE_LIST(TYPE_ENTRY)
#undef TYPE_ENTRY
#undef SUPPORTED_1
#undef SUPPORTED_0
};
enum { SUPPORTED_TYPES = sizeof supported_types / sizeof *supported_types };

typedef struct table {
  const cli_options *options;
  bool json, first;
  const hb_type *types;
  size_t type_count;
  double read; /* GB/s of the memory with these threads */
} table;

static double fastest(hb_probe *probe) {
  double best = 0, begin = hb_clock();
  for (int i = 0; i < KERNEL_RUNS || hb_clock() - begin < KERNEL_SECONDS; i++) {
    double start = hb_clock();
    hb_probe_run(probe);
    double seconds = hb_clock() - start;
    if (i > 0 && (best == 0 || seconds < best)) best = seconds;
  }
  return best;
}

static void print_row(table *t, const kernel_case *c, uint32_t threads, const hb_probe *probe,
                      double seconds) {
  double bytes = (double)hb_probe_bytes(probe), operations = (double)hb_probe_operations(probe);
  double gbps = bytes / seconds * 1e-9, gops = operations / seconds * 1e-9;
  const char *type = c->has_type ? hb_type_name(c->type) : "";
  if (t->json) {
    printf(
        "%s\n  {\"kernel\": \"%s\", \"type\": \"%s\", \"rows\": %u, \"cols\": %u, \"batch\": %u, "
        "\"threads\": %u, \"bytes\": %.0f, \"operations\": %.0f, \"seconds\": %.6g, "
        "\"GBps\": %.6g, \"Gops\": %.6g, \"readShare\": %.4g, \"isa\": \"%s\"}",
        t->first ? "" : ",", c->name, type, c->rows, c->cols, c->batch, threads, bytes, operations,
        seconds, gbps, gops, t->read > 0 ? gbps / t->read : 0.0, hb_isa_name(t->options->isa));
    t->first = false;
    return;
  }
  printf("%7u  %-9s %-7s %6u x %-6u %5u %10.3g %10.3g %9.3g %9.4g %7.0f %%\n", threads, c->name,
         type, c->rows, c->cols, c->batch, bytes, operations, gbps, gops,
         t->read > 0 ? gbps / t->read * 100 : 0.0);
}

static bool measure(table *t, const kernel_case *c, const hb_parallel *parallel) {
  hb_error error;
  hb_probe *probe;
  hb_probe_options options = {.allocator = hb_host_allocator(),
                              .parallel = parallel,
                              .isa = t->options->isa,
                              .kind = c->kind,
                              .type = c->type,
                              .rows = c->rows,
                              .cols = c->cols,
                              .batch = c->batch};
  if (hb_probe_create(&options, &probe, &error) != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  print_row(t, c, parallel->threads, probe, fastest(probe));
  hb_probe_destroy(probe);
  return true;
}

/* One row of activations against weights in the cache and in memory, many rows, and packing. */
static bool measure_type(table *t, hb_type type, const hb_parallel *parallel) {
  const kernel_case cases[] = {
      {"matmul", HB_PROBE_MATMUL, type, true, 4096, 4096, 1},
      {"matmul", HB_PROBE_MATMUL, type, true, 65536, 4096, 1},
      {"matmul", HB_PROBE_MATMUL, type, true, 2048, 2048, 128},
      {"pack", HB_PROBE_PACK, type, true, 4096, 4096, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!measure(t, &cases[i], parallel)) return false;
  return true;
}

static bool measure_all(table *t, const hb_parallel *parallel) {
  static const kernel_case others[] = {
      {"read", HB_PROBE_READ, HB_TYPE_F32, false, 2304, 4096, 1},
      {"read", HB_PROBE_READ, HB_TYPE_F32, false, 65536, 4096, 1},
      {"copy", HB_PROBE_COPY, HB_TYPE_F32, false, 65536, 4096, 1},
      {"quantize", HB_PROBE_QUANTIZE, HB_TYPE_F32, false, 1, 2048, 128},
      {"attend", HB_PROBE_ATTEND, HB_TYPE_F32, false, 4096, 64, 8},
  };
  hb_probe *read = bench_read_probe(parallel, (uint64_t)256 << 20);
  t->read = read ? bench_read_speed(read) : 0;
  hb_probe_destroy(read);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (!measure(t, &others[i], parallel)) return false;
  for (size_t i = 0; i < t->type_count; i++)
    if (!measure_type(t, t->types[i], parallel)) return false;
  return true;
}

/* All types, or the one of --type. */
static bool choose_types(table *t) {
  t->types = supported_types;
  t->type_count = SUPPORTED_TYPES;
  if (!cli_given(t->options, OPTION_WEIGHTS)) return true;
  const char *name = t->options->weights;
  hb_type type;
  if (hb_type_from_name((hb_string){name, strlen(name)}, &type) == HB_OK)
    for (t->type_count = 1; t->types < supported_types + SUPPORTED_TYPES; t->types++)
      if (*t->types == type) return true;
  cli_fail("bench --kernels knows no type %s", name);
  return false;
}

int bench_kernels(const cli_options *options, const thread_counts *counts) {
  table t = {.options = options, .json = options->json, .first = true};
  if (options->model || options->shape) {
    cli_fail("bench --kernels takes no model");
    return CLI_USAGE;
  }
  if (!choose_types(&t)) return CLI_USAGE;
  if (options->json)
    printf("[");
  else
    printf("%s\n%7s  %-9s %-7s %-15s %5s %10s %10s %9s %9s %9s\n", hb_isa_name(options->isa),
           "threads", "kernel", "type", "  rows x cols", "batch", "bytes", "operations", "GB/s",
           "Gop/s", "of read");
  bool done = true;
  for (uint32_t i = 0; done && i < counts->count; i++) {
    hb_threads *threads;
    hb_error error;
    if (hb_threads_create(counts->at[i], &threads, &error) != HB_OK) return cli_fail_error(&error);
    done = measure_all(&t, hb_threads_parallel(threads));
    hb_threads_destroy(threads);
  }
  if (options->json) printf("\n]\n");
  return cli_finish_output(done ? CLI_OK : CLI_FAILED);
}
