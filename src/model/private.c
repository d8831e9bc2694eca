/* Formats of halfbyte's own: what a file's keys say of them, and the tensors that stand beside
 * weights. quant/private.h describes them. */
#include "model/model.h"
#include "quant/quant.h"

/* ---- Keys ---- */

static bool is_feature(hb_string name) {
#define IS_FEATURE(feature, text) hb_string_equal(name, hb_string_of(text)) ||
  return HB_FEATURE_LIST(IS_FEATURE) false;
#undef IS_FEATURE
}

static hb_status check_features(const hb_model *m, hb_error *error) {
  const hb_value *v = hb_gguf_value(m->gguf, "halfbyte.features");
  uint64_t cursor = 0;
  for (uint64_t i = 0; v && i < v->count; i++) {
    hb_string name;
    HB_TRY(hb_value_next_string(v, &cursor, &name, error));
    if (!is_feature(name))
      return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                     "the file needs the feature \"%S\", which this version lacks", name);
  }
  return HB_OK;
}

static hb_status read_activations(hb_model *m, hb_error *error) {
  static const char *const names[] = {"block", "token", "tensor"};
  const hb_value *v = hb_gguf_value(m->gguf, "halfbyte.activations");
  const hb_value *skip = hb_gguf_value(m->gguf, "halfbyte.activations_skip_outliers");
  int skips = 0;
  if (skip) HB_TRY(hb_value_bool(skip, &skips, error));
  m->skip_outliers = skips != 0;
  if (!v) return HB_OK;
  hb_string name;
  HB_TRY(hb_value_string(v, &name, error));
  for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
    if (hb_string_equal(name, hb_string_of(names[i]))) {
      m->activations = (hb_activations)i;
      return HB_OK;
    }
  return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "unknown halfbyte.activations \"%S\"", name);
}

/* "NAME TYPE" */
static hb_status take_type(hb_model *m, hb_string entry, hb_error *error) {
  size_t length = entry.length;
  while (length > 0 && entry.data[length - 1] != ' ') length--;
  hb_string type_name = {entry.data + length, entry.length - length};
  hb_weight *w = length ? hb_weight_named(m, (hb_string){entry.data, length - 1}) : NULL;
  hb_type type;
  if (!w)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "halfbyte.tensor_types: \"%S\" begins with no weight of the model", entry);
  if (hb_type_from_name(type_name, &type) != HB_OK || !hb_type_is_private(type))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "halfbyte.tensor_types: \"%S\" ends with an unknown type", entry);
  if (w->private_type != HB_TYPE_F32)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "halfbyte.tensor_types has %s twice", w->name);
  w->private_type = type;
  return HB_OK;
}

static hb_status read_types(hb_model *m, hb_error *error) {
  const hb_value *v = hb_gguf_value(m->gguf, "halfbyte.tensor_types");
  uint64_t cursor = 0;
  for (uint64_t i = 0; v && i < v->count; i++) {
    hb_string entry;
    HB_TRY(hb_value_next_string(v, &cursor, &entry, error));
    HB_TRY(take_type(m, entry, error));
  }
  return HB_OK;
}

hb_status hb_private_begin(hb_model *m, hb_error *error) {
  if (!m->has_private) return HB_OK;
  HB_TRY(check_features(m, error));
  HB_TRY(read_activations(m, error));
  return read_types(m, error);
}

/* ---- Tensors beside weights ---- */

/* The matrix beside which `name` stands, if it ends so. */
static hb_weight *weight_beside(const hb_model *m, hb_string name, const char *suffix) {
  char weight[sizeof((hb_weight *)0)->name];
  hb_string end = hb_string_of(suffix);
  if (name.length <= end.length || name.length >= sizeof weight) return NULL;
  size_t length = name.length - end.length;
  if (memcmp(name.data + length, end.data, end.length) != 0) return NULL;
  size_t needed =
      hb_format(weight, sizeof weight, "%S" HB_WEIGHT_SUFFIX, (hb_string){name.data, length});
  hb_weight *w = needed < sizeof weight ? hb_weight_named(m, hb_string_of(weight)) : NULL;
  return w && hb_weight_table[w->kind].rows != HB_DIM_ONE ? w : NULL;
}

hb_beside hb_beside_find(const hb_model *m, hb_string name) {
  hb_beside beside = {NULL, false};
  if (!m->has_private) return beside;
  beside.weight = weight_beside(m, name, HB_OUTLIERS_SUFFIX);
  if (beside.weight) return beside;
  beside.weight = weight_beside(m, name, HB_INPUT_SCALE_SUFFIX);
  beside.is_scale = beside.weight != NULL;
  return beside;
}

static hb_status bind_outliers(hb_weight *w, const hb_tensor *t, hb_error *error) {
  hb_outlier_layout least;
  if (t->type != HB_TYPE_I8)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %S is no I8", t->name);
  if (!hb_outliers_place(w->rows, 0, &least) || w->cols > HB_OUTLIERS_MOST_COLUMNS)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S stands beside a matrix of more than %u columns", t->name,
                   (uint64_t)HB_OUTLIERS_MOST_COLUMNS);
  if (t->bytes != t->dims[0] || t->bytes < least.bytes)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "tensor %S has %u bytes in rows of %u for %u rows", t->name, t->bytes,
                   t->dims[0], w->rows);
  w->outliers.bytes = t->bytes;
  return HB_OK;
}

hb_status hb_beside_bind(const hb_beside *beside, const hb_tensor *t, hb_error *error) {
  if (!hb_weight_table[beside->weight->kind].per_layer)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S stands beside a matrix outside of the layers", t->name);
  if (!beside->is_scale) return bind_outliers(beside->weight, t, error);
  if (t->type != HB_TYPE_F32 || t->bytes != sizeof(float))
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %S is not one F32", t->name);
  beside->weight->has_input_scale = true;
  return HB_OK;
}

static hb_status check_weight(const hb_model *m, const hb_weight *w, hb_error *error) {
  bool announced = w->private_type != HB_TYPE_F32 || w->outliers.bytes > 0 || w->has_input_scale;
  if (announced && !w->present)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "tensor %s is described, but missing", w->name);
  bool matrix = hb_weight_table[w->kind].per_layer && hb_weight_table[w->kind].rows != HB_DIM_ONE;
  if (m->activations == HB_ACTIVATIONS_TENSOR && matrix && w->present &&
      hb_type_wants_int8(w->matrix.type) && !w->has_input_scale)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the input scale of %s is missing", w->name);
  return HB_OK;
}

hb_status hb_private_check(const hb_model *m, hb_error *error) {
  for (uint32_t i = 0; m->has_private && i < m->weight_count; i++)
    HB_TRY(check_weight(m, &m->weights[i], error));
  return HB_OK;
}

/* ---- Their bytes ---- */

uint8_t *hb_beside_place(const hb_model *m, const hb_beside *beside) {
  hb_weight *w = beside->weight;
  if (beside->is_scale) return (uint8_t *)&w->input_scale;
  if (!w->outliers.data) w->outliers.data = hb_allocate(m->allocator, w->outliers.bytes);
  return w->outliers.data;
}

/* Lists the columns that have an entry. */
static hb_status list_columns(const hb_model *m, hb_weight *w, hb_error *error) {
  hb_weight_outliers *o = &w->outliers;
  o->columns = hb_allocate_zero(m->allocator, w->cols * sizeof *o->columns);
  if (!o->columns)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the outliers of %s", w->name);
  for (uint32_t i = 0; i < o->parts.start[w->rows]; i++) o->columns[o->parts.column[i]] = 1;
  for (uint32_t c = 0; c < w->cols; c++)
    if (o->columns[c]) o->columns[o->column_count++] = (uint16_t)c;
  return HB_OK;
}

hb_status hb_beside_finish(const hb_model *m, const hb_beside *beside, hb_error *error) {
  hb_weight *w = beside->weight;
  if (beside->is_scale) {
    if (w->input_scale >= 0x1p-100f && w->input_scale <= 0x1p100f) return HB_OK;
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the input scale of %s is out of its range",
                   w->name);
  }
  HB_TRY(hb_outliers_read(w->outliers.data, w->outliers.bytes, (uint32_t)w->rows, (uint32_t)w->cols,
                          w->name, &w->outliers.parts, error));
  return m->skip_outliers ? list_columns(m, w, error) : HB_OK;
}

static bool same_columns(const hb_weight_outliers *a, const hb_weight_outliers *b) {
  return a->column_count == b->column_count &&
         (a->column_count == 0 ||
          memcmp(a->columns, b->columns, a->column_count * sizeof *a->columns) == 0);
}

static hb_status check_same_input(const hb_model *m, const hb_weight *a, const hb_weight *b,
                                  hb_error *error) {
  if (m->skip_outliers && !same_columns(&a->outliers, &b->outliers))
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "%s and %s share an input but not the columns of their outliers", a->name,
                   b->name);
  if (m->activations == HB_ACTIVATIONS_TENSOR && a->input_scale != b->input_scale)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "%s and %s share an input but not its scale", a->name, b->name);
  return HB_OK;
}

hb_status hb_private_finish(const hb_model *m, hb_error *error) {
  const hb_weight *first = NULL; /* whose input was quantized last */
  for (uint32_t i = 0; m->has_private && i < m->op_count; i++) {
    const hb_op *op = &m->program[i];
    if (op->kind == HB_OP_QUANTIZE || op->kind == HB_OP_QUANTIZE_ROW)
      first = op->weight == HB_NONE ? NULL : &m->weights[op->weight];
    if (op->kind == HB_OP_MATMUL && first && hb_type_wants_int8(m->weights[op->weight].matrix.type))
      HB_TRY(check_same_input(m, first, &m->weights[op->weight], error));
  }
  return HB_OK;
}

void hb_beside_release(const hb_model *m, hb_weight *w) {
  hb_release(m->allocator, w->outliers.data, w->outliers.bytes);
  hb_release(m->allocator, w->outliers.columns, w->cols * sizeof *w->outliers.columns);
}
