#include "train/optimizer.h"
#include "train/moments.h"
#include "compress/divide.h"
#include "kernel/kernel.h"

#include <float.h>

/* The state: a header, and then the moments of each parameter in groups of 256 values, of which the
 * last may not be full. */
enum { GROUP = HB_MOMENT_GROUP, BLOCK = 4096, HEADER_BYTES = 64, MAGIC = 0x314f4248 /* "HBO1" */ };

typedef struct state_header {
  uint32_t magic, moments;
  uint64_t step, shape; /* shape: a hash of the counts */
} state_header;

typedef struct plain_moments {
  float m[GROUP], v[GROUP];
} plain_moments;

typedef struct part {
  hb_parameter parameter;
  uint32_t first_block; /* of those of all parameters */
  uint64_t first_group;
} part;

struct hb_optimizer {
  hb_optimizer_options options;
  part *parts; /* [part_count + 1], the last one holding the totals */
  uint32_t part_count;
  double *sums; /* of squares of gradients, of each block */
  uint8_t *state;
  uint64_t state_bytes, own_bytes;
};

static uint64_t group_bytes(hb_moments moments) {
  return moments == HB_MOMENTS_F32 ? sizeof(plain_moments) : sizeof(hb_coded_moments);
}

static uint64_t parts_of(uint64_t count, uint64_t size) {
  return count / size + (count % size != 0);
}

/* ---- Making it ---- */

bool hb_optimizer_state_size(const hb_parameter *parameters, uint32_t count, hb_moments moments,
                             uint64_t *bytes) {
  uint64_t groups = 0;
  for (uint32_t i = 0; i < count; i++)
    if (!hb_add_u64(groups, parts_of(parameters[i].count, GROUP), &groups)) return false;
  return hb_mul_u64(groups, group_bytes(moments), bytes) && hb_add_u64(*bytes, HEADER_BYTES, bytes);
}

static bool within(float x, float low, float high) {
  return x >= low && x <= high; /* false for NaN */
}

static hb_status check_options(const hb_optimizer_options *o, hb_error *error) {
  if (!within(o->beta1, 0.0f, 0x1.fffffep-1f) || !within(o->beta2, 0.0f, 0x1.fffffep-1f))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a beta of AdamW must be 0 to below 1");
  if (!within(o->epsilon, 0.0f, FLT_MAX) || !within(o->decay, 0.0f, FLT_MAX))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "epsilon and the decay of AdamW must be 0 or more");
  if (!within(o->max_norm, 0.0f, FLT_MAX))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "the norm to clip to must be 0 or more");
  if (o->moments != HB_MOMENTS_F32 && o->moments != HB_MOMENTS_8_BIT)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "moments have 32 or 8 bits");
  return HB_OK;
}

static hb_status check_parameters(const hb_parameter *parameters, uint32_t count, uint64_t *blocks,
                                  hb_error *error) {
  *blocks = 0;
  for (uint32_t i = 0; i < count; i++) {
    const hb_parameter *p = &parameters[i];
    if (p->count == 0 || !p->value || !p->gradient)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "parameter %S has no values to train",
                     p->name);
    if (!within(p->rate, 0.0f, FLT_MAX) || !within(p->decay, 0.0f, FLT_MAX))
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                     "the rate and the decay of parameter %S must be 0 or more", p->name);
    uint64_t own = parts_of(p->count, BLOCK);
    if (own > UINT32_MAX - *blocks)
      return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "parameter %S is too large", p->name);
    *blocks += own;
  }
  return HB_OK;
}

static void lay_out(hb_optimizer *o, const hb_parameter *parameters) {
  uint32_t block = 0;
  uint64_t group = 0;
  for (uint32_t i = 0; i < o->part_count; i++) {
    o->parts[i] = (part){parameters[i], block, group};
    block += (uint32_t)parts_of(parameters[i].count, BLOCK);
    group += parts_of(parameters[i].count, GROUP);
  }
  o->parts[o->part_count] = (part){.first_block = block, .first_group = group};
}

static state_header fresh_header(const hb_optimizer *o) {
  state_header h = {.magic = MAGIC, .moments = (uint32_t)o->options.moments};
  for (uint32_t i = 0; i < o->part_count; i++) {
    uint64_t pair[2] = {h.shape, o->parts[i].parameter.count};
    h.shape = hb_hash(pair, sizeof pair);
  }
  return h;
}

static state_header *header_of(const hb_optimizer *o) {
  return (state_header *)(void *)o->state;
}

static void begin(hb_optimizer *o) {
  memset(o->state, 0, (size_t)o->state_bytes);
  *header_of(o) = fresh_header(o);
}

hb_status hb_optimizer_create(const hb_optimizer_options *options, const hb_parameter *parameters,
                              uint32_t count, hb_optimizer **out, hb_error *error) {
  uint64_t blocks, state_bytes, used = 0;
  *out = NULL;
  HB_TRY(check_options(options, error));
  HB_TRY(check_parameters(parameters, count, &blocks, error));
  if (!hb_optimizer_state_size(parameters, count, options->moments, &state_bytes))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "the parameters have too many values");

  hb_take(NULL, &used, sizeof(hb_optimizer));
  hb_take(NULL, &used, ((uint64_t)count + 1) * sizeof(part));
  hb_take(NULL, &used, blocks * sizeof(double));
  hb_optimizer *o = hb_allocate(options->allocator, used);
  const hb_allocator *from =
      options->state_allocator ? options->state_allocator : options->allocator;
  uint8_t *state = o ? hb_allocate(from, state_bytes) : NULL;
  if (!state) {
    hb_release(options->allocator, o, used);
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                   "no memory for an optimizer whose state has %u bytes", state_bytes);
  }
  *o = (hb_optimizer){.options = *options, .part_count = count, .own_bytes = used};
  o->options.state_allocator = from;
  used = 0;
  hb_take((uint8_t *)o, &used, sizeof *o);
  o->parts = hb_take((uint8_t *)o, &used, ((uint64_t)count + 1) * sizeof(part));
  o->sums = hb_take((uint8_t *)o, &used, blocks * sizeof(double));
  o->state = state;
  o->state_bytes = state_bytes;
  lay_out(o, parameters);
  begin(o);
  *out = o;
  return HB_OK;
}

void hb_optimizer_destroy(hb_optimizer *optimizer) {
  if (!optimizer) return;
  hb_release(optimizer->options.state_allocator, optimizer->state, optimizer->state_bytes);
  hb_release(optimizer->options.allocator, optimizer, optimizer->own_bytes);
}

/* ---- The state ---- */

void *hb_optimizer_state(hb_optimizer *optimizer, uint64_t *bytes) {
  *bytes = optimizer->state_bytes;
  return optimizer->state;
}

uint64_t hb_optimizer_steps(const hb_optimizer *optimizer) {
  return header_of(optimizer)->step;
}

hb_status hb_optimizer_resume(hb_optimizer *optimizer, hb_error *error) {
  state_header found = *header_of(optimizer), own = fresh_header(optimizer);
  if (found.magic == own.magic && found.moments == own.moments && found.shape == own.shape)
    return HB_OK;
  begin(optimizer);
  return hb_fail(error, HB_FORMAT, HB_NO_OFFSET,
                 "the state of the optimizer is not that of these parameters");
}

/* ---- A step ---- */

/* A block of a parameter. */
typedef struct range {
  const part *part;
  uint64_t first, count; /* values of the parameter */
} range;

static range range_of(const hb_optimizer *o, uint32_t block) {
  uint32_t low = 0, high = o->part_count; /* the part sought is in low .. high - 1 */
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (o->parts[middle].first_block <= block)
      low = middle;
    else
      high = middle;
  }
  const part *p = &o->parts[low];
  uint64_t first = (uint64_t)(block - p->first_block) * BLOCK, left = p->parameter.count - first;
  return (range){p, first, left < BLOCK ? left : BLOCK};
}

static void sum_blocks(void *context, uint32_t first, uint32_t end) {
  const hb_optimizer *o = context;
  for (uint32_t block = first; block < end; block++) {
    range r = range_of(o, block);
    o->sums[block] =
        o->options.kernels->squares(r.part->parameter.gradient + r.first, (size_t)r.count);
  }
}

static bool is_finite(double x) {
  return x - x == 0;
}

static hb_status refuse_gradients(const hb_optimizer *o, hb_error *error) {
  uint32_t block = 0;
  while (is_finite(o->sums[block])) block++;
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                 "the gradient of %S is not finite at step %u; nothing was changed",
                 range_of(o, block).part->parameter.name, header_of(o)->step + 1);
}

typedef struct stepping {
  const hb_optimizer *optimizer;
  hb_adamw adamw; /* but for the parameter's own rate and decay */
} stepping;

static void step_group(const stepping *s, const hb_adamw *adamw, const hb_parameter *p,
                       uint64_t first, size_t count, uint64_t group) {
  const hb_optimizer *o = s->optimizer;
  void (*step)(const hb_adamw *, const float *, size_t, float *, float *, float *) =
      o->options.kernels->adamw;
  uint8_t *at = o->state + HEADER_BYTES + group * group_bytes(o->options.moments);
  if (o->options.moments == HB_MOMENTS_F32) {
    plain_moments *moments = (plain_moments *)(void *)at;
    step(adamw, p->gradient + first, count, p->value + first, moments->m, moments->v);
    return;
  }
  plain_moments moments;
  hb_coded_moments *coded = (hb_coded_moments *)(void *)at;
  hb_moments_decode(coded, moments.m, moments.v);
  step(adamw, p->gradient + first, count, p->value + first, moments.m, moments.v);
  for (size_t i = count; i < GROUP; i++) moments.m[i] = moments.v[i] = 0.0f;
  uint64_t groups = o->parts[o->part_count].first_group;
  hb_moments_encode(moments.m, moments.v, header_of(o)->step * groups + group, coded);
}

static void step_blocks(void *context, uint32_t first, uint32_t end) {
  const stepping *s = context;
  for (uint32_t block = first; block < end; block++) {
    range r = range_of(s->optimizer, block);
    const hb_parameter *p = &r.part->parameter;
    hb_adamw adamw = s->adamw;
    adamw.rate *= p->rate;
    adamw.decay *= p->decay;
    for (uint64_t i = 0; i < r.count; i += GROUP)
      step_group(s, &adamw, p, r.first + i, r.count - i < GROUP ? (size_t)(r.count - i) : GROUP,
                 r.part->first_group + (r.first + i) / GROUP);
  }
}

/* 1 / (1 - beta^step), for the beta that f32 has made of it. */
static float correction(float beta, uint64_t step) {
  return (float)(1.0 / (1.0 - hb_pow((double)beta, (double)step)));
}

hb_status hb_optimizer_step(hb_optimizer *optimizer, const hb_parallel *parallel, float rate,
                            float scale, double *norm, hb_error *error) {
  hb_optimizer *o = optimizer;
  const hb_optimizer_options *options = &o->options;
  uint32_t blocks = o->parts[o->part_count].first_block;
  HB_TRY(hb_check_parallel(parallel, error));
  if (!within(rate, 0.0f, FLT_MAX) || !within(scale, -FLT_MAX, FLT_MAX))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "the rate of a step must be 0 or more, and its scale finite");

  double sum = 0;
  hb_divide(parallel, blocks, sum_blocks, o);
  for (uint32_t block = 0; block < blocks; block++) sum += o->sums[block];
  double length = __builtin_sqrt(sum) * __builtin_fabs((double)scale);
  if (norm) *norm = length;
  if (!is_finite(sum)) return refuse_gradients(o, error);

  bool clips = options->max_norm > 0.0f && length > (double)options->max_norm;
  double clip = clips ? (double)options->max_norm / length : 1.0;
  uint64_t step = ++header_of(o)->step;
  stepping s = {o,
                {.rate = rate,
                 .beta1 = options->beta1,
                 .beta2 = options->beta2,
                 .epsilon = options->epsilon,
                 .decay = options->decay,
                 .scale = (float)((double)scale * clip),
                 .correct1 = correction(options->beta1, step),
                 .correct2 = correction(options->beta2, step)}};
  hb_divide(parallel, blocks, step_blocks, &s);
  return HB_OK;
}
