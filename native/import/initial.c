#include "import/initial.h"
#include "import/folder.h"
#include "import/shards.h"
#include "kernel/kernel.h"
#include "measure/random.h"

#include <stdlib.h>

/* ---- What there is ---- */

uint64_t hb_initial_kinds(const hb_config *c) {
  uint64_t kinds = c->architecture->needs;
  bool biased = false;
  hb_json_bool(hb_json_get(c->text, "attention_bias"), &biased);
  if (!c->tied) kinds |= HB_HAS(OUTPUT);
  if (biased)
    kinds |= c->architecture->allows &
             (HB_HAS(Q_BIAS) | HB_HAS(K_BIAS) | HB_HAS(V_BIAS) | HB_HAS(ATTN_OUTPUT_BIAS));
  return kinds;
}

static float deviation_of(const hb_config *c, const hb_hyperparameters *h, hb_weight_kind kind) {
  double range;
  if (hb_weight_table[kind].rows == HB_DIM_ONE) return 0;
  if (!hb_json_f64(hb_json_get(c->text, "initializer_range"), &range)) range = 0.02;
  bool ends_branch = kind == HB_WEIGHT_ATTN_OUTPUT || kind == HB_WEIGHT_DOWN;
  return (float)range / (ends_branch ? hb_sqrtf(2 * (float)h->layers) : 1);
}

hb_import_weight hb_initial_weight(const hb_config *config, const hb_hyperparameters *h,
                                   hb_weight_kind kind, uint32_t layer, uint64_t seed) {
  const hb_weight_traits *traits = &hb_weight_table[kind];
  uint64_t number = (uint64_t)layer * HB_WEIGHT_KINDS + kind;
  return (hb_import_weight){
      .kind = kind,
      .layer = layer,
      .rows = hb_dim_size(h, traits->rows),
      .cols = hb_dim_size(h, traits->cols),
      .type = HB_TYPE_F32,
      .drawn = true,
      .mean = strstr(traits->name, "norm.weight") ? 1.0f : 0.0f,
      .deviation = deviation_of(config, h, kind),
      .stream = hb_random_begin(seed, number).state,
  };
}

/* ---- Their values ---- */

/* Value i: the generator's number i makes two uniform ones, and these one that is normal (Box and
 * Muller 1958). */
static float value_at(const hb_import_weight *w, uint64_t i) {
  if (w->deviation == 0) return w->mean;
  hb_random r = {w->stream + i * 0x9e3779b97f4a7c15u};
  uint64_t u = hb_random_next(&r);
  double first = ((double)(uint32_t)u + 0.5) * 0x1p-32, second = (double)(uint32_t)(u >> 32);
  double sine, cosine;
  hb_sincos(second * (6.283185307179586 * 0x1p-32), &sine, &cosine);
  return w->mean + w->deviation * hb_sqrtf((float)(-2 * hb_log(first))) * (float)cosine;
}

void hb_initial_read(const hb_import_weight *w, uint64_t at, void *bytes, size_t count) {
  uint8_t *to = bytes;
  while (count > 0) {
    float value = value_at(w, at / sizeof value);
    size_t skipped = (size_t)(at % sizeof value), got = sizeof value - skipped;
    if (got > count) got = count;
    memcpy(to, (const uint8_t *)&value + skipped, got);
    to += got;
    at += got;
    count -= got;
  }
}

/* ---- Opening ---- */

#define CONFIG "config.json"

static bool has(const char *folder, const char *name) {
  char *path = hb_folder_path(folder, hb_string_of(name));
  bool found = path && hb_host_exists(path);
  free(path);
  return found;
}

/* The bytes of a path before "config.json"; 0 bytes may be its folder, too: HB_SIZE_UNKNOWN is
 * none.
 */
static uint64_t before_config(const char *path) {
  size_t length = strlen(path), end = sizeof CONFIG - 1;
  if (length < end || strcmp(path + length - end, CONFIG) != 0) return HB_SIZE_UNKNOWN;
  length -= end;
  return length == 0 || path[length - 1] == '/' ? length : HB_SIZE_UNKNOWN;
}

bool hb_is_untrained(const char *path) {
  if (!hb_host_is_folder(path)) return before_config(path) != HB_SIZE_UNKNOWN;
  return has(path, CONFIG) && !has(path, "model.safetensors") &&
         !has(path, "model.safetensors.index.json");
}

hb_status hb_untrained_open(const char *path, uint64_t seed, hb_source *out, hb_error *error) {
  uint64_t length = hb_host_is_folder(path) ? HB_SIZE_UNKNOWN : before_config(path);
  *out = (hb_source){0};
  if (length == HB_SIZE_UNKNOWN) return hb_folder_open_untrained(path, seed, out, error);
  char *folder = hb_host_copy_text(length > 0 ? path : "./");
  if (!folder) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to open %s", path);
  if (length > 0) folder[length] = 0;
  hb_status status = hb_folder_open_untrained(folder, seed, out, error);
  free(folder);
  return status;
}
