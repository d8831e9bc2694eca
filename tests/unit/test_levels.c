/* The types of halfbyte's own whose codes index tables of levels: what their bytes mean, that
 * packing keeps it, and that every ISA multiplies with it as the definition says. */
#include "support.h"

#include "quant/private.h"
#include "quant/quant.h"

#include "random_blocks.h"

#include <math.h>

enum { ROWS = 37, MOST_COLS = 1344, X_ROWS = 40 };

typedef struct level_type {
  hb_type type;
  const char *name;
  uint32_t cols[4]; /* to be tried: few blocks, a row that ends within a super-block, many parts */
} level_type;

static const level_type types[] = {
    {HB_TYPE_NF4, "NF4", {64, 256, 576, 1344}},
    {HB_TYPE_FP4, "FP4", {64, 256, 576, 1344}},
    {HB_TYPE_TABLE4, "TABLE4", {32, 64, 288, 1344}},
    {HB_TYPE_TABLE3, "TABLE3", {32, 96, 288, 1344}},
};
enum { TYPES = sizeof types / sizeof *types };

static bool is_table(hb_type type) {
  return type == HB_TYPE_TABLE4 || type == HB_TYPE_TABLE3;
}

static size_t row_bytes_of(hb_type type, uint32_t cols) {
  uint64_t bytes;
  assert_true(hb_row_bytes(type, cols, &bytes));
  return (size_t)bytes;
}

static unsigned bit_at(const uint8_t *bytes, size_t bit) {
  return bytes[bit / 8] >> bit % 8 & 1u;
}

/* Scale and level of value i of a row, found without regard to any other value. */
typedef struct term {
  float scale;
  int level;
} term;

static term term_of_block_scales(hb_type type, const uint8_t *row, uint32_t cols, uint32_t i) {
  uint32_t super = i / 256, block = i % 256 / 64, j = i % 32;
  uint32_t blocks = cols - 256 * super < 256 ? (cols - 256 * super) / 64 : 4;
  const uint8_t *at = row + 134 * super, *codes = at + 2 + blocks + 16 * (i % 256 / 32);
  unsigned code = j < 16 ? codes[j] & 15u : codes[j - 16] >> 4;
  const int8_t *levels = type == HB_TYPE_NF4 ? hb_nf4_levels : hb_fp4_levels;
  return (term){ldexpf(hb_f32_of_f16(hb_load_u16(at)) * (float)at[2 + block], -14), levels[code]};
}

static term term_of_table(hb_type type, const uint8_t *row, uint32_t i) {
  uint32_t levels = type == HB_TYPE_TABLE4 ? 16 : 8, j = i % 32;
  const uint8_t *codes = row + 2 + levels + i / 32 * (type == HB_TYPE_TABLE4 ? 16 : 12);
  unsigned code;
  if (type == HB_TYPE_TABLE4)
    code = codes[j % 16] >> (j < 16 ? 0 : 4) & 15u;
  else
    code = bit_at(codes + j % 8, j / 8 * 2) | bit_at(codes + j % 8, j / 8 * 2 + 1) << 1 |
           bit_at(codes + 8, j) << 2;
  return (term){ldexpf(hb_f32_of_f16(hb_load_u16(row)), -7), (int8_t)row[2 + code]};
}

static term term_of(hb_type type, const uint8_t *row, uint32_t cols, uint32_t i) {
  return is_table(type) ? term_of_table(type, row, i) : term_of_block_scales(type, row, cols, i);
}

/* Any bytes, but sensible scales where the kind is plain. */
static uint8_t *random_rows(hb_type type, block_kind kind, uint32_t cols, uint64_t *state) {
  size_t row_bytes = row_bytes_of(type, cols);
  uint8_t *raw = malloc(ROWS * row_bytes);
  assert_non_null(raw);
  for (size_t i = 0; i < ROWS * row_bytes; i++) raw[i] = (uint8_t)(next_random(state) >> 24);
  if (kind == BLOCKS_ANY) return raw;
  for (size_t r = 0; r < ROWS; r++)
    for (size_t at = 0; at < (is_table(type) ? 1 : row_bytes); at += 134)
      hb_store_u16(raw + r * row_bytes + at, random_half(state, kind));
  return raw;
}

/* ---- The bytes ---- */

/* Digits of bitsandbytes 0.45, functional.py: create_normal_map, get_4bit_type("fp4"). */
static void levels_are_the_published_values_times_127(void **unused) {
  (void)unused;
  static const double nf4[16] = {-1.0,
                                 -0.6961928009986877,
                                 -0.5250730514526367,
                                 -0.39491748809814453,
                                 -0.28444138169288635,
                                 -0.18477343022823334,
                                 -0.09105003625154495,
                                 0.0,
                                 0.07958029955625534,
                                 0.16093020141124725,
                                 0.24611230194568634,
                                 0.33791524171829224,
                                 0.44070982933044434,
                                 0.5626170039176941,
                                 0.7229568362236023,
                                 1.0};
  static const double fp4[8] = {0,        0.0625 / 12, 2.0 / 12, 3.0 / 12,
                                4.0 / 12, 6.0 / 12,    8.0 / 12, 1};
  for (int i = 0; i < 16; i++) {
    assert_int_equal(hb_nf4_levels[i], (int)round(127 * nf4[i]));
    assert_int_equal(hb_fp4_levels[i], (int)round(127 * (i < 8 ? fp4[i] : -fp4[i - 8])));
  }
}

static void rows_have_the_bytes_of_their_description(void **unused) {
  (void)unused;
  assert_int_equal(row_bytes_of(HB_TYPE_NF4, 256), 134);
  assert_int_equal(row_bytes_of(HB_TYPE_NF4, 64), 2 + 1 + 32);
  assert_int_equal(row_bytes_of(HB_TYPE_FP4, 576), 2 * 134 + 35);
  assert_int_equal(row_bytes_of(HB_TYPE_TABLE4, 96), 2 + 16 + 48);
  assert_int_equal(row_bytes_of(HB_TYPE_TABLE3, 96), 2 + 8 + 36);
  uint64_t bytes;
  assert_false(hb_row_bytes(HB_TYPE_NF4, 96, &bytes));
  assert_false(hb_row_bytes(HB_TYPE_TABLE3, 48, &bytes));
  assert_true(hb_row_bytes(HB_TYPE_NF4, UINT64_MAX - 63, &bytes));
}

static void decoders_give_every_value_of_the_description(void **unused) {
  (void)unused;
  static float got[MOST_COLS];
  uint64_t state = 1;
  for (size_t t = 0; t < TYPES; t++)
    for (size_t c = 0; c < 4; c++) {
      uint32_t cols = types[t].cols[c];
      const hb_type_traits *traits = hb_traits(types[t].type);
      uint8_t *raw = random_rows(types[t].type, BLOCKS_ANY, cols, &state);
      for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *row = raw + r * row_bytes_of(types[t].type, cols);
        traits->decode(row, got, cols / traits->block_values);
        for (uint32_t i = 0; i < cols; i++) {
          term want = term_of(types[t].type, row, cols, i);
          if (!same_float(got[i], want.scale * (float)want.level))
            fail_msg("%s: value %u of %u is %a", types[t].name, i, cols, (double)got[i]);
        }
      }
      free(raw);
    }
}

/* ---- Packing ---- */

static void packed_rows_decode_to_the_bits_of_the_decoder(void **unused) {
  (void)unused;
  static float expected[MOST_COLS], got[MOST_COLS];
  uint64_t state = 2;
  for (size_t t = 0; t < TYPES; t++)
    for (size_t c = 0; c < 4; c++)
      for (int kind = 0; kind < BLOCK_KINDS; kind++) {
        uint32_t cols = types[t].cols[c];
        const hb_type_traits *traits = hb_traits(types[t].type);
        size_t row_bytes = row_bytes_of(types[t].type, cols);
        uint8_t *raw = random_rows(types[t].type, (block_kind)kind, cols, &state);
        hb_matrix m = packed_matrix(types[t].type, ROWS, cols, raw, row_bytes);
        assert_non_null(m.data);
        for (size_t r = 0; r < ROWS; r++) {
          traits->decode(raw + r * row_bytes, expected, cols / traits->block_values);
          hb_unpack_row(&m, r, got);
          for (size_t i = 0; i < cols; i++)
            if (!same_float(got[i], expected[i]))
              fail_msg("%s: value %zu of row %zu is %a, not %a", types[t].name, i, r,
                       (double)got[i], (double)expected[i]);
        }
        free(m.data);
        free(raw);
      }
}

/* The same bytes, whatever lay in memory before: saved states take samples of them. */
static void packing_writes_every_byte_of_a_group(void **unused) {
  (void)unused;
  uint64_t state = 3;
  for (size_t t = 0; t < TYPES; t++) {
    uint32_t cols = types[t].cols[2];
    size_t row_bytes = row_bytes_of(types[t].type, cols);
    uint8_t *raw = random_rows(types[t].type, BLOCKS_ANY, cols, &state);
    hb_matrix a = packed_matrix(types[t].type, ROWS, cols, raw, row_bytes), b = a;
    b.data = aligned_alloc(64, (a.bytes + 63) / 64 * 64);
    assert_non_null(b.data);
    for (int fill = 0; fill < 256; fill += 255) {
      memset(b.data, fill, b.bytes);
      for (size_t g = 0; g < hb_group_count(&b); g++)
        hb_pack_group(&b, g, raw + g * HB_GROUP * row_bytes);
      assert_memory_equal(a.data, b.data, a.bytes);
    }
    free(a.data);
    free(b.data);
    free(raw);
  }
}

static void packed_sizes_are_checked(void **unused) {
  (void)unused;
  uint64_t bytes;
  assert_true(hb_packed_size(HB_TYPE_NF4, 17, 576, &bytes));
  assert_int_equal(bytes, 2 * (64 + 9 * 576));
  assert_true(hb_packed_size(HB_TYPE_TABLE3, 16, 64, &bytes));
  assert_int_equal(bytes, 64 + 256 + 2 * 256);
  assert_false(hb_packed_size(HB_TYPE_FP4, 16, 32, &bytes));
  assert_true(hb_type_wants_int8(HB_TYPE_FP4));
}

/* ---- Products ---- */

/* Activations as int8, as every matmul takes them, and their scale. */
static float quantize_block(const float *x, int *q) {
  float amax = 0;
  for (int i = 0; i < 32; i++) amax = fmaxf(amax, fabsf(x[i]));
  for (int i = 0; i < 32; i++) q[i] = (int)nearbyint((double)(x[i] * (127.0f / amax)));
  return amax / 127.0f;
}

/* The product of a row, as kernel/matmul.inc defines it. */
static float slow_product(hb_type type, const uint8_t *row, uint32_t cols, const float *x) {
  float acc = 0;
  for (uint32_t part = 0; part < cols; part += 32) {
    int q[32], sum = 0;
    float dx = quantize_block(x + part, q);
    for (uint32_t i = 0; i < 32; i++) sum += q[i] * term_of(type, row, cols, part + i).level;
    float scale = term_of(type, row, cols, part).scale * dx;
    float product = scale * (float)sum;
    acc = acc + product;
  }
  return acc;
}

static void multiply(const hb_kernels *k, const hb_matrix *m, const float *x, size_t x_rows,
                     float *out) {
  size_t stride = k->activation_bytes(m->cols);
  uint8_t *rows = aligned_alloc(64, (stride * x_rows + 63) / 64 * 64);
  assert_non_null(rows);
  for (size_t r = 0; r < x_rows; r++) k->quantize(x + r * m->cols, m->cols, rows + r * stride);
  k->matmul(m, rows, stride, x_rows, 0, hb_group_count(m), out, ROWS);
  free(rows);
}

static void scalar_has_the_bits_of_the_slow_definition(void **unused) {
  (void)unused;
  static float x[2 * MOST_COLS], out[2 * ROWS];
  uint64_t state = 4;
  for (size_t i = 0; i < 2 * MOST_COLS; i++) x[i] = random_unit(&state);
  for (size_t t = 0; t < TYPES; t++)
    for (size_t c = 0; c < 4; c++) {
      uint32_t cols = types[t].cols[c];
      size_t row_bytes = row_bytes_of(types[t].type, cols);
      uint8_t *raw = random_rows(types[t].type, BLOCKS_PLAIN, cols, &state);
      hb_matrix m = packed_matrix(types[t].type, ROWS, cols, raw, row_bytes);
      multiply(hb_kernels_for(HB_ISA_SCALAR), &m, x, 2, out);
      for (size_t r = 0; r < 2; r++)
        for (size_t n = 0; n < ROWS; n++) {
          float want = slow_product(types[t].type, raw + n * row_bytes, cols, x + r * cols);
          if (!same_float(out[r * ROWS + n], want))
            fail_msg("%s: row %zu of %u columns gives %a, not %a", types[t].name, n, cols,
                     (double)out[r * ROWS + n], (double)want);
        }
      free(m.data);
      free(raw);
    }
}

static void compare_isas(const hb_matrix *m, const char *name, const float *x, size_t x_rows) {
  static float expected[X_ROWS * ROWS], got[X_ROWS * ROWS];
  multiply(hb_kernels_for(HB_ISA_SCALAR), m, x, x_rows, expected);
  for (int isa = HB_ISA_SCALAR + 1; isa < ISA_COUNT; isa++) {
    if (!hb_isa_available((hb_isa)isa)) continue;
    multiply(hb_kernels_for((hb_isa)isa), m, x, x_rows, got);
    for (size_t i = 0; i < x_rows * ROWS; i++)
      if (!same_float(got[i], expected[i]))
        fail_msg("%s on %s: row %zu column %zu is %a, scalar has %a", name,
                 hb_isa_name((hb_isa)isa), i / ROWS, i % ROWS, (double)got[i], (double)expected[i]);
  }
}

static void every_isa_has_the_bits_of_scalar(void **unused) {
  (void)unused;
  static const size_t x_rows[] = {1, 2, 3, 4, 9, 16, 23, 40};
  static float x[X_ROWS * MOST_COLS];
  uint64_t state = 5;
  for (size_t i = 0; i < X_ROWS * MOST_COLS; i++) x[i] = random_unit(&state);
  for (size_t t = 0; t < TYPES; t++)
    for (int kind = 0; kind < BLOCK_KINDS; kind++) {
      uint32_t cols = types[t].cols[2 + kind % 2];
      uint8_t *raw = random_rows(types[t].type, (block_kind)kind, cols, &state);
      hb_matrix m =
          packed_matrix(types[t].type, ROWS, cols, raw, row_bytes_of(types[t].type, cols));
      for (size_t i = 0; i < sizeof x_rows / sizeof *x_rows; i++)
        compare_isas(&m, types[t].name, x, x_rows[i]);
      free(m.data);
      free(raw);
    }
}

/* Levels of -128 and activations of +-127 in every place, where 16-bit sums come nearest to their
 * end. */
static void no_isa_saturates_on_extreme_levels(void **unused) {
  (void)unused;
  static float x[X_ROWS * MOST_COLS];
  for (size_t i = 0; i < X_ROWS * MOST_COLS; i++) x[i] = i / MOST_COLS % 2 ? -1.0f : 1.0f;
  static const uint8_t fills[] = {0x00, 0x7f, 0x80, 0xff};
  for (size_t t = 0; t < TYPES; t++)
    for (size_t f = 0; f < sizeof fills; f++) {
      uint32_t cols = types[t].cols[3];
      size_t row_bytes = row_bytes_of(types[t].type, cols);
      uint8_t *raw = malloc(ROWS * row_bytes);
      assert_non_null(raw);
      memset(raw, fills[f], ROWS * row_bytes);
      for (size_t r = 0; r < ROWS; r++)
        for (size_t at = 0; at < (is_table(types[t].type) ? 1 : row_bytes); at += 134)
          hb_store_u16(raw + r * row_bytes + at, 0x3c00);
      hb_matrix m = packed_matrix(types[t].type, ROWS, cols, raw, row_bytes);
      compare_isas(&m, types[t].name, x, X_ROWS);
      free(m.data);
      free(raw);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(levels_are_the_published_values_times_127),
      cmocka_unit_test(rows_have_the_bytes_of_their_description),
      cmocka_unit_test(decoders_give_every_value_of_the_description),
      cmocka_unit_test(packed_rows_decode_to_the_bits_of_the_decoder),
      cmocka_unit_test(packing_writes_every_byte_of_a_group),
      cmocka_unit_test(packed_sizes_are_checked),
      cmocka_unit_test(scalar_has_the_bits_of_the_slow_definition),
      cmocka_unit_test(every_isa_has_the_bits_of_scalar),
      cmocka_unit_test(no_isa_saturates_on_extreme_levels),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
