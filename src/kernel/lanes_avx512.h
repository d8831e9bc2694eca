/* The lanes of AVX2, which is what 8 virtual lanes fill, with twice the registers; and 16 lanes
 * where the width cannot matter. */
#ifndef HB_LANES_AVX512_H
#define HB_LANES_AVX512_H

#define LANES_AVX512
#include "kernel/lanes_avx2.h"

#define FLOAT_TILE_ROWS 4
#define FLOAT_TILE_COLUMNS 4

#define VEC_LANES 16
typedef __m512 vec;

LANES_INLINE vec vec_set1(float a) {
  return _mm512_set1_ps(a);
}

LANES_INLINE vec vec_load(const float *from) {
  return _mm512_loadu_ps(from);
}

LANES_INLINE vec vec_load_f16(const uint16_t *from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

LANES_INLINE void vec_store(float *to, vec a) {
  _mm512_storeu_ps(to, a);
}

LANES_INLINE vec vec_add(vec a, vec b) {
  return _mm512_add_ps(a, b);
}

LANES_INLINE vec vec_mul(vec a, vec b) {
  return _mm512_mul_ps(a, b);
}

#endif
