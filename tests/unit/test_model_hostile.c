/* Hostile models: sound GGUF files that make no model. tests/fuzz/seeds/model holds them,
 * tests/fuzz/model.json says how each must end. */
#include "gguf_support.h"
#include "seeds.h"

typedef struct outcome {
  hb_status status;
  hb_error error;
} outcome;

static hb_status feed_model(hb_loader *loader, const seed *s, size_t piece, hb_error *error) {
  HB_TRY(hb_loader_begin_file(loader, s->size, error));
  for (size_t at = 0; at < s->size; at += piece) {
    size_t count = s->size - at < piece ? s->size - at : piece;
    HB_TRY(hb_loader_feed(loader, s->data + at, count, error));
  }
  return HB_OK;
}

/* A model that loads runs too, whatever its weights are. */
static void run_model(const hb_model *model, const hb_allocator *allocator) {
  const hb_token tokens[] = {1, 7, 0};
  hb_session *session;
  hb_error error;
  for (int kv = HB_KV_F16; kv <= HB_KV_F32; kv++) {
    hb_session_options options = {
        .allocator = allocator, .context_length = 8, .batch = 2, .kv = (hb_kv_type)kv};
    assert_int_equal(hb_session_create(model, &options, &session, &error), HB_OK);
    assert_int_equal(hb_session_append(session, tokens, 3, &error), HB_OK);
    hb_sampler *sampler;
    hb_sampler_options sampling = hb_sampler_defaults();
    sampling.temperature = 1;
    assert_int_equal(hb_sampler_create(allocator, 8, &sampling, &sampler, &error), HB_OK);
    hb_token token = hb_sampler_sample(sampler, hb_session_logits(session, 0), NULL);
    assert_in_range(token, 0, 7);
    hb_sampler_destroy(sampler);
    hb_session_destroy(session);
  }
}

static outcome load_seed(const seed *s, hb_isa isa, size_t piece) {
  outcome o = {0};
  meter m;
  hb_loader *loader;
  hb_model *model = NULL;
  meter_start(&m);
  hb_load_options options = {.allocator = &m.allocator, .isa = isa};
  assert_int_equal(hb_loader_create(&options, &loader, NULL), HB_OK);
  o.status = feed_model(loader, s, piece, &o.error);
  if (o.status == HB_OK) o.status = hb_loader_finish(loader, &model, &o.error);
  hb_loader_destroy(loader);
  if (m.peak > 100000 + 16 * s->size)
    fail_msg("%s: %u bytes of memory for %u bytes", s->name, (unsigned)m.peak, (unsigned)s->size);
  if (model) run_model(model, &m.allocator);
  hb_model_destroy(model);
  if (m.held != 0) fail_msg("%s: %u bytes are not released", s->name, (unsigned)m.held);
  return o;
}

static void check_seed(const seed *s) {
  outcome whole = load_seed(s, HB_ISA_SCALAR, SIZE_MAX);
  expect_outcome(s, whole.status, whole.error.message);
  for (size_t piece = 1; piece < 200; piece += 66) {
    outcome pieces = load_seed(s, hb_isa_best(), piece);
    expect_outcome(s, pieces.status, pieces.error.message);
  }
}

static void every_seed_made_by_hand_has_an_expectation(void **state) {
  (void)state;
  check_list("model");
}
static void sound_models_run_whatever_their_weights_are(void **state) {
  (void)state;
  check_seeds("model", "ok-", check_seed);
}
static void impossible_hyperparameters_are_refused(void **state) {
  (void)state;
  check_seeds("model", "number-", check_seed);
}
static void missing_and_misshaped_weights_are_refused(void **state) {
  (void)state;
  check_seeds("model", "weight-", check_seed);
}
static void broken_vocabularies_are_refused(void **state) {
  (void)state;
  check_seeds("model", "token-", check_seed);
}
static void formats_of_its_own_run_or_are_refused(void **state) {
  (void)state;
  check_seeds("model", "own-", check_seed);
}

static void load_without_memory(const char *path) {
  seed s = {.data = read_file(path, &s.size)};
  outcome o = {.status = HB_MEMORY};
  uint64_t allocations = 2; /* the loader and its model */
  for (; o.status == HB_MEMORY; allocations++) {
    meter m;
    hb_loader *loader = NULL;
    hb_model *model = NULL;
    meter_start(&m);
    m.left = allocations;
    hb_load_options options = {.allocator = &m.allocator, .isa = HB_ISA_SCALAR};
    o.status = hb_loader_create(&options, &loader, &o.error);
    if (o.status == HB_OK) o.status = feed_model(loader, &s, 100, &o.error);
    if (o.status == HB_OK) o.status = hb_loader_finish(loader, &model, &o.error);
    hb_loader_destroy(loader);
    hb_model_destroy(model);
    assert_int_equal(m.held, 0);
  }
  assert_int_equal(o.status, HB_OK);
  assert_true(allocations > 20);
  free(s.data);
}

static void without_memory_loading_ends_cleanly_wherever_it_stands(void **state) {
  (void)state;
  load_without_memory("tests/fuzz/seeds/model/ok-q4");
  load_without_memory("tests/fuzz/seeds/model/own-ok-skip");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_seed_made_by_hand_has_an_expectation),
      cmocka_unit_test(sound_models_run_whatever_their_weights_are),
      cmocka_unit_test(impossible_hyperparameters_are_refused),
      cmocka_unit_test(missing_and_misshaped_weights_are_refused),
      cmocka_unit_test(broken_vocabularies_are_refused),
      cmocka_unit_test(formats_of_its_own_run_or_are_refused),
      cmocka_unit_test(without_memory_loading_ends_cleanly_wherever_it_stands),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
