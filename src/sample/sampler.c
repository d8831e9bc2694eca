/* Choosing a token from logits. Every step is deterministic to the bit, so that a seed gives the
 * same text on every target. */
#include "kernel/kernel.h"

enum { DEFAULT_WINDOW = 64, MAX_WINDOW = 1 << 16 };

/* A token that may still be chosen. */
typedef struct candidate {
  float logit;
  float probability; /* not normalized */
  hb_token token;
} candidate;

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

  candidate *candidates; /* [vocabulary] */
  float *probabilities;  /* [vocabulary] */
  float *raw;            /* [vocabulary]: the logits as they came */
};

hb_sampler_options hb_sampler_defaults(void) {
  return (hb_sampler_options){.top_p = 1, .repetition_penalty = 1};
}

/* ---- Creating ---- */

static bool finite(float x) {
  return x - x == 0;
}

static hb_status check(const hb_sampler_options *o, uint32_t vocabulary, hb_error *error) {
  const char *wrong = NULL;
  if (!(o->temperature >= 0) || !finite(o->temperature)) wrong = "temperature";
  if (!(o->top_p >= 0 && o->top_p <= 1)) wrong = "top_p";
  if (!(o->min_p >= 0 && o->min_p <= 1)) wrong = "min_p";
  if (!(o->repetition_penalty > 0) || !finite(o->repetition_penalty)) wrong = "repetition_penalty";
  if (!finite(o->frequency_penalty)) wrong = "frequency_penalty";
  if (!finite(o->presence_penalty)) wrong = "presence_penalty";
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
  s->biases = hb_allocate(allocator, options->bias_count * sizeof *s->biases);
  s->window = hb_allocate(allocator, (uint64_t)s->window_size * sizeof *s->window);
  s->seen = hb_allocate_zero(allocator, (uint64_t)vocabulary * sizeof *s->seen);
  s->candidates = hb_allocate(allocator, (uint64_t)vocabulary * sizeof *s->candidates);
  s->probabilities = hb_allocate(allocator, (uint64_t)vocabulary * sizeof *s->probabilities);
  s->raw = hb_allocate(allocator, (uint64_t)vocabulary * sizeof *s->raw);
  if (!s->biases || !s->raw || !s->window || !s->seen || !s->candidates || !s->probabilities) {
    hb_sampler_destroy(s);
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a sampler of %u tokens",
                   (uint64_t)vocabulary);
  }
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
  hb_release(a, s->candidates, (uint64_t)s->vocabulary * sizeof *s->candidates);
  hb_release(a, s->probabilities, (uint64_t)s->vocabulary * sizeof *s->probabilities);
  hb_release(a, s->raw, (uint64_t)s->vocabulary * sizeof *s->raw);
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

static void bias_and_penalize(hb_sampler *s, float *logits) {
  const hb_sampler_options *o = &s->options;
  for (size_t i = 0; i < o->bias_count; i++) logits[o->biases[i].token] += o->biases[i].bias;
  if (o->repetition_penalty == 1 && o->frequency_penalty == 0 && o->presence_penalty == 0) return;
  /* A token that stands in the window several times is penalized once: its count is negative
   * between the two passes. */
  for (uint32_t i = 0; i < s->window_count; i++) {
    int32_t *times = &s->seen[s->window[i]];
    if (*times < 0) continue;
    penalize(o, *times, &logits[s->window[i]]);
    *times = -*times;
  }
  for (uint32_t i = 0; i < s->window_count; i++) {
    int32_t *times = &s->seen[s->window[i]];
    if (*times < 0) *times = -*times;
  }
}

/* ---- Selecting ---- */

/* The first of the largest; NaN is never chosen unless there is nothing else. */
static hb_token greedy(const float *logits, uint32_t n) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < n; i++)
    if (logits[i] > logits[best] || logits[best] != logits[best]) best = i;
  return (hb_token)best;
}

/* Likelier first; of equals, the smaller token first. */
static bool before(const candidate *a, const candidate *b) {
  return a->logit > b->logit || (a->logit == b->logit && a->token < b->token);
}

static void exchange(candidate *a, candidate *b) {
  candidate c = *a;
  *a = *b;
  *b = c;
}

/* Restores the heap, whose root comes before all, below `i`. */
static void sift_down(candidate *heap, uint32_t n, uint32_t i) {
  for (;;) {
    uint32_t child = 2 * i + 1;
    if (child >= n) return;
    if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
    if (!before(&heap[child], &heap[i])) return;
    exchange(&heap[child], &heap[i]);
    i = child;
  }
}

static void make_heap(candidate *heap, uint32_t n) {
  for (uint32_t i = n / 2; i-- > 0;) sift_down(heap, n, i);
}

/* Takes the first candidates in order from the back of a heap: the first to fall out ends up at
 * heap[n - 1], and so on. Stops after `most`, or when their probabilities reach `enough`. Returns
 * how many there are. */
static uint32_t take_first(candidate *heap, uint32_t n, uint32_t most, double enough) {
  uint32_t taken = 0;
  double sum = 0;
  make_heap(heap, n);
  while (taken < n && taken < most && (taken == 0 || sum < enough)) {
    sum += heap[0].probability;
    taken++;
    exchange(&heap[0], &heap[n - taken]);
    sift_down(heap, n - taken, 0);
  }
  return taken;
}

/* Moves the `taken` candidates behind the heap to the front, first one first. */
static void bring_forward(candidate *c, uint32_t n, uint32_t taken) {
  for (uint32_t i = 0; i < taken / 2; i++) exchange(&c[n - taken + i], &c[n - 1 - i]);
  memmove(c, c + (n - taken), taken * sizeof *c);
}

/* Lists what can matter: of the tokens below `least` none can. Returns how many there are. */
static uint32_t list_candidates(hb_sampler *s, const float *logits, float least) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->vocabulary; i++)
    if (s->probabilities[i] >= least)
      s->candidates[n++] = (candidate){logits[i], s->probabilities[i], (hb_token)i};
  return n;
}

static double total(const candidate *c, uint32_t n) {
  double sum = 0;
  for (uint32_t i = 0; i < n; i++) sum += c[i].probability;
  return sum;
}

/* Applies top-k, top-p and min-p to the listed candidates; returns how many remain. */
static uint32_t filter(hb_sampler *s, uint32_t n) {
  const hb_sampler_options *o = &s->options;
  candidate *c = s->candidates;
  bool sorted = false;
  if (o->top_k > 0 && o->top_k < n) {
    uint32_t taken = take_first(c, n, o->top_k, 2);
    bring_forward(c, n, taken);
    n = taken;
    sorted = true;
  }
  if (o->top_p < 1) {
    double enough = o->top_p * (sorted ? total(c, n) : 1.0);
    uint32_t taken = take_first(c, n, n, enough);
    bring_forward(c, n, taken);
    n = taken;
    sorted = true;
  }
  if (o->min_p > 0) {
    float most = 0;
    for (uint32_t i = 0; i < n; i++)
      if (c[i].probability > most) most = c[i].probability;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
      if (c[i].probability >= o->min_p * most) c[kept++] = c[i];
    n = kept;
  }
  return n;
}

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): uniform in [0, 1). */
static double next_random(hb_sampler *s) {
  uint64_t z = s->random += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (double)(z >> 11) * 0x1p-53;
}

static hb_token draw(hb_sampler *s, uint32_t n) {
  const candidate *c = s->candidates;
  double left = next_random(s) * total(c, n);
  hb_token last = c[0].token; /* that can be drawn: rounding may leave a rest behind all */
  for (uint32_t i = 0; i < n; i++) {
    left -= c[i].probability;
    if (c[i].probability > 0) last = c[i].token;
    if (left < 0) break;
  }
  return last;
}

/* Divides by the temperature what each logit lies below the largest, which must be finite: whatever
 * the temperature, the largest becomes 0. NaN becomes impossible. */
static void cool(const hb_sampler *s, float *logits, float largest) {
  const float impossible = -0x1p127f;
  for (uint32_t i = 0; i < s->vocabulary; i++) {
    float x = (logits[i] - largest) / s->options.temperature;
    logits[i] = x > impossible ? x : impossible;
  }
}

static hb_token sample(hb_sampler *s, float *logits) {
  const hb_sampler_options *o = &s->options;
  hb_token best = greedy(logits, s->vocabulary);
  if (o->temperature == 0 || !finite(logits[best])) return best;
  cool(s, logits, logits[best]);
  s->kernels->softmax(logits, s->vocabulary, s->probabilities);
  /* Tokens below (1 - p) / n together have less than 1 - p: the others reach p without them (with
   * a hundredth to spare for rounding, unless p is nearly 1). With top-k, which comes first, all
   * may be needed. */
  bool prune = o->top_k == 0 && o->top_p < 0.999f;
  float least = prune ? (1 - o->top_p) / (float)s->vocabulary * 0.99f : 0;
  return draw(s, filter(s, list_candidates(s, logits, least)));
}

hb_token hb_sampler_sample(hb_sampler *s, float *logits, float *logprob) {
  if (!logprob) {
    bias_and_penalize(s, logits);
    return sample(s, logits);
  }
  float sum = s->kernels->softmax(logits, s->vocabulary, NULL);
  memcpy(s->raw, logits, s->vocabulary * sizeof *s->raw);
  bias_and_penalize(s, logits);
  hb_token token = sample(s, logits);
  *logprob = s->raw[token] - sum;
  return token;
}
