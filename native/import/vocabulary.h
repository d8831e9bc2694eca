/* A tokenizer as the files of a folder describe it, on its way to tokenizer.ggml.*. */
#ifndef HB_IMPORT_VOCABULARY_H
#define HB_IMPORT_VOCABULARY_H

#include "gguf/write.h"
#include "import/json.h"

#define HB_VOCABULARY_MAX (1u << 22)
#define HB_NO_ID UINT64_MAX

/* tokenizer.ggml.token_type; SentencePiece numbers its types alike. */
typedef enum hb_token_type {
  HB_TOKEN_TYPE_NONE = 0, /* the token is not there yet */
  HB_TOKEN_TYPE_NORMAL = 1,
  HB_TOKEN_TYPE_UNKNOWN = 2,
  HB_TOKEN_TYPE_CONTROL = 3,
  HB_TOKEN_TYPE_USER = 4,
  HB_TOKEN_TYPE_UNUSED = 5,
  HB_TOKEN_TYPE_BYTE = 6,
} hb_token_type;

typedef struct hb_vocabulary {
  const char *model; /* "llama" or "gpt2"; NULL: no tokenizer */
  const char *pre;
  uint32_t count;  /* rows of the embedding */
  hb_string *text; /* [count], views into the files */
  float *score;    /* [count]; of "llama" */
  int32_t *type;   /* [count], hb_token_type */
  hb_string *merges;
  uint32_t merge_count;
  char *merge_text; /* that merges which are no strings of the file point to, or NULL */
  uint64_t bos, eos, unknown, padding, ends[2]; /* or HB_NO_ID */
  bool add_bos, add_eos, add_space_prefix;
} hb_vocabulary;

/* Makes room for `count` tokens, none of which is there. */
hb_status hb_vocabulary_create(uint32_t count, hb_vocabulary *out, hb_error *error);
void hb_vocabulary_close(hb_vocabulary *vocabulary);

/* The token that reads so, or HB_NO_ID. */
uint64_t hb_vocabulary_find(const hb_vocabulary *vocabulary, hb_string text);

/* Puts a token of an array of added tokens in its place, over what is there. Those beyond the
 * embedding are passed over: no text can become them. */
void hb_vocabulary_add(hb_vocabulary *vocabulary, uint64_t id, hb_string text, bool special);

/* Sets tokenizer.ggml.*. Rows of the embedding without a token get an unused one. */
hb_status hb_vocabulary_set_keys(const hb_vocabulary *vocabulary, hb_gguf_writer *writer,
                                 hb_error *error);

/* tokenizer.model, a SentencePiece model that merges pairs. The bytes must outlive the result. */
hb_status hb_sentencepiece_read(const uint8_t *bytes, uint64_t size, hb_vocabulary *vocabulary,
                                hb_error *error);

/* tokenizer.json, a byte-level BPE, or one in the manner of SentencePiece. */
hb_status hb_tokenizer_json_read(hb_item root, hb_vocabulary *vocabulary, hb_error *error);
bool hb_tokenizer_json_is_byte_level(hb_item root);
/* Its added tokens alone. */
hb_status hb_tokenizer_json_added(hb_item root, hb_vocabulary *vocabulary, hb_error *error);

/* The tokenizer.ggml.pre that cuts a text as the pre_tokenizer of tokenizer.json does, or NULL. */
const char *hb_pretokenizer_name(hb_item pre_tokenizer, bool ignore_merges);

/* What tokenizer_config.json, added_tokens.json, special_tokens_map.json, config.json and
 * generation_config.json, each of which may be none, say about special tokens. */
typedef struct hb_special_files {
  hb_item tokenizer_config, added /* added_tokens.json */, map, config, generation;
} hb_special_files;

hb_status hb_special_read(const hb_special_files *files, hb_vocabulary *vocabulary,
                          hb_error *error);

#endif
