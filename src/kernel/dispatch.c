#include "kernel/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)

/* The register state that the operating system saves (XCR0). */
enum { STATE_AVX = 0x06, STATE_AVX512 = 0xe6, STATE_AMX = 0x60000 };

static bool os_saves(uint32_t state) {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & state) == state;
}

static bool has_avx2(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  const uint32_t osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  if ((c & osxsave) == 0 || (c & avx) == 0 || (c & f16c) == 0 || !os_saves(STATE_AVX)) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 5) != 0;
}

static bool has_avx512(void) {
  uint32_t a, b, c, d;
  if (!has_avx2() || !os_saves(STATE_AVX512)) return false;
  const uint32_t f_bw_vl = 1u << 16 | 1u << 30 | 1u << 31, vnni = 1u << 11;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & f_bw_vl) == f_bw_vl && (c & vnni) != 0;
}

/* Linux gives a process the use of the tiles when it asks (arch_prctl), once for all threads. The
 * core calls nothing of the C library for it, so the call is made here. */
static bool may_use_tiles(void) {
#if defined(__linux__)
  const long arch_prctl = 158, request_permission = 0x1023, tile_data = 18;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(arch_prctl), "D"(request_permission), "S"(tile_data)
                   : "rcx", "r11", "memory");
  return result == 0;
#else
  return false;
#endif
}

static bool has_amx(void) {
  uint32_t a, b, c, d;
  if (!has_avx512() || !os_saves(STATE_AVX512 | STATE_AMX)) return false;
  const uint32_t tile_int8 = 1u << 24 | 1u << 25;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & tile_int8) == tile_int8 && may_use_tiles();
}

#elif defined(__aarch64__)

static bool has_neon_dotprod(void) {
#if defined(__APPLE__) || defined(__ARM_FEATURE_DOTPROD)
  return true; /* every Apple machine has it, and a build for such CPUs need not ask */
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & 1u << 20) != 0; /* ASIMDDP */
#else
  return false;
#endif
}

#endif

const hb_kernels *hb_kernels_for(hb_isa isa) {
  switch (isa) {
  case HB_ISA_SCALAR: return &hb_kernels_scalar;
#if defined(__x86_64__)
  case HB_ISA_AVX2: return has_avx2() ? &hb_kernels_avx2 : NULL;
  case HB_ISA_AVX512: return has_avx512() ? &hb_kernels_avx512 : NULL;
  case HB_ISA_AMX: return has_amx() ? &hb_kernels_amx : NULL;
#endif
#if defined(__aarch64__)
  case HB_ISA_NEON: return has_neon_dotprod() ? &hb_kernels_neon : NULL;
#endif
/* A WebAssembly module whose features are missing does not even compile. To stay small it has one
 * of the two. */
#if defined(__wasm_relaxed_simd__)
  case HB_ISA_RELAXED: return &hb_kernels_relaxed;
#elif defined(__wasm_simd128__)
  case HB_ISA_SIMD128: return &hb_kernels_simd128;
#endif
  default: return NULL;
  }
}

int hb_isa_available(hb_isa isa) {
  return hb_kernels_for(isa) != NULL;
}

hb_isa hb_isa_best(void) {
  static const hb_isa fastest_first[] = {HB_ISA_AMX,     HB_ISA_AVX512,  HB_ISA_AVX2,  HB_ISA_NEON,
                                         HB_ISA_RELAXED, HB_ISA_SIMD128, HB_ISA_SCALAR};
  size_t i = 0;
  while (!hb_isa_available(fastest_first[i])) i++;
  return fastest_first[i];
}

const char *hb_isa_name(hb_isa isa) {
  switch (isa) {
#define ISA_NAME(name, number, text)                                                               \
  case HB_ISA_##name: return text;
    HB_ISA_LIST(ISA_NAME)
#undef ISA_NAME
  }
  return "unknown";
}
