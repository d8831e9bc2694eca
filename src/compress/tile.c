#include "compress/tile.h"

typedef double f64x8 __attribute__((vector_size(64)));

enum { VECTORS = HB_TILE_COLS / 8 };

/* The part of the tile with `rows` x `vectors` sums that begins at row i0 and vector v0. How many
 * an instruction set has registers for is a constant wherever this is inlined. */
__attribute__((always_inline)) static inline void multiply_part(const hb_tile *t, int i0, int v0,
                                                                const int rows, const int vectors,
                                                                const bool subtract) {
  const double *a = t->a + i0, *b = t->b + 8 * v0;
  double *c = t->c + (size_t)i0 * t->c_stride + 8 * v0;
  f64x8 sums[HB_TILE_ROWS][VECTORS], in[VECTORS];
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < vectors; v++) memcpy(&sums[i][v], c + (size_t)i * t->c_stride + 8 * v, 64);
  for (size_t k = 0; k < t->count; k++, a += t->a_stride, b += t->b_stride) {
    for (int v = 0; v < vectors; v++) memcpy(&in[v], b + 8 * v, 64);
    for (int i = 0; i < rows; i++)
      for (int v = 0; v < vectors; v++)
        sums[i][v] = subtract ? sums[i][v] - in[v] * a[i] : sums[i][v] + in[v] * a[i];
  }
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < vectors; v++) memcpy(c + (size_t)i * t->c_stride + 8 * v, &sums[i][v], 64);
}

__attribute__((always_inline)) static inline void multiply(const hb_tile *t, const int rows,
                                                           const int vectors, const bool subtract) {
  for (int i = 0; i < HB_TILE_ROWS; i += rows)
    for (int v = 0; v < VECTORS; v += vectors) multiply_part(t, i, v, rows, vectors, subtract);
}

#if defined(__aarch64__)
enum { FEW_ROWS = 4 }; /* 32 registers of two doubles */
#else
enum { FEW_ROWS = 2 }; /* 16 */
#endif

static void add_any(const hb_tile *t) {
  multiply(t, FEW_ROWS, 1, false);
}

static void subtract_any(const hb_tile *t) {
  multiply(t, FEW_ROWS, 1, true);
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f")))

AVX2 static void add_avx2(const hb_tile *t) {
  multiply(t, 4, 1, false);
}

AVX2 static void subtract_avx2(const hb_tile *t) {
  multiply(t, 4, 1, true);
}

AVX512 static void add_avx512(const hb_tile *t) {
  multiply(t, 8, 3, false);
}

AVX512 static void subtract_avx512(const hb_tile *t) {
  multiply(t, 8, 3, true);
}

#endif

hb_tiles hb_tiles_for(hb_isa isa) {
#if defined(__x86_64__)
  if (isa == HB_ISA_AVX512) return (hb_tiles){add_avx512, subtract_avx512};
  if (isa == HB_ISA_AVX2) return (hb_tiles){add_avx2, subtract_avx2};
#endif
  (void)isa;
  return (hb_tiles){add_any, subtract_any};
}

hb_tiles hb_tiles_best(void) {
  if (hb_isa_available(HB_ISA_AVX512)) return hb_tiles_for(HB_ISA_AVX512);
  if (hb_isa_available(HB_ISA_AVX2)) return hb_tiles_for(HB_ISA_AVX2);
  return hb_tiles_for(HB_ISA_SCALAR);
}
