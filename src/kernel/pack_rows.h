/*
 * Packing, a row at a time: functions that put one GGUF block of one row where it belongs among the
 * 16 rows of packed blocks (pack.h). Codes are moved as words, four of them or eight at once. Both
 * forms are little-endian, and so is every target.
 *
 *   row_TYPE(in, out, row)   in: the GGUF block; out: the packed block, or the first of the blocks
 *                            that its values fill; every byte of the row is written
 */
#ifndef HB_KERNEL_PACK_ROWS_H
#define HB_KERNEL_PACK_ROWS_H

#include "kernel/isa.h"
#include "kernel/pack.h"

#include "base/half.h"
#include "quant/private.h"

/* The same number in each byte of a word. */
#define HB_BYTES(x) (UINT64_C(0x0101010101010101) * (x))

enum {
  CHUNK = 64, /* bytes of a chunk: a word of each row */
  BLOCK_PARTS = 256 / HB_BLOCK
};

HB_INLINE uint32_t word_at(const uint8_t *at) {
  uint32_t word;
  memcpy(&word, at, 4);
  return word;
}

HB_INLINE uint64_t two_words_at(const uint8_t *at) {
  uint64_t words;
  memcpy(&words, at, 8);
  return words;
}

/* A row's word of a chunk; `out` is the row's place in chunk 0. */
HB_INLINE void put_word(uint8_t *out, size_t chunk, uint32_t word) {
  memcpy(out + CHUNK * chunk, &word, 4);
}

HB_INLINE void put_two_words(uint8_t *out, size_t chunk, uint64_t words) {
  put_word(out, chunk, (uint32_t)words);
  put_word(out, chunk + 1, (uint32_t)(words >> 32));
}

HB_INLINE void put_half(uint8_t *out, size_t row, const uint8_t *in) {
  memcpy(out + 2 * row, in, 2);
}

/* The header of d, or of d and m, which follow each other in GGUF. */
HB_INLINE void put_d(uint8_t *out, size_t row, const uint8_t *in) {
  put_half(out, row, in);
}

HB_INLINE void put_d_m(uint8_t *out, size_t row, const uint8_t *in) {
  put_half(out, row, in);
  put_half(out + 2 * HB_GROUP, row, in + 2);
}

/* ---- Types of 32 values: byte j of qs is code j (low nibble) and 16 + j, as in a chunk ----------
 */

HB_INLINE void put_nibbles(uint8_t *out, const uint8_t *qs) {
  put_two_words(out, 0, two_words_at(qs));
  put_two_words(out, 2, two_words_at(qs + 8));
}

/* Exchanges bits a and b of the number of each bit: those of `mask` have a = 0 and b = 1, and
 * distance = 2^a - 2^b. */
HB_INLINE uint32_t exchange(uint32_t bits, uint32_t mask, unsigned distance) {
  uint32_t moved = (bits >> distance ^ bits) & mask;
  return bits ^ moved ^ moved << distance;
}

/* Bit 4r + j of qh belongs to code 4r + j; the packed word has it as bit r of byte j. So the number
 * of a bit changes from r2 r1 r0 j1 j0 to j1 j0 r2 r1 r0. */
HB_INLINE uint32_t fifth_bits(const uint8_t *qh) {
  uint32_t bits = word_at(qh);
  bits = exchange(bits, 0x0000cccc, 14); /* j1 r1 r0 r2 j0 */
  bits = exchange(bits, 0x00aa00aa, 7);  /* j1 j0 r0 r2 r1 */
  bits = exchange(bits, 0x0c0c0c0c, 2);  /* j1 j0 r2 r0 r1 */
  return exchange(bits, 0x22222222, 1);
}

/* d, qs[16]; IQ4_NL too */
HB_INLINE void row_q4_0(const uint8_t *in, uint8_t *out, size_t row) {
  put_d(out, row, in);
  put_nibbles(out + 2 * HB_GROUP + 4 * row, in + 2);
}

/* d, m, qs[16] */
HB_INLINE void row_q4_1(const uint8_t *in, uint8_t *out, size_t row) {
  put_d_m(out, row, in);
  put_nibbles(out + 4 * HB_GROUP + 4 * row, in + 4);
}

/* d, qh[4], qs[16] */
HB_INLINE void row_q5_0(const uint8_t *in, uint8_t *out, size_t row) {
  put_d(out, row, in);
  put_nibbles(out + 2 * HB_GROUP + 4 * row, in + 6);
  put_word(out + 2 * HB_GROUP + 4 * row, 4, fifth_bits(in + 2));
}

/* d, m, qh[4], qs[16] */
HB_INLINE void row_q5_1(const uint8_t *in, uint8_t *out, size_t row) {
  put_d_m(out, row, in);
  put_nibbles(out + 4 * HB_GROUP + 4 * row, in + 8);
  put_word(out + 4 * HB_GROUP + 4 * row, 4, fifth_bits(in + 4));
}

/* d, q[32] */
HB_INLINE void row_q8_0(const uint8_t *in, uint8_t *out, size_t row) {
  put_d(out, row, in);
  for (size_t c = 0; c < 8; c += 2)
    put_two_words(out + 2 * HB_GROUP + 4 * row, c, two_words_at(in + 2 + 4 * c));
}

/* e, qs[16] */
HB_INLINE void row_mxfp4(const uint8_t *in, uint8_t *out, size_t row) {
  out[row] = in[0];
  put_nibbles(out + HB_GROUP + 4 * row, in + 1);
}

/* ---- Types of 256 values: 8 parts of 32 ---------------------------------------------------- */

/* The low nibbles of 32 bytes are the codes of one part, the high ones those of another. */
HB_INLINE void put_nibbles_of_two(uint8_t *low, uint8_t *high, const uint8_t *q) {
  const uint64_t nibble = HB_BYTES(0x0f);
  for (size_t c = 0; c < 4; c += 2) {
    uint64_t first = two_words_at(q + 4 * c), second = two_words_at(q + 16 + 4 * c);
    put_two_words(low, c, (first & nibble) | (second & nibble) << 4);
    put_two_words(high, c, (first >> 4 & nibble) | (second & ~nibble));
  }
}

/* Words c and 4 + c of 32 bytes, side by side: what chunk c makes codes of. */
HB_INLINE uint64_t chunk_words(const uint8_t *in, size_t c) {
  return word_at(in + 4 * c) | (uint64_t)word_at(in + 16 + 4 * c) << 32;
}

/* d, dmin, scales[12]: 8 scales and 8 mins of 6 bits. Bytes 0-3 and 4-7 hold scales and mins 0-3
 * in their low 6 bits; bytes 8-11 the low 4 bits of scales (low nibble) and mins 4-7, whose high 2
 * bits are those of bytes 0-3 and 4-7. */
HB_INLINE void put_k_header(const uint8_t *in, uint8_t *out, size_t row, size_t part_bytes) {
  uint32_t a = word_at(in + 4), b = word_at(in + 8), c = word_at(in + 12);
  const uint32_t low6 = 0x3f3f3f3f, low4 = 0x0f0f0f0f, bits45 = 0x30303030;
  uint64_t scales = (a & low6) | (uint64_t)((c & low4) | (a >> 2 & bits45)) << 32;
  uint64_t mins = (b & low6) | (uint64_t)((c >> 4 & low4) | (b >> 2 & bits45)) << 32;
  put_d_m(out, row, in);
  uint8_t *at = out + 4 * HB_GROUP + row;
  for (unsigned p = 0; p < BLOCK_PARTS; p++) {
    at[0] = (uint8_t)(scales >> 8 * p);
    at[HB_GROUP] = (uint8_t)(mins >> 8 * p);
    at += part_bytes;
  }
}

/* The header, qs[128]: of each 32 bytes the low nibbles are one part, the high ones the next. */
HB_INLINE void row_q4_k(const uint8_t *in, uint8_t *out, size_t row) {
  const size_t part = 2 * HB_GROUP + 4 * CHUNK;
  uint8_t *codes = out + 4 * HB_GROUP + 2 * HB_GROUP + 4 * row;
  put_k_header(in, out, row, part);
  for (size_t p = 0; p < BLOCK_PARTS; p += 2)
    put_nibbles_of_two(codes + p * part, codes + (p + 1) * part, in + 16 + 16 * p);
}

/* The header, qh[32], qs[128] as in Q4_K. Bit p of qh[i] is bit 4 of code i of part p. */
HB_INLINE void row_q5_k(const uint8_t *in, uint8_t *out, size_t row) {
  const size_t part = 2 * HB_GROUP + 5 * CHUNK;
  uint8_t *codes = out + 4 * HB_GROUP + 2 * HB_GROUP + 4 * row;
  put_k_header(in, out, row, part);
  for (size_t p = 0; p < BLOCK_PARTS; p += 2)
    put_nibbles_of_two(codes + p * part, codes + (p + 1) * part, in + 48 + 16 * p);
  uint64_t high[4];
  for (size_t c = 0; c < 4; c++) high[c] = chunk_words(in + 16, c);
  for (size_t p = 0; p < BLOCK_PARTS; p++) {
    uint64_t bits = 0;
    for (size_t c = 0; c < 4; c++) bits |= (high[c] >> p & HB_BYTES(1)) << c;
    put_word(codes + p * part, 4, (uint32_t)(bits | bits >> 28));
  }
}

/* ql[128], qh[64], scales[16], d. Each half of 128 values, 4 parts, has 64 bytes of ql and 32 of
 * qh. Parts 0 and 1 take the low nibbles of the first and second 32 bytes of ql, parts 2 and 3 the
 * high ones; bits 2p, 2p + 1 of qh[i] are bits 4-5 of code i of part p. */
HB_INLINE void row_q6_k(const uint8_t *in, uint8_t *out, size_t row) {
  const size_t part = 2 * HB_GROUP + 6 * CHUNK;
  put_d(out, row, in + 208);
  for (size_t p = 0; p < BLOCK_PARTS; p++) {
    out[2 * HB_GROUP + p * part + row] = in[192 + 2 * p];
    out[3 * HB_GROUP + p * part + row] = in[192 + 2 * p + 1];
  }
  for (size_t half = 0; half < 2; half++) {
    const uint8_t *ql = in + 64 * half, *qh = in + 128 + 32 * half;
    uint8_t *codes = out + 2 * HB_GROUP + 2 * HB_GROUP + 4 * half * part + 4 * row;
    put_nibbles_of_two(codes, codes + 2 * part, ql);
    put_nibbles_of_two(codes + part, codes + 3 * part, ql + 32);
    uint64_t high[4];
    for (size_t c = 0; c < 4; c++) high[c] = chunk_words(qh, c);
    for (size_t p = 0; p < 4; p++) {
      uint64_t bits = 0;
      for (size_t c = 0; c < 4; c++) bits |= (high[c] >> 2 * p & HB_BYTES(3)) << 2 * c;
      put_two_words(codes + p * part, 4, bits);
    }
  }
}

/* d, scales_h (u16), scales_l[4], qs[8][16]. 8 scales of 6 bits, less 32. */
HB_INLINE void row_iq4_xs(const uint8_t *in, uint8_t *out, size_t row) {
  const size_t part = HB_GROUP + 4 * CHUNK;
  unsigned high = hb_load_u16(in + 2);
  uint32_t low = word_at(in + 4);
  put_d(out, row, in);
  for (size_t p = 0; p < BLOCK_PARTS; p++) {
    uint8_t *at = out + 2 * HB_GROUP + p * part;
    at[row] = (uint8_t)((low >> 4 * p & 15) + ((high >> 2 * p & 3) << 4) - 32);
    put_nibbles(at + HB_GROUP + 4 * row, in + 8 + 16 * p);
  }
}

/* ---- halfbyte's own types (quant/levels.c): a row at a time, as its blocks share something ------
 */

HB_INLINE void put_factor(uint8_t *out, size_t row, float factor) {
  memcpy(out + 4 * row, &factor, 4);
}

/* Super-blocks of up to 4 blocks of 64 values: d, s[4], qs[4][2][16]. `in` is the row, `out` the
 * first packed block. */
HB_INLINE void row_levels(const uint8_t *in, uint8_t *out, size_t row, size_t blocks) {
  const size_t block = 4 * HB_GROUP + 2 * 4 * CHUNK;
  while (blocks > 0) {
    size_t count = blocks < HB_LEVELS_BLOCKS ? blocks : HB_LEVELS_BLOCKS;
    const uint8_t *scales = in + 2, *codes = scales + count;
    float d = hb_f32_of_f16(hb_load_u16(in));
    for (size_t b = 0; b < count; b++, out += block, codes += HB_LEVELS_CODES) {
      uint8_t *at = out + 4 * HB_GROUP + 4 * row;
      put_factor(out, row, hb_levels_factor(d, scales[b]));
      put_nibbles(at, codes);
      put_nibbles(at + 4 * CHUNK, codes + 16);
    }
    in = codes;
    blocks -= count;
  }
}

/* d, level[levels], to where a group begins */
HB_INLINE void row_table(const uint8_t *in, uint8_t *out, size_t row, size_t levels) {
  put_factor(out, row, hb_table_factor(hb_f32_of_f16(hb_load_u16(in))));
  memcpy(out + HB_TABLES_AT + hb_table_at(row), in + HB_TABLE_LEVELS, levels);
}

/* qs[16] */
HB_INLINE void row_table4(const uint8_t *in, uint8_t *out, size_t row) {
  put_nibbles(out + 4 * row, in);
}

/* low[8], high[4]: bits 2k, 2k + 1 of byte j of low are those of code 8k + j, whose bit 2 is bit j
 * of byte k of high. */
HB_INLINE void row_table3(const uint8_t *in, uint8_t *out, size_t row) {
  uint64_t low = two_words_at(in), codes[4];
  for (size_t k = 0; k < 4; k++) {
    /* In byte j only bit j is left, and moved to bit 0. */
    uint64_t bits = HB_BYTES(in[8 + k]) & UINT64_C(0x8040201008040201);
    uint64_t high = (bits + HB_BYTES(0x7f)) >> 7 & HB_BYTES(1);
    codes[k] = (low >> 2 * k & HB_BYTES(3)) | high << 2;
  }
  put_two_words(out + 4 * row, 0, codes[0] | codes[2] << 4);
  put_two_words(out + 4 * row, 2, codes[1] | codes[3] << 4);
}

/* Block of 64 values to 2 blocks of Q4_1: d, m, qs[16]. Bits 2k, 2k + 1 of byte j are those of
 * code 16k + j. */
HB_INLINE void row_int2_64(const uint8_t *in, uint8_t *out, size_t row) {
  for (size_t half = 0; half < 2; half++, out += 4 * HB_GROUP + 4 * CHUNK) {
    put_d_m(out, row, in);
    for (size_t c = 0; c < 4; c += 2) {
      uint64_t eight = two_words_at(in + 4 + 4 * c) >> 4 * half;
      put_two_words(out + 4 * HB_GROUP + 4 * row, c,
                    (eight & HB_BYTES(3)) | (eight & HB_BYTES(12)) << 2);
    }
  }
}

/* ---- Types of 2 and 3 bits, through a byte for every code ---------------------------------------
 */

/* A block of 256 values of one row. */
typedef struct loose_block {
  uint16_t d, m;
  uint8_t scales[16]; /* of 16 values each, as they are packed */
  uint8_t codes[256];
} loose_block;

/* Codes below 16 to the nibbles of a part. */
HB_INLINE void put_codes(uint8_t *out, const uint8_t *codes) {
  for (size_t c = 0; c < 4; c++)
    put_word(out, c, word_at(codes + 4 * c) | word_at(codes + 16 + 4 * c) << 4);
}

/* `header` bytes, then in each part the scales of its halves and the nibbles. */
HB_INLINE void put_loose(const loose_block *b, uint8_t *out, size_t row, size_t header) {
  hb_store_u16(out + 2 * row, b->d);
  for (size_t p = 0; p < BLOCK_PARTS; p++) {
    uint8_t *at = out + header + p * (2 * HB_GROUP + 4 * CHUNK);
    at[row] = b->scales[2 * p];
    at[HB_GROUP + row] = b->scales[2 * p + 1];
    put_codes(at + 2 * HB_GROUP + 4 * row, b->codes + HB_BLOCK * p);
  }
}

/* In each half of 128 values byte l of its 32 bytes holds values l, 32 + l, 64 + l, 96 + l. */
HB_INLINE void read_two_bits(const uint8_t *qs, uint8_t *codes) {
  for (size_t i = 0; i < 256; i += 8) {
    uint64_t eight = two_words_at(qs + i / 128 * 32 + i % 32) >> i % 128 / 32 * 2 & HB_BYTES(3);
    memcpy(codes + i, &eight, 8);
  }
}

/* scales[16] (s | t << 4), qs[64], d, dmin */
HB_INLINE void row_q2_k(const uint8_t *in, uint8_t *out, size_t row) {
  loose_block b;
  b.d = hb_load_u16(in + 80);
  memcpy(b.scales, in, 16);
  read_two_bits(in + 16, b.codes);
  put_loose(&b, out, row, 4 * HB_GROUP);
  put_half(out + 2 * HB_GROUP, row, in + 82);
}

/* hmask[32], qs[64] as in Q2_K, scales[12], d. Bit p of hmask[i] is bit 2 of code i of part p. The
 * 16 scales are 6 bits, less 32: 4 in the nibbles of the first 8 bytes, 2 in the last 4 bytes. */
HB_INLINE void row_q3_k(const uint8_t *in, uint8_t *out, size_t row) {
  const uint8_t *scales = in + 96;
  loose_block b;
  b.d = hb_load_u16(in + 108);
  for (size_t j = 0; j < 16; j++) {
    unsigned low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    unsigned high = scales[8 + j % 4] >> j / 4 * 2 & 3;
    b.scales[j] = (uint8_t)((low | high << 4) - 32);
  }
  read_two_bits(in + 32, b.codes);
  for (size_t i = 0; i < 256; i += 8) {
    uint64_t eight = two_words_at(b.codes + i) | (two_words_at(in + i % 32) >> i / 32 & HB_BYTES(1))
                                                     << 2;
    memcpy(b.codes + i, &eight, 8);
  }
  put_loose(&b, out, row, 2 * HB_GROUP);
}

/* Ternary digits 0, 1, 2 mean -1, 0, 1; as codes of Q4_0 they lie around 8. */
enum { TERNARY_TO_Q4_0 = 8 - 1 };

/* 256 values to 8 blocks of Q4_0 with the same d. */
HB_INLINE void put_ternary(const uint8_t *d, const uint8_t *codes, uint8_t *out, size_t row) {
  for (size_t p = 0; p < BLOCK_PARTS; p++) {
    uint8_t *block = out + p * (2 * HB_GROUP + 4 * CHUNK);
    put_d(block, row, d);
    put_codes(block + 2 * HB_GROUP + 4 * row, codes + HB_BLOCK * p);
  }
}

/* Digit n (0 = most significant) of `count` bytes that hold five base-3 digits each, as
 * ceil(number * 256 / 243). */
HB_INLINE void read_digits(const uint8_t *in, size_t count, uint8_t power_of_3, uint8_t *codes) {
  for (size_t i = 0; i < count; i++)
    codes[i] = (uint8_t)(((uint8_t)(in[i] * power_of_3) * 3 >> 8) + TERNARY_TO_Q4_0);
}

/* qs[48], qh[4], d. Digit n of byte b is value 32n + b of the first 160 (32 bytes), 160 + 16n + b
 * of the next 80 (16 bytes), 240 + 4n + b of the last 16 (qh). */
HB_INLINE void row_tq1_0(const uint8_t *in, uint8_t *out, size_t row) {
  static const uint8_t powers[5] = {1, 3, 9, 27, 81};
  uint8_t codes[256];
  for (size_t n = 0; n < 5; n++) read_digits(in, 32, powers[n], codes + 32 * n);
  for (size_t n = 0; n < 5; n++) read_digits(in + 32, 16, powers[n], codes + 160 + 16 * n);
  for (size_t n = 0; n < 4; n++) read_digits(in + 48, 4, powers[n], codes + 240 + 4 * n);
  put_ternary(in + 52, codes, out, row);
}

/* qs[64] as in Q2_K, d */
HB_INLINE void row_tq2_0(const uint8_t *in, uint8_t *out, size_t row) {
  uint8_t codes[256];
  read_two_bits(in, codes);
  for (size_t i = 0; i < 256; i++) codes[i] = (uint8_t)(codes[i] + TERNARY_TO_Q4_0);
  put_ternary(in + 64, codes, out, row);
}

#endif
