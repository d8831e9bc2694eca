/* Integer matrix products: every ISA gives the bits of the scalar definition, and the definition is
 * the sum it claims to be. */
#include "support.h"

#include "random_blocks.h"

#include <math.h>

enum { ROWS = 37, COLS = 768, X_ROWS_MAX = 40, OUT_STRIDE = ROWS + 3 };

typedef enum x_kind { X_PLAIN, X_WIDE, X_SPECIAL, X_KINDS } x_kind;

/* Activations; the special ones have blocks of zeros, of values too small to scale, and of infinity
 * and NaN. */
static void random_activations(float *x, size_t n, x_kind kind, uint64_t *state) {
  for (size_t i = 0; i < n; i++) {
    x[i] = random_unit(state);
    if (kind == X_WIDE) x[i] = ldexpf(x[i], (int)(next_random(state) % 120) - 60);
    if (kind != X_SPECIAL) continue;
    switch (i / HB_BLOCK % 11) {
    case 1: x[i] = i % 3 ? 0.0f : -0.0f; break;
    case 3: x[i] *= 0x1p-121f; break;
    case 5: x[i] *= 0x1p-130f; break;
    case 7: x[i] *= 0x1p100f; break;
    default: break;
    }
  }
  if (kind != X_SPECIAL) return;
  for (size_t row = 0; row + COLS <= n; row += 3 * COLS) x[row + 40] = row ? INFINITY : NAN;
}

/* Runs `k`'s matmul over all groups, in two calls, and checks that it writes what it may. */
static void run_matmul(const hb_kernels *k, const hb_matrix *m, const float *x, size_t x_rows,
                       float *out) {
  size_t stride = m->cols * sizeof(float);
  uint8_t *rows = (uint8_t *)(uintptr_t)x;
  bool int8 = hb_type_wants_int8(m->type);
  if (int8) {
    stride = k->activation_bytes(m->cols);
    rows = aligned_alloc(64, (stride * x_rows + 63) / 64 * 64);
    assert_non_null(rows);
    for (size_t r = 0; r < x_rows; r++) k->quantize(x + r * m->cols, m->cols, rows + r * stride);
  }
  const float untouched = 12345.0f;
  for (size_t i = 0; i < x_rows * OUT_STRIDE; i++) out[i] = untouched;
  k->matmul(m, rows, stride, x_rows, 1, hb_group_count(m), out, OUT_STRIDE);
  for (size_t i = 0; i < x_rows; i++)
    for (size_t n = 0; n < HB_GROUP; n++) assert_true(out[i * OUT_STRIDE + n] == untouched);
  k->matmul(m, rows, stride, x_rows, 0, 1, out, OUT_STRIDE);
  for (size_t i = 0; i < x_rows; i++)
    for (size_t n = m->rows; n < OUT_STRIDE; n++) assert_true(out[i * OUT_STRIDE + n] == untouched);
  if (int8) free(rows);
}

static void compare_with_scalar(const hb_matrix *m, const char *name, const float *x,
                                size_t x_rows) {
  static float expected[X_ROWS_MAX * OUT_STRIDE], got[X_ROWS_MAX * OUT_STRIDE];
  run_matmul(hb_kernels_for(HB_ISA_SCALAR), m, x, x_rows, expected);
  for (int isa = HB_ISA_SCALAR + 1; isa < ISA_COUNT; isa++) {
    if (!hb_isa_available((hb_isa)isa)) continue;
    run_matmul(hb_kernels_for((hb_isa)isa), m, x, x_rows, got);
    for (size_t i = 0; i < x_rows * OUT_STRIDE; i++)
      if (!same_float(got[i], expected[i]))
        fail_msg("%s on %s: row %zu column %zu is %a, scalar has %a", name,
                 hb_isa_name((hb_isa)isa), i / OUT_STRIDE, i % OUT_STRIDE, (double)got[i],
                 (double)expected[i]);
  }
}

static void every_isa_has_the_bits_of_scalar_for_every_quantized_type(void **unused) {
  (void)unused;
  static const size_t x_rows[] = {1, 2, 3, 4, 5, 9, 15, 16, 23, 32, 40};
  static float x[X_ROWS_MAX * COLS];
  uint64_t state = 1;
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const block_type *type = &block_types[t];
    size_t row_bytes = COLS / type->values * type->bytes;
    uint8_t *raw = malloc(ROWS * row_bytes);
    assert_non_null(raw);
    for (int kind = 0; kind < BLOCK_KINDS; kind++) {
      random_blocks(type, (block_kind)kind, &state, raw, ROWS * COLS / type->values);
      hb_matrix m = packed_matrix(type->type, ROWS, COLS, raw, row_bytes);
      assert_non_null(m.data);
      for (int xs = 0; xs < X_KINDS; xs++) {
        random_activations(x, X_ROWS_MAX * COLS, (x_kind)xs, &state);
        for (size_t i = 0; i < sizeof x_rows / sizeof *x_rows; i++)
          compare_with_scalar(&m, type->name, x, x_rows[i]);
      }
      free(m.data);
    }
    free(raw);
  }
}

static void every_isa_has_the_bits_of_scalar_for_float_weights(void **unused) {
  (void)unused;
  static const struct {
    hb_type type;
    const char *name;
    size_t bytes;
  } types[] = {{HB_TYPE_F32, "F32", 4}, {HB_TYPE_F16, "F16", 2}, {HB_TYPE_BF16, "BF16", 2}};
  static float x[X_ROWS_MAX * COLS];
  static uint8_t raw[ROWS * COLS * 4];
  uint64_t state = 2;
  for (size_t t = 0; t < 3; t++)
    for (uint32_t cols = COLS - 12; cols <= COLS; cols += 12) {
      for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)next_random(&state);
      hb_matrix m = packed_matrix(types[t].type, ROWS, cols, raw, cols * types[t].bytes);
      random_activations(x, X_ROWS_MAX * COLS, X_PLAIN, &state);
      for (size_t x_rows = 1; x_rows <= 13; x_rows += 4)
        compare_with_scalar(&m, types[t].name, x, x_rows);
      free(m.data);
    }
}

/* Rows so long and so many that a kernel takes them in pieces. */
static void long_and_many_rows_have_the_bits_of_scalar(void **unused) {
  (void)unused;
  enum { LONG_COLS = 2304, MANY = 271 };
  static float x[MANY * LONG_COLS], expected[MANY * OUT_STRIDE], got[MANY * OUT_STRIDE];
  uint64_t state = 5;
  for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = random_unit(&state);
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const block_type *type = &block_types[t];
    size_t row_bytes = LONG_COLS / type->values * type->bytes;
    uint8_t *raw = malloc(ROWS * row_bytes);
    assert_non_null(raw);
    random_blocks(type, BLOCKS_PLAIN, &state, raw, ROWS * LONG_COLS / type->values);
    hb_matrix m = packed_matrix(type->type, ROWS, LONG_COLS, raw, row_bytes);
    assert_non_null(m.data);
    run_matmul(hb_kernels_for(HB_ISA_SCALAR), &m, x, MANY, expected);
    for (int isa = HB_ISA_SCALAR + 1; isa < ISA_COUNT; isa++) {
      if (!hb_isa_available((hb_isa)isa)) continue;
      static const size_t x_rows[] = {17, 256, 260, MANY};
      for (size_t i = 0; i < sizeof x_rows / sizeof *x_rows; i++) {
        run_matmul(hb_kernels_for((hb_isa)isa), &m, x, x_rows[i], got);
        for (size_t n = 0; n < x_rows[i] * OUT_STRIDE; n++)
          if (!same_float(got[n], expected[n]))
            fail_msg("%s on %s, %zu rows: value %zu differs", type->name, hb_isa_name((hb_isa)isa),
                     x_rows[i], n);
      }
    }
    free(m.data);
    free(raw);
  }
}

/* The largest sums that codes and activations can make: where narrow accumulators would overflow.
 */
static void no_isa_saturates_on_extreme_codes(void **unused) {
  (void)unused;
  static float x[X_ROWS_MAX * COLS];
  for (size_t i = 0; i < X_ROWS_MAX * COLS; i++) x[i] = i / COLS % 2 ? -1.0f : 1.0f;
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const block_type *type = &block_types[t];
    size_t row_bytes = COLS / type->values * type->bytes;
    uint8_t *raw = malloc(ROWS * row_bytes);
    assert_non_null(raw);
    static const uint8_t fills[] = {0x00, 0xff, 0x80, 0x7f, 0x08, 0xf0};
    for (size_t f = 0; f < sizeof fills; f++) {
      memset(raw, fills[f], ROWS * row_bytes);
      for (size_t b = 0; b < ROWS * COLS / type->values; b++)
        for (size_t h = 0; h < type->half_count; h++)
          hb_store_u16(raw + b * type->bytes + type->halves[h], 0x3c00);
      hb_matrix m = packed_matrix(type->type, ROWS, COLS, raw, row_bytes);
      compare_with_scalar(&m, type->name, x, X_ROWS_MAX);
      free(m.data);
    }
    free(raw);
  }
}

static void q8_0_with_minus_128_is_exact(void **unused) {
  (void)unused;
  static float x[X_ROWS_MAX * COLS];
  static uint8_t raw[ROWS * COLS / 32 * 34];
  const block_type *type = &block_types[4];
  assert_int_equal(type->type, HB_TYPE_Q8_0);
  uint64_t state = 3;
  random_activations(x, X_ROWS_MAX * COLS, X_PLAIN, &state);
  random_blocks(type, BLOCKS_PLAIN, &state, raw, ROWS * COLS / 32);
  for (size_t i = 0; i < sizeof raw; i += 34) raw[i + 2 + i / 34 % 32] = 0x80;
  hb_matrix m = packed_matrix(HB_TYPE_Q8_0, ROWS, COLS, raw, COLS / 32 * 34);
  compare_with_scalar(&m, "Q8_0", x, X_ROWS_MAX);
  free(m.data);
}

/* The dot product in double of decoded weights and of activations quantized here. `tolerance`
 * bounds the float sum: a part's terms are below 32 * max|w| * max|x| * (1 + 31), the 31 being a
 * min that nearly cancels 5-bit codes; each is rounded a few times, and then once in each later
 * addition. */
static double reference_dot(const float *w, const float *x, size_t n, double *tolerance) {
  double sum = 0, magnitude = 0;
  for (size_t b = 0; b < n; b += HB_BLOCK) {
    float amax = 0, w_max = 0;
    for (size_t i = b; i < b + HB_BLOCK; i++) {
      amax = fmaxf(amax, fabsf(x[i]));
      w_max = fmaxf(w_max, fabsf(w[i]));
    }
    for (size_t i = b; i < b + HB_BLOCK; i++)
      sum += w[i] * nearbyint((double)(x[i] * (127.0f / amax))) * (double)(amax / 127.0f);
    magnitude += HB_BLOCK * (double)w_max * amax;
  }
  *tolerance = magnitude * (double)(n / HB_BLOCK + 32) * 0x1p-24;
  return sum;
}

static void scalar_is_the_dot_of_decoded_weights_and_rounded_activations(void **unused) {
  (void)unused;
  static float x[X_ROWS_MAX * COLS], w[COLS], out[X_ROWS_MAX * OUT_STRIDE];
  uint64_t state = 4;
  for (size_t t = 0; t < BLOCK_TYPES; t++) {
    const block_type *type = &block_types[t];
    size_t row_bytes = COLS / type->values * type->bytes;
    uint8_t *raw = malloc(ROWS * row_bytes);
    assert_non_null(raw);
    random_blocks(type, BLOCKS_PLAIN, &state, raw, ROWS * COLS / type->values);
    random_activations(x, X_ROWS_MAX * COLS, X_PLAIN, &state);
    hb_matrix m = packed_matrix(type->type, ROWS, COLS, raw, row_bytes);
    run_matmul(hb_kernels_for(HB_ISA_SCALAR), &m, x, X_ROWS_MAX, out);
    for (size_t n = 0; n < ROWS; n++) {
      hb_unpack_row(&m, n, w);
      for (size_t r = 0; r < X_ROWS_MAX; r++) {
        double tolerance, expected = reference_dot(w, x + r * COLS, COLS, &tolerance);
        double got = out[r * OUT_STRIDE + n];
        if (!(fabs(got - expected) <= tolerance))
          fail_msg("%s: %g instead of %g, more than %g off", type->name, got, expected, tolerance);
      }
    }
    free(m.data);
    free(raw);
  }
}

static void infinite_and_nan_activations_reach_the_output(void **unused) {
  (void)unused;
  static float x[2 * COLS], out[2 * OUT_STRIDE];
  static uint8_t raw[ROWS * COLS / 32 * 18];
  uint64_t state = 5;
  random_blocks(&block_types[0], BLOCKS_PLAIN, &state, raw, ROWS * COLS / 32);
  random_activations(x, 2 * COLS, X_PLAIN, &state);
  x[100] = INFINITY;
  x[COLS + 300] = NAN;
  hb_matrix m = packed_matrix(HB_TYPE_Q4_0, ROWS, COLS, raw, COLS / 32 * 18);
  run_matmul(hb_kernels_for(HB_ISA_SCALAR), &m, x, 2, out);
  for (size_t r = 0; r < 2; r++)
    for (size_t n = 0; n < ROWS; n++) assert_false(isfinite(out[r * OUT_STRIDE + n]));
  free(m.data);
}

static void the_self_test_passes_on_every_available_isa(void **unused) {
  (void)unused;
  for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++) {
    hb_error error = {0};
    hb_status status = hb_selftest((hb_isa)isa, NULL, &error);
    if (status != (hb_isa_available((hb_isa)isa) ? HB_OK : HB_ARGUMENT))
      fail_msg("%s: %s", hb_isa_name((hb_isa)isa), error.message);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_isa_has_the_bits_of_scalar_for_every_quantized_type),
      cmocka_unit_test(every_isa_has_the_bits_of_scalar_for_float_weights),
      cmocka_unit_test(long_and_many_rows_have_the_bits_of_scalar),
      cmocka_unit_test(no_isa_saturates_on_extreme_codes),
      cmocka_unit_test(q8_0_with_minus_128_is_exact),
      cmocka_unit_test(scalar_is_the_dot_of_decoded_weights_and_rounded_activations),
      cmocka_unit_test(infinite_and_nan_activations_reach_the_output),
      cmocka_unit_test(the_self_test_passes_on_every_available_isa),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
