#include "compress/plan.h"
#include "compress/coder.h"
#include "compress/provenance.h"
#include "compress/spqr.h"
#include "quant/quant.h"

static bool contains(hb_string text, const char *part) {
  size_t length = strlen(part);
  for (size_t i = 0; i + length <= text.length; i++)
    if (memcmp(text.data + i, part, length) == 0) return true;
  return false;
}

static bool ends_with(hb_string text, const char *end) {
  size_t length = strlen(end);
  return text.length >= length && memcmp(text.data + text.length - length, end, length) == 0;
}

/* Other tensors are small, and sensitive to rounding. */
bool hb_plan_quantizes(const hb_tensor *t) {
  static const char *const kept[] = {"_norm.weight", "position_embd", "rope_freqs", "ffn_gate_inp"};
  if (t->dims[3] != 1 || (t->dims[1] == 1 && t->dims[2] == 1)) return false;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
    if (contains(t->name, kept[i])) return false;
  return ends_with(t->name, ".weight");
}

/* The layer N of a name "blk.N.", or HB_NONE; *rest gets what follows. */
static uint32_t layer_of(hb_string name, hb_string *rest) {
  uint32_t layer = 0;
  size_t i = 4;
  *rest = name;
  if (name.length < 5 || memcmp(name.data, "blk.", 4) != 0) return HB_NONE;
  for (; i < name.length && name.data[i] >= '0' && name.data[i] <= '9'; i++) {
    layer = layer * 10 + (uint32_t)(name.data[i] - '0');
    if (layer >= HB_MAX_LAYERS) return HB_NONE;
  }
  if (i == 4 || i == name.length || name.data[i] != '.') return HB_NONE;
  *rest = (hb_string){name.data + i + 1, name.length - i - 1};
  return layer;
}

bool hb_plan_in_layers(hb_string name) {
  hb_string rest;
  return layer_of(name, &rest) != HB_NONE;
}

/* What recipes distinguish; any other matrix counts as a query. */
static hb_weight_kind kind_of(hb_string rest) {
  static const hb_weight_kind kinds[] = {HB_WEIGHT_TOKEN_EMBD, HB_WEIGHT_OUTPUT, HB_WEIGHT_V,
                                         HB_WEIGHT_ATTN_OUTPUT, HB_WEIGHT_DOWN};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (hb_string_equal(rest, hb_string_of(hb_weight_table[kinds[i]].name))) return kinds[i];
  return HB_WEIGHT_Q;
}

static bool can_become(const hb_tensor *t, const hb_method *method, hb_type type) {
  if (type == t->type) return true;
  if (!hb_coder_of(type) && !hb_type_is_private(type)) return hb_traits(type)->encode != NULL;
  return hb_method_writes(method, type);
}

static hb_status choose(const hb_plan *plan, const hb_source *source, const hb_quantize_options *o,
                        const hb_plan_rules *rules, hb_tensor_plan *p, hb_error *error) {
  const hb_tensor *t = p->tensor;
  hb_string rest;
  uint32_t layer = layer_of(t->name, &rest);
  p->chosen = p->type = t->type;
  if (!hb_plan_quantizes(t)) return HB_OK;
  bool tied = !hb_gguf_tensor(source->gguf, hb_weight_table[HB_WEIGHT_OUTPUT].name);
  hb_type type = hb_recipe_type(rules->recipe, kind_of(rest), layer == HB_NONE ? 0 : layer,
                                plan->layers, tied);
  p->chosen = o->choose ? o->choose(o->context, t, type) : type;
  if (!hb_traits(p->chosen) || !can_become(t, rules->method, p->chosen))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "tensor %S: values cannot be rounded to %s by this method", t->name,
                   hb_traits(p->chosen) ? hb_type_name(p->chosen) : "an unknown type");
  p->type = hb_type_fitting(p->chosen, t->dims[0]);
  if (p->type != t->type && !hb_method_divides(rules->method, p->type, t->dims[0]))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "tensor %S: rows of %u values do not divide into groups of %u, or these not "
                   "into blocks of %s",
                   t->name, t->dims[0], (uint64_t)rules->method->group, hb_type_name(p->type));
  if (p->type != t->type && !hb_traits(t->type)->decode)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "tensor %S has the type %s, which cannot be converted", t->name,
                   hb_type_name(t->type));
  return HB_OK;
}

/* The output matrix, what it reads through, and the table of embeddings, which may be one with it,
 * come last. */
static uint32_t stage_of(const hb_plan *plan, hb_string name) {
  hb_string rest;
  uint32_t layer = layer_of(name, &rest);
  if (layer != HB_NONE && layer < plan->layers) return hb_plan_stage(layer);
  bool last = hb_string_equal(name, hb_string_of("token_embd.weight")) ||
              (name.length > 6 && memcmp(name.data, "output", 6) == 0);
  return last ? hb_plan_stage(plan->layers) : HB_STAGE_BEFORE;
}

static uint32_t count_layers(const hb_gguf *gguf) {
  uint32_t layers = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(gguf); i++) {
    hb_string rest;
    uint32_t layer = layer_of(hb_gguf_tensor_at(gguf, i)->name, &rest);
    if (layer != HB_NONE && layer >= layers) layers = layer + 1;
  }
  return layers;
}

/* Tensors of a stage keep their order. */
static void sort_by_stage(const hb_gguf *gguf, hb_plan *plan) {
  size_t starts[HB_MAX_LAYERS + 3] = {0};
  for (size_t i = 0; i < plan->count; i++)
    starts[stage_of(plan, hb_gguf_tensor_at(gguf, i)->name) + 1]++;
  for (uint32_t stage = 0; stage < hb_plan_stage(plan->layers); stage++)
    starts[stage + 1] += starts[stage];
  for (size_t i = 0; i < plan->count; i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    uint32_t stage = stage_of(plan, t->name);
    plan->tensors[starts[stage]++] = (hb_tensor_plan){.tensor = t, .stage = stage};
  }
}

/* Products of layers alone have a place beside them. */
static hb_status choose_beside(hb_tensor_plan *p, const hb_plan_rules *rules, hb_error *error) {
  const hb_tensor *t = p->tensor;
  if (p->type == t->type || t->dims[2] != 1) return HB_OK;
  if (!hb_coder_of(p->type) && !hb_type_is_private(p->type)) return HB_OK;
  p->input_scale = rules->method->activations == HB_ACTIVATIONS_TENSOR;
  if (!rules->survey && rules->outliers == 0) return HB_OK;
  if (t->dims[0] > HB_OUTLIERS_MOST_COLUMNS || t->dims[1] > UINT32_MAX / HB_OUTLIERS_MOST_COLUMNS)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET, "tensor %S is too large for outliers",
                   t->name);
  if (!rules->survey)
    return hb_outlier_count((uint32_t)t->dims[1], (uint32_t)t->dims[0], rules->outliers,
                            &p->outliers, error);
  p->outliers = hb_survey_outliers(rules->survey, t->name, NULL) * (uint32_t)t->dims[1];
  return HB_OK;
}

static hb_status choose_all(hb_plan *plan, const hb_source *source,
                            const hb_quantize_options *options, const hb_plan_rules *rules,
                            hb_error *error) {
  for (size_t i = 0; i < plan->count; i++) {
    hb_tensor_plan *p = &plan->tensors[i];
    plan->bytes += p->tensor->bytes;
    HB_TRY(choose(plan, source, options, rules, p, error));
    if (hb_plan_in_layers(p->tensor->name)) HB_TRY(choose_beside(p, rules, error));
  }
  return HB_OK;
}

hb_status hb_plan_create(const hb_source *source, const hb_quantize_options *options,
                         const hb_plan_rules *rules, hb_plan *out, hb_error *error) {
  const hb_gguf *gguf = source->gguf;
  *out = (hb_plan){.allocator = options->allocator, .count = hb_gguf_tensor_count(gguf)};
  out->layers = count_layers(gguf);
  out->tensors = hb_allocate(out->allocator, (uint64_t)out->count * sizeof *out->tensors);
  if (!out->tensors) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to quantize");
  for (size_t i = 0; i < out->count; i++)
    out->tensors[i] = (hb_tensor_plan){.tensor = hb_gguf_tensor_at(gguf, i)};
  if (hb_method_calibrates(rules->method)) sort_by_stage(gguf, out);
  hb_status status = choose_all(out, source, options, rules, error);
  if (status != HB_OK) hb_plan_destroy(out);
  return status;
}

void hb_plan_destroy(hb_plan *plan) {
  hb_release(plan->allocator, plan->tensors, (uint64_t)plan->count * sizeof *plan->tensors);
  *plan = (hb_plan){0};
}

/* ---- The header ---- */

uint64_t hb_plan_outlier_bytes(const hb_tensor_plan *p) {
  hb_outlier_layout layout = {0};
  if (p->outliers > 0) hb_outliers_place(p->tensor->dims[1], p->outliers, &layout);
  return layout.bytes;
}

/* Declares the tensor with that suffix instead of ".weight". */
static hb_status declare_beside(const hb_tensor_plan *p, const char *suffix, hb_type type,
                                uint64_t count, hb_gguf_writer *w, hb_error *error) {
  char name[HB_GGUF_MAX_WRITTEN_NAME + 1];
  hb_string stem = p->tensor->name;
  stem.length -= sizeof HB_WEIGHT_SUFFIX - 1;
  size_t length = hb_format(name, sizeof name, "%S%s", stem, suffix);
  return hb_gguf_writer_add_tensor(w, (hb_string){name, length}, type, 1, &count, error);
}

static hb_status declare(const hb_tensor_plan *p, hb_own_types *own, hb_gguf_writer *w,
                         hb_error *error) {
  const hb_tensor *t = p->tensor;
  if (t->dim_count == 2)
    HB_TRY(hb_own_types_add_matrix(own, w, t->name, p->type, t->dims[0], t->dims[1], error));
  else
    HB_TRY(hb_gguf_writer_add_tensor(w, t->name, p->type, t->dim_count, t->dims, error));
  if (p->outliers > 0) {
    own->features |= 1u << HB_FEATURE_OUTLIERS;
    HB_TRY(declare_beside(p, HB_OUTLIERS_SUFFIX, HB_TYPE_I8, hb_plan_outlier_bytes(p), w, error));
  }
  if (!p->input_scale) return HB_OK;
  return declare_beside(p, HB_INPUT_SCALE_SUFFIX, HB_TYPE_F32, 1, w, error);
}

static hb_status set_activations(const hb_method *method, hb_own_types *own, hb_gguf_writer *w,
                                 hb_error *error) {
  static const char *const names[] = {"block", "token", "tensor"};
  if (method->activations == HB_ACTIVATIONS_BLOCK) return HB_OK;
  own->features |= 1u << HB_FEATURE_ACTIVATIONS;
  if (method->outlier_columns)
    HB_TRY(hb_gguf_writer_set_bool(w, "halfbyte.activations_skip_outliers", 1, error));
  return hb_gguf_writer_set_string(w, "halfbyte.activations",
                                   hb_string_of(names[method->activations]), error);
}

/* What most matrices were meant to become; of as many, the type of the first. */
static hb_type most_chosen(const hb_plan *plan, hb_type otherwise) {
  enum { STOCK = 64, SLOTS = STOCK + 64 };
  uint32_t counts[SLOTS] = {0}, most = 0;
  for (size_t i = 0; i < plan->count; i++) {
    hb_type type = plan->tensors[i].chosen;
    if (!hb_plan_quantizes(plan->tensors[i].tensor)) continue;
    uint32_t slot = (uint32_t)type < STOCK ? type : STOCK + (type - HB_TYPE_NF4);
    if (slot >= SLOTS || ++counts[slot] <= most) continue;
    most = counts[slot];
    otherwise = type;
  }
  return otherwise;
}

static hb_status set_file_type(const hb_plan *plan, const hb_recipe *recipe, hb_gguf_writer *w,
                               hb_error *error) {
  uint32_t file_type = hb_recipe_file_type(recipe, most_chosen(plan, recipe->type));
  if (file_type != HB_NO_FILE_TYPE)
    return hb_gguf_writer_set_u32(w, "general.file_type", file_type, error);
  hb_gguf_writer_remove(w, "general.file_type");
  return HB_OK;
}

static hb_status write_header(const hb_plan *plan, const hb_source *source,
                              const hb_plan_rules *rules, hb_own_types *own, hb_gguf_writer *w,
                              hb_error *error) {
  hb_string architecture = {0};
  const hb_value *name = hb_gguf_value(source->gguf, "general.architecture");
  HB_TRY(hb_gguf_writer_copy(w, source->gguf, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "general.quantization_version", 2, error));
  HB_TRY(set_file_type(plan, rules->recipe, w, error));
  if (rules->options) HB_TRY(hb_provenance_set(w, rules->options, error));
  HB_TRY(set_activations(rules->method, own, w, error));
  for (size_t i = 0; i < plan->count; i++) HB_TRY(declare(&plan->tensors[i], own, w, error));
  if (own->features != 0) {
    if (name) HB_TRY(hb_value_string(name, &architecture, error));
    HB_TRY(hb_own_types_set(own, w, architecture, error));
  }
  return hb_gguf_writer_begin(w, error);
}

hb_status hb_plan_write_header(const hb_plan *plan, const hb_source *source,
                               const hb_plan_rules *rules, hb_gguf_writer *w, hb_error *error) {
  hb_own_types own = {.allocator = plan->allocator};
  hb_status status = write_header(plan, source, rules, &own, w, error);
  hb_own_types_release(&own);
  return status;
}
