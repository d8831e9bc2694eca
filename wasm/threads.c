#include "threads.h"

#ifdef __wasm_atomics__

/* A wake-up through the kernel takes some 100 us, so a waiting thread first looks again and again:
 * longer than the serial part between two steps of a small model takes. There is no pause
 * instruction; a look takes 0.3 to 2 ns. */
#define SPINS 200000
#define YIELD_NS 20000
#define FOREVER (-1)

/* A function of its own, since in a loop V8 11.3 (Node 20) waits for ever whatever the time-out. */
__attribute__((noinline)) static void sleep_while_equal(_Atomic uint32_t *at, uint32_t value,
                                                        int64_t nanoseconds) {
  __builtin_wasm_memory_atomic_wait32((int *)at, (int)value, nanoseconds);
}

static void wake(_Atomic uint32_t *at, uint32_t count) {
  __builtin_wasm_memory_atomic_notify((int *)at, count);
}

/* Waits until *at is no longer `value`. `asleep` counts those who need a wake-up: it goes up before
 * the sleeper looks at *at for the last time, and is read after *at was changed. */
static void wait_for_change(_Atomic uint32_t *at, uint32_t value, _Atomic uint32_t *asleep) {
  for (uint32_t spins = 0; spins < SPINS; spins++)
    if (atomic_load_explicit(at, memory_order_acquire) != value) return;
  atomic_fetch_add(asleep, 1);
  while (atomic_load(at) == value) sleep_while_equal(at, value, FOREVER);
  atomic_fetch_sub(asleep, 1);
}

static void run(void *context, void (*work)(void *argument, uint32_t index), void *argument) {
  hb_pool *pool = (hb_pool *)context;
  uint32_t others = pool->parallel.threads - 1;
  pool->work = work;
  pool->argument = argument;
  atomic_store(&pool->running, others);
  atomic_fetch_add(&pool->job, 1);
  if (atomic_load(&pool->sleepers)) wake(&pool->job, others);
  work(argument, 0);
  for (uint32_t left; (left = atomic_load(&pool->running)) != 0;)
    wait_for_change(&pool->running, left, &pool->waiting);
}

/* Gives the processor to whoever is still computing. */
static void yield(void *context) {
  hb_pool *pool = (hb_pool *)context;
  sleep_while_equal(&pool->never, 0, YIELD_NS);
}

/* Milliseconds, told by JavaScript. */
__attribute__((import_module("env"), import_name("now"))) double hb_wasm_now(void);

static double tell_time(void *context) {
  (void)context;
  return hb_wasm_now() * 1e-3;
}

void hb_pool_init(hb_pool *pool, uint32_t threads, uint32_t least_work) {
  pool->parallel = (hb_parallel){pool, threads, run, yield, least_work, NULL};
  if (least_work > 0) pool->parallel.clock = tell_time;
}

_Noreturn void hb_pool_loop(hb_pool *pool, uint32_t index) {
  for (uint32_t done = 0;; done++) {
    wait_for_change(&pool->job, done, &pool->sleepers);
    pool->work(pool->argument, index);
    if (atomic_fetch_sub(&pool->running, 1) == 1 && atomic_load(&pool->waiting))
      wake(&pool->running, 1);
  }
}

#endif
