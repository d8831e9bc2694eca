#include "import/folder.h"
#include "import/shards.h"
#include "import/vocabulary.h"
#include "import/weights.h"

#include <stdlib.h>

typedef struct folder {
  hb_host_source source; /* first: what every source from hb_source_open begins with */
  char *path;
  const uint64_t *seed; /* of weights that are drawn, or NULL: the folder has them */
  hb_json config_file;
  hb_config config;
  hb_tensor_files files;
  hb_import_weights weights;
  hb_gguf *gguf;
  uint8_t *header; /* of the GGUF file */
  size_t header_size;
} folder;

/* All that is read but the tensors, which the index may name otherwise. */
static const char *const file_names[] = {
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "model.safetensors",
    "model.safetensors.index.json",
};

/* ---- Files that may be absent ---- */

static hb_status open_json(const folder *f, const char *name, hb_json *out, hb_error *error) {
  char *path = hb_folder_path(f->path, hb_string_of(name));
  if (!path) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a path");
  hb_status status = HB_OK;
  *out = (hb_json){0};
  if (hb_host_exists(path)) status = hb_json_open(path, out, error);
  free(path);
  return status;
}

static hb_status open_file(const folder *f, const char *name, hb_file *out, hb_error *error) {
  char *path = hb_folder_path(f->path, hb_string_of(name));
  if (!path) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a path");
  hb_status status = HB_OK;
  *out = (hb_file){0};
  if (hb_host_exists(path)) status = hb_file_open(path, out, error);
  free(path);
  return status;
}

/* ---- The tokenizer and what belongs to it ---- */

typedef struct text_files {
  hb_json tokenizer, tokenizer_config, added, special, generation, template_file;
  hb_file pieces, template_text;
} text_files;

static hb_status open_texts(const folder *f, text_files *t, hb_error *error) {
  HB_TRY(open_json(f, "tokenizer.json", &t->tokenizer, error));
  HB_TRY(open_json(f, "tokenizer_config.json", &t->tokenizer_config, error));
  HB_TRY(open_json(f, "added_tokens.json", &t->added, error));
  HB_TRY(open_json(f, "special_tokens_map.json", &t->special, error));
  HB_TRY(open_json(f, "generation_config.json", &t->generation, error));
  HB_TRY(open_json(f, "chat_template.json", &t->template_file, error));
  HB_TRY(open_file(f, "tokenizer.model", &t->pieces, error));
  return open_file(f, "chat_template.jinja", &t->template_text, error);
}

static void close_texts(text_files *t) {
  hb_json_close(&t->tokenizer);
  hb_json_close(&t->tokenizer_config);
  hb_json_close(&t->added);
  hb_json_close(&t->special);
  hb_json_close(&t->generation);
  hb_json_close(&t->template_file);
  hb_file_close(&t->pieces);
  hb_file_close(&t->template_text);
}

/* tokenizer.model is the original where a folder has both, but some folders keep one there that is
 * no SentencePiece model beside their byte-level BPE. */
static hb_status read_vocabulary(const folder *f, const text_files *t, hb_vocabulary *v,
                                 hb_error *error) {
  hb_item json = hb_json_root(&t->tokenizer);
  hb_special_files files = {.tokenizer_config = hb_json_root(&t->tokenizer_config),
                            .added = hb_json_root(&t->added),
                            .map = hb_json_root(&t->special),
                            .config = f->config.text,
                            .generation = hb_json_root(&t->generation)};
  hb_status status = HB_OK;
  if (json.in && (!t->pieces.data || hb_tokenizer_json_is_byte_level(json))) {
    status = hb_host_name_path(error, "tokenizer.json", hb_tokenizer_json_read(json, v, error));
  } else if (t->pieces.data) {
    status = hb_host_name_path(error, "tokenizer.model",
                               hb_sentencepiece_read(t->pieces.data, t->pieces.size, v, error));
    if (status == HB_OK) status = hb_tokenizer_json_added(json, v, error);
  } else {
    return HB_OK;
  }
  return status == HB_OK ? hb_special_read(&files, v, error) : status;
}

/* A template, or the one of several that is called "default". */
static bool named_template(hb_item item, hb_string *out) {
  if (hb_json_string(item, out)) return true;
  for (hb_json_walk w = hb_json_begin(item); hb_json_step(&w);) {
    hb_string name;
    if (hb_json_string(hb_json_get(w.value, "name"), &name) &&
        hb_string_equal(name, hb_string_of("default")))
      return hb_json_string(hb_json_get(w.value, "template"), out);
  }
  return false;
}

static hb_status write_template(const text_files *t, hb_gguf_writer *w, hb_error *error) {
  hb_string text = {(const char *)t->template_text.data, (size_t)t->template_text.size};
  if (!text.data &&
      !named_template(hb_json_get(hb_json_root(&t->template_file), "chat_template"), &text) &&
      !named_template(hb_json_get(hb_json_root(&t->tokenizer_config), "chat_template"), &text))
    return HB_OK;
  if (!hb_is_utf8(text))
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "chat_template.jinja is not UTF-8");
  return hb_gguf_writer_set_string(w, "tokenizer.chat_template", text, error);
}

static hb_status write_texts(const folder *f, hb_gguf_writer *w, hb_error *error) {
  text_files t = {0};
  hb_vocabulary v = {0};
  hb_status status = open_texts(f, &t, error);
  if (status == HB_OK) status = hb_vocabulary_create((uint32_t)f->config.vocabulary, &v, error);
  if (status == HB_OK) status = read_vocabulary(f, &t, &v, error);
  if (status == HB_OK) status = hb_vocabulary_set_keys(&v, w, error);
  if (status == HB_OK) status = write_template(&t, w, error);
  hb_vocabulary_close(&v);
  close_texts(&t);
  return status;
}

/* ---- The header ---- */

typedef struct header {
  uint8_t *bytes;
  size_t size, capacity;
} header;

static hb_status append(void *context, const void *bytes, size_t count, hb_error *error) {
  header *h = context;
  if (count > h->capacity - h->size) {
    size_t larger = 2 * h->capacity + count;
    uint8_t *moved = realloc(h->bytes, larger);
    if (!moved) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a model's header");
    h->bytes = moved;
    h->capacity = larger;
  }
  memcpy(h->bytes + h->size, bytes, count);
  h->size += count;
  return HB_OK;
}

/* Ends what the writer wrote to `h` and reads it. */
static hb_status read_back(hb_gguf_writer *w, const header *h, hb_gguf **out, hb_error *error) {
  size_t used;
  bool done;
  HB_TRY(hb_gguf_writer_begin(w, error));
  HB_TRY(hb_gguf_create(NULL, out, error));
  HB_TRY(hb_gguf_begin_shard(*out, HB_SIZE_UNKNOWN, error));
  return hb_gguf_feed(*out, h->bytes, h->size, &used, &done, error);
}

/* The last part of a path: the name of the folder. */
static hb_string last_part(const char *path) {
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/') end--;
  size_t begin = end;
  while (begin > 0 && path[begin - 1] != '/') begin--;
  return (hb_string){path + begin, end - begin};
}

/* The keys that config.json gives, alone, for their numbers to be checked before the tensors are
 * looked at. */
static hb_status read_config(folder *f, hb_gguf **out, hb_error *error) {
  header h = {0};
  hb_sink sink = {&h, append};
  hb_gguf_writer *w = NULL;
  hb_status status = hb_gguf_writer_create(NULL, &sink, &w, error);
  if (status == HB_OK) status = hb_config_read(hb_json_root(&f->config_file), w, &f->config, error);
  if (status == HB_OK)
    status = hb_gguf_writer_set_string(w, "general.name", last_part(f->path), error);
  if (status == HB_OK) status = read_back(w, &h, out, error);
  hb_gguf_writer_destroy(w);
  free(h.bytes);
  return hb_host_name_path(error, "config.json", status);
}

static hb_status match_weights(folder *f, const hb_gguf *keys, hb_error *error) {
  hb_hyperparameters h;
  HB_TRY(hb_host_name_path(error, "config.json",
                           hb_hyperparameters_read(keys, f->config.architecture, &h, error)));
  if (f->seed) return hb_import_begin(&f->config, &h, *f->seed, &f->weights, error);
  HB_TRY(hb_tensor_files_open(f->path, &f->files, error));
  return hb_import_match(&f->config, &h, f->files.tensors, f->files.count, &f->weights, error);
}

/* general.file_type as llama.cpp numbers it, of the first matrix, which is the largest. */
static uint32_t file_type(const folder *f) {
  switch (f->weights.list[0].type) {
  case HB_TYPE_F16: return 1;
  case HB_TYPE_BF16: return 32;
  default: return 0;
  }
}

static hb_status write_header(folder *f, const hb_gguf *keys, hb_gguf_writer *w, hb_error *error) {
  HB_TRY(hb_gguf_writer_copy(w, keys, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "general.file_type", file_type(f), error));
  HB_TRY(write_texts(f, w, error));
  return hb_import_declare(&f->weights, w, error);
}

static hb_status make_header(folder *f, const hb_gguf *keys, hb_error *error) {
  header h = {0};
  hb_sink sink = {&h, append};
  hb_gguf_writer *w = NULL;
  HB_TRY(match_weights(f, keys, error));
  hb_status status = hb_gguf_writer_create(NULL, &sink, &w, error);
  if (status == HB_OK) status = write_header(f, keys, w, error);
  if (status == HB_OK) status = read_back(w, &h, &f->gguf, error);
  hb_gguf_writer_destroy(w);
  f->header = h.bytes;
  f->header_size = h.size;
  return status;
}

/* ---- The source ---- */

/* The last tensor that begins at or before `at` in the data. */
static const hb_tensor *tensor_at(const hb_gguf *gguf, uint64_t at, size_t *index) {
  size_t low = 0, high = hb_gguf_tensor_count(gguf);
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (hb_gguf_tensor_at(gguf, middle)->offset <= at)
      low = middle;
    else
      high = middle;
  }
  *index = low;
  return hb_gguf_tensor_at(gguf, low);
}

/* Bytes of the data part from `at` on, up to the end of the tensor there or of its padding. */
static size_t read_data(const folder *f, uint64_t at, uint8_t *bytes, size_t count) {
  size_t index;
  const hb_tensor *t = tensor_at(f->gguf, at, &index);
  uint64_t within = at - t->offset;
  bool inside = within < t->bytes;
  uint64_t left = t->bytes - within;
  if (!inside) left = hb_gguf_tensor_at(f->gguf, index + 1)->offset - at;
  if (left < count) count = (size_t)left;
  if (inside)
    hb_import_read(&f->weights.list[index], within, bytes, count);
  else
    memset(bytes, 0, count);
  return count;
}

static hb_status read_bytes(void *context, uint32_t shard, uint64_t offset, void *bytes,
                            size_t count, hb_error *error) {
  const folder *f = context;
  uint64_t size = f->header_size + hb_gguf_data_bytes(f->gguf);
  if (shard != 0 || offset > size || count > size - offset)
    return hb_fail(error, HB_TRUNCATED, offset, "%s: the model ends before byte %u",
                   hb_host_short_path(f->path), offset + count);
  uint8_t *to = bytes;
  if (offset < f->header_size && count > 0) {
    size_t left = f->header_size - (size_t)offset, got = left < count ? left : count;
    memcpy(to, f->header + offset, got);
    to += got;
    offset += got;
    count -= got;
  }
  while (count > 0) {
    size_t got = read_data(f, offset - f->header_size, to, count);
    to += got;
    offset += got;
    count -= got;
  }
  return HB_OK;
}

static bool includes(const void *context, const char *path) {
  const folder *f = context;
  bool found = false;
  for (uint32_t i = 0; i < f->files.count && !found; i++)
    found = hb_host_same_file(f->files.paths[i], path);
  for (size_t i = 0; i < sizeof file_names / sizeof *file_names && !found; i++) {
    char *name = hb_folder_path(f->path, hb_string_of(file_names[i]));
    found = !name || hb_host_same_file(name, path);
    free(name);
  }
  return found;
}

static void forget(const void *context) {
  const folder *f = context;
  for (uint32_t i = 0; i < f->files.count; i++)
    if (f->files.files[i].mapped) hb_host_forget(&f->files.files[i], 0, f->files.files[i].size);
}

static void close_folder(void *context) {
  folder *f = context;
  if (!f) return;
  hb_gguf_destroy(f->gguf);
  free(f->header);
  hb_import_weights_close(&f->weights);
  hb_tensor_files_close(&f->files);
  hb_config_close(&f->config);
  hb_json_close(&f->config_file);
  free(f->path);
  free(f);
}

static hb_status open_model(folder *f, hb_error *error) {
  hb_gguf *keys = NULL;
  HB_TRY(open_json(f, "config.json", &f->config_file, error));
  if (!f->config_file.text)
    return hb_fail(error, HB_IO, HB_NO_OFFSET, "the folder has no config.json");
  hb_status status = read_config(f, &keys, error);
  if (status == HB_OK) status = make_header(f, keys, error);
  hb_gguf_destroy(keys);
  return status;
}

/* seed: of weights that are drawn, or NULL. */
static hb_status open_folder(const char *path, const uint64_t *seed, hb_source *out,
                             hb_error *error) {
  *out = (hb_source){0};
  folder *f = calloc(1, sizeof *f);
  if (f) f->path = hb_host_copy_text(path);
  hb_status status = HB_MEMORY;
  if (f && f->path) {
    f->source = (hb_host_source){close_folder, includes, forget};
    f->seed = seed;
    status = hb_host_name_path(error, path, open_model(f, error));
    f->seed = NULL;
  } else {
    hb_fail(error, status, HB_NO_OFFSET, "no memory to open %s", hb_host_short_path(path));
  }
  if (status != HB_OK) {
    close_folder(f);
    return status;
  }
  *out = (hb_source){f->gguf, f, read_bytes};
  return HB_OK;
}

hb_status hb_folder_open(const char *path, hb_source *out, hb_error *error) {
  return open_folder(path, NULL, out, error);
}

hb_status hb_folder_open_untrained(const char *path, uint64_t seed, hb_source *out,
                                   hb_error *error) {
  return open_folder(path, &seed, out, error);
}
