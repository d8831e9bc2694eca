/* The lanes of AVX2, which is what 8 virtual lanes fill, with twice the registers; and 16 lanes
 * where the width cannot matter. */
#ifndef HB_LANES_AVX512_H
#define HB_LANES_AVX512_H

#define LANES_AVX512
#include "kernel/lanes_avx2.h"

#define FLOAT_TILE_ROWS 4
#define FLOAT_TILE_COLUMNS 4

#define WIDE_LANES 16
typedef __m512 wide;

/* Two vectors in one: sums of two products run side by side. */
#define LANES_PAIRS

LANES_INLINE wide pair_of(f32x8 first, f32x8 second) {
  __m512d both = _mm512_castpd256_pd512(_mm256_castps_pd(first));
  return _mm512_castpd_ps(_mm512_insertf64x4(both, _mm256_castps_pd(second), 1));
}

LANES_INLINE f32x8 pair_first(wide a) {
  return _mm512_castps512_ps256(a);
}

LANES_INLINE f32x8 pair_second(wide a) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
}

LANES_INLINE wide wide_set1(float a) {
  return _mm512_set1_ps(a);
}

LANES_INLINE wide wide_load(const float *from) {
  return _mm512_loadu_ps(from);
}

LANES_INLINE void wide_store(float *to, wide a) {
  _mm512_storeu_ps(to, a);
}

LANES_INLINE wide wide_add(wide a, wide b) {
  return _mm512_add_ps(a, b);
}

LANES_INLINE wide wide_sub(wide a, wide b) {
  return _mm512_sub_ps(a, b);
}

LANES_INLINE wide wide_mul(wide a, wide b) {
  return _mm512_mul_ps(a, b);
}

LANES_INLINE wide wide_div(wide a, wide b) {
  return _mm512_div_ps(a, b);
}

LANES_INLINE wide wide_max(wide a, wide b) {
  return _mm512_max_ps(a, b);
}

LANES_INLINE wide wide_min(wide a, wide b) {
  return _mm512_min_ps(a, b);
}

LANES_INLINE wide wide_where_less(wide a, wide b, wide x, wide y) {
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}

LANES_INLINE wide wide_abs(wide a) {
  return _mm512_abs_ps(a);
}

LANES_INLINE wide wide_copy_sign(wide a, wide b) {
  __m512i sign = _mm512_and_si512(_mm512_castps_si512(b), _mm512_set1_epi32(INT32_MIN));
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), sign));
}

/* See lanes_wide.h. The instruction rounds once, too. */
LANES_INLINE wide wide_times_power(wide a, wide n) {
  return _mm512_scalef_ps(a, _mm512_sub_ps(n, _mm512_set1_ps(12582912.0f)));
}

#define VEC_LANES 16
#define VEC_SUMS 16
#define SCORE_VECTORS 1
typedef wide vec;
#define vec_set1 wide_set1
#define vec_load wide_load
#define vec_store wide_store
#define vec_add wide_add
#define vec_mul wide_mul

LANES_INLINE vec vec_load_f16(const uint16_t *from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

#endif
