/* Files with formats of halfbyte's own: they give the bits of stock files that hold the same
 * numbers, where there are such, and near ones where the order of sums differs. */
#include "gguf_files.h"

#include "base/half.h"
#include "compress/rounding.h"
#include "gguf/write.h"
#include "kernel/kernel.h"
#include "quant/private.h"

#include <math.h>

#define SHAPE "64,2,2,1,128,300"
#define NARROW "32,2,2,1,32,300" /* every input of a matrix is one block of int8 */

enum { VOCABULARY = 300, MOST_COLS = 128, PLANTED = 5 };

/* ---- Files ---- */

/* What becomes of the matrices in the layers of a random model. */
typedef struct variant {
  const char *shape;
  hb_type type;       /* F32: as they are; others: rounded, or as `like` has them */
  hb_type like;       /* blocks of a stock type with the numbers that this type gets */
  bool outliers;      /* some values stand beside the matrix, which has 0 there */
  bool planted;       /* inputs of which one is 100 times as large, and weights the less */
  bool planted_apart; /* its column stands beside the matrix */
  const char *activations;
  bool skip;
  float input_scale;
} variant;

typedef struct bytes {
  uint8_t *data;
  size_t size;
} bytes;

static hb_status append(void *context, const void *data, size_t count, hb_error *error) {
  (void)error;
  bytes *b = context;
  b->data = realloc(b->data, b->size + count);
  assert_non_null(b->data);
  memcpy(b->data + b->size, data, count);
  b->size += count;
  return HB_OK;
}

static gguf_file random_model(const char *shape) {
  hb_synthetic *s;
  assert_int_equal(hb_synthetic_create(NULL, shape, "f32", 5, &s, NULL), HB_OK);
  size_t size = (size_t)hb_synthetic_size(s);
  uint8_t *data = malloc(size);
  assert_non_null(data);
  assert_int_equal(hb_synthetic_read(s, data, size), size);
  hb_synthetic_destroy(s);
  return gguf_file_of(data, size);
}

static bool ends_with(hb_string name, const char *end) {
  size_t length = strlen(end);
  return name.length >= length && memcmp(name.data + name.length - length, end, length) == 0;
}

static bool is_matrix_in_layer(const hb_tensor *t) {
  return t->dim_count == 2 && memcmp(t->name.data, "blk.", 4) == 0;
}

/* Reads what a norm has left. */
static bool follows_norm(hb_string name) {
  return ends_with(name, "_q.weight") || ends_with(name, "_k.weight") ||
         ends_with(name, "_v.weight") || ends_with(name, "_gate.weight") ||
         ends_with(name, "_up.weight");
}

/* ---- Rows ---- */

/* Scales whose product has few bits, so that an f16 holds it. */
static float super_scale(const float *x) {
  return hb_f32_of_f16(hb_f16_of_f32(0.01f + fabsf(x[0])));
}

static uint8_t block_scale(uint32_t block) {
  return (uint8_t)(1 << block % 3);
}

/* Any code that depends on the value. */
static uint8_t code_of(float x, uint32_t codes) {
  int code = (int)lrintf(x * 16 + (float)codes / 2);
  return (uint8_t)(code < 0 ? 0 : code >= (int)codes ? (int)codes - 1 : code);
}

static int8_t table_level(uint32_t row, uint32_t code) {
  return (int8_t)(17 * (int)code - 128 + (int)(row % 7));
}

static void put_nibble(uint8_t *codes, uint32_t i, uint8_t code) {
  uint8_t *at = codes + i / 32 * 16 + i % 16;
  *at = (uint8_t)(i % 32 < 16 ? (*at & 0xf0) | code : (*at & 0x0f) | code << 4);
}

/* NF4 and FP4. */
static void put_levels_row(const float *x, uint32_t cols, uint8_t *out) {
  for (uint32_t at = 0; at < cols; at += 256) {
    uint32_t count = cols - at < 256 ? cols - at : 256, blocks = count / HB_LEVELS_BLOCK;
    hb_store_u16(out, hb_f16_of_f32(0x1p14f * super_scale(x + at)));
    for (uint32_t b = 0; b < blocks; b++) out[2 + b] = block_scale(b);
    for (uint32_t i = 0; i < count; i++) put_nibble(out + 2 + blocks, i, code_of(x[at + i], 16));
    out += 2 + blocks + blocks * HB_LEVELS_CODES;
  }
}

static void put_table_row(hb_type type, const float *x, uint32_t cols, uint32_t row, uint8_t *out) {
  uint32_t levels = type == HB_TYPE_TABLE4 ? HB_TABLE4_COUNT : HB_TABLE3_COUNT;
  hb_store_u16(out, hb_f16_of_f32(0x1p7f * super_scale(x)));
  for (uint32_t q = 0; q < levels; q++) out[2 + q] = (uint8_t)table_level(row, q);
  uint8_t *codes = out + 2 + levels;
  memset(codes, 0, cols / 32 * (type == HB_TYPE_TABLE4 ? 16 : 12));
  for (uint32_t i = 0; i < cols; i++) {
    uint8_t q = code_of(x[i], levels), j = i % 32;
    uint8_t *block = codes + i / 32 * 12;
    if (type == HB_TYPE_TABLE4) {
      put_nibble(codes, i, q);
      continue;
    }
    block[j % 8] |= (uint8_t)((q & 3) << 2 * (j / 8));
    block[8 + j / 8] |= (uint8_t)((q >> 2) << j % 8);
  }
}

/* The same numbers in Q8_0. */
static void put_q8_0_like(hb_type like, const float *x, uint32_t cols, uint32_t row, uint8_t *out) {
  for (uint32_t i = 0; i < cols; i++) {
    uint8_t *block = out + i / 32 * 34;
    bool table = like == HB_TYPE_TABLE4 || like == HB_TYPE_TABLE3;
    float scale = super_scale(table ? x : x + i / 256 * 256);
    if (!table) scale *= block_scale(i % 256 / HB_LEVELS_BLOCK);
    uint8_t q = code_of(x[i], like == HB_TYPE_TABLE3 ? 8 : 16);
    int8_t level = table                 ? table_level(row, q)
                   : like == HB_TYPE_NF4 ? hb_nf4_levels[q]
                                         : hb_fp4_levels[q];
    hb_store_u16(block, hb_f16_of_f32(scale));
    assert_true(hb_f32_of_f16(hb_load_u16(block)) == scale);
    block[2 + i % 32] = (uint8_t)level;
  }
}

/* Scale and minimum of a group of INT2_64. */
static void put_halves(const float *x, uint8_t *block) {
  hb_store_u16(block, hb_f16_of_f32(super_scale(x)));
  hb_store_u16(block + 2, hb_f16_of_f32(-1.25f * super_scale(x + 1)));
}

static void put_int2_row(const float *x, uint32_t cols, uint8_t *out) {
  memset(out, 0, cols / 64 * 20);
  for (uint32_t i = 0; i < cols; i++) {
    uint8_t *block = out + i / 64 * 20;
    put_halves(x + i / 64 * 64, block);
    block[4 + i % 16] |= (uint8_t)(code_of(x[i], 4) << i % 64 / 16 * 2);
  }
}

static void put_q4_1_like_int2(const float *x, uint32_t cols, uint8_t *out) {
  for (uint32_t i = 0; i < cols; i++) {
    uint8_t *block = out + i / 32 * 20;
    put_halves(x + i / 64 * 64, block);
    put_nibble(block + 4, i % 32, code_of(x[i], 4));
  }
}

static void put_row(const variant *v, const float *x, uint32_t cols, uint32_t row, uint8_t *out) {
  switch (v->type) {
  case HB_TYPE_NF4:
  case HB_TYPE_FP4: put_levels_row(x, cols, out); break;
  case HB_TYPE_TABLE4:
  case HB_TYPE_TABLE3: put_table_row(v->type, x, cols, row, out); break;
  case HB_TYPE_INT2_64: put_int2_row(x, cols, out); break;
  default:
    if (v->like == HB_TYPE_INT2_64)
      put_q4_1_like_int2(x, cols, out);
    else if (v->like)
      put_q8_0_like(v->like, x, cols, row, out);
    else
      hb_traits(v->type)->encode(x, out, cols / hb_traits(v->type)->block_values);
  }
}

/* ---- Outliers ---- */

/* Takes them out of a matrix, and returns their tensor. */
static bytes split_outliers(const variant *v, float *x, uint32_t rows, uint32_t cols) {
  uint32_t each = v->planted_apart ? 1 : 3;
  hb_outlier_layout layout;
  assert_true(hb_outliers_place(rows, (uint64_t)rows * each, &layout));
  bytes b = {calloc(1, layout.bytes), layout.bytes};
  assert_non_null(b.data);
  uint32_t *start = (uint32_t *)(void *)b.data;
  uint16_t *column = (uint16_t *)(void *)(b.data + layout.columns);
  uint16_t *value = (uint16_t *)(void *)(b.data + layout.values);
  for (uint32_t r = 0, n = 0; r < rows; r++) {
    for (uint32_t i = 0; i < each; i++, n++) {
      uint32_t c = v->planted_apart ? PLANTED : (r * 7 % 10) + i * 10;
      column[n] = (uint16_t)c;
      value[n] = hb_f16_of_f32(x[r * cols + c]);
      x[r * cols + c] = 0;
    }
    start[r + 1] = n;
  }
  return b;
}

/* ---- Writing ---- */

static bool is_own(const variant *v) {
  return hb_type_is_private(v->type) || v->outliers || v->planted_apart || v->activations;
}

static void name_beside(const hb_tensor *t, const char *suffix, char *out) {
  size_t length = t->name.length - strlen(HB_WEIGHT_SUFFIX);
  snprintf(out, 64, "%.*s%s", (int)length, t->name.data, suffix);
}

static bool has_outliers(const variant *v, const hb_tensor *t) {
  return v->outliers || (v->planted_apart && follows_norm(t->name));
}

static void declare(const variant *v, const hb_tensor *t, hb_gguf_writer *w) {
  uint64_t dims[2] = {t->dims[0], t->dims[1]};
  if (!is_matrix_in_layer(t)) {
    assert_int_equal(hb_gguf_writer_add_tensor(w, t->name, t->type, t->dim_count, dims, NULL),
                     HB_OK);
    return;
  }
  bool own = hb_type_is_private(v->type);
  if (own) assert_true(hb_row_bytes(v->type, t->dims[0], &dims[0]));
  assert_int_equal(hb_gguf_writer_add_tensor(w, t->name, own ? HB_TYPE_I8 : v->type, 2, dims, NULL),
                   HB_OK);
  char name[64];
  if (has_outliers(v, t)) {
    hb_outlier_layout layout;
    assert_true(hb_outliers_place(t->dims[1], t->dims[1] * (v->planted_apart ? 1 : 3), &layout));
    name_beside(t, HB_OUTLIERS_SUFFIX, name);
    assert_int_equal(
        hb_gguf_writer_add_tensor(w, hb_string_of(name), HB_TYPE_I8, 1, &layout.bytes, NULL),
        HB_OK);
  }
  if (v->input_scale > 0) {
    const uint64_t one = 1;
    name_beside(t, HB_INPUT_SCALE_SUFFIX, name);
    assert_int_equal(hb_gguf_writer_add_tensor(w, hb_string_of(name), HB_TYPE_F32, 1, &one, NULL),
                     HB_OK);
  }
}

static void set_keys(const variant *v, const gguf_file *from, hb_gguf_writer *w) {
  assert_int_equal(hb_gguf_writer_copy(w, from->gguf, NULL), HB_OK);
  if (!is_own(v)) return;
  hb_gguf_writer_set_string(w, "general.architecture", hb_string_of("halfbyte-llama"), NULL);
  static char texts[32][80];
  hb_string types[32];
  size_t count = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(from->gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(from->gguf, i);
    if (!hb_type_is_private(v->type) || !is_matrix_in_layer(t)) continue;
    snprintf(texts[count], sizeof texts[count], "%.*s %s", (int)t->name.length, t->name.data,
             hb_type_name(v->type));
    types[count] = hb_string_of(texts[count]);
    count++;
  }
  if (count > 0) hb_gguf_writer_set_strings(w, "halfbyte.tensor_types", types, count, NULL);
  if (v->activations)
    hb_gguf_writer_set_string(w, "halfbyte.activations", hb_string_of(v->activations), NULL);
  if (v->skip) hb_gguf_writer_set_bool(w, "halfbyte.activations_skip_outliers", 1, NULL);
}

static void write_matrix(const variant *v, const hb_tensor *t, float *x, hb_gguf_writer *w) {
  uint32_t cols = (uint32_t)t->dims[0], rows = (uint32_t)t->dims[1];
  uint8_t row[4 * MOST_COLS];
  bytes outliers = {0};
  if (has_outliers(v, t)) outliers = split_outliers(v, x, rows, cols);
  uint64_t row_bytes;
  assert_true(hb_row_bytes(v->type, cols, &row_bytes));
  for (uint32_t r = 0; r < rows; r++) {
    put_row(v, x + r * cols, cols, r, row);
    assert_int_equal(hb_gguf_writer_data(w, row, row_bytes, NULL), HB_OK);
  }
  if (outliers.data)
    assert_int_equal(hb_gguf_writer_data(w, outliers.data, outliers.size, NULL), HB_OK);
  free(outliers.data);
  if (v->input_scale > 0)
    assert_int_equal(hb_gguf_writer_data(w, &v->input_scale, sizeof v->input_scale, NULL), HB_OK);
}

/* The planted column: 100 times in the norm, a 100th in what reads it. */
static void plant(const hb_tensor *t, float *x) {
  if (ends_with(t->name, "attn_norm.weight") || ends_with(t->name, "ffn_norm.weight"))
    x[PLANTED] *= 100;
  for (uint64_t r = 0; follows_norm(t->name) && r < t->dims[1]; r++)
    x[r * t->dims[0] + PLANTED] /= 100;
}

static bytes file_of(const variant *v) {
  gguf_file from = random_model(v->shape);
  bytes out = {0};
  const hb_sink sink = {&out, append};
  hb_gguf_writer *w;
  assert_int_equal(hb_gguf_writer_create(NULL, &sink, &w, NULL), HB_OK);
  set_keys(v, &from, w);
  size_t count = hb_gguf_tensor_count(from.gguf);
  for (size_t i = 0; i < count; i++) declare(v, hb_gguf_tensor_at(from.gguf, i), w);
  assert_int_equal(hb_gguf_writer_begin(w, NULL), HB_OK);
  for (size_t i = 0; i < count; i++) {
    const hb_tensor *t = hb_gguf_tensor_at(from.gguf, i);
    float *x = gguf_file_decode(&from, t);
    if (v->planted) plant(t, x);
    if (is_matrix_in_layer(t))
      write_matrix(v, t, x, w);
    else
      assert_int_equal(hb_gguf_writer_data(w, x, t->bytes, NULL), HB_OK);
    free(x);
  }
  assert_int_equal(hb_gguf_writer_finish(w, NULL), HB_OK);
  hb_gguf_writer_destroy(w);
  gguf_file_close(&from);
  return out;
}

/* ---- Logits ---- */

static hb_model *load_in_pieces(const bytes *f, size_t piece, hb_isa isa) {
  hb_loader *loader;
  hb_model *model = NULL;
  hb_error error = {0};
  hb_load_options options = {.isa = isa};
  assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_OK);
  hb_status status = hb_loader_begin_file(loader, f->size, &error);
  for (size_t at = 0; status == HB_OK && at < f->size; at += piece)
    status =
        hb_loader_feed(loader, f->data + at, f->size - at < piece ? f->size - at : piece, &error);
  if (status == HB_OK) status = hb_loader_finish(loader, &model, &error);
  if (status != HB_OK) fail_msg("%s", error.message);
  hb_loader_destroy(loader);
  return model;
}

/* Logits of all of 12 positions. */
enum { POSITIONS = 12, LOGITS = POSITIONS * VOCABULARY };

static void logits_of_model(const hb_model *model, float *out) {
  hb_session *session;
  hb_session_options options = {.context_length = POSITIONS, .logit_rows = POSITIONS};
  assert_int_equal(hb_session_create(model, &options, &session, NULL), HB_OK);
  hb_row rows[POSITIONS];
  for (int i = 0; i < POSITIONS; i++) rows[i] = (hb_row){session, 11 + 19 * i, 1};
  assert_int_equal(hb_step(session, rows, POSITIONS, NULL), HB_OK);
  for (size_t i = 0; i < POSITIONS; i++)
    memcpy(out + i * VOCABULARY, hb_session_logits(session, i), VOCABULARY * sizeof *out);
  hb_session_destroy(session);
}

/* The same for every ISA and however the file arrives. */
static void logits_of(const variant *v, float *out) {
  static float other[LOGITS];
  bytes f = file_of(v);
  hb_model *model = load_in_pieces(&f, f.size, HB_ISA_SCALAR);
  logits_of_model(model, out);
  hb_model_destroy(model);
  for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++) {
    if (!hb_isa_available((hb_isa)isa)) continue;
    model = load_in_pieces(&f, 997, (hb_isa)isa);
    logits_of_model(model, other);
    hb_model_destroy(model);
    assert_memory_equal(out, other, sizeof other);
  }
  free(f.data);
}

static void own_types_give_the_logits_of_the_same_numbers_in_stock_ones(void **state) {
  (void)state;
  static const hb_type types[] = {HB_TYPE_NF4, HB_TYPE_FP4, HB_TYPE_TABLE4, HB_TYPE_TABLE3,
                                  HB_TYPE_INT2_64};
  static float own[LOGITS], stock[LOGITS], last[LOGITS];
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    logits_of(&(variant){.shape = SHAPE, .type = types[i]}, own);
    hb_type other = types[i] == HB_TYPE_INT2_64 ? HB_TYPE_Q4_1 : HB_TYPE_Q8_0;
    logits_of(&(variant){.shape = SHAPE, .type = other, .like = types[i]}, stock);
    assert_memory_equal(own, stock, sizeof own);
    assert_memory_not_equal(own, last, sizeof own);
    memcpy(last, own, sizeof own);
  }
}

static void outliers_give_what_they_would_inside_of_the_matrix(void **state) {
  (void)state;
  static float inside[LOGITS], beside[LOGITS];
  logits_of(&(variant){.shape = SHAPE, .type = HB_TYPE_F32}, inside);
  logits_of(&(variant){.shape = SHAPE, .type = HB_TYPE_F32, .outliers = true}, beside);
  /* Outliers are rounded to f16. */
  assert_true(normalized_squared_error(beside, inside, LOGITS) < 1e-5);
  assert_memory_not_equal(inside, beside, sizeof inside);
}

static void one_scale_a_row_is_that_of_its_block_if_it_has_one(void **state) {
  (void)state;
  static float block[LOGITS], token[LOGITS];
  logits_of(&(variant){.shape = NARROW, .type = HB_TYPE_Q8_0}, block);
  logits_of(&(variant){.shape = NARROW, .type = HB_TYPE_Q8_0, .activations = "token"}, token);
  assert_memory_equal(block, token, sizeof block);
  logits_of(&(variant){.shape = SHAPE, .type = HB_TYPE_Q8_0}, block);
  logits_of(&(variant){.shape = SHAPE, .type = HB_TYPE_Q8_0, .activations = "token"}, token);
  assert_memory_not_equal(block, token, sizeof block);
  assert_true(normalized_squared_error(token, block, LOGITS) < 1e-3);
  logits_of(&(variant){.shape = SHAPE, .type = HB_TYPE_Q8_0, .activations = "block"}, token);
  assert_memory_equal(block, token, sizeof block);
}

static void a_fixed_scale_gives_near_logits_and_a_wrong_one_does_not(void **state) {
  (void)state;
  static float block[LOGITS], fixed[LOGITS];
  variant v = {.shape = SHAPE, .type = HB_TYPE_Q8_0};
  logits_of(&v, block);
  v.activations = "tensor";
  v.input_scale = 4.0f / 127;
  logits_of(&v, fixed);
  assert_true(normalized_squared_error(fixed, block, LOGITS) < 1e-2);
  v.input_scale = 0.25f / 127; /* most inputs are cut */
  logits_of(&v, fixed);
  assert_true(normalized_squared_error(fixed, block, LOGITS) > 0.1);
}

/* LLM.int8(): the column of a large input is multiplied apart, and the others keep their bits. */
static void skipping_outliers_saves_the_other_columns(void **state) {
  (void)state;
  static float exact[LOGITS], whole[LOGITS], apart[LOGITS], unskipped[LOGITS];
  variant v = {.shape = SHAPE, .type = HB_TYPE_F32, .planted = true};
  logits_of(&v, exact);
  v.type = HB_TYPE_Q8_0;
  v.activations = "token";
  logits_of(&v, whole);
  v.planted_apart = true;
  logits_of(&v, unskipped);
  v.skip = true;
  logits_of(&v, apart);
  double with = normalized_squared_error(apart, exact, LOGITS);
  assert_true(with < 2e-3);
  assert_true(normalized_squared_error(whole, exact, LOGITS) > 20 * with);
  assert_true(normalized_squared_error(unskipped, exact, LOGITS) > 20 * with);
}

/* ---- Kernels ---- */

/* Through a product with an identity of Q8_0, whose results are d * q. */
static void quantized_values(const hb_kernels *k, const float *x, float d, float *out) {
  enum { N = 64 };
  static uint8_t raw[N * 68], rows[4096];
  uint64_t packed;
  memset(raw, 0, sizeof raw);
  for (uint32_t r = 0; r < N; r++)
    for (uint32_t b = 0; b < 2; b++) {
      hb_store_u16(raw + r * 68 + b * 34, 0x3c00);
      if (r / 32 == b) raw[r * 68 + b * 34 + 2 + r % 32] = 1;
    }
  assert_true(hb_packed_size(HB_TYPE_Q8_0, N, N, &packed));
  hb_matrix m = {.type = HB_TYPE_Q8_0, .rows = N, .cols = N, .bytes = packed};
  m.data = aligned_alloc(64, packed);
  assert_non_null(m.data);
  for (size_t g = 0; g < 4; g++) hb_pack_group(&m, g, raw + g * 16 * 68);
  assert_true(k->activation_bytes(N) <= sizeof rows);
  k->quantize_row(x, N, d, rows);
  k->matmul(&m, rows, k->activation_bytes(N), 1, 0, 4, out, N);
  free(m.data);
}

static void check_row(const float *x, float d) {
  float amax = 0, got[64];
  for (int i = 0; i < 64; i++) amax = fmaxf(amax, fabsf(x[i]));
  float scale = d > 0 ? d : amax / 127.0f, inverse = d > 0 ? 1.0f / d : 127.0f / amax;
  float simulated[64]; /* by what quantizes models */
  hb_rounding rounding = {true, d > 0 ? HB_ACTIVATIONS_TENSOR : HB_ACTIVATIONS_TOKEN, d};
  memcpy(simulated, x, sizeof simulated);
  hb_round_row(&rounding, simulated, NULL, 64);
  for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++) {
    if (!hb_isa_available((hb_isa)isa)) continue;
    quantized_values(hb_kernels_for((hb_isa)isa), x, d, got);
    for (int i = 0; i < 64; i++) {
      double q = nearbyint((double)(x[i] * inverse));
      q = q > 127 ? 127 : q < -127 ? -127 : q;
      if (got[i] != scale * (float)q)
        fail_msg("%s: %a becomes %a, not %a", hb_isa_name((hb_isa)isa), (double)x[i],
                 (double)got[i], (double)(scale * (float)q));
      assert_true(got[i] == simulated[i]);
    }
  }
}

static void a_row_is_rounded_to_even_and_limited_to_127(void **state) {
  (void)state;
  float x[64];
  for (int i = 0; i < 64; i++) x[i] = (float)(i - 31) * 0.5f;
  check_row(x, 0);
  check_row(x, 1.0f); /* halves, ties */
  check_row(x, 0.1f); /* limited on both sides */
  check_row(x, 0x1p-100f);
  x[40] = 1e30f;
  check_row(x, 0);
  check_row(x, 0.25f);
}

static void what_is_not_finite_reaches_every_result_of_its_row(void **state) {
  (void)state;
  static const float values[] = {INFINITY, -INFINITY, NAN};
  for (int isa = HB_ISA_SCALAR; isa < ISA_COUNT; isa++)
    for (size_t v = 0; hb_isa_available((hb_isa)isa) && v < 3; v++)
      for (int fixed = 0; fixed < 2; fixed++) {
        float x[64] = {1}, got[64];
        x[63] = values[v];
        quantized_values(hb_kernels_for((hb_isa)isa), x, fixed ? 0.1f : 0.0f, got);
        for (int i = 0; i < 64; i++) assert_false(isfinite(got[i]));
      }
}

/* Whatever is computed together. */
static void outliers_are_added_in_order_for_any_number_of_rows(void **state) {
  (void)state;
  enum { ROWS = 9, COLS = 40, X_ROWS = 19, STRIDE = COLS + 3 };
  static uint32_t start[ROWS + 1];
  static uint16_t column[ROWS * COLS], value[ROWS * COLS];
  static float x[X_ROWS * STRIDE], got[X_ROWS * ROWS], expected[X_ROWS * ROWS];
  for (uint32_t n = 0, count = 0; n < ROWS; n++) {
    for (uint32_t c = n % 3; n != 4 && c < COLS; c += 1 + n, count++) {
      column[count] = (uint16_t)c;
      value[count] = (uint16_t)((count * 40503u & 0x83ff) | 0x3000);
    }
    start[n + 1] = count;
  }
  for (size_t i = 0; i < X_ROWS * STRIDE; i++) x[i] = (float)((int)(i * 7919 % 2003) - 1000) / 77;
  const hb_sparse sparse = {start, column, value};
  for (size_t x_rows = 1; x_rows <= X_ROWS; x_rows++) {
    for (size_t i = 0; i < X_ROWS * ROWS; i++) got[i] = expected[i] = (float)i / 3;
    for (size_t r = 0; r < x_rows; r++)
      for (size_t n = 0; n < ROWS; n++)
        for (uint32_t i = start[n]; i < start[n + 1]; i++) {
          float product = hb_f32_of_f16(value[i]) * x[r * STRIDE + column[i]];
          expected[r * ROWS + n] = expected[r * ROWS + n] + product;
        }
    hb_add_outliers(&sparse, 0, 5, x, STRIDE, x_rows, got, ROWS);
    hb_add_outliers(&sparse, 5, ROWS, x, STRIDE, x_rows, got, ROWS);
    assert_memory_equal(got, expected, sizeof got);
  }
}

static void the_model_tells_the_types_of_its_tensors(void **state) {
  (void)state;
  const variant v = {.shape = SHAPE, .type = HB_TYPE_TABLE3, .outliers = true};
  bytes f = file_of(&v);
  hb_model *model = load_in_pieces(&f, f.size, HB_ISA_SCALAR);
  const hb_gguf *gguf = hb_model_gguf(model);
  const hb_tensor *k = hb_gguf_tensor(gguf, "blk.0.attn_k.weight");
  assert_int_equal(k->type, HB_TYPE_I8);
  assert_int_equal(hb_model_tensor_type(model, k), HB_TYPE_TABLE3);
  assert_int_equal(hb_model_tensor_type(model, hb_gguf_tensor(gguf, "output_norm.weight")),
                   HB_TYPE_F32);
  hb_model_info info, stock;
  hb_model_get_info(model, &info);
  assert_true(hb_string_equal(info.architecture, hb_string_of("llama")));
  hb_model_destroy(model);
  free(f.data);
  f = file_of(&(variant){.shape = SHAPE, .type = HB_TYPE_F32});
  model = load_in_pieces(&f, f.size, HB_ISA_SCALAR);
  hb_model_get_info(model, &stock);
  assert_int_equal(info.parameters, stock.parameters);
  hb_model_destroy(model);
  free(f.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(own_types_give_the_logits_of_the_same_numbers_in_stock_ones),
      cmocka_unit_test(outliers_give_what_they_would_inside_of_the_matrix),
      cmocka_unit_test(one_scale_a_row_is_that_of_its_block_if_it_has_one),
      cmocka_unit_test(a_fixed_scale_gives_near_logits_and_a_wrong_one_does_not),
      cmocka_unit_test(skipping_outliers_saves_the_other_columns),
      cmocka_unit_test(outliers_are_added_in_order_for_any_number_of_rows),
      cmocka_unit_test(a_row_is_rounded_to_even_and_limited_to_127),
      cmocka_unit_test(what_is_not_finite_reaches_every_result_of_its_row),
      cmocka_unit_test(the_model_tells_the_types_of_its_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
