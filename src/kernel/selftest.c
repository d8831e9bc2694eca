/* Runs every kernel of an ISA and compares its bits with the scalar ones. An engine may miscompile
 * the real kernels and not a small probe (Node 20's relaxed SIMD does), so these are what runs. */
#include "kernel/fpstate.h"
#include "kernel/pack.h"

#include "base/half.h"

#include <math.h> /* INFINITY */

enum {
  VALUES = 3 * 256 + 12, /* floats in an input; as a length also one that fills no vector */
  ROWS = 19,             /* of a weight matrix: a group and a part of one */
  COLS = 512,
  X_ROWS = 23, /* tiles of every size: 16 and 7 more by AMX, else 8 + 8 + 4 + 2 + 1 */
  HEAD = 24,
  VALUE = 20,
  HEADS = 3,
  POSITIONS = 70, /* in three blocks of the cache */
  CACHE_FLOATS = (POSITIONS + HB_KV_BLOCK - 1) / HB_KV_BLOCK * HB_KV_BLOCK * (HEAD + VALUE),
  OUT_FLOATS = VALUES + CACHE_FLOATS
};

typedef struct workspace {
  uint8_t weights[(ROWS + HB_GROUP) * COLS * 4]; /* first: aligned */
  uint8_t quantized[X_ROWS * COLS * 4];          /* no ISA needs more bytes than f32 */
  float x[X_ROWS * COLS], y[VALUES], z[VALUES];
  float expected[OUT_FLOATS], got[OUT_FLOATS];
  uint64_t random; /* state of the generator */
} workspace;

static uint32_t next_u32(workspace *w) {
  w->random = w->random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(w->random >> 32);
}

/* Values of either sign and of magnitudes from 2^-12 to 2^4. */
static float next_float(workspace *w) {
  uint32_t r = next_u32(w);
  return hb_f32_of_bits((r & 0x807fffffu) | (115 + (r >> 23) % 16) << 23);
}

static void fill(workspace *w, float *out, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = next_float(w);
}

static bool same_bits(const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (hb_bits_of_f32(a[i]) != hb_bits_of_f32(b[i]) && (a[i] == a[i] || b[i] == b[i]))
      return false;
  return true;
}

/* ---- Vectors: a case writes what it computes into out[OUT_FLOATS] ---- */

static void run_rms_norm(const hb_kernels *k, workspace *w, float *out) {
  k->rms_norm(w->x, w->y, 1e-5f, VALUES, out);
}

static void run_rms_norm_alone(const hb_kernels *k, workspace *w, float *out) {
  k->rms_norm(w->x, NULL, 1e-5f, VALUES, out);
}

static void run_layer_norm(const hb_kernels *k, workspace *w, float *out) {
  k->layer_norm(w->x, w->y, w->z, 1e-5f, VALUES, out);
}

static void run_rope_adjacent(const hb_kernels *k, workspace *w, float *out) {
  memcpy(out, w->x, VALUES * sizeof *out);
  k->rope_adjacent(out, w->y, w->z, VALUES);
}

static void run_rope_halves(const hb_kernels *k, workspace *w, float *out) {
  memcpy(out, w->x, VALUES * sizeof *out);
  k->rope_halves(out, w->y, w->z, VALUES);
}

static void run_add(const hb_kernels *k, workspace *w, float *out) {
  k->add(w->x, w->y, VALUES, out);
}

static void run_scale(const hb_kernels *k, workspace *w, float *out) {
  k->scale(w->x, 0.3f, VALUES, out);
}

static void run_silu(const hb_kernels *k, workspace *w, float *out) {
  k->silu(w->x, VALUES, out);
}

static void run_gelu(const hb_kernels *k, workspace *w, float *out) {
  k->gelu(w->x, VALUES, out);
}

static void run_silu_mul(const hb_kernels *k, workspace *w, float *out) {
  k->silu_mul(w->x, w->y, VALUES, out);
}

static void run_gelu_mul(const hb_kernels *k, workspace *w, float *out) {
  k->gelu_mul(w->x, w->y, VALUES, out);
}

static void run_softcap(const hb_kernels *k, workspace *w, float *out) {
  k->softcap(w->x, 3.0f, VALUES, out);
}

static void run_softmax(const hb_kernels *k, workspace *w, float *out) {
  out[VALUES] = k->softmax(w->x, VALUES, out);
}

static void run_maxima(const hb_kernels *k, workspace *w, float *out) {
  k->maxima(w->x, VALUES, out);
}

static void run_weights(const hb_kernels *k, workspace *w, float *out) {
  out[VALUES] = k->weights(w->x, VALUES, 32.0f, 0.7f, out);
}

/* Fills a cache, then looks back at all of it with several heads, and at a window with capped
 * scores. The cache itself stands behind the results. */
static void attend_with(const hb_kernels *k, hb_kv_type kv, workspace *w, float *out) {
  float *window_out = out + HEADS * VALUE, *cache = window_out + VALUE;
  for (uint32_t p = 0; p < POSITIONS; p++)
    k->kv_store(cache, kv, HEAD, VALUE, p, w->y + p * 7, w->z + p * 8);
  const hb_attend_args all = {.cache = cache,
                              .head_size = HEAD,
                              .value_size = VALUE,
                              .position = POSITIONS - 1,
                              .scale = 0.2f,
                              .heads = HEADS};
  hb_attend_args window = all;
  window.position = POSITIONS - 3;
  window.window = POSITIONS - 7;
  window.softcap = 2.0f;
  window.heads = 1;
  k->attend(&all, kv, w->x, out);
  k->attend(&window, kv, w->x, window_out);
}

static void run_attend_f16(const hb_kernels *k, workspace *w, float *out) {
  attend_with(k, HB_KV_F16, w, out);
}

static void run_attend_f32(const hb_kernels *k, workspace *w, float *out) {
  attend_with(k, HB_KV_F32, w, out);
}

static const struct {
  const char *name;
  void (*run)(const hb_kernels *k, workspace *w, float *out);
} vector_cases[] = {
    {"rms_norm", run_rms_norm},
    {"rms_norm without weights", run_rms_norm_alone},
    {"layer_norm", run_layer_norm},
    {"rope_adjacent", run_rope_adjacent},
    {"rope_halves", run_rope_halves},
    {"add", run_add},
    {"scale", run_scale},
    {"silu", run_silu},
    {"gelu", run_gelu},
    {"silu_mul", run_silu_mul},
    {"gelu_mul", run_gelu_mul},
    {"softcap", run_softcap},
    {"softmax", run_softmax},
    {"maxima", run_maxima},
    {"weights", run_weights},
    {"attend with an F16 cache", run_attend_f16},
    {"attend with an F32 cache", run_attend_f32},
};

static const char *differing_vector_kernel(const hb_kernels *scalar, const hb_kernels *k,
                                           workspace *w) {
  fill(w, w->x, VALUES);
  fill(w, w->y, VALUES);
  fill(w, w->z, VALUES);
  for (size_t i = 0; i < sizeof vector_cases / sizeof *vector_cases; i++) {
    memset(w->expected, 0, sizeof w->expected);
    memset(w->got, 0, sizeof w->got);
    vector_cases[i].run(scalar, w, w->expected);
    vector_cases[i].run(k, w, w->got);
    if (!same_bits(w->got, w->expected, OUT_FLOATS)) return vector_cases[i].name;
  }
  return NULL;
}

/* ---- Matrices ---- */

/* A scale of a magnitude around 2^-6. */
static uint16_t next_scale(workspace *w) {
  return (uint16_t)((next_u32(w) & 0x83ff) | 0x2400);
}

static void random_f32_scales(workspace *w, uint8_t *out) {
  for (size_t row = 0; row < HB_GROUP; row++) {
    float scale = hb_f32_of_f16(next_scale(w));
    memcpy(out + 4 * row, &scale, 4);
  }
}

static void random_header(workspace *w, hb_packing p, uint8_t *header) {
  if (p.scaling == HB_SCALING_F32) {
    random_f32_scales(w, header);
    return;
  }
  for (size_t i = 0; i < hb_packing_header(p); i += 2) {
    if (p.scaling == HB_SCALING_E8M0)
      memset(header + i, 118 + (int)(next_u32(w) % 6), 2);
    else
      hb_store_u16(header + i, next_scale(w));
  }
}

/* Random weights in the packed form itself, so that this needs no block format: random bytes, with
 * sensible numbers where the scales are that are no integers. */
static void random_packed(workspace *w, hb_matrix *m) {
  for (size_t i = 0; i < m->bytes; i++) m->data[i] = (uint8_t)(next_u32(w) >> 8);
  hb_packing_id id;
  hb_packing p;
  if (!hb_packing_of(m->type, &id, &p)) return;
  for (size_t g = 0; g < hb_group_count(m); g++) {
    uint8_t *at = m->data + g * hb_packing_group(p, m->cols);
    if (p.scaling == HB_SCALING_ROW) random_f32_scales(w, at);
    at += hb_packing_start(p);
    for (size_t b = 0; b < m->cols / p.values; b++, at += hb_packing_block(p))
      random_header(w, p, at);
  }
}

/* From 2^-20, which is subnormal as f16, to 2^-4, and one that is infinite: kernels may take for
 * granted that it is not, if they notice. */
static void random_floats(workspace *w, hb_matrix *m) {
  for (size_t i = 0; i < (size_t)m->rows * m->cols; i++) {
    float x = i == COLS + 7 ? INFINITY : next_float(w) * 0x1p-8f;
    switch (m->type) {
    case HB_TYPE_F16: hb_store_u16(m->data + 2 * i, hb_f16_of_f32(x)); break;
    case HB_TYPE_BF16: hb_store_u16(m->data + 2 * i, hb_bf16_of_f32(x)); break;
    default: memcpy(m->data + 4 * i, &x, 4); break;
    }
  }
}

/* How a row of activations becomes int8: a scale for each block, one for the row, or that fixed
 * one. */
enum { SCALE_OF_BLOCK = -1, SCALE_OF_ROW = 0 };

static void run_matmul(const hb_kernels *k, const hb_matrix *m, float scale, workspace *w,
                       float *out) {
  const void *x = w->x;
  size_t stride = COLS * sizeof(float);
  if (hb_type_wants_int8(m->type)) {
    stride = k->activation_bytes(COLS);
    for (size_t r = 0; r < X_ROWS; r++) {
      const float *row = w->x + r * COLS;
      if (scale == SCALE_OF_BLOCK)
        k->quantize(row, COLS, w->quantized + r * stride);
      else
        k->quantize_row(row, COLS, scale, w->quantized + r * stride);
    }
    x = w->quantized;
  }
  k->matmul(m, x, stride, X_ROWS, 0, hb_group_count(m), out, ROWS);
}

static bool matmul_agrees(const hb_kernels *scalar, const hb_kernels *k, const hb_matrix *m,
                          float scale, workspace *w) {
  run_matmul(scalar, m, scale, w, w->expected);
  run_matmul(k, m, scale, w, w->got);
  return same_bits(w->got, w->expected, X_ROWS * ROWS);
}

static bool type_agrees(const hb_kernels *scalar, const hb_kernels *k, hb_type type, workspace *w) {
  hb_matrix m = {.type = type, .rows = ROWS, .cols = COLS, .data = w->weights};
  if (!hb_packed_size(type, ROWS, COLS, &m.bytes)) return true; /* not supported */
  if (!hb_type_wants_int8(type)) {
    random_floats(w, &m);
    return matmul_agrees(scalar, k, &m, SCALE_OF_BLOCK, w);
  }
  random_packed(w, &m);
  if (!matmul_agrees(scalar, k, &m, SCALE_OF_BLOCK, w)) return false;
  /* How activations are kept is the same for all types: one is enough. */
  return type != HB_TYPE_Q8_0 ||
         (matmul_agrees(scalar, k, &m, SCALE_OF_ROW, w) && matmul_agrees(scalar, k, &m, 0.03f, w));
}

static const char *differing_matmul(const hb_kernels *scalar, const hb_kernels *k, workspace *w) {
  static const hb_type types[] = {
#define TYPE_ENTRY(name, id, values, bytes, supported) HB_TYPE_##name,
      HB_TYPE_LIST(TYPE_ENTRY)
#undef TYPE_ENTRY
#define TYPE_ENTRY(name, id, values, bytes, sharing, shared) HB_TYPE_##name,
          HB_PRIVATE_TYPE_LIST(TYPE_ENTRY)
#undef TYPE_ENTRY
  };
  fill(w, w->x, X_ROWS * COLS);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!type_agrees(scalar, k, types[i], w)) return hb_type_name(types[i]);
  return NULL;
}

hb_status hb_selftest(hb_isa isa, const hb_allocator *allocator, hb_error *error) {
  const hb_kernels *k = hb_kernels_for(isa), *scalar = hb_kernels_for(HB_ISA_SCALAR);
  if (!k)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the instruction set %s is not available here",
                   hb_isa_name(isa));
  workspace *w = (workspace *)hb_allocate_zero(allocator, sizeof *w);
  if (!w)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the self-test (%u bytes)",
                   (uint64_t)sizeof *w);
  hb_fp_state before = hb_fp_enter();
  hb_status status = HB_OK;
  const char *name = differing_vector_kernel(scalar, k, w);
  if (name) {
    status = hb_fail(error, HB_SELFTEST, HB_NO_OFFSET, "%s computes another %s than scalar",
                     hb_isa_name(isa), name);
  } else if ((name = differing_matmul(scalar, k, w)) != NULL) {
    status =
        hb_fail(error, HB_SELFTEST, HB_NO_OFFSET,
                "%s computes another product with %s weights than scalar", hb_isa_name(isa), name);
  }
  hb_fp_leave(before);
  hb_release(allocator, w, sizeof *w);
  return status;
}
