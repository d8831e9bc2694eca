/* Which of our pre-tokenizers cuts texts as a tokenizer.json asks for. */
#include "import/vocabulary.h"

/* The stages of a pre-tokenizer, a line each: "split REGEX", "digits" (each alone), "words" (as
 * GPT-2 cuts them, then bytes), "bytes". */
typedef struct known {
  const char *stages;
  const char *name;        /* where merges make every word */
  const char *whole_words; /* where a word that is a token is taken whole (ignore_merges) */
} known;

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(digits)                                                                             \
  "split " CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                   \
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES "\nbytes\n"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define NOT_LOWER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define NOT_UPPER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(ending, digits)                                                                      \
  "split [^\\r\\n\\p{L}\\p{N}]?" NOT_LOWER "*" NOT_UPPER "+" ending                                \
  "|[^\\r\\n\\p{L}\\p{N}]?" NOT_LOWER "+" NOT_UPPER "*" ending "|" digits                          \
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES "\nbytes\n"

static const known table[] = {
    {"words\n", "gpt-2", NULL},
    {"split " GPT2 "\nbytes\n", "gpt-2", NULL},
    {"digits\nwords\n", "smollm", NULL},
    {LLAMA3("\\p{N}{1,3}"), "smaug-bpe", "llama-bpe"},
    {LLAMA3("\\p{N}"), "qwen2", NULL},
    {"split " CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
     "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES "\nbytes\n",
     "qwen35", NULL},
    {CASED("", "\\p{N}"), "tekken", "tekken"},
    {CASED(CONTRACTIONS "?", "\\p{N}{1,3}"), "gpt-4o", NULL},
    {"split [\\r\\n]\nsplit \\s?\\p{L}+\nsplit \\s?\\p{P}+\n"
     u8"split [\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+\ndigits\nbytes\n",
     "deepseek-coder", NULL},
};

typedef struct stages {
  char text[2048];
  size_t length;
  bool known;
} stages;

static void add(stages *s, const char *kind, hb_string pattern) {
  size_t length = strlen(kind);
  if (length + pattern.length + 2 > sizeof s->text - s->length) {
    s->known = false;
    return;
  }
  memcpy(s->text + s->length, kind, length);
  memcpy(s->text + s->length + length, pattern.data, pattern.length);
  s->length += length + pattern.length;
  s->text[s->length++] = '\n';
}

static bool flag(hb_item object, const char *name, bool fallback) {
  bool value;
  return hb_json_bool(hb_json_get(object, name), &value) ? value : fallback;
}

static bool is_called(hb_item object, const char *member, const char *name) {
  hb_string text;
  return hb_json_string(hb_json_get(object, member), &text) &&
         hb_string_equal(text, hb_string_of(name));
}

/* Matches are words, and so is what lies between; or what lies between is dropped, which is nothing
 * with the patterns that are used so. */
static bool keeps_matches(hb_item split) {
  bool inverted = flag(split, "invert", false);
  return is_called(split, "behavior", inverted ? "Removed" : "Isolated");
}

static void add_stage(stages *s, hb_item stage) {
  hb_string nothing = {"", 0}, pattern;
  if (is_called(stage, "type", "ByteLevel")) {
    if (flag(stage, "add_prefix_space", false)) s->known = false;
    add(s, flag(stage, "use_regex", true) ? "words" : "bytes", nothing);
  } else if (is_called(stage, "type", "Digits") && flag(stage, "individual_digits", false)) {
    add(s, "digits", nothing);
  } else if (is_called(stage, "type", "Split") && keeps_matches(stage) &&
             hb_json_string(hb_json_get(hb_json_get(stage, "pattern"), "Regex"), &pattern)) {
    add(s, "split ", pattern);
  } else {
    s->known = false;
  }
}

const char *hb_pretokenizer_name(hb_item pre_tokenizer, bool ignore_merges) {
  stages s = {.known = true};
  if (is_called(pre_tokenizer, "type", "Sequence")) {
    for (hb_json_walk w = hb_json_begin(hb_json_get(pre_tokenizer, "pretokenizers"));
         hb_json_step(&w);)
      add_stage(&s, w.value);
  } else {
    add_stage(&s, pre_tokenizer);
  }
  for (size_t i = 0; s.known && i < sizeof table / sizeof *table; i++)
    if (hb_string_equal((hb_string){s.text, s.length}, hb_string_of(table[i].stages)))
      return ignore_merges ? table[i].whole_words : table[i].name;
  return NULL;
}
