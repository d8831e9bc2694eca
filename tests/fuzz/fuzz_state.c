/* Any bytes as a saved state: restoring it ends in an error or in a session that goes on. The first
 * byte says what is made right before: with bit 0 what names the model and the sizes in the header,
 * with bit 1 the checksums, without which no fuzzer would come behind them. With bit 2 the pieces
 * are cut off where the bytes end, not filled up with zeros. */
#include <stdlib.h>

/* For its header and its checksum; in the library it is the same. */
#include "model/state.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAMED = 1, SUMMED = 2, CUT = 4, CONTEXT = 70, VOCABULARY = 300 };

static void expect(bool condition) {
  if (!condition) abort();
}

static hb_model *make_model(void) {
  static uint8_t bytes[1 << 16];
  hb_synthetic *file;
  hb_loader *loader;
  hb_model *model;
  expect(hb_synthetic_create(NULL, "32,2,2,1,32,300", "q4_0", 1, &file, NULL) == HB_OK);
  expect(hb_loader_create(&(hb_load_options){.isa = hb_isa_best()}, &loader, NULL) == HB_OK);
  expect(hb_loader_begin_file(loader, hb_synthetic_size(file), NULL) == HB_OK);
  for (size_t n; (n = hb_synthetic_read(file, bytes, sizeof bytes)) > 0;)
    expect(hb_loader_feed(loader, bytes, n, NULL) == HB_OK);
  expect(hb_loader_finish(loader, &model, NULL) == HB_OK);
  hb_loader_destroy(loader);
  hb_synthetic_destroy(file);
  return model;
}

/* The next bytes of the input, in a block of their own, so that a byte read behind it is noticed.
 */
static uint8_t *take(hb_string *rest, size_t wanted, bool cut, size_t *count) {
  size_t there = rest->length < wanted ? rest->length : wanted;
  *count = cut ? there : wanted;
  uint8_t *piece = calloc(*count ? *count : 1, 1);
  expect(piece != NULL);
  memcpy(piece, rest->data, there);
  *rest = (hb_string){rest->data + there, rest->length - there};
  return piece;
}

static void name(const hb_session *s, uint8_t *piece, size_t count) {
  header given;
  if (count < sizeof given) return;
  memcpy(&given, piece, sizeof given);
  given.positions %= CONTEXT + 1;
  given = header_of(s, given.positions);
  memcpy(piece, &given, sizeof given);
}

static void sum_up(uint64_t seed, uint32_t number, uint8_t *piece, size_t count) {
  if (count < CHECKSUM_BYTES) return;
  uint64_t sum = checksum(seed, number, piece, count - CHECKSUM_BYTES);
  memcpy(piece + count - CHECKSUM_BYTES, &sum, sizeof sum);
}

/* As a caller does it who believes the header's number of positions. */
static hb_status restore(hb_session *s, uint8_t how, hb_string rest) {
  uint32_t positions =
      rest.length < HB_STATE_HEADER_BYTES ? 0 : hb_load_u32((const uint8_t *)rest.data + 12);
  if (how & NAMED) positions %= CONTEXT + 1;
  for (uint32_t i = 0; i < hb_state_pieces(s); i++) {
    uint64_t wanted = 0;
    size_t count;
    HB_TRY(hb_state_piece_bytes(s, positions, i, &wanted, NULL));
    uint8_t *piece = take(&rest, (size_t)wanted, how & CUT, &count);
    if (i == 0 && how & NAMED) name(s, piece, count);
    if (how & SUMMED) sum_up(i == 0 ? 0 : s->state.seed, i, piece, count);
    hb_status status = hb_state_restore(s, i, piece, count, NULL);
    free(piece);
    HB_TRY(status);
  }
  expect(hb_session_position(s) == positions);
  return HB_OK;
}

/* Whatever it holds, it goes on, or is full. */
static void go_on(hb_session *s) {
  const hb_token tokens[] = {1, VOCABULARY - 1, 7};
  uint32_t before = hb_session_position(s);
  hb_status status = hb_session_append(s, tokens, 3, NULL);
  expect(status == (before + 3 > CONTEXT ? HB_CONTEXT_FULL : HB_OK));
  if (status != HB_OK) return;
  expect(hb_session_position(s) == before + 3);
  expect(hb_session_logits(s, 0) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static hb_model *model;
  if (size == 0) return 0;
  if (!model) model = make_model();
  hb_session *s;
  hb_session_options options = {
      .context_length = CONTEXT, .batch = 4, .kv = data[0] & 8 ? HB_KV_F32 : HB_KV_F16};
  expect(hb_session_create(model, &options, &s, NULL) == HB_OK);
  const hb_token tokens[] = {3, 5};
  expect(hb_session_append(s, tokens, 2, NULL) == HB_OK);
  hb_status status = restore(s, data[0], (hb_string){(const char *)data + 1, size - 1});
  /* What is refused at once leaves the text; what is refused later leaves none. */
  uint32_t position = hb_session_position(s);
  if (status != HB_OK) expect(position == 0 || position == 2);
  go_on(s);
  hb_session_destroy(s);
  return 0;
}
