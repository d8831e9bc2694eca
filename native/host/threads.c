/* The thread pool. A run is announced by a counter; whoever waits for it spins for some
 * microseconds, as the next run of a decoding model is that near, and then sleeps on a condition. A
 * waiter says that it sleeps before it looks at the counter for the last time, and the counter is
 * changed before the sleepers are looked at, both sequentially consistent: so no wake-up is lost.
 */
#include "base/base.h"
#include "lock.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A step of less work (bytes of weights times rows) takes two threads longer than one. */
#define LEAST_WORK (1u << 20)

#define SPINS 1000 /* pauses: 10 to 50 us, by processor */

typedef struct worker {
  hb_threads *pool;
  uint32_t index;
  host_thread thread;
} worker;

struct hb_threads {
  hb_parallel parallel;
  uint32_t spins; /* 0 if there are more threads than processors: spinning would take turns away */

  void (*work)(void *argument, uint32_t index);
  void *argument;
  bool stop;              /* set before the last announcement */
  atomic_uint announced;  /* runs so far; read to get work, argument and stop */
  atomic_uint unfinished; /* workers that have not returned from the current run */

  host_mutex mutex; /* of the two conditions */
  host_condition start, finish;
  atomic_uint sleeping_workers;
  atomic_bool caller_sleeps;

  worker workers[HB_MAX_THREADS]; /* from index 1 */
};

/* Returns once the counter differs from `seen`, with its new value. */
static unsigned wait_for_run(hb_threads *pool, unsigned seen) {
  unsigned now;
  for (uint32_t i = 0; i < pool->spins; i++) {
    if ((now = atomic_load_explicit(&pool->announced, memory_order_acquire)) != seen) return now;
    spin_hint();
  }
  mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleeping_workers, 1);
  while ((now = atomic_load(&pool->announced)) == seen) condition_wait(&pool->start, &pool->mutex);
  atomic_fetch_sub(&pool->sleeping_workers, 1);
  mutex_unlock(&pool->mutex);
  return now;
}

static HOST_THREAD_RESULT worker_main(void *argument) {
  worker *self = argument;
  hb_threads *pool = self->pool;
  unsigned seen = 0;
  for (;;) {
    seen = wait_for_run(pool, seen);
    if (pool->stop) return 0;
    pool->work(pool->argument, self->index);
    if (atomic_fetch_sub(&pool->unfinished, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
      mutex_lock(&pool->mutex);
      condition_wake_all(&pool->finish);
      mutex_unlock(&pool->mutex);
    }
  }
}

static void announce(hb_threads *pool) {
  atomic_fetch_add(&pool->announced, 1);
  if (atomic_load(&pool->sleeping_workers) == 0) return;
  mutex_lock(&pool->mutex);
  condition_wake_all(&pool->start);
  mutex_unlock(&pool->mutex);
}

static void wait_for_workers(hb_threads *pool) {
  for (uint32_t i = 0; i < pool->spins; i++) {
    if (atomic_load_explicit(&pool->unfinished, memory_order_acquire) == 0) return;
    spin_hint();
  }
  mutex_lock(&pool->mutex);
  atomic_store(&pool->caller_sleeps, true);
  while (atomic_load(&pool->unfinished) != 0) condition_wait(&pool->finish, &pool->mutex);
  atomic_store(&pool->caller_sleeps, false);
  mutex_unlock(&pool->mutex);
}

static void run_on_all(void *context, void (*work)(void *argument, uint32_t index),
                       void *argument) {
  hb_threads *pool = context;
  if (pool->parallel.threads == 1) {
    work(argument, 0);
    return;
  }
  pool->work = work;
  pool->argument = argument;
  atomic_store(&pool->unfinished, pool->parallel.threads - 1);
  announce(pool);
  work(argument, 0);
  wait_for_workers(pool);
}

static void yield_turn(void *context) {
  (void)context;
  thread_yield();
}

/* Ends and joins workers 1 .. count - 1 and frees the pool. */
static void end_pool(hb_threads *pool, uint32_t count) {
  pool->stop = true;
  announce(pool);
  for (uint32_t i = 1; i < count; i++) thread_join(pool->workers[i].thread);
  condition_destroy(&pool->finish);
  condition_destroy(&pool->start);
  mutex_destroy(&pool->mutex);
  free(pool);
}

static double tell_time(void *context) {
  (void)context;
  return hb_clock();
}

hb_status hb_threads_create(uint32_t count, hb_threads **out, hb_error *error) {
  *out = NULL;
  if (count == 0) count = hb_cpu_count();
  if (count > HB_MAX_THREADS) {
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%u threads asked for; at most %u work",
                   (uint64_t)count, (uint64_t)HB_MAX_THREADS);
  }
  hb_threads *pool = calloc(1, sizeof *pool);
  if (!pool) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a thread pool");
  pool->parallel = (hb_parallel){pool, count, run_on_all, yield_turn, LEAST_WORK, tell_time};
  pool->spins = count <= hb_cpu_count() ? SPINS : 0;
  if (!mutex_init(&pool->mutex) || !condition_init(&pool->start) ||
      !condition_init(&pool->finish)) {
    free(pool);
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "the system has no lock for a thread pool");
  }
  for (uint32_t i = 1; i < count; i++) {
    pool->workers[i].pool = pool;
    pool->workers[i].index = i;
    if (!thread_start(&pool->workers[i].thread, worker_main, &pool->workers[i])) {
      end_pool(pool, i);
      return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "the system refused to start thread %u of %u",
                     (uint64_t)i + 1, (uint64_t)count);
    }
  }
  *out = pool;
  return HB_OK;
}

void hb_threads_destroy(hb_threads *threads) {
  if (threads) end_pool(threads, threads->parallel.threads);
}

const hb_parallel *hb_threads_parallel(const hb_threads *threads) {
  return &threads->parallel;
}
