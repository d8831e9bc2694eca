/* What training does to rows: every ISA against the scalar definition, bit for bit, and the scalar
 * definition against central differences of forward passes in double precision. */
#include "numbers.h"

#include "train/kernels.h"

#define MOST 1024
#define GUARD 12345.0f
#define EPS 0.1f
#define ULP 0x1p-24

/* Lengths around every multiple of every vector width, and some long ones. */
static size_t next_length(size_t n) {
  return n < 40 ? n + 1 : n == 40 ? 257 : n == 257 ? 1000 : 0;
}

static const hb_loss losses[] = {
    {.target = 1.0f, .temperature = 1.0f},
    {.target = 0.7f, .z = 0.01f, .temperature = 1.0f},
    {.teacher = 1.0f, .temperature = 1.0f},
    {.teacher = 0.5f, .temperature = 2.0f},
    {.target = 0.6f, .teacher = 0.4f, .temperature = 1.0f, .z = 0.02f},
    {.target = 0.5f, .teacher = 1.5f, .temperature = 3.0f, .z = 0.01f},
};
enum { LOSSES = sizeof losses / sizeof *losses };

static const hb_adamw usual_step = {.rate = 0.01f,
                                    .beta1 = 0.9f,
                                    .beta2 = 0.95f,
                                    .epsilon = 1e-8f,
                                    .decay = 0.1f,
                                    .scale = 0.5f,
                                    .correct1 = 10.0f,
                                    .correct2 = 20.0f};

static const hb_train_kernels *scalar_table(void) {
  return hb_train_kernels_for(HB_ISA_SCALAR);
}

/* ---- Bits ---- */

typedef struct {
  float a[MOST], b[MOST], c[MOST];
} inputs;

typedef struct {
  float x[3][MOST], scalars[2];
} outputs;

/* Runs one kernel over n values; `which` counts from 0. Returns its name, or NULL beyond the last.
 * Results stand in out->x[][0 .. n - 1] and out->scalars. */
static const char *run_kernel(const hb_train_kernels *k, int which, const inputs *in, size_t n,
                              outputs *out) {
  const float *a = in->a + 1, *b = in->b + 2, *c = in->c + 3; /* no alignment to lean on */
  float *x = out->x[0], *y = out->x[1], *s = out->scalars;
  size_t first = n / 5, end = n - n / 7;
  memcpy(x, a, n * sizeof *x);
  memcpy(y, b, n * sizeof *y);
  memcpy(out->x[2], c, n * sizeof *c);
  s[0] = s[1] = 0.0f;
  for (int i = 0; i < 3; i++) out->x[i][n] = GUARD;
  switch (which) {
  case 0: s[0] = k->rms_norm_back(a, b, c, EPS, n, x); return "rms_norm_back";
  case 1: s[0] = k->rms_norm_back(a, NULL, c, EPS, n, x); return "rms_norm_back without weight";
  case 2: s[0] = k->layer_norm_back(a, b, c, EPS, n, x, s + 1); return "layer_norm_back";
  case 3:
    s[0] = k->layer_norm_back(a, NULL, c, EPS, n, x, s + 1);
    return "layer_norm_back without weight";
  case 4: k->norm_weight_back(a, b, 0.3f, 0.7f, n, x); return "norm_weight_back";
  case 5: k->multiply_add(a, b, 0.3f, n, x); return "multiply_add";
  case 6: s[0] = k->dot(a, b, n); return "dot";
  case 7: {
    double sum = k->squares(a, n);
    if (sum == sum) memcpy(s, &sum, sizeof sum);
    return "squares";
  }
  case 8: k->silu_mul_back(a, b, c, n, x, y); return "silu_mul_back";
  case 9: k->gelu_mul_back(a, b, c, n, x, y); return "gelu_mul_back";
  case 10: k->gelu_back(a, b, n, x); return "gelu_back";
  case 11: k->attention(x, 0.4f, 0, n, n); return "attention";
  case 12: k->attention(x, 0.4f, first, end, n); return "attention in a window";
  case 13: k->attention_back(b, 0.4f, 0, n, n, x); return "attention_back";
  case 14: k->attention_back(b, 0.4f, first, end, n, x); return "attention_back in a window";
  case 15:
    s[0] = k->loss(a, NULL, &losses[1], (int32_t)first, 0.5f, n, x, s + 1);
    return "loss without a teacher";
  case 16: s[0] = k->loss(a, b, &losses[3], -1, 0.5f, n, x, s + 1); return "loss of a teacher";
  case 17: s[0] = k->loss(a, b, &losses[4], (int32_t)first, 0.5f, n, x, s + 1); return "loss";
  case 18:
    s[0] = k->loss(a, b, &losses[5], (int32_t)first, 0.5f, n, x, s + 1);
    return "loss at a temperature";
  case 19:
    for (size_t i = 0; i < n; i++) y[i] = fabsf(y[i]);
    k->adamw(&usual_step, c, n, out->x[2], x, y);
    return "adamw";
  default: return NULL;
  }
}

static void every_isa_gives_the_bits_of_the_scalar_definition(void **state) {
  (void)state;
  static inputs in;
  static outputs expected, got;
  uint64_t seed = 1;
  for (number_kind kind = 0; kind < KINDS; kind++)
    for (size_t n = 1; n; n = next_length(n)) {
      fill(in.a, MOST, kind, &seed);
      fill(in.b, MOST, kind, &seed);
      fill(in.c, MOST, kind, &seed);
      for (int which = 0; run_kernel(scalar_table(), which, &in, n, &expected); which++)
        for (int isa = 0; isa < ISA_COUNT; isa++) {
          const hb_train_kernels *k = hb_train_kernels_for((hb_isa)isa);
          if (!k || k->isa == HB_ISA_SCALAR) continue;
          const char *name = run_kernel(k, which, &in, n, &got);
          for (int i = 0; i < 3; i++) {
            expect_same(name, k->isa, n, got.x[i], expected.x[i], n);
            assert_true(got.x[i][n] == GUARD && expected.x[i][n] == GUARD);
          }
          expect_same(name, k->isa, n, got.scalars, expected.scalars, 2);
        }
    }
}

static void results_may_replace_their_input(void **state) {
  (void)state;
  enum { N = 101 };
  static float a[N], b[N], c[N], apart[2][N], place[N], other[N], entropy;
  uint64_t seed = 2;
  fill(a, N, USUAL, &seed);
  fill(b, N, USUAL, &seed);
  fill(c, N, USUAL, &seed);
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_train_kernels *k = hb_train_kernels_for((hb_isa)isa);
    if (!k) continue;
#define IN_PLACE(from, call_apart, call_place)                                                     \
  memcpy(place, from, sizeof place);                                                               \
  call_apart;                                                                                      \
  call_place;                                                                                      \
  expect_same(#call_place, k->isa, N, place, apart[0], N)
    IN_PLACE(a, k->multiply_add(a, b, 0.3f, N, apart[0]),
             k->multiply_add(place, b, 0.3f, N, place));
    IN_PLACE(a, k->gelu_back(a, b, N, apart[0]), k->gelu_back(place, b, N, place));
    IN_PLACE(b, k->gelu_back(a, b, N, apart[0]), k->gelu_back(a, place, N, place));
    IN_PLACE(a, k->silu_mul_back(a, b, c, N, apart[0], apart[1]),
             k->silu_mul_back(place, b, c, N, place, other));
    IN_PLACE(c, k->silu_mul_back(a, b, c, N, apart[1], apart[0]),
             k->silu_mul_back(a, b, place, N, other, place));
    IN_PLACE(b, k->gelu_mul_back(a, b, c, N, apart[1], apart[0]),
             k->gelu_mul_back(a, place, c, N, other, place));
    for (int l = 0; l < LOSSES; l++) {
      IN_PLACE(a, k->loss(a, b, &losses[l], 7, 0.3f, N, apart[0], &entropy),
               k->loss(place, b, &losses[l], 7, 0.3f, N, place, &entropy));
    }
#undef IN_PLACE
  }
}

/* ---- Derivatives ---- */

static void expect_close(const char *what, size_t n, float got, double expected, double tolerance) {
  if (!(fabs(got - expected) <= tolerance))
    fail_msg("%s, n = %zu: %.9g is not within %.3g of %.17g", what, n, (double)got, tolerance,
             expected);
}

/* A forward pass that ends in one number. */
typedef struct forward {
  double (*value)(const struct forward *f);
  size_t n;
  double x[MOST], weight[MOST], dy[MOST];
  size_t first, end;
  const hb_loss *loss;
  int32_t target;
} forward;

/* d value / d *at. The third derivatives here are below 100, which leaves 2e-9. */
static double slope(const forward *f, double *at) {
  const double h = 1e-5, x = *at;
  *at = x + h;
  double above = f->value(f);
  *at = x - h;
  double below = f->value(f);
  *at = x;
  return (above - below) / (2 * h);
}

static void widen(double *to, const float *from, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] = from[i];
}

static double norm_factor(const forward *f, double mean) {
  double sum = 0;
  for (size_t i = 0; i < f->n; i++) sum += (f->x[i] - mean) * (f->x[i] - mean);
  return 1 / sqrt(sum / (double)f->n + EPS);
}

static double rms_norm_value(const forward *f) {
  double factor = norm_factor(f, 0), sum = 0;
  for (size_t i = 0; i < f->n; i++) sum += f->x[i] * factor * f->weight[i] * f->dy[i];
  return sum;
}

static double mean_of(const forward *f) {
  double sum = 0;
  for (size_t i = 0; i < f->n; i++) sum += f->x[i];
  return sum / (double)f->n;
}

static double layer_norm_value(const forward *f) {
  double mean = mean_of(f), factor = norm_factor(f, mean), sum = 0;
  for (size_t i = 0; i < f->n; i++) sum += (f->x[i] - mean) * factor * f->weight[i] * f->dy[i];
  return sum;
}

/* Sums of n terms in 8 lanes carry about n / 8 + 3 roundings, of terms that are at most 4 * 4
 * (gradients) * 8 (x - mean) * factor^2, and what they make is multiplied by the factor. */
static void norms_have_the_derivatives_of_central_differences(void **state) {
  (void)state;
  static forward f;
  float x[MOST], weight[MOST], dy[MOST], dx[MOST], dw[MOST], mean;
  uint64_t seed = 3;
  const hb_train_kernels *k = scalar_table();
  for (size_t n = 1; n && n < 1000; n = next_length(n))
    for (int layer = 0; layer < 2; layer++)
      for (int weighted = 0; weighted < 2; weighted++) {
        fill(x, n, USUAL, &seed);
        fill(weight, n, USUAL, &seed);
        fill(dy, n, USUAL, &seed);
        for (size_t i = 0; i < n; i++) weight[i] = weighted ? weight[i] : 1.0f;
        f = (forward){.value = layer ? layer_norm_value : rms_norm_value, .n = n};
        widen(f.x, x, n), widen(f.weight, weight, n), widen(f.dy, dy, n);
        for (size_t i = 0; i < n; i++) dx[i] = 2.0f, dw[i] = -1.0f;
        const float *w = weighted ? weight : NULL;
        mean = 0.0f;
        float factor = layer ? k->layer_norm_back(x, w, dy, EPS, n, dx, &mean)
                             : k->rms_norm_back(x, w, dy, EPS, n, dx);
        k->norm_weight_back(x, dy, mean, factor, n, dw);
        double exact = norm_factor(&f, layer ? mean_of(&f) : 0);
        double rounding = ((double)n / 8 + 20) * ULP;
        double error = 2e-9 + rounding * exact * 16 * (2 + 8 * exact * exact);
        expect_close("mean", n, mean, layer ? mean_of(&f) : 0, 4 * rounding);
        expect_close("factor", n, factor, exact, exact * (1 + 8 * exact) * rounding);
        for (size_t i = 0; i < n; i++) {
          expect_close("dx", n, dx[i] - 2.0f, slope(&f, &f.x[i]), error + 4 * ULP);
          expect_close("dw", n, dw[i] + 1.0f, slope(&f, &f.weight[i]), error + 4 * ULP);
        }
      }
}

static double silu_double(double x) {
  return x / (1 + exp(-x));
}

static double gelu_double(double x) {
  return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

static double activation_slope(double (*f)(double), double x) {
  return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5;
}

/* exp multiplies the roundings of its argument t by |t|; where |t| is large, x s (1 - s) dt/dx is
 * small: t^2 exp(-|t|) has its maximum below 1, and roundings are few. */
static void activations_have_the_derivatives_of_central_differences(void **state) {
  (void)state;
  const hb_train_kernels *k = scalar_table();
  float up = 1.5f, dy = -0.75f, dgate, dup;
  for (int i = -2000; i <= 2000; i++) {
    float x = (float)i * 0.0111f;
    double error = 2e-9 + 40 * ULP;
    k->silu_mul_back(&x, &up, &dy, 1, &dgate, &dup);
    expect_close("silu gate", 1, dgate, activation_slope(silu_double, x) * up * dy, error);
    expect_close("silu up", 1, dup, silu_double(x) * dy, (1 + fabs(x)) * 8 * ULP);
    k->gelu_mul_back(&x, &up, &dy, 1, &dgate, &dup);
    expect_close("gelu gate", 1, dgate, activation_slope(gelu_double, x) * up * dy, error);
    expect_close("gelu up", 1, dup, gelu_double(x) * dy, (1 + fabs(x)) * 8 * ULP);
    k->gelu_back(&x, &dy, 1, &dup);
    expect_close("gelu", 1, dup, activation_slope(gelu_double, x) * dy, error);
  }
}

static void activations_have_derivatives_at_the_ends(void **state) {
  (void)state;
  const hb_train_kernels *k = scalar_table();
  static const float large[] = {100.0f, 1e4f, 1e19f, 1e30f, 3e38f};
  const float one = 1.0f;
  for (size_t i = 0; i < 5; i++) {
    float x = large[i], minus = -x, dgate, dup;
    k->gelu_mul_back(&x, &one, &one, 1, &dgate, &dup);
    assert_true(dgate == 1.0f && dup == x);
    k->gelu_mul_back(&minus, &one, &one, 1, &dgate, &dup);
    assert_true(dgate == 0.0f && dup == 0.0f);
    k->silu_mul_back(&x, &one, &one, 1, &dgate, &dup);
    assert_true(dgate == 1.0f && dup == x);
    k->silu_mul_back(&minus, &one, &one, 1, &dgate, &dup);
    assert_true(dgate == 0.0f && dup == 0.0f);
  }
}

/* ---- Attention ---- */

static const float score_scale = 0.35f;

static double softmax_sum(const double *x, size_t first, size_t end, double factor, double max) {
  double sum = 0;
  for (size_t i = first; i < end; i++) sum += exp((x[i] - max) * factor);
  return sum;
}

static double attention_value(const forward *f) {
  double sum = softmax_sum(f->x, f->first, f->end, score_scale, 0), value = 0;
  for (size_t i = f->first; i < f->end; i++) value += exp(f->x[i] * score_scale) / sum * f->dy[i];
  return value;
}

static void check_attention(size_t n, size_t first, size_t end, uint64_t *seed) {
  static forward f;
  float x[MOST], p[MOST], dp[MOST];
  const hb_train_kernels *k = scalar_table();
  fill(x, n, USUAL, seed);
  fill(dp, n, USUAL, seed);
  memcpy(p, x, n * sizeof *p);
  f = (forward){.value = attention_value, .n = n, .first = first, .end = end};
  widen(f.x, x, n), widen(f.dy, dp, n);
  k->attention(p, score_scale, first, end, n);
  k->attention_back(p, score_scale, first, end, n, dp);
  double sum = softmax_sum(f.x, first, end, score_scale, 0);
  double error = ((double)n / 8 + 20) * ULP;
  for (size_t i = 0; i < n; i++) {
    bool seen = i >= first && i < end;
    double expected = seen ? exp(f.x[i] * score_scale) / sum : 0;
    expect_close("p", n, p[i], expected, expected * error);
    expect_close("dp", n, dp[i], seen ? slope(&f, &f.x[i]) : 0, seen ? 2e-9 + 16 * error : 0);
  }
}

static void attention_sees_its_window_alone(void **state) {
  (void)state;
  uint64_t seed = 4;
  for (size_t n = 1; n && n < 1000; n = next_length(n)) {
    check_attention(n, 0, n, &seed);
    check_attention(n, 0, (n + 1) / 2, &seed);
    check_attention(n, n / 3, n - n / 4, &seed);
    check_attention(n, n - 1, n, &seed);
    check_attention(n, n / 2, n / 2, &seed);
  }
  float x[3] = {1.0f, 2.0f, 3.0f};
  scalar_table()->attention(x, 1.0f, 2, 1, 3);
  assert_true(x[0] == 0 && x[1] == 0 && x[2] == 0);
}

/* ---- The loss ---- */

static double log_of_sum(const double *x, size_t n, double factor) {
  double max = x[0];
  for (size_t i = 1; i < n; i++) max = fmax(max, x[i]);
  return max * factor + log(softmax_sum(x, 0, n, factor, max));
}

/* weight: the teacher's logits */
static double loss_value(const forward *f) {
  const hb_loss *l = f->loss;
  double value = 0, factor = 1.0 / l->temperature;
  if (f->target >= 0) {
    double log_sum = log_of_sum(f->x, f->n, 1);
    value += l->target * (log_sum - f->x[f->target]) + l->z * log_sum * log_sum;
  }
  if (l->teacher != 0) {
    double of_x = log_of_sum(f->x, f->n, factor), of_y = log_of_sum(f->weight, f->n, factor);
    for (size_t i = 0; i < f->n; i++) {
      double log_p = f->x[i] * factor - of_x, log_q = f->weight[i] * factor - of_y;
      value += l->teacher * l->temperature * l->temperature * exp(log_q) * (log_q - log_p);
    }
  }
  return value;
}

/* Sums of n exponentials carry n / 8 + 3 roundings; exponents of at most 8 pass on 8 of their own,
 * and differences of logits are at most 8, too. */
static void check_loss(const hb_loss *l, int32_t target, size_t n, size_t stride, uint64_t *seed) {
  static forward f;
  static float x[MOST], y[MOST], dx[MOST];
  const float factor = 0.25f;
  float entropy;
  fill(x, n, USUAL, seed);
  fill(y, n, USUAL, seed);
  f = (forward){.value = loss_value, .n = n, .loss = l, .target = target};
  widen(f.x, x, n), widen(f.weight, y, n);
  float value =
      scalar_table()->loss(x, l->teacher != 0 ? y : NULL, l, target, factor, n, dx, &entropy);
  double t = l->temperature, error = ((double)n / 8 + 40) * ULP;
  double log_sum = log_of_sum(f.x, n, 1), weights = l->target + 2 * fabs(l->z * log_sum);
  expect_close("loss", n, value, f.value(&f), (8 * weights + 16 * l->teacher * t * t) * error);
  expect_close("entropy", n, entropy, target < 0 ? 0 : log_sum - x[target], 8 * error);
  for (size_t i = 0; i < n; i += stride)
    expect_close("dx", n, dx[i], factor * slope(&f, &f.x[i]),
                 1e-9 + factor * (weights + l->teacher * t) * error);
}

static void losses_have_the_derivatives_of_central_differences(void **state) {
  (void)state;
  uint64_t seed = 5;
  for (int i = 0; i < LOSSES; i++)
    for (size_t n = 1; n; n = next_length(n)) {
      check_loss(&losses[i], (int32_t)(n - 1), n, n / 40 + 1, &seed);
      check_loss(&losses[i], (int32_t)(n / 2), n, n / 40 + 1, &seed);
      check_loss(&losses[i], -1, n, n / 40 + 1, &seed);
    }
}

static void a_student_that_knows_as_much_has_nothing_to_learn(void **state) {
  (void)state;
  enum { N = 333 };
  float x[N], dx[N], entropy;
  uint64_t seed = 6;
  fill(x, N, USUAL, &seed);
  for (int i = 2; i < 4; i++) {
    float value = scalar_table()->loss(x, x, &losses[i], -1, 1.0f, N, dx, &entropy);
    assert_true(value == 0.0f && entropy == 0.0f);
    for (int j = 0; j < N; j++) assert_true(dx[j] == 0.0f);
  }
}

static void tokens_that_the_teacher_excludes_cost_nothing(void **state) {
  (void)state;
  const float x[3] = {0.0f, 0.0f, 0.0f}, y[3] = {0.0f, -INFINITY, 0.0f};
  float dx[3], entropy;
  float value = scalar_table()->loss(x, y, &losses[2], -1, 1.0f, 3, dx, &entropy);
  expect_close("loss", 3, value, log(1.5), 1e-6);
  expect_close("dx", 3, dx[1], 1.0 / 3, 1e-6);
}

static void a_large_vocabulary_loses_no_precision(void **state) {
  (void)state;
  enum { N = 150001 };
  float *x = malloc(N * sizeof *x), entropy;
  assert_non_null(x);
  uint64_t seed = 7;
  fill(x, N, USUAL, &seed);
  double sum = 0, left = 0, logit = x[N - 1];
  for (int i = 0; i < N; i++) sum += exp(x[i]);
  const hb_train_kernels *k = hb_train_kernels_for(hb_isa_best());
  float value = k->loss(x, NULL, &losses[0], N - 1, 1.0f, N, x, &entropy);
  for (int i = 0; i < N; i++) left += x[i];
  expect_close("loss", N, value, log(sum) - logit, 1e-5);
  expect_close("sum of dx", N, (float)left, 0, 1e-5);
  free(x);
}

/* ---- AdamW ---- */

static void adamw_follows_double_precision(void **state) {
  (void)state;
  enum { N = 37, STEPS = 30 };
  float value[N], m[N] = {0}, v[N] = {0}, gradient[N];
  double value_d[N], m_d[N] = {0}, v_d[N] = {0};
  uint64_t seed = 8;
  fill(value, N, USUAL, &seed);
  widen(value_d, value, N);
  hb_adamw a = usual_step;
  for (int step = 1; step <= STEPS; step++) {
    double correct1 = 1 / (1 - pow(a.beta1, step)), correct2 = 1 / (1 - pow(a.beta2, step));
    a.correct1 = (float)correct1;
    a.correct2 = (float)correct2;
    fill(gradient, N, USUAL, &seed);
    for (int i = 0; i < N; i++) {
      double g = (double)gradient[i] * a.scale;
      m_d[i] = a.beta1 * m_d[i] + (1.0 - a.beta1) * g;
      v_d[i] = a.beta2 * v_d[i] + (1.0 - a.beta2) * g * g;
      value_d[i] -= a.rate * (m_d[i] * correct1 / (sqrt(v_d[i] * correct2) + a.epsilon) +
                              a.decay * value_d[i]);
    }
    scalar_table()->adamw(&a, gradient, N, value, m, v);
  }
  for (int i = 0; i < N; i++) {
    expect_close("m", N, m[i], m_d[i], 2 * 10 * 4 * ULP); /* the mean of 10 gradients below 2 */
    expect_close("v", N, v[i], v_d[i], 4 * 20 * 4 * ULP);
    expect_close("value", N, value[i], value_d[i], STEPS * (4 + a.rate * 80) * ULP);
  }
}

static void adamw_without_rate_moves_the_moments_alone(void **state) {
  (void)state;
  float value = 3.0f, m = 1.0f, v = 4.0f, gradient = -2.0f;
  hb_adamw a = usual_step;
  a.rate = 0.0f;
  scalar_table()->adamw(&a, &gradient, 1, &value, &m, &v);
  assert_true(value == 3.0f);
  expect_close("m", 1, m, 0.8, 1e-6);
  expect_close("v", 1, v, 3.85, 1e-6);
}

/* ---- Sums and what is no number ---- */

static void sums_agree_with_double(void **state) {
  (void)state;
  static float a[MOST], b[MOST], out[MOST];
  uint64_t seed = 9;
  const hb_train_kernels *k = scalar_table();
  for (size_t n = 1; n; n = next_length(n)) {
    double product = 0, square = 0;
    fill(a, n, USUAL, &seed);
    fill(b, n, USUAL, &seed);
    for (size_t i = 0; i < n; i++) product += (double)a[i] * b[i], square += (double)a[i] * a[i];
    expect_close("dot", n, k->dot(a, b, n), product, (double)n * 16 * ((double)n / 8 + 4) * ULP);
    assert_true(fabs(k->squares(a, n) - square) <= square * (double)n * 0x1p-53);
    k->multiply_add(a, b, -0.3f, n, out);
    for (size_t i = 0; i < n; i++) assert_true(out[i] == a[i] + b[i] * -0.3f);
  }
  fill(a, MOST, HUGE_ONES, &seed);
  assert_true(isfinite(k->squares(a, MOST)));
}

/* Any one NaN among the inputs shows in every result that depends on it. */
static void nan_stay_visible(void **state) {
  (void)state;
  enum { N = 29 };
  static inputs in, broken;
  static outputs out;
  uint64_t seed = 10;
  fill(in.a, MOST, USUAL, &seed);
  fill(in.b, MOST, USUAL, &seed);
  fill(in.c, MOST, USUAL, &seed);
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    const hb_train_kernels *k = hb_train_kernels_for((hb_isa)isa);
    if (!k) continue;
    for (size_t at = 6; at < 20; at += 13) { /* inside of the windows */
      broken = in;
      broken.a[at + 1] = NAN;
      for (int which = 0; run_kernel(k, which, &broken, N, &out); which++) {
        if (which == 7) assert_true(isnan(k->squares(broken.a + 1, N)));
        if (which == 13 || which == 14 || which == 19) continue; /* `a` is a result's old value */
        bool whole = which < 4 || which == 6 || which == 11 || which == 12 || which >= 15;
        if (which != 6 && which != 7) assert_true(isnan(out.x[0][at]));
        if (which < 4 || which == 6 || which >= 15) assert_true(isnan(out.scalars[0]));
        if (whole && which != 6) assert_true(isnan(out.x[0][8]));
      }
      broken = in;
      broken.b[at + 2] = NAN;
      for (int which = 0; run_kernel(k, which, &broken, N, &out); which++)
        if (which == 13 || which == 14 || (which >= 16 && which <= 18)) {
          assert_true(isnan(out.x[0][8]) && isnan(out.x[0][at]));
        } else if (which == 19) {
          assert_true(isnan(out.x[1][at]) && isnan(out.x[2][at]) && !isnan(out.x[2][8]));
        }
      broken = in;
      broken.c[at + 3] = NAN;
      run_kernel(k, 19, &broken, N, &out);
      assert_true(isnan(out.x[0][at]) && isnan(out.x[1][at]) && isnan(out.x[2][at]));
    }
  }
}

static void a_token_without_target_leaves_no_gradient(void **state) {
  (void)state;
  enum { N = 21 };
  float x[N], dx[N], entropy = 5.0f;
  uint64_t seed = 11;
  fill(x, N, USUAL, &seed);
  assert_true(scalar_table()->loss(x, NULL, &losses[1], -1, 1.0f, N, dx, &entropy) == 0.0f);
  assert_true(entropy == 0.0f);
  for (int i = 0; i < N; i++) assert_true(dx[i] == 0.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_isa_gives_the_bits_of_the_scalar_definition),
      cmocka_unit_test(results_may_replace_their_input),
      cmocka_unit_test(norms_have_the_derivatives_of_central_differences),
      cmocka_unit_test(activations_have_the_derivatives_of_central_differences),
      cmocka_unit_test(activations_have_derivatives_at_the_ends),
      cmocka_unit_test(attention_sees_its_window_alone),
      cmocka_unit_test(losses_have_the_derivatives_of_central_differences),
      cmocka_unit_test(a_student_that_knows_as_much_has_nothing_to_learn),
      cmocka_unit_test(tokens_that_the_teacher_excludes_cost_nothing),
      cmocka_unit_test(a_large_vocabulary_loses_no_precision),
      cmocka_unit_test(adamw_follows_double_precision),
      cmocka_unit_test(adamw_without_rate_moves_the_moments_alone),
      cmocka_unit_test(sums_agree_with_double),
      cmocka_unit_test(nan_stay_visible),
      cmocka_unit_test(a_token_without_target_leaves_no_gradient),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
