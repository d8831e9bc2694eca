#include "train/team.h"
#include "kernel/fpstate.h"

static void lay_out(hb_team *team, uint64_t extra, uint64_t *bytes) {
  *bytes = team->extra_bytes = 0;
  hb_take(NULL, &team->extra_bytes, extra);
  team->rooms = hb_take(team->memory, bytes, team->threads * team->kernels->gemm_room);
  team->extras = hb_take(team->memory, bytes, team->threads * team->extra_bytes);
}

hb_status hb_team_begin(hb_team *team, const hb_allocator *allocator, const hb_parallel *parallel,
                        hb_isa isa, bool bf16, uint64_t extra, hb_error *error) {
  *team = (hb_team){.allocator = allocator,
                    .parallel = parallel,
                    .kernels = hb_train_kernels_for(isa),
                    .bf16 = bf16,
                    .threads = parallel ? parallel->threads : 1};
  if (!team->kernels)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "this build or machine has no %s kernels",
                   hb_isa_name(isa));
  if (bf16 && !team->kernels->gemm_bf16)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "this machine has no instructions for products in bf16");
  uint64_t bytes = 0;
  lay_out(team, extra, &bytes);
  team->memory = hb_allocate(allocator, bytes);
  team->bytes = bytes;
  if (!team->memory) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for threads");
  lay_out(team, extra, &bytes);
  return HB_OK;
}

void hb_team_end(hb_team *team) {
  hb_release(team->allocator, team->memory, team->bytes);
  *team = (hb_team){0};
}

void *hb_team_room(const hb_team *team, uint32_t thread) {
  return team->rooms + thread * team->kernels->gemm_room;
}

void *hb_team_extra(const hb_team *team, uint32_t thread) {
  return team->extras + thread * team->extra_bytes;
}

typedef struct division {
  const hb_team *team;
  uint32_t count, unit, threads;
  void (*body)(void *context, uint32_t thread, uint32_t first, uint32_t end);
  void *context;
} division;

/* Where the share of a thread begins. */
static uint32_t bound(const division *d, uint32_t thread) {
  uint64_t units = ((uint64_t)d->count + d->unit - 1) / d->unit;
  uint64_t at = units * thread / d->threads * d->unit;
  return at < d->count ? (uint32_t)at : d->count;
}

static void run_share(void *argument, uint32_t thread) {
  const division *d = argument;
  uint32_t first = bound(d, thread), end = bound(d, thread + 1);
  hb_fp_state fp = hb_fp_enter();
  if (first < end) d->body(d->context, thread, first, end);
  hb_fp_leave(fp);
}

void hb_team_divide(const hb_team *team, uint32_t count, uint32_t unit,
                    void (*body)(void *context, uint32_t thread, uint32_t first, uint32_t end),
                    void *context) {
  division d = {team, count, unit, count > unit ? team->threads : 1, body, context};
  if (d.threads > 1)
    team->parallel->run(team->parallel->context, run_share, &d);
  else
    run_share(&d, 0);
}

enum { TILE = 32 }; /* rows or columns of a product that stay together */

typedef struct multiplication {
  const hb_team *team;
  const hb_gemm *g;
  bool rows; /* are divided, else columns */
} multiplication;

static void multiply_share(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const multiplication *m = context;
  const hb_train_kernels *kernels = m->team->kernels;
  hb_gemm g = *m->g;
  if (m->rows) {
    g.m = end - first;
    g.a += first * g.a_row;
    g.c += first * g.c_row;
  } else {
    g.n = end - first;
    g.b += first * g.b_col;
    g.c += first;
  }
  (m->team->bf16 ? kernels->gemm_bf16 : kernels->gemm)(&g, hb_team_room(m->team, thread));
}

void hb_team_multiply(const hb_team *team, const hb_gemm *g) {
  multiplication m = {team, g, g->m > g->n};
  hb_team_divide(team, m.rows ? g->m : g->n, TILE, multiply_share, &m);
}
