#include "compress/provenance.h"

#define CALIBRATION_KEY "halfbyte.calibration"

/* ---- Hashes of runs of tokens ---- */

#define FACTOR 0x9e3779b97f4a7c15u /* odd: the golden ratio's */

/* The sum of token * FACTOR^(what follows) moves on by one token at a time. */
static uint64_t push(uint64_t sum, hb_token token) {
  return sum * FACTOR + (uint64_t)(uint32_t)token + 1;
}

static uint64_t drop(uint64_t sum, hb_token token, uint64_t power) {
  return sum - ((uint64_t)(uint32_t)token + 1) * power;
}

/* FACTOR^HB_PASSAGE_TOKENS */
static uint64_t last_power(void) {
  uint64_t power = 1;
  for (int i = 0; i < HB_PASSAGE_TOKENS; i++) power *= FACTOR;
  return power;
}

static uint64_t passage_hash(const hb_token *tokens) {
  uint64_t sum = 0;
  for (int i = 0; i < HB_PASSAGE_TOKENS; i++) sum = push(sum, tokens[i]);
  return sum;
}

/* ---- Writing ---- */

static void sort(uint64_t *x, size_t count) {
  for (size_t i = 1; i < count; i++) { /* there are few */
    uint64_t moved = x[i];
    size_t at = i;
    for (; at > 0 && x[at - 1] > moved; at--) x[at] = x[at - 1];
    x[at] = moved;
  }
}

/* The first token of a sample may be one that only begins it. */
static size_t take_passages(const hb_token *tokens, uint32_t samples, uint32_t length,
                            uint64_t *out) {
  if (length <= HB_PASSAGE_TOKENS) return 0;
  uint64_t room = (length - 1) / HB_PASSAGE_TOKENS, all = room * samples;
  uint64_t count = all < HB_MOST_PASSAGES ? all : HB_MOST_PASSAGES;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t passage = all * i / count;
    out[i] =
        passage_hash(tokens + passage / room * length + 1 + passage % room * HB_PASSAGE_TOKENS);
  }
  sort(out, (size_t)count);
  return (size_t)count;
}

static hb_status set_passages(hb_gguf_writer *w, const hb_allocator *allocator,
                              const hb_token *tokens, uint32_t samples, uint32_t length,
                              hb_error *error) {
  uint64_t bytes = HB_MOST_PASSAGES * sizeof(uint64_t);
  uint64_t *hashes = hb_allocate(allocator, bytes);
  if (!hashes) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a text's hashes");
  size_t count = take_passages(tokens, samples, length, hashes);
  hb_status status = HB_OK; /* every target is little-endian */
  if (count > 0)
    status = hb_gguf_writer_set_array(w, CALIBRATION_KEY, HB_VALUE_U64, hashes, count, error);
  hb_release(allocator, hashes, bytes);
  return status;
}

hb_status hb_provenance_set_text(hb_gguf_writer *w, const hb_allocator *allocator,
                                 const hb_token *tokens, uint32_t samples, uint32_t length,
                                 const hb_gguf *from, hb_error *error) {
  const hb_value *value = from ? hb_gguf_value(from, CALIBRATION_KEY) : NULL;
  hb_gguf_writer_remove(w, CALIBRATION_KEY);
  if (tokens) return set_passages(w, allocator, tokens, samples, length, error);
  return value ? hb_gguf_writer_set(w, value, error) : HB_OK;
}

hb_status hb_provenance_set(hb_gguf_writer *w, const hb_quantize_options *o, hb_error *error) {
  const char *method = o->method ? o->method : o->importance ? "imatrix" : "rtn";
  hb_gguf_writer_remove(w, HB_METHOD_KEY);
  if (strcmp(method, "rtn") != 0)
    HB_TRY(hb_gguf_writer_set_string(w, HB_METHOD_KEY, hb_string_of(method), error));
  const hb_source *measured = o->importance ? o->importance : o->gradients;
  return hb_provenance_set_text(w, o->allocator, o->calibration, o->calibration_samples,
                                o->calibration_length, measured ? measured->gguf : NULL, error);
}

/* ---- Finding ---- */

/* The index of a hash among those of the file, which rise, or their number. */
static size_t find(const uint8_t *hashes, size_t count, uint64_t hash) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (hb_load_u64(hashes + 8 * middle) < hash)
      low = middle + 1;
    else
      high = middle;
  }
  return low < count && hb_load_u64(hashes + 8 * low) == hash ? low : count;
}

hb_overlap hb_provenance_overlap(const hb_gguf *model, const hb_token *tokens, size_t count) {
  const hb_value *v = hb_gguf_value(model, CALIBRATION_KEY);
  hb_overlap overlap = {0, 0};
  bool seen[HB_MOST_PASSAGES] = {false};
  if (!v || v->type != HB_VALUE_ARRAY || v->element != HB_VALUE_U64 || v->count > HB_MOST_PASSAGES)
    return overlap;
  overlap.known = (size_t)v->count;
  uint64_t sum = 0, power = last_power();
  for (size_t i = 0; i < count; i++) {
    sum = push(sum, tokens[i]);
    if (i >= HB_PASSAGE_TOKENS) sum = drop(sum, tokens[i - HB_PASSAGE_TOKENS], power);
    if (i + 1 < HB_PASSAGE_TOKENS) continue;
    size_t at = find(v->data, overlap.known, sum);
    if (at == overlap.known || seen[at]) continue;
    seen[at] = true;
    overlap.found++;
  }
  return overlap;
}
