/* Matrices to be quantized for the tests of methods: coders of blocks that are simple enough to be
 * checked by reading them, random weights, and inputs that are correlated as those of a model are.
 */
#ifndef HB_TEST_MATRIX_SUPPORT_H
#define HB_TEST_MATRIX_SUPPORT_H

#include "numbers.h"

#include "compress/dense.h"
#include "compress/matrix.h"
#include "quant/quant.h"

/* ---- Coders: the parameters of all grids as floats, then a byte for each code. Their type is F32,
 * which no real one has. ---- */

static inline void grids_then_codes(const hb_coder *coder, const float *x, const hb_grid *grids,
                                    void *block) {
  uint8_t codes[HB_CODER_MOST_VALUES];
  for (uint32_t i = 0; i < coder->values; i++)
    codes[i] = hb_nearest_code(coder, grids[i / coder->step], x[i]);
  memcpy(block, grids, coder->values / coder->step * sizeof(hb_grid));
  memcpy((uint8_t *)block + coder->values / coder->step * sizeof(hb_grid), codes, coder->values);
}

/* The least and the largest value that counts, as the outer levels. */
static inline void fit_by_range(const hb_coder *coder, const float *x, const float *importance,
                                void *block) {
  hb_grid grids[HB_CODER_MOST_GRIDS];
  bool affine = coder->first == 0 && !coder->table;
  for (uint32_t g = 0; g < coder->values / coder->step; g++) {
    float low = 0, high = 0;
    for (uint32_t i = g * coder->step; i < (g + 1u) * coder->step; i++) {
      if (importance && importance[i] == 0) continue;
      if (x[i] < low) low = x[i];
      if (x[i] > high) high = x[i];
    }
    float size = high > -low ? high : -low;
    grids[g].scale = affine         ? (high - low) / (float)(coder->levels - 1)
                     : coder->table ? size / (float)coder->table[coder->levels - 1]
                                    : size / (float)-coder->first;
    grids[g].addend = affine ? low : 0;
  }
  grids_then_codes(coder, x, grids, block);
}

static inline void put_codes(const hb_coder *coder, const uint8_t *codes, void *block) {
  memcpy((uint8_t *)block + coder->values / coder->step * sizeof(hb_grid), codes, coder->values);
}

#define SIMPLE_CODER(name, count, width, level_count, lowest, levels_of)                           \
  static void fit_##name(const float *x, const float *importance, void *block);                    \
  static void round_##name(const float *x, void *block) {                                          \
    fit_##name(x, NULL, block);                                                                    \
  }                                                                                                \
  static void grids_##name(const void *block, hb_grid *out) {                                      \
    memcpy(out, block, (count) / (width) * sizeof *out);                                           \
  }                                                                                                \
  static void put_##name(const uint8_t *codes, void *block);                                       \
  static const hb_coder name = {.type = HB_TYPE_F32,                                               \
                                .values = count,                                                   \
                                .step = width,                                                     \
                                .levels = level_count,                                             \
                                .first = lowest,                                                   \
                                .table = levels_of,                                                \
                                .block_bytes = (count) + (count) / (width) * sizeof(hb_grid),      \
                                .round = round_##name,                                             \
                                .fit = fit_##name,                                                 \
                                .grids = grids_##name,                                             \
                                .put = put_##name};                                                \
  static void put_##name(const uint8_t *codes, void *block) {                                      \
    put_codes(&name, codes, block);                                                                \
  }                                                                                                \
  static void fit_##name(const float *x, const float *importance, void *block)

SIMPLE_CODER(integers, 32, 32, 16, -8, NULL) {
  (void)importance;
  grids_then_codes(&integers, x, &(hb_grid){1, 0}, block);
}

SIMPLE_CODER(affine32, 32, 32, 4, 0, NULL) {
  fit_by_range(&affine32, x, importance, block);
}

static const int8_t uneven[8] = {-8, -5, -3, -1, 0, 2, 4, 8};
SIMPLE_CODER(halves8, 8, 4, 8, 0, uneven) {
  fit_by_range(&halves8, x, importance, block);
}

SIMPLE_CODER(signed256, 256, 16, 8, -4, NULL) {
  fit_by_range(&signed256, x, importance, block);
}

/* ---- Matrices ---- */

typedef struct fixture {
  const hb_coder *coder;
  uint32_t rows, cols;
  float *weights;
  double *gram;
  float *importance;
  uint8_t *blocks;
} fixture;

static inline double diagonal(const fixture *f, uint32_t i) {
  return f->gram[(size_t)i * f->cols + i];
}

static inline size_t row_bytes(const fixture *f) {
  return (size_t)(f->cols / f->coder->values) * f->coder->block_bytes;
}

static inline fixture fixture_create(const hb_coder *coder, uint32_t rows, uint32_t cols) {
  fixture f = {coder,
               rows,
               cols,
               calloc((size_t)rows * cols, sizeof(float)),
               calloc((size_t)cols * cols, sizeof(double)),
               calloc(cols, sizeof(float)),
               NULL};
  f.blocks = calloc(rows, row_bytes(&f));
  return f;
}

static inline void fixture_release(fixture *f) {
  free(f->weights);
  free(f->gram);
  free(f->importance);
  free(f->blocks);
}

static inline fixture fixture_copy(const fixture *f) {
  fixture g = fixture_create(f->coder, f->rows, f->cols);
  memcpy(g.weights, f->weights, (size_t)f->rows * f->cols * sizeof(float));
  memcpy(g.gram, f->gram, (size_t)f->cols * f->cols * sizeof(double));
  memcpy(g.importance, f->importance, f->cols * sizeof(float));
  return g;
}

/* Sets the statistics to those of `count` inputs: mixtures of few sources and of their neighbours,
 * some columns ten times larger than others. */
static inline void set_inputs(fixture *f, uint32_t count) {
  uint64_t seed = 77;
  enum { SOURCES = 6 };
  float *x = malloc((size_t)count * f->cols * sizeof *x), *mix;
  mix = malloc(SOURCES * f->cols * sizeof *mix);
  for (uint32_t i = 0; i < SOURCES * f->cols; i++) mix[i] = uniform(&seed, -1, 1);
  for (uint32_t k = 0; k < count; k++) {
    float sources[SOURCES], last = 0;
    for (int s = 0; s < SOURCES; s++) sources[s] = uniform(&seed, -1, 1);
    for (uint32_t i = 0; i < f->cols; i++) {
      float own = uniform(&seed, -1, 1), sum = own + 0.7f * last;
      for (int s = 0; s < SOURCES; s++) sum += mix[(uint32_t)s * f->cols + i] * sources[s];
      x[(size_t)k * f->cols + i] = (i % 37 == 5 ? 10 : 1) * sum;
      last = own;
    }
  }
  memset(f->gram, 0, (size_t)f->cols * f->cols * sizeof *f->gram);
  assert_int_equal(hb_gram_add(NULL, NULL, f->gram, f->cols, x, f->cols, count, NULL), HB_OK);
  hb_gram_finish(NULL, f->gram, f->cols, count);
  for (uint32_t i = 0; i < f->cols; i++) f->importance[i] = (float)diagonal(f, i);
  free(x);
  free(mix);
}

static inline fixture fixture_random(const hb_coder *coder, uint32_t rows, uint32_t cols) {
  fixture f = fixture_create(coder, rows, cols);
  uint64_t seed = 5 + rows;
  for (size_t i = 0; i < (size_t)rows * cols; i++) /* nearly normal */
    f.weights[i] = uniform(&seed, -1, 1) + uniform(&seed, -1, 1) + uniform(&seed, -1, 1);
  set_inputs(&f, 2 * cols);
  return f;
}

static inline hb_matrix_job job_of(fixture *f) {
  return (hb_matrix_job){.coder = f->coder,
                         .rows = f->rows,
                         .cols = f->cols,
                         .weights = f->weights,
                         .blocks = f->blocks,
                         .importance = f->importance,
                         .gram = f->gram};
}

/* What blocks of the fixture's shape stand for, for free(). */
static inline float *decoded(const fixture *f, const uint8_t *blocks) {
  const hb_coder *c = f->coder;
  uint32_t grids = c->values / c->step, count = f->rows * (f->cols / c->values);
  float *out = malloc((size_t)f->rows * f->cols * sizeof *out), *x = out;
  if (c->type != HB_TYPE_F32) {
    hb_traits(c->type)->decode(blocks, out, count);
    return out;
  }
  for (uint32_t b = 0; b < count; b++, blocks += c->block_bytes) {
    hb_grid grid[HB_CODER_MOST_GRIDS];
    c->grids(blocks, grid);
    for (uint32_t i = 0; i < c->values; i++)
      *x++ = hb_grid_value(c, grid[i / c->step], blocks[grids * sizeof *grid + i]);
  }
  return out;
}

/* e^T H e, summed over the rows, for blocks in place of the weights. */
static inline double output_error(const fixture *f, const uint8_t *blocks) {
  double sum = 0, *e = malloc(f->cols * sizeof *e);
  float *values = decoded(f, blocks);
  for (uint32_t row = 0; row < f->rows; row++) {
    size_t at = (size_t)row * f->cols;
    for (uint32_t i = 0; i < f->cols; i++) e[i] = (double)f->weights[at + i] - values[at + i];
    for (uint32_t i = 0; i < f->cols; i++) {
      double product = 0;
      for (uint32_t j = 0; j < f->cols; j++) product += f->gram[(size_t)i * f->cols + j] * e[j];
      sum += e[i] * product;
    }
  }
  free(e);
  free(values);
  return sum;
}

/* ---- Memory that ends ---- */

typedef struct budget {
  int left, held; /* blocks */
} budget;

static inline void *allocate_within(void *context, size_t size, size_t alignment) {
  budget *b = context;
  if (b->left == 0) return NULL;
  void *block = aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  assert_non_null(block);
  b->left--;
  b->held++;
  return block;
}

static inline void release_counted(void *context, void *block, size_t size) {
  (void)size;
  budget *b = context;
  if (block) b->held--;
  free(block);
}

#endif
