#include "measure/synthetic.h"

/* ---- Shapes ---- */

typedef struct known_shape {
  const char *name;
  hb_shape shape;
  bool own_output;
} known_shape;

static const known_shape known_shapes[] = {
#define KNOWN_SHAPE(name, width, layers, heads, kv_heads, feed_forward, vocabulary, own_output)    \
  {name, {width, layers, heads, kv_heads, feed_forward, vocabulary}, own_output},
    HB_SHAPE_LIST(KNOWN_SHAPE)
#undef KNOWN_SHAPE
};

/* One of the six numbers of a shape, in their order. */
typedef struct number {
  const char *name;
  uint32_t *value;
  uint32_t least, most, multiple;
} number;

enum { NUMBERS = 6, LEAST_VOCABULARY = 259 };

/* Parses digits up to a comma or the end; *text becomes what follows them. A number beyond 32 bits
 * becomes the largest. */
static bool parse_u32(const char **text, uint32_t *out) {
  const char *at = *text;
  uint64_t value = 0;
  for (; *at >= '0' && *at <= '9'; at++) {
    value = 10 * value + (uint64_t)(*at - '0');
    if (value > UINT32_MAX) value = UINT32_MAX;
  }
  bool any = at > *text;
  *text = at;
  *out = (uint32_t)value;
  return any;
}

static hb_status parse_numbers(const char *text, const number *numbers, hb_error *error) {
  const char *at = text;
  for (uint32_t i = 0; i < NUMBERS; i++) {
    bool last = i == NUMBERS - 1;
    if (!parse_u32(&at, numbers[i].value) || *at != (last ? 0 : ','))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "shape %S: %s is not followed by %s; it takes a known name or six numbers "
                     "E,L,H,KV,F,V",
                     hb_string_of(text), numbers[i].name, last ? "the end" : "a comma");
    at += !last;
  }
  return HB_OK;
}

static hb_status check_numbers(const char *text, const number *numbers, hb_error *error) {
  for (uint32_t i = 0; i < NUMBERS; i++) {
    const number *n = &numbers[i];
    if (*n->value < n->least || *n->value > n->most)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "shape %S: %s is not in %u..%u",
                     hb_string_of(text), n->name, (uint64_t)n->least, (uint64_t)n->most);
    if (*n->value % n->multiple != 0)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "shape %S: %s is no multiple of %u",
                     hb_string_of(text), n->name, (uint64_t)n->multiple);
  }
  return HB_OK;
}

static hb_status check_heads(const char *text, const hb_shape *s, hb_error *error) {
  if (s->width % s->heads != 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "shape %S: the number of heads, %u, does not divide the embedding length",
                   hb_string_of(text), (uint64_t)s->heads);
  if (s->heads % s->kv_heads != 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "shape %S: the number of KV heads, %u, does not divide that of heads",
                   hb_string_of(text), (uint64_t)s->kv_heads);
  uint32_t size = s->width / s->heads;
  if (size % 2 != 0 || size > HB_MAX_HEAD_SIZE)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "shape %S: the head size, %u, is odd or more than %u", hb_string_of(text),
                   (uint64_t)size, (uint64_t)HB_MAX_HEAD_SIZE);
  return HB_OK;
}

static hb_status parse_shape(const char *text, hb_shape *s, hb_error *error) {
  const number numbers[NUMBERS] = {
      {"the embedding length", &s->width, 1, HB_MAX_WIDTH, 32},
      {"the number of layers", &s->layers, 1, HB_MAX_LAYERS, 1},
      {"the number of heads", &s->heads, 1, HB_MAX_HEADS, 1},
      {"the number of KV heads", &s->kv_heads, 1, HB_MAX_HEADS, 1},
      {"the feed-forward length", &s->feed_forward, 1, HB_MAX_FEED_FORWARD, 32},
      {"the vocabulary", &s->vocabulary, LEAST_VOCABULARY, HB_MAX_VOCABULARY, 1},
  };
  HB_TRY(parse_numbers(text, numbers, error));
  HB_TRY(check_numbers(text, numbers, error));
  return check_heads(text, s, error);
}

hb_status hb_shape_read(const char *text, hb_shape_plan *out, hb_error *error) {
  const known_shape *known = NULL;
  for (size_t i = 0; i < sizeof known_shapes / sizeof *known_shapes; i++)
    if (strcmp(text, known_shapes[i].name) == 0) known = &known_shapes[i];
  hb_shape s;
  if (known)
    s = known->shape;
  else
    HB_TRY(parse_shape(text, &s, error));
  bool qwen = known && memcmp(text, "qwen2", 5) == 0;
  *out =
      (hb_shape_plan){.architecture = hb_architecture_find(hb_string_of(qwen ? "qwen2" : "llama"))};
  out->weights = out->architecture->needs;
  if (known && known->own_output) out->weights |= HB_HAS(OUTPUT);
  out->h = (hb_hyperparameters){
      .layers = s.layers,
      .width = s.width,
      .heads = s.heads,
      .kv_heads = s.kv_heads,
      .head_size = s.width / s.heads,
      .value_size = s.width / s.heads,
      .feed_forward = s.feed_forward,
      .vocabulary = s.vocabulary,
      .context_length = 8192,
      .norm_eps = 1e-5f,
      .rope_dims = s.width / s.heads,
      .rope_base = 10000,
  };
  return HB_OK;
}
