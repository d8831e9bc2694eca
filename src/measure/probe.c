/* Kernels on random operands, divided over threads as a step divides them. */
#include "kernel/fpstate.h"
#include "kernel/isa.h"
#include "measure/random.h"

/* An operand, aligned as the kernels want it. */
typedef struct block {
  uint8_t *data;
  uint64_t bytes;
} block;

struct hb_probe {
  hb_probe_options o;
  const hb_kernels *kernels;
  uint64_t bytes, operations;
  hb_matrix m;
  block weights; /* raw, of PACK; packed, of MATMUL; memory or cache */
  block x;       /* activations as QUANTIZE or MATMUL takes them */
  block out;
  uint64_t x_stride;             /* bytes */
  uint64_t sums[HB_MAX_THREADS]; /* what READ adds up, so that no thread's reading is left out */
};

enum {
  ATTEND_HEADS = 4,
  ATTEND_HEAD_SIZE = 64,
  LINE = 64, /* READ and COPY work on whole cache lines */
  READ_AHEAD = 4096,
};

/* ---- Operands ---- */

static hb_status get(hb_probe *p, block *b, uint64_t count, uint64_t size, hb_error *error) {
  uint64_t bytes;
  if (!hb_mul_u64(count, size, &bytes) || bytes > SIZE_MAX ||
      !(b->data = hb_allocate(p->o.allocator, bytes)))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for the operands of a probe");
  b->bytes = bytes;
  return HB_OK;
}

static void fill_floats(uint64_t seed, float *out, uint64_t count) {
  hb_random r = hb_random_begin(seed, 0);
  for (uint64_t i = 0; i < count; i++)
    out[i] = (float)(int32_t)(hb_random_next(&r) >> 32) * 0x1p-31f;
}

/* Raw rows of the type: a bank of blocks, repeated. */
static void fill_weights(hb_type type, uint32_t cols, block *b) {
  enum { BANK = 256 };
  const hb_type_traits *t = hb_traits(type);
  hb_random r = hb_random_begin(1, 0);
  if (hb_type_is_private(type)) {
    uint64_t row;
    hb_row_bytes(type, cols, &row);
    hb_random_rows(&r, type, cols, 0.02f, b->data, (size_t)(b->bytes / row));
    return;
  }
  uint64_t blocks = b->bytes / t->block_bytes;
  hb_random_blocks(&r, type, 0.0f, 0.02f, b->data, (size_t)(blocks < BANK ? blocks : BANK));
  for (uint64_t i = BANK; i < blocks; i++)
    memcpy(b->data + i * t->block_bytes, b->data + i % BANK * t->block_bytes, t->block_bytes);
}

static void pack(hb_probe *p, uint32_t thread, uint32_t threads) {
  uint64_t groups = hb_group_count(&p->m), row;
  hb_row_bytes(p->m.type, p->m.cols, &row);
  for (uint64_t g = groups * thread / threads; g < groups * (thread + 1) / threads; g++)
    hb_pack_group(&p->m, (size_t)g, p->weights.data + g * HB_GROUP * row);
}

/* Raw weights of the type, and the matrix that they are packed into. */
static hb_status prepare_pack(hb_probe *p, hb_error *error) {
  uint64_t row, packed;
  const hb_type_traits *t = hb_traits(p->o.type);
  if (!t || !t->supported || !hb_row_bytes(p->o.type, p->o.cols, &row) ||
      !hb_packed_size(p->o.type, p->o.rows, p->o.cols, &packed))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "no matrix of %u columns has the type %s",
                   (uint64_t)p->o.cols, t ? t->name : "asked for");
  HB_TRY(get(p, &p->weights, p->o.rows, row, error));
  HB_TRY(get(p, &p->out, packed, 1, error));
  fill_weights(p->o.type, p->o.cols, &p->weights);
  memset(p->out.data, 0, (size_t)packed);
  p->m = (hb_matrix){.type = p->o.type, .rows = p->o.rows, .cols = p->o.cols, .bytes = packed};
  p->m.data = p->out.data;
  p->bytes = p->weights.bytes;
  return HB_OK;
}

static hb_status prepare_matmul(hb_probe *p, hb_error *error) {
  HB_TRY(prepare_pack(p, error));
  pack(p, 0, 1);
  hb_release(p->o.allocator, p->weights.data, p->weights.bytes);
  p->weights = p->out;
  p->out = (block){0};
  bool int8 = hb_type_wants_int8(p->o.type);
  uint64_t row = (uint64_t)p->o.cols * sizeof(float);
  if (!hb_align_u64(int8 ? p->kernels->activation_bytes(p->o.cols) : row, 64, &p->x_stride))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "a row of a probe is too long");
  HB_TRY(get(p, &p->x, p->o.batch, p->x_stride, error));
  HB_TRY(get(p, &p->out, (uint64_t)p->o.batch * p->o.rows, sizeof(float), error));
  block values = {0};
  hb_status status = get(p, &values, p->o.cols, sizeof(float), error);
  if (status != HB_OK) return status;
  for (uint32_t r = 0; r < p->o.batch; r++) {
    void *to = p->x.data + r * p->x_stride;
    fill_floats(r, (float *)(void *)values.data, p->o.cols);
    if (int8)
      p->kernels->quantize((const float *)(void *)values.data, p->o.cols, to);
    else
      memcpy(to, values.data, (size_t)row);
  }
  hb_release(p->o.allocator, values.data, values.bytes);
  p->bytes = p->m.bytes;
  p->operations = 2 * (uint64_t)p->o.rows * p->o.cols * p->o.batch;
  return HB_OK;
}

static hb_status prepare_quantize(hb_probe *p, hb_error *error) {
  if (p->o.cols % HB_BLOCK != 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "%u activations are no multiple of %u",
                   (uint64_t)p->o.cols, (uint64_t)HB_BLOCK);
  p->x_stride = p->kernels->activation_bytes(p->o.cols);
  HB_TRY(get(p, &p->x, (uint64_t)p->o.batch * p->o.cols, sizeof(float), error));
  HB_TRY(get(p, &p->out, p->o.batch, p->x_stride, error));
  fill_floats(1, (float *)(void *)p->x.data, (uint64_t)p->o.batch * p->o.cols);
  p->bytes = p->x.bytes;
  p->operations = 2 * (uint64_t)p->o.batch * p->o.cols;
  return HB_OK;
}

/* `batch` KV heads, each with its cache in F16 and ATTEND_HEADS heads that look at it. */
static hb_status prepare_attend(hb_probe *p, hb_error *error) {
  uint64_t blocks = ((uint64_t)p->o.rows + HB_KV_BLOCK - 1) / HB_KV_BLOCK;
  uint64_t block_bytes = HB_KV_BLOCK * 2 * ATTEND_HEAD_SIZE * sizeof(uint16_t);
  HB_TRY(get(p, &p->weights, p->o.batch * blocks, block_bytes, error));
  HB_TRY(get(p, &p->x, ATTEND_HEADS * ATTEND_HEAD_SIZE, sizeof(float), error));
  HB_TRY(get(p, &p->out, (uint64_t)p->o.batch * ATTEND_HEADS * ATTEND_HEAD_SIZE, sizeof(float),
             error));
  fill_floats(1, (float *)(void *)p->x.data, ATTEND_HEADS * ATTEND_HEAD_SIZE);
  hb_random r = hb_random_begin(2, 0);
  hb_random_blocks(&r, HB_TYPE_F16, 0.0f, 1.0f, p->weights.data, (size_t)(p->weights.bytes / 2));
  p->bytes = (uint64_t)p->o.batch * p->o.rows * 2 * ATTEND_HEAD_SIZE * sizeof(uint16_t);
  p->operations = 4 * (uint64_t)p->o.batch * p->o.rows * ATTEND_HEADS * ATTEND_HEAD_SIZE;
  return HB_OK;
}

static hb_status prepare_memory(hb_probe *p, hb_error *error) {
  uint64_t bytes;
  hb_align_u64((uint64_t)p->o.rows * p->o.cols, LINE, &bytes);
  HB_TRY(get(p, &p->weights, bytes, 1, error));
  memset(p->weights.data, 1, (size_t)p->weights.bytes);
  p->bytes = (uint64_t)p->o.rows * p->o.cols;
  if (p->o.kind != HB_PROBE_COPY) return HB_OK;
  HB_TRY(get(p, &p->out, p->weights.bytes, 1, error));
  memset(p->out.data, 2, (size_t)p->out.bytes);
  return HB_OK;
}

static hb_status prepare(hb_probe *p, hb_error *error) {
  switch (p->o.kind) {
  case HB_PROBE_READ:
  case HB_PROBE_COPY: return prepare_memory(p, error);
  case HB_PROBE_MATMUL: return prepare_matmul(p, error);
  case HB_PROBE_QUANTIZE: return prepare_quantize(p, error);
  case HB_PROBE_PACK: return prepare_pack(p, error);
  case HB_PROBE_ATTEND: return prepare_attend(p, error);
  }
  return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "there is no probe %u", (uint64_t)p->o.kind);
}

hb_status hb_probe_create(const hb_probe_options *options, hb_probe **out, hb_error *error) {
  if (!options || !out)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a probe needs options and a place to go");
  *out = NULL;
  const hb_kernels *kernels = hb_kernels_for(options->isa);
  if (!kernels)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "this build or machine has no %s kernels",
                   hb_isa_name(options->isa));
  HB_TRY(hb_check_parallel(options->parallel, error));
  hb_probe *p = hb_allocate_zero(options->allocator, sizeof *p);
  if (!p) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a probe");
  p->o = *options;
  p->kernels = kernels;
  if (p->o.rows == 0) p->o.rows = 1;
  if (p->o.cols == 0) p->o.cols = 1;
  if (p->o.batch == 0) p->o.batch = 1;
  hb_status status = prepare(p, error);
  if (status == HB_OK)
    *out = p;
  else
    hb_probe_destroy(p);
  return status;
}

void hb_probe_destroy(hb_probe *p) {
  if (!p) return;
  const hb_allocator *allocator = p->o.allocator;
  hb_release(allocator, p->weights.data, p->weights.bytes);
  hb_release(allocator, p->x.data, p->x.bytes);
  hb_release(allocator, p->out.data, p->out.bytes);
  hb_release(allocator, p, sizeof *p);
}

/* ---- Running ---- */

static void add_line(const uint8_t *at, uint64_t sum[8]) {
  uint64_t line[8];
#ifndef __wasm__
  hb_prefetch(at + READ_AHEAD);
#endif
  memcpy(line, at, LINE);
  for (int l = 0; l < 8; l++) sum[l] += line[l];
}

/* Reads four quarters side by side: one stream alone does not get all that the memory gives. */
static uint64_t add_up(const uint8_t *data, size_t bytes) {
  uint64_t sum[8] = {0}, total = 0;
  size_t quarter = bytes / 4 / LINE * LINE;
  for (size_t i = 0; i < quarter; i += LINE)
    for (int q = 0; q < 4; q++) add_line(data + (size_t)q * quarter + i, sum);
  for (size_t i = 4 * quarter; i + LINE <= bytes; i += LINE) add_line(data + i, sum);
  for (int l = 0; l < 8; l++) total += sum[l];
  return total;
}

static void multiply(hb_probe *p, uint32_t thread, uint32_t threads) {
  uint64_t groups = hb_group_count(&p->m);
  p->kernels->matmul(&p->m, p->x.data, p->x_stride, p->o.batch, (size_t)(groups * thread / threads),
                     (size_t)(groups * (thread + 1) / threads), (float *)(void *)p->out.data,
                     p->o.rows);
}

static void attend(hb_probe *p, uint64_t head) {
  uint64_t cache = p->weights.bytes / p->o.batch, width = ATTEND_HEADS * ATTEND_HEAD_SIZE;
  hb_attend_args args = {.cache = p->weights.data + head * cache,
                         .head_size = ATTEND_HEAD_SIZE,
                         .value_size = ATTEND_HEAD_SIZE,
                         .position = p->o.rows - 1,
                         .scale = 0.125f,
                         .heads = ATTEND_HEADS};
  p->kernels->attend(&args, HB_KV_F16, (const float *)(void *)p->x.data,
                     (float *)(void *)p->out.data + head * width);
}

static void run_share(void *argument, uint32_t thread) {
  hb_probe *p = argument;
  uint32_t threads = p->o.parallel ? p->o.parallel->threads : 1;
  uint64_t first = p->o.batch * (uint64_t)thread / threads;
  uint64_t end = p->o.batch * ((uint64_t)thread + 1) / threads;
  uint64_t lines = p->weights.bytes / LINE; /* of READ and COPY */
  uint64_t from = lines * thread / threads * LINE;
  uint64_t bytes = lines * (thread + 1) / threads * LINE - from;
  hb_fp_state fp = hb_fp_enter();
  switch (p->o.kind) {
  case HB_PROBE_READ: p->sums[thread] = add_up(p->weights.data + from, (size_t)bytes); break;
  case HB_PROBE_COPY: memcpy(p->out.data + from, p->weights.data + from, (size_t)bytes); break;
  case HB_PROBE_MATMUL: multiply(p, thread, threads); break;
  case HB_PROBE_PACK: pack(p, thread, threads); break;
  case HB_PROBE_QUANTIZE:
    for (uint64_t r = first; r < end; r++)
      p->kernels->quantize((const float *)(void *)p->x.data + r * p->o.cols, p->o.cols,
                           p->out.data + r * p->x_stride);
    break;
  case HB_PROBE_ATTEND:
    for (uint64_t head = first; head < end; head++) attend(p, head);
    break;
  }
  hb_fp_leave(fp);
}

void hb_probe_run(hb_probe *p) {
  const hb_parallel *parallel = p->o.parallel;
  if (parallel && parallel->threads > 1)
    parallel->run(parallel->context, run_share, p);
  else
    run_share(p, 0);
}

uint64_t hb_probe_bytes(const hb_probe *p) {
  return p->bytes;
}

uint64_t hb_probe_operations(const hb_probe *p) {
  return p->operations;
}
