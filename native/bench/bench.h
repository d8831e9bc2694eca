/* What measuring a model and measuring kernels share: repeated figures, and how they are told. */
#ifndef BENCH_H
#define BENCH_H

#include "cli/common.h"

enum { BENCH_MOST_COUNTS = 8, BENCH_MOST_REPEATS = 100 };

/* A figure taken several times: its median, and the largest less the smallest. */
typedef struct samples {
  double at[BENCH_MOST_REPEATS];
  uint32_t count;
} samples;

void bench_add(samples *s, double value);
double bench_median(const samples *s);
double bench_spread(const samples *s);

/* The thread counts of -t, or 1 and the number of processors. Says what is wrong with them. */
typedef struct thread_counts {
  uint32_t at[BENCH_MOST_COUNTS], count;
} thread_counts;

bool bench_thread_counts(const char *list, thread_counts *out);

/* A probe that reads `bytes` of memory, or 64 MiB if that is more; NULL without memory. */
hb_probe *bench_read_probe(const hb_parallel *parallel, uint64_t bytes);
/* GB/s that it reads, the fastest of three times. */
double bench_read_speed(hb_probe *probe);

/* The CPU's name in a buffer of 64 bytes, which is returned. */
const char *bench_cpu(char *buffer);

/* "native" and the compiler. */
const char *bench_engine(void);
/* The commit that was built, or "unknown". */
const char *bench_commit(void);
/* The most memory that the process ever held, in bytes; 0 where that is not known. */
uint64_t bench_peak_memory(void);

/* Prints a JSON string with its quotes. */
void bench_print_json_string(const char *text);

int bench_kernels(const cli_options *options, const thread_counts *counts);

#endif
