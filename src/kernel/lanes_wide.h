/* Vectors for what is done element by element: a whole number of f32x8, where an ISA's lanes_*.h
 * has not defined them already. */
#ifndef HB_LANES_WIDE_H
#define HB_LANES_WIDE_H

#ifndef WIDE_LANES
#define WIDE_LANES 8
typedef f32x8 wide;
#define wide_set1 f32x8_set1
#define wide_load f32x8_load
#define wide_store f32x8_store
#define wide_add f32x8_add
#define wide_sub f32x8_sub
#define wide_mul f32x8_mul
#define wide_div f32x8_div
#define wide_max f32x8_max
#define wide_min f32x8_min
#define wide_where_less f32x8_where_less
#define wide_abs f32x8_abs
#define wide_copy_sign f32x8_copy_sign

/* a * 2^n, rounded once, for a near 1 and a whole n in -126..128, of which the vector holds
 * 1.5 * 2^23 + n: two powers, of which only the second product can round. */
LANES_INLINE wide wide_times_power(wide a, wide n) {
  i32x8 power = i32x8_sub(i32x8_of_bits(n), i32x8_of_bits(f32x8_set1(12582912.0f)));
  i32x8 half = i32x8_half(power);
  return f32x8_mul(f32x8_mul(a, f32x8_pow2(half)), f32x8_pow2(i32x8_sub(power, half)));
}
#endif

#endif
