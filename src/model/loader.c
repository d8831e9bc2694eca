/* Takes a model in as the bytes of its files arrive: header, then tensor after tensor, each row
 * group going to its final place as soon as it is complete. No file is ever held whole. */
#include "model/model.h"
#include "quant/quant.h"

/* Bytes of arriving groups from which on a wake-up of the other threads costs less than it saves.
 */
#define WORTH_DIVIDING ((size_t)128 << 10)

typedef enum stage { STAGE_NO_FILE, STAGE_HEADER, STAGE_DATA, STAGE_FAILED } stage;

struct hb_loader {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* NULL: one thread */
  bool header_only;
  stage stage;
  hb_model *model; /* until it is handed over */

  uint64_t file_offset;   /* bytes of the current file taken */
  uint64_t data_position; /* bytes of its data part taken */
  size_t tensor;          /* the one that comes next or is arriving */

  hb_weight *weight; /* what that tensor is, or NULL */
  hb_beside beside;  /* what it stands beside, if it is no weight */
  size_t group;      /* the row group that comes next */
  uint8_t *staging;  /* a group whose bytes have not all arrived */
  uint64_t staging_capacity;
  uint64_t staged;
};

/* ---- Creating ---- */

hb_status hb_loader_create(const hb_load_options *options, hb_loader **out, hb_error *error) {
  if (!options || !out)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a loader needs options and a place to go");
  *out = NULL;
  const hb_kernels *kernels = hb_kernels_for(options->isa);
  if (!kernels)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "this build or machine has no %s kernels",
                   hb_isa_name(options->isa));
  const hb_parallel *parallel = options->parallel;
  HB_TRY(hb_check_parallel(parallel, error));
  hb_loader *l = hb_allocate_zero(options->allocator, sizeof *l);
  hb_model *m = hb_allocate_zero(options->allocator, sizeof *m);
  hb_status status = HB_MEMORY;
  if (l && m) {
    l->allocator = m->allocator = options->allocator;
    l->parallel = parallel;
    l->header_only = options->header_only != 0;
    m->kernels = kernels;
    l->model = m;
    status = hb_gguf_create(options->allocator, &m->gguf, error);
  }
  if (status != HB_OK) {
    hb_release(options->allocator, l, sizeof *l);
    hb_release(options->allocator, m, sizeof *m);
    return hb_fail(error, status, HB_NO_OFFSET, "no memory for a loader");
  }
  *out = l;
  return HB_OK;
}

void hb_loader_destroy(hb_loader *l) {
  if (!l) return;
  hb_model_destroy(l->model);
  hb_release(l->allocator, l->staging, l->staging_capacity);
  hb_release(l->allocator, l, sizeof *l);
}

/* ---- Headers ---- */

/* Bytes of the rows that make up group `group` of a weight (a vector is one group). */
static uint64_t group_bytes(const hb_weight *w, size_t group) {
  uint64_t row;
  hb_row_bytes(w->matrix.type, w->cols, &row); /* checked when the header was read */
  uint64_t left = w->rows - (uint64_t)group * HB_GROUP;
  return row * (left < HB_GROUP ? left : HB_GROUP);
}

static hb_status bind_tensors(hb_loader *l, hb_error *error) {
  hb_model *m = l->model;
  uint64_t largest = l->staging_capacity;
  for (size_t i = l->tensor; i < hb_gguf_tensor_count(m->gguf); i++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(m->gguf, i);
    hb_weight *w = hb_weight_named(m, tensor->name);
    hb_beside beside = hb_beside_find(m, tensor->name);
    if (beside.weight) HB_TRY(hb_beside_bind(&beside, tensor, error));
    if (!w) continue;
    HB_TRY(hb_weight_bind(w, tensor, error));
    uint64_t bytes = group_bytes(w, 0);
    if (bytes > largest) largest = bytes;
  }
  if (l->header_only || largest == l->staging_capacity) return HB_OK;
  hb_release(l->allocator, l->staging, l->staging_capacity);
  l->staging = hb_allocate(l->allocator, largest);
  l->staging_capacity = l->staging ? largest : 0;
  if (!l->staging)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of arriving rows",
                   largest);
  return HB_OK;
}

static hb_status end_header(hb_loader *l, hb_error *error) {
  hb_model *m = l->model;
  uint32_t shard = hb_gguf_shard(m->gguf), shards = hb_gguf_shard_count(m->gguf);
  if (shard == 0) HB_TRY(hb_model_begin(m, error));
  HB_TRY(bind_tensors(l, error));
  l->stage = STAGE_DATA;
  if (shard + 1 < shards) return HB_OK;
  HB_TRY(hb_gguf_check_complete(m->gguf, error));
  HB_TRY(hb_weights_check(m, error));
  HB_TRY(hb_private_check(m, error));
  return hb_model_compile(m, error);
}

static hb_status feed_header(hb_loader *l, const uint8_t **bytes, size_t *count, hb_error *error) {
  size_t used;
  bool done;
  HB_TRY(hb_gguf_feed(l->model->gguf, *bytes, *count, &used, &done, error));
  *bytes += used;
  *count -= used;
  l->file_offset += used;
  return done ? end_header(l, error) : HB_OK;
}

/* ---- Data ---- */

static size_t group_count(const hb_weight *w) {
  return hb_weight_table[w->kind].rows == HB_DIM_ONE ? 1 : hb_group_count(&w->matrix);
}

/* Whole groups that have arrived, in the form of the file. */
typedef struct arrival {
  const hb_matrix *matrix;
  const uint8_t *raw;
  size_t group_bytes; /* of each but the matrix's last */
  size_t first, count;
  uint32_t threads;
} arrival;

/* Packs the share of one thread. */
static void pack_share(void *argument, uint32_t index) {
  const arrival *a = argument;
  size_t begin = a->count * index / a->threads, end = a->count * (index + 1) / a->threads;
  for (size_t i = begin; i < end; i++)
    hb_pack_group(a->matrix, a->first + i, a->raw + i * a->group_bytes);
}

/* `count` whole groups from `first` on. */
static void place_groups(const hb_loader *l, hb_weight *w, size_t first, size_t count,
                         const uint8_t *raw) {
  if (w->vector) {
    hb_traits(w->matrix.type)->decode(raw, w->vector, (size_t)w->cols);
    return;
  }
  arrival a = {&w->matrix, raw, (size_t)group_bytes(w, 0), first, count, 1};
  if (l->parallel && a.group_bytes * count >= WORTH_DIVIDING) a.threads = l->parallel->threads;
  if (a.threads > 1)
    l->parallel->run(l->parallel->context, pack_share, &a);
  else
    pack_share(&a, 0);
}

/* How many groups, from the next on, lie whole in `count` bytes; *used of them. */
static size_t whole_groups(const hb_loader *l, size_t count, size_t *used) {
  const hb_weight *w = l->weight;
  size_t left = group_count(w) - l->group;
  uint64_t each = group_bytes(w, 0), last = group_bytes(w, l->group + left - 1);
  uint64_t groups = count / each;
  if (groups >= left - 1) groups = left - 1 + (count - (left - 1) * each >= last);
  *used = (size_t)(groups == left ? (left - 1) * each + last : groups * each);
  return (size_t)groups;
}

/* Bytes of a tensor that the model uses; groups that arrive whole are not copied first. */
static hb_status place_bytes(hb_loader *l, const uint8_t *bytes, size_t count, hb_error *error) {
  hb_weight *w = l->weight;
  if (!w->vector && !w->matrix.data) HB_TRY(hb_weight_allocate(l->model, l->tensor, error));
  while (count > 0 && l->group < group_count(w)) {
    size_t used, groups = l->staged == 0 ? whole_groups(l, count, &used) : 0;
    if (groups > 0) {
      place_groups(l, w, l->group, groups, bytes);
      l->group += groups;
      bytes += used;
      count -= used;
      continue;
    }
    uint64_t wanted = group_bytes(w, l->group);
    size_t piece = count < wanted - l->staged ? count : (size_t)(wanted - l->staged);
    memcpy(l->staging + l->staged, bytes, piece);
    l->staged += piece;
    bytes += piece;
    count -= piece;
    if (l->staged < wanted) break;
    place_groups(l, w, l->group++, 1, l->staging);
    l->staged = 0;
  }
  return HB_OK;
}

/* Bytes, from `at` on, of a tensor that stands beside a weight. */
static hb_status place_beside(hb_loader *l, uint64_t at, const uint8_t *bytes, size_t count,
                              bool last, hb_error *error) {
  uint8_t *place = hb_beside_place(l->model, &l->beside);
  if (!place)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the outliers of %s",
                   l->beside.weight->name);
  memcpy(place + at, bytes, count);
  return last ? hb_beside_finish(l->model, &l->beside, error) : HB_OK;
}

/* The tensor that arrives now, or NULL behind the last one of this file. */
static const hb_tensor *current_tensor(const hb_loader *l) {
  const hb_tensor *tensor = hb_gguf_tensor_at(l->model->gguf, l->tensor);
  return tensor && tensor->shard == hb_gguf_shard(l->model->gguf) ? tensor : NULL;
}

static hb_status feed_data(hb_loader *l, const uint8_t *bytes, size_t count, hb_error *error) {
  while (count > 0) {
    const hb_tensor *tensor = current_tensor(l);
    if (!tensor) { /* behind the last tensor */
      l->file_offset += count;
      return HB_OK;
    }
    bool padding = l->data_position < tensor->offset;
    uint64_t left = padding ? tensor->offset - l->data_position
                            : tensor->offset + tensor->bytes - l->data_position;
    size_t piece = count < left ? count : (size_t)left;
    if (!padding) {
      if (l->data_position == tensor->offset) {
        l->weight = hb_weight_named(l->model, tensor->name);
        l->beside = hb_beside_find(l->model, tensor->name);
        l->group = 0;
      }
      if (l->weight) HB_TRY(place_bytes(l, bytes, piece, error));
      if (l->beside.weight)
        HB_TRY(
            place_beside(l, l->data_position - tensor->offset, bytes, piece, piece == left, error));
    }
    bytes += piece;
    count -= piece;
    l->data_position += piece;
    l->file_offset += piece;
    if (!padding && piece == left) l->tensor++;
  }
  return HB_OK;
}

/* ---- Files ---- */

static hb_status check_file_complete(const hb_loader *l, hb_error *error) {
  if (l->stage == STAGE_HEADER)
    return hb_fail(error, HB_TRUNCATED, l->file_offset, "the file ends inside its header");
  const hb_tensor *tensor = l->header_only ? NULL : current_tensor(l);
  if (tensor)
    return hb_fail(error, HB_TRUNCATED, l->file_offset, "the file ends inside tensor %S",
                   tensor->name);
  return HB_OK;
}

static hb_status check_usable(const hb_loader *l, hb_error *error) {
  if (!l) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no loader");
  if (!l->model || l->stage == STAGE_FAILED)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the loader has failed or finished before");
  return HB_OK;
}

static hb_status remember(hb_loader *l, hb_status status) {
  if (status != HB_OK) l->stage = STAGE_FAILED;
  return status;
}

hb_status hb_loader_begin_file(hb_loader *l, uint64_t file_size, hb_error *error) {
  HB_TRY(check_usable(l, error));
  if (l->stage != STAGE_NO_FILE) {
    HB_TRY(check_file_complete(l, error));
    if (hb_gguf_shard(l->model->gguf) + 1 >= hb_gguf_shard_count(l->model->gguf))
      return hb_fail(error, HB_STATE, HB_NO_OFFSET, "the model has no further files");
  }
  HB_TRY(remember(l, hb_gguf_begin_shard(l->model->gguf, file_size, error)));
  l->stage = STAGE_HEADER;
  l->file_offset = l->data_position = 0;
  return HB_OK;
}

hb_status hb_loader_feed(hb_loader *l, const void *data, size_t count, hb_error *error) {
  const uint8_t *bytes = data;
  HB_TRY(check_usable(l, error));
  if (l->stage == STAGE_NO_FILE || (!bytes && count > 0))
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "bytes came before a file was begun");
  if (l->stage == STAGE_HEADER) HB_TRY(remember(l, feed_header(l, &bytes, &count, error)));
  if (l->stage != STAGE_DATA || l->header_only) return HB_OK;
  return remember(l, feed_data(l, bytes, count, error));
}

hb_load_state hb_loader_state(const hb_loader *l) {
  hb_load_state state = {.shard_count = 1};
  if (!l || !l->model) return state;
  const hb_gguf *gguf = l->model->gguf;
  state.header_done = l->stage == STAGE_DATA;
  state.shard = hb_gguf_shard(gguf);
  state.shard_count = hb_gguf_shard_count(gguf);
  state.file_offset = l->file_offset;
  if (state.header_done) state.file_size = hb_gguf_data_start(gguf) + hb_gguf_data_bytes(gguf);
  return state;
}

const hb_gguf *hb_loader_gguf(const hb_loader *l) {
  return l && l->model && l->model->architecture ? l->model->gguf : NULL;
}

hb_status hb_loader_finish(hb_loader *l, hb_model **out, hb_error *error) {
  if (out) *out = NULL;
  HB_TRY(check_usable(l, error));
  if (!out || l->stage == STAGE_NO_FILE)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "nothing was loaded");
  HB_TRY(check_file_complete(l, error));
  hb_model *m = l->model;
  if (!l->header_only) {
    HB_TRY(hb_gguf_check_complete(m->gguf, error));
    HB_TRY(hb_private_finish(m, error));
    HB_TRY(hb_rope_prepare(m, error));
    m->loaded = true;
  }
  l->model = NULL;
  *out = m;
  return HB_OK;
}
