#include "import/vocabulary.h"

bool hb_tokenizer_json_is_byte_level(hb_item root) {
  (void)root;
  return false;
}

hb_status hb_tokenizer_json_read(hb_item root, hb_vocabulary *v, hb_error *error) {
  (void)root;
  (void)v;
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "a tokenizer in this form");
}
