#include "token/pretokenize.h"

/* ---- Classes ---- */

static bool is(const hb_characters *c, size_t at, uint8_t bits) {
  return (c->class_of[at] & bits) != 0;
}

static bool is_letter(const hb_characters *c, size_t at) {
  return is(c, at, HB_UNICODE_LETTER);
}

static bool is_number(const hb_characters *c, size_t at) {
  return is(c, at, HB_UNICODE_NUMBER);
}

static bool is_space(const hb_characters *c, size_t at) {
  return is(c, at, HB_UNICODE_SPACE);
}

static bool is_newline(const hb_characters *c, size_t at) {
  return c->code_point[at] == '\r' || c->code_point[at] == '\n';
}

/* [^\s\p{L}\p{N}] */
static bool is_symbol(const hb_characters *c, size_t at) {
  return !is(c, at, HB_UNICODE_LETTER | HB_UNICODE_NUMBER | HB_UNICODE_SPACE);
}

static bool is_punctuation(const hb_characters *c, size_t at) {
  return is(c, at, HB_UNICODE_PUNCTUATION);
}

/* [\p{P}$+<=>^~|] */
static bool is_sign(const hb_characters *c, size_t at) {
  uint32_t p = c->code_point[at];
  return is_punctuation(c, at) || p == '$' || p == '+' || (p >= '<' && p <= '>') || p == '^' ||
         p == '~' || p == '|';
}

/* [\p{P}$+<=>^~|`] */
static bool is_sign_or_backtick(const hb_characters *c, size_t at) {
  return is_sign(c, at) || c->code_point[at] == '`';
}

/* [一-龥ࠀ-一가-퟿] */
static bool is_cjk(const hb_characters *c, size_t at) {
  uint32_t p = c->code_point[at];
  return (p >= 0x800 && p <= 0x9fa5) || (p >= 0xac00 && p <= 0xd7ff);
}

typedef bool (*class_test)(const hb_characters *c, size_t at);

/* How many characters from `at` on are of the class. */
static size_t run(const hb_characters *c, size_t at, size_t end, class_test of_class) {
  size_t n = 0;
  while (at + n < end && of_class(c, at + n)) n++;
  return n;
}

/* One optional character of `before`, then one or more of `of_class`; the two never overlap. */
static size_t run_after(const hb_characters *c, size_t at, size_t end, class_test before,
                        class_test of_class) {
  size_t skip = at < end && before(c, at) ? 1 : 0;
  size_t n = run(c, at + skip, end, of_class);
  return n > 0 ? skip + n : 0;
}

static bool is_blank(const hb_characters *c, size_t at) {
  return c->code_point[at] == ' ';
}

/* ---- Parts of patterns ---- */

static uint32_t lower(uint32_t p) {
  return p >= 'A' && p <= 'Z' ? p + ('a' - 'A') : p;
}

/* 's|'t|'re|'ve|'m|'ll|'d, with (?i) where `any_case`. */
static size_t contraction(const hb_characters *c, size_t at, size_t end, bool any_case) {
  if (c->code_point[at] != '\'' || at + 1 >= end) return 0;
  uint32_t a = c->code_point[at + 1], b = at + 2 < end ? c->code_point[at + 2] : 0;
  if (any_case) {
    a = lower(a);
    b = lower(b);
  }
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
  return two ? 3 : 0;
}

/* \s+(?!\S)|\s+: a run of spaces leaves its last one to the word that follows, if it is longer. */
static size_t spaces(const hb_characters *c, size_t at, size_t end) {
  size_t n = run(c, at, end, is_space);
  return n > 1 && at + n < end ? n - 1 : n;
}

/* \s*[\r\n]+ */
static size_t lines(const hb_characters *c, size_t at, size_t end) {
  size_t n = run(c, at, end, is_space);
  while (n > 0 && !is_newline(c, at + n - 1)) n--;
  return n;
}

/* ---- Whole patterns ---- */

/* GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t match_gpt2(const hb_characters *c, size_t at, size_t end) {
  size_t n = contraction(c, at, end, false);
  if (n == 0) n = run_after(c, at, end, is_blank, is_letter);
  if (n == 0) n = run_after(c, at, end, is_blank, is_number);
  if (n == 0) n = run_after(c, at, end, is_blank, is_symbol);
  return n > 0 ? n : spaces(c, at, end);
}

/* Llama 3 with up to `digits` digits a word: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|
 * \p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_llama3_digits(const hb_characters *c, size_t at, size_t end, size_t digits) {
  size_t n = contraction(c, at, end, true);
  if (n > 0) return n;
  size_t skip = is_letter(c, at) || is_number(c, at) || is_newline(c, at) ? 0 : 1;
  n = run(c, at + skip, end, is_letter);
  if (n > 0) return skip + n;
  n = run(c, at, at + digits < end ? at + digits : end, is_number);
  if (n > 0) return n;
  n = run_after(c, at, end, is_blank, is_symbol);
  if (n > 0) return n + run(c, at + n, end, is_newline);
  n = lines(c, at, end);
  return n > 0 ? n : spaces(c, at, end);
}

static size_t match_llama3(const hb_characters *c, size_t at, size_t end) {
  return match_llama3_digits(c, at, end, 3);
}

static size_t match_qwen2(const hb_characters *c, size_t at, size_t end) {
  return match_llama3_digits(c, at, end, 1);
}

/* \p{N} */
static size_t match_number(const hb_characters *c, size_t at, size_t end) {
  return at < end && is_number(c, at);
}

/* \p{N}+ */
static size_t match_numbers(const hb_characters *c, size_t at, size_t end) {
  return run(c, at, end, is_number);
}

/* [0-9][0-9][0-9] */
static size_t match_three_digits(const hb_characters *c, size_t at, size_t end) {
  if (end - at < 3) return 0;
  for (size_t i = 0; i < 3; i++)
    if (c->code_point[at + i] < '0' || c->code_point[at + i] > '9') return 0;
  return 3;
}

/* [\p{P}$+<=>^~|]+ */
static size_t match_signs(const hb_characters *c, size_t at, size_t end) {
  return run(c, at, end, is_sign);
}

/* [\p{P}$+<=>^~|`]+ */
static size_t match_signs_and_backticks(const hb_characters *c, size_t at, size_t end) {
  return run(c, at, end, is_sign_or_backtick);
}

/* [\r\n] */
static size_t match_newline(const hb_characters *c, size_t at, size_t end) {
  return at < end && is_newline(c, at);
}

/* \s?\p{L}+ */
static size_t match_letters(const hb_characters *c, size_t at, size_t end) {
  return run_after(c, at, end, is_space, is_letter);
}

/* \s?\p{P}+ */
static size_t match_punctuation(const hb_characters *c, size_t at, size_t end) {
  return run_after(c, at, end, is_space, is_punctuation);
}

/* [一-龥ࠀ-一가-퟿]+ */
static size_t match_cjk(const hb_characters *c, size_t at, size_t end) {
  return run(c, at, end, is_cjk);
}

/* ---- The table: names as llama.cpp gives them ---- */

#define GPT2_STAGES {match_gpt2}
#define LLAMA3_STAGES {match_llama3}
#define QWEN2_STAGES {match_qwen2}
#define STARCODER_STAGES {match_number, match_gpt2}
#define DEFAULT_STAGES {match_signs, match_gpt2, match_numbers, match_three_digits}

static const hb_pretokenizer pretokenizers[] = {
    {.name = "default", .stages = DEFAULT_STAGES},
    {.name = "gpt-2", .stages = GPT2_STAGES},
    {.name = "gpt2", .stages = GPT2_STAGES},
    {.name = "phi-2", .stages = GPT2_STAGES},
    {.name = "mpt", .stages = GPT2_STAGES},
    {.name = "olmo", .stages = GPT2_STAGES},
    {.name = "jais", .stages = GPT2_STAGES},
    {.name = "llama-bpe", .stages = LLAMA3_STAGES, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .stages = LLAMA3_STAGES, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .stages = LLAMA3_STAGES, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .stages = LLAMA3_STAGES, .ignore_merges = true, .add_bos = true},
    {.name = "smaug-bpe", .stages = LLAMA3_STAGES},
    {.name = "dbrx", .stages = LLAMA3_STAGES},
    {.name = "qwen2", .stages = QWEN2_STAGES},
    {.name = "deepseek-r1-qwen", .stages = QWEN2_STAGES},
    {.name = "stablelm2", .stages = QWEN2_STAGES},
    {.name = "smollm", .stages = STARCODER_STAGES},
    {.name = "starcoder", .stages = STARCODER_STAGES},
    {.name = "refact", .stages = STARCODER_STAGES},
    {.name = "command-r", .stages = STARCODER_STAGES},
    {.name = "codeshell", .stages = STARCODER_STAGES},
    {.name = "falcon", .stages = {match_signs_and_backticks, match_gpt2, match_three_digits}},
    {.name = "deepseek-coder",
     .stages = {match_newline, match_letters, match_punctuation, match_cjk, match_number}},
};

const hb_pretokenizer *hb_pretokenizer_find(hb_string name) {
  for (size_t i = 0; i < sizeof pretokenizers / sizeof *pretokenizers; i++)
    if (hb_string_equal(hb_string_of(pretokenizers[i].name), name)) return &pretokenizers[i];
  return NULL;
}

/* ---- Walking ---- */

typedef struct walk {
  const hb_pretokenizer *p;
  const hb_characters *c;
  hb_word_visitor visit;
  void *context;
} walk;

/* Cuts the piece at..end by `stage` and those behind it. Depth: the number of stages. */
static hb_status cut(const walk *w, size_t stage, size_t at, size_t end) {
  if (at == end) return HB_OK;
  if (stage == HB_MAX_STAGES || !w->p->stages[stage]) {
    const uint32_t *offset = w->c->offset;
    return w->visit(w->context, (hb_string){w->c->text + offset[at], offset[end] - offset[at]});
  }
  size_t gap = at; /* where what no match has covered begins */
  while (at < end) {
    size_t n = w->p->stages[stage](w->c, at, end);
    if (n == 0) {
      at++;
      continue;
    }
    HB_TRY(cut(w, stage + 1, gap, at));
    HB_TRY(cut(w, stage + 1, at, at + n));
    gap = at += n;
  }
  return cut(w, stage + 1, gap, end);
}

hb_status hb_pretokenize(const hb_pretokenizer *p, const hb_characters *c, hb_word_visitor visit,
                         void *context) {
  const walk w = {p, c, visit, context};
  return cut(&w, 0, 0, c->count);
}
