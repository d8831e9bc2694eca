/* UTF-8, and the classes of code points that pre-tokenizers ask for. */
#ifndef HB_UNICODE_H
#define HB_UNICODE_H

#include "base/base.h"

/* Bits of a class. */
enum {
  HB_UNICODE_LETTER = 1,      /* \p{L} */
  HB_UNICODE_NUMBER = 2,      /* \p{N} */
  HB_UNICODE_PUNCTUATION = 4, /* \p{P} */
  HB_UNICODE_SPACE = 8,       /* \s */
  HB_UNICODE_UPPER = 16,      /* \p{Lu} and \p{Lt}, letters too */
  HB_UNICODE_LOWER = 32,      /* \p{Ll}, letters too */
  HB_UNICODE_MARK = 64,       /* \p{M} */
  HB_UNICODE_SYMBOL = 128,    /* \p{S} */
};

/* Runs of code points of one class: the first code point << 8 | class. A run of upper and lower
 * case alternates between them, beginning with upper. */
extern const uint32_t hb_unicode_runs[]; /* unicode_table.c */
extern const uint32_t hb_unicode_run_count;

uint8_t hb_unicode_class(uint32_t code_point);

/* Bytes of the UTF-8 sequence that a lead byte announces; 0 for a byte that cannot lead. */
uint32_t hb_utf8_length(uint8_t lead);

/* May `byte` follow `count` (1 to 3) good bytes of a sequence? Refuses overlong forms, surrogates
 * and what lies beyond U+10FFFF. */
bool hb_utf8_continues(const uint8_t *sequence, uint32_t count, uint8_t byte);

/* Decodes the character at text[0], of `left` >= 1 bytes; returns its length. Bytes that are no
 * UTF-8 count one by one, each as HB_NOT_UNICODE. */
#define HB_NOT_UNICODE 0xffffffffu
uint32_t hb_utf8_decode(const char *text, size_t left, uint32_t *code_point);

/* Writes a code point below 0x800 (1 or 2 bytes); returns its length. */
uint32_t hb_utf8_encode_short(uint32_t code_point, char *out);

#endif
