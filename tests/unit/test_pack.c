/* Packing loses nothing: a packed row decodes to the bits of the reference decoder. */
#include "support.h"

#include "quant/quant.h"

#include "pack_reference.h"
#include "random_blocks.h"

enum { ROWS = 35, COLS = 512 };

static void unpacked_rows_equal_the_reference_decoder(void **unused) {
  (void)unused;
  static float expected[COLS], got[COLS];
  uint64_t state = 7;
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const block_type *type = &block_types[t];
    const hb_type_traits *traits = hb_traits(type->type);
    assert_non_null(traits);
    size_t blocks = COLS / type->values, row_bytes = blocks * type->bytes;
    uint8_t *raw = malloc(ROWS * row_bytes);
    assert_non_null(raw);
    for (int kind = 0; kind < BLOCK_KINDS; kind++) {
      random_blocks(type, (block_kind)kind, &state, raw, ROWS * blocks);
      hb_matrix m = packed_matrix(type->type, ROWS, COLS, raw, row_bytes);
      assert_non_null(m.data);
      for (size_t r = 0; r < ROWS; r++) {
        traits->decode(raw + r * row_bytes, expected, blocks);
        hb_unpack_row(&m, r, got);
        for (size_t i = 0; i < COLS; i++)
          if (!same_float(got[i], expected[i]))
            fail_msg("%s: value %zu of row %zu is %a, not %a", type->name, i, r, (double)got[i],
                     (double)expected[i]);
      }
      free(m.data);
    }
    free(raw);
  }
}

static const block_type *block_type_of(hb_type type) {
  for (size_t t = 0; t < BLOCK_TYPES; t++)
    if (block_types[t].type == type) return &block_types[t];
  fail_msg("no blocks of type %d", type);
  return NULL;
}

static void packed_bytes_are_those_of_the_description(void **unused) {
  (void)unused;
  uint64_t state = 9;
  for (size_t t = 0; t < sizeof reference_types / sizeof *reference_types; t++) {
    const block_type *type = block_type_of(reference_types[t].type);
    hb_packing_id id;
    hb_packing packing;
    assert_true(hb_packing_of(type->type, &id, &packing));
    for (uint32_t rows = 1; rows <= ROWS; rows++) {
      uint32_t cols = COLS * (1 + rows % 2) / 2;
      size_t blocks = cols / type->values, row_bytes = blocks * type->bytes;
      uint8_t *raw = malloc(rows * row_bytes);
      assert_non_null(raw);
      random_blocks(type, BLOCKS_ANY, &state, raw, rows * blocks);
      hb_matrix m = packed_matrix(type->type, rows, cols, raw, row_bytes);
      uint8_t *expected = calloc(1, m.bytes);
      assert_non_null(expected);
      reference_pack(reference_types[t].read, packing, raw, type->values, type->bytes, rows, cols,
                     expected);
      for (size_t i = 0; i < m.bytes; i++)
        if (m.data[i] != expected[i])
          fail_msg("%s: byte %zu of %u rows is %02x, not %02x", type->name, i, rows, m.data[i],
                   expected[i]);
      free(expected);
      free(m.data);
      free(raw);
    }
  }
}

static void float_rows_come_back_as_they_were(void **unused) {
  (void)unused;
  static const hb_type types[] = {HB_TYPE_F32, HB_TYPE_F16, HB_TYPE_BF16};
  enum { ODD = 77 };
  static uint8_t raw[ROWS * ODD * 4];
  float expected[ODD], got[ODD];
  uint64_t state = 8;
  for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)next_random(&state);
  for (size_t t = 0; t < 3; t++) {
    const hb_type_traits *traits = hb_traits(types[t]);
    hb_matrix m = packed_matrix(types[t], ROWS, ODD, raw, ODD * traits->block_bytes);
    assert_non_null(m.data);
    assert_int_equal(m.bytes, ROWS * ODD * traits->block_bytes);
    for (size_t r = 0; r < ROWS; r++) {
      traits->decode(raw + r * ODD * traits->block_bytes, expected, ODD);
      hb_unpack_row(&m, r, got);
      for (size_t i = 0; i < ODD; i++) assert_true(same_float(got[i], expected[i]));
    }
    free(m.data);
  }
}

static void the_rows_that_fill_the_last_group_are_zeros(void **unused) {
  (void)unused;
  static uint8_t raw[3 * COLS / 32 * 34];
  memset(raw, 0xa5, sizeof raw);
  uint64_t bytes;
  assert_true(hb_packed_size(HB_TYPE_Q8_0, 3, COLS, &bytes));
  hb_matrix m = {.type = HB_TYPE_Q8_0, .rows = 3, .cols = COLS, .bytes = bytes};
  m.data = aligned_alloc(64, (bytes + 63) / 64 * 64);
  assert_non_null(m.data);
  memset(m.data, 0xff, bytes);
  hb_pack_group(&m, 0, raw);
  m.rows = HB_GROUP;
  float row[COLS];
  for (size_t r = 3; r < HB_GROUP; r++) {
    hb_unpack_row(&m, r, row);
    for (size_t i = 0; i < COLS; i++) assert_true(row[i] == 0.0f);
  }
  free(m.data);
}

static void sizes_are_checked(void **unused) {
  (void)unused;
  uint64_t bytes;
  assert_true(hb_packed_size(HB_TYPE_Q4_0, 17, 64, &bytes));
  assert_int_equal(bytes, 2 * 2 * 288);
  assert_true(hb_packed_size(HB_TYPE_Q6_K, 16, 256, &bytes));
  assert_int_equal(bytes, 16 * 210);
  assert_true(hb_packed_size(HB_TYPE_TQ2_0, 1, 256, &bytes));
  assert_int_equal(bytes, 8 * 288);
  assert_true(hb_packed_size(HB_TYPE_F16, 3, 5, &bytes));
  assert_int_equal(bytes, 30);
  assert_false(hb_packed_size(HB_TYPE_Q4_0, 16, 33, &bytes));
  assert_false(hb_packed_size(HB_TYPE_TQ1_0, 16, 128, &bytes));
  assert_false(hb_packed_size(HB_TYPE_IQ3_S, 16, 256, &bytes));
  assert_false(hb_packed_size(HB_TYPE_Q8_1, 16, 32, &bytes));
  assert_false(hb_packed_size(HB_TYPE_F32, UINT64_C(1) << 32, 1, &bytes));
  assert_false(hb_packed_size(HB_TYPE_Q4_0, 1, UINT64_C(1) << 62, &bytes));
  assert_false(hb_type_wants_int8(HB_TYPE_BF16));
  assert_true(hb_type_wants_int8(HB_TYPE_TQ1_0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unpacked_rows_equal_the_reference_decoder),
      cmocka_unit_test(packed_bytes_are_those_of_the_description),
      cmocka_unit_test(float_rows_come_back_as_they_were),
      cmocka_unit_test(the_rows_that_fill_the_last_group_are_zeros),
      cmocka_unit_test(sizes_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
