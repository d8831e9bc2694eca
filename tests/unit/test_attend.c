/* Attention and the KV cache: bits on every ISA, the naive softmax in double, and that only the
 * visible positions count. */
#include "numbers.h"

enum { POSITIONS = 200, LARGEST_HEAD = HB_MAX_HEAD_SIZE };

typedef struct {
  uint32_t k, v;
} sizes;

static const sizes head_sizes[] = {{64, 64}, {2, 6},     {18, 18}, {128, 128},
                                   {80, 96}, {512, 512}, {70, 34}};
#define SIZES (sizeof head_sizes / sizeof *head_sizes)

static float keys[POSITIONS][LARGEST_HEAD], values[POSITIONS][LARGEST_HEAD], query[LARGEST_HEAD];
static _Alignas(64) uint8_t cache[(POSITIONS + HB_KV_BLOCK) * 2 * LARGEST_HEAD * sizeof(float)];

/* Fills a cache that held NaN everywhere with positions 0 .. count - 1. */
static void fill_cache(const hb_kernels *k, hb_kv_type kv, sizes size, uint32_t count) {
  memset(cache, 0xff, sizeof cache);
  for (uint32_t p = 0; p < count; p++)
    k->kv_store(cache, kv, size.k, size.v, p, keys[p], values[p]);
}

static void fill_inputs(number_kind kind, uint64_t seed) {
  fill(keys[0], POSITIONS * LARGEST_HEAD, kind, &seed);
  fill(values[0], POSITIONS * LARGEST_HEAD, kind, &seed);
  fill(query, LARGEST_HEAD, kind, &seed);
}

static hb_attend_args attend_args(sizes size, uint32_t first, uint32_t last, float softcap) {
  return (hb_attend_args){.cache = cache,
                          .head_size = size.k,
                          .value_size = size.v,
                          .position = last,
                          .window = last - first + 1,
                          .scale = (float)(1 / sqrt(size.k)),
                          .softcap = softcap};
}

static uint32_t first_visible(const hb_attend_args *args) {
  return args->position + 1 - args->window;
}

static const uint32_t ranges[][2] = {{0, 0},   {0, 31},   {0, 32},   {5, 5},    {31, 32},
                                     {7, 100}, {64, 127}, {33, 199}, {199, 199}};
#define RANGES (sizeof ranges / sizeof *ranges)

static void every_isa_gives_the_bits_of_the_scalar_definition(void **state) {
  (void)state;
  const hb_kernels *scalar = hb_kernels_for(HB_ISA_SCALAR);
  for (number_kind kind = 0; kind < KINDS; kind++)
    for (size_t s = 0; s < SIZES; s++)
      for (int kv = 0; kv < 2; kv++) {
        float expected[RANGES * 2][LARGEST_HEAD], got[LARGEST_HEAD];
        fill_inputs(kind, 10 + s);
        fill_cache(scalar, (hb_kv_type)kv, head_sizes[s], POSITIONS);
        for (size_t r = 0; r < RANGES * 2; r++) {
          hb_attend_args args =
              attend_args(head_sizes[s], ranges[r / 2][0], ranges[r / 2][1], r % 2 ? 3.0f : 0.0f);
          scalar->attend(&args, (hb_kv_type)kv, query, expected[r]);
        }
        for (int isa = 0; isa < ISA_COUNT; isa++) {
          const hb_kernels *k = kernels_besides_scalar(isa);
          if (!k) continue;
          fill_cache(k, (hb_kv_type)kv, head_sizes[s], POSITIONS);
          for (size_t r = 0; r < RANGES * 2; r++) {
            hb_attend_args args =
                attend_args(head_sizes[s], ranges[r / 2][0], ranges[r / 2][1], r % 2 ? 3.0f : 0.0f);
            k->attend(&args, (hb_kv_type)kv, query, got);
            expect_same("attend", k->isa, head_sizes[s].k, got, expected[r], head_sizes[s].v);
          }
        }
      }
}

static float as_stored(hb_kv_type kv, float x) {
  return kv == HB_KV_F16 ? hb_f32_of_f16(hb_f16_of_f32(x)) : x;
}

/* Softmax attention as in the textbook, in double, over the values as the cache holds them. */
static void attend_naively(const hb_attend_args *args, hb_kv_type kv, double *out) {
  double score[POSITIONS], max = -INFINITY, sum = 0;
  for (uint32_t p = first_visible(args); p <= args->position; p++) {
    score[p] = 0;
    for (uint32_t d = 0; d < args->head_size; d++)
      score[p] += (double)query[d] * as_stored(kv, keys[p][d]);
    score[p] *= args->scale;
    if (args->softcap != 0) score[p] = args->softcap * tanh(score[p] / args->softcap);
    max = fmax(max, score[p]);
  }
  for (uint32_t d = 0; d < args->value_size; d++) out[d] = 0;
  for (uint32_t p = first_visible(args); p <= args->position; p++) {
    double weight = exp(score[p] - max);
    sum += weight;
    for (uint32_t d = 0; d < args->value_size; d++) out[d] += weight * as_stored(kv, values[p][d]);
  }
  for (uint32_t d = 0; d < args->value_size; d++) out[d] /= sum;
}

/* A score of size |s| carries some |q||k| 2^-24 per addition of its lane, which exp makes a
 * relative error of the weight; with |scores| below 60 and 64 terms a lane that stays below 1e-4,
 * and outputs are means of values below 4. */
static void attention_agrees_with_a_naive_softmax_in_double(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  for (size_t s = 0; s < SIZES; s++)
    for (int kv = 0; kv < 2; kv++) {
      double worst = 0;
      fill_inputs(USUAL, 20 + s);
      fill_cache(k, (hb_kv_type)kv, head_sizes[s], POSITIONS);
      for (size_t r = 0; r < RANGES * 2; r++) {
        float got[LARGEST_HEAD];
        double expected[LARGEST_HEAD];
        hb_attend_args args =
            attend_args(head_sizes[s], ranges[r / 2][0], ranges[r / 2][1], r % 2 ? 20.0f : 0.0f);
        k->attend(&args, (hb_kv_type)kv, query, got);
        attend_naively(&args, (hb_kv_type)kv, expected);
        for (uint32_t d = 0; d < args.value_size; d++)
          worst = fmax(worst, fabs(got[d] - expected[d]));
      }
      if (!(worst < 2e-5)) fail_msg("head size %u: error %g", head_sizes[s].k, worst);
    }
}

static void a_row_depends_on_its_visible_positions_alone(void **state) {
  (void)state;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_kernels *k = hb_kernels_for((hb_isa)isa);
    if (!k) continue;
    for (int kv = 0; kv < 2; kv++)
      for (size_t r = 0; r < RANGES; r++) {
        float among_others[LARGEST_HEAD], alone[LARGEST_HEAD];
        sizes size = {18, 34};
        hb_attend_args args = attend_args(size, ranges[r][0], ranges[r][1], 0.0f);
        fill_inputs(USUAL, 30);
        fill_cache(k, (hb_kv_type)kv, size, POSITIONS);
        k->attend(&args, (hb_kv_type)kv, query, among_others);
        /* Now everything else is NaN. */
        memset(cache, 0xff, sizeof cache);
        for (uint32_t p = first_visible(&args); p <= args.position; p++)
          k->kv_store(cache, (hb_kv_type)kv, size.k, size.v, p, keys[p], values[p]);
        k->attend(&args, (hb_kv_type)kv, query, alone);
        expect_same("attend", k->isa, r, alone, among_others, size.v);
        for (uint32_t d = 0; d < size.v; d++) assert_true(isfinite(alone[d]));
      }
  }
}

static void heads_together_give_what_each_gives_alone(void **state) {
  (void)state;
  enum { HEADS = 7 };
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_kernels *k = hb_kernels_for((hb_isa)isa);
    if (!k) continue;
    for (size_t s = 0; s < SIZES; s++)
      for (int kv = 0; kv < 2; kv++) {
        static float q[HEADS * LARGEST_HEAD], together[HEADS * LARGEST_HEAD];
        uint64_t seed = 50 + s;
        sizes size = head_sizes[s];
        hb_attend_args args = attend_args(size, 3, 170, s % 2 ? 5.0f : 0.0f);
        fill_inputs(USUAL, 50 + s);
        fill(q, HEADS * LARGEST_HEAD, USUAL, &seed);
        fill_cache(k, (hb_kv_type)kv, size, POSITIONS);
        for (uint32_t heads = 1; heads <= HEADS; heads++) {
          args.heads = heads;
          k->attend(&args, (hb_kv_type)kv, q, together);
          args.heads = 0;
          for (uint32_t h = 0; h < heads; h++) {
            float alone[LARGEST_HEAD];
            k->attend(&args, (hb_kv_type)kv, q + h * size.k, alone);
            expect_same("heads", k->isa, heads, together + h * size.v, alone, size.v);
          }
        }
      }
  }
}

/* Rows in the middle of a block and across its end, with windows that end before, in and after the
 * block of the row, or none; more rows than share a conversion. */
static void rows_together_give_what_each_gives_alone(void **state) {
  (void)state;
  enum { HEADS = 6, ROWS = 19, STRIDE = HEADS * LARGEST_HEAD + 3 };
  static const struct {
    uint32_t position, window, heads;
  } cases[] = {{0, 0, 3}, {25, 0, 1}, {150, 0, 6}, {125, 1, 2}, {90, 5, 4}, {110, 70, 5}};
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_kernels *k = hb_kernels_for((hb_isa)isa);
    if (!k) continue;
    for (size_t s = 0; s < SIZES; s++)
      for (int kv = 0; kv < 2; kv++) {
        static float q[ROWS * STRIDE], together[ROWS * STRIDE], alone[STRIDE];
        uint64_t seed = 60 + s;
        sizes size = head_sizes[s];
        fill_inputs(USUAL, 60 + s);
        fill(q, ROWS * STRIDE, USUAL, &seed);
        fill_cache(k, (hb_kv_type)kv, size, POSITIONS);
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
          hb_attend_args args = attend_args(size, 0, cases[c].position, c % 2 ? 5.0f : 0.0f);
          args.window = cases[c].window;
          args.heads = cases[c].heads;
          args.rows = ROWS;
          args.q_stride = args.out_stride = STRIDE;
          k->attend(&args, (hb_kv_type)kv, q, together);
          args.rows = 0;
          for (size_t row = 0; row < ROWS; row++, args.position++) {
            k->attend(&args, (hb_kv_type)kv, q + row * STRIDE, alone);
            expect_same("rows", k->isa, row, together + row * STRIDE, alone, args.heads * size.v);
          }
        }
      }
  }
}

static void attention_may_replace_its_query(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  float apart[LARGEST_HEAD], place[LARGEST_HEAD];
  sizes size = {64, 64};
  hb_attend_args args = attend_args(size, 3, 90, 0.0f);
  fill_inputs(USUAL, 40);
  fill_cache(k, HB_KV_F16, size, POSITIONS);
  k->attend(&args, HB_KV_F16, query, apart);
  memcpy(place, query, sizeof place);
  k->attend(&args, HB_KV_F16, place, place);
  expect_same("attend", k->isa, 64, place, apart, 64);
}

static void a_score_of_minus_infinity_weighs_nothing(void **state) {
  (void)state;
  const hb_kernels *k = hb_kernels_for(HB_ISA_SCALAR);
  sizes size = {2, 2};
  float out[2];
  hb_attend_args args = attend_args(size, 0, 70, 0.0f);
  query[0] = 1.0f, query[1] = 0.0f;
  memset(cache, 0, sizeof cache);
  for (uint32_t p = 0; p <= 70; p++) {
    float key[2] = {p == 40 ? 1.0f : -INFINITY, 0.0f}, value[2] = {(float)p, 1.0f};
    k->kv_store(cache, HB_KV_F32, 2, 2, p, key, value);
  }
  k->attend(&args, HB_KV_F32, query, out);
  assert_true(out[0] == 40.0f && out[1] == 1.0f);
}

/* kv_store puts K transposed and V by rows, each value rounded as base/half.h rounds. */
static void kv_store_rounds_as_base_half_does(void **state) {
  (void)state;
  enum { HEAD = 10 };
  const uint16_t *stored = (const uint16_t *)(const void *)cache;
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_kernels *table = hb_kernels_for((hb_isa)isa);
    if (!table) continue;
    uint32_t bits = 0, position = 0;
    while (bits < 0xffff0000u) {
      float k[HEAD], v[HEAD];
      for (int d = 0; d < HEAD; d++, bits += 977) {
        k[d] = hb_f32_of_bits(bits);
        v[d] = hb_f32_of_bits((bits & 0xffffe000u) | 0x1000u); /* halfway between two */
      }
      position = (position + 1) % 64;
      table->kv_store(cache, HB_KV_F16, HEAD, HEAD, position, k, v);
      const uint16_t *block = stored + position / 32 * (32 * 2 * HEAD);
      for (uint32_t d = 0; d < HEAD; d++) {
        uint16_t of_k = block[d * 32 + position % 32],
                 of_v = block[(32 + position % 32) * HEAD + d];
        assert_true(isnan(k[d]) ? (of_k & 0x7fff) > 0x7c00 : of_k == hb_f16_of_f32(k[d]));
        assert_true(isnan(v[d]) ? (of_v & 0x7fff) > 0x7c00 : of_v == hb_f16_of_f32(v[d]));
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_isa_gives_the_bits_of_the_scalar_definition),
      cmocka_unit_test(attention_agrees_with_a_naive_softmax_in_double),
      cmocka_unit_test(a_row_depends_on_its_visible_positions_alone),
      cmocka_unit_test(heads_together_give_what_each_gives_alone),
      cmocka_unit_test(rows_together_give_what_each_gives_alone),
      cmocka_unit_test(attention_may_replace_its_query),
      cmocka_unit_test(a_score_of_minus_infinity_weighs_nothing),
      cmocka_unit_test(kv_store_rounds_as_base_half_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
