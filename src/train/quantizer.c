#include "train/quantizer.h"
#include "base/half.h"
#include "quant/quant.h"

/* The parts of `parameters` and of its gradients. */
typedef struct parts {
  float *d, *dmin;        /* [blocks] */
  float *scale, *minimum; /* [grids]; NULL where they are no codes */
} parts;

static bool has_codes(const hb_quantizer *q) {
  return q->coder->parameters && q->coder->parameters->low < q->coder->parameters->high;
}

static bool has_minima(const hb_quantizer *q) {
  return q->coder->parameters && q->coder->parameters->minima;
}

static parts parts_of(const hb_quantizer *q, float *at) {
  parts p = {.d = at};
  at += q->block_count;
  if (has_minima(q)) {
    p.dmin = at;
    at += q->block_count;
  }
  if (has_codes(q)) {
    p.scale = at;
    at += q->grid_count;
  }
  if (has_codes(q) && has_minima(q)) p.minimum = at;
  return p;
}

static uint32_t grids_of(const hb_quantizer *q) {
  return q->coder->values / q->coder->step;
}

static float level_of(const hb_coder *c, uint32_t code) {
  return c->table ? c->table[code] : c->first + (int)code;
}

float hb_quantizer_step(const hb_quantizer *q, hb_grid grid) {
  return __builtin_fabsf(grid.scale) * (q->high - q->low) / (float)(q->coder->levels - 1);
}

/* What one of a code's largest value is. */
static float whole(const hb_quantizer *q) {
  return q->coder->parameters->high;
}

/* ---- Beginning ---- */

static void take_parameters(hb_quantizer *q, const uint8_t *blocks) {
  const hb_parameters *traits = q->coder->parameters;
  parts p = parts_of(q, q->parameters);
  uint32_t grids = grids_of(q);
  for (uint64_t b = 0; b < q->block_count; b++) {
    hb_super s;
    traits->load(blocks + b * q->coder->block_bytes, &s);
    q->unit_d[b] = hb_f32_of_f16(s.d);
    q->unit_dmin[b] = hb_f32_of_f16(s.dmin);
    p.d[b] = 1;
    if (p.dmin) p.dmin[b] = 1;
    for (uint32_t k = 0; k < grids && p.scale; k++) {
      p.scale[b * grids + k] = s.scales[k] / whole(q);
      if (p.minimum) p.minimum[b * grids + k] = s.minima[k] / whole(q);
    }
  }
}

/* The codes of blocks, from the values that they stand for. */
static void take_codes(hb_quantizer *q, const uint8_t *blocks) {
  const hb_coder *c = q->coder;
  float values[HB_CODER_MOST_VALUES];
  hb_grid grids[HB_CODER_MOST_GRIDS];
  for (uint64_t b = 0; b < q->block_count; b++) {
    hb_traits(c->type)->decode(blocks + b * c->block_bytes, values, 1);
    c->grids(blocks + b * c->block_bytes, grids);
    for (uint32_t i = 0; i < c->values; i++)
      q->codes[b * c->values + i] = hb_nearest_code(c, grids[i / c->step], values[i]);
  }
}

/* The point nearest to x, on the way from what the code stands for, that is rounded to the code and
 * not about to be rounded elsewhere. */
static float into_cell(const hb_coder *c, hb_grid grid, uint8_t code, float x) {
  float center = hb_grid_value(c, grid, code), inside = 0, outside = 1;
  if (hb_nearest_code(c, grid, x) == code) return x;
  for (int i = 0; i < 8; i++) {
    float middle = 0.5f * (inside + outside);
    if (hb_nearest_code(c, grid, center + middle * (x - center)) == code)
      inside = middle;
    else
      outside = middle;
  }
  return center + 0.9f * inside * (x - center);
}

void hb_quantizer_keep_codes(hb_quantizer *q, const uint8_t *blocks) {
  const hb_coder *c = q->coder;
  hb_grid grids[HB_CODER_MOST_GRIDS];
  take_codes(q, blocks);
  for (uint64_t b = 0; b < q->block_count; b++) {
    c->grids(blocks + b * c->block_bytes, grids);
    for (uint64_t i = b * c->values, k = 0; k < c->values; i++, k++)
      q->weights[i] = into_cell(c, grids[k / c->step], q->codes[i], q->weights[i]);
  }
}

static void take_levels(hb_quantizer *q) {
  q->low = q->high = level_of(q->coder, 0);
  for (uint32_t code = 1; code < q->coder->levels; code++) {
    float level = level_of(q->coder, code);
    q->low = level < q->low ? level : q->low;
    q->high = level > q->high ? level : q->high;
  }
}

static void lay_out(hb_quantizer *q, bool weights) {
  uint64_t values = (uint64_t)q->rows * q->cols, used = 0;
  if (weights) q->weights = hb_take(q->memory, &used, values * sizeof(float));
  q->codes = hb_take(q->memory, &used, values);
  q->parameters = hb_take(q->memory, &used, q->parameter_count * sizeof(float));
  q->parameter_gradients = hb_take(q->memory, &used, q->parameter_count * sizeof(float));
  q->unit_d = hb_take(q->memory, &used, q->block_count * sizeof(float));
  q->unit_dmin = hb_take(q->memory, &used, q->block_count * sizeof(float));
  q->grids = hb_take(q->memory, &used, q->grid_count * sizeof(hb_grid));
  if (!q->coder->parameters)
    q->blocks = hb_take(q->memory, &used, q->block_count * q->coder->block_bytes);
  q->bytes = used;
}

bool hb_quantizer_takes(hb_type type) {
  return hb_coder_of(type) || hb_traits(type)->shared_bytes > 0;
}

static hb_status begin_shared(hb_quantizer *q, hb_type type, const uint8_t *blocks,
                              const float *weights, hb_error *error) {
  if (weights)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "codes of %s cannot be trained: its blocks share bytes", hb_type_name(type));
  HB_TRY(hb_rescaled_begin(&q->shared, q->allocator, type, q->rows, q->cols, blocks, error));
  q->parameter_count = hb_rescaled_count(&q->shared);
  q->parameters = q->shared.parameters;
  q->parameter_gradients = q->shared.gradients;
  return HB_OK;
}

hb_status hb_quantizer_begin(hb_quantizer *q, const hb_allocator *allocator, hb_type type,
                             uint32_t rows, uint32_t cols, const uint8_t *blocks,
                             const float *weights, hb_error *error) {
  *q = (hb_quantizer){.allocator = allocator, .rows = rows, .cols = cols};
  if (hb_traits(type)->shared_bytes > 0) return begin_shared(q, type, blocks, weights, error);
  const hb_coder *coder = q->coder = hb_coder_of(type);
  if (!coder->parameters && !weights)
    return hb_fail(error, HB_UNSUPPORTED, HB_NO_OFFSET,
                   "the scales of %s cannot be trained: they are no numbers of their own",
                   hb_type_name(coder->type));
  take_levels(q);
  q->block_count = (uint64_t)rows * (cols / coder->values);
  q->grid_count = q->block_count * grids_of(q);
  if (coder->parameters) q->parameter_count = q->block_count * (has_minima(q) ? 2 : 1);
  if (has_codes(q)) q->parameter_count += q->grid_count * (has_minima(q) ? 2 : 1);
  lay_out(q, weights);
  q->memory = hb_allocate_zero(allocator, q->bytes);
  if (!q->memory)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for %u bytes of a matrix in training",
                   q->bytes);
  lay_out(q, weights);
  if (coder->parameters)
    take_parameters(q, blocks);
  else
    memcpy(q->blocks, blocks, (size_t)q->block_count * coder->block_bytes);
  if (weights)
    memcpy(q->weights, weights, (size_t)rows * cols * sizeof *weights);
  else
    take_codes(q, blocks);
  return HB_OK;
}

void hb_quantizer_end(hb_quantizer *q) {
  if (q->shared.traits) hb_rescaled_end(&q->shared);
  hb_release(q->allocator, q->memory, q->bytes);
  *q = (hb_quantizer){0};
}

/* ---- Forward ---- */

static int16_t rounded(const hb_parameters *p, float x) {
  x = x < p->low ? p->low : x > p->high ? p->high : x;
  return (int16_t)(x < 0 ? x - 0.5f : x + 0.5f);
}

/* The parameters of a block as it can hold them. */
static hb_super super_of(const hb_quantizer *q, uint64_t b) {
  const hb_parameters *traits = q->coder->parameters;
  parts p = parts_of(q, q->parameters);
  uint32_t grids = grids_of(q);
  hb_super s = {.d = hb_f16_of_f32(p.d[b] * q->unit_d[b]), .scales = {1}, .minima = {1}};
  if (p.dmin) s.dmin = hb_f16_of_f32(p.dmin[b] * q->unit_dmin[b]);
  for (uint32_t k = 0; k < grids && p.scale; k++) {
    s.scales[k] = rounded(traits, p.scale[b * grids + k] * whole(q));
    s.minima[k] = p.minimum ? rounded(traits, p.minimum[b * grids + k] * whole(q)) : 0;
  }
  return s;
}

/* A block without its codes. */
static void make_block(const hb_quantizer *q, uint64_t b, uint8_t *block) {
  const hb_coder *c = q->coder;
  if (q->blocks) {
    memcpy(block, q->blocks + b * c->block_bytes, c->block_bytes);
    return;
  }
  hb_super s = super_of(q, b);
  memset(block, 0, c->block_bytes);
  c->parameters->store(&s, block);
}

typedef struct projection {
  hb_quantizer *q;
  float *values;
} projection;

static float held(float x, float center, float most) {
  return x > center + most ? center + most : x < center - most ? center - most : x;
}

static void project_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const projection *p = context;
  (void)thread;
  hb_quantizer *q = p->q;
  const hb_coder *c = q->coder;
  uint64_t blocks = q->cols / c->values;
  uint8_t block[512];
  for (uint64_t b = first * blocks; b < end * blocks; b++) {
    hb_grid *grids = q->grids + b * grids_of(q);
    make_block(q, b, block);
    c->grids(block, grids);
    for (uint64_t i = b * c->values, k = 0; k < c->values; i++, k++) {
      hb_grid grid = grids[k / c->step];
      if (q->centers)
        q->weights[i] = held(q->weights[i], q->centers[i], 0.5f * hb_quantizer_step(q, grid));
      if (q->weights) q->codes[i] = hb_nearest_code(c, grid, q->weights[i]);
      p->values[i] = hb_grid_value(c, grid, q->codes[i]);
    }
  }
}

void hb_quantizer_project(hb_quantizer *q, const hb_team *team, float *values) {
  projection p = {q, values};
  if (q->shared.traits)
    hb_rescaled_project(&q->shared, team, values);
  else
    hb_team_divide(team, q->rows, 1, project_rows, &p);
}

/* ---- Backward ---- */

typedef struct derivation {
  hb_quantizer *q;
  float *gradient;
} derivation;

/* The values of a grid: their gradients become those of the weights; *scale and *addend get those
 * of the grid. A weight beyond the outermost levels has no say. */
static void derive_grid(const hb_quantizer *q, uint64_t first, hb_grid grid, float *gradient,
                        float *scale, float *addend) {
  const hb_coder *c = q->coder;
  *scale = *addend = 0;
  for (uint64_t i = first; i < first + c->step; i++) {
    float level = level_of(c, q->codes[i]), place = level, sign = gradient[i];
    bool outside = !q->weights;
    if (q->weights && grid.scale != 0) {
      place = (q->weights[i] - grid.addend) / grid.scale;
      outside = !(place >= q->low && place <= q->high);
    }
    *scale += sign * (outside ? level : level - place);
    if (!outside) continue;
    *addend += sign;
    gradient[i] = 0;
  }
}

static void derive_block(const derivation *d, uint64_t b) {
  hb_quantizer *q = d->q;
  const hb_coder *c = q->coder;
  parts out = parts_of(q, q->parameter_gradients);
  hb_super s = {0};
  if (q->parameter_count > 0) s = super_of(q, b);
  float unit = hb_f32_of_f16(s.d), unit_min = hb_f32_of_f16(s.dmin), sum = 0, sum_min = 0;
  for (uint32_t k = 0, grids = grids_of(q); k < grids; k++) {
    uint64_t at = b * grids + k;
    float scale, addend;
    derive_grid(q, at * c->step, q->grids[at], d->gradient, &scale, &addend);
    sum += scale * s.scales[k];
    sum_min -= addend * s.minima[k];
    if (out.scale) out.scale[at] = scale * unit * whole(q);
    if (out.minimum) out.minimum[at] = -addend * unit_min * whole(q);
  }
  if (q->parameter_count > 0) out.d[b] = sum * q->unit_d[b];
  if (out.dmin) out.dmin[b] = sum_min * q->unit_dmin[b];
}

static void derive_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const derivation *d = context;
  (void)thread;
  uint64_t blocks = d->q->cols / d->q->coder->values;
  for (uint64_t b = first * blocks; b < end * blocks; b++) derive_block(d, b);
}

void hb_quantizer_back(hb_quantizer *q, const hb_team *team, float *gradient) {
  derivation d = {q, gradient};
  if (q->shared.traits)
    hb_rescaled_back(&q->shared, team, gradient);
  else
    hb_team_divide(team, q->rows, 1, derive_rows, &d);
}

typedef struct damping {
  hb_quantizer *q;
  const float *values;
  float part;
} damping;

static void damp_rows(void *context, uint32_t thread, uint32_t first, uint32_t end) {
  const damping *d = context;
  (void)thread;
  for (uint64_t i = (uint64_t)first * d->q->cols; i < (uint64_t)end * d->q->cols; i++)
    d->q->weights[i] += d->part * (d->values[i] - d->q->weights[i]);
}

void hb_quantizer_damp(hb_quantizer *q, const hb_team *team, const float *values, float part) {
  damping d = {q, values, part};
  hb_team_divide(team, q->rows, 1, damp_rows, &d);
}

/* ---- The result ---- */

void hb_quantizer_write(const hb_quantizer *q, uint8_t *blocks) {
  if (q->shared.traits) memcpy(blocks, q->shared.blocks, (size_t)(q->rows * q->shared.row_bytes));
  const hb_coder *c = q->coder;
  for (uint64_t b = 0; b < q->block_count; b++) {
    uint8_t *block = blocks + b * c->block_bytes;
    make_block(q, b, block);
    c->put(q->codes + b * c->values, block);
  }
}
