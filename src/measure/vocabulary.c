#include "base/half.h"
#include "measure/synthetic.h"

enum {
  CONTROLS = 3,
  WORDS = CONTROLS + 256, /* the first token that is a word */
  MOST_BYTES = 24,        /* of a token, its length before it */
};

/* Numbers of tokenizer.ggml.token_type. */
enum { KIND_NORMAL = 1, KIND_UNKNOWN = 2, KIND_CONTROL = 3, KIND_BYTE = 6 };

#define WORD_BEGIN "\xe2\x96\x81" /* U+2581, a space */

/* Word 0 is a space alone; of the others, the odd ones begin with a space. Each two spell their
 * number in syllables, the digits of a system without a zero, so that no two are the same. */
static size_t spell(uint32_t word, char *out) {
  static const char consonants[] = "bcdfghjklmnpqrstvwxz", vowels[] = "aeiou";
  const uint32_t syllables = (sizeof consonants - 1) * (sizeof vowels - 1);
  size_t length = 0;
  if (word == 0 || word % 2 == 1) {
    memcpy(out, WORD_BEGIN, 3);
    length = 3;
  }
  for (uint32_t rest = (word + 1) / 2; rest > 0; rest = (rest - 1) / syllables) {
    uint32_t syllable = (rest - 1) % syllables;
    out[length++] = consonants[syllable / (sizeof vowels - 1)];
    out[length++] = vowels[syllable % (sizeof vowels - 1)];
  }
  return length;
}

static size_t spell_token(uint32_t token, char *out) {
  static const char *const controls[CONTROLS] = {"<unk>", "<s>", "</s>"};
  static const char digits[] = "0123456789ABCDEF";
  if (token >= WORDS) return spell(token - WORDS, out);
  if (token < CONTROLS) {
    size_t length = strlen(controls[token]);
    memcpy(out, controls[token], length);
    return length;
  }
  uint32_t byte = token - CONTROLS;
  const char text[6] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
  memcpy(out, text, sizeof text);
  return sizeof text;
}

static uint32_t kind_of(uint32_t token) {
  if (token >= WORDS) return KIND_NORMAL;
  if (token >= CONTROLS) return KIND_BYTE;
  return token == 0 ? KIND_UNKNOWN : KIND_CONTROL;
}

/* The frequent words come first, as in a trained vocabulary: short ones, which longer ones are
 * merged from. */
static float score_of(uint32_t token) {
  return token < WORDS ? 0 : -(float)(token - WORDS);
}

static void store_u32(uint8_t *at, uint32_t value) {
  hb_store_u16(at, (uint16_t)value);
  hb_store_u16(at + 2, (uint16_t)(value >> 16));
}

static hb_status set_array(hb_gguf_writer *w, const char *key, hb_value_type element,
                           uint32_t count, const uint8_t *data, uint64_t bytes, hb_error *error) {
  hb_value v = {hb_string_of(key), HB_VALUE_ARRAY, element, count, data, bytes};
  return hb_gguf_writer_set(w, &v, error);
}

static hb_status write_arrays(hb_gguf_writer *w, uint32_t count, uint8_t *data, hb_error *error) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) {
    size_t length = spell_token(i, (char *)data + bytes + 8);
    store_u32(data + bytes, (uint32_t)length);
    store_u32(data + bytes + 4, 0);
    bytes += 8 + length;
  }
  HB_TRY(set_array(w, "tokenizer.ggml.tokens", HB_VALUE_STRING, count, data, bytes, error));
  for (uint32_t i = 0; i < count; i++) store_u32(data + 4 * (size_t)i, hb_bits_of_f32(score_of(i)));
  HB_TRY(
      set_array(w, "tokenizer.ggml.scores", HB_VALUE_F32, count, data, 4 * (uint64_t)count, error));
  for (uint32_t i = 0; i < count; i++) store_u32(data + 4 * (size_t)i, kind_of(i));
  return set_array(w, "tokenizer.ggml.token_type", HB_VALUE_I32, count, data, 4 * (uint64_t)count,
                   error);
}

hb_status hb_synthetic_vocabulary(const hb_allocator *allocator, uint32_t count, hb_gguf_writer *w,
                                  hb_error *error) {
  HB_TRY(hb_gguf_writer_set_string(w, "tokenizer.ggml.model", hb_string_of("llama"), error));
  uint64_t room = (uint64_t)count * MOST_BYTES;
  uint8_t *data = hb_allocate(allocator, room);
  if (!data)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u tokens", (uint64_t)count);
  hb_status status = write_arrays(w, count, data, error);
  hb_release(allocator, data, room);
  HB_TRY(status);
  HB_TRY(hb_gguf_writer_set_u32(w, "tokenizer.ggml.unknown_token_id", 0, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "tokenizer.ggml.bos_token_id", 1, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "tokenizer.ggml.eos_token_id", 2, error));
  return hb_gguf_writer_set_bool(w, "tokenizer.ggml.add_bos_token", 1, error);
}
