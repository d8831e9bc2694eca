#include "quality/answers.h"
#include "cli/evaluate.h"
#include "kernel/kernel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A prompt with one of its choices, or none: text and tokens. */
typedef struct continuation {
  cli_tokens tokens;
  size_t characters;
  double log_probability;
  bool greedy; /* each token is the likeliest */
} continuation;

typedef struct answering {
  const cli_engine *engine;
  const hb_kernels *kernels;
  uint32_t count;
  continuation choices[TASK_MOST_CHOICES];
  cli_tokens prompt;
  size_t shared; /* tokens that the prompt and all choices begin with */
  continuation *current;
} answering;

/* ---- Tokens ---- */

static size_t append(char *out, size_t length, hb_string text) {
  memcpy(out + length, text.data, text.length);
  return length + text.length;
}

/* The tokens of a prompt, continued by a choice unless it is empty. */
static bool tokenize(const cli_engine *engine, const task *t, hb_string choice, cli_tokens *out) {
  hb_string before = hb_string_of(t->before), after = hb_string_of(t->after);
  char *text = malloc(before.length + t->prompt.length + after.length + choice.length + 1);
  *out = (cli_tokens){0};
  if (!text) return false;
  size_t length = append(text, 0, before);
  length = append(text, length, t->prompt);
  length = append(text, length, after);
  if (choice.length > 0) text[length++] = ' ';
  length = append(text, length, choice);
  bool ok = cli_tokenize(engine->tokenizer, (hb_string){text, length}, HB_TOKENIZE_BOS, out);
  free(text);
  hb_tokenizer_info info;
  if (ok) hb_tokenizer_get_info(engine->tokenizer, &info);
  if (ok && info.add_eos && out->count > 0 && out->data[out->count - 1] == info.eos) out->count--;
  return ok;
}

static size_t common(const cli_tokens *a, const cli_tokens *b) {
  size_t count = 0;
  while (count < a->count && count < b->count && a->data[count] == b->data[count]) count++;
  return count;
}

static size_t count_characters(hb_string text) {
  size_t count = 0;
  for (size_t i = 0; i < text.length; i++) count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
  return count;
}

static bool prepare(answering *a, const task *t) {
  if (!tokenize(a->engine, t, (hb_string){"", 0}, &a->prompt)) return false;
  a->shared = a->prompt.count;
  for (uint32_t i = 0; i < t->count; i++) {
    continuation *c = &a->choices[i];
    if (!tokenize(a->engine, t, t->choices[i], &c->tokens)) return false;
    c->characters = count_characters(t->choices[i]);
    c->greedy = true;
    size_t shared = common(&a->prompt, &c->tokens);
    if (shared < a->shared) a->shared = shared;
    a->count++;
  }
  return true;
}

static bool check_lengths(const answering *a, const char *place) {
  uint32_t context = hb_session_context_length(a->engine->session);
  if (a->shared == 0) {
    cli_fail("%s: there is no token before the choices", place);
    return false;
  }
  for (uint32_t i = 0; i < a->count; i++)
    if (a->choices[i].tokens.count > context) {
      cli_fail("%s: %zu tokens do not fit the context of %" PRIu32, place,
               a->choices[i].tokens.count, context);
      return false;
    }
  return true;
}

/* ---- Logits ---- */

static bool is_top(const float *logits, uint32_t count, hb_token token) {
  for (uint32_t i = 0; i < count; i++)
    if (logits[i] > logits[token] || (logits[i] == logits[token] && i < (uint32_t)token))
      return false;
  return true;
}

/* Takes token `index` of a choice into account, with the logits before it. */
static void score(const answering *a, continuation *c, size_t index, const float *logits,
                  float log_sum) {
  hb_token token = c->tokens.data[index];
  c->log_probability += (double)logits[token] - (double)log_sum;
  if (c->greedy) c->greedy = is_top(logits, a->engine->info.vocabulary, token);
}

/* The logits after the shared tokens judge the first token of every choice. */
static bool score_first(void *context, size_t index, const float *logits) {
  answering *a = context;
  float log_sum = a->kernels->softmax(logits, a->engine->info.vocabulary, NULL);
  (void)index;
  for (uint32_t i = 0; i < a->count; i++) score(a, &a->choices[i], a->shared, logits, log_sum);
  return true;
}

static bool score_next(void *context, size_t index, const float *logits) {
  answering *a = context;
  float log_sum = a->kernels->softmax(logits, a->engine->info.vocabulary, NULL);
  score(a, a->current, a->shared + index + 1, logits, log_sum);
  return true;
}

static bool run(answering *a) {
  cli_tokens shared = {a->prompt.data, a->shared};
  hb_session_rewind(a->engine->session, 0);
  if (!evaluate(a->engine, &shared, a->shared - 1, SPLIT_WHOLE, score_first, a)) return false;
  for (uint32_t i = 0; i < a->count; i++) {
    a->current = &a->choices[i];
    const cli_tokens *tokens = &a->current->tokens;
    /* Nothing is asked of the last token's logits. */
    cli_tokens rest = {tokens->data + a->shared, tokens->count - a->shared - 1};
    hb_session_rewind(a->engine->session, (uint32_t)a->shared);
    if (!evaluate(a->engine, &rest, 0, SPLIT_WHOLE, score_next, a)) return false;
  }
  return true;
}

/* ---- The answer ---- */

static uint32_t likeliest(const answering *a, bool by_length) {
  uint32_t best = 0;
  double most = 0;
  for (uint32_t i = 0; i < a->count; i++) {
    const continuation *c = &a->choices[i];
    double value = c->log_probability / (by_length ? (double)c->characters : 1);
    if (i > 0 && !(value > most)) continue;
    best = i;
    most = value;
  }
  return best;
}

static void count_answer(const answering *a, const task *t, answer_scores *scores) {
  if (t->count == 1) {
    scores->words++;
    scores->told += a->choices[0].greedy;
    moments_add(&scores->word_losses, -a->choices[0].log_probability);
    return;
  }
  scores->choices++;
  scores->right += likeliest(a, false) == t->gold;
  scores->right_by_length += likeliest(a, true) == t->gold;
}

bool answer_task(const cli_engine *engine, const task *t, const char *place,
                 answer_scores *scores) {
  answering a = {.engine = engine, .kernels = hb_kernels_for(engine->info.isa)};
  bool ok = prepare(&a, t) && check_lengths(&a, place) && run(&a);
  if (ok) count_answer(&a, t, scores);
  for (uint32_t i = 0; i < t->count; i++) free(a.choices[i].tokens.data);
  free(a.prompt.data);
  return ok;
}
