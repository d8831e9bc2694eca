/* Saved states: what follows a restored one has the bits of what follows the original, and bytes
 * that are damaged or of another model are refused. */
#include "support.h"

#define MODEL "vectors/quant/Q4_0.gguf"
#define OTHER "vectors/quant/Q4_1.gguf"
enum { VOCABULARY = 512, CONTEXT = 80, MORE = 9 };

static hb_model *model;

static int load(void **state) {
  (void)state;
  if (shared_path(MODEL)) model = load_shared(MODEL, hb_isa_best());
  return 0;
}

static int unload(void **state) {
  (void)state;
  hb_model_destroy(model);
  return 0;
}

static hb_session *open_session(const hb_model *m, uint32_t context, hb_kv_type kv) {
  hb_session *session;
  hb_error error;
  hb_session_options options = {.context_length = context, .kv = kv};
  assert_int_equal(hb_session_create(m, &options, &session, &error), HB_OK);
  return session;
}

static void fill_tokens(hb_token *tokens, size_t count) {
  for (size_t i = 0; i < count; i++) tokens[i] = (hb_token)((i * 37 + 11) % VOCABULARY);
}

static void append(hb_session *session, size_t first, size_t count) {
  hb_token tokens[CONTEXT];
  fill_tokens(tokens, CONTEXT);
  hb_error error;
  assert_int_equal(hb_session_append(session, tokens + first, count, &error), HB_OK);
}

/* All pieces of a state. */
typedef struct saved {
  uint32_t count;
  uint8_t **piece;
  uint64_t *bytes;
} saved;

static saved save(hb_session *session) {
  hb_token tokens[CONTEXT];
  fill_tokens(tokens, CONTEXT);
  hb_error error;
  saved s = {.count = hb_state_pieces(session)};
  s.piece = calloc(s.count, sizeof *s.piece);
  s.bytes = calloc(s.count, sizeof *s.bytes);
  uint32_t positions = hb_session_position(session);
  for (uint32_t i = 0; i < s.count; i++) {
    assert_int_equal(hb_state_piece_bytes(session, positions, i, &s.bytes[i], &error), HB_OK);
    s.piece[i] = malloc(s.bytes[i]);
    assert_int_equal(hb_state_save(session, tokens, i, s.piece[i], s.bytes[i] - 1, &error),
                     HB_ARGUMENT);
    assert_int_equal(hb_state_save(session, tokens, i, s.piece[i], s.bytes[i], &error), HB_OK);
  }
  return s;
}

static void drop(saved *s) {
  for (uint32_t i = 0; i < s->count; i++) free(s->piece[i]);
  free(s->piece);
  free(s->bytes);
}

static void restore(hb_session *session, const saved *s) {
  hb_error error;
  for (uint32_t i = 0; i < s->count; i++) {
    assert_int_equal(hb_state_restore(session, i, s->piece[i], s->bytes[i], &error), HB_OK);
    if (i + 1 < s->count) assert_int_equal(hb_session_position(session), 0);
  }
}

static void what_follows_a_restored_state_has_the_same_bits(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  for (int kv = HB_KV_F16; kv <= HB_KV_F32; kv++)
    for (uint32_t n = 0; n <= 64; n = n < 2 ? n + 1 : n + 31) {
      hb_session *first = open_session(model, CONTEXT, (hb_kv_type)kv);
      append(first, 0, n);
      saved s = save(first);
      hb_session *second = open_session(model, CONTEXT - 3, (hb_kv_type)kv);
      append(second, 5, 40); /* to be forgotten */
      restore(second, &s);
      assert_int_equal(hb_session_position(second), n);
      assert_null(hb_session_logits(second, 0));
      append(first, n, MORE);
      append(second, n, MORE);
      assert_memory_equal(hb_session_logits(first, 0), hb_session_logits(second, 0),
                          VOCABULARY * sizeof(float));
      drop(&s);
      hb_session_destroy(first);
      hb_session_destroy(second);
    }
}

static void the_bytes_hold_nothing_but_the_text(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *plain = open_session(model, CONTEXT, HB_KV_F16);
  hb_session *rewound = open_session(model, CONTEXT - 1, HB_KV_F16);
  append(plain, 0, 37);
  append(rewound, 0, 70);
  assert_int_equal(hb_session_rewind(rewound, 37), HB_OK);
  saved a = save(plain), b = save(rewound);
  for (uint32_t i = 0; i < a.count; i++) {
    assert_int_equal(a.bytes[i], b.bytes[i]);
    assert_memory_equal(a.piece[i], b.piece[i], a.bytes[i]);
  }
  drop(&a);
  drop(&b);
  hb_session_destroy(plain);
  hb_session_destroy(rewound);
}

/* Restores all pieces up to the one that is refused. */
static hb_status refused(hb_session *session, const saved *s) {
  hb_error error;
  hb_status status = HB_OK;
  for (uint32_t i = 0; i < s->count && status == HB_OK; i++)
    status = hb_state_restore(session, i, s->piece[i], s->bytes[i], &error);
  return status;
}

static void a_flipped_bit_is_found_wherever_it_is(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *session = open_session(model, CONTEXT, HB_KV_F16);
  append(session, 0, 33);
  saved s = save(session);
  for (uint32_t i = 0; i < s.count; i++)
    for (uint64_t at = 0; at < s.bytes[i]; at += i == 0 ? 1 : 61) {
      s.piece[i][at] ^= (uint8_t)(1u << at % 8);
      assert_int_not_equal(refused(session, &s), HB_OK);
      s.piece[i][at] ^= (uint8_t)(1u << at % 8);
      assert_int_equal(hb_session_position(session), i == 0 ? 33 : 0);
    }
  assert_int_equal(refused(session, &s), HB_OK);
  assert_int_equal(hb_session_position(session), 33);
  drop(&s);
  hb_session_destroy(session);
}

static void pieces_have_their_place_and_their_length(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_session *session = open_session(model, CONTEXT, HB_KV_F16);
  append(session, 0, 33);
  saved s = save(session);
  hb_error error;
  assert_int_equal(hb_state_restore(session, 0, s.piece[0], s.bytes[0], &error), HB_OK);
  assert_int_equal(hb_state_restore(session, 2, s.piece[2], s.bytes[2], &error), HB_STATE);
  assert_int_equal(hb_state_restore(session, 1, s.piece[2], s.bytes[2], &error), HB_FORMAT);
  assert_int_equal(hb_state_restore(session, 1, s.piece[1], s.bytes[1] - 1, &error), HB_TRUNCATED);
  assert_int_equal(hb_state_restore(session, s.count, s.piece[1], s.bytes[1], &error), HB_STATE);
  assert_int_equal(hb_state_restore(session, 1, s.piece[1], s.bytes[1], &error), HB_OK);
  append(session, 0, 1); /* in between */
  assert_int_equal(hb_state_restore(session, 2, s.piece[2], s.bytes[2], &error), HB_STATE);
  for (size_t count = 0; count < s.bytes[0]; count += 13)
    assert_int_not_equal(hb_state_restore(session, 0, s.piece[0], count, &error), HB_OK);
  drop(&s);
  hb_session_destroy(session);
}

static void a_state_of_another_model_cache_or_length_is_refused(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  NEED_SHARED(OTHER);
  hb_model *other = load_shared(OTHER, hb_isa_best());
  hb_session *session = open_session(model, CONTEXT, HB_KV_F16);
  hb_session *foreign = open_session(other, CONTEXT, HB_KV_F16);
  hb_session *wide = open_session(model, CONTEXT, HB_KV_F32);
  hb_session *narrow = open_session(model, 32, HB_KV_F16);
  append(session, 0, 33);
  append(foreign, 0, 3);
  saved s = save(session);
  assert_int_equal(refused(foreign, &s), HB_ARGUMENT);
  assert_int_equal(hb_session_position(foreign), 3);
  assert_int_equal(refused(wide, &s), HB_ARGUMENT);
  assert_int_equal(refused(narrow, &s), HB_CONTEXT_FULL);
  uint64_t bytes;
  hb_error error;
  assert_int_equal(hb_state_piece_bytes(session, UINT32_MAX, 1, &bytes, &error), HB_CONTEXT_FULL);
  assert_int_equal(hb_state_piece_bytes(session, 1, s.count, &bytes, &error), HB_ARGUMENT);
  drop(&s);
  hb_session_destroy(session);
  hb_session_destroy(foreign);
  hb_session_destroy(wide);
  hb_session_destroy(narrow);
  hb_model_destroy(other);
}

static void every_instruction_set_reads_and_writes_the_same_bytes(void **state) {
  (void)state;
  NEED_SHARED(MODEL);
  hb_model *scalar = load_shared(MODEL, HB_ISA_SCALAR);
  hb_session *first = open_session(model, CONTEXT, HB_KV_F16);
  hb_session *second = open_session(scalar, CONTEXT, HB_KV_F16);
  append(first, 0, 35);
  append(second, 0, 35);
  saved a = save(first), b = save(second);
  for (uint32_t i = 0; i < a.count; i++) assert_memory_equal(a.piece[i], b.piece[i], a.bytes[i]);
  restore(second, &a);
  drop(&a);
  drop(&b);
  hb_session_destroy(first);
  hb_session_destroy(second);
  hb_model_destroy(scalar);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_follows_a_restored_state_has_the_same_bits),
      cmocka_unit_test(the_bytes_hold_nothing_but_the_text),
      cmocka_unit_test(a_flipped_bit_is_found_wherever_it_is),
      cmocka_unit_test(pieces_have_their_place_and_their_length),
      cmocka_unit_test(a_state_of_another_model_cache_or_length_is_refused),
      cmocka_unit_test(every_instruction_set_reads_and_writes_the_same_bytes),
  };
  return cmocka_run_group_tests(tests, load, unload);
}
