/* The type table; decoders and encoders on blocks made by hand, where files do not reach. What
 * whole files say is in test_quant_vectors.c. */
#include "support.h"

#include "base/half.h"
#include "quant/quant.h"

#include <math.h>

/* ---- The table ---- */

static void names_lead_to_types_and_back(void **state) {
  (void)state;
#define CHECK_NAME(name, id, block, bytes, supported)                                              \
  {                                                                                                \
    hb_type type;                                                                                  \
    assert_int_equal(hb_type_from_name(hb_string_of(#name), &type), HB_OK);                        \
    assert_int_equal(type, id);                                                                    \
    assert_string_equal(hb_type_name(type), #name);                                                \
  }
  HB_TYPE_LIST(CHECK_NAME)
  hb_type type;
  assert_int_equal(hb_type_from_name(hb_string_of("q4_k"), &type), HB_OK);
  assert_int_equal(type, HB_TYPE_Q4_K);
}

static void unknown_names_and_numbers_are_refused(void **state) {
  (void)state;
  static const char *const names[] = {"", "Q", "Q4", "Q4_0 ", " Q4_0", "Q4-0", "q9_9", "\xc3\xa4"};
  hb_type type = HB_TYPE_F32;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_int_equal(hb_type_from_name(hb_string_of(names[i]), &type), HB_ARGUMENT);
  assert_int_equal(type, HB_TYPE_F32);
  static const uint32_t numbers[] = {4, 5, 31, 36, 43, 1000, 0x80000000u, UINT32_MAX};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    assert_null(hb_traits((hb_type)numbers[i]));
    assert_null(hb_type_name((hb_type)numbers[i]));
  }
}

static void every_supported_type_and_no_other_has_a_decoder(void **state) {
  (void)state;
#define CHECK_TRAITS(name, id, block, bytes, is_supported)                                         \
  {                                                                                                \
    const hb_type_traits *traits = hb_traits(HB_TYPE_##name);                                      \
    assert_int_equal(traits->block_values, block);                                                 \
    assert_int_equal(traits->block_bytes, bytes);                                                  \
    assert_int_equal(traits->supported, is_supported);                                             \
    assert_int_equal(traits->decode != NULL, is_supported);                                        \
    assert_true(traits->supported || !traits->encode);                                             \
  }
  HB_TYPE_LIST(CHECK_TRAITS)
}

static void row_bytes_need_whole_blocks_and_do_not_wrap(void **state) {
  (void)state;
  uint64_t bytes;
  assert_true(hb_row_bytes(HB_TYPE_Q4_0, 96, &bytes));
  assert_int_equal(bytes, 54);
  assert_true(hb_row_bytes(HB_TYPE_Q6_K, 0, &bytes));
  assert_int_equal(bytes, 0);
  assert_false(hb_row_bytes(HB_TYPE_Q4_0, 172, &bytes));
  assert_false(hb_row_bytes(HB_TYPE_Q4_K, 128, &bytes));
  assert_false(hb_row_bytes((hb_type)4, 32, &bytes));
  assert_false(hb_row_bytes(HB_TYPE_F32, UINT64_MAX / 2, &bytes));
  assert_true(hb_row_bytes(HB_TYPE_F32, UINT64_MAX / 4, &bytes));
}

/* ---- Half precision ---- */

static void every_f16_has_its_value(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    float x = hb_f32_of_f16((uint16_t)h);
    if (exponent == 31 && fraction != 0) {
      assert_true(isnan(x));
      continue;
    }
    double magnitude = exponent == 31  ? INFINITY
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, (int)exponent - 25);
    assert_true(x == (h >> 15 ? -magnitude : magnitude));
    assert_int_equal(signbit(x) != 0, h >> 15);
    assert_int_equal(hb_f16_of_f32(x), h);
  }
}

/* The middle between two neighbours goes to the even one, and anything beside it to the nearer. */
static void f16_rounds_to_nearest_even(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 0x7bff; h++) {
    float middle = (hb_f32_of_f16((uint16_t)h) + hb_f32_of_f16((uint16_t)(h + 1))) / 2;
    assert_int_equal(hb_f16_of_f32(middle), h + (h & 1));
    assert_int_equal(hb_f16_of_f32(nextafterf(middle, 0)), h);
    assert_int_equal(hb_f16_of_f32(nextafterf(middle, INFINITY)), h + 1);
    assert_int_equal(hb_f16_of_f32(-middle), 0x8000 | (h + (h & 1)));
  }
  assert_int_equal(hb_f16_of_f32(65519.996f), 0x7bff);
  assert_int_equal(hb_f16_of_f32(65520), 0x7c00);
  assert_int_equal(hb_f16_of_f32(3e38f), 0x7c00);
  assert_int_equal(hb_f16_of_f32(NAN) & 0x7fff, 0x7e00);
}

static void bf16_rounds_to_nearest_even(void **state) {
  (void)state;
  for (uint32_t b = 0; b < 65536; b++) {
    float x = hb_f32_of_bf16((uint16_t)b);
    assert_int_equal(hb_bits_of_f32(x), b << 16);
    if (isnan(x)) continue;
    assert_int_equal(hb_bf16_of_f32(x), b);
    if (isinf(x)) continue;
    assert_int_equal(hb_bf16_of_f32(hb_f32_of_bits(b << 16 | 0x8000)), b + (b & 1));
    assert_int_equal(hb_bf16_of_f32(hb_f32_of_bits(b << 16 | 0x7fff)), b);
    assert_int_equal(hb_bf16_of_f32(hb_f32_of_bits(b << 16 | 0x8001)), b + 1);
  }
  assert_int_equal(hb_bf16_of_f32(hb_f32_of_bits(0x7f800001)), 0x7fc0);
}

/* ---- Blocks made by hand ---- */

enum { LONGEST_BLOCK = 256, MOST_BYTES = 210 };

/* An address with no alignment at all. */
static void decode_unaligned(hb_type type, const uint8_t *block, float *out) {
  uint8_t room[MOST_BYTES + 1];
  memcpy(room + 1, block, hb_traits(type)->block_bytes);
  hb_traits(type)->decode(room + 1, out, 1);
}

static void q4_0_keeps_the_halves_in_low_and_high_nibbles(void **state) {
  (void)state;
  uint8_t block[18] = {0x00, 0xc0}; /* d = -2 */
  float w[32];
  for (int j = 0; j < 16; j++) block[2 + j] = (uint8_t)(j | (15 - j) << 4);
  decode_unaligned(HB_TYPE_Q4_0, block, w);
  for (int j = 0; j < 16; j++) {
    assert_true(w[j] == -2.0f * (float)(j - 8));
    assert_true(w[j + 16] == -2.0f * (float)(7 - j));
  }
}

static void q5_1_takes_the_fifth_bits_from_one_word(void **state) {
  (void)state;
  /* d = 0.5, m = 3; bits 1 and 31 of the word are set */
  uint8_t block[24] = {0x00, 0x38, 0x00, 0x42, 0x02, 0x00, 0x00, 0x80, [23] = 0x70};
  float w[32];
  decode_unaligned(HB_TYPE_Q5_1, block, w);
  for (int j = 0; j < 32; j++) {
    int q = j == 1 ? 16 : j == 31 ? 16 + 7 : 0;
    assert_true(w[j] == 0.5f * (float)q + 3);
  }
}

static void q8_0_decodes_minus_128(void **state) {
  (void)state;
  uint8_t block[34] = {0x00, 0x3c, 0x80, 0x7f, 0xff};
  float w[32];
  decode_unaligned(HB_TYPE_Q8_0, block, w);
  assert_true(w[0] == -128 && w[1] == 127 && w[2] == -1 && w[3] == 0);
}

/* Every scale and minimum of Q4_K has six bits of its own: each value 1 in one place, all else 0.
 */
static void q4_k_finds_every_bit_of_scales_and_minimums(void **state) {
  (void)state;
  float w[256];
  for (int j = 0; j < 8; j++)
    for (int bit = 0; bit < 6; bit++)
      for (int is_min = 0; is_min < 2; is_min++) {
        uint8_t block[144] = {0x00, 0x3c, 0x00, 0x3c};
        uint8_t *s = block + 4;
        memset(block + 16, 0x11, 128); /* every q is 1 */
        if (j < 4)
          s[j + 4 * is_min] = (uint8_t)(1 << bit);
        else if (bit < 4)
          s[j + 4] = (uint8_t)(1 << (bit + 4 * is_min));
        else
          s[j - 4 + 4 * is_min] = (uint8_t)(1 << (bit + 2));
        decode_unaligned(HB_TYPE_Q4_K, block, w);
        for (int i = 0; i < 256; i++) {
          float expected = i / 32 == j ? (float)(1 << bit) : 0;
          assert_true(w[i] == (is_min ? -expected : expected));
        }
      }
}

static void tq1_0_decodes_every_byte(void **state) {
  (void)state;
  uint8_t block[54] = {[53] = 0x3c};
  float w[256];
  for (int number = 0; number < 243; number++) { /* q0 q1 q2 q3 q4 as a number to base 3 */
    block[7] = (uint8_t)((number * 256 + 242) / 243);
    decode_unaligned(HB_TYPE_TQ1_0, block, w);
    for (int n = 4, rest = number; n >= 0; n--, rest /= 3)
      assert_true(w[7 + 32 * n] == (float)(rest % 3 - 1));
  }
}

static void mxfp4_scales_reach_the_ends_of_f32(void **state) {
  (void)state;
  static const float levels[16] = {0, 0.5f,  1,  1.5f,  2,  3,  4,  6,
                                   0, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  float w[32];
  for (int e = 0; e < 256; e++) {
    uint8_t block[17] = {(uint8_t)e};
    for (int j = 0; j < 16; j++) block[1 + j] = (uint8_t)(j | j << 4);
    decode_unaligned(HB_TYPE_MXFP4, block, w);
    for (int j = 0; j < 16; j++) {
      float expected = (float)ldexp(levels[j], e - 127);
      assert_true(w[j] == expected && w[j + 16] == expected);
    }
  }
}

/* ---- Encoding ---- */

static const hb_type block_types[] = {HB_TYPE_Q4_0, HB_TYPE_Q4_1, HB_TYPE_Q5_0, HB_TYPE_Q5_1,
                                      HB_TYPE_Q8_0};
enum { BLOCK_TYPES = sizeof block_types / sizeof *block_types };

static void encode_and_decode(hb_type type, const float in[32], float out[32]) {
  uint8_t block[64];
  memset(block, 0xaa, sizeof block);
  hb_traits(type)->encode(in, block, 1);
  for (size_t i = hb_traits(type)->block_bytes; i < sizeof block; i++)
    assert_int_equal(block[i], 0xaa);
  hb_traits(type)->decode(block, out, 1);
}

static void values_come_back_within_their_step(void **state) {
  (void)state;
  static const float steps[BLOCK_TYPES] = {1 / 8.0f, 2 / 15.0f, 1 / 16.0f, 2 / 31.0f, 1 / 127.0f};
  float in[32], out[32];
  uint32_t random = 1;
  for (int round = 0; round < 1000; round++) {
    float largest = 0;
    for (int j = 0; j < 32; j++) {
      random = random * 1664525u + 1013904223u;
      in[j] = (float)(int32_t)random * 0x1p-33f;
      largest = fmaxf(largest, fabsf(in[j]));
    }
    for (int t = 0; t < BLOCK_TYPES; t++) {
      encode_and_decode(block_types[t], in, out);
      for (int j = 0; j < 32; j++) {
        /* Half a step and the rounding of the scale; a whole one where the symmetric forms lack
         * the positive end. */
        bool clipped = t % 2 == 0 && t < 4;
        float tolerance = largest * (steps[t] * (clipped ? 1 : 0.5f) + 0.002f);
        assert_true(fabsf(in[j] - out[j]) <= tolerance);
      }
    }
  }
}

static void blocks_of_zeros_stay_zeros(void **state) {
  (void)state;
  const float in[32] = {0};
  float out[32];
  for (int t = 0; t < BLOCK_TYPES; t++) {
    encode_and_decode(block_types[t], in, out);
    for (int j = 0; j < 32; j++) assert_true(out[j] == 0);
  }
}

/* A scale below the smallest number has no finite inverse. */
static void subnormal_values_become_zeros(void **state) {
  (void)state;
  float in[32], out[32];
  for (int j = 0; j < 32; j++) in[j] = (float)(j - 16) * 0x1p-149f;
  for (int t = 0; t < BLOCK_TYPES; t++) {
    encode_and_decode(block_types[t], in, out);
    for (int j = 0; j < 32; j++) assert_true(out[j] == 0);
  }
}

/* The sanitizers watch the conversions. */
static void values_that_are_no_numbers_are_encoded_to_something(void **state) {
  (void)state;
  static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f};
  enum { ODD = sizeof odd / sizeof *odd };
  float in[32], out[32];
  for (int t = 0; t < BLOCK_TYPES; t++)
    for (int a = 0; a < ODD; a++)
      for (int b = 0; b < ODD; b++) {
        for (int j = 0; j < 32; j++) in[j] = (float)j;
        in[5] = odd[a];
        in[30] = odd[b];
        encode_and_decode(block_types[t], in, out);
        for (int j = 0; j < 32; j++) in[j] = odd[j % 2 ? a : b];
        encode_and_decode(block_types[t], in, out);
      }
}

/* One of them does not spoil its neighbours. */
static void nan_takes_no_part_in_the_scale(void **state) {
  (void)state;
  float in[32], out[32], clean[32];
  for (int t = 0; t < BLOCK_TYPES; t++) {
    for (int j = 0; j < 32; j++) in[j] = (float)(j - 9);
    in[9] = 0;
    encode_and_decode(block_types[t], in, clean);
    in[9] = NAN;
    encode_and_decode(block_types[t], in, out);
    for (int j = 0; j < 32; j++) assert_true(j == 9 ? isfinite(out[j]) : out[j] == clean[j]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_lead_to_types_and_back),
      cmocka_unit_test(unknown_names_and_numbers_are_refused),
      cmocka_unit_test(every_supported_type_and_no_other_has_a_decoder),
      cmocka_unit_test(row_bytes_need_whole_blocks_and_do_not_wrap),
      cmocka_unit_test(every_f16_has_its_value),
      cmocka_unit_test(f16_rounds_to_nearest_even),
      cmocka_unit_test(bf16_rounds_to_nearest_even),
      cmocka_unit_test(q4_0_keeps_the_halves_in_low_and_high_nibbles),
      cmocka_unit_test(q5_1_takes_the_fifth_bits_from_one_word),
      cmocka_unit_test(q8_0_decodes_minus_128),
      cmocka_unit_test(q4_k_finds_every_bit_of_scales_and_minimums),
      cmocka_unit_test(tq1_0_decodes_every_byte),
      cmocka_unit_test(mxfp4_scales_reach_the_ends_of_f32),
      cmocka_unit_test(values_come_back_within_their_step),
      cmocka_unit_test(blocks_of_zeros_stay_zeros),
      cmocka_unit_test(subnormal_values_become_zeros),
      cmocka_unit_test(values_that_are_no_numbers_are_encoded_to_something),
      cmocka_unit_test(nan_takes_no_part_in_the_scale),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
