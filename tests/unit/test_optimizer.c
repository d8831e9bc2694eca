/* AdamW over a model's parameters: bits that do not depend on threads, clipping, moments in 8 bits
 * that train as well as those in 32, states that resume, and gradients that are no numbers. */
#include "numbers.h"

#include "train/moments.h"
#include "train/optimizer.h"

enum { PARAMETERS = 7, LONGEST = 10000 };
static const uint32_t counts[PARAMETERS] = {1, 255, 256, 257, 4096, 4097, LONGEST};

typedef struct {
  float value[PARAMETERS][LONGEST], gradient[PARAMETERS][LONGEST];
  hb_parameter list[PARAMETERS];
} model;

static model *make_model(uint64_t seed) {
  model *m = calloc(1, sizeof *m);
  assert_non_null(m);
  for (int p = 0; p < PARAMETERS; p++) {
    fill(m->value[p], counts[p], USUAL, &seed);
    m->list[p] = (hb_parameter){.name = {"tensor", 6},
                                .value = m->value[p],
                                .gradient = m->gradient[p],
                                .count = counts[p],
                                .rate = p == 2 ? 0.5f : 1.0f,
                                .decay = p % 2 ? 1.0f : 0.0f};
  }
  m->list[3].name = (hb_string){"blk.3.weight", 12};
  return m;
}

static void draw_gradients(model *m, uint64_t seed) {
  seed = seed * 77 + 1;
  for (int p = 0; p < PARAMETERS; p++) fill(m->gradient[p], counts[p], USUAL, &seed);
}

static hb_optimizer_options usual_options(hb_moments moments) {
  return (hb_optimizer_options){.kernels = hb_train_kernels_for(hb_isa_best()),
                                .beta1 = 0.9f,
                                .beta2 = 0.95f,
                                .epsilon = 1e-8f,
                                .decay = 0.1f,
                                .max_norm = 1.0f,
                                .moments = moments};
}

static hb_optimizer *make_optimizer(const model *m, const hb_optimizer_options *options) {
  hb_optimizer *o;
  hb_error error;
  if (hb_optimizer_create(options, m->list, PARAMETERS, &o, &error) != HB_OK)
    fail_msg("%s", error.message);
  return o;
}

/* Steps first .. end - 1 of a training. */
static void train(hb_optimizer *o, model *m, const hb_parallel *parallel, int first, int end) {
  for (int step = first; step < end; step++) {
    draw_gradients(m, (uint64_t)step + 1);
    assert_int_equal(hb_optimizer_step(o, parallel, 0.01f, 0.5f, NULL, NULL), HB_OK);
  }
}

/* ---- Steps ---- */

static void threads_do_not_matter(void **state) {
  (void)state;
  for (int moments = HB_MOMENTS_F32; moments <= HB_MOMENTS_8_BIT; moments++) {
    hb_optimizer_options options = usual_options((hb_moments)moments);
    uint64_t bytes, got_bytes;
    model *expected = make_model(5);
    hb_optimizer *alone = make_optimizer(expected, &options);
    train(alone, expected, NULL, 0, 4);
    void *expected_state = hb_optimizer_state(alone, &bytes);
    for (uint32_t count = 1; count <= 3; count++) {
      hb_threads *threads;
      assert_int_equal(hb_threads_create(count, &threads, NULL), HB_OK);
      model *got = make_model(5);
      hb_optimizer *o = make_optimizer(got, &options);
      train(o, got, hb_threads_parallel(threads), 0, 4);
      assert_memory_equal(got->value, expected->value, sizeof got->value);
      assert_memory_equal(hb_optimizer_state(o, &got_bytes), expected_state, bytes);
      assert_true(got_bytes == bytes && hb_optimizer_steps(o) == 4);
      hb_optimizer_destroy(o);
      hb_threads_destroy(threads);
      free(got);
    }
    hb_optimizer_destroy(alone);
    free(expected);
  }
}

static double norm_of(const model *m) {
  double sum = 0;
  for (int p = 0; p < PARAMETERS; p++)
    for (uint32_t i = 0; i < counts[p]; i++)
      sum += (double)m->gradient[p][i] * (double)m->gradient[p][i];
  return sqrt(sum);
}

static void a_step_is_adamw_with_the_clipped_gradient(void **state) {
  (void)state;
  static float m[PARAMETERS][LONGEST], v[PARAMETERS][LONGEST];
  memset(m, 0, sizeof m);
  memset(v, 0, sizeof v);
  hb_optimizer_options options = usual_options(HB_MOMENTS_F32);
  model *got = make_model(6), *expected = make_model(6);
  hb_optimizer *o = make_optimizer(got, &options);
  for (int step = 1; step <= 3; step++) {
    double norm;
    draw_gradients(got, (uint64_t)step);
    float scale = step == 2 ? 1e-3f : 0.5f; /* below the norm to clip to, and above it */
    assert_int_equal(hb_optimizer_step(o, NULL, 0.01f, scale, &norm, NULL), HB_OK);
    assert_true(fabs(norm - scale * norm_of(got)) < 1e-12 * norm);
    assert_true((norm > 1) == (step != 2));
    hb_adamw a = {.beta1 = options.beta1,
                  .beta2 = options.beta2,
                  .epsilon = options.epsilon,
                  .scale = (float)(norm > 1 ? scale / norm : scale),
                  .correct1 = (float)(1 / (1 - pow(options.beta1, step))),
                  .correct2 = (float)(1 / (1 - pow(options.beta2, step)))};
    for (int p = 0; p < PARAMETERS; p++) {
      a.rate = 0.01f * got->list[p].rate;
      a.decay = 0.1f * got->list[p].decay;
      options.kernels->adamw(&a, got->gradient[p], counts[p], expected->value[p], m[p], v[p]);
      for (uint32_t i = 0; i < counts[p]; i++)
        assert_true(fabsf(got->value[p][i] - expected->value[p][i]) < 1e-6f);
    }
  }
  hb_optimizer_destroy(o);
  free(expected);
  free(got);
}

static void what_is_no_number_is_named_and_changes_nothing(void **state) {
  (void)state;
  static const float broken[] = {NAN, INFINITY, -INFINITY};
  for (int moments = HB_MOMENTS_F32; moments <= HB_MOMENTS_8_BIT; moments++)
    for (int i = 0; i < 3; i++) {
      hb_optimizer_options options = usual_options((hb_moments)moments);
      model *m = make_model(7), *before = make_model(7);
      hb_optimizer *o = make_optimizer(m, &options);
      train(o, m, NULL, 0, 2);
      memcpy(before, m, sizeof *m);
      uint64_t bytes;
      void *own = hb_optimizer_state(o, &bytes), *copy = malloc(bytes);
      assert_non_null(copy);
      memcpy(copy, own, bytes);
      m->gradient[3][256] = broken[i];
      double norm = 0;
      hb_error error;
      assert_int_equal(hb_optimizer_step(o, NULL, 0.01f, 1.0f, &norm, &error), HB_ARGUMENT);
      assert_string_equal(error.message, "the gradient of blk.3.weight is not finite at step 3; "
                                         "nothing was changed");
      assert_false(isfinite(norm));
      assert_memory_equal(own, copy, bytes);
      assert_memory_equal(m->value, before->value, sizeof m->value);
      hb_optimizer_destroy(o);
      free(copy);
      free(before);
      free(m);
    }
}

static void the_largest_gradients_have_a_norm(void **state) {
  (void)state;
  hb_optimizer_options options = usual_options(HB_MOMENTS_F32);
  model *m = make_model(8);
  hb_optimizer *o = make_optimizer(m, &options);
  for (uint32_t i = 0; i < LONGEST; i++) m->gradient[6][i] = 0x1.fffffep127f;
  double norm;
  assert_int_equal(hb_optimizer_step(o, NULL, 0.01f, 1.0f, &norm, NULL), HB_OK);
  assert_true(fabs(norm / (100 * 0x1.fffffep127) - 1) < 1e-9);
  for (uint32_t i = 0; i < LONGEST; i++) assert_true(isfinite(m->value[6][i]));
  hb_optimizer_destroy(o);
  free(m);
}

/* ---- The state ---- */

typedef struct {
  size_t calls, live, bytes, refuse; /* refuse: which call, from 1 */
} counting;

static void *count_allocate(void *context, size_t size, size_t alignment) {
  counting *c = context;
  if (++c->calls == c->refuse) return NULL;
  c->live++;
  c->bytes = size;
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void count_release(void *context, void *block, size_t size) {
  (void)size;
  ((counting *)context)->live--;
  free(block);
}

static void the_state_is_one_block_whose_size_is_known(void **state) {
  (void)state;
  model *m = make_model(9);
  for (int moments = HB_MOMENTS_F32; moments <= HB_MOMENTS_8_BIT; moments++) {
    counting own = {0}, mapped = {0};
    hb_allocator usual = {&own, count_allocate, count_release};
    hb_allocator file = {&mapped, count_allocate, count_release};
    hb_optimizer_options options = usual_options((hb_moments)moments);
    options.allocator = &usual;
    options.state_allocator = &file;
    uint64_t bytes, groups = 1 + 1 + 1 + 2 + 16 + 17 + 40, told;
    assert_true(hb_optimizer_state_size(m->list, PARAMETERS, options.moments, &bytes));
    assert_true(bytes == 64 + groups * (moments == HB_MOMENTS_F32 ? 2048 : 520));
    hb_optimizer *o = make_optimizer(m, &options);
    assert_true(mapped.calls == 1 && mapped.bytes == bytes && own.calls == 1);
    assert_non_null(hb_optimizer_state(o, &told));
    assert_true(told == bytes);
    hb_optimizer_destroy(o);
    assert_true(own.live == 0 && mapped.live == 0);

    hb_error error;
    own.refuse = 2;
    assert_int_equal(hb_optimizer_create(&options, m->list, PARAMETERS, &o, &error), HB_MEMORY);
    own.refuse = 0, mapped.refuse = 2;
    assert_int_equal(hb_optimizer_create(&options, m->list, PARAMETERS, &o, &error), HB_MEMORY);
    assert_true(own.live == 0 && mapped.live == 0 && !o);
  }
  free(m);
}

static void a_training_resumes_to_the_same_bits(void **state) {
  (void)state;
  for (int moments = HB_MOMENTS_F32; moments <= HB_MOMENTS_8_BIT; moments++) {
    hb_optimizer_options options = usual_options((hb_moments)moments);
    model *whole = make_model(10), *halves = make_model(10);
    hb_optimizer *first = make_optimizer(whole, &options);
    hb_optimizer *second = make_optimizer(halves, &options);
    uint64_t bytes;
    train(first, whole, NULL, 0, 3);
    memcpy(halves->value, whole->value, sizeof whole->value);
    memcpy(hb_optimizer_state(second, &bytes), hb_optimizer_state(first, &bytes), bytes);
    assert_int_equal(hb_optimizer_resume(second, NULL), HB_OK);
    train(first, whole, NULL, 3, 6);
    train(second, halves, NULL, 3, 6);
    assert_memory_equal(halves->value, whole->value, sizeof whole->value);
    assert_memory_equal(hb_optimizer_state(second, &bytes), hb_optimizer_state(first, &bytes),
                        bytes);
    hb_optimizer_destroy(first);
    hb_optimizer_destroy(second);
    free(whole);
    free(halves);
  }
}

static void a_state_of_other_parameters_is_refused(void **state) {
  (void)state;
  hb_optimizer_options options = usual_options(HB_MOMENTS_8_BIT);
  model *m = make_model(11), *other = make_model(11);
  other->list[3].count = 256 + 2; /* as many groups */
  hb_optimizer *from = make_optimizer(m, &options), *to = make_optimizer(other, &options);
  uint64_t bytes;
  hb_error error;
  train(from, m, NULL, 0, 1);
  uint8_t *block = hb_optimizer_state(to, &bytes);
  memcpy(block, hb_optimizer_state(from, &bytes), bytes);
  assert_int_equal(hb_optimizer_resume(to, &error), HB_FORMAT);
  assert_string_equal(error.message, "the state of the optimizer is not that of these parameters");
  assert_true(hb_optimizer_steps(to) == 0);
  for (uint64_t i = 64; i < bytes; i++) assert_true(block[i] == 0);
  hb_optimizer_destroy(from);
  hb_optimizer_destroy(to);
  free(m);
  free(other);
}

static void any_bytes_are_a_state(void **state) {
  (void)state;
  hb_optimizer_options options = usual_options(HB_MOMENTS_8_BIT);
  model *m = make_model(12);
  hb_optimizer *o = make_optimizer(m, &options);
  uint64_t bytes, seed = 12;
  uint8_t *block = hb_optimizer_state(o, &bytes);
  for (uint64_t i = 64; i < bytes; i++) block[i] = (uint8_t)next_random(&seed);
  assert_int_equal(hb_optimizer_resume(o, NULL), HB_OK);
  train(o, m, NULL, 0, 2);
  hb_optimizer_destroy(o);
  free(m);
}

/* ---- Moments in 8 bits ---- */

typedef struct {
  float m[HB_MOMENT_GROUP], v[HB_MOMENT_GROUP];
} moments_pair;

static moments_pair coded(const moments_pair *p, uint64_t chance) {
  hb_coded_moments c;
  moments_pair out;
  hb_moments_encode(p->m, p->v, chance, &c);
  hb_moments_decode(&c, out.m, out.v);
  return out;
}

static void moments_keep_their_size(void **state) {
  (void)state;
  moments_pair p;
  uint64_t seed = 13;
  for (int i = 0; i < HB_MOMENT_GROUP; i++) {
    p.m[i] = uniform(&seed, -1, 1) * exp2f(-(float)(i % 20)) * 1e-3f;
    p.v[i] = uniform(&seed, 0.5, 1) * exp2f(-(float)(i % 40)) * 1e-12f;
  }
  p.m[7] = p.v[7] = 0.0f;
  p.m[0] = -2e-3f, p.v[0] = 2e-12f; /* the largest */
  for (uint64_t chance = 0; chance < 50; chance++) {
    moments_pair got = coded(&p, chance);
    assert_true(got.m[0] == -2e-3f && got.v[0] == 2e-12f && got.m[7] == 0.0f);
    for (int i = 0; i < HB_MOMENT_GROUP; i++) {
      float below = 2e-3f * 0x1p-17f; /* the spacing near 0, and some */
      assert_true(fabsf(got.m[i] - p.m[i]) <= fmaxf(fabsf(p.m[i]) / 7.9f, below));
      assert_true(got.v[i] > 0.0f);
      assert_true(fabsf(got.v[i] - p.v[i]) <= fmaxf(p.v[i] / 7.9f, 2e-12f * 0x1p-31f));
    }
  }
}

static void moments_are_right_on_average(void **state) {
  (void)state;
  enum { TIMES = 2000 };
  moments_pair p;
  double m[HB_MOMENT_GROUP] = {0}, v[HB_MOMENT_GROUP] = {0};
  uint64_t seed = 14;
  for (int i = 0; i < HB_MOMENT_GROUP; i++) {
    p.m[i] = uniform(&seed, -1, 1) * exp2f(-(float)(i % 16));
    p.v[i] = uniform(&seed, 0.5, 1) * exp2f(-(float)(i % 30));
  }
  for (uint64_t chance = 0; chance < TIMES; chance++) {
    moments_pair got = coded(&p, chance * 1000003);
    for (int i = 0; i < HB_MOMENT_GROUP; i++) m[i] += got.m[i], v[i] += got.v[i];
  }
  /* One is off by half the spacing, |x| / 16, at most; 4.5 deviations of the mean. */
  for (int i = 0; i < HB_MOMENT_GROUP; i++) {
    double spacing = fmax(fabs(p.m[i]), 0x1p-14) / 8;
    assert_true(fabs(m[i] / TIMES - p.m[i]) < 4.5 / sqrt(TIMES) * spacing / 2);
    assert_true(fabs(v[i] / TIMES - p.v[i]) < 4.5 / sqrt(TIMES) * p.v[i] / 16);
  }
}

static void broken_moments_stay_visible(void **state) {
  (void)state;
  static const float broken[] = {NAN, INFINITY};
  for (int i = 0; i < 2; i++) {
    moments_pair p = {{0}, {0}};
    p.m[9] = p.v[200] = broken[i];
    moments_pair got = coded(&p, 1);
    assert_false(isfinite(got.m[9]));
    assert_false(isfinite(got.v[200]));
  }
  moments_pair none = {{0}, {0}}, got = coded(&none, 1);
  for (int i = 0; i < HB_MOMENT_GROUP; i++) assert_true(got.m[i] == 0 && got.v[i] == 0);
}

/* Half the sum of c (x - t)^2, whose c are from 2^-8 to 2^8 side by side, trained with noise in the
 * gradients; returned is the loss that is left. */
static double trained_quadratic(hb_moments moments, float beta2, float noise) {
  enum { N = 1000, STEPS = 400 };
  static float x[N], gradient[N], c[N], t[N];
  uint64_t seed = 15;
  for (int i = 0; i < N; i++) {
    c[i] = exp2f(uniform(&seed, -8, 8));
    t[i] = uniform(&seed, -2, 2);
    x[i] = 0;
  }
  hb_parameter p = {{"x", 1}, x, gradient, N, 1.0f, 0.0f};
  hb_optimizer_options options = usual_options(moments);
  options.max_norm = 0.0f;
  options.beta2 = beta2;
  hb_optimizer *o;
  assert_int_equal(hb_optimizer_create(&options, &p, 1, &o, NULL), HB_OK);
  for (int step = 0; step < STEPS; step++) {
    for (int i = 0; i < N; i++) gradient[i] = c[i] * (x[i] - t[i] + uniform(&seed, -noise, noise));
    float rate = 0.05f * (1.0f - (float)step / STEPS);
    assert_int_equal(hb_optimizer_step(o, NULL, rate, 1.0f, NULL, NULL), HB_OK);
  }
  hb_optimizer_destroy(o);
  double loss = 0;
  for (int i = 0; i < N; i++) loss += 0.5 * c[i] * (x[i] - t[i]) * (x[i] - t[i]);
  return loss;
}

static void eight_bits_train_as_well_as_32(void **state) {
  (void)state;
  static const float betas[] = {0.95f, 0.999f}, noises[] = {0.1f, 1.0f};
  for (int b = 0; b < 2; b++)
    for (int n = 0; n < 2; n++) {
      double f32 = trained_quadratic(HB_MOMENTS_F32, betas[b], noises[n]);
      double coded = trained_quadratic(HB_MOMENTS_8_BIT, betas[b], noises[n]);
      print_message("beta2 %g, noise %g: %g with 32 bits, %g with 8\n", (double)betas[b],
                    (double)noises[n], f32, coded);
      assert_true(coded < 1.1 * f32);
    }
}

/* ---- What is refused ---- */

static void expect_refused(const hb_optimizer_options *options, const hb_parameter *p,
                           const char *message) {
  hb_error error = {0};
  hb_optimizer *o;
  assert_int_equal(hb_optimizer_create(options, p, 1, &o, &error), HB_ARGUMENT);
  assert_string_equal(error.message, message);
  assert_null(o);
}

static void bad_options_are_refused(void **state) {
  (void)state;
  float x = 0, g = 0;
  hb_parameter good = {{"x", 1}, &x, &g, 1, 1.0f, 1.0f}, p;
  hb_optimizer_options options;
#define REFUSED(change, message)                                                                   \
  options = usual_options(HB_MOMENTS_F32), p = good;                                               \
  change;                                                                                          \
  expect_refused(&options, &p, message)
  REFUSED(options.beta1 = 1.0f, "a beta of AdamW must be 0 to below 1");
  REFUSED(options.beta2 = NAN, "a beta of AdamW must be 0 to below 1");
  REFUSED(options.epsilon = -1.0f, "epsilon and the decay of AdamW must be 0 or more");
  REFUSED(options.decay = INFINITY, "epsilon and the decay of AdamW must be 0 or more");
  REFUSED(options.max_norm = NAN, "the norm to clip to must be 0 or more");
  REFUSED(options.moments = (hb_moments)5, "moments have 32 or 8 bits");
  REFUSED(p.count = 0, "parameter x has no values to train");
  REFUSED(p.value = NULL, "parameter x has no values to train");
  REFUSED(p.gradient = NULL, "parameter x has no values to train");
  REFUSED(p.rate = -1.0f, "the rate and the decay of parameter x must be 0 or more");
  REFUSED(p.count = UINT64_MAX, "parameter x is too large");
#undef REFUSED
  options = usual_options(HB_MOMENTS_F32);
  hb_optimizer *o;
  hb_error error;
  assert_int_equal(hb_optimizer_create(&options, &good, 1, &o, NULL), HB_OK);
  assert_int_equal(hb_optimizer_step(o, NULL, NAN, 1.0f, NULL, &error), HB_ARGUMENT);
  assert_int_equal(hb_optimizer_step(o, NULL, 0.1f, INFINITY, NULL, &error), HB_ARGUMENT);
  assert_true(hb_optimizer_steps(o) == 0);
  hb_optimizer_destroy(o);
  hb_optimizer_destroy(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_do_not_matter),
      cmocka_unit_test(a_step_is_adamw_with_the_clipped_gradient),
      cmocka_unit_test(what_is_no_number_is_named_and_changes_nothing),
      cmocka_unit_test(the_largest_gradients_have_a_norm),
      cmocka_unit_test(the_state_is_one_block_whose_size_is_known),
      cmocka_unit_test(a_training_resumes_to_the_same_bits),
      cmocka_unit_test(a_state_of_other_parameters_is_refused),
      cmocka_unit_test(any_bytes_are_a_state),
      cmocka_unit_test(moments_keep_their_size),
      cmocka_unit_test(moments_are_right_on_average),
      cmocka_unit_test(broken_moments_stay_visible),
      cmocka_unit_test(eight_bits_train_as_well_as_32),
      cmocka_unit_test(bad_options_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
