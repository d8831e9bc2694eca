/* Any bytes as an adapter: it is refused, or changes what the model computes to the same bits on
 * the scalar kernels and the fastest ones, within memory that fits the number of bytes. Taken off
 * again, it leaves no trace. */
#include "base/base.h"
#include "meter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOKENS = 3, VOCABULARY = 300 };

/* ---- Models ---- */

typedef struct subject {
  meter memory;
  hb_model *model;
  uint64_t held; /* at first */
} subject;

static void make(subject *s, hb_isa isa) {
  static uint8_t bytes[1 << 16];
  hb_synthetic *file;
  hb_loader *loader;
  s->memory = (meter){{&s->memory, meter_allocate, meter_release}, 0, UINT64_MAX};
  hb_load_options options = {.allocator = &s->memory.allocator, .isa = isa};
  expect(hb_synthetic_create(NULL, "32,1,2,1,32,300", "q4_0", 1, &file, NULL) == HB_OK);
  expect(hb_loader_create(&options, &loader, NULL) == HB_OK);
  expect(hb_loader_begin_file(loader, hb_synthetic_size(file), NULL) == HB_OK);
  for (size_t n; (n = hb_synthetic_read(file, bytes, sizeof bytes)) > 0;)
    expect(hb_loader_feed(loader, bytes, n, NULL) == HB_OK);
  expect(hb_loader_finish(loader, &s->model, NULL) == HB_OK);
  hb_loader_destroy(loader);
  hb_synthetic_destroy(file);
  s->held = s->memory.held;
}

static void compute(subject *s, float *out) {
  const hb_token tokens[TOKENS] = {1, VOCABULARY - 1, 7};
  hb_session *session;
  hb_session_options options = {
      .allocator = &s->memory.allocator, .context_length = TOKENS, .batch = TOKENS};
  expect(hb_session_create(s->model, &options, &session, NULL) == HB_OK);
  expect(hb_session_append(session, tokens, TOKENS, NULL) == HB_OK);
  memcpy(out, hb_session_logits(session, 0), VOCABULARY * sizeof *out);
  hb_session_destroy(session);
}

/* But for NaN, whose bits no target promises. */
static bool same(const float *a, const float *b) {
  for (size_t i = 0; i < VOCABULARY; i++)
    if (memcmp(a + i, b + i, sizeof *a) != 0 && (a[i] == a[i] || b[i] == b[i])) return false;
  return true;
}

static void compare(subject *scalar, subject *best) {
  float a[VOCABULARY], b[VOCABULARY];
  char line[128];
  for (size_t i = 0; hb_model_operation(best->model, i, line, sizeof line) > 0; i++) continue;
  compute(scalar, a);
  compute(best, b);
  expect(same(a, b));
}

static void expect_plain(subject *s, const float *plain) {
  float now[VOCABULARY];
  hb_model_unadapt(s->model);
  compute(s, now);
  expect(memcmp(now, plain, sizeof now) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static subject scalar, best;
  static float plain[VOCABULARY];
  hb_error errors[2] = {{0}};
  if (!best.model) {
    make(&scalar, HB_ISA_SCALAR);
    make(&best, hb_isa_best());
    compute(&scalar, plain);
  }
  scalar.memory.limit = best.memory.limit = scalar.held + (4u << 20) + 64 * (uint64_t)size;
  uint64_t held = best.memory.held;
  hb_status status = hb_model_adapt(scalar.model, data, size, 0.5, &errors[0]);
  expect(hb_model_adapt(best.model, data, size, 0.5, &errors[1]) == status);
  if (status == HB_OK) {
    hb_model_adapt(scalar.model, data, size, -2, NULL);
    hb_model_adapt(best.model, data, size, -2, NULL);
    compare(&scalar, &best);
  } else {
    expect(!strcmp(errors[0].message, errors[1].message));
    expect(best.memory.held == held);
  }
  expect_plain(&scalar, plain);
  expect_plain(&best, plain);
  return 0;
}
