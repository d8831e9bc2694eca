/* tokenizer.model: a message of Protocol Buffers (sentencepiece_model.proto), of whose fields these
 * are read:
 *
 *   1 pieces { 1 piece, 2 score, 3 type }
 *   2 trainer_spec { 3 model_type, 24 treat_whitespace_as_suffix, 40 unk_id, 41 bos_id, 42 eos_id,
 *                    43 pad_id }
 *   3 normalizer_spec { 2 precompiled_charsmap, 3 add_dummy_prefix, 5 escape_whitespaces } */
#include "import/vocabulary.h"
#include "base/half.h"

/* ---- The wire format ---- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct wire {
  const uint8_t *at, *end;
} wire;

typedef struct field {
  uint32_t number, kind;
  uint64_t value; /* of WIRE_VARINT and WIRE_32 */
  wire bytes;     /* of WIRE_BYTES */
} field;

static bool varint(wire *w, uint64_t *out) {
  *out = 0;
  for (uint32_t shift = 0; shift < 64 && w->at < w->end; shift += 7) {
    uint8_t byte = *w->at++;
    *out |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

static bool take(wire *w, uint64_t count, wire *out) {
  if (count > (uint64_t)(w->end - w->at)) return false;
  *out = (wire){w->at, w->at + count};
  w->at += count;
  return true;
}

/* The next field of a message that has not ended; false if it is not sound. */
static bool next_field(wire *w, field *out) {
  uint64_t tag;
  wire bytes;
  *out = (field){0};
  if (!varint(w, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX) return false;
  out->number = (uint32_t)(tag >> 3);
  out->kind = tag & 7;
  switch (out->kind) {
  case WIRE_VARINT: return varint(w, &out->value);
  case WIRE_64: return take(w, 8, &bytes);
  case WIRE_BYTES: return varint(w, &out->value) && take(w, out->value, &out->bytes);
  case WIRE_32:
    if (!take(w, 4, &bytes)) return false;
    out->value = hb_load_u32(bytes.at);
    return true;
  default: return false;
  }
}

static bool is(const field *f, uint32_t number, uint32_t kind) {
  return f->number == number && f->kind == kind;
}

/* ---- The messages ---- */

typedef struct reader {
  hb_vocabulary *v;
  const uint8_t *begin;
  uint32_t pieces;
  hb_error *error;
} reader;

static hb_status unsound(const reader *r, const wire *w) {
  uint64_t at = (uint64_t)(w->at - r->begin);
  return hb_fail(r->error, HB_FORMAT, at, "no sound SentencePiece model at byte %u", at);
}

static hb_status refuse(const reader *r, const char *what) {
  return hb_fail(r->error, HB_UNSUPPORTED, HB_NO_OFFSET, "%s", what);
}

static hb_status read_piece(reader *r, wire w) {
  uint32_t id = r->pieces++;
  hb_string text = {"", 0};
  uint64_t type = HB_TOKEN_TYPE_NORMAL;
  uint32_t score = 0;
  while (w.at < w.end) {
    field f;
    if (!next_field(&w, &f)) return unsound(r, &w);
    if (is(&f, 1, WIRE_BYTES))
      text = (hb_string){(const char *)f.bytes.at, (size_t)(f.bytes.end - f.bytes.at)};
    else if (is(&f, 2, WIRE_32))
      score = (uint32_t)f.value;
    else if (is(&f, 3, WIRE_VARINT))
      type = f.value;
  }
  if (id >= r->v->count)
    return hb_fail(r->error, HB_MODEL, HB_NO_OFFSET,
                   "there are more pieces than the embedding has rows, %u", (uint64_t)r->v->count);
  if (type < HB_TOKEN_TYPE_NORMAL || type > HB_TOKEN_TYPE_BYTE || !hb_is_utf8(text))
    return hb_fail(r->error, HB_FORMAT, HB_NO_OFFSET, "piece %u has an unknown type or no UTF-8",
                   (uint64_t)id);
  r->v->text[id] = text;
  r->v->score[id] = hb_f32_of_bits(score);
  r->v->type[id] = (int32_t)type;
  if (type == HB_TOKEN_TYPE_UNKNOWN && r->v->unknown == HB_NO_ID) r->v->unknown = id;
  return HB_OK;
}

enum { TYPE_UNIGRAM = 1, TYPE_BPE = 2 }; /* of TrainerSpec.ModelType */

static hb_status read_trainer(reader *r, wire w) {
  hb_vocabulary *v = r->v;
  uint64_t type = TYPE_UNIGRAM;
  v->unknown = 0; /* as the format has it where nothing is said */
  v->bos = 1;
  v->eos = 2;
  while (w.at < w.end) {
    field f;
    if (!next_field(&w, &f)) return unsound(r, &w);
    if (f.kind != WIRE_VARINT) continue;
    uint64_t id = f.value < v->count ? f.value : HB_NO_ID; /* -1 says that there is none */
    switch (f.number) {
    case 3: type = f.value; break;
    case 24:
      if (f.value) return refuse(r, "spaces behind words (treat_whitespace_as_suffix)");
      break;
    case 40: v->unknown = id; break;
    case 41: v->bos = id; break;
    case 42: v->eos = id; break;
    case 43: v->padding = id; break;
    default: break;
    }
  }
  return type == TYPE_BPE ? HB_OK : refuse(r, "a SentencePiece model that is not of type BPE");
}

static hb_status read_normalizer(reader *r, wire w) {
  while (w.at < w.end) {
    field f;
    if (!next_field(&w, &f)) return unsound(r, &w);
    if (is(&f, 2, WIRE_BYTES) && f.bytes.at < f.bytes.end)
      return refuse(r, "a SentencePiece model that normalizes texts (precompiled_charsmap)");
    if (is(&f, 3, WIRE_VARINT)) r->v->add_space_prefix = f.value != 0;
    if (is(&f, 5, WIRE_VARINT) && f.value == 0)
      return refuse(r, "a SentencePiece model that does not escape spaces");
  }
  return HB_OK;
}

static hb_status read_model(reader *r, wire w) {
  bool trained = false;
  while (w.at < w.end) {
    field f;
    if (!next_field(&w, &f)) return unsound(r, &w);
    if (is(&f, 1, WIRE_BYTES)) HB_TRY(read_piece(r, f.bytes));
    if (is(&f, 2, WIRE_BYTES)) {
      trained = true;
      HB_TRY(read_trainer(r, f.bytes));
    }
    if (is(&f, 3, WIRE_BYTES)) HB_TRY(read_normalizer(r, f.bytes));
  }
  return trained && r->pieces > 0 ? HB_OK : unsound(r, &w);
}

hb_status hb_sentencepiece_read(const uint8_t *bytes, uint64_t size, hb_vocabulary *v,
                                hb_error *error) {
  reader r = {.v = v, .begin = bytes, .error = error};
  v->model = "llama";
  v->pre = "default";
  v->add_bos = true;
  v->add_space_prefix = true;
  return read_model(&r, (wire){bytes, bytes + size});
}
