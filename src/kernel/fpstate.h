/* The floating-point mode that the kernels need: round to nearest, subnormals kept, no traps. A
 * host that was linked with fast-math, or sets flush-to-zero for its own work, would change bits.
 */
#ifndef HB_FPSTATE_H
#define HB_FPSTATE_H

#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64) || defined(__SSE2__)
#include <xmmintrin.h>

typedef uint32_t hb_fp_state;

/* Sets the mode in the calling thread and returns the one to go back to. */
static inline hb_fp_state hb_fp_enter(void) {
  hb_fp_state before = _mm_getcsr();
  _mm_setcsr(0x1f80); /* the reset value: all exceptions masked, no FTZ, no DAZ, round to nearest */
  return before;
}

static inline void hb_fp_leave(hb_fp_state before) {
  _mm_setcsr(before);
}

#elif defined(__aarch64__)

typedef uint64_t hb_fp_state;

static inline hb_fp_state hb_fp_enter(void) {
  hb_fp_state before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, xzr" ::: "memory");
  return before;
}

static inline void hb_fp_leave(hb_fp_state before) {
  __asm__ volatile("msr fpcr, %0" ::"r"(before) : "memory");
}

#else /* WebAssembly has no mode. */

typedef uint32_t hb_fp_state;

static inline hb_fp_state hb_fp_enter(void) {
  return 0;
}

static inline void hb_fp_leave(hb_fp_state before) {
  (void)before;
}

#endif

#endif
