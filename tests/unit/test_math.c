/* The elementary functions of kernel/math.c against the C library in a wider type. */
#include "kernel/kernel.h"
#include "kernel/fpstate.h"
#include "base/half.h"
#include "support.h"

#include <float.h>
#include <math.h>

/* Distance in units of the last place of `want` as a float, down to the subnormals' unit. */
static double ulps_f32(float got, double want) {
  int exponent;
  frexp(want, &exponent);
  return fabs((double)got - want) / ldexp(1.0, exponent < -125 ? -149 : exponent - 24);
}

static double ulps_f64(double got, long double want) {
  int exponent;
  frexpl(want, &exponent);
  return (double)(fabsl((long double)got - want) /
                  ldexpl(1.0L, exponent < -1021 ? -1074 : exponent - 53));
}

static double larger_of(double a, double b) {
  return a > b ? a : b;
}

/* A double whose logarithm is spread evenly over low..high, from a counter. */
static double spread(uint32_t i, uint32_t count, double low, double high) {
  double fraction = (i + 0.618033988749895 * ((i * 2654435761u) >> 16) / 65536.0) / count;
  return exp(low + (high - low) * fraction);
}

static void expf_is_within_1_ulp_over_all_floats(void **state) {
  (void)state;
  double worst = 0;
  for (uint64_t u = 0; u <= UINT32_MAX; u += 4093) {
    float x = hb_f32_of_bits((uint32_t)u);
    double want = exp((double)x);
    if (isnan(x))
      assert_true(isnan(hb_expf(x)));
    else if ((float)want == INFINITY)
      assert_true(hb_expf(x) == INFINITY);
    else if (x < -87.0f)
      assert_true(hb_expf(x) == 0.0f);
    else
      worst = larger_of(worst, ulps_f32(hb_expf(x), want));
  }
  print_message("hb_expf: %.3f ulp\n", worst);
  assert_true(worst < 1.0);
  assert_true(hb_expf(0.0f) == 1.0f);
  assert_true(hb_expf(-INFINITY) == 0.0f);
  assert_true(hb_expf(INFINITY) == INFINITY);
}

static void logf_is_correctly_rounded_almost_always(void **state) {
  (void)state;
  double worst = 0;
  for (uint32_t u = 1; u < 0x7f800000u; u += 2039) {
    float x = hb_f32_of_bits(u);
    worst = larger_of(worst, ulps_f32(hb_logf(x), log((double)x)));
  }
  print_message("hb_logf: %.6f ulp\n", worst);
  assert_true(worst < 0.500001);
  assert_true(hb_logf(1.0f) == 0.0f);
  assert_true(hb_logf(0.0f) == -INFINITY);
  assert_true(hb_logf(INFINITY) == INFINITY);
  assert_true(isnan(hb_logf(-1.0f)) && isnan(hb_logf(NAN)));
}

static void tanhf_is_within_2_ulp_over_all_floats(void **state) {
  (void)state;
  double worst = 0;
  for (uint64_t u = 0; u <= UINT32_MAX; u += 4093) {
    float x = hb_f32_of_bits((uint32_t)u);
    if (isnan(x))
      assert_true(isnan(hb_tanhf(x)));
    else
      worst = larger_of(worst, ulps_f32(hb_tanhf(x), tanh((double)x)));
  }
  print_message("hb_tanhf: %.3f ulp\n", worst);
  assert_true(worst < 2.0);
  assert_true(hb_tanhf(INFINITY) == 1.0f && hb_tanhf(-INFINITY) == -1.0f);
  assert_true(signbit(hb_tanhf(-0.0f)));
}

static void exp_is_within_1_ulp(void **state) {
  (void)state;
  double worst = 0;
  for (uint32_t i = 0; i < 100000; i++) {
    double x = spread(i, 100000, -40, log(745.0));
    if (x < 709.7) worst = larger_of(worst, ulps_f64(hb_exp(x), expl(x)));
    worst = larger_of(worst, ulps_f64(hb_exp(-x), expl(-x)));
  }
  print_message("hb_exp: %.3f ulp\n", worst);
  assert_true(worst < 1.0);
  assert_true(hb_exp(0.0) == 1.0);
  assert_true(hb_exp(INFINITY) == INFINITY && hb_exp(1e300) == INFINITY);
  assert_true(hb_exp(-INFINITY) == 0.0 && hb_exp(-1e300) == 0.0);
  assert_true(isnan(hb_exp(NAN)));
}

static void log_is_within_a_hair_of_half_an_ulp(void **state) {
  (void)state;
  double worst = 0;
  for (uint32_t i = 0; i < 100000; i++) {
    double x = spread(i, 100000, -744, 709);
    worst = larger_of(worst, ulps_f64(hb_log(x), logl(x)));
    double near_one = spread(i, 100000, -1, 1);
    worst = larger_of(worst, ulps_f64(hb_log(near_one), logl(near_one)));
  }
  print_message("hb_log: %.4f ulp\n", worst);
  assert_true(worst < 0.54);
  assert_true(hb_log(1.0) == 0.0);
  assert_true(hb_log(0.0) == -INFINITY && hb_log(INFINITY) == INFINITY);
  assert_true(isnan(hb_log(-1.0)) && isnan(hb_log(NAN)));
}

static void pow_is_within_2_ulp(void **state) {
  (void)state;
  double worst = 0;
  for (uint32_t i = 0; i < 100000; i++) {
    double base = spread(i, 100000, -20, 20);
    double exponent = 60.0 * sin(i * 12.9898);
    if (fabs(exponent * log(base)) < 700)
      worst = larger_of(worst, ulps_f64(hb_pow(base, exponent), powl(base, exponent)));
  }
  static const double theta[] = {10000, 100000, 500000, 1000000};
  for (size_t t = 0; t < 4; t++)
    for (int i = 0; i < 128; i++) {
      double exponent = -2.0 * i / 256;
      worst = larger_of(worst, ulps_f64(hb_pow(theta[t], exponent), powl(theta[t], exponent)));
    }
  print_message("hb_pow: %.3f ulp\n", worst);
  assert_true(worst < 2.0);
  assert_true(hb_pow(3.0, 0.0) == 1.0 && hb_pow(1.0, 1e300) == 1.0);
  assert_true(hb_pow(2.0, 10.0) == 1024.0 && hb_pow(10000.0, 0.5) == 100.0);
  assert_true(hb_pow(10.0, 1e6) == INFINITY && hb_pow(10.0, -1e6) == 0.0);
}

static double worst_of_sincos(double angle) {
  double sine, cosine;
  hb_sincos(angle, &sine, &cosine);
  return larger_of(ulps_f64(sine, sinl(angle)), ulps_f64(cosine, cosl(angle)));
}

static void sincos_is_within_1_ulp_up_to_2_to_31(void **state) {
  (void)state;
  double worst = 0;
  for (uint32_t i = 0; i < 100000; i++) {
    double angle = spread(i, 100000, -30, log(0x1p31));
    worst = larger_of(worst, worst_of_sincos(angle));
    worst = larger_of(worst, worst_of_sincos(-angle));
  }
  /* The doubles nearest to a multiple of pi/2, where nearly all digits cancel. */
  for (uint32_t n = 1; n < 1367130000u; n += 13671) {
    double angle = (double)(n * 1.57079632679489661923132169163975144L);
    worst = larger_of(worst, worst_of_sincos(angle));
  }
  print_message("hb_sincos: %.3f ulp\n", worst);
  assert_true(worst < 1.0);
}

static void rope_angles_are_right_at_position_131071(void **state) {
  (void)state;
  static const double theta[] = {10000, 100000, 500000, 1000000};
  double worst = 0;
  for (size_t t = 0; t < 4; t++)
    for (int i = 0; i < 128; i++) {
      double frequency = hb_pow(theta[t], -2.0 * i / 256);
      long double exact = 131071.0L * powl(theta[t], -2.0L * i / 256);
      worst = larger_of(worst, worst_of_sincos(131071.0 * frequency));
      /* And against the exact angle: what a table in f32 would hold. */
      double sine, cosine;
      hb_sincos(131071.0 * frequency, &sine, &cosine);
      assert_true(fabsl(sine - sinl(exact)) < 3e-11L);
      assert_true(fabsl(cosine - cosl(exact)) < 3e-11L);
    }
  assert_true(worst < 1.0);
}

static void sqrtf_is_correctly_rounded(void **state) {
  (void)state;
  for (uint32_t u = 0; u < 0x7f800000u; u += 4093) {
    float x = hb_f32_of_bits(u);
    /* The double root of a float, rounded, is the rounded root: 53 >= 2 * 24 + 2. */
    assert_true(hb_sqrtf(x) == (float)sqrt((double)x));
  }
  assert_true(isnan(hb_sqrtf(-1.0f)));
  assert_true(hb_sqrtf(INFINITY) == INFINITY);
}

/* Half of the smallest normal float, computed here and now: volatile keeps the product in its place
 * among the changes of mode. */
static float half_of_smallest(void) {
  volatile float smallest = FLT_MIN, half = 0.5f;
  volatile float product = smallest * half;
  return product;
}

static void fp_enter_keeps_subnormals_and_fp_leave_restores(void **state) {
  (void)state;
  hb_fp_state outer = hb_fp_enter();
#if defined(__SSE2__)
  _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)1 << 24) : "memory");
#endif
  float flushed = half_of_smallest();
  hb_fp_state flushing = hb_fp_enter();
  float kept = half_of_smallest();
  hb_fp_leave(flushing);
  float flushed_again = half_of_smallest();
  hb_fp_leave(outer);
#if defined(__SSE2__) || defined(__aarch64__)
  assert_true(hb_bits_of_f32(flushed) == 0);
  assert_true(hb_bits_of_f32(flushed_again) == 0);
#else
  (void)flushed, (void)flushed_again;
#endif
  assert_true(hb_bits_of_f32(kept) == 0x00400000u);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(expf_is_within_1_ulp_over_all_floats),
      cmocka_unit_test(logf_is_correctly_rounded_almost_always),
      cmocka_unit_test(tanhf_is_within_2_ulp_over_all_floats),
      cmocka_unit_test(exp_is_within_1_ulp),
      cmocka_unit_test(log_is_within_a_hair_of_half_an_ulp),
      cmocka_unit_test(pow_is_within_2_ulp),
      cmocka_unit_test(sincos_is_within_1_ulp_up_to_2_to_31),
      cmocka_unit_test(rope_angles_are_right_at_position_131071),
      cmocka_unit_test(sqrtf_is_correctly_rounded),
      cmocka_unit_test(fp_enter_keeps_subnormals_and_fp_leave_restores),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
