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

/* [^\r\n\p{L}\p{N}] */
static bool leads_word(const hb_characters *c, size_t at) {
  return !is(c, at, HB_UNICODE_LETTER | HB_UNICODE_NUMBER) && !is_newline(c, at);
}

/* [\p{L}\p{M}] */
static bool is_letter_or_mark(const hb_characters *c, size_t at) {
  return is(c, at, HB_UNICODE_LETTER | HB_UNICODE_MARK);
}

/* [^\s\p{L}\p{M}\p{N}] */
static bool is_symbol_no_mark(const hb_characters *c, size_t at) {
  return is_symbol(c, at) && !is(c, at, HB_UNICODE_MARK);
}

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
static bool is_not_lower(const hb_characters *c, size_t at) {
  return is_letter_or_mark(c, at) && !is(c, at, HB_UNICODE_LOWER);
}

/* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
static bool is_not_upper(const hb_characters *c, size_t at) {
  return is_letter_or_mark(c, at) && !is(c, at, HB_UNICODE_UPPER);
}

/* [\r\n/] */
static bool is_newline_or_slash(const hb_characters *c, size_t at) {
  return is_newline(c, at) || c->code_point[at] == '/';
}

/* [\p{P}\p{S}] */
static bool is_sign_of_any_kind(const hb_characters *c, size_t at) {
  return is(c, at, HB_UNICODE_PUNCTUATION | HB_UNICODE_SYMBOL);
}

/* [^\r\n\p{L}\p{P}\p{S}] */
static bool leads_marked_word(const hb_characters *c, size_t at) {
  return !is(c, at, HB_UNICODE_LETTER | HB_UNICODE_PUNCTUATION | HB_UNICODE_SYMBOL) &&
         !is_newline(c, at);
}

/* [A-Za-z] */
static bool is_ascii_letter(const hb_characters *c, size_t at) {
  return c->code_point[at] < 0x80 && is_letter(c, at);
}

/* [!-/:-@[-`{-~] */
static bool is_ascii_punctuation(const hb_characters *c, size_t at) {
  uint32_t p = c->code_point[at];
  return p > ' ' && p < 0x7f && !is(c, at, HB_UNICODE_LETTER | HB_UNICODE_NUMBER);
}

/* [一-龥぀-ゟ゠-ヿ] */
static bool is_han_or_kana(const hb_characters *c, size_t at) {
  uint32_t p = c->code_point[at];
  return (p >= 0x4e00 && p <= 0x9fa5) || (p >= 0x3040 && p <= 0x30ff);
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

/* One optional character of `before`, then one or more of `of_class`. */
static size_t run_after(const hb_characters *c, size_t at, size_t end, class_test before,
                        class_test of_class) {
  size_t skip = at < end && before(c, at) ? 1 : 0;
  size_t n = run(c, at + skip, end, of_class);
  return n > 0 ? skip + n : run(c, at, end, of_class); /* a class may be both */
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
  if (at + 1 >= end || c->code_point[at] != '\'') return 0;
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

/* \p{N}{1,most} */
static size_t digits(const hb_characters *c, size_t at, size_t end, size_t most) {
  return run(c, at, end - at > most ? at + most : end, is_number);
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t blank_space(const hb_characters *c, size_t at, size_t end) {
  size_t n = lines(c, at, end);
  return n > 0 ? n : spaces(c, at, end);
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

/* Llama 3 with up to `most` digits a word: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|
 * \p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_llama3_digits(const hb_characters *c, size_t at, size_t end, size_t most) {
  size_t n = contraction(c, at, end, true);
  if (n == 0) n = run_after(c, at, end, leads_word, is_letter);
  if (n == 0) n = digits(c, at, end, most);
  if (n > 0) return n;
  n = run_after(c, at, end, is_blank, is_symbol);
  if (n > 0) return n + run(c, at + n, end, is_newline);
  return blank_space(c, at, end);
}

static size_t match_llama3(const hb_characters *c, size_t at, size_t end) {
  return match_llama3_digits(c, at, end, 3);
}

static size_t match_qwen2(const hb_characters *c, size_t at, size_t end) {
  return match_llama3_digits(c, at, end, 1);
}

/* Qwen 3.5: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|
 *  ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_qwen35(const hb_characters *c, size_t at, size_t end) {
  size_t n = contraction(c, at, end, true);
  if (n == 0) n = run_after(c, at, end, leads_word, is_letter_or_mark);
  if (n == 0) n = digits(c, at, end, 1);
  if (n > 0) return n;
  n = run_after(c, at, end, is_blank, is_symbol_no_mark);
  if (n > 0) return n + run(c, at + n, end, is_newline);
  return blank_space(c, at, end);
}

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ : where nothing follows that is not
 * upper case, the first part gives back up to the last character that both may take. */
static size_t cased_word(const hb_characters *c, size_t at, size_t end) {
  size_t first = run(c, at, end, is_not_lower);
  size_t second = run(c, at + first, end, is_not_upper);
  if (second > 0) return first + second;
  while (first > 0 && !is_not_upper(c, at + first - 1)) first--;
  return first;
}

/* [^\r\n\p{L}\p{N}]?A|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*
 * with the cased word A. Where A fails, nothing is left for the last part to take. */
static size_t word_in_case(const hb_characters *c, size_t at, size_t end) {
  size_t skip = leads_word(c, at) ? 1 : 0;
  size_t n = cased_word(c, at + skip, end);
  if (n > 0) return skip + n;
  n = skip ? cased_word(c, at, end) : 0;
  return n > 0 ? n : run_after(c, at, end, leads_word, is_not_lower);
}

/* What follows the words of Tekken and GPT-4o:
 *  ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t between_words(const hb_characters *c, size_t at, size_t end) {
  size_t n = run_after(c, at, end, is_blank, is_symbol);
  if (n > 0) return n + run(c, at + n, end, is_newline_or_slash);
  return blank_space(c, at, end);
}

/* Mistral's Tekken: words in case, \p{N}, what is between */
static size_t match_tekken(const hb_characters *c, size_t at, size_t end) {
  size_t n = word_in_case(c, at, end);
  if (n == 0) n = digits(c, at, end, 1);
  return n > 0 ? n : between_words(c, at, end);
}

/* GPT-4o: words in case, each with (?i:'s|'t|'re|'ve|'m|'ll|'d)?, \p{N}{1,3}, what is between */
static size_t match_gpt4o(const hb_characters *c, size_t at, size_t end) {
  size_t n = word_in_case(c, at, end);
  if (n > 0) return n + contraction(c, at + n, end, true);
  n = digits(c, at, end, 3);
  return n > 0 ? n : between_words(c, at, end);
}

/* DeepSeek V3, last stage: [!-/:-@[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
 *  ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t match_deepseek3(const hb_characters *c, size_t at, size_t end) {
  size_t n = is_ascii_punctuation(c, at) ? run(c, at + 1, end, is_ascii_letter) : 0;
  if (n > 0) return 1 + n;
  n = run_after(c, at, end, leads_marked_word, is_letter_or_mark);
  if (n > 0) return n;
  n = run_after(c, at, end, is_blank, is_sign_of_any_kind);
  if (n > 0) return n + run(c, at + n, end, is_newline);
  return blank_space(c, at, end);
}

/* \p{N}{1,3} */
static size_t match_up_to_three(const hb_characters *c, size_t at, size_t end) {
  return digits(c, at, end, 3);
}

/* [一-龥぀-ゟ゠-ヿ]+ */
static size_t match_han_or_kana(const hb_characters *c, size_t at, size_t end) {
  return run(c, at, end, is_han_or_kana);
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

static const hb_pretokenizer pretokenizers[] = {
    {.names = "default", .stages = {match_signs, match_gpt2, match_numbers, match_three_digits}},
    {.names = "gpt-2 gpt2 phi-2 mpt olmo jais gigachat a.x-4.0 mellum exaone4 trillion "
              "granite-docling",
     .stages = {match_gpt2}},
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
     .stages = {match_llama3},
     .ignore_merges = true,
     .add_bos = true},
    {.names = "smaug-bpe dbrx glm4 chatglm-bpe", .stages = {match_llama3}},
    {.names = "qwen2 deepseek-r1-qwen stablelm2 megrez kormo hunyuan grok-2",
     .stages = {match_qwen2}},
    {.names = "qwen35", .stages = {match_qwen35}},
    {.names = "starcoder smollm refact command-r codeshell exaone minerva-7b",
     .stages = {match_number, match_gpt2}},
    {.names = "falcon", .stages = {match_signs_and_backticks, match_gpt2, match_three_digits}},
    {.names = "deepseek-coder",
     .stages = {match_newline, match_letters, match_punctuation, match_cjk, match_number}},
    {.names = "deepseek-v3 hunyuan-dense",
     .stages = {match_up_to_three, match_han_or_kana, match_deepseek3}},
    {.names = "tekken", .stages = {match_tekken}, .ignore_merges = true, .add_bos = true},
    {.names = "gpt-4o llama4 kanana2 minimax-m2", .stages = {match_gpt4o}},
};

/* Is `name` one of those words? */
static bool is_among(const char *words, hb_string name) {
  for (const char *word = words; *word;) {
    size_t length = 0;
    while (word[length] && word[length] != ' ') length++;
    if (hb_string_equal((hb_string){word, length}, name)) return true;
    word += length;
    while (*word == ' ') word++;
  }
  return false;
}

const hb_pretokenizer *hb_pretokenizer_find(hb_string name) {
  for (size_t i = 0; i < sizeof pretokenizers / sizeof *pretokenizers; i++)
    if (is_among(pretokenizers[i].names, name)) return &pretokenizers[i];
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
