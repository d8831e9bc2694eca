#include "quality/prospects.h"
#include "model/model.h"
#include "model/recipe.h"
#include "quality/compare.h"

static const char *const names[PROSPECTS] = {
    "f16",  "q8_0",   "q6_k", "q5_k_m", "q5_k", "q4_k_m",
    "q4_k", "iq4_xs", "q4_0", "q3_k_m", "q3_k", "q2_k",
};

hb_type prospect_type(const hb_model *model, const char *name, uint32_t weight) {
  const hb_weight *w = &model->weights[weight];
  hb_recipe recipe;
  if (w->rows <= 1 || hb_recipe_find(name, &recipe, NULL) != HB_OK) return HB_TYPE_F32;
  bool tied = hb_weight_find(model, HB_WEIGHT_OUTPUT, 0) == HB_NONE;
  hb_type type = hb_recipe_type(&recipe, w->kind, w->layer, model->h.layers, tied);
  return hb_type_fitting(type, w->cols);
}

/* Bytes of the weights in the file and in memory. */
static void add_weights(const hb_model *model, prospect *p) {
  uint64_t values = 0, tensors = 0;
  for (uint32_t i = 0; i < model->weight_count; i++) {
    const hb_weight *w = &model->weights[i];
    uint64_t row = 0, packed = 0;
    if (!w->present) continue;
    hb_type type = prospect_type(model, p->type, i);
    if (!hb_row_bytes(type, w->cols, &row)) continue;
    if (w->rows <= 1 || !hb_packed_size(type, w->rows, w->cols, &packed)) packed = w->rows * row;
    values += w->rows * w->cols;
    tensors += w->rows * row;
    p->memory_bytes += packed;
  }
  p->file_bytes += tensors;
  p->bits_per_weight = values ? 8 * (double)tensors / (double)values : 0;
}

static bool session_bytes(const hb_model *model, const cli_options *options, prospects *out,
                          uint64_t *bytes) {
  hb_model_info info;
  hb_error error;
  hb_model_get_info(model, &info);
  out->context = options->context                           ? options->context
                 : info.context_length < HB_DEFAULT_CONTEXT ? info.context_length
                                                            : HB_DEFAULT_CONTEXT;
  hb_session_options session = {.context_length = out->context, .kv = options->kv};
  if (hb_session_memory(model, &session, bytes, &error) == HB_OK) return true;
  cli_fail_error(&error);
  return false;
}

/* Bytes of the file's header, which is much the same in every type. */
static uint64_t header_bytes(const hb_model *model) {
  uint64_t tensors = 0, all = model_file_bytes(model->gguf);
  for (size_t i = 0; i < hb_gguf_tensor_count(model->gguf); i++)
    tensors += hb_gguf_tensor_at(model->gguf, i)->bytes;
  return all > tensors ? all - tensors : 0;
}

bool prospects_find(const hb_model *model, const cli_options *options, const char *report,
                    prospects *out) {
  *out = (prospects){0};
  uint64_t session, header = header_bytes(model);
  if (!session_bytes(model, options, out, &session)) return false;
  for (int i = 0; i < PROSPECTS; i++) {
    out->at[i] = (prospect){.type = names[i], .file_bytes = header, .memory_bytes = session};
    add_weights(model, &out->at[i]);
  }
  return prospects_time(model, options, out) && (!report || prospects_rate(model, report, out));
}

int prospects_choose(const prospects *p, uint64_t memory, double speed) {
  int best = -1;
  for (int i = 0; i < PROSPECTS; i++) {
    const prospect *one = &p->at[i];
    if (one->memory_bytes > memory || one->speed < speed) continue;
    bool better =
        best < 0 || (one->measured && p->at[best].measured && one->excess < p->at[best].excess);
    if (better) best = i;
  }
  return best;
}
