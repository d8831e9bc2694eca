/* The coders of NF4 and FP4: what their blocks stand for, how near plain rounding and the search
 * come, and rows that end within a super-block. */
#include "matrix_support.h"

#include "compress/gptq.h"
#include "compress/wide.h"
#include "quant/private.h"

static const hb_type types[] = {HB_TYPE_NF4, HB_TYPE_FP4};
enum { TYPES = 2, VALUES = 256, BYTES = 134 };

static void decode(const hb_coder *c, const uint8_t *block, float *out) {
  hb_traits(c->type)->decode(block, out, 4);
}

static double block_error(const hb_coder *c, const float *x, const float *w, const uint8_t *block) {
  float values[VALUES];
  double sum = 0;
  decode(c, block, values);
  for (int i = 0; i < VALUES; i++) {
    double d = (double)x[i] - (double)values[i];
    sum += (w ? (double)w[i] : 1) * d * d;
  }
  return sum;
}

/* Nearly normal, in blocks of different sizes. */
static void random_values(uint64_t *seed, float size, float *x) {
  for (int i = 0; i < VALUES; i++) {
    x[i] = 0;
    for (int k = 0; k < 6; k++) x[i] += uniform(seed, -size, size);
    x[i] *= (float)(1 + i / 64) * 0.5f;
  }
}

static void codes_decode_to_the_values_of_their_grids(void **state) {
  (void)state;
  uint64_t seed = 3;
  for (int t = 0; t < TYPES; t++)
    for (int n = 0; n < 200; n++) {
      const hb_coder *c = hb_coder_of(types[t]);
      uint8_t block[BYTES], codes[VALUES];
      hb_grid grids[HB_CODER_MOST_GRIDS];
      float values[VALUES];
      for (int i = 0; i < BYTES; i++) block[i] = (uint8_t)next_random(&seed);
      hb_store_u16(block, hb_f16_of_f32(uniform(&seed, 0, n % 2 ? 1e-5f : 3)));
      for (int i = 0; i < VALUES; i++) codes[i] = next_random(&seed) % 16;
      c->put(codes, block);
      c->grids(block, grids);
      decode(c, block, values);
      for (int i = 0; i < VALUES; i++)
        assert_true(same_bits(values[i], hb_grid_value(c, grids[i / 64], codes[i])));
    }
  assert_int_equal(hb_coder_of(HB_TYPE_NF4)->block_bytes, BYTES);
  assert_null(hb_coder_of(HB_TYPE_TABLE4));
}

/* The numbers of QLoRA's table, times the largest magnitude of the block. */
static const double nf4[16] = {
    -1,        -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0,
    0.0795803, 0.16093020, 0.24611230,  0.33791524,  0.44070983,  0.5626170,   0.72295684,  1};

static void plain_rounding_is_that_of_the_original_up_to_the_rounding_of_scales(void **state) {
  (void)state;
  const hb_coder *c = hb_coder_of(HB_TYPE_NF4);
  uint64_t seed = 4;
  for (int n = 0; n < 50; n++) {
    float x[VALUES], values[VALUES];
    uint8_t block[BYTES];
    random_values(&seed, 0.02f, x);
    c->round(x, block);
    decode(c, block, values);
    for (int b = 0; b < 4; b++) {
      double largest = 0;
      for (int i = 0; i < 64; i++) largest = fmax(largest, fabs((double)x[64 * b + i]));
      for (int i = 64 * b; i < 64 * b + 64; i++) {
        double least = INFINITY, error = fabs((double)x[i] - (double)values[i]);
        for (int q = 0; q < 16; q++) least = fmin(least, fabs((double)x[i] - largest * nf4[q]));
        /* A level of 7 bits is off by 1/254, and a scale by less than 1/60 of itself. */
        if (fabs(error - least) > largest * (1.0 / 254 + 1.0 / 60))
          fail_msg("value %d: error %g instead of %g", i, error, least);
      }
    }
  }
}

static void the_largest_value_comes_out_nearly_whole(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    const hb_coder *c = hb_coder_of(types[t]);
    uint64_t seed = 5;
    float x[VALUES], values[VALUES];
    uint8_t block[BYTES];
    random_values(&seed, 0.02f, x);
    x[200] = -0.9f;
    c->round(x, block);
    decode(c, block, values);
    assert_true(fabs((double)values[200] + 0.9) < 0.9 / 1024);
  }
}

/* The least error over scales that need not be rounded, each block for itself, from many scales
 * improved in turns. */
static double slow_block_error(const int8_t *levels, const float *x, const float *w) {
  double least = INFINITY, largest = 0;
  for (int i = 0; i < 64; i++) largest = fmax(largest, fabs((double)x[i]));
  for (int start = 40; start <= 160; start++) {
    double scale = largest / 127 * start / 100, before = INFINITY, error = 1e300;
    while (error < before) {
      double xl = 0, ll = 0, xx = 0;
      for (int i = 0; i < 64; i++) {
        double level = 0, distance = INFINITY;
        for (int q = 0; q < 16; q++) {
          double d = fabs((double)x[i] - scale * levels[q]);
          if (d < distance) level = levels[q];
          distance = fmin(d, distance);
        }
        xl += (double)w[i] * (double)x[i] * level;
        ll += (double)w[i] * level * level;
        xx += (double)w[i] * (double)x[i] * (double)x[i];
      }
      before = error;
      scale = ll > 0 ? xl / ll : scale;
      error = ll > 0 ? xx - xl * xl / ll : xx;
    }
    least = fmin(least, error);
  }
  return least;
}

static void the_search_comes_near_the_best_scales(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    const hb_coder *c = hb_coder_of(types[t]);
    double found = 0, best = 0, plain = 0;
    uint64_t seed = 6;
    for (int n = 0; n < 20; n++) {
      float x[VALUES], w[VALUES];
      uint8_t block[BYTES];
      random_values(&seed, 0.02f, x);
      for (int i = 0; i < VALUES; i++) w[i] = n % 2 ? uniform(&seed, 0, 3) : 1;
      c->round(x, block);
      plain += block_error(c, x, w, block);
      c->fit(x, w, block);
      found += block_error(c, x, w, block);
      for (int b = 0; b < 4; b++) best += slow_block_error(c->table, x + 64 * b, w + 64 * b);
    }
    if (found > 1.01 * best) fail_msg("%g, but %g can be had", found, best);
    if (found > 0.98 * plain) fail_msg("%g after %g", found, plain);
  }
}

static void odd_values_leave_finite_blocks_and_zeros_stay(void **state) {
  (void)state;
  static const float sizes[] = {0, 1e-45f, 1e-38f, 1e-20f, 1e-7f, 7e4f, 1e6f, 1e30f, 3.4e38f};
  uint64_t seed = 7;
  for (int t = 0; t < TYPES; t++)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
      for (int fit = 0; fit < 3; fit++) {
        const hb_coder *c = hb_coder_of(types[t]);
        float x[VALUES], w[VALUES], values[VALUES];
        uint8_t block[BYTES];
        for (int i = 0; i < VALUES; i++) {
          x[i] = sizes[s] * uniform(&seed, -1, 1);
          w[i] = i % 7 ? 3e38f * uniform(&seed, 0, 1) : 0;
        }
        if (fit)
          c->fit(x, fit == 1 ? w : NULL, block);
        else
          c->round(x, block);
        decode(c, block, values);
        for (int i = 0; i < VALUES; i++) {
          assert_true(isfinite(values[i]));
          if (sizes[s] == 0) assert_true(values[i] == 0);
        }
      }
}

/* ---- Rows that end within a super-block ---- */

typedef enum { ROUND, FIT, GPTQ } method;

static hb_status apply(void *context, const hb_matrix_job *job, hb_error *error) {
  hb_gptq_report report;
  switch (*(method *)context) {
  case ROUND: return hb_matrix_round(job, error);
  case FIT: return hb_matrix_fit(job, error);
  default: return hb_matrix_gptq(job, &(hb_gptq_options){0}, &report, error);
  }
}

/* A matrix of rows whose bytes are the file's, in f.blocks. */
static fixture odd_matrix(hb_type type, uint32_t rows, uint32_t cols) {
  fixture f = fixture_random(hb_coder_of(type), rows, cols);
  uint64_t bytes;
  free(f.blocks);
  assert_true(hb_row_bytes(type, cols, &bytes));
  f.blocks = calloc(rows, bytes);
  return f;
}

static void rows_of_any_number_of_blocks_decode_to_the_weights(void **state) {
  (void)state;
  static const uint32_t cols[] = {64, 128, 192, 256, 320, 576};
  for (int t = 0; t < TYPES; t++)
    for (size_t n = 0; n < sizeof cols / sizeof *cols; n++)
      for (method m = ROUND; m <= GPTQ; m++) {
        fixture f = odd_matrix(types[t], 5, cols[n]);
        hb_matrix_job job = job_of(&f);
        uint64_t bytes;
        assert_int_equal(hb_matrix_widened(&job, apply, &m, NULL), HB_OK);
        assert_true(hb_matrix_row_bytes(&job, &bytes));
        for (uint32_t row = 0; row < f.rows; row++) {
          float values[576];
          hb_traits(types[t])->decode(f.blocks + row * bytes, values, cols[n] / 64);
          assert_memory_equal(values, f.weights + row * cols[n], cols[n] * sizeof *values);
        }
        fixture_release(&f);
      }
}

/* e^T H e of the rows, for the weights that f has become. */
static double error_of(const fixture *f, const float *original) {
  double sum = 0;
  for (uint32_t row = 0; row < f->rows; row++)
    for (uint32_t i = 0; i < f->cols; i++)
      for (uint32_t j = 0; j < f->cols; j++) {
        size_t a = (size_t)row * f->cols + i, b = (size_t)row * f->cols + j;
        sum += f->gram[(size_t)i * f->cols + j] * ((double)original[a] - (double)f->weights[a]) *
               ((double)original[b] - (double)f->weights[b]);
      }
  return sum;
}

static void gptq_lowers_the_error_of_the_output(void **state) {
  (void)state;
  for (int t = 0; t < TYPES; t++) {
    double errors[3];
    for (method m = ROUND; m <= GPTQ; m++) {
      fixture f = odd_matrix(types[t], 8, 320);
      float *original = malloc(8 * 320 * sizeof *original);
      memcpy(original, f.weights, 8 * 320 * sizeof *original);
      hb_matrix_job job = job_of(&f);
      assert_int_equal(hb_matrix_widened(&job, apply, &m, NULL), HB_OK);
      errors[m] = error_of(&f, original);
      free(original);
      fixture_release(&f);
    }
    assert_true(errors[GPTQ] < 0.8 * errors[FIT] && errors[GPTQ] < 0.8 * errors[ROUND]);
  }
}

/* A row of one super-block alone, and with 64 more columns that no input reaches. */
static void columns_without_inputs_change_nothing_before_them(void **state) {
  (void)state;
  for (method m = ROUND; m <= GPTQ; m++) {
    fixture f = odd_matrix(HB_TYPE_NF4, 7, 256), g = odd_matrix(HB_TYPE_NF4, 7, 320);
    hb_matrix_job short_rows = job_of(&f), long_rows = job_of(&g);
    memset(g.gram, 0, 320 * 320 * sizeof *g.gram);
    for (uint32_t i = 0; i < 256; i++)
      memcpy(g.gram + i * 320, f.gram + i * 256, 256 * sizeof *g.gram);
    for (uint32_t row = 0; row < 7; row++)
      memcpy(g.weights + row * 320, f.weights + row * 256, 256 * sizeof *g.weights);
    memset(g.importance, 0, 320 * sizeof *g.importance);
    memcpy(g.importance, f.importance, 256 * sizeof *g.importance);
    assert_int_equal(hb_matrix_widened(&short_rows, apply, &m, NULL), HB_OK);
    assert_int_equal(hb_matrix_widened(&long_rows, apply, &m, NULL), HB_OK);
    for (uint32_t row = 0; row < 7; row++)
      assert_memory_equal(f.blocks + row * BYTES, g.blocks + row * (BYTES + 35), BYTES);
    fixture_release(&f);
    fixture_release(&g);
  }
}

static void every_lack_of_memory_is_told(void **state) {
  (void)state;
  hb_status status = HB_MEMORY;
  for (int allowed = 0; status != HB_OK; allowed++) {
    fixture f = odd_matrix(HB_TYPE_NF4, 3, 64);
    budget b = {.left = allowed};
    const hb_allocator allocator = {&b, allocate_within, release_counted};
    hb_matrix_job job = job_of(&f);
    job.allocator = &allocator;
    method m = GPTQ;
    status = hb_matrix_widened(&job, apply, &m, NULL);
    assert_true(status == HB_OK || status == HB_MEMORY);
    assert_int_equal(b.held, 0);
    assert_true(allowed < 50);
    fixture_release(&f);
  }
}

static void rows_that_end_within_a_block_of_64_are_refused(void **state) {
  (void)state;
  method m = FIT;
  hb_error error;
  float weights[96] = {0};
  hb_matrix_job job = {.coder = hb_coder_of(HB_TYPE_NF4), .rows = 1, .cols = 96};
  job.weights = weights;
  assert_int_equal(hb_matrix_widened(&job, apply, &m, &error), HB_ARGUMENT);
  assert_non_null(strstr(error.message, "NF4"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_decode_to_the_values_of_their_grids),
      cmocka_unit_test(plain_rounding_is_that_of_the_original_up_to_the_rounding_of_scales),
      cmocka_unit_test(the_largest_value_comes_out_nearly_whole),
      cmocka_unit_test(the_search_comes_near_the_best_scales),
      cmocka_unit_test(odd_values_leave_finite_blocks_and_zeros_stay),
      cmocka_unit_test(rows_of_any_number_of_blocks_decode_to_the_weights),
      cmocka_unit_test(gptq_lowers_the_error_of_the_output),
      cmocka_unit_test(columns_without_inputs_change_nothing_before_them),
      cmocka_unit_test(every_lack_of_memory_is_told),
      cmocka_unit_test(rows_that_end_within_a_block_of_64_are_refused),
  };
  return cmocka_run_group_tests_name("coder_levels", tests, NULL, NULL);
}
