/* The primitives of codes_scalar.h: 16 rows in a register, dot products by VNNI (u8 x i8). */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "kernel/activation.h"
#include "kernel/isa.h"

#include <immintrin.h>

#define ROW_LANES 16
#define ROW_TILES(X, ...)                                                                          \
  X(1, 1, __VA_ARGS__) X(2, 1, __VA_ARGS__) X(4, 1, __VA_ARGS__) X(8, 1, __VA_ARGS__)
#define ROW_CHUNK_LOOP HB_UNROLL
#define ROW_SIGNED_BIAS 128 /* signed codes are shifted into u8 */

typedef __m512 rowf;
typedef __m512i rowi, rowb, rowx, rowsum;

HB_INLINE rowf rowf_splat(float a) {
  return _mm512_set1_ps(a);
}

HB_INLINE rowf rowf_load(const uint8_t *from) {
  return _mm512_loadu_ps(from);
}

HB_INLINE rowf rowf_f16(const uint8_t *from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

HB_INLINE rowi rowi_u8(const uint8_t *from) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

HB_INLINE rowi rowi_i8(const uint8_t *from) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from));
}

HB_INLINE rowf rowf_e8m0(const uint8_t *from) {
  rowi e = rowi_u8(from);
  rowi normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  rowi subnormal = _mm512_add_epi32(_mm512_slli_epi32(e, 21), _mm512_set1_epi32(0x00200000));
  return _mm512_castsi512_ps(_mm512_max_epi32(normal, subnormal));
}

HB_INLINE rowf rowf_of(rowi a) {
  return _mm512_cvtepi32_ps(a);
}

HB_INLINE rowf rowf_add(rowf a, rowf b) {
  return _mm512_add_ps(a, b);
}

HB_INLINE rowf rowf_sub(rowf a, rowf b) {
  return _mm512_sub_ps(a, b);
}

HB_INLINE rowf rowf_mul(rowf a, rowf b) {
  return _mm512_mul_ps(a, b);
}

HB_INLINE void rowf_store(float *to, rowf a) {
  _mm512_storeu_ps(to, a);
}

HB_INLINE rowi rowi_splat(int32_t a) {
  return _mm512_set1_epi32(a);
}

HB_INLINE rowi rowi_low_nibble(rowi a) {
  return _mm512_and_si512(a, _mm512_set1_epi32(15));
}

HB_INLINE rowi rowi_high_nibble(rowi a) {
  return _mm512_srli_epi32(a, 4);
}

HB_INLINE rowi rowi_add(rowi a, rowi b) {
  return _mm512_add_epi32(a, b);
}

HB_INLINE rowi rowi_mul(rowi a, rowi b) {
  return _mm512_mullo_epi32(a, b);
}

HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  int32_t sums;
  memcpy(&sums, sum, 4);
  rowi weights =
      _mm512_or_si512(_mm512_and_si512(w0, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(w1, 16));
  return _mm512_madd_epi16(weights, _mm512_set1_epi32(sums));
}

HB_INLINE rowb rowb_load(const uint8_t *from) {
  return _mm512_loadu_si512(from);
}

HB_INLINE rowb rowb_low_nibbles(rowb a) {
  return _mm512_and_si512(a, _mm512_set1_epi8(15));
}

HB_INLINE rowb rowb_high_nibbles(rowb a) {
  return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15));
}

/* Bits that 16-bit shifts carry into the next byte miss the mask. */
HB_INLINE rowb rowb_or_bits(rowb codes, rowb bits, int left, int mask) {
  rowb shifted;
  switch (left) {
  case 4: shifted = _mm512_slli_epi16(bits, 4); break;
  case 3: shifted = _mm512_slli_epi16(bits, 3); break;
  case 2: shifted = _mm512_slli_epi16(bits, 2); break;
  case 1: shifted = _mm512_slli_epi16(bits, 1); break;
  case -1: shifted = _mm512_srli_epi16(bits, 1); break;
  case -2: shifted = _mm512_srli_epi16(bits, 2); break;
  case -3: shifted = _mm512_srli_epi16(bits, 3); break;
  default: shifted = bits; break;
  }
  return _mm512_or_si512(codes, _mm512_and_si512(shifted, _mm512_set1_epi8((char)mask)));
}

HB_INLINE rowb rowb_signed(rowb a) {
  return _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80));
}

HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
  return _mm512_shuffle_epi8(rowb_signed(values), a);
}

/* Each quarter of the register has four rows: they take turns. */
HB_INLINE rowb rowb_lookup_rows(rowb a, const uint8_t *tables, size_t row) {
  (void)row; /* 0 */
  rowb r = _mm512_shuffle_epi8(rowb_signed(rowb_load(tables)), a);
  r = _mm512_mask_shuffle_epi8(r, 0x00f000f000f000f0, rowb_signed(rowb_load(tables + 64)), a);
  r = _mm512_mask_shuffle_epi8(r, 0x0f000f000f000f00, rowb_signed(rowb_load(tables + 128)), a);
  return _mm512_mask_shuffle_epi8(r, 0xf000f000f000f000, rowb_signed(rowb_load(tables + 192)), a);
}

HB_INLINE rowx rowx_load(const activation *x, int at) {
  int32_t four;
  memcpy(&four, x->q + 4 * at, 4);
  return _mm512_set1_epi32(four);
}

HB_INLINE rowsum rowsum_begin(rowi first) {
  return first;
}

HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  return _mm512_dpbusd_epi32(sum, w, x);
}

HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  return rowsum_dot(sum, w, x, bits);
}

HB_INLINE rowi rowsum_end(rowsum sum) {
  return sum;
}

/* What quantize.inc does with a block. */
#define QUANTIZE_BLOCK

HB_INLINE uint32_t block_top(const float *x) {
  __m512i mask = _mm512_set1_epi32(0x7fffffff);
  __m512i low = _mm512_and_si512(_mm512_loadu_si512(x), mask);
  __m512i high = _mm512_and_si512(_mm512_loadu_si512(x + 16), mask);
  return _mm512_reduce_max_epu32(_mm512_max_epu32(low, high));
}

HB_INLINE __m128i round_half(const float *x, __m512 inverse, int32_t *sum) {
  __m512 magic = _mm512_set1_ps(12582912.0f);
  __m512i shifted =
      _mm512_castps_si512(_mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(x), inverse), magic));
  __m128i q = _mm512_cvtepi32_epi8(shifted); /* the low bits are the integer's */
  /* Sums of 8 bytes, shifted into u8. */
  __m128i sums = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8((char)0x80)), _mm_setzero_si128());
  *sum = _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
  return q;
}

HB_INLINE void block_round(const float *x, float inverse, int8_t *q, int32_t sum[2]) {
  __m512 factor = _mm512_set1_ps(inverse);
  _mm_storeu_si128((__m128i *)(void *)q, round_half(x, factor, &sum[0]));
  _mm_storeu_si128((__m128i *)(void *)(q + 16), round_half(x + 16, factor, &sum[1]));
}

#endif
