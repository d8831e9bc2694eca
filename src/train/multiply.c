#include "train/multiply.h"
#include "compress/divide.h"

enum { UNIT = 32 }; /* rows or columns that stay together: those of a tile */

typedef struct division {
  const hb_gemm *g;
  void (*gemm)(const hb_gemm *g, void *room);
  uint8_t *rooms;
  uint64_t room;
  uint32_t units, workers;
  bool rows; /* are divided, else columns */
} division;

static uint32_t count_threads(const hb_parallel *parallel) {
  return parallel ? parallel->threads : 1;
}

uint64_t hb_train_rooms(const hb_train_kernels *kernels, const hb_parallel *parallel) {
  return count_threads(parallel) * kernels->gemm_room;
}

/* Where the share of a worker begins. */
static uint32_t share(const division *d, uint32_t worker) {
  uint64_t at = (uint64_t)d->units * worker / d->workers * UNIT;
  uint32_t count = d->rows ? d->g->m : d->g->n;
  return at < count ? (uint32_t)at : count;
}

static void multiply_shares(void *context, uint32_t first, uint32_t end) {
  const division *d = context;
  for (uint32_t worker = first; worker < end; worker++) {
    uint32_t from = share(d, worker), to = share(d, worker + 1);
    hb_gemm g = *d->g;
    if (d->rows) {
      g.m = to - from;
      g.a += from * g.a_row;
      g.c += from * g.c_row;
    } else {
      g.n = to - from;
      g.b += from * g.b_col;
      g.c += from;
    }
    d->gemm(&g, d->rooms + worker * d->room);
  }
}

void hb_train_multiply(const hb_train_kernels *kernels, const hb_parallel *parallel, bool bf16,
                       const hb_gemm *g, void *rooms) {
  uint32_t count = g->m > g->n ? g->m : g->n, threads = count_threads(parallel);
  uint32_t units = count / UNIT + (count % UNIT != 0);
  division d = {.g = g,
                .gemm = bf16 && kernels->gemm_bf16 ? kernels->gemm_bf16 : kernels->gemm,
                .rooms = rooms,
                .room = kernels->gemm_room,
                .units = units,
                .workers = units < threads ? units : threads,
                .rows = g->m > g->n};
  hb_divide(parallel, d.workers, multiply_shares, &d);
}
