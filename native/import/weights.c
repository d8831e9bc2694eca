#include "import/weights.h"
#include "base/half.h"
#include "import/initial.h"
#include "quant/quant.h"

#include <stdlib.h>

typedef struct matcher {
  const hb_config *config;
  const hb_hyperparameters *h;
  hb_import_weight *slots; /* [1 + layers][HB_WEIGHT_KINDS]; row 0 is of no layer */
  hb_error *error;
} matcher;

static bool is_vector(hb_weight_kind kind) {
  return hb_weight_table[kind].rows == HB_DIM_ONE;
}

static bool is_norm(hb_weight_kind kind) {
  const char *name = hb_weight_table[kind].name;
  return strstr(name, "norm.weight") != NULL;
}

static bool has(const hb_import_weight *w) {
  return w->from || w->computed || w->drawn;
}

/* ---- Order ---- */

static hb_row_order order_of(const hb_config *c, hb_weight_kind kind) {
  switch (kind) {
  case HB_WEIGHT_Q:
  case HB_WEIGHT_Q_BIAS:
  case HB_WEIGHT_K:
  case HB_WEIGHT_K_BIAS:
    return c->architecture->rope == HB_ROPE_ADJACENT ? HB_ROWS_TURNED : HB_ROWS_AS_THEY_ARE;
  case HB_WEIGHT_QKV_BIAS: return c->family->qkv_by_head ? HB_ROWS_BY_HEAD : HB_ROWS_AS_THEY_ARE;
  case HB_WEIGHT_QKV:
    if (c->family->qkv_by_head) return HB_ROWS_BY_HEAD;
    break;
  case HB_WEIGHT_ATTN_OUTPUT:
  case HB_WEIGHT_UP:
  case HB_WEIGHT_DOWN: break;
  default: return HB_ROWS_AS_THEY_ARE;
  }
  return c->family->transposed ? HB_ROWS_TRANSPOSED : HB_ROWS_AS_THEY_ARE;
}

/* ---- Matching ---- */

static hb_status check_shape(const matcher *m, const hb_safetensor *t, const hb_import_weight *w) {
  uint64_t rows = w->rows, cols = w->cols;
  if (w->order == HB_ROWS_TRANSPOSED) {
    rows = w->cols;
    cols = w->rows;
  }
  if (is_vector(w->kind)) {
    if (t->dim_count == 1 && t->dims[0] == rows * cols) return HB_OK;
    return hb_fail(m->error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %S has %u dimensions, the first of %u, where the configuration asks for "
                   "a vector of %u",
                   t->name, (uint64_t)t->dim_count, t->dims[0], rows * cols);
  }
  if (t->dim_count == 2 && t->dims[0] == rows && t->dims[1] == cols) return HB_OK;
  return hb_fail(m->error, HB_MODEL, HB_NO_OFFSET,
                 "tensor %S has %u dimensions, the first of %u x %u, where the configuration asks "
                 "for %u x %u",
                 t->name, (uint64_t)t->dim_count, t->dims[0], t->dims[1], rows, cols);
}

static hb_status fill_slot(matcher *m, const hb_safetensor *t, hb_weight_kind kind,
                           uint32_t layer) {
  const hb_weight_traits *traits = &hb_weight_table[kind];
  hb_import_weight *w =
      &m->slots[(traits->per_layer ? (uint64_t)layer + 1 : 0) * HB_WEIGHT_KINDS + kind];
  if (w->from)
    return hb_fail(m->error, HB_MODEL, HB_NO_OFFSET, "tensors %S and %S are the same weight",
                   w->from->name, t->name);
  *w = (hb_import_weight){
      .kind = kind,
      .layer = layer,
      .from = t,
      .order = order_of(m->config, kind),
      .rows = hb_dim_size(m->h, traits->rows),
      .cols = hb_dim_size(m->h, traits->cols),
      .head = m->h->head_size,
      .heads = m->h->heads,
      .type = t->type,
      .plus_one = m->config->family->norms_from_one && is_norm(kind),
  };
  if (is_vector(kind) || kind == HB_WEIGHT_POSITION_EMBD) w->type = HB_TYPE_F32;
  if (is_vector(kind) && w->order != HB_ROWS_AS_THEY_ARE) {
    w->rows = w->cols;
    w->cols = 1;
  }
  return check_shape(m, t, w);
}

static hb_status match_tensor(matcher *m, const hb_safetensor *t) {
  const hb_config *c = m->config;
  uint64_t layer = 0;
  const hb_rule *rule = hb_family_rule(c->family, t->name, &layer);
  if (rule && rule->kind == HB_RULE_DROPPED) return HB_OK;
  if (rule && rule->kind == HB_WEIGHT_OUTPUT && c->tied) return HB_OK;
  if (!rule || !((c->architecture->needs | c->architecture->allows) >> rule->kind & 1))
    return hb_fail(m->error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S is unknown to the architecture %s", t->name, c->architecture->name);
  if (hb_weight_table[rule->kind].per_layer && layer >= m->h->layers)
    return hb_fail(m->error, HB_MODEL, HB_NO_OFFSET, "tensor %S is of no layer: there are %u",
                   t->name, (uint64_t)m->h->layers);
  if (!t->readable)
    return hb_fail(m->error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S has the type %S, not F32, F16 or BF16", t->name, t->dtype);
  return fill_slot(m, t, (hb_weight_kind)rule->kind, (uint32_t)layer);
}

static void add_factors(matcher *m) {
  static const hb_weight_kind kinds[HB_FACTOR_KINDS] = {
      [HB_FACTORS_LLAMA3] = HB_WEIGHT_ROPE_FREQS,
      [HB_FACTORS_LONG] = HB_WEIGHT_ROPE_LONG,
      [HB_FACTORS_SHORT] = HB_WEIGHT_ROPE_SHORT,
  };
  for (int i = 0; i < HB_FACTOR_KINDS; i++) {
    hb_import_weight *w = &m->slots[kinds[i]];
    *w = (hb_import_weight){.kind = kinds[i],
                            .computed = m->config->factors[i],
                            .rows = 1,
                            .cols = m->config->pairs,
                            .type = HB_TYPE_F32};
  }
}

static hb_status missing(const matcher *m, hb_weight_kind kind, uint32_t layer) {
  const char *name = hb_weight_table[kind].name;
  for (size_t list = 0; list < HB_FAMILY_LISTS && m->config->family->rules[list]; list++)
    for (const hb_rule *r = m->config->family->rules[list]; r->name; r++)
      if (r->kind == (int)kind) name = r->name;
  if (!hb_weight_table[kind].per_layer)
    return hb_fail(m->error, HB_MODEL, HB_NO_OFFSET, "tensor %s is missing", name);
  return hb_fail(m->error, HB_MODEL, HB_NO_OFFSET, "tensor %s is missing in layer %u", name,
                 (uint64_t)layer);
}

static hb_status check_needs(const matcher *m) {
  uint64_t needs = m->config->architecture->needs;
  if (!m->config->tied) needs |= HB_HAS(OUTPUT);
  for (uint32_t row = 0; row <= m->h->layers; row++) {
    for (uint32_t kind = 0; kind < HB_WEIGHT_KINDS; kind++) {
      bool expected = (needs >> kind & 1) && hb_weight_table[kind].per_layer == (row > 0);
      if (expected && !has(&m->slots[(uint64_t)row * HB_WEIGHT_KINDS + kind]))
        return missing(m, (hb_weight_kind)kind, row - 1);
    }
  }
  return HB_OK;
}

static hb_status match(matcher *m, const hb_safetensors *files, uint32_t file_count) {
  if (m->config->family->qkv_by_head && m->h->kv_heads != m->h->heads)
    return hb_fail(m->error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "fused heads that share keys and values");
  for (uint32_t f = 0; f < file_count; f++)
    for (uint32_t i = 0; i < files[f].count; i++) HB_TRY(match_tensor(m, &files[f].tensors[i]));
  add_factors(m);
  return check_needs(m);
}

static hb_status open_slots(const hb_hyperparameters *h, hb_import_weights *out, hb_error *error) {
  out->count = 0;
  out->list = calloc(((size_t)h->layers + 1) * HB_WEIGHT_KINDS, sizeof *out->list);
  if (out->list) return HB_OK;
  return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a list of weights");
}

/* Closes the gaps between those that there are. */
static void list_slots(const hb_hyperparameters *h, hb_import_weights *out) {
  for (size_t i = 0; i < ((size_t)h->layers + 1) * HB_WEIGHT_KINDS; i++)
    if (has(&out->list[i])) out->list[out->count++] = out->list[i];
}

hb_status hb_import_match(const hb_config *config, const hb_hyperparameters *h,
                          const hb_safetensors *files, uint32_t file_count, hb_import_weights *out,
                          hb_error *error) {
  HB_TRY(open_slots(h, out, error));
  matcher m = {config, h, out->list, error};
  hb_status status = match(&m, files, file_count);
  if (status == HB_OK)
    list_slots(h, out);
  else
    hb_import_weights_close(out);
  return status;
}

hb_status hb_import_begin(const hb_config *config, const hb_hyperparameters *h, uint64_t seed,
                          hb_import_weights *out, hb_error *error) {
  HB_TRY(open_slots(h, out, error));
  matcher m = {config, h, out->list, error};
  uint64_t kinds = hb_initial_kinds(config);
  for (uint32_t row = 0; row <= h->layers; row++)
    for (uint32_t kind = 0; kind < HB_WEIGHT_KINDS; kind++)
      if ((kinds >> kind & 1) && hb_weight_table[kind].per_layer == (row > 0))
        out->list[(uint64_t)row * HB_WEIGHT_KINDS + kind] =
            hb_initial_weight(config, h, (hb_weight_kind)kind, row > 0 ? row - 1 : 0, seed);
  add_factors(&m);
  list_slots(h, out);
  return HB_OK;
}

void hb_import_weights_close(hb_import_weights *weights) {
  free(weights->list);
  *weights = (hb_import_weights){0};
}

hb_status hb_import_declare(const hb_import_weights *weights, hb_gguf_writer *writer,
                            hb_error *error) {
  for (uint32_t i = 0; i < weights->count; i++) {
    const hb_import_weight *w = &weights->list[i];
    const hb_weight_traits *traits = &hb_weight_table[w->kind];
    char name[64];
    uint64_t dims[2] = {w->cols, w->rows};
    if (is_vector(w->kind)) dims[0] = w->rows * w->cols;
    if (traits->per_layer)
      hb_format(name, sizeof name, "blk.%u.%s", (uint64_t)w->layer, traits->name);
    else
      hb_format(name, sizeof name, "%s", traits->name);
    HB_TRY(hb_gguf_writer_add_tensor(writer, hb_string_of(name), w->type,
                                     is_vector(w->kind) ? 1 : 2, dims, error));
  }
  return HB_OK;
}

/* ---- Reading ---- */

/* The source's row that becomes `row`. */
static uint64_t source_row(const hb_import_weight *w, uint64_t row) {
  uint64_t within = w->head ? row % w->head : 0;
  if (w->order == HB_ROWS_TURNED) return row - within + within % 2 * (w->head / 2) + within / 2;
  if (w->order != HB_ROWS_BY_HEAD) return row;
  uint64_t part = row / (w->heads * w->head), head = row % (w->heads * w->head) / w->head;
  return (head * 3 + part) * w->head + within;
}

enum { PIECE = 256 };

/* `count` values of a row from column `first` on, at most PIECE, in the result's type. */
static void make_values(const hb_import_weight *w, uint64_t row, uint64_t first, size_t count,
                        uint8_t *out) {
  const hb_type_traits *traits = hb_traits(w->from->type);
  size_t size = traits->block_bytes;
  uint8_t gathered[PIECE * 4];
  const uint8_t *from;
  if (w->order == HB_ROWS_TRANSPOSED) {
    from = w->from->data + (first * w->rows + row) * size;
    for (size_t i = 0; i < count; i++) memcpy(gathered + i * size, from + i * w->rows * size, size);
    from = gathered;
  } else {
    from = w->from->data + (source_row(w, row) * w->cols + first) * size;
  }
  if (w->type == w->from->type && !w->plus_one) {
    memcpy(out, from, count * size);
    return;
  }
  float values[PIECE];
  traits->decode(from, values, count);
  for (size_t i = 0; i < count && w->plus_one; i++) values[i] += 1;
  hb_traits(w->type)->encode(values, out, count);
}

void hb_import_read(const hb_import_weight *w, uint64_t at, void *bytes, size_t count) {
  uint8_t *to = bytes, made[PIECE * 4];
  size_t size = hb_traits(w->type)->block_bytes;
  if (w->drawn) {
    hb_initial_read(w, at, bytes, count);
    return;
  }
  if (!w->from) {
    memcpy(to, (const uint8_t *)w->computed + at, count);
    return;
  }
  bool same = w->type == w->from->type && !w->plus_one;
  if (same && w->order == HB_ROWS_AS_THEY_ARE) {
    memcpy(to, w->from->data + at, count);
    return;
  }
  while (count > 0) {
    uint64_t value = at / size, row = value / w->cols, first = value % w->cols;
    size_t values = w->cols - first < PIECE ? (size_t)(w->cols - first) : PIECE;
    size_t skipped = (size_t)(at % size), got = values * size - skipped;
    make_values(w, row, first, values, made);
    if (got > count) got = count;
    memcpy(to, made + skipped, got);
    to += got;
    at += got;
    count -= got;
  }
}
