/* The kernels on f32 vectors: every ISA against the scalar definition, bit for bit, and the scalar
 * definition against double precision. */
#include "numbers.h"

#define MOST 1024
#define GUARD 12345.0f

/* Lengths around every multiple of every vector width, and some long ones. */
static size_t next_length(size_t n) {
  return n < 100 ? n + 1 : n == 100 ? 257 : n == 257 ? 1000 : 0;
}

typedef struct {
  float a[MOST], b[MOST], c[MOST];
} inputs;

/* The largest that is finite. */
static float largest(const float *x, size_t n) {
  float most = -0x1.fffffep127f;
  for (size_t i = 0; i < n; i++)
    if (isfinite(x[i]) && x[i] > most) most = x[i];
  return most;
}

/* Runs one kernel over n values; `which` counts from 0. Returns its name, or NULL beyond the last.
 * Each leaves its results in out[0 .. n]; the guard at out[n] must survive unless it is a result.
 */
static const char *run_kernel(const hb_kernels *k, int which, const inputs *in, size_t n,
                              float *out) {
  const float *a = in->a + 1, *b = in->b + 2, *c = in->c + 3; /* no alignment to lean on */
  size_t pairs = n / 2;
  out[n] = GUARD;
  switch (which) {
  case 0: k->rms_norm(a, b, 1e-5f, n, out); return "rms_norm";
  case 1: k->rms_norm(a, NULL, 1e-5f, n, out); return "rms_norm without weight";
  case 2: k->layer_norm(a, b, c, 1e-5f, n, out); return "layer_norm";
  case 3: k->layer_norm(a, NULL, NULL, 1e-5f, n, out); return "layer_norm without weight";
  case 4:
    memcpy(out, a, n * sizeof *out);
    k->rope_adjacent(out, b, c, pairs * 2);
    return "rope_adjacent";
  case 5:
    memcpy(out, a, n * sizeof *out);
    k->rope_halves(out, b, c, pairs * 2);
    return "rope_halves";
  case 6: k->add(a, b, n, out); return "add";
  case 7: k->scale(a, b[0], n, out); return "scale";
  case 8: k->silu(a, n, out); return "silu";
  case 9: k->gelu(a, n, out); return "gelu";
  case 10: k->silu_mul(a, b, n, out); return "silu_mul";
  case 11: k->gelu_mul(a, b, n, out); return "gelu_mul";
  case 12: k->softcap(a, 30.0f, n, out); return "softcap";
  case 13: {
    float sum = k->softmax(a, n, out);
    assert_true(out[n] == GUARD);
    out[n] = sum;
    return "softmax";
  }
  case 14:
    memset(out, 0, n * sizeof *out);
    out[0] = k->softmax(a, n, NULL);
    return "softmax without output";
  case 15:
    memset(out, 0, n * sizeof *out);
    k->maxima(a, n, out);
    return "maxima";
  case 16: {
    float sum = k->weights(a, n, largest(a, n), 0.7f, out);
    assert_true(out[n] == GUARD);
    out[n] = sum;
    return "weights";
  }
  case 17:
    memset(out, 0, n * sizeof *out);
    out[0] = k->weights(a, n, largest(a, n), 0.7f, NULL);
    return "weights without output";
  default: return NULL;
  }
}

static void every_isa_gives_the_bits_of_the_scalar_definition(void **state) {
  (void)state;
  static inputs in;
  static float expected[MOST], got[MOST];
  uint64_t seed = 1;
  const hb_kernels *scalar = hb_kernels_for(HB_ISA_SCALAR);
  for (number_kind kind = 0; kind < KINDS; kind++)
    for (size_t n = 1; n; n = next_length(n)) {
      fill(in.a, MOST, kind, &seed);
      fill(in.b, MOST, kind, &seed);
      fill(in.c, MOST, kind, &seed);
      for (int which = 0; run_kernel(scalar, which, &in, n, expected); which++)
        for (int isa = 0; isa < ISA_COUNT; isa++) {
          const hb_kernels *k = kernels_besides_scalar(isa);
          if (!k) continue;
          const char *name = run_kernel(k, which, &in, n, got);
          expect_same(name, k->isa, n, got, expected, n + 1);
        }
    }
}

static void results_may_replace_their_input(void **state) {
  (void)state;
  static inputs in;
  static float apart[MOST], place[MOST];
  uint64_t seed = 2;
  fill(in.a, MOST, USUAL, &seed);
  fill(in.b, MOST, USUAL, &seed);
  const float *weight = in.b;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_kernels *k = hb_kernels_for((hb_isa)isa);
    if (!k) continue;
    size_t n = 101;
#define IN_PLACE(call_apart, call_place)                                                           \
  memcpy(place, in.a, sizeof place);                                                               \
  call_apart;                                                                                      \
  call_place;                                                                                      \
  expect_same(#call_place, k->isa, n, place, apart, n)
    IN_PLACE(k->rms_norm(in.a, weight, 1e-5f, n, apart),
             k->rms_norm(place, weight, 1e-5f, n, place));
    IN_PLACE(k->layer_norm(in.a, weight, NULL, 1e-5f, n, apart),
             k->layer_norm(place, weight, NULL, 1e-5f, n, place));
    IN_PLACE(k->add(in.a, weight, n, apart), k->add(place, weight, n, place));
    IN_PLACE(k->add(weight, in.a, n, apart), k->add(weight, place, n, place));
    IN_PLACE(k->scale(in.a, 0.3f, n, apart), k->scale(place, 0.3f, n, place));
    IN_PLACE(k->silu(in.a, n, apart), k->silu(place, n, place));
    IN_PLACE(k->gelu(in.a, n, apart), k->gelu(place, n, place));
    IN_PLACE(k->silu_mul(in.a, weight, n, apart), k->silu_mul(place, weight, n, place));
    IN_PLACE(k->gelu_mul(in.a, weight, n, apart), k->gelu_mul(place, weight, n, place));
    IN_PLACE(k->softcap(in.a, 5.0f, n, apart), k->softcap(place, 5.0f, n, place));
    IN_PLACE(k->softmax(in.a, n, apart), k->softmax(place, n, place));
    IN_PLACE(k->weights(in.a, n, 4, 0.7f, apart), k->weights(place, n, 4, 0.7f, place));
#undef IN_PLACE
  }
}

static void expect_close(float got, double expected, double tolerance) {
  if (!(fabs(got - expected) <= tolerance))
    fail_msg("%.9g is not within %.3g of %.17g", (double)got, tolerance, expected);
}

/* A sum of n terms in 8 lanes carries about n/8 + 3 roundings of 2^-24, in the worst case. */
static void norms_agree_with_double(void **state) {
  (void)state;
  static float x[MOST], weight[MOST], bias[MOST], out[MOST];
  uint64_t seed = 3;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  for (size_t n = 1; n; n = next_length(n)) {
    fill(x, n, USUAL, &seed);
    fill(weight, n, USUAL, &seed);
    fill(bias, n, USUAL, &seed);
    double sum = 0, squares = 0, variance = 0, error = ((double)n / 8 + 10) * 0x1p-24;
    for (size_t i = 0; i < n; i++) sum += x[i], squares += (double)x[i] * x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);

    k->rms_norm(x, weight, 1e-5f, n, out);
    for (size_t i = 0; i < n; i++) {
      double expected = x[i] / sqrt(squares / (double)n + 1e-5f) * weight[i];
      expect_close(out[i], expected, fabs(expected) * error);
    }
    /* Where the values lie close together the mean's rounding counts: 4 is their size. */
    k->layer_norm(x, weight, bias, 0.1f, n, out);
    for (size_t i = 0; i < n; i++) {
      double factor = fabs(weight[i] / sqrt(variance / (double)n + 0.1f));
      double expected = (x[i] - mean) / sqrt(variance / (double)n + 0.1f) * weight[i] + bias[i];
      expect_close(out[i], expected, (16 * factor + fabs(bias[i])) * error);
    }
  }
}

/* exp multiplies the rounding of its argument t by |t|, hence |t| 2^-24 a rounding: gelu's t has
 * six, silu's none. */
static void activations_agree_with_double(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  for (int i = -4000; i <= 4000; i++) {
    float x = (float)i * 0.011f, up = 1.5f, out;
    double t = 2 * 0.79788456080286536 * (x + 0.044715 * pow(x, 3));
    double silu = x / (1 + exp(-x)), gelu = x / (1 + exp(-t));
    k->silu(&x, 1, &out);
    expect_close(out, silu, fabs(silu) * 4 * 0x1p-24 + 1e-37);
    k->silu_mul(&x, &up, 1, &out);
    expect_close(out, silu * up, fabs(silu * up) * 5 * 0x1p-24 + 1e-37);
    k->gelu(&x, 1, &out);
    expect_close(out, gelu, fabs(gelu) * (4 + 6 * fabs(t)) * 0x1p-24 + 1e-36);
    k->gelu_mul(&x, &up, 1, &out);
    expect_close(out, gelu * up, fabs(gelu * up) * (5 + 6 * fabs(t)) * 0x1p-24 + 1e-36);
    k->softcap(&x, 30.0f, 1, &out);
    expect_close(out, 30 * tanh(x / 30.0), fabs(x) * 4 * 0x1p-24);
  }
}

static void activations_are_right_at_the_ends(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  static const float large[] = {20.0f, 1e4f, 1e19f, 1e30f, 3e38f};
  for (size_t i = 0; i < 5; i++) {
    float x = large[i], minus = -x, out;
    k->gelu(&x, 1, &out);
    assert_true(out == x);
    k->gelu(&minus, 1, &out);
    assert_true(out == 0.0f);
    k->silu(&x, 1, &out);
    assert_true(out == x);
    k->silu(&minus, 1, &out);
    expect_close(out, 0, 1e-7);
    k->softcap(&minus, 2.0f, 1, &out);
    assert_true(out == -2.0f);
  }
}

static void rope_rotates_pairs_and_leaves_the_rest(void **state) {
  (void)state;
  enum { HEAD = 20, ROT = 14 };
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  float head[HEAD], cosine[ROT / 2], sine[ROT / 2], x[HEAD];
  uint64_t seed = 4;
  fill(head, HEAD, USUAL, &seed);
  for (int i = 0; i < ROT / 2; i++) {
    cosine[i] = (float)cos(i + 0.5);
    sine[i] = (float)sin(i + 0.5);
  }
  for (int halves = 0; halves < 2; halves++) {
    memcpy(x, head, sizeof x);
    (halves ? k->rope_halves : k->rope_adjacent)(x, cosine, sine, ROT);
    for (int i = 0; i < ROT / 2; i++) {
      int a = halves ? i : 2 * i, b = halves ? i + ROT / 2 : 2 * i + 1;
      expect_close(x[a], head[a] * cos(i + 0.5) - head[b] * sin(i + 0.5), 1e-6);
      expect_close(x[b], head[a] * sin(i + 0.5) + head[b] * cos(i + 0.5), 1e-6);
    }
    expect_same("rope", k->isa, HEAD, x + ROT, head + ROT, HEAD - ROT);
  }
}

/* x - max, up to 40, is rounded too, and exp passes 40 * 2^-24 on. */
static void softmax_agrees_with_double(void **state) {
  (void)state;
  static float x[MOST], out[MOST];
  uint64_t seed = 5;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  for (size_t n = 1; n; n = next_length(n)) {
    fill(x, n, USUAL, &seed);
    for (size_t i = 0; i < n; i++) x[i] *= 5;
    double sum = 0, error = ((double)n / 8 + 60) * 0x1p-24;
    for (size_t i = 0; i < n; i++) sum += exp(x[i]);
    float log_sum = k->softmax(x, n, out);
    expect_close(log_sum, log(sum), error + 4e-6);
    for (size_t i = 0; i < n; i++) expect_close(out[i], exp(x[i]) / sum, exp(x[i]) / sum * error);
    assert_true(k->softmax(x, n, NULL) == log_sum);
  }
}

static void softmax_of_the_impossible_is_zero(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  float x[3] = {-INFINITY, 2.0f, -INFINITY}, out[3];
  assert_true(k->softmax(x, 3, out) == 2.0f);
  assert_true(out[0] == 0.0f && out[1] == 1.0f && out[2] == 0.0f);
  x[1] = -INFINITY;
  assert_true(k->softmax(x, 3, NULL) == -INFINITY);
}

static void maxima_are_those_of_every_eighth_value(void **state) {
  (void)state;
  static float x[MOST], out[MOST];
  uint64_t seed = 9;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  for (size_t n = 1; n; n = next_length(n)) {
    fill(x, n, USUAL, &seed);
    for (size_t i = 0; i < n; i += 7) x[i] = NAN;
    size_t count = (n + HB_MAXIMA_GROUP - 1) / HB_MAXIMA_GROUP * 8;
    out[count] = GUARD;
    k->maxima(x, n, out);
    assert_true(out[count] == GUARD);
    for (size_t m = 0; m < count; m++) {
      float most = -INFINITY;
      for (size_t i = 0; i < HB_MAXIMA_GROUP / 8; i++) {
        size_t at = m / 8 * HB_MAXIMA_GROUP + m % 8 + 8 * i;
        if (at < n && x[at] > most) most = x[at];
      }
      assert_true(out[m] == most);
    }
  }
}

/* t = (x - max) factor is rounded twice, and 2^t passes 0.7 |t| 2^-24 on for each. */
static void weights_agree_with_double(void **state) {
  (void)state;
  enum { N = 1000 };
  float x[N], out[N];
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  for (float factor = 0.1f; factor < 100; factor *= 3) {
    double sum = 0;
    for (int i = 0; i < N; i++) x[i] = 5 - (float)i * 0.0173f;
    float got = k->weights(x, N, 5, factor, out);
    assert_true(out[0] == 1.0f);
    for (int i = 0; i < N; i++) {
      double t = (x[i] - 5.0) * factor, expected = exp2(t);
      sum += expected;
      if (t < -126.6)
        assert_true(out[i] == 0.0f);
      else if (t > -125.5)
        expect_close(out[i], expected, expected * (9.2e-8 + (3 - 1.4 * t) * 0x1p-24));
    }
    expect_close(got, sum, sum * (N / 8 + 10) * 0x1p-24);
    assert_true(k->weights(x, N, 5, factor, NULL) == got);
  }
}

static void what_is_no_number_weighs_nothing(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  const float x[5] = {NAN, -INFINITY, 3.0f, -0x1.fffffep127f, 2.0f};
  float out[5];
  assert_true(k->weights(x, 5, 3, 1, out) == 1.5f);
  assert_true(out[0] == 0 && out[1] == 0 && out[2] == 1 && out[3] == 0 && out[4] == 0.5f);
  assert_true(k->weights(x, 5, 3, 0x1.fffffep127f, out) == 1);
  assert_true(out[0] == 0 && out[1] == 0 && out[2] == 1 && out[3] == 0 && out[4] == 0);
}

/* ---- Products with float weights ---- */

enum { ROWS = 37, LONGEST = 100, BATCH = 5 };

typedef struct {
  uint8_t weights[ROWS * LONGEST * 4];
  float x[BATCH][LONGEST + 3];
  hb_matrix matrix;
} product;

static float weight_of(const product *p, size_t i) {
  switch (p->matrix.type) {
  case HB_TYPE_F16: return hb_f32_of_f16(((const uint16_t *)(const void *)p->weights)[i]);
  case HB_TYPE_BF16: return hb_f32_of_bf16(((const uint16_t *)(const void *)p->weights)[i]);
  default: return ((const float *)(const void *)p->weights)[i];
  }
}

static void make_product(product *p, hb_type type, size_t k, number_kind kind, uint64_t *seed) {
  for (size_t i = 0; i < ROWS * k; i++) {
    float w;
    fill(&w, 1, kind, seed);
    if (type == HB_TYPE_F32)
      ((float *)(void *)p->weights)[i] = w;
    else
      ((uint16_t *)(void *)p->weights)[i] =
          type == HB_TYPE_F16 ? hb_f16_of_f32(w) : hb_bf16_of_f32(w);
  }
  for (size_t r = 0; r < BATCH; r++) fill(p->x[r], LONGEST, kind, seed);
  p->matrix = (hb_matrix){.type = type, .rows = ROWS, .cols = (uint32_t)k, .data = p->weights};
}

static void multiply(const hb_kernels *k, const product *p, size_t first, size_t rows,
                     float out[BATCH][ROWS]) {
  k->matmul(&p->matrix, p->x[first], sizeof p->x[0], rows, 0, hb_group_count(&p->matrix),
            out[first], ROWS);
}

static const hb_type float_types[] = {HB_TYPE_F32, HB_TYPE_F16, HB_TYPE_BF16};

static void float_products_have_the_same_bits_on_every_isa(void **state) {
  (void)state;
  static product p;
  uint64_t seed = 6;
  float expected[BATCH][ROWS], got[BATCH][ROWS];
  for (size_t t = 0; t < 3; t++)
    for (number_kind kind = 0; kind < KINDS; kind++)
      for (size_t k = 1; k <= LONGEST; k = k < 40 ? k + 1 : k + 13) {
        make_product(&p, float_types[t], k, kind, &seed);
        multiply(hb_kernels_for(HB_ISA_SCALAR), &p, 0, BATCH, expected);
        for (int isa = 0; isa < ISA_COUNT; isa++) {
          const hb_kernels *table = kernels_besides_scalar(isa);
          if (!table) continue;
          multiply(table, &p, 0, BATCH, got);
          expect_same("matmul", table->isa, k, got[0], expected[0], BATCH * ROWS);
        }
      }
}

static void float_products_agree_with_double(void **state) {
  (void)state;
  static product p;
  uint64_t seed = 7;
  float out[BATCH][ROWS];
  for (size_t t = 0; t < 3; t++)
    for (size_t k = 1; k <= LONGEST; k++) {
      make_product(&p, float_types[t], k, USUAL, &seed);
      multiply(hb_kernels_for(HB_ISA_SCALAR), &p, 0, BATCH, out);
      for (size_t r = 0; r < BATCH; r++)
        for (size_t n = 0; n < ROWS; n++) {
          double sum = 0, size = 0;
          for (size_t i = 0; i < k; i++) {
            double term = (double)p.x[r][i] * weight_of(&p, n * k + i);
            sum += term;
            size += fabs(term);
          }
          expect_close(out[r][n], sum, size * ((double)k / 8 + 5) * 0x1p-24);
        }
    }
}

static void float_products_do_not_depend_on_how_they_are_split(void **state) {
  (void)state;
  static product p;
  uint64_t seed = 8;
  float whole[BATCH][ROWS], split[BATCH][ROWS];
  for (int isa = 0; isa < ISA_COUNT; isa++)
    for (size_t t = 0; t < 3; t++) {
      const hb_kernels *k = hb_kernels_for((hb_isa)isa);
      if (!k) continue;
      make_product(&p, float_types[t], 77, USUAL, &seed);
      multiply(k, &p, 0, BATCH, whole);
      for (size_t r = 0; r < BATCH; r++) multiply(k, &p, r, 1, split);
      expect_same("rows one by one", k->isa, 77, split[0], whole[0], BATCH * ROWS);
      memset(split, 0, sizeof split);
      for (size_t group = 0; group < 3; group++)
        k->matmul(&p.matrix, p.x[0], sizeof p.x[0], BATCH, group, group + 1, split[0], ROWS);
      expect_same("groups one by one", k->isa, 77, split[0], whole[0], BATCH * ROWS);
    }
}

static void every_f16_is_decoded_as_base_half_does(void **state) {
  (void)state;
  static uint16_t all[65536];
  static float out[65536];
  const float one = 1.0f;
  for (uint32_t h = 0; h < 65536; h++) all[h] = (uint16_t)h;
  hb_matrix m = {.type = HB_TYPE_F16, .rows = 65536, .cols = 1, .data = (uint8_t *)all};
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_kernels *k = hb_kernels_for((hb_isa)isa);
    if (!k) continue;
    k->matmul(&m, &one, sizeof one, 1, 0, hb_group_count(&m), out, 65536);
    for (uint32_t h = 0; h < 65536; h++)
      assert_true(same_bits(out[h], 0.0f + hb_f32_of_f16((uint16_t)h)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_isa_gives_the_bits_of_the_scalar_definition),
      cmocka_unit_test(results_may_replace_their_input),
      cmocka_unit_test(norms_agree_with_double),
      cmocka_unit_test(activations_agree_with_double),
      cmocka_unit_test(activations_are_right_at_the_ends),
      cmocka_unit_test(rope_rotates_pairs_and_leaves_the_rest),
      cmocka_unit_test(softmax_agrees_with_double),
      cmocka_unit_test(softmax_of_the_impossible_is_zero),
      cmocka_unit_test(maxima_are_those_of_every_eighth_value),
      cmocka_unit_test(weights_agree_with_double),
      cmocka_unit_test(what_is_no_number_weighs_nothing),
      cmocka_unit_test(float_products_have_the_same_bits_on_every_isa),
      cmocka_unit_test(float_products_agree_with_double),
      cmocka_unit_test(float_products_do_not_depend_on_how_they_are_split),
      cmocka_unit_test(every_f16_is_decoded_as_base_half_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
