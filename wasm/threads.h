/* An hb_parallel over workers that share the module's memory (builds with atomics only). */
#ifndef HB_WASM_THREADS_H
#define HB_WASM_THREADS_H

#include "halfbyte.h"

#include <stdatomic.h>

typedef struct hb_pool {
  _Atomic uint32_t job;      /* number of the job; workers wait for it to change */
  _Atomic uint32_t sleepers; /* workers that wait for `job` in the kernel */
  _Atomic uint32_t running;  /* workers that have not finished the job */
  _Atomic uint32_t waiting;  /* 1 while the first thread sleeps until `running` is 0 */
  _Atomic uint32_t never;    /* stays 0: a place to sleep for a moment */
  void (*work)(void *argument, uint32_t index);
  void *argument;
  hb_parallel parallel;
} hb_pool;

/* Prepares a zeroed pool; `threads` counts the calling one, `least_work` is hb_parallel's; with 0
 * all steps are divided, whether or not that is faster. Each of the other threads must enter
 * hb_pool_loop before the pool is first used. */
void hb_pool_init(hb_pool *pool, uint32_t threads, uint32_t least_work);

/* The life of the worker `index` (1 ..): never returns, the host ends it. */
_Noreturn void hb_pool_loop(hb_pool *pool, uint32_t index);

#endif
