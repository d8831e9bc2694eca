/* Special tokens: which there are, what each is for, and which are added to a text. */
#include "import/vocabulary.h"

#define ID_DIGITS 9

/* The number that a key of added_tokens_decoder spells. */
static bool read_id(hb_string key, uint64_t *out) {
  *out = 0;
  for (size_t i = 0; i < key.length; i++) {
    if (key.data[i] < '0' || key.data[i] > '9') return false;
    *out = *out * 10 + (uint64_t)(key.data[i] - '0');
  }
  return key.length > 0 && key.length <= ID_DIGITS;
}

static hb_status read_added(hb_item added, hb_vocabulary *v, hb_error *error) {
  for (hb_json_walk w = hb_json_begin(added); hb_json_step(&w);) {
    uint64_t id;
    hb_string text;
    bool special;
    if (!w.keyed || !read_id(w.key, &id) || !hb_json_string(hb_json_get(w.value, "content"), &text))
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                     "tokenizer_config.json: \"added_tokens_decoder\" is not of tokens by number");
    hb_json_bool(hb_json_get(w.value, "special"), &special);
    hb_vocabulary_add(v, id, text, special);
  }
  return HB_OK;
}

/* added_tokens.json, of older folders: numbers by text. */
static void read_old_added(hb_item added, hb_vocabulary *v) {
  uint64_t id;
  for (hb_json_walk w = hb_json_begin(added); hb_json_step(&w);)
    if (w.keyed && hb_json_u64(w.value, &id)) hb_vocabulary_add(v, id, w.key, false);
}

/* A token by its text, or by an object with its text. */
static void read_named(const hb_vocabulary *v, hb_item file, const char *name, uint64_t *id) {
  hb_item item = hb_json_get(file, name), content = hb_json_get(item, "content");
  hb_string text;
  if (!hb_json_string(content.in ? content : item, &text)) return;
  uint64_t found = hb_vocabulary_find(v, text);
  if (found != HB_NO_ID) *id = found;
}

/* A token by its number, the first if there are several, where no other file named it. */
static void read_numbered(const hb_vocabulary *v, hb_item file, const char *name, uint64_t *id) {
  hb_item item = hb_json_get(file, name);
  uint64_t number;
  hb_json_walk w = hb_json_begin(item);
  if (hb_json_step(&w)) item = w.value;
  if (*id == HB_NO_ID && hb_json_u64(item, &number) && number < v->count) *id = number;
}

static void add_end(hb_vocabulary *v, hb_item item) {
  uint64_t id;
  if (!hb_json_u64(item, &id) || id >= v->count || id == v->eos || id == v->ends[0]) return;
  if (v->ends[0] == HB_NO_ID)
    v->ends[0] = id;
  else if (v->ends[1] == HB_NO_ID)
    v->ends[1] = id;
}

/* Further tokens that end a generation. */
static void read_ends(hb_vocabulary *v, hb_item file) {
  hb_item item = hb_json_get(file, "eos_token_id");
  add_end(v, item);
  for (hb_json_walk w = hb_json_begin(item); hb_json_step(&w);) add_end(v, w.value);
}

static void read_added_to_texts(hb_vocabulary *v, hb_item file) {
  bool value;
  if (hb_json_bool(hb_json_get(file, "add_bos_token"), &value)) v->add_bos = value;
  if (hb_json_bool(hb_json_get(file, "add_eos_token"), &value)) v->add_eos = value;
  v->add_bos = v->add_bos && v->bos != HB_NO_ID;
  v->add_eos = v->add_eos && v->eos != HB_NO_ID;
}

hb_status hb_special_read(const hb_special_files *files, hb_vocabulary *v, hb_error *error) {
  const struct {
    const char *name, *id;
    uint64_t *token;
  } roles[] = {{"bos_token", "bos_token_id", &v->bos},
               {"eos_token", "eos_token_id", &v->eos},
               {"unk_token", "unk_token_id", &v->unknown},
               {"pad_token", "pad_token_id", &v->padding}};
  read_old_added(files->added, v);
  HB_TRY(read_added(hb_json_get(files->tokenizer_config, "added_tokens_decoder"), v, error));
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    read_named(v, files->map, roles[i].name, roles[i].token);
    read_named(v, files->tokenizer_config, roles[i].name, roles[i].token);
    read_numbered(v, files->config, roles[i].id, roles[i].token);
    read_numbered(v, files->generation, roles[i].id, roles[i].token);
  }
  read_ends(v, files->generation);
  read_ends(v, files->config);
  read_added_to_texts(v, files->tokenizer_config);
  return HB_OK;
}
