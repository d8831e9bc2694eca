#include "compress/samples.h"
#include "measure/random.h"

/* The context that the model was made for. */
static hb_status read_context(const hb_gguf *gguf, uint64_t *context, hb_error *error) {
  char key[96];
  hb_string name;
  const hb_value *architecture = hb_gguf_value(gguf, "general.architecture");
  if (!architecture)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key general.architecture is missing");
  HB_TRY(hb_value_string(architecture, &name, error));
  hb_format(key, sizeof key, "%S.context_length", name);
  const hb_value *value = hb_gguf_value(gguf, key);
  if (!value || hb_value_u64(value, 0, context, NULL) != HB_OK || *context == 0)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "key %s is missing or no number", key);
  return HB_OK;
}

hb_status hb_samples_plan(const hb_gguf *gguf, size_t tokens, uint32_t *samples, uint32_t *length,
                          hb_error *error) {
  uint64_t context;
  HB_TRY(read_context(gguf, &context, error));
  if (*length > context) *length = (uint32_t)context;
  size_t pieces = *length > 0 ? tokens / *length : 0;
  if (tokens < HB_SAMPLES_LEAST_TOKENS || pieces == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "the text to calibrate with has %u tokens; at least %u are needed",
                   (uint64_t)tokens, (uint64_t)HB_SAMPLES_LEAST_TOKENS);
  if (*samples > pieces) *samples = (uint32_t)pieces;
  return HB_OK;
}

/* The next of the pieces that are drawn, where `wanted` of those from *next on will be: every set
 * of them is as likely. */
static size_t draw(hb_random *random, size_t *next, size_t pieces, uint32_t wanted) {
  while (hb_random_next(random) % (pieces - *next) >= wanted) ++*next;
  return (*next)++;
}

void hb_samples_take(const hb_token *tokens, size_t count, uint32_t samples, uint32_t length,
                     const uint64_t *seed, hb_token bos, hb_token *out) {
  hb_random random = hb_random_begin(seed ? *seed : 0, 0);
  size_t pieces = count / length, next = 0;
  for (uint32_t i = 0; i < samples; i++) {
    size_t piece =
        seed ? draw(&random, &next, pieces, samples - i) : (size_t)((uint64_t)pieces * i / samples);
    hb_token *sample = out + (size_t)i * length;
    memcpy(sample, tokens + piece * length, length * sizeof *sample);
    if (bos != HB_NO_TOKEN) sample[0] = bos;
  }
}
