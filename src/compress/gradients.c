#include "compress/gradients.h"
#include "compress/plan.h"
#include "compress/provenance.h"
#include "quant/quant.h"

#define ARCHITECTURE_KEY "general.architecture"

bool hb_gradients_wants(const hb_tensor *t, bool outer) {
  return hb_plan_quantizes(t) && (outer || hb_plan_in_layers(t->name));
}

/* ---- Checking ---- */

static hb_status text_of(const hb_gguf *gguf, const char *key, hb_string *out, hb_error *error) {
  const hb_value *value = hb_gguf_value(gguf, key);
  *out = (hb_string){0};
  return value ? hb_value_string(value, out, error) : HB_OK;
}

static hb_status check_keys(const hb_gguf *gradients, const hb_gguf *model, hb_error *error) {
  hb_string type, theirs, ours;
  HB_TRY(text_of(gradients, "general.type", &type, error));
  if (!hb_string_equal(type, hb_string_of(HB_GRADIENTS_TYPE)))
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "this is no gradient file: general.type is not " HB_GRADIENTS_TYPE);
  HB_TRY(text_of(gradients, ARCHITECTURE_KEY, &theirs, error));
  HB_TRY(text_of(model, ARCHITECTURE_KEY, &ours, error));
  if (hb_string_equal(theirs, ours)) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                 "the gradients are of a model of architecture \"%S\", not \"%S\"", theirs, ours);
}

static const hb_tensor *named(const hb_gguf *gguf, hb_string name) {
  char text[HB_GGUF_MAX_WRITTEN_NAME + 1];
  if (name.length >= sizeof text) return NULL;
  hb_format(text, sizeof text, "%S", name);
  return hb_gguf_tensor(gguf, text);
}

static hb_status check_tensor(const hb_tensor *t, const hb_gguf *model, hb_error *error) {
  const hb_tensor *matrix = named(model, t->name);
  if (!matrix)
    return hb_fail(error, HB_MODEL, t->offset,
                   "the gradient file has a tensor %S, which the model does not have", t->name);
  if (t->type != HB_TYPE_F32)
    return hb_fail(error, HB_MODEL, t->offset, "gradients of tensor %S are %s, not F32", t->name,
                   hb_type_name(t->type));
  for (int d = 0; d < 4; d++)
    if (t->dims[d] != matrix->dims[d])
      return hb_fail(error, HB_MODEL, t->offset,
                     "gradients of tensor %S have %u values in dimension %u, but the model's "
                     "tensor has %u",
                     t->name, t->dims[d], (uint64_t)d, matrix->dims[d]);
  return HB_OK;
}

hb_status hb_gradients_check(const hb_gguf *gradients, const hb_gguf *model, hb_error *error) {
  HB_TRY(check_keys(gradients, model, error));
  HB_TRY(hb_gguf_check_complete(gradients, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(gradients); i++)
    HB_TRY(check_tensor(hb_gguf_tensor_at(gradients, i), model, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(model); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(model, i);
    if (hb_gradients_wants(t, false) && !named(gradients, t->name))
      return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the gradient file does not have tensor %S",
                     t->name);
  }
  return HB_OK;
}

bool hb_gradients_has(const hb_gguf *gradients, const hb_tensor *matrix) {
  return named(gradients, matrix->name) != NULL;
}

/* ---- Reading ---- */

/* The index of the first that is no mean of squares, or `count`. */
static uint64_t first_odd(const float *x, uint64_t count) {
  uint64_t i = 0;
  while (i < count && x[i] >= 0 && x[i] - x[i] == 0) i++;
  return i;
}

static hb_status refuse(const hb_tensor *t, uint64_t at, hb_error *error) {
  return hb_fail(error, HB_MODEL, t->offset,
                 "gradients of tensor %S, row %u: value %u is no finite number from 0 on", t->name,
                 at / t->dims[0], at % t->dims[0]);
}

hb_status hb_gradients_read(const hb_source *gradients, const hb_tensor *matrix, uint64_t first,
                            uint64_t count, float *out, hb_error *error) {
  const hb_tensor *t = named(gradients->gguf, matrix->name);
  uint64_t at = hb_gguf_shard_data_start(gradients->gguf, t->shard) + t->offset;
  HB_TRY(gradients->read(gradients->context, t->shard, at + first * sizeof *out, out,
                         (size_t)count * sizeof *out, error));
  uint64_t odd = first_odd(out, count);
  return odd < count ? refuse(t, first + odd, error) : HB_OK;
}

/* ---- Writing ---- */

static hb_status write_header(const hb_gradients_options *o, hb_gguf_writer *w, hb_error *error) {
  hb_string architecture;
  HB_TRY(text_of(o->model, ARCHITECTURE_KEY, &architecture, error));
  HB_TRY(hb_gguf_writer_set_string(w, "general.type", hb_string_of(HB_GRADIENTS_TYPE), error));
  HB_TRY(hb_gguf_writer_set_string(w, ARCHITECTURE_KEY, architecture, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "gradients.sequences", o->sequences, error));
  HB_TRY(hb_gguf_writer_set_u32(w, "gradients.length", o->length, error));
  HB_TRY(hb_provenance_set_text(w, o->allocator, o->tokens, o->sequences, o->length, NULL, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(o->model); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(o->model, i);
    if (hb_gradients_wants(t, o->outer))
      HB_TRY(hb_gguf_writer_add_tensor(w, t->name, HB_TYPE_F32, t->dim_count, t->dims, error));
  }
  return hb_gguf_writer_begin(w, error);
}

static hb_status write_matrix(const hb_gradients_options *o, const hb_tensor *t, hb_gguf_writer *w,
                              hb_error *error) {
  enum { PIECE = 1024 };
  float means[PIECE];
  const float *sums;
  uint64_t values = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
  HB_TRY(o->sums(o->context, t, &sums, error));
  for (uint64_t at = 0; at < values; at += PIECE) {
    uint64_t count = values - at < PIECE ? values - at : PIECE;
    uint64_t odd = first_odd(sums + at, count);
    if (odd < count) return refuse(t, at + odd, error);
    for (uint64_t i = 0; i < count; i++) means[i] = sums[at + i] / (float)o->sequences;
    HB_TRY(hb_gguf_writer_data(w, means, (size_t)count * sizeof *means, error));
  }
  return HB_OK;
}

static hb_status write_file(const hb_gradients_options *o, hb_gguf_writer *w, hb_error *error) {
  HB_TRY(write_header(o, w, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(o->model); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(o->model, i);
    if (hb_gradients_wants(t, o->outer)) HB_TRY(write_matrix(o, t, w, error));
  }
  return hb_gguf_writer_finish(w, error);
}

hb_status hb_gradients_write(const hb_gradients_options *options, const hb_sink *sink,
                             hb_error *error) {
  hb_gguf_writer *writer;
  if (!options->tokens || options->sequences == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no text to take gradients from");
  HB_TRY(hb_gguf_writer_create(options->allocator, sink, &writer, error));
  hb_status status = write_file(options, writer, error);
  hb_gguf_writer_destroy(writer);
  return status;
}
