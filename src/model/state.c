/* A session's state as bytes: tokens, keys and values, to be kept and taken up again.
 *
 *   piece 0   header | tokens, i32 each             | checksum
 *   piece i   blocks of one head's cache (kernel.h) | checksum     head i - 1, layer after layer
 *
 * Little-endian. The header:
 *
 *    0  "HBSTATE", NUL          24  u32  type of the cache
 *    8  u32  version            28  u32  table of angles
 *   12  u32  positions          32  u64  bytes of all pieces
 *   16  u64  the model's fingerprint
 *
 * A piece's checksum takes in that of piece 0 and its number, so that no piece can stand for
 * another. It guards against damage; whoever wants to deceive can only make a model talk nonsense,
 * since every byte pattern is a valid key or value. */
#include "model/session.h"

enum { VERSION = 1, CHECKSUM_BYTES = 8, SAMPLES = 16, SAMPLE_BYTES = 64 };

typedef struct header {
  char magic[8];
  uint32_t version, positions;
  uint64_t fingerprint;
  uint32_t kv, angles;
  uint64_t total;
} header;

_Static_assert(sizeof(header) == HB_STATE_HEADER_BYTES, "no padding");

/* ---- Hashing ---- */

static uint64_t mix(uint64_t hash, uint64_t word) {
  hash ^= word;
  return (hash << 29 | hash >> 35) * 0x9e3779b97f4a7c15u;
}

/* The length comes with it: parts cannot be shifted from one to the next. */
static uint64_t mix_bytes(uint64_t hash, const void *data, uint64_t count) {
  const uint8_t *at = data;
  uint64_t left = count, rest = 0;
  for (; left >= 8; left -= 8, at += 8) hash = mix(hash, hb_load_u64(at));
  for (uint64_t i = 0; i < left; i++) rest |= (uint64_t)at[i] << 8 * i;
  return mix(mix(hash, rest), count);
}

/* Parts of a large tensor: another training changes it everywhere. */
static uint64_t mix_samples(uint64_t hash, const void *data, uint64_t bytes) {
  if (bytes <= SAMPLES * SAMPLE_BYTES) return mix_bytes(hash, data, bytes);
  uint64_t distance = (bytes - SAMPLE_BYTES) / (SAMPLES - 1);
  for (uint64_t i = 0; i < SAMPLES; i++)
    hash = mix_bytes(hash, (const uint8_t *)data + i * distance, SAMPLE_BYTES);
  return mix(hash, bytes);
}

static bool begins_with(hb_string text, hb_string start) {
  return text.length >= start.length && memcmp(text.data, start.data, start.length) == 0;
}

/* What keys and values depend on: the numbers of the architecture ("llama.*"), formats of
 * halfbyte's own ("halfbyte.*") and the weights. */
static uint64_t fingerprint(const hb_model *m) {
  hb_string name = hb_string_of(m->architecture->name);
  uint64_t hash = mix_bytes(VERSION, name.data, name.length);
  for (size_t i = 0; i < hb_gguf_value_count(m->gguf); i++) {
    const hb_value *v = hb_gguf_value_at(m->gguf, i);
    if (!begins_with(v->key, name) && !begins_with(v->key, hb_string_of("halfbyte."))) continue;
    hash = mix_bytes(hash, v->key.data, v->key.length);
    hash = mix_bytes(hash, v->data, v->bytes);
  }
  for (uint32_t i = 0; i < m->weight_count; i++) {
    const hb_weight *w = &m->weights[i];
    const void *data = w->vector ? (const void *)w->vector : w->matrix.data;
    uint64_t bytes = w->vector ? w->cols * sizeof *w->vector : w->matrix.bytes;
    if (w->present) hash = mix_samples(mix(hash, i), data, bytes);
    if (w->outliers.bytes > 0)
      hash = mix_samples(mix(hash, i), w->outliers.data, w->outliers.bytes);
    if (w->has_input_scale) hash = mix_bytes(hash, &w->input_scale, sizeof w->input_scale);
  }
  return hash;
}

static uint64_t checksum(uint64_t seed, uint32_t piece, const void *data, uint64_t bytes) {
  return mix_bytes(mix(seed, piece), data, bytes);
}

/* ---- Sizes ---- */

uint32_t hb_state_pieces(const hb_session *s) {
  return 1 + s->model->h.layers * s->model->h.kv_heads;
}

static uint64_t value_bytes(const hb_session *s) {
  return s->kv == HB_KV_F16 ? 2 : 4;
}

static uint64_t block_bytes(const hb_session *s) {
  const hb_hyperparameters *h = &s->model->h;
  return (uint64_t)HB_KV_BLOCK * (h->head_size + h->value_size) * value_bytes(s);
}

/* No overflow: a head's cache of that many positions is there. */
static uint64_t piece_bytes(const hb_session *s, uint32_t positions, uint32_t piece) {
  uint64_t blocks = ((uint64_t)positions + HB_KV_BLOCK - 1) / HB_KV_BLOCK;
  uint64_t contents = piece == 0 ? HB_STATE_HEADER_BYTES + (uint64_t)positions * sizeof(hb_token)
                                 : blocks * block_bytes(s);
  return contents + CHECKSUM_BYTES;
}

hb_status hb_state_piece_bytes(const hb_session *s, uint32_t positions, uint32_t piece,
                               uint64_t *bytes, hb_error *error) {
  if (!s || !bytes || piece >= hb_state_pieces(s))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the state has no piece %u", (uint64_t)piece);
  if (positions > s->context_length)
    return hb_fail(error, HB_CONTEXT_FULL, HB_NO_OFFSET,
                   "the state has %u positions and the context %u", (uint64_t)positions,
                   (uint64_t)s->context_length);
  *bytes = piece_bytes(s, positions, piece);
  return HB_OK;
}

static uint64_t total_bytes(const hb_session *s, uint32_t positions) {
  return piece_bytes(s, positions, 0) +
         (hb_state_pieces(s) - 1) * piece_bytes(s, positions, hb_state_pieces(s) - 1);
}

/* ---- Saving ---- */

static header header_of(const hb_session *s, uint32_t positions) {
  return (header){
      .magic = "HBSTATE",
      .version = VERSION,
      .positions = positions,
      .fingerprint = fingerprint(s->model),
      .kv = s->kv,
      .angles = hb_rope_table_of(s->model, s->model->h.layers - 1, s->context_length),
      .total = total_bytes(s, positions),
  };
}

static uint8_t *cache_of_piece(const hb_session *s, uint32_t piece) {
  return s->cache + (piece - 1) * s->cache_head_bytes;
}

/* The blocks of a head, with zeros for positions that hold nothing. */
static void put_blocks(const hb_session *s, uint32_t piece, uint8_t *out) {
  uint32_t taken = s->position % HB_KV_BLOCK;
  uint64_t size = value_bytes(s), blocks = ((uint64_t)s->position + HB_KV_BLOCK - 1) / HB_KV_BLOCK;
  memcpy(out, cache_of_piece(s, piece), blocks * block_bytes(s));
  if (taken == 0) return;
  uint64_t keys = s->model->h.head_size, values = s->model->h.value_size;
  uint8_t *last = out + (blocks - 1) * block_bytes(s);
  for (uint64_t i = 0; i < keys; i++)
    memset(last + (i * HB_KV_BLOCK + taken) * size, 0, (HB_KV_BLOCK - taken) * size);
  last += keys * HB_KV_BLOCK * size;
  memset(last + taken * values * size, 0, (HB_KV_BLOCK - taken) * values * size);
}

/* Pieces come in order, with nothing computed in between. */
static hb_status check_order(const hb_session *s, uint32_t piece, hb_error *error) {
  if (piece >= hb_state_pieces(s) || (piece > 0 && piece != s->state.next))
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "piece %u of a state is not the next",
                   (uint64_t)piece);
  return HB_OK;
}

hb_status hb_state_save(hb_session *s, const hb_token *tokens, uint32_t piece, void *out,
                        size_t capacity, hb_error *error) {
  if (!s || !out || !tokens)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a state needs a session and its tokens");
  HB_TRY(check_order(s, piece, error));
  uint64_t contents = piece_bytes(s, s->position, piece) - CHECKSUM_BYTES;
  if (capacity < contents + CHECKSUM_BYTES)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "piece %u of a state takes %u bytes",
                   (uint64_t)piece, contents + CHECKSUM_BYTES);
  if (piece == 0) {
    s->state = (hb_state_cursor){0};
    header first = header_of(s, s->position);
    memcpy(out, &first, sizeof first);
    memcpy((uint8_t *)out + HB_STATE_HEADER_BYTES, tokens, s->position * sizeof *tokens);
  } else {
    put_blocks(s, piece, out);
  }
  uint64_t sum = checksum(s->state.seed, piece, out, contents);
  memcpy((uint8_t *)out + contents, &sum, sizeof sum);
  if (piece == 0) s->state.seed = sum;
  s->state.next = piece + 1;
  return HB_OK;
}

/* ---- Restoring ---- */

static hb_status check_header(const hb_session *s, const void *bytes, size_t count,
                              hb_error *error) {
  header given;
  if (count < sizeof given || memcmp(bytes, "HBSTATE", sizeof given.magic) != 0)
    return hb_fail(error, HB_FORMAT, 0, "this is no saved state");
  memcpy(&given, bytes, sizeof given);
  uint64_t size;
  HB_TRY(hb_state_piece_bytes(s, given.positions, 0, &size, error));
  header own = header_of(s, given.positions);
  if (given.fingerprint != own.fingerprint)
    return hb_fail(error, HB_ARGUMENT, 16, "the state belongs to another model");
  if (given.kv != own.kv || given.angles != own.angles)
    return hb_fail(error, HB_ARGUMENT, 24, "the state belongs to a cache of another type");
  if (given.version != own.version || given.total != own.total)
    return hb_fail(error, HB_FORMAT, 8, "the state has another version or size");
  return HB_OK;
}

hb_status hb_state_restore(hb_session *s, uint32_t piece, const void *bytes, size_t count,
                           hb_error *error) {
  if (!s || !bytes)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a state needs a session and bytes");
  HB_TRY(check_order(s, piece, error));
  if (piece == 0) HB_TRY(check_header(s, bytes, count, error));
  uint32_t positions = piece == 0 ? hb_load_u32((const uint8_t *)bytes + 12) : s->state.positions;
  uint64_t size = piece_bytes(s, positions, piece);
  if (count != size)
    return hb_fail(error, HB_TRUNCATED, HB_NO_OFFSET, "piece %u of the state has %u bytes, not %u",
                   (uint64_t)piece, (uint64_t)count, size);
  size -= CHECKSUM_BYTES;
  uint64_t seed = piece == 0 ? 0 : s->state.seed;
  uint64_t sum = checksum(seed, piece, bytes, size);
  if (sum != hb_load_u64((const uint8_t *)bytes + size))
    return hb_fail(error, HB_FORMAT, HB_NO_OFFSET, "piece %u of the state is damaged",
                   (uint64_t)piece);
  if (piece == 0) {
    hb_session_rewind(s, 0);
    s->state = (hb_state_cursor){.seed = sum, .positions = positions};
  } else {
    memcpy(cache_of_piece(s, piece), bytes, size);
  }
  s->state.next = piece + 1;
  if (s->state.next == hb_state_pieces(s)) s->position = positions;
  return HB_OK;
}
