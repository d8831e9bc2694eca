/* What codes_wasm_simd.h and codes_wasm_relaxed.h share of the primitives of codes_scalar.h: 4 rows
 * in a vector. */
#ifndef HB_CODES_WASM_H
#define HB_CODES_WASM_H

#include "kernel/isa.h"
#include "kernel/lanes_wasm.h"

#include <wasm_simd128.h>

#define ROW_LANES 4
#define ROW_TILES(X, ...) X(1, 4, __VA_ARGS__) X(4, 2, __VA_ARGS__)
/* LLVM would turn unrolled dot products into one serial chain with spills. */
#define ROW_CHUNK_LOOP HB_ROLLED
#define ROW_SIGNED_BIAS 0

typedef v128_t rowf, rowi, rowb, rowsum;

HB_INLINE rowf rowf_splat(float a) {
  return wasm_f32x4_splat(a);
}

HB_INLINE rowf rowf_load(const uint8_t *from) {
  return wasm_v128_load(from);
}

HB_INLINE rowf rowf_f16(const uint8_t *from) {
  return load4_f16((const uint16_t *)(const void *)from);
}

/* As hb_f32_of_f16, without a product of subnormal numbers, which may take the processor 50 times
 * as long. The exponent is raised to that of 2^112 times the value, which makes infinities and NaN
 * of those of f16, and (1 + m) 2^97 of a subnormal m 2^98; what is above 2^98 has nothing to be
 * taken from. */
#define ROW_SMALL_F16
HB_INLINE rowf rowf_small_f16(const uint8_t *from) {
  v128_t half = wasm_i32x4_load16x4(from);
  v128_t magnitude = wasm_v128_and(wasm_i32x4_shl(half, 13), wasm_i32x4_const_splat(0x0fffffff));
  v128_t raised = wasm_i32x4_add(magnitude, wasm_i32x4_const_splat(0x70000000));
  v128_t lacking = wasm_i32x4_min(wasm_f32x4_sub(raised, wasm_f32x4_const_splat(0x1p98f)),
                                  wasm_i32x4_const_splat(0));
  v128_t value = wasm_f32x4_mul(wasm_f32x4_add(raised, lacking), wasm_f32x4_const_splat(0x1p-112f));
  return wasm_v128_or(value, wasm_v128_and(half, wasm_i32x4_const_splat(INT32_MIN)));
}

HB_INLINE rowi rowi_u8(const uint8_t *from) {
  return wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(from)));
}

HB_INLINE rowi rowi_i8(const uint8_t *from) {
  return wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(from)));
}

HB_INLINE rowf rowf_e8m0(const uint8_t *from) {
  rowi e = rowi_u8(from);
  rowi normal = wasm_i32x4_shl(wasm_i32x4_sub(e, wasm_i32x4_const_splat(1)), 23);
  rowi subnormal = wasm_i32x4_add(wasm_i32x4_shl(e, 21), wasm_i32x4_const_splat(0x00200000));
  return wasm_i32x4_max(normal, subnormal);
}

HB_INLINE rowf rowf_of(rowi a) {
  return wasm_f32x4_convert_i32x4(a);
}

HB_INLINE rowf rowf_add(rowf a, rowf b) {
  return wasm_f32x4_add(a, b);
}

HB_INLINE rowf rowf_sub(rowf a, rowf b) {
  return wasm_f32x4_sub(a, b);
}

HB_INLINE rowf rowf_mul(rowf a, rowf b) {
  return wasm_f32x4_mul(a, b);
}

HB_INLINE void rowf_store(float *to, rowf a) {
  wasm_v128_store(to, a);
}

HB_INLINE rowi rowi_splat(int32_t a) {
  return wasm_i32x4_splat(a);
}

HB_INLINE rowi rowi_low_nibble(rowi a) {
  return wasm_v128_and(a, wasm_i32x4_const_splat(15));
}

HB_INLINE rowi rowi_high_nibble(rowi a) {
  return wasm_u32x4_shr(a, 4);
}

HB_INLINE rowi rowi_add(rowi a, rowi b) {
  return wasm_i32x4_add(a, b);
}

HB_INLINE rowi rowi_mul(rowi a, rowi b) {
  return wasm_i32x4_mul(a, b);
}

/* `sums` are the two 16-bit sums of an activation block. */
HB_INLINE rowi weigh_sums(const int16_t *sums, rowi w0, rowi w1) {
  rowi weights =
      wasm_v128_or(wasm_v128_and(w0, wasm_i32x4_const_splat(0xffff)), wasm_i32x4_shl(w1, 16));
  return wasm_i32x4_dot_i16x8(weights, wasm_v128_load32_splat(sums));
}

HB_INLINE rowb rowb_load(const uint8_t *from) {
  return wasm_v128_load(from);
}

HB_INLINE rowb rowb_low_nibbles(rowb a) {
  return wasm_v128_and(a, kept_splat(0x0f0f0f0f));
}

HB_INLINE rowb rowb_high_nibbles(rowb a) {
  return wasm_v128_and(wasm_u16x8_shr(a, 4), kept_splat(0x0f0f0f0f));
}

/* Bits that 16-bit shifts carry into the next byte miss the mask. */
HB_INLINE rowb rowb_or_bits(rowb codes, rowb bits, int left, int mask) {
  rowb shifted =
      left >= 0 ? wasm_i16x8_shl(bits, (uint32_t)left) : wasm_u16x8_shr(bits, (uint32_t)-left);
  return wasm_v128_or(codes, wasm_v128_and(shifted, wasm_i8x16_splat((int8_t)mask)));
}

/* Brings 5th bits of a chunk to where those of the chunk before were. As the loop over the chunks
 * is rolled, rowb_or_bits would shift by variables, which takes engines 5 instructions. */
#define ROW_NEXT_BITS(bits) wasm_u16x8_shr(bits, 1)

HB_INLINE rowb rowb_signed(rowb a) {
  return a;
}

/* Lane k of vector k, by blends. */
HB_INLINE rowb own_lanes(rowb a, rowb b, rowb c, rowb d) {
  v128_t ab = wasm_i32x4_shuffle(a, b, 0, 5, 2, 7), cd = wasm_i32x4_shuffle(c, d, 0, 5, 2, 7);
  return wasm_i32x4_shuffle(ab, cd, 0, 1, 6, 7);
}

HB_INLINE rowsum rowsum_begin(rowi first) {
  return first;
}

HB_INLINE rowi rowsum_end(rowsum sum) {
  return sum;
}

/* Bytes 0 and 2, and 1 and 3, of each lane as 16 bits. */
HB_INLINE v128_t even_signed(v128_t a) {
  return wasm_i16x8_shr(wasm_i16x8_shl(a, 8), 8);
}

HB_INLINE v128_t odd_signed(v128_t a) {
  return wasm_i16x8_shr(a, 8);
}

#endif
