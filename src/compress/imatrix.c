#include "compress/imatrix.h"
#include "gguf/gguf.h"

/* What the file has of that matrix under that suffix, or NULL. */
static const hb_tensor *part_of(const hb_gguf *imatrix, const hb_tensor *matrix,
                                const char *suffix) {
  char name[128];
  if (matrix->name.length + strlen(suffix) >= sizeof name) return NULL;
  hb_format(name, sizeof name, "%S%s", matrix->name, suffix);
  return hb_gguf_tensor(imatrix, name);
}

static hb_status check_part(const hb_tensor *part, uint64_t values, hb_error *error) {
  if (part->type != HB_TYPE_F32)
    return hb_fail(error, HB_MODEL, part->offset, "tensor %S is %s, not F32", part->name,
                   hb_type_name(part->type));
  if (part->bytes != values * sizeof(float))
    return hb_fail(error, HB_MODEL, part->offset,
                   "tensor %S has %u values, but the model's matrix wants %u", part->name,
                   part->bytes / sizeof(float), values);
  return HB_OK;
}

static hb_status check_matrix(const hb_gguf *imatrix, const hb_tensor *matrix, bool *known,
                              hb_error *error) {
  const hb_tensor *squares = part_of(imatrix, matrix, HB_IMATRIX_SQUARES);
  const hb_tensor *counts = part_of(imatrix, matrix, HB_IMATRIX_COUNTS);
  if (!squares) return HB_OK;
  *known = true;
  if (!counts)
    return hb_fail(error, HB_MODEL, squares->offset, "tensor %S" HB_IMATRIX_COUNTS " is missing",
                   matrix->name);
  HB_TRY(check_part(squares, matrix->dims[0], error));
  return check_part(counts, 1, error);
}

hb_status hb_imatrix_check(const hb_gguf *imatrix, const hb_gguf *model, hb_error *error) {
  hb_string type = {0};
  const hb_value *value = hb_gguf_value(imatrix, "general.type");
  bool known = false;
  if (value) HB_TRY(hb_value_string(value, &type, error));
  if (!hb_string_equal(type, hb_string_of(HB_IMATRIX_TYPE)))
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "this is no importance file: general.type is not " HB_IMATRIX_TYPE);
  HB_TRY(hb_gguf_check_complete(imatrix, error));
  for (size_t i = 0; i < hb_gguf_tensor_count(model); i++)
    HB_TRY(check_matrix(imatrix, hb_gguf_tensor_at(model, i), &known, error));
  if (known) return HB_OK;
  return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the importance file has no matrix of this model");
}

static hb_status read_floats(const hb_source *imatrix, const hb_tensor *part, float *out,
                             hb_error *error) {
  uint64_t at = hb_gguf_shard_data_start(imatrix->gguf, part->shard) + part->offset;
  return imatrix->read(imatrix->context, part->shard, at, out, (size_t)part->bytes, error);
}

hb_status hb_imatrix_read(const hb_source *imatrix, const hb_tensor *matrix, float *importance,
                          bool *known, hb_error *error) {
  const hb_tensor *squares = part_of(imatrix->gguf, matrix, HB_IMATRIX_SQUARES);
  float count;
  *known = squares != NULL;
  if (!squares) return HB_OK;
  HB_TRY(read_floats(imatrix, squares, importance, error));
  HB_TRY(read_floats(imatrix, part_of(imatrix->gguf, matrix, HB_IMATRIX_COUNTS), &count, error));
  if (!(count >= 1))
    return hb_fail(error, HB_MODEL, squares->offset, "tensor %S" HB_IMATRIX_COUNTS " is below 1",
                   matrix->name);
  for (uint64_t i = 0; i < matrix->dims[0]; i++) {
    importance[i] /= count;
    if (!(importance[i] >= 0) || importance[i] - importance[i] != 0)
      return hb_fail(error, HB_MODEL, squares->offset,
                     "tensor %S: value %u is no finite sum of squares", squares->name, i);
  }
  return HB_OK;
}
