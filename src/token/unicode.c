#include "token/unicode.h"

uint8_t hb_unicode_class(uint32_t code_point) {
  uint32_t low = 0, high = hb_unicode_run_count;
  if (code_point > 0x10ffff) return 0;
  while (high - low > 1) { /* the run that holds it lies in low..high-1 */
    uint32_t middle = (low + high) / 2;
    if (hb_unicode_runs[middle] >> 8 <= code_point)
      low = middle;
    else
      high = middle;
  }
  uint8_t class_of = (uint8_t)hb_unicode_runs[low];
  const uint8_t both = HB_UNICODE_UPPER | HB_UNICODE_LOWER;
  if ((class_of & both) != both) return class_of;
  bool odd = (code_point - (hb_unicode_runs[low] >> 8)) & 1;
  return HB_UNICODE_LETTER | (odd ? HB_UNICODE_LOWER : HB_UNICODE_UPPER);
}

uint32_t hb_utf8_length(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool hb_utf8_continues(const uint8_t *sequence, uint32_t count, uint8_t byte) {
  uint8_t low = 0x80, high = 0xbf;
  if (count == 1) {
    switch (sequence[0]) {
    case 0xe0: low = 0xa0; break;
    case 0xed: high = 0x9f; break;
    case 0xf0: low = 0x90; break;
    case 0xf4: high = 0x8f; break;
    default: break;
    }
  }
  return byte >= low && byte <= high;
}

uint32_t hb_utf8_decode(const char *text, size_t left, uint32_t *code_point) {
  const uint8_t *b = (const uint8_t *)text;
  uint32_t length = hb_utf8_length(b[0]);
  *code_point = HB_NOT_UNICODE;
  if (length == 0 || length > left) return 1;
  uint32_t c = length == 1 ? b[0] : b[0] & (0x7fu >> length);
  for (uint32_t i = 1; i < length; i++) {
    if (!hb_utf8_continues(b, i, b[i])) return 1;
    c = c << 6 | (b[i] & 0x3fu);
  }
  *code_point = c;
  return length;
}

uint32_t hb_utf8_encode_short(uint32_t c, char *out) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  out[0] = (char)(0xc0 | c >> 6);
  out[1] = (char)(0x80 | (c & 0x3f));
  return 2;
}
