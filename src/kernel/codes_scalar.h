/*
 * What matmul.inc is written over, in portable C: this is the definition. A vector holds ROW_LANES
 * rows of a group, one in each 32-bit lane (here there is one lane):
 *
 *   rowf    f32 of each row
 *   rowi    i32 of each row
 *   rowb    4 codes of each row, in the bytes of its lane
 *   rowx    4 activations, the same for all lanes
 *   rowsum  a dot product on its way to a rowi, in whatever form the ISA likes
 *
 * Integers never wrap or saturate, so that their order is free; floats round after each operation.
 */
#ifndef HB_CODES_H
#define HB_CODES_H

#include "base/half.h"
#include "kernel/activation.h"
#include "kernel/isa.h"

#define ROW_LANES 1
/* X(activation rows, vectors of weight rows, ...) for each size of tile, smallest first, that the
 * registers hold. The first has one activation row. */
#define ROW_TILES(X, ...) X(1, 1, __VA_ARGS__)
/* Whether the loop over the 4 chunks of a part is unrolled. */
#define ROW_CHUNK_LOOP HB_ROLLED
/* What codes that rowb_signed and rowb_lookup give are too large by. */
#define ROW_SIGNED_BIAS 0

typedef float rowf;
typedef int32_t rowi;
typedef int32_t rowsum;
typedef struct rowb {
  uint8_t at[4];
} rowb;
typedef struct rowx {
  int8_t at[4];
} rowx;

HB_INLINE rowf rowf_splat(float a) {
  return a;
}

HB_INLINE rowf rowf_load(const uint8_t *from) {
  rowf r;
  memcpy(&r, from, 4);
  return r;
}

HB_INLINE rowf rowf_f16(const uint8_t *from) {
  return hb_f32_of_f16(hb_load_u16(from));
}

/* 2^(e - 128), e = 0..255. The larger of two integers: the bits of a normal number, which are
 * negative for e = 0, and those of a subnormal one. */
HB_INLINE rowf rowf_e8m0(const uint8_t *from) {
  int32_t normal = (*from - 1) * (1 << 23), subnormal = 0x00200000 + *from * (1 << 21);
  return hb_f32_of_bits((uint32_t)(normal > subnormal ? normal : subnormal));
}

HB_INLINE rowf rowf_of(rowi a) {
  return (float)a;
}

HB_INLINE rowf rowf_add(rowf a, rowf b) {
  return a + b;
}

HB_INLINE rowf rowf_sub(rowf a, rowf b) {
  return a - b;
}

HB_INLINE rowf rowf_mul(rowf a, rowf b) {
  return a * b;
}

HB_INLINE void rowf_store(float *to, rowf a) {
  *to = a;
}

HB_INLINE rowi rowi_splat(int32_t a) {
  return a;
}

HB_INLINE rowi rowi_u8(const uint8_t *from) {
  return *from;
}

HB_INLINE rowi rowi_i8(const uint8_t *from) {
  return (int8_t)*from;
}

HB_INLINE rowi rowi_low_nibble(rowi a) {
  return a & 15;
}

/* Of a byte. */
HB_INLINE rowi rowi_high_nibble(rowi a) {
  return a >> 4;
}

HB_INLINE rowi rowi_add(rowi a, rowi b) {
  return a + b;
}

HB_INLINE rowi rowi_mul(rowi a, rowi b) {
  return a * b;
}

/* w0 * sum[0] + w1 * sum[1]; w0 and w1 fit 16 bits. */
HB_INLINE rowi rowi_weigh_sums(const int16_t *sum, rowi w0, rowi w1) {
  return w0 * sum[0] + w1 * sum[1];
}

HB_INLINE rowb rowb_load(const uint8_t *from) {
  rowb r;
  memcpy(r.at, from, 4);
  return r;
}

HB_INLINE rowb rowb_low_nibbles(rowb a) {
  for (int j = 0; j < 4; j++) a.at[j] &= 15;
  return a;
}

HB_INLINE rowb rowb_high_nibbles(rowb a) {
  for (int j = 0; j < 4; j++) a.at[j] >>= 4;
  return a;
}

/* codes | (bits << left & mask), or bits >> -left. Mask is 0x10 or 0x30, left -3..4. */
HB_INLINE rowb rowb_or_bits(rowb codes, rowb bits, int left, int mask) {
  for (int j = 0; j < 4; j++)
    codes.at[j] |= (uint8_t)((left >= 0 ? bits.at[j] << left : bits.at[j] >> -left) & mask);
  return codes;
}

/* Bytes as int8 codes. */
HB_INLINE rowb rowb_signed(rowb a) {
  return a;
}

/* table[a], a < 16, as int8 codes. */
HB_INLINE rowb rowb_lookup(rowb a, const int8_t *table) {
  for (int j = 0; j < 4; j++) a.at[j] = (uint8_t)table[a.at[j]];
  return a;
}

/* The same with a table for each of the rows from `row` on, as a group of TABLES has them. */
HB_INLINE rowb rowb_lookup_rows(rowb a, const uint8_t *tables, size_t row) {
  return rowb_lookup(a, (const int8_t *)tables + 64 * (row % 4) + 16 * (row / 4));
}

/* q[4 * at] .. q[4 * at + 3] */
HB_INLINE rowx rowx_load(const activation *x, int at) {
  rowx r;
  memcpy(r.at, x->q + 4 * at, 4);
  return r;
}

HB_INLINE rowsum rowsum_begin(rowi first) {
  return first;
}

/* Adds w . x. Codes have at most `bits` bits (4 to 6): with up to 8 calls between begin and end an
 * ISA may sum in 16 bits for as long as that cannot overflow. */
HB_INLINE rowsum rowsum_dot(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  for (int j = 0; j < 4; j++) sum += w.at[j] * x.at[j];
  return sum;
}

/* The same for codes of rowb_signed and rowb_lookup, |w| < 2^bits (4 or 8). */
HB_INLINE rowsum rowsum_dot_signed(rowsum sum, rowb w, rowx x, int bits) {
  (void)bits;
  for (int j = 0; j < 4; j++) sum += (int8_t)w.at[j] * x.at[j];
  return sum;
}

HB_INLINE rowi rowsum_end(rowsum sum) {
  return sum;
}

#endif
