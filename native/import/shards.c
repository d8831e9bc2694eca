#include "import/shards.h"

#include <stdlib.h>

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

char *hb_folder_path(const char *folder, hb_string name) {
  size_t length = strlen(folder);
  char *path = malloc(length + name.length + 2);
  if (!path) return NULL;
  memcpy(path, folder, length);
  if (length > 0 && folder[length - 1] != '/') path[length++] = '/';
  memcpy(path + length, name.data, name.length);
  path[length + name.length] = 0;
  return path;
}

static hb_status no_memory(hb_error *error) {
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the files of a folder");
}

/* ---- Opening ---- */

static hb_status add_file(const char *folder, hb_string name, hb_tensor_files *f, hb_error *error) {
  char *path = f->paths[f->count] = hb_folder_path(folder, name);
  if (!path) return no_memory(error);
  hb_file *file = &f->files[f->count];
  hb_safetensors *tensors = &f->tensors[f->count];
  f->count++; /* what is open now is closed, whatever follows */
  HB_TRY(hb_file_open(path, file, error));
  return hb_host_name_path(error, path,
                           hb_safetensors_open(file->data, file->size, tensors, error));
}

static hb_status make_room(uint32_t count, hb_tensor_files *out, hb_error *error) {
  *out = (hb_tensor_files){.paths = calloc(count, sizeof *out->paths),
                           .files = calloc(count, sizeof *out->files),
                           .tensors = calloc(count, sizeof *out->tensors)};
  return out->paths && out->files && out->tensors ? HB_OK : no_memory(error);
}

/* ---- The index ---- */

/* A plain name, which cannot lead out of the folder. */
static bool stays_inside(hb_string name) {
  for (size_t i = 0; i < name.length; i++)
    if (strchr("/\\:", name.data[i])) return false; /* the end of a C string, too */
  return name.length > 0 && name.data[0] != '.';
}

static uint32_t find_name(const hb_string *names, uint32_t count, hb_string name) {
  uint32_t i = 0;
  while (i < count && !hb_string_equal(names[i], name)) i++;
  return i;
}

/* The names of the files in the order of their first mention. Tensors of a file mostly follow each
 * other, so the last one is looked at first. */
static hb_status list_names(hb_item map, hb_string *names, uint32_t *count, hb_error *error) {
  hb_string last = {"", 0};
  *count = 0;
  for (hb_json_walk w = hb_json_begin(map); hb_json_step(&w);) {
    hb_string name;
    if (!hb_json_string(w.value, &name) || !stays_inside(name))
      return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "tensor %S is in no file of this folder",
                     w.key);
    if (hb_string_equal(name, last) || find_name(names, *count, name) < *count) continue;
    if (*count == HB_FOLDER_MAX_FILES)
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "more than %u files",
                     (uint64_t)HB_FOLDER_MAX_FILES);
    names[(*count)++] = last = name;
  }
  if (*count > 0) return HB_OK;
  return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "\"weight_map\" lists no files");
}

/* Every tensor of the index is where it says. */
static hb_status check_tensors(hb_item map, const hb_string *names, const hb_tensor_files *f,
                               hb_error *error) {
  for (hb_json_walk w = hb_json_begin(map); hb_json_step(&w);) {
    hb_string name = {"", 0};
    hb_json_string(w.value, &name);
    if (!hb_safetensors_find(&f->tensors[find_name(names, f->count, name)], w.key))
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %S is not in %S", w.key, name);
  }
  return HB_OK;
}

static hb_status open_listed(const char *folder, hb_item map, hb_tensor_files *out,
                             hb_error *error) {
  hb_string *names = malloc(HB_FOLDER_MAX_FILES * sizeof *names);
  uint32_t count;
  if (!names) return no_memory(error);
  hb_status status = list_names(map, names, &count, error);
  if (status == HB_OK) status = make_room(count, out, error);
  for (uint32_t i = 0; status == HB_OK && i < count; i++)
    status = add_file(folder, names[i], out, error);
  if (status == HB_OK) status = check_tensors(map, names, out, error);
  free(names);
  return status;
}

static hb_status open_index(const char *folder, const char *path, hb_tensor_files *out,
                            hb_error *error) {
  hb_json index;
  HB_TRY(hb_json_open(path, &index, error));
  hb_item map = hb_json_get(hb_json_root(&index), "weight_map");
  hb_status status;
  if (hb_json_kind_of(map) == HB_JSON_OBJECT)
    status = open_listed(folder, map, out, error);
  else
    status = hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "%s: \"weight_map\" is no object",
                     hb_host_short_path(path));
  hb_json_close(&index);
  return status;
}

/* ---- Both ---- */

static hb_status open_files(const char *folder, hb_tensor_files *out, hb_error *error) {
  char *single = hb_folder_path(folder, hb_string_of(SINGLE));
  char *index = hb_folder_path(folder, hb_string_of(INDEX));
  hb_status status;
  if (!single || !index) {
    status = no_memory(error);
  } else if (hb_host_exists(index) && !hb_host_exists(single)) {
    status = open_index(folder, index, out, error);
  } else {
    status = make_room(1, out, error);
    if (status == HB_OK) status = add_file(folder, hb_string_of(SINGLE), out, error);
  }
  free(single);
  free(index);
  return status;
}

hb_status hb_tensor_files_open(const char *folder, hb_tensor_files *out, hb_error *error) {
  *out = (hb_tensor_files){0};
  hb_status status = open_files(folder, out, error);
  if (status != HB_OK) hb_tensor_files_close(out);
  return status;
}

void hb_tensor_files_close(hb_tensor_files *f) {
  for (uint32_t i = 0; i < f->count; i++) {
    hb_safetensors_close(&f->tensors[i]);
    hb_file_close(&f->files[i]);
    free(f->paths[i]);
  }
  free(f->paths);
  free(f->files);
  free(f->tensors);
  *f = (hb_tensor_files){0};
}
