/* The primitives of codes_scalar.h: 8 rows in a register. maddubs multiplies u8 by i8 and adds
 * neighbours in 16 bits; those sums are widened only when they could overflow. */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "kernel/activation.h"
#include "kernel/isa.h"

#include <immintrin.h>

#define ROW_LANES 8
#define ROW_TILES(X, ...) X(1, 2, __VA_ARGS__) X(2, 2, __VA_ARGS__) X(4, 1, __VA_ARGS__)
#define ROW_CHUNK_LOOP HB_UNROLL
#define ROW_SIGNED_BIAS 0

typedef __m256 rowf;
typedef __m256i rowi, rowb, rowx;
typedef struct rowsum {
  __m256i wide;   /* i32 of each row */
  __m256i narrow; /* i16: the sums of two products */
  int pending;    /* maddubs in `narrow`; known to the compiler */
} rowsum;

HB_INLINE rowf rowf_splat(float a) {
  return _mm256_set1_ps(a);
}

HB_INLINE rowf rowf_load(const uint8_t *from) {
  return _mm256_loadu_ps((const float *)(const void *)from);
}

HB_INLINE rowf rowf_f16(const uint8_t *from) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

HB_INLINE rowi rowi_u8(const uint8_t *from) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

HB_INLINE rowi rowi_i8(const uint8_t *from) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

HB_INLINE rowf rowf_e8m0(const uint8_t *from) {
  rowi e = rowi_u8(from);
  rowi normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  rowi subnormal = _mm256_add_epi32(_mm256_slli_epi32(e, 21), _mm256_set1_epi32(0x00200000));
  return _mm256_castsi256_ps(_mm256_max_epi32(normal, subnormal));
}

HB_INLINE rowf rowf_of(rowi a) {
  return _mm256_cvtepi32_ps(a);
}

HB_INLINE rowf rowf_add(rowf a, rowf b) {
  return _mm256_add_ps(a, b);
}

HB_INLINE rowf rowf_sub(rowf a, rowf b) {
  return _mm256_sub_ps(a, b);
}

HB_INLINE rowf rowf_mul(rowf a, rowf b) {
  return _mm256_mul_ps(a, b);
}

HB_INLINE void rowf_store(float *to, rowf a) {
  _mm256_storeu_ps(to, a);
}

HB_INLINE rowi rowi_splat(int32_t a) {
  return _mm256_set1_epi32(a);
}

HB_INLINE rowi rowi_low_nibble(rowi a) {
  return _mm256_and_si256(a, _mm256_set1_epi32(15));
}

HB_INLINE rowi rowi_high_nibble(rowi a) {
  return _mm256_srli_epi32(a, 4);
}

HB_INLINE rowi rowi_add(rowi a, rowi b) {
  return _mm256_add_epi32(a, b);
}

HB_INLINE rowi rowi_mul(rowi a, rowi b) {
  return _mm256_mullo_epi32(a, b);
}

HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  int32_t sums;
  memcpy(&sums, sum, 4);
  rowi weights =
      _mm256_or_si256(_mm256_and_si256(w0, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(w1, 16));
  return _mm256_madd_epi16(weights, _mm256_set1_epi32(sums));
}

HB_INLINE rowb rowb_load(const uint8_t *from) {
  return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

HB_INLINE rowb rowb_low_nibbles(rowb a) {
  return _mm256_and_si256(a, _mm256_set1_epi8(15));
}

HB_INLINE rowb rowb_high_nibbles(rowb a) {
  return _mm256_and_si256(_mm256_srli_epi16(a, 4), _mm256_set1_epi8(15));
}

/* Bits that 16-bit shifts carry into the next byte miss the mask. */
HB_INLINE rowb rowb_or_bits(rowb codes, rowb bits, int left, int mask) {
  rowb shifted;
  switch (left) {
  case 4: shifted = _mm256_slli_epi16(bits, 4); break;
  case 3: shifted = _mm256_slli_epi16(bits, 3); break;
  case 2: shifted = _mm256_slli_epi16(bits, 2); break;
  case 1: shifted = _mm256_slli_epi16(bits, 1); break;
  case -1: shifted = _mm256_srli_epi16(bits, 1); break;
  case -2: shifted = _mm256_srli_epi16(bits, 2); break;
  case -3: shifted = _mm256_srli_epi16(bits, 3); break;
  default: shifted = bits; break;
  }
  return _mm256_or_si256(codes, _mm256_and_si256(shifted, _mm256_set1_epi8((char)mask)));
}

HB_INLINE rowb rowb_signed(rowb a) {
  return a;
}

HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  __m128i values = _mm_loadu_si128((const __m128i *)(const void *)table);
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), a);
}

/* Levels of the rows k and 4 + k: in each half of the register those of its row. */
HB_INLINE rowb lookup_half(rowb a, const uint8_t *tables, size_t row, size_t k) {
  return _mm256_shuffle_epi8(rowb_load(tables + 64 * k + 4 * row), a);
}

HB_INLINE rowb rowb_lookup_rows(rowb a, const uint8_t *tables, size_t row) {
  rowb r01 =
      _mm256_blend_epi32(lookup_half(a, tables, row, 0), lookup_half(a, tables, row, 1), 0xaa);
  rowb r23 =
      _mm256_blend_epi32(lookup_half(a, tables, row, 2), lookup_half(a, tables, row, 3), 0xaa);
  return _mm256_blend_epi32(r01, r23, 0xcc);
}

HB_INLINE rowx rowx_load(const activation *x, int at) {
  int32_t four;
  memcpy(&four, x->q + 4 * at, 4);
  return _mm256_set1_epi32(four);
}

HB_INLINE rowi widened(__m256i narrow) {
  return _mm256_madd_epi16(narrow, _mm256_set1_epi16(1));
}

HB_INLINE rowsum rowsum_begin(rowi first) {
  return (rowsum){first, _mm256_setzero_si256(), 0};
}

/* `pairs` is a result of maddubs, of which `capacity` fit 16 bits. */
HB_INLINE rowsum add_pairs(rowsum sum, __m256i pairs, int capacity) {
  if (sum.pending == capacity) {
    sum.wide = _mm256_add_epi32(sum.wide, widened(sum.narrow));
    sum.narrow = _mm256_setzero_si256();
    sum.pending = 0;
  }
  sum.narrow = _mm256_add_epi16(sum.narrow, pairs);
  sum.pending++;
  return sum;
}

/* 32767 / (2 * 127 * (2^bits - 1)), but at most the 8 of a part. */
HB_INLINE int pairs_capacity(int bits) {
  return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  return add_pairs(sum, _mm256_maddubs_epi16(w, x), pairs_capacity(bits));
}

/* |w| times x with the sign of w. |-128| is 128 as u8, and x, never -128, can be negated. */
HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return add_pairs(sum, pairs, pairs_capacity(bits));
}

HB_INLINE rowi rowsum_end(rowsum sum) {
  return _mm256_add_epi32(sum.wide, widened(sum.narrow));
}

#endif
