/* tokenizer.json (Hugging Face tokenizers): vocabularies whose words are made by merging pairs. */
#include "import/vocabulary.h"
#include "gguf/names.h"

#include <stdlib.h>

typedef struct reader {
  hb_vocabulary *v;
  hb_item root, model;
  bool templated;
  hb_error *error;
} reader;

static hb_status refuse(const reader *r, const char *what) {
  return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s", what);
}

static hb_status wrong(const reader *r, const char *what) {
  return hb_fail(r->error, HB_FORMAT, HB_NO_OFFSET, "%s", what);
}

static bool is(hb_item object, const char *member, const char *text) {
  hb_string value;
  return hb_json_string(hb_json_get(object, member), &value) &&
         hb_string_equal(value, hb_string_of(text));
}

static bool is_true(hb_item object, const char *member) {
  bool value;
  return hb_json_bool(hb_json_get(object, member), &value) && value;
}

/* Calls `visit` with a part of the pipeline, or with each of a sequence's. */
static hb_status each_part(reader *r, const char *part, const char *list,
                           hb_status (*visit)(reader *r, hb_item part)) {
  hb_item item = hb_json_get(r->root, part);
  if (!item.in) return HB_OK;
  if (!is(item, "type", "Sequence")) return visit(r, item);
  for (hb_json_walk w = hb_json_begin(hb_json_get(item, list)); hb_json_step(&w);)
    HB_TRY(visit(r, w.value));
  return HB_OK;
}

/* ---- Tokens ---- */

static hb_status read_vocabulary(reader *r) {
  hb_vocabulary *v = r->v;
  hb_item vocabulary = hb_json_get(r->model, "vocab");
  if (hb_json_kind_of(vocabulary) != HB_JSON_OBJECT) return wrong(r, "\"vocab\" is no object");
  for (hb_json_walk w = hb_json_begin(vocabulary); hb_json_step(&w);) {
    uint64_t id;
    if (!hb_json_u64(w.value, &id) || id >= v->count)
      return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET,
                     "token %S has no number below the rows of the embedding, %u", w.key,
                     (uint64_t)v->count);
    if (v->type[id] != HB_TOKEN_TYPE_NONE)
      return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET, "tokens %S and %S have the same number",
                     v->text[id], w.key);
    v->text[id] = w.key;
    v->type[id] = HB_TOKEN_TYPE_NORMAL;
  }
  return HB_OK;
}

static hb_status read_added(reader *r) {
  for (hb_json_walk w = hb_json_begin(hb_json_get(r->root, "added_tokens")); hb_json_step(&w);) {
    uint64_t id;
    hb_string text;
    if (!hb_json_u64(hb_json_get(w.value, "id"), &id) ||
        !hb_json_string(hb_json_get(w.value, "content"), &text))
      return wrong(r, "\"added_tokens\" holds something that is no token");
    hb_vocabulary_add(r->v, id, text, is_true(w.value, "special"));
  }
  return HB_OK;
}

/* ---- Merges ---- */

/* The two parts of a merge, spelled "a b" or ["a", "b"]. */
static bool parts_of(hb_item merge, hb_string *left, hb_string *right) {
  hb_string both;
  if (hb_json_string(merge, &both)) {
    const char *space = both.length > 1 ? memchr(both.data + 1, ' ', both.length - 1) : NULL;
    if (!space) return false;
    *left = (hb_string){both.data, (size_t)(space - both.data)};
    *right = (hb_string){space + 1, both.length - left->length - 1};
    return right->length > 0;
  }
  hb_json_walk w = hb_json_begin(merge);
  return !w.keyed && hb_json_step(&w) && hb_json_string(w.value, left) && hb_json_step(&w) &&
         hb_json_string(w.value, right) && !hb_json_step(&w);
}

static hb_status measure_merges(reader *r, hb_item merges, size_t *bytes) {
  hb_string left, right;
  *bytes = 0;
  if (hb_json_kind_of(merges) != HB_JSON_ARRAY) return wrong(r, "\"merges\" is no array");
  for (hb_json_walk w = hb_json_begin(merges); hb_json_step(&w);) {
    if (!parts_of(w.value, &left, &right))
      return hb_fail(r->error, HB_FORMAT, HB_NO_OFFSET, "merge %u is no pair of tokens",
                     (uint64_t)r->v->merge_count);
    *bytes += left.length + right.length + 1;
    r->v->merge_count++;
  }
  return HB_OK;
}

/* All as "a b", in the order of their rank. */
static hb_status read_merges(reader *r) {
  hb_item merges = hb_json_get(r->model, "merges");
  hb_vocabulary *v = r->v;
  size_t bytes, i = 0;
  HB_TRY(measure_merges(r, merges, &bytes));
  v->merges = malloc((v->merge_count + 1) * sizeof *v->merges);
  char *to = v->merge_text = malloc(bytes + 1);
  if (!v->merges || !to)
    return hb_fail(r->error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u merges",
                   (uint64_t)v->merge_count);
  for (hb_json_walk w = hb_json_begin(merges); hb_json_step(&w); i++) {
    hb_string left = {"", 0}, right = {"", 0};
    parts_of(w.value, &left, &right);
    v->merges[i] = (hb_string){to, left.length + 1 + right.length};
    memcpy(to, left.data, left.length);
    to[left.length] = ' ';
    memcpy(to + left.length + 1, right.data, right.length);
    to += v->merges[i].length;
  }
  return HB_OK;
}

/* ---- What surrounds a text ---- */

enum { TEMPLATE_PARTS = 8 }; /* of which any is searched for in the vocabulary */

static hb_status read_template(reader *r, hb_item part) {
  hb_vocabulary *v = r->v;
  if (!is(part, "type", "TemplateProcessing") || r->templated) return HB_OK;
  r->templated = true;
  bool before = true;
  hb_json_walk w = hb_json_begin(hb_json_get(part, "single"));
  for (int i = 0; i < TEMPLATE_PARTS && hb_json_step(&w); i++) {
    hb_string text;
    if (!hb_json_string(hb_json_get(hb_json_get(w.value, "SpecialToken"), "id"), &text)) {
      before = false;
      continue;
    }
    uint64_t id = hb_vocabulary_find(v, text);
    *(before ? &v->bos : &v->eos) = id;
    *(before ? &v->add_bos : &v->add_eos) = id != HB_NO_ID;
  }
  return HB_OK;
}

static hb_status finish(reader *r) {
  hb_string unknown;
  if (hb_json_string(hb_json_get(r->model, "unk_token"), &unknown)) {
    r->v->unknown = hb_vocabulary_find(r->v, unknown);
    if (r->v->unknown != HB_NO_ID) r->v->type[r->v->unknown] = HB_TOKEN_TYPE_UNKNOWN;
  }
  HB_TRY(read_added(r));
  return each_part(r, "post_processor", "processors", read_template);
}

/* ---- Byte-level BPE ---- */

static hb_status find_bytes(reader *r, hb_item part) {
  (void)r;
  return is(part, "type", "ByteLevel") ? HB_ABORTED : HB_OK;
}

bool hb_tokenizer_json_is_byte_level(hb_item root) {
  reader r = {.root = root};
  return each_part(&r, "pre_tokenizer", "pretokenizers", find_bytes) == HB_ABORTED ||
         each_part(&r, "decoder", "decoders", find_bytes) == HB_ABORTED;
}

/* Texts are taken to be composed (NFC) already, as nearly all are. */
static hb_status check_composing(reader *r, hb_item part) {
  return is(part, "type", "NFC") ? HB_OK : refuse(r, "the normalizer changes texts");
}

static hb_status read_byte_level(reader *r) {
  hb_vocabulary *v = r->v;
  v->model = "gpt2";
  v->pre = hb_pretokenizer_name(hb_json_get(r->root, "pre_tokenizer"),
                                is_true(r->model, "ignore_merges"));
  if (!v->pre) return refuse(r, "the pre_tokenizer cuts texts in a way that is unknown");
  HB_TRY(each_part(r, "normalizer", "normalizers", check_composing));
  HB_TRY(read_vocabulary(r));
  HB_TRY(read_merges(r));
  return finish(r);
}

/* ---- BPE in the manner of SentencePiece: U+2581 for spaces, and tokens for bytes ---- */

#define SPACE u8"\u2581"

static hb_status check_escaping(reader *r, hb_item part) {
  if (is(part, "type", "Prepend") && is(part, "prepend", SPACE)) {
    r->v->add_space_prefix = true;
    return HB_OK;
  }
  if (is(part, "type", "Replace") && is(hb_json_get(part, "pattern"), "String", " ") &&
      is(part, "content", SPACE))
    return HB_OK;
  return refuse(r, "the normalizer changes texts");
}

static hb_status check_no_cutting(reader *r, hb_item part) {
  if (is(part, "type", "Metaspace") && is(part, "replacement", SPACE)) {
    r->v->add_space_prefix = is(part, "prepend_scheme", "first") ||
                             is(part, "prepend_scheme", "always") ||
                             is_true(part, "add_prefix_space");
    return HB_OK;
  }
  /* There is no such character any more. */
  if (is(part, "type", "Split") && is(hb_json_get(part, "pattern"), "String", " ")) return HB_OK;
  return refuse(r, "the pre_tokenizer cuts texts in a way that is unknown");
}

static hb_string token_text(const void *context, uint32_t i) {
  return ((const hb_vocabulary *)context)->text[i];
}

/* SentencePiece merges the pair whose result has the highest score: that of its first merge. */
static void score_results(hb_vocabulary *v, const hb_names *names) {
  for (uint32_t rank = v->merge_count; rank-- > 0;) {
    char joined[512];
    hb_string merge = v->merges[rank];
    size_t left = 0;
    while (merge.data[left] != ' ') left++;
    if (merge.length > sizeof joined) continue;
    memcpy(joined, merge.data, left);
    memcpy(joined + left, merge.data + left + 1, merge.length - left - 1);
    uint32_t id = hb_names_find(names, (hb_string){joined, merge.length - 1});
    if (id != HB_NO_NAME) v->score[id] = -(float)rank;
  }
}

static hb_status score_tokens(reader *r) {
  hb_vocabulary *v = r->v;
  hb_names names = {.name_of = token_text, .context = v};
  uint32_t count = 0, twice;
  while (count < v->count && v->type[count] != HB_TOKEN_TYPE_NONE) count++;
  for (uint32_t i = count; i < v->count; i++)
    if (v->type[i] != HB_TOKEN_TYPE_NONE) return refuse(r, "the numbers of tokens have gaps");
  hb_status status = hb_names_extend(&names, count, &twice);
  if (status == HB_OK) score_results(v, &names);
  hb_names_clear(&names);
  if (status == HB_FORMAT) return wrong(r, "two tokens have the same text");
  return status == HB_OK ? HB_OK : hb_fail(r->error, status, HB_NO_OFFSET, "no memory for tokens");
}

static void mark_bytes(hb_vocabulary *v) {
  for (uint32_t i = 0; i < v->count; i++) {
    hb_string text = v->text[i];
    if (text.length == 6 && memcmp(text.data, "<0x", 3) == 0 && text.data[5] == '>')
      v->type[i] = HB_TOKEN_TYPE_BYTE;
  }
}

static hb_status read_pieces(reader *r) {
  r->v->model = "llama";
  r->v->pre = "default";
  HB_TRY(each_part(r, "normalizer", "normalizers", check_escaping));
  HB_TRY(each_part(r, "pre_tokenizer", "pretokenizers", check_no_cutting));
  HB_TRY(read_vocabulary(r));
  HB_TRY(read_merges(r));
  HB_TRY(score_tokens(r));
  mark_bytes(r->v);
  return finish(r);
}

/* ---- Both ---- */

hb_status hb_tokenizer_json_added(hb_item root, hb_vocabulary *v, hb_error *error) {
  reader r = {.v = v, .root = root, .error = error};
  return read_added(&r);
}

hb_status hb_tokenizer_json_read(hb_item root, hb_vocabulary *v, hb_error *error) {
  reader r = {.v = v, .root = root, .model = hb_json_get(root, "model"), .error = error};
  hb_item type = hb_json_get(r.model, "type");
  hb_string text;
  if (type.in && !is(r.model, "type", "BPE")) return refuse(&r, "a tokenizer that is no BPE");
  static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  for (size_t i = 0; i < 2; i++)
    if (hb_json_string(hb_json_get(r.model, affixes[i]), &text) && text.length > 0)
      return refuse(&r, "a BPE whose tokens differ inside of words and at their ends");
  if (hb_tokenizer_json_is_byte_level(root)) return read_byte_level(&r);
  if (is_true(r.model, "byte_fallback")) return read_pieces(&r);
  return refuse(&r, "a BPE without tokens for all bytes");
}
