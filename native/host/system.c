/* What the system knows: processors, time, chance. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "halfbyte.h"

#ifdef _WIN32

#include <windows.h>

static uint64_t processors(void) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwNumberOfProcessors;
}

double hb_clock(void) {
  LARGE_INTEGER count, frequency;
  QueryPerformanceCounter(&count);
  QueryPerformanceFrequency(&frequency);
  return (double)count.QuadPart / (double)frequency.QuadPart;
}

static int random_bytes(uint64_t *out) {
  (void)out;
  return 0;
}

#else

#include <stdio.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

/* Those that the process may run on, which in a container or under taskset are not all. */
static uint64_t processors(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return (uint64_t)CPU_COUNT(&set);
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (uint64_t)count : 1;
}

double hb_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int random_bytes(uint64_t *out) {
  FILE *file = fopen("/dev/urandom", "rb");
  if (!file) return 0;
  size_t got = fread(out, sizeof *out, 1, file);
  fclose(file);
  return got == 1;
}

#endif

uint32_t hb_cpu_count(void) {
  uint64_t count = processors();
  if (count < 1) return 1;
  return count < HB_MAX_THREADS ? (uint32_t)count : HB_MAX_THREADS;
}

uint64_t hb_random_seed(void) {
  uint64_t seed;
  if (random_bytes(&seed)) return seed;
  return (uint64_t)(hb_clock() * 1e9) * 0x9e3779b97f4a7c15u;
}
