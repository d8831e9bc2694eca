/* The sampler against a plain one: sort everything, filter, and compare what is drawn, and how
 * often.
 */
#include "gguf_support.h"

#include <math.h>

enum { MAX_VOCABULARY = 300, LARGE_VOCABULARY = 5000, DRAWS = 5000, MAX_TEXT = 200 };

static hb_sampler *open_sampler(uint32_t vocabulary, hb_sampler_options options) {
  hb_sampler *s;
  hb_error error = {0};
  if (hb_sampler_create(NULL, vocabulary, &options, &s, &error) != HB_OK)
    fail_msg("%s", error.message);
  return s;
}

/* A draw from logits that are left as they are. */
static hb_token draw(hb_sampler *s, const float *logits, uint32_t vocabulary, float *logprob) {
  float copy[LARGE_VOCABULARY];
  memcpy(copy, logits, vocabulary * sizeof *copy);
  return hb_sampler_sample(s, copy, logprob);
}

/* Some uneven logits, without ties. */
static void make_logits(float *logits, uint32_t vocabulary, uint32_t seed) {
  for (uint32_t i = 0; i < vocabulary; i++) {
    seed = seed * 1664525 + 1013904223;
    logits[i] = (float)(seed >> 8) * 0x1p-24f * 8 - 4 + (float)i * 1e-6f;
  }
}

/* ---- The plain sampler ---- */

typedef struct plain {
  double logit, probability;
  hb_token token;
} plain;

static int likelier(const void *a, const void *b) {
  const plain *x = a, *y = b;
  if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
  return x->token < y->token ? -1 : 1;
}

static int lesser_token(const void *a, const void *b) {
  const plain *x = a, *y = b;
  return x->token < y->token ? -1 : 1;
}

/* The logits with biases, then penalties for the tokens of a text, as a list. */
static void plain_logits(const hb_sampler_options *o, const float *logits, uint32_t n,
                         const hb_token *text, size_t length, plain *list) {
  size_t window = o->penalty_window ? o->penalty_window : 64;
  size_t from = length > window ? length - window : 0;
  for (uint32_t i = 0; i < n; i++) list[i] = (plain){logits[i], 0, (hb_token)i};
  for (size_t i = 0; i < o->bias_count; i++) list[o->biases[i].token].logit += o->biases[i].bias;
  for (uint32_t i = 0; i < n; i++) {
    double *logit = &list[i].logit, times = 0;
    for (size_t at = from; at < length; at++) times += text[at] == (hb_token)i;
    if (times == 0) continue;
    *logit = *logit > 0 ? *logit / (double)o->repetition_penalty
                        : *logit * (double)o->repetition_penalty;
    *logit -= times * (double)o->frequency_penalty + (double)o->presence_penalty;
  }
}

/* Keeps what the filters keep of a list, likeliest first, with probabilities that sum to 1; returns
 * how many they are. */
static uint32_t plain_filter(const hb_sampler_options *o, plain *list, uint32_t n) {
  double sum = 0, reached = 0;
  qsort(list, n, sizeof *list, likelier);
  if (o->top_k > 0 && o->top_k < n) n = o->top_k;
  for (uint32_t i = 0; i < n; i++)
    sum += list[i].probability = exp((list[i].logit - list[0].logit) / (double)o->temperature);
  for (uint32_t i = 0; i < n && o->top_p < 1; i++) {
    reached += list[i].probability;
    if (reached >= (double)o->top_p * sum) n = i + 1;
  }
  while (list[n - 1].probability < (double)o->min_p * list[0].probability) n--;
  sum = 0;
  for (uint32_t i = 0; i < n; i++) sum += list[i].probability;
  for (uint32_t i = 0; i < n; i++) list[i].probability /= sum;
  return n;
}

/* The probability of each token at the beginning of a text. */
static void plain_probabilities(const hb_sampler_options *o, const float *logits, uint32_t n,
                                double *out) {
  plain list[MAX_VOCABULARY];
  plain_logits(o, logits, n, NULL, 0, list);
  for (uint32_t i = 0; i < n; i++) out[i] = 0;
  uint32_t kept = plain_filter(o, list, n);
  for (uint32_t i = 0; i < kept; i++) out[list[i].token] = list[i].probability;
}

/* SplitMix64: the 53 high bits of the mixed state, as a fraction. */
static double plain_random(uint64_t *state) {
  *state += UINT64_C(11400714819323198485);
  uint64_t mixed = *state;
  mixed = (mixed ^ (mixed >> 30)) * UINT64_C(13787848793156543929);
  mixed = (mixed ^ (mixed >> 27)) * UINT64_C(10723151780598845931);
  mixed ^= mixed >> 31;
  return (double)(mixed >> 11) / 9007199254740992.0;
}

/* The token in whose share of 0..1 the random number falls. The shares lie in the order of the
 * tokens, or likeliest first where a filter has sorted them. */
static hb_token plain_draw(const hb_sampler_options *o, const float *logits, uint32_t n,
                           const hb_token *text, size_t length, uint64_t *state) {
  plain list[LARGE_VOCABULARY];
  plain_logits(o, logits, n, text, length, list);
  bool sorted = (o->top_k > 0 && o->top_k < n) || o->top_p < 1;
  uint32_t kept = plain_filter(o, list, n);
  if (!sorted) qsort(list, kept, sizeof *list, lesser_token);
  double at = plain_random(state), end = 0;
  for (uint32_t i = 0; i < kept; i++) {
    end += list[i].probability;
    if (at < end) return list[i].token;
  }
  return list[kept - 1].token;
}

/* ---- Draws ---- */

/* Writes a text with both, the logits changing at each token. */
static void check_text(hb_sampler_options options, uint32_t n, uint32_t length) {
  hb_sampler *s = open_sampler(n, options);
  uint64_t random = options.seed;
  hb_token text[MAX_TEXT];
  float logits[LARGE_VOCABULARY];
  for (uint32_t i = 0; i < length; i++) {
    make_logits(logits, n, i % 7);
    text[i] = plain_draw(&options, logits, n, text, i, &random);
    assert_int_equal(draw(s, logits, n, NULL), text[i]);
    hb_sampler_accept(s, text[i]);
  }
  hb_sampler_destroy(s);
}

static void texts_are_those_of_a_plain_sampler(void **state) {
  (void)state;
  static const hb_logit_bias biases[] = {{3, 5}, {9, -INFINITY}, {0, -3}, {3, 0.5f}, {19, 6}};
  static const uint32_t vocabulary[] = {20, 64, MAX_VOCABULARY}, window[] = {1, 0, 13};
  uint32_t random = 1;
  for (uint64_t seed = 0; seed < 120; seed++) {
    random = random * 1664525 + 1013904223;
    uint32_t bits = random >> 16;
    hb_sampler_options o = hb_sampler_defaults();
    o.seed = seed << 40 ^ seed;
    o.temperature = 0.3f + 0.25f * (float)(seed % 7);
    if (bits & 1) o.top_k = 1 + (bits >> 8) % 25;
    if (bits & 2) o.top_p = 0.3f + 0.1f * (float)(seed % 7);
    if (bits & 4) o.min_p = 0.02f * (float)(1 + seed % 9);
    if (bits & 8) o.repetition_penalty = 1.3f;
    if (bits & 16) o.frequency_penalty = seed % 2 ? 0.4f : -0.1f;
    if (bits & 32) o.presence_penalty = 0.7f;
    if (bits & 64) o.biases = biases, o.bias_count = 5;
    o.penalty_window = window[seed % 3];
    check_text(o, vocabulary[seed / 3 % 3], MAX_TEXT);
  }
}

static void texts_from_a_large_vocabulary_are_those_of_a_plain_sampler(void **state) {
  (void)state;
  static const struct {
    float temperature, top_p, min_p;
    uint32_t top_k;
  } cases[] = {{0.2f, 1, 0, 0}, {1, 1, 0, 0},         {0.5f, 1, 0.1f, 0},
               {1, 0.9f, 0, 0}, {0.1f, 0.5f, 0, 0},   {1, 0.9995f, 0, 0},
               {1, 1, 0, 3},    {1, 0.8f, 0, 40},     {1, 0.7f, 0.2f, 1000},
               {2, 1, 0, 4999}, {1, 0.95f, 0.05f, 0}, {0.1f, 0.6f, 0.02f, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    hb_sampler_options o = hb_sampler_defaults();
    o.temperature = cases[i].temperature;
    o.top_p = cases[i].top_p;
    o.min_p = cases[i].min_p;
    o.top_k = cases[i].top_k;
    o.repetition_penalty = i % 2 ? 1.2f : 1;
    o.seed = i;
    check_text(o, LARGE_VOCABULARY - (uint32_t)i, 30);
  }
}

/* Draws often, and compares the frequencies: within five standard deviations each. */
static void check_frequencies(hb_sampler_options options, const float *logits, uint32_t n) {
  double expected[MAX_VOCABULARY];
  uint32_t drawn[MAX_VOCABULARY] = {0};
  plain_probabilities(&options, logits, n, expected);
  hb_sampler *s = open_sampler(n, options);
  for (int i = 0; i < DRAWS; i++) {
    hb_token token = draw(s, logits, n, NULL);
    assert_in_range(token, 0, n - 1);
    drawn[token]++;
  }
  hb_sampler_destroy(s);
  for (uint32_t i = 0; i < n; i++) {
    double mean = expected[i] * DRAWS, deviation = sqrt(mean * (1 - expected[i]));
    if (fabs(drawn[i] - mean) > 5 * deviation + (mean > 0 ? 1 : 0))
      fail_msg("token %u of %u: drawn %u times, not %g", (unsigned)i, (unsigned)n,
               (unsigned)drawn[i], mean);
  }
}

static void tokens_are_drawn_as_often_as_a_plain_sampler_says(void **state) {
  (void)state;
  static const uint32_t top_k[] = {0, 1, 7, 40, 1000};
  static const float top_p[] = {1, 0.9f, 0.5f, 0.9995f, 0};
  static const float min_p[] = {0, 0.1f, 1};
  static const float temperature[] = {0.7f, 1, 3};
  float logits[MAX_VOCABULARY];
  make_logits(logits, MAX_VOCABULARY, 3);
  for (int k = 0; k < 5; k++)
    for (int p = 0; p < 5; p++)
      for (int m = 0; m < 3; m++) {
        if (k && p && m) continue; /* any two of them */
        hb_sampler_options o = hb_sampler_defaults();
        o.temperature = temperature[(k + p + m) % 3];
        o.top_k = top_k[k];
        o.top_p = top_p[p];
        o.min_p = min_p[m];
        o.seed = (uint64_t)(k * 100 + p * 10 + m);
        check_frequencies(o, logits, k + p == 3 ? 50 : MAX_VOCABULARY);
      }
}

/* Pearson's statistic of six tokens: above 20.5 once in a thousand seeds. */
static void the_spread_of_many_draws_is_that_of_chance(void **state) {
  (void)state;
  enum { TOKENS = 6, MANY = 60000 };
  const float logits[TOKENS] = {0, 1, -1, 2, 0.5f, -2};
  hb_sampler_options o = hb_sampler_defaults();
  o.temperature = 1.5f;
  for (uint64_t seed = 0; seed < 4; seed++) {
    double expected[TOKENS], statistic = 0;
    uint32_t drawn[TOKENS] = {0};
    o.seed = seed;
    plain_probabilities(&o, logits, TOKENS, expected);
    hb_sampler *s = open_sampler(TOKENS, o);
    for (int i = 0; i < MANY; i++) drawn[draw(s, logits, TOKENS, NULL)]++;
    hb_sampler_destroy(s);
    for (int i = 0; i < TOKENS; i++) {
      double mean = expected[i] * MANY;
      statistic += (drawn[i] - mean) * (drawn[i] - mean) / mean;
    }
    assert_true(statistic < 20.5);
    assert_true(statistic > 0.1); /* nor more even than chance */
  }
}

static void equal_logits_are_cut_at_the_larger_token(void **state) {
  (void)state;
  float logits[20] = {0};
  hb_sampler_options o = hb_sampler_defaults();
  o.temperature = 1;
  o.top_k = 5;
  check_frequencies(o, logits, 20);
  o.top_k = 0;
  o.top_p = 0.33f;
  check_frequencies(o, logits, 20);
}

static void biases_shift_and_ban_tokens(void **state) {
  (void)state;
  const hb_logit_bias biases[] = {{3, 2}, {9, -INFINITY}, {0, -1}, {3, 0.5f}};
  float logits[30];
  make_logits(logits, 30, 8);
  hb_sampler_options o = hb_sampler_defaults();
  o.temperature = 1;
  o.biases = biases;
  o.bias_count = 4;
  check_frequencies(o, logits, 30);
}

/* ---- Greedy ---- */

static void temperature_0_takes_the_first_of_the_largest(void **state) {
  (void)state;
  const float logits[] = {1, 5, -2, 5, 4};
  hb_sampler *s = open_sampler(5, hb_sampler_defaults());
  for (int i = 0; i < 3; i++) assert_int_equal(draw(s, logits, 5, NULL), 1);
  hb_sampler_destroy(s);
}

static void the_first_of_the_largest_is_found_anywhere(void **state) {
  (void)state;
  static const uint32_t places[] = {0, 7, 8, 127, 128, 129, 1023, 1024, 2049, 4095, 4998, 4999};
  enum { PLACES = sizeof places / sizeof *places };
  float logits[LARGE_VOCABULARY];
  hb_sampler *s = open_sampler(LARGE_VOCABULARY, hb_sampler_defaults());
  for (int first = 0; first < PLACES; first++)
    for (int second = first; second < PLACES; second++) {
      make_logits(logits, LARGE_VOCABULARY, 2);
      for (int i = 0; i < LARGE_VOCABULARY; i += 3) logits[i] = NAN;
      logits[places[first]] = logits[places[second]] = 9;
      assert_int_equal(draw(s, logits, LARGE_VOCABULARY, NULL), places[first]);
    }
  hb_sampler_destroy(s);
}

static void logits_that_are_no_numbers_are_survived(void **state) {
  (void)state;
  const float rows[][4] = {{NAN, 1, 2, NAN},           {1, NAN, 2, 0},
                           {NAN, NAN, NAN, NAN},       {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                           {0, 1, INFINITY, INFINITY}, {-INFINITY, -INFINITY, 3, -INFINITY}};
  static const hb_token expected[] = {HB_NO_TOKEN, HB_NO_TOKEN, HB_NO_TOKEN, HB_NO_TOKEN, 2, 2};
  for (int t = 0; t < 3; t++) {
    hb_sampler_options o = hb_sampler_defaults();
    o.temperature = (float)t;
    if (t == 2) o.top_k = 2, o.top_p = 0.9f, o.min_p = 0.1f;
    hb_sampler *s = open_sampler(4, o);
    for (int i = 0; i < 6; i++) {
      float logprob;
      hb_token token = draw(s, rows[i], 4, &logprob);
      assert_in_range(token, 0, 3);
      assert_false(i != 2 && isnan(rows[i][token]));
      if (expected[i] != HB_NO_TOKEN) assert_int_equal(token, expected[i]);
    }
    hb_sampler_destroy(s);
  }
}

static void a_tiny_temperature_is_greedy(void **state) {
  (void)state;
  float logits[100];
  make_logits(logits, 100, 5);
  hb_sampler_options o = hb_sampler_defaults();
  hb_sampler *greedy = open_sampler(100, o);
  o.temperature = 1e-38f;
  hb_sampler *cold = open_sampler(100, o);
  assert_int_equal(draw(cold, logits, 100, NULL), draw(greedy, logits, 100, NULL));
  hb_sampler_destroy(greedy);
  hb_sampler_destroy(cold);
}

/* ---- Penalties ---- */

/* What temperature 0 chooses between two tokens, the first of which stands `times` in the text. */
static hb_token penalized_choice(hb_sampler_options o, float seen, float other, int times) {
  const float logits[] = {seen, other};
  hb_sampler *s = open_sampler(2, o);
  for (int i = 0; i < times; i++) hb_sampler_accept(s, 0);
  hb_token token = draw(s, logits, 2, NULL);
  hb_sampler_destroy(s);
  return token;
}

static void a_repetition_penalty_divides_or_multiplies_once(void **state) {
  (void)state;
  hb_sampler_options o = hb_sampler_defaults();
  o.repetition_penalty = 2;
  assert_int_equal(penalized_choice(o, 4, 1.99f, 9), 0);
  assert_int_equal(penalized_choice(o, 4, 2.01f, 1), 1);
  assert_int_equal(penalized_choice(o, 4, 2.01f, 0), 0);
  assert_int_equal(penalized_choice(o, -4, -7.99f, 1), 1);
  assert_int_equal(penalized_choice(o, -4, -8.01f, 5), 0);
}

static void a_frequency_penalty_counts_and_a_presence_penalty_does_not(void **state) {
  (void)state;
  hb_sampler_options o = hb_sampler_defaults();
  o.frequency_penalty = 0.5f;
  assert_int_equal(penalized_choice(o, 4, 2.6f, 3), 1);
  assert_int_equal(penalized_choice(o, 4, 2.4f, 3), 0);
  o = hb_sampler_defaults();
  o.presence_penalty = 0.5f;
  assert_int_equal(penalized_choice(o, 4, 3.6f, 3), 1);
  assert_int_equal(penalized_choice(o, 4, 3.4f, 3), 0);
}

static void penalties_forget_what_lies_behind_the_window(void **state) {
  (void)state;
  const float logits[] = {4, 3, 0};
  hb_sampler_options o = hb_sampler_defaults();
  o.presence_penalty = 2;
  for (uint32_t window = 0; window < 10; window += 3) {
    o.penalty_window = window;
    hb_sampler *s = open_sampler(3, o);
    hb_sampler_accept(s, 0);
    for (uint32_t i = 1; i < (window ? window : 64); i++) hb_sampler_accept(s, 2);
    assert_int_equal(draw(s, logits, 3, NULL), 1);
    hb_sampler_accept(s, 2);
    assert_int_equal(draw(s, logits, 3, NULL), 0);
    hb_sampler_destroy(s);
  }
}

static void tokens_outside_the_vocabulary_are_not_counted(void **state) {
  (void)state;
  const float logits[] = {1, 2};
  hb_sampler_options o = hb_sampler_defaults();
  o.presence_penalty = 5;
  hb_sampler *s = open_sampler(2, o);
  hb_sampler_accept(s, 2);
  hb_sampler_accept(s, HB_NO_TOKEN);
  hb_sampler_accept(s, INT32_MAX);
  assert_int_equal(draw(s, logits, 2, NULL), 1);
  hb_sampler_destroy(s);
}

/* ---- Results ---- */

static void the_logprob_is_that_of_the_raw_logits(void **state) {
  (void)state;
  const hb_logit_bias bias = {5, 1};
  float logits[MAX_VOCABULARY], logprob;
  double sum = 0;
  make_logits(logits, MAX_VOCABULARY, 11);
  for (int i = 0; i < MAX_VOCABULARY; i++) sum += exp(logits[i]);
  hb_sampler_options o = hb_sampler_defaults();
  o.temperature = 2;
  o.top_k = 20;
  o.repetition_penalty = 1.5f;
  o.biases = &bias;
  o.bias_count = 1;
  hb_sampler *s = open_sampler(MAX_VOCABULARY, o);
  for (int i = 0; i < 100; i++) {
    hb_token token = draw(s, logits, MAX_VOCABULARY, &logprob);
    hb_sampler_accept(s, token);
    assert_true(fabs((double)logprob - (logits[token] - log(sum))) < 1e-5);
  }
  hb_sampler_destroy(s);
}

/* With every kind of filter, so that each way to a token is taken. */
static void asking_for_the_logprob_changes_no_token(void **state) {
  (void)state;
  const hb_logit_bias bias = {5, 2};
  float logits[LARGE_VOCABULARY], logprob;
  make_logits(logits, LARGE_VOCABULARY, 3);
  for (uint32_t kind = 0; kind < 32; kind++) {
    hb_sampler_options o = hb_sampler_defaults();
    o.temperature = kind & 1 ? 1.3f : 0;
    o.top_k = kind & 2 ? 40 : 0;
    o.top_p = kind & 4 ? 0.9f : 1;
    o.min_p = kind & 8 ? 0.02f : 0;
    if (kind & 16) {
      o.repetition_penalty = 1.2f;
      o.biases = &bias;
      o.bias_count = 1;
    }
    hb_sampler *asking = open_sampler(LARGE_VOCABULARY, o);
    hb_sampler *silent = open_sampler(LARGE_VOCABULARY, o);
    for (int i = 0; i < 50; i++) {
      hb_token token = draw(asking, logits, LARGE_VOCABULARY, &logprob);
      assert_int_equal(draw(silent, logits, LARGE_VOCABULARY, NULL), token);
      hb_sampler_accept(asking, token);
      hb_sampler_accept(silent, token);
    }
    hb_sampler_destroy(asking);
    hb_sampler_destroy(silent);
  }
}

static void a_seed_gives_the_same_tokens_always(void **state) {
  (void)state;
  static const hb_token expected[] = {217, 250, 284, 140, 37,  60,  113, 100,
                                      140, 30,  33,  262, 252, 252, 204, 33};
  float logits[MAX_VOCABULARY];
  make_logits(logits, MAX_VOCABULARY, 1);
  hb_sampler_options o = hb_sampler_defaults();
  o.temperature = 0.9f;
  o.top_k = 100;
  o.top_p = 0.95f;
  o.seed = 42;
  hb_sampler *s = open_sampler(MAX_VOCABULARY, o);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    assert_int_equal(draw(s, logits, MAX_VOCABULARY, NULL), expected[i]);
  hb_sampler_destroy(s);
}

static void different_seeds_give_different_tokens(void **state) {
  (void)state;
  float logits[MAX_VOCABULARY] = {0};
  uint32_t same = 0;
  for (uint64_t seed = 0; seed < 100; seed++) {
    hb_sampler_options o = hb_sampler_defaults();
    o.temperature = 1;
    o.seed = seed;
    hb_sampler *a = open_sampler(MAX_VOCABULARY, o);
    o.seed = seed + 1;
    hb_sampler *b = open_sampler(MAX_VOCABULARY, o);
    for (int i = 0; i < 5; i++)
      same += draw(a, logits, MAX_VOCABULARY, NULL) == draw(b, logits, MAX_VOCABULARY, NULL);
    hb_sampler_destroy(a);
    hb_sampler_destroy(b);
  }
  assert_in_range(same, 0, 10); /* of 500 pairs; 1.7 are expected */
}

static void a_large_vocabulary_is_sampled(void **state) {
  (void)state;
  enum { LARGE = 200000 };
  float *logits = malloc(LARGE * sizeof *logits);
  hb_sampler_options o = hb_sampler_defaults();
  o.temperature = 1;
  o.top_p = 0.95f;
  hb_sampler *s = open_sampler(LARGE, o);
  for (int i = 0; i < 20; i++) {
    make_logits(logits, LARGE, (uint32_t)i);
    assert_in_range(hb_sampler_sample(s, logits, NULL), 0, LARGE - 1);
  }
  hb_sampler_destroy(s);
  free(logits);
}

/* ---- Refusals ---- */

static void expect_refused(uint32_t vocabulary, hb_sampler_options o, const char *named) {
  hb_sampler *s;
  hb_error error;
  assert_int_equal(hb_sampler_create(NULL, vocabulary, &o, &s, &error), HB_ARGUMENT);
  if (!strstr(error.message, named)) fail_msg("\"%s\" does not name %s", error.message, named);
  assert_null(s);
}

static void options_out_of_their_range_are_refused_by_name(void **state) {
  (void)state;
  const hb_logit_bias outside = {10, 1}, negative = {-1, 1}, none = {1, NAN};
  hb_sampler_options o;
#define REFUSE(field, value)                                                                       \
  o = hb_sampler_defaults();                                                                       \
  o.field = value;                                                                                 \
  expect_refused(10, o, #field)
  REFUSE(temperature, -1);
  REFUSE(temperature, NAN);
  REFUSE(temperature, INFINITY);
  REFUSE(top_p, -0.1f);
  REFUSE(top_p, 1.1f);
  REFUSE(top_p, NAN);
  REFUSE(min_p, 2);
  REFUSE(min_p, NAN);
  REFUSE(repetition_penalty, 0);
  REFUSE(repetition_penalty, INFINITY);
  REFUSE(frequency_penalty, NAN);
  REFUSE(presence_penalty, INFINITY);
  REFUSE(penalty_window, 1u << 31);
  o = hb_sampler_defaults();
  o.bias_count = 1;
  expect_refused(10, o, "biases");
  o = hb_sampler_defaults();
  expect_refused(0, o, "vocabulary");
  expect_refused(UINT32_MAX, o, "vocabulary");
  o.bias_count = 1;
  o.biases = &outside;
  expect_refused(10, o, "token 10");
  o.biases = &negative;
  expect_refused(10, o, "token -1");
  o.biases = &none;
  expect_refused(10, o, "token 1 is no number");
}

static void without_memory_nothing_is_kept(void **state) {
  (void)state;
  const hb_logit_bias bias = {5, 1};
  hb_sampler_options o = hb_sampler_defaults();
  o.biases = &bias;
  o.bias_count = 1;
  hb_status status = HB_MEMORY;
  uint64_t left = 0;
  for (; status != HB_OK; left++) {
    meter m;
    hb_sampler *s;
    meter_start(&m);
    m.left = left;
    status = hb_sampler_create(&m.allocator, 100, &o, &s, NULL);
    if (status != HB_OK) {
      assert_int_equal(status, HB_MEMORY);
      assert_null(s);
    }
    hb_sampler_destroy(s);
    assert_int_equal(m.held, 0);
  }
  assert_true(left > 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(texts_are_those_of_a_plain_sampler),
      cmocka_unit_test(texts_from_a_large_vocabulary_are_those_of_a_plain_sampler),
      cmocka_unit_test(tokens_are_drawn_as_often_as_a_plain_sampler_says),
      cmocka_unit_test(the_spread_of_many_draws_is_that_of_chance),
      cmocka_unit_test(equal_logits_are_cut_at_the_larger_token),
      cmocka_unit_test(biases_shift_and_ban_tokens),
      cmocka_unit_test(temperature_0_takes_the_first_of_the_largest),
      cmocka_unit_test(the_first_of_the_largest_is_found_anywhere),
      cmocka_unit_test(logits_that_are_no_numbers_are_survived),
      cmocka_unit_test(a_tiny_temperature_is_greedy),
      cmocka_unit_test(a_repetition_penalty_divides_or_multiplies_once),
      cmocka_unit_test(a_frequency_penalty_counts_and_a_presence_penalty_does_not),
      cmocka_unit_test(penalties_forget_what_lies_behind_the_window),
      cmocka_unit_test(tokens_outside_the_vocabulary_are_not_counted),
      cmocka_unit_test(the_logprob_is_that_of_the_raw_logits),
      cmocka_unit_test(asking_for_the_logprob_changes_no_token),
      cmocka_unit_test(a_seed_gives_the_same_tokens_always),
      cmocka_unit_test(different_seeds_give_different_tokens),
      cmocka_unit_test(a_large_vocabulary_is_sampled),
      cmocka_unit_test(options_out_of_their_range_are_refused_by_name),
      cmocka_unit_test(without_memory_nothing_is_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
