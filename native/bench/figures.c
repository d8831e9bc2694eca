#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#include <sys/resource.h>
#endif

#if defined(__APPLE__)
#define RSS_UNIT 1 /* bytes */
#else
#define RSS_UNIT 1024
#endif

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Repeated figures ---- */

void bench_add(samples *s, double value) {
  if (s->count < BENCH_MOST_REPEATS) s->at[s->count++] = value;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static samples sorted(const samples *s) {
  samples copy = *s;
  qsort(copy.at, copy.count, sizeof *copy.at, compare);
  return copy;
}

double bench_median(const samples *s) {
  samples in_order = sorted(s);
  if (s->count == 0) return 0;
  return (in_order.at[(s->count - 1) / 2] + in_order.at[s->count / 2]) / 2;
}

double bench_spread(const samples *s) {
  samples in_order = sorted(s);
  return s->count == 0 ? 0 : in_order.at[s->count - 1] - in_order.at[0];
}

/* ---- Threads and memory ---- */

bool bench_thread_counts(const char *list, thread_counts *out) {
  *out = (thread_counts){{1}, 1};
  if (!list) {
    if (hb_cpu_count() > 1) out->at[out->count++] = hb_cpu_count();
    return true;
  }
  out->count = 0;
  for (const char *at = list;;) {
    char *end;
    unsigned long count = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : 0;
    if (count < 1 || count > HB_MAX_THREADS || (*end && *end != ',') ||
        out->count == BENCH_MOST_COUNTS) {
      cli_fail("-t takes at most %d thread counts from 1 to %d such as 1,2, not '%s'",
               BENCH_MOST_COUNTS, HB_MAX_THREADS, list);
      return false;
    }
    out->at[out->count++] = (uint32_t)count;
    if (!*end) return true;
    at = end + 1;
  }
}

hb_probe *bench_read_probe(const hb_parallel *parallel, uint64_t bytes) {
  static const uint64_t least = (uint64_t)64 << 20;
  hb_probe_options options = {.allocator = hb_host_allocator(),
                              .parallel = parallel,
                              .isa = hb_isa_best(),
                              .kind = HB_PROBE_READ,
                              .rows = (uint32_t)((bytes > least ? bytes : least) >> 16),
                              .cols = 1 << 16};
  hb_probe *probe;
  return hb_probe_create(&options, &probe, NULL) == HB_OK ? probe : NULL;
}

double bench_read_speed(hb_probe *probe) {
  double best = 0;
  for (int i = 0; i < 3; i++) {
    double start = hb_clock();
    hb_probe_run(probe);
    double speed = (double)hb_probe_bytes(probe) / (hb_clock() - start) * 1e-9;
    if (speed > best) best = speed;
  }
  return best;
}

/* Linux counts a program's memory from its start in this file alone: getrusage includes what held
 * the process before, such as a shell. */
static uint64_t status_peak(void) {
  char line[128];
  unsigned long long kilobytes = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && kilobytes == 0 && fgets(line, sizeof line, status))
    sscanf(line, "VmHWM: %llu", &kilobytes);
  if (status) fclose(status);
  return (uint64_t)kilobytes * 1024;
}

uint64_t bench_peak_memory(void) {
  uint64_t peak = status_peak();
#if !defined(_WIN32)
  struct rusage usage;
  if (peak == 0 && getrusage(RUSAGE_SELF, &usage) == 0) peak = (uint64_t)usage.ru_maxrss * RSS_UNIT;
#endif
  return peak;
}

/* ---- Who measured ---- */

const char *bench_cpu(char *buffer) {
  char line[256];
  FILE *info = fopen("/proc/cpuinfo", "r");
  snprintf(buffer, 64, "unknown");
  while (info && fgets(line, sizeof line, info)) {
    char *value = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || !value) continue;
    value[strcspn(value, "\n")] = 0;
    snprintf(buffer, 64, "%.63s", value + 2);
    break;
  }
  if (info) fclose(info);
  return buffer;
}

const char *bench_engine(void) {
#if defined(__clang__)
  return "native, clang " __clang_version__;
#elif defined(__GNUC__)
  return "native, gcc " __VERSION__;
#else
  return "native";
#endif
}

const char *bench_commit(void) {
#ifdef HB_COMMIT
  return HB_COMMIT;
#else
  return "unknown";
#endif
}

void bench_print_json_string(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    putchar((unsigned char)*text < ' ' ? ' ' : *text);
  }
  putchar('"');
}
