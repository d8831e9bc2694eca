/* Elementary functions from + - * / alone, so that they give the same bits on every target. The
 * methods are the classical ones of Cody and Waite and of Sun's fdlibm: reduce the argument in two
 * or more pieces, sum a short series, put the pieces back together with the low part last. */
#include "kernel/kernel.h"
#include "kernel/lanes_scalar.h"
#include "kernel/expf.inc"

#include <float.h>
#include <math.h> /* INFINITY and NAN; no function */

_Static_assert(FLT_EVAL_METHOD == 0, "float arithmetic must round to float");

#define LN2_HIGH 0x1.62e42fefa38p-1 /* 42 bits: exact times an exponent */
#define LN2_LOW 0x1.ef35793c7673p-45
#define ROUND_TO_INTEGER 0x1.8p52 /* adding it leaves the integer in the low bits */

static uint64_t bits_of(double x) {
  uint64_t u;
  memcpy(&u, &x, 8);
  return u;
}

static double double_of(uint64_t u) {
  double x;
  memcpy(&x, &u, 8);
  return x;
}

/* An unevaluated sum; |low| is about an ulp of high or less. */
typedef struct {
  double high, low;
} pair;

/* a + b exactly, for |a| >= |b|. */
static pair fast_two_sum(double a, double b) {
  double sum = a + b;
  return (pair){sum, b - (sum - a)};
}

/* a + b exactly. */
static pair two_sum(double a, double b) {
  double sum = a + b;
  double of_b = sum - a;
  return (pair){sum, (a - (sum - of_b)) + (b - of_b)};
}

/* a * b exactly (Dekker), for magnitudes well inside the range. */
static pair two_product(double a, double b) {
  double a_split = a * 0x1.0000002p27, b_split = b * 0x1.0000002p27;
  double a_high = a_split - (a_split - a), b_high = b_split - (b_split - b);
  double a_low = a - a_high, b_low = b - b_high;
  double product = a * b;
  return (pair){product,
                ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
}

/* ---- f32 ---- */

float hb_expf(float x) {
  return wide_exp(wide_set1(x)).lane[0];
}

float hb_tanhf(float x) {
  return wide_tanh(wide_set1(x)).lane[0];
}

float hb_logf(float x) {
  return (float)hb_log((double)x);
}

float hb_sqrtf(float x) {
  return __builtin_sqrtf(x); /* an instruction: the core is compiled with -fno-math-errno */
}

/* ---- exp ---- */

/* exp(high + low) */
static double exp_of_pair(double x, double low) {
  if (x != x) return x;
  if (x > 710.0) x = 710.0;   /* infinity */
  if (x < -746.0) x = -746.0; /* 0 */
  double shifted = x * 0x1.71547652b82fep+0 + ROUND_TO_INTEGER;
  double n = shifted - ROUND_TO_INTEGER;
  /* |r| <= ln2 / 2; the first difference is exact. */
  pair r = two_sum(x - n * LN2_HIGH, low - n * LN2_LOW);
  double z = r.high, series = 0;
  static const double inverse_factorial[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
      1.0 / 5040,       1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2};
  for (int i = 0; i < 12; i++) series = series * z + inverse_factorial[i];
  double value = 1.0 + (z + (z * z * series + (r.low + r.low * z)));
  int64_t power = (int64_t)n;
  int64_t half = power / 2;
  return value * double_of((uint64_t)(half + 1023) << 52) *
         double_of((uint64_t)(power - half + 1023) << 52);
}

double hb_exp(double x) {
  return exp_of_pair(x, 0);
}

/* ---- log ---- */

/* log x for finite x > 0, to about 2^-57 of it. x = m 2^e with m in [sqrt(1/2), sqrt(2)),
 * log m = 2 atanh(s), s = (m - 1) / (m + 1). */
static pair log_of(double x) {
  int64_t exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  uint64_t bits = bits_of(x) + (0x3ff0000000000000u - 0x3fe6a09e00000000u);
  exponent += (int64_t)(bits >> 52) - 1023;
  double m = double_of((bits & 0x000fffffffffffffu) + 0x3fe6a09e00000000u);

  double f = m - 1.0; /* exact */
  pair divisor = fast_two_sum(2.0, f);
  double s = f / divisor.high;
  pair back = two_product(s, divisor.high);
  double s_low = ((f - back.high) - back.low - s * divisor.low) / divisor.high;

  double z = s * s, series = 0;
  for (int k = 23; k >= 3; k -= 2) series = series * z + 2.0 / k;
  pair sum = fast_two_sum(2.0 * s, 2.0 * s_low + s * z * series);

  double e = (double)exponent;
  pair whole = two_sum(e * LN2_HIGH, sum.high);
  return fast_two_sum(whole.high, whole.low + (e * LN2_LOW + sum.low));
}

double hb_log(double x) {
  if (!(x > 0)) return x == 0 ? -(double)INFINITY : (double)NAN;
  if (x > DBL_MAX) return x;
  return log_of(x).high;
}

double hb_pow(double base, double exponent) {
  if (exponent == 0 || base == 1.0) return 1.0;
  if (!(base > 0 && base <= DBL_MAX)) return hb_exp(exponent * hb_log(base));
  pair log = log_of(base);
  pair product = two_product(exponent, log.high);
  if (!(product.high > -1000.0 && product.high < 1000.0)) return hb_exp(exponent * log.high);
  return exp_of_pair(product.high, product.low + exponent * log.low);
}

/* ---- sin and cos ---- */

/* angle - n pi/2, to about 2^-110. pi/2 comes in pieces of 22 bits: times an n of 31 bits each is
 * exact, and so are the first differences. */
static pair reduce_angle(double angle, double n) {
  double a = angle - n * 0x1.921fbp+0;
  double b = a - n * 0x1.5110bp-22;
  pair r = two_sum(b, -n * 0x1.184698p-44);
  pair t = two_sum(r.high, -n * 0x1.3198ap-69);
  return fast_two_sum(t.high, t.low + (r.low - n * 0x1.701b839a25205p-92));
}

void hb_sincos(double angle, double *sine, double *cosine) {
  double shifted = angle * 0x1.45f306dc9c883p-1 + ROUND_TO_INTEGER;
  pair r = reduce_angle(angle, shifted - ROUND_TO_INTEGER);
  double x = r.high, z = x * x;

  double odd = 0, even = 0; /* the series after x and after 1 - z / 2 */
  static const double sine_term[] = {
      1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
      1.0 / 362880,          -1.0 / 5040,          1.0 / 120,        -1.0 / 6};
  static const double cosine_term[] = {
      1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800,
      1.0 / 40320,          -1.0 / 720,         1.0 / 24};
  for (int i = 0; i < 8; i++) odd = odd * z + sine_term[i];
  for (int i = 0; i < 7; i++) even = even * z + cosine_term[i];

  double half = 0.5 * z;
  double s = x + (x * z * odd + (r.low - r.low * half));
  double w = 1.0 - half;
  double c = w + (((1.0 - w) - half) + (z * z * even - x * r.low));

  uint64_t quadrant = bits_of(shifted) & 3;
  double first = quadrant & 1 ? c : s, second = quadrant & 1 ? s : c;
  *sine = quadrant & 2 ? -first : first;
  *cosine = quadrant == 1 || quadrant == 2 ? -second : second;
}
