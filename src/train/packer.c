#include "train/packer.h"

struct hb_packer {
  const hb_allocator *allocator;
  const hb_token *tokens;
  const uint64_t *start;
  uint32_t documents, length;
  uint64_t seed, sequences;
  uint64_t epoch;     /* that the orders below are of */
  uint32_t *document; /* [documents]: their order */
  uint64_t *at;       /* [documents + 1]: where they begin in the stream */
  uint32_t *sequence; /* [sequences]: their order */
};

/* splitmix64 (Steele et al., 2014). */
static uint64_t draw(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Fisher and Yates. The modulus favours low numbers by 2^-32 at most. */
void hb_shuffle(uint32_t *order, uint32_t count, uint64_t *state) {
  for (uint32_t i = 0; i < count; i++) order[i] = i;
  for (uint32_t i = count; i > 1; i--) {
    uint32_t other = (uint32_t)(draw(state) % i), was = order[i - 1];
    order[i - 1] = order[other];
    order[other] = was;
  }
}

static void begin_epoch(hb_packer *p, uint64_t epoch) {
  uint64_t state = p->seed ^ hb_hash(&epoch, sizeof epoch);
  p->epoch = epoch;
  hb_shuffle(p->document, p->documents, &state);
  p->at[0] = 0;
  for (uint32_t i = 0; i < p->documents; i++) {
    uint32_t d = p->document[i];
    p->at[i + 1] = p->at[i] + (p->start[d + 1] - p->start[d]);
  }
  hb_shuffle(p->sequence, (uint32_t)p->sequences, &state);
}

static hb_status begin(hb_packer *p, hb_error *error) {
  uint64_t tokens = p->documents > 0 && p->length > 0 ? p->start[p->documents] - p->start[0] : 0;
  p->sequences = p->length > 0 ? tokens / p->length : 0;
  if (p->sequences == 0 || p->sequences > UINT32_MAX)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "%u tokens of text make no or too many sequences of %u tokens", tokens,
                   (uint64_t)p->length);
  p->document = hb_allocate(p->allocator, (uint64_t)p->documents * sizeof *p->document);
  p->at = hb_allocate(p->allocator, ((uint64_t)p->documents + 1) * sizeof *p->at);
  p->sequence = hb_allocate(p->allocator, p->sequences * sizeof *p->sequence);
  if (!p->document || !p->at || !p->sequence)
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the order of %u sequences",
                   p->sequences);
  begin_epoch(p, 0);
  return HB_OK;
}

hb_status hb_packer_create(const hb_allocator *allocator, const hb_token *tokens,
                           const uint64_t *start, uint32_t documents, uint32_t length,
                           uint64_t seed, hb_packer **out, hb_error *error) {
  hb_packer *p = hb_allocate_zero(allocator, sizeof *p);
  *out = NULL;
  if (!p) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for an order of sequences");
  *p = (hb_packer){.allocator = allocator,
                   .tokens = tokens,
                   .start = start,
                   .documents = documents,
                   .length = length,
                   .seed = seed};
  hb_status status = begin(p, error);
  if (status == HB_OK)
    *out = p;
  else
    hb_packer_destroy(p);
  return status;
}

void hb_packer_destroy(hb_packer *p) {
  if (!p) return;
  hb_release(p->allocator, p->document, (uint64_t)p->documents * sizeof *p->document);
  hb_release(p->allocator, p->at, ((uint64_t)p->documents + 1) * sizeof *p->at);
  hb_release(p->allocator, p->sequence, p->sequences * sizeof *p->sequence);
  hb_release(p->allocator, p, sizeof *p);
}

uint64_t hb_packer_count(const hb_packer *p) {
  return p->sequences;
}

/* The last document, in this epoch's order, that begins at `at` or before. */
static uint32_t document_at(const hb_packer *p, uint64_t at) {
  uint32_t low = 0, high = p->documents - 1;
  while (low < high) {
    uint32_t middle = low + (high - low + 1) / 2;
    if (p->at[middle] <= at)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

void hb_packer_take(hb_packer *p, uint64_t number, hb_token *tokens, int32_t *targets,
                    uint32_t *first) {
  if (number / p->sequences != p->epoch) begin_epoch(p, number / p->sequences);
  uint64_t at = (uint64_t)p->sequence[number % p->sequences] * p->length;
  uint32_t i = document_at(p, at), begun = 0;
  for (uint32_t k = 0; k < p->length; k++, at++) {
    while (at >= p->at[i + 1]) {
      i++;
      begun = k;
    }
    uint64_t from = p->start[p->document[i]] + (at - p->at[i]);
    tokens[k] = p->tokens[from];
    targets[k] = at + 1 < p->at[i + 1] ? p->tokens[from + 1] : -1;
    first[k] = begun;
  }
}
