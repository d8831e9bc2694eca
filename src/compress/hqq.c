#include "compress/hqq.h"
#include "base/half.h"
#include "compress/coders.h"
#include "compress/divide.h"
#include "compress/search.h"
#include "kernel/kernel.h"
#include "quant/quant.h"

enum { TURNS = 20 };

static const double norm = 0.7, first_beta = 10, beta_growth = 1.01;

/* A block at work. Errors are in steps of its scale, so that beta means the same for all blocks. */
typedef struct hqq_block {
  const hb_coder *coder;
  const float *x;
  uint16_t scale, addend; /* f16; the best addend so far */
  double least;           /* sum of |error|^norm with it */
} hqq_block;

/* What an error shrinks to: the near minimum of |r|^norm + beta / 2 (r - error)^2 over r. `power`
 * is |error|^(norm - 1). */
static double shrunk(double error, double power, double beta) {
  double magnitude = error < 0 ? -error : error, rest = magnitude - power / beta;
  if (rest <= 0) return 0;
  return error < 0 ? -rest : rest;
}

/* Rounds the values with an addend and keeps it if it is the best. Returns the mean by which values
 * lie above their levels, in steps, when large errors are forgiven. */
static double try_addend(hqq_block *b, uint16_t addend, double beta) {
  hb_grid grid = {hb_f32_of_f16(b->scale), hb_f32_of_f16(addend)};
  double scale = (double)grid.scale, sum = 0, offsets = 0;
  for (uint32_t i = 0; i < b->coder->values; i++) {
    uint8_t code = hb_nearest_code(b->coder, grid, b->x[i]);
    double error = ((double)b->x[i] - (double)hb_grid_value(b->coder, grid, code)) / scale;
    double power = error != 0 ? hb_pow(error < 0 ? -error : error, norm - 1) : 0;
    sum += (error < 0 ? -error : error) * power;
    offsets += (double)b->x[i] / scale - code - shrunk(error, power, beta);
  }
  if (sum < b->least) {
    b->least = sum;
    b->addend = addend;
  }
  return offsets / b->coder->values;
}

/* `block` holds what plain rounding gives. */
static void improve_block(const hb_coder *coder, const float *x, uint8_t *block) {
  hqq_block b = {.coder = coder, .x = x, .scale = hb_load_u16(block), .least = 0x1p1000};
  float scale = hb_f32_of_f16(b.scale);
  uint16_t addend = hb_load_u16(block + 2);
  bool finite = (b.scale & 0x7c00) != 0x7c00 && (addend & 0x7c00) != 0x7c00;
  if (!finite || scale == 0) return;
  uint16_t plain = addend;
  double beta = first_beta;
  for (int turn = 0; turn <= TURNS; turn++) {
    double offset = try_addend(&b, addend, beta);
    uint16_t next = hb_finite_f16((float)(offset * (double)scale));
    if (next == addend) break; /* a growing beta moves it no further, or hardly */
    addend = next;
    beta *= beta_growth;
  }
  if (b.addend == plain) return;
  hb_store_u16(block + 2, b.addend);
  hb_put_nearest(coder, x, block);
}

static void convert_rows(void *context, uint32_t first, uint32_t end) {
  const hb_matrix_job *job = context;
  const hb_coder *c = job->coder;
  size_t blocks = job->cols / c->values;
  for (uint32_t row = first; row < end; row++)
    for (size_t i = 0; i < blocks; i++) {
      const float *x = job->weights + (size_t)row * job->cols + i * c->values;
      uint8_t *block = job->blocks + (row * blocks + i) * c->block_bytes;
      c->round(x, block);
      improve_block(c, x, block);
    }
}

hb_status hb_matrix_hqq(const hb_matrix_job *job, hb_error *error) {
  HB_TRY(hb_matrix_check(job, error));
  if (job->coder->parameters != &hb_affine_parameters)
    return hb_fail(
        error, HB_UNSUPPORTED, HB_NO_OFFSET,
        "HQQ moves addends that are numbers of their own: Q4_1, Q5_1 and INT2_64 have them, not %s",
        hb_type_name(job->coder->type));
  hb_divide(job->parallel, job->rows, convert_rows, (void *)job);
  hb_matrix_decode(job);
  return HB_OK;
}
