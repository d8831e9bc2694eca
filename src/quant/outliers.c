/* Sparse values beside a matrix; private.h has the layout. */
#include "quant/private.h"

/* What may have to be named of outliers that are wrong. */
typedef struct place {
  const char *name;
  hb_error *error;
} place;

static hb_status wrong_row(const place *p, uint32_t row, const char *what) {
  return hb_fail(p->error, HB_MODEL, HB_NO_OFFSET, "outliers of %s: row %u %s", p->name,
                 (uint64_t)row, what);
}

static hb_status check_starts(const place *p, const uint32_t *start, uint32_t rows) {
  if (start[0] != 0) return wrong_row(p, 0, "does not start at 0");
  for (uint32_t r = 0; r < rows; r++)
    if (start[r + 1] < start[r]) return wrong_row(p, r, "ends before it starts");
  return HB_OK;
}

static hb_status check_columns(const place *p, const hb_sparse *o, uint32_t rows, uint32_t cols) {
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t i = o->start[r]; i < o->start[r + 1]; i++) {
      if (o->column[i] >= cols) return wrong_row(p, r, "has a column that the matrix lacks");
      if (i > o->start[r] && o->column[i] <= o->column[i - 1])
        return wrong_row(p, r, "has columns that do not increase");
    }
  return HB_OK;
}

hb_status hb_outliers_read(const void *data, uint64_t bytes, uint32_t rows, uint32_t cols,
                           const char *name, hb_sparse *out, hb_error *error) {
  const place p = {name, error};
  const uint8_t *at = data;
  hb_outlier_layout layout;
  if (!hb_outliers_place(rows, 0, &layout) || bytes < layout.bytes)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "outliers of %s: %u bytes are too few for %u rows", name, bytes, (uint64_t)rows);
  out->start = (const uint32_t *)data;
  if (!hb_outliers_place(rows, out->start[rows], &layout) || bytes != layout.bytes)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "outliers of %s: %u values do not take %u bytes",
                   name, (uint64_t)out->start[rows], bytes);
  out->column = (const uint16_t *)(const void *)(at + layout.columns);
  out->value = (const uint16_t *)(const void *)(at + layout.values);
  HB_TRY(check_starts(&p, out->start, rows));
  return check_columns(&p, out, rows, cols);
}
