/* Choosing a token from logits. Every step is deterministic to the bit, so that a seed gives the
 * same text on every target. */
#include "kernel/kernel.h"
#include "sample/select.h"

#include <math.h> /* INFINITY */

enum {
  DEFAULT_WINDOW = 64,
  MAX_WINDOW = 1 << 16,
  SLICE = 1024, /* logits whose weights are summed in f32 */
};

#define LOG2_E 1.44269504f
#define LN_2 0.6931471805599453
#define MAX_F32 0x1.fffffep127f
#define LEAST_POWER (-127) /* 2 to this is 0 for the kernels */

/* A logit before a bias or a penalty. */
typedef struct change {
  float logit;
  hb_token token;
} change;

struct hb_sampler {
  const hb_allocator *allocator;
  const hb_kernels *kernels;
  uint32_t vocabulary;
  hb_sampler_options options;
  hb_logit_bias *biases;
  uint64_t random; /* state of the generator */

  hb_token *window; /* ring of the last tokens */
  uint32_t window_size, window_count, window_next;
  int32_t *seen; /* [vocabulary]: how often each stands in the window */

  change *changes; /* in their order; as many as biases and the window together */
  size_t change_count;

  /* Of the logits: the maxima that a kernel gives of every HB_MAXIMA_GROUP, the maxima of those in
   * turn, and the largest of all. */
  float *maxima, *maxima_of_maxima;
  uint32_t maxima_count, maxima_of_maxima_count;
  float largest;

  hb_candidate *candidates; /* [vocabulary], or one a maximum if those are more */
  float *weights;           /* [vocabulary] */
};

hb_sampler_options hb_sampler_defaults(void) {
  return (hb_sampler_options){.top_p = 1, .repetition_penalty = 1};
}

/* ---- Creating ---- */

static bool is_finite(float x) {
  return x - x == 0;
}

static hb_status check(const hb_sampler_options *o, uint32_t vocabulary, hb_error *error) {
  const char *wrong = NULL;
  if (!(o->temperature >= 0) || !is_finite(o->temperature)) wrong = "temperature";
  if (!(o->top_p >= 0 && o->top_p <= 1)) wrong = "top_p";
  if (!(o->min_p >= 0 && o->min_p <= 1)) wrong = "min_p";
  if (!(o->repetition_penalty > 0) || !is_finite(o->repetition_penalty))
    wrong = "repetition_penalty";
  if (!is_finite(o->frequency_penalty)) wrong = "frequency_penalty";
  if (!is_finite(o->presence_penalty)) wrong = "presence_penalty";
  if (o->penalty_window > MAX_WINDOW) wrong = "penalty_window";
  if (vocabulary < 1 || vocabulary > INT32_MAX) wrong = "vocabulary";
  if (o->bias_count > 0 && !o->biases) wrong = "biases";
  if (o->bias_count > vocabulary) wrong = "bias_count";
  if (wrong)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%s of the sampler is out of its range",
                   wrong);
  for (size_t i = 0; i < o->bias_count; i++) {
    hb_logit_bias b = o->biases[i];
    if (b.token < 0 || (uint32_t)b.token >= vocabulary || b.bias != b.bias)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "the logit bias of token %d is no number, or no token of %u has it",
                     (int64_t)b.token, (uint64_t)vocabulary);
  }
  return HB_OK;
}

/* Maxima of `count` values. */
static uint32_t count_maxima(uint32_t count) {
  return (uint32_t)(((uint64_t)count + HB_MAXIMA_GROUP - 1) / HB_MAXIMA_GROUP * 8);
}

static uint64_t change_bytes(const hb_sampler *s) {
  return (s->options.bias_count + (uint64_t)s->window_size) * sizeof *s->changes;
}

static uint64_t candidate_bytes(const hb_sampler *s) {
  uint64_t most = s->vocabulary > s->maxima_count ? s->vocabulary : s->maxima_count;
  return most * sizeof *s->candidates;
}

/* Both kinds lie in one block. */
static uint64_t maxima_bytes(const hb_sampler *s) {
  return ((uint64_t)s->maxima_count + s->maxima_of_maxima_count) * sizeof *s->maxima;
}

hb_status hb_sampler_create(const hb_allocator *allocator, uint32_t vocabulary,
                            const hb_sampler_options *options, hb_sampler **out, hb_error *error) {
  if (!options || !out)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a sampler needs options and a place to go");
  *out = NULL;
  HB_TRY(check(options, vocabulary, error));
  hb_sampler *s = hb_allocate_zero(allocator, sizeof *s);
  if (!s) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a sampler");
  s->allocator = allocator;
  s->kernels = hb_kernels_for(hb_isa_best());
  s->vocabulary = vocabulary;
  s->options = *options;
  s->random = options->seed;
  s->window_size = options->penalty_window ? options->penalty_window : DEFAULT_WINDOW;
  s->maxima_count = count_maxima(vocabulary);
  s->maxima_of_maxima_count = count_maxima(s->maxima_count);
  s->biases = hb_allocate(allocator, options->bias_count * sizeof *s->biases);
  s->window = hb_allocate(allocator, (uint64_t)s->window_size * sizeof *s->window);
  s->seen = hb_allocate_zero(allocator, (uint64_t)vocabulary * sizeof *s->seen);
  s->changes = hb_allocate(allocator, change_bytes(s));
  s->maxima = hb_allocate(allocator, maxima_bytes(s));
  s->candidates = hb_allocate(allocator, candidate_bytes(s));
  s->weights = hb_allocate(allocator, (uint64_t)vocabulary * sizeof *s->weights);
  if (!s->biases || !s->window || !s->seen || !s->changes || !s->maxima || !s->candidates ||
      !s->weights) {
    hb_sampler_destroy(s);
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a sampler of %u tokens",
                   (uint64_t)vocabulary);
  }
  s->maxima_of_maxima = s->maxima + s->maxima_count;
  if (options->bias_count > 0)
    memcpy(s->biases, options->biases, options->bias_count * sizeof *s->biases);
  s->options.biases = s->biases;
  *out = s;
  return HB_OK;
}

void hb_sampler_destroy(hb_sampler *s) {
  if (!s) return;
  const hb_allocator *a = s->allocator;
  hb_release(a, s->biases, s->options.bias_count * sizeof *s->biases);
  hb_release(a, s->window, (uint64_t)s->window_size * sizeof *s->window);
  hb_release(a, s->seen, (uint64_t)s->vocabulary * sizeof *s->seen);
  hb_release(a, s->changes, change_bytes(s));
  hb_release(a, s->maxima, maxima_bytes(s));
  hb_release(a, s->candidates, candidate_bytes(s));
  hb_release(a, s->weights, (uint64_t)s->vocabulary * sizeof *s->weights);
  hb_release(a, s, sizeof *s);
}

/* ---- Biases and penalties ---- */

void hb_sampler_accept(hb_sampler *s, hb_token token) {
  if (token < 0 || (uint32_t)token >= s->vocabulary) return;
  if (s->window_count == s->window_size)
    s->seen[s->window[s->window_next]]--;
  else
    s->window_count++;
  s->window[s->window_next] = token;
  s->window_next = (s->window_next + 1) % s->window_size;
  s->seen[token]++;
}

static void penalize(const hb_sampler_options *o, int32_t times, float *logit) {
  *logit = *logit > 0 ? *logit / o->repetition_penalty : *logit * o->repetition_penalty;
  *logit -= (float)times * o->frequency_penalty + o->presence_penalty;
}

/* The logit of a token that is about to change. */
static float *changing(hb_sampler *s, float *logits, hb_token token) {
  s->changes[s->change_count++] = (change){logits[token], token};
  return &logits[token];
}

static void bias_and_penalize(hb_sampler *s, float *logits) {
  const hb_sampler_options *o = &s->options;
  s->change_count = 0;
  for (size_t i = 0; i < o->bias_count; i++)
    *changing(s, logits, o->biases[i].token) += o->biases[i].bias;
  if (o->repetition_penalty == 1 && o->frequency_penalty == 0 && o->presence_penalty == 0) return;
  /* A token that stands in the window several times is penalized once: its count is negative
   * between the two passes. */
  for (uint32_t i = 0; i < s->window_count; i++) {
    int32_t *times = &s->seen[s->window[i]];
    if (*times < 0) continue;
    penalize(o, *times, changing(s, logits, s->window[i]));
    *times = -*times;
  }
  for (uint32_t i = 0; i < s->window_count; i++) {
    int32_t *times = &s->seen[s->window[i]];
    if (*times < 0) *times = -*times;
  }
}

/* The logit of a token as it came. */
static float raw_logit(const hb_sampler *s, const float *logits, hb_token token) {
  for (size_t i = 0; i < s->change_count; i++)
    if (s->changes[i].token == token) return s->changes[i].logit;
  return logits[token];
}

/* ---- Searching the vocabulary ---- */

static void find_maxima(hb_sampler *s, const float *logits) {
  s->kernels->maxima(logits, s->vocabulary, s->maxima);
  s->kernels->maxima(s->maxima, s->maxima_count, s->maxima_of_maxima);
  s->largest = s->maxima_of_maxima[0];
  for (uint32_t i = 1; i < s->maxima_of_maxima_count; i++)
    if (s->maxima_of_maxima[i] > s->largest) s->largest = s->maxima_of_maxima[i];
}

/* Number i of the HB_MAXIMA_GROUP / 8 values whose maximum is number `maximum`. */
static uint32_t value_under(uint32_t maximum, uint32_t i) {
  return maximum / 8 * HB_MAXIMA_GROUP + maximum % 8 + 8 * i;
}

/* The first value under a maximum that equals `x`; `count` if there is none. */
static uint32_t first_under(uint32_t maximum, const float *values, uint32_t count, float x) {
  for (uint32_t i = 0; i < HB_MAXIMA_GROUP / 8; i++) {
    uint32_t at = value_under(maximum, i);
    if (at < count && values[at] == x) return at;
  }
  return count;
}

/* The first of the largest; NaN is never chosen unless there is nothing else. */
static hb_token greedy(const hb_sampler *s, const float *logits) {
  uint32_t best = s->vocabulary;
  for (uint32_t i = 0; i < s->maxima_of_maxima_count; i++) {
    if (s->maxima_of_maxima[i] != s->largest) continue;
    for (uint32_t j = 0; j < HB_MAXIMA_GROUP / 8; j++) {
      uint32_t maximum = value_under(i, j);
      if (maximum >= s->maxima_count || s->maxima[maximum] != s->largest) continue;
      uint32_t token = first_under(maximum, logits, s->vocabulary, s->largest);
      if (token < best) best = token;
    }
  }
  return best < s->vocabulary ? (hb_token)best : 0;
}

/* Lists the tokens of at least that logit in their order; returns how many they are. */
static uint32_t list_candidates(hb_sampler *s, const float *logits, float least) {
  uint32_t n = 0;
  for (uint32_t group = 0; group < s->maxima_count / 8; group++) {
    uint32_t reaching = 0, which = 0;
    for (uint32_t i = 0; i < 8; i++)
      if (s->maxima[8 * group + i] >= least) reaching++, which = i;
    if (reaching == 0) continue;
    /* Either the values under one maximum, or all of the group. */
    uint32_t first = group * HB_MAXIMA_GROUP, left = s->vocabulary - first;
    uint32_t end = first + (left < HB_MAXIMA_GROUP ? left : HB_MAXIMA_GROUP);
    uint32_t step = reaching == 1 ? 8 : 1;
    if (reaching == 1) first += which;
    for (uint32_t i = first; i < end; i += step) {
      s->candidates[n] = (hb_candidate){logits[i], 0, (hb_token)i};
      n += logits[i] >= least;
    }
  }
  return n;
}

/* A logit that at least k tokens reach, and not many more: as many maxima reach it. */
static float reached_by(hb_sampler *s, uint32_t k) {
  bool few = k <= s->maxima_of_maxima_count / 2;
  const float *maxima = few ? s->maxima_of_maxima : s->maxima;
  uint32_t count = few ? s->maxima_of_maxima_count : s->maxima_count;
  if (k > count) return -INFINITY;
  for (uint32_t i = 0; i < count; i++) s->candidates[i] = (hb_candidate){maxima[i], 0, (hb_token)i};
  return s->candidates[hb_select_likeliest(s->candidates, count, k, INFINITY) - 1].logit;
}

/* Lists the k likeliest tokens; returns how many there are. */
static uint32_t list_top_k(hb_sampler *s, const float *logits, uint32_t k) {
  uint32_t n = list_candidates(s, logits, reached_by(s, k));
  return n > k ? hb_select_likeliest(s->candidates, n, k, INFINITY) : n;
}

/* ---- Weights: exp((logit - largest) / temperature) = 2^((logit - largest) factor) ---- */

/* The largest weighs 1 whatever the temperature. */
static float weight_factor(const hb_sampler *s) {
  float factor = LOG2_E / s->options.temperature;
  return factor < MAX_F32 ? factor : MAX_F32;
}

/* The weight of all tokens; where it is more than `enough`, perhaps of some only. */
static double weigh_all(const hb_sampler *s, const float *logits, float factor, double enough) {
  double sum = 0;
  for (uint32_t at = 0; at < s->vocabulary && sum < enough; at += SLICE) {
    uint32_t left = s->vocabulary - at;
    sum += s->kernels->weights(logits + at, left < SLICE ? left : SLICE, s->largest, factor, NULL);
  }
  return sum;
}

static void weigh_candidates(hb_sampler *s, uint32_t n, float factor) {
  for (uint32_t i = 0; i < n; i++) s->weights[i] = s->candidates[i].logit;
  s->kernels->weights(s->weights, n, s->largest, factor, s->weights);
  for (uint32_t i = 0; i < n; i++) s->candidates[i].weight = s->weights[i];
}

/* A logit that every token of at least that weight reaches: a thousandth lower than that of the
 * weight, and rounded, which keeps the order of numbers. */
static float logit_of_weight(const hb_sampler *s, double weight, float factor) {
  double power = weight > 0 ? hb_log(weight) / LN_2 * 1.001 - 0.001 : LEAST_POWER;
  if (power < LEAST_POWER) power = LEAST_POWER;
  double logit = s->largest + power / factor;
  return logit < -(double)MAX_F32 ? -INFINITY : (float)logit;
}

static double total(const hb_candidate *c, uint32_t n) {
  double sum = 0;
  for (uint32_t i = 0; i < n; i++) sum += c[i].weight;
  return sum;
}

/* ---- Filters ---- */

/* Drops the candidates below the weight, and those that are impossible. */
static uint32_t apply_min_p(hb_candidate *c, uint32_t n, float least) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++)
    if (c[i].weight >= least && c[i].weight > 0) c[kept++] = c[i];
  return kept;
}

/* Keeps the likeliest candidates that together reach top-p of `sum`, what all weigh that top-p may
 * choose from; 0 if that is every token and not known yet. Candidates that are missing would come
 * last. */
static uint32_t apply_top_p(hb_sampler *s, const float *logits, uint32_t n, double sum,
                            float factor) {
  const hb_candidate *c = s->candidates;
  double p = s->options.top_p, all = total(c, n);
  float lightest = 1;
  for (uint32_t i = 0; i < n; i++)
    if (c[i].weight < lightest) lightest = c[i].weight;
  double all_but_one = all - lightest;
  /* Often so much more is needed that the exact sum does not matter. */
  if (n == 1 || all_but_one < p * all) return n;
  if (sum == 0) sum = weigh_all(s, logits, factor, all_but_one / p);
  if (all_but_one < p * sum) return n;
  return hb_select_likeliest(s->candidates, n, n, p * sum);
}

/* ---- Drawing ---- */

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): uniform in [0, 1). */
static double next_random(hb_sampler *s) {
  uint64_t z = s->random += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (double)(z >> 11) * 0x1p-53;
}

/* From candidates, none of which is impossible, in the order that they have. */
static hb_token draw_listed(hb_sampler *s, uint32_t n) {
  const hb_candidate *c = s->candidates;
  double left = next_random(s) * total(c, n);
  uint32_t i = 0;
  while (i + 1 < n && (left -= c[i].weight) >= 0) i++;
  return c[i].token;
}

/* From candidates, likeliest first. */
static hb_token draw_likeliest(hb_sampler *s, uint32_t n) {
  double reached = next_random(s) * total(s->candidates, n);
  return s->candidates[hb_select_likeliest(s->candidates, n, n, reached) - 1].token;
}

/* From all tokens in their order: first a slice of them, then one of the slice. */
static hb_token draw_from_all(hb_sampler *s, const float *logits, float factor) {
  float *slices = s->maxima; /* which are done with */
  uint32_t count = 0;
  double sum = 0;
  hb_token token = greedy(s, logits);
  for (uint32_t at = 0; at < s->vocabulary; at += SLICE, count++) {
    uint32_t left = s->vocabulary - at, n = left < SLICE ? left : SLICE;
    slices[count] = s->kernels->weights(logits + at, n, s->largest, factor, s->weights + at);
    sum += slices[count];
  }
  double left = next_random(s) * sum;
  uint32_t slice = 0;
  for (; slice + 1 < count && left >= slices[slice]; slice++) left -= slices[slice];
  /* Rounding may leave a rest behind the last that is possible. */
  uint32_t first = slice * SLICE;
  for (uint32_t i = first; i < s->vocabulary && i < first + SLICE && left >= 0; i++) {
    left -= s->weights[i];
    if (s->weights[i] > 0) token = (hb_token)i;
  }
  return token;
}

static hb_token sample(hb_sampler *s, const float *logits) {
  const hb_sampler_options *o = &s->options;
  if (o->temperature == 0 || !is_finite(s->largest)) return greedy(s, logits);
  bool top_k = o->top_k > 0 && o->top_k < s->vocabulary, top_p = o->top_p < 1;
  float factor = weight_factor(s);
  if (!top_k && !top_p && o->min_p == 0) return draw_from_all(s, logits, factor);

  uint32_t n;
  double sum = 0, least = o->min_p;
  if (top_k) {
    n = list_top_k(s, logits, o->top_k);
  } else {
    if (o->min_p == 0) {
      /* Tokens below (1 - p) / n of all together have less than 1 - p: the others reach p without
       * them, with a tenth to spare for rounding, unless p is nearly 1. */
      sum = weigh_all(s, logits, factor, INFINITY);
      if (o->top_p < 0.999f) least = (1 - (double)o->top_p) * sum / s->vocabulary * 0.9;
    }
    n = list_candidates(s, logits, logit_of_weight(s, least, factor));
  }
  weigh_candidates(s, n, factor);
  if (top_k) sum = total(s->candidates, n);
  n = apply_min_p(s->candidates, n, o->min_p);
  if (top_p) n = apply_top_p(s, logits, n, sum, factor);
  return top_k || top_p ? draw_likeliest(s, n) : draw_listed(s, n);
}

hb_token hb_sampler_sample(hb_sampler *s, float *logits, float *logprob) {
  double log_sum = 0;
  if (logprob) {
    find_maxima(s, logits);
    log_sum = s->largest;
    if (is_finite(s->largest)) log_sum += hb_log(weigh_all(s, logits, LOG2_E, INFINITY));
  }
  bias_and_penalize(s, logits);
  if (!logprob || s->change_count > 0) find_maxima(s, logits);
  hb_token token = sample(s, logits);
  if (logprob) *logprob = (float)(raw_logit(s, logits, token) - log_sum);
  return token;
}
