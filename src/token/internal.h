/* A tokenizer in memory. */
#ifndef HB_TOKEN_INTERNAL_H
#define HB_TOKEN_INTERNAL_H

#include "token/merge.h"
#include "token/pretokenize.h"
#include "token/table.h"
#include "token/tokenizer.h"

typedef enum hb_token_kind { /* tokenizer.ggml.token_type */
                             HB_TOKEN_NORMAL = 1,
                             HB_TOKEN_UNKNOWN = 2,
                             HB_TOKEN_CONTROL = 3,
                             HB_TOKEN_USER = 4,
                             HB_TOKEN_UNUSED = 5,
                             HB_TOKEN_BYTE = 6,
} hb_token_kind;

enum {
  HB_TOKEN_ENDS = 1,   /* a generation */
  HB_TOKEN_STRIPS = 2, /* the white space behind it from a text */
};

/* Tokens longer than this are never looked for as special ones in a text, so that the search is
 * linear. */
#define HB_MAX_SPECIAL_BYTES 256

/* A node of the trie of special tokens. */
typedef struct hb_trie_node {
  uint32_t parent;
  uint8_t byte;   /* that leads here from the parent */
  hb_token token; /* that ends here, or HB_NO_TOKEN */
} hb_trie_node;

struct hb_tokenizer {
  const hb_allocator *allocator;
  uint32_t count;
  hb_string *text; /* [count], views into the file's header */
  uint8_t *kind;   /* [count], hb_token_kind */
  uint8_t *flags;  /* [count], HB_TOKEN_ENDS, HB_TOKEN_STRIPS */

  hb_table texts;           /* of the tokens that plain text may become; the first of equal texts */
  hb_token byte_token[256]; /* the token of each single byte, or HB_NO_TOKEN */

  bool byte_level; /* byte-level BPE; else SentencePiece */
  float *score;    /* SentencePiece: [count] */
  bool cuts_words; /* SentencePiece: no token has U+2581 behind another character */
  const hb_pretokenizer *pretokenizer;
  uint32_t merge_count, merge_capacity;              /* BPE: in the order of their rank */
  hb_token *merge_left, *merge_right, *merge_result; /* [merge_count] */
  hb_table merges;                                   /* of pairs */

  hb_trie_node *trie; /* node 0 is the root; NULL without special tokens */
  uint32_t trie_count, trie_capacity;
  hb_table trie_edges; /* of parent and byte */

  hb_token bos, eos, unknown;
  bool add_bos, add_eos, add_space_prefix;
  size_t longest_text; /* bytes of the longest token's text */
};

/* The token that plain text may become and that reads so, or HB_NO_TOKEN. */
hb_token hb_tokenizer_lookup(const hb_tokenizer *t, hb_string text);

/* The rank of a pair of tokens among the merges, or UINT32_MAX. */
uint32_t hb_tokenizer_merge_rank(const hb_tokenizer *t, hb_token left, hb_token right);

/* The printable code point that stands for a byte in the tokens of byte-level BPE, and back (-1 if
 * it stands for none). */
uint32_t hb_byte_to_printable(uint8_t byte);
int hb_printable_to_byte(uint32_t code_point);

/* special.c: the trie. */
hb_status hb_special_create(hb_tokenizer *t, hb_error *error);
/* The longest special token at text[0] that may be taken (control tokens only with `control`), or
 * HB_NO_TOKEN. */
hb_token hb_special_match(const hb_tokenizer *t, hb_string text, bool control);

#endif
