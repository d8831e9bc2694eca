/* Pre-tokenizers: how byte-level BPE cuts a text into words before merging. The regular expressions
 * of the models' authors, by the name in tokenizer.ggml.pre, matched by hand. */
#ifndef HB_PRETOKENIZE_H
#define HB_PRETOKENIZE_H

#include "token/unicode.h"

/* A text as code points. */
typedef struct hb_characters {
  const char *text;
  uint32_t *code_point; /* [count] */
  uint8_t *class_of;    /* [count], HB_UNICODE_ bits */
  uint32_t *offset;     /* [count + 1], in bytes */
  size_t count;
} hb_characters;

/* The length in characters of what a pattern matches at `at` (within at..end), or 0. */
typedef size_t (*hb_matcher)(const hb_characters *c, size_t at, size_t end);

#define HB_MAX_STAGES 5

typedef struct hb_pretokenizer {
  const char *names; /* that the file may give it, with spaces between */
  /* Each stage cuts every piece of the stage before into matches and what lies between them. */
  hb_matcher stages[HB_MAX_STAGES];
  bool ignore_merges; /* a word that is a token is taken whole */
  bool add_bos;       /* unless the file says otherwise */
} hb_pretokenizer;

/* The one with that name, or NULL. */
const hb_pretokenizer *hb_pretokenizer_find(hb_string name);

/* Called with each word, in order; a status other than HB_OK ends the walk. */
typedef hb_status (*hb_word_visitor)(void *context, hb_string word);

hb_status hb_pretokenize(const hb_pretokenizer *p, const hb_characters *c, hb_word_visitor visit,
                         void *context);

#endif
