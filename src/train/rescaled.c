#include "train/rescaled.h"
#include "base/half.h"
#include "quant/formats.h"

enum {
  PIECE_VALUES = 256, /* that are decoded at once: a super-block of NF4 and FP4 */
  PIECE_BYTES = 512
};

/* A super-block, or of a type that has none a row, begins with its d. */
static uint32_t group_values(const hb_rescaled *r) {
  uint32_t blocks = r->traits->sharing_blocks;
  return blocks > 0 ? blocks * r->traits->block_values : r->cols;
}

static uint8_t *group_at(const hb_rescaled *r, uint32_t row, uint32_t group) {
  uint32_t bytes = r->traits->sharing_blocks * r->traits->block_bytes + r->traits->shared_bytes;
  return r->blocks + row * r->row_bytes + (uint64_t)group * bytes;
}

uint64_t hb_rescaled_count(const hb_rescaled *r) {
  return (uint64_t)r->rows * r->groups;
}

static void lay_out(hb_rescaled *r, uint8_t *memory) {
  uint64_t used = 0, count = hb_rescaled_count(r);
  r->parameters = hb_take(memory, &used, count * sizeof(float));
  r->gradients = hb_take(memory, &used, count * sizeof(float));
  r->unit = hb_take(memory, &used, count * sizeof(float));
  r->blocks = hb_take(memory, &used, r->rows * r->row_bytes);
  r->bytes = used;
}

hb_status hb_rescaled_begin(hb_rescaled *r, const hb_allocator *allocator, hb_type type,
                            uint32_t rows, uint32_t cols, const uint8_t *blocks, hb_error *error) {
  *r = (hb_rescaled){.allocator = allocator, .traits = hb_traits(type), .rows = rows, .cols = cols};
  if (!hb_row_bytes(type, cols, &r->row_bytes))
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "rows of %u values are not of %s", (uint64_t)cols,
                   hb_type_name(type));
  r->groups = (cols + group_values(r) - 1) / group_values(r);
  lay_out(r, NULL);
  uint8_t *memory = hb_allocate_zero(allocator, r->bytes);
  if (!memory) {
    *r = (hb_rescaled){0};
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a matrix in training");
  }
  lay_out(r, memory);
  memcpy(r->blocks, blocks, (size_t)(rows * r->row_bytes));
  for (uint64_t i = 0; i < hb_rescaled_count(r); i++) {
    r->unit[i] = hb_load_f16(group_at(r, (uint32_t)(i / r->groups), (uint32_t)(i % r->groups)));
    r->parameters[i] = 1;
  }
  return HB_OK;
}

void hb_rescaled_end(hb_rescaled *r) {
  hb_release(r->allocator, r->parameters, r->bytes);
  *r = (hb_rescaled){0};
}

/* Values first .. first + count - 1 of a row, at most PIECE_VALUES. */
static void decode(const hb_rescaled *r, uint32_t row, uint32_t first, uint32_t count, float *out) {
  const hb_type_traits *t = r->traits;
  uint32_t blocks = count / t->block_values;
  if (t->sharing_blocks > 0) {
    t->decode(group_at(r, row, first / group_values(r)), out, blocks);
    return;
  }
  uint8_t piece[PIECE_BYTES]; /* what the row shares, and its codes from there on */
  const uint8_t *from = r->blocks + row * r->row_bytes;
  memcpy(piece, from, t->shared_bytes);
  from += t->shared_bytes + (uint64_t)(first / t->block_values) * t->block_bytes;
  memcpy(piece + t->shared_bytes, from, (size_t)blocks * t->block_bytes);
  t->decode(piece, out, blocks);
}

static uint32_t piece_at(const hb_rescaled *r, uint32_t first) {
  return r->cols - first < PIECE_VALUES ? r->cols - first : PIECE_VALUES;
}

typedef struct rows_job {
  hb_rescaled *r;
  float *values;
  const float *gradient;
} rows_job;

static void project_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const rows_job *job = context;
  hb_rescaled *r = job->r;
  (void)thread;
  for (uint32_t row = first; row < end; row++) {
    for (uint32_t g = 0; g < r->groups; g++) {
      uint64_t i = (uint64_t)row * r->groups + g;
      hb_store_u16(group_at(r, row, g), hb_f16_of_f32(r->parameters[i] * r->unit[i]));
    }
    for (uint32_t at = 0; at < r->cols; at += PIECE_VALUES)
      decode(r, row, at, piece_at(r, at), job->values + (uint64_t)row * r->cols + at);
  }
}

void hb_rescaled_project(hb_rescaled *r, const hb_team *team, float *values) {
  rows_job job = {.r = r, .values = values};
  hb_team_divide(team, r->rows, 1, project_rows, &job);
}

/* Values are d times what stays: their derivative is they themselves over d. */
static void derive_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const rows_job *job = context;
  hb_rescaled *r = job->r;
  float values[PIECE_VALUES];
  (void)thread;
  for (uint32_t row = first; row < end; row++) {
    float *out = r->gradients + (uint64_t)row * r->groups;
    for (uint32_t g = 0; g < r->groups; g++) out[g] = 0;
    for (uint32_t at = 0; at < r->cols; at += PIECE_VALUES) {
      const float *gradient = job->gradient + (uint64_t)row * r->cols + at;
      uint32_t g = at / group_values(r), count = piece_at(r, at);
      float d = hb_load_f16(group_at(r, row, g)), sum = 0;
      decode(r, row, at, count, values);
      for (uint32_t i = 0; i < count; i++) sum += gradient[i] * values[i];
      if (d != 0) out[g] += sum / d * r->unit[(uint64_t)row * r->groups + g];
    }
  }
}

void hb_rescaled_back(hb_rescaled *r, const hb_team *team, const float *gradient) {
  rows_job job = {.r = r, .gradient = gradient};
  hb_team_divide(team, r->rows, 1, derive_rows, &job);
}
