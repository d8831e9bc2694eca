/* The lanes of lanes_scalar.h in one AVX2 register (F16C too). */
#ifndef HB_LANES_H
#define HB_LANES_H

#include "base/half.h"

#include <immintrin.h>
#include <stddef.h>

#define LANES_INLINE static inline __attribute__((always_inline))

typedef __m256 f32x8;
typedef __m256i i32x8;

#ifndef LANES_AVX512
#define FLOAT_TILE_ROWS 4
#define FLOAT_TILE_COLUMNS 2
#endif

LANES_INLINE f32x8 f32x8_set1(float a) {
  return _mm256_set1_ps(a);
}

LANES_INLINE f32x8 f32x8_load(const float *from) {
  return _mm256_loadu_ps(from);
}

LANES_INLINE void f32x8_store(float *to, f32x8 a) {
  _mm256_storeu_ps(to, a);
}

LANES_INLINE f32x8 f32x8_load_f16(const uint16_t *from) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

LANES_INLINE void f32x8_store_f16(uint16_t *to, f32x8 a) {
  _mm_storeu_si128((__m128i *)(void *)to, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

LANES_INLINE f32x8 f32x8_load_bf16(const uint16_t *from) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

LANES_INLINE f32x8 f32x8_add(f32x8 a, f32x8 b) {
  return _mm256_add_ps(a, b);
}

LANES_INLINE f32x8 f32x8_sub(f32x8 a, f32x8 b) {
  return _mm256_sub_ps(a, b);
}

LANES_INLINE f32x8 f32x8_mul(f32x8 a, f32x8 b) {
  return _mm256_mul_ps(a, b);
}

LANES_INLINE f32x8 f32x8_div(f32x8 a, f32x8 b) {
  return _mm256_div_ps(a, b);
}

/* The instruction is a > b ? a : b, its second operand where they are unordered. */
LANES_INLINE f32x8 f32x8_max(f32x8 a, f32x8 b) {
  return _mm256_max_ps(a, b);
}

LANES_INLINE f32x8 f32x8_min(f32x8 a, f32x8 b) {
  return _mm256_min_ps(a, b);
}

LANES_INLINE f32x8 f32x8_where_less(f32x8 a, f32x8 b, f32x8 x, f32x8 y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

LANES_INLINE f32x8 f32x8_abs(f32x8 a) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

LANES_INLINE f32x8 f32x8_copy_sign(f32x8 a, f32x8 b) {
  return _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), b));
}

LANES_INLINE i32x8 i32x8_of_bits(f32x8 a) {
  return _mm256_castps_si256(a);
}

LANES_INLINE i32x8 i32x8_set1(int32_t a) {
  return _mm256_set1_epi32(a);
}

LANES_INLINE i32x8 i32x8_sub(i32x8 a, i32x8 b) {
  return _mm256_sub_epi32(a, b);
}

LANES_INLINE i32x8 i32x8_half(i32x8 a) {
  return _mm256_srai_epi32(a, 1);
}

LANES_INLINE f32x8 f32x8_pow2(i32x8 n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

#ifndef LANES_AVX512
#define VEC_LANES 8
#define VEC_SUMS 8
#define SCORE_VECTORS 2
typedef f32x8 vec;
#define vec_set1 f32x8_set1
#define vec_load f32x8_load
#define vec_load_f16 f32x8_load_f16
#define vec_store f32x8_store
#define vec_add f32x8_add
#define vec_mul f32x8_mul
#endif

#endif
