/* Sessions: their memory, their positions, and steps over batches of rows. */
#include "model/session.h"

#define DEFAULT_BATCH 256
#define MAX_BATCH 65536

/* ---- Memory ---- */

/* Adds count * size bytes behind what `total` counts, at a multiple of 64; false if that wraps. */
static bool reserve(uint64_t *total, uint64_t count, uint64_t size, uint64_t *offset) {
  uint64_t bytes, end;
  *offset = *total;
  return hb_mul_u64(count, size, &bytes) && hb_add_u64(*total, bytes, &end) &&
         hb_align_u64(end, HB_ALIGNMENT, total);
}

static uint64_t cache_head_bytes(const hb_session *s) {
  const hb_hyperparameters *h = &s->model->h;
  uint64_t blocks = ((uint64_t)s->context_length + HB_KV_BLOCK - 1) / HB_KV_BLOCK;
  uint64_t values = (uint64_t)HB_KV_BLOCK * (h->head_size + h->value_size);
  return blocks * values * (s->kv == HB_KV_F16 ? 2 : 4);
}

/* Of what a step leaves of a row. */
static uint32_t kept_width(const hb_session *s) {
  return s->hidden ? s->model->h.width : s->model->h.vocabulary;
}

static bool lay_out(hb_session *s) {
  const hb_model *m = s->model;
  hb_session_layout *l = &s->layout;
  uint64_t heads = (uint64_t)m->h.layers * m->h.kv_heads;
  uint64_t *total = &l->total;
  *total = 0;
  bool fits = reserve(total, heads, s->cache_head_bytes, &l->cache);
  for (uint32_t b = 0; b < HB_BUFFERS; b++) {
    bool kept = b == HB_BUFFER_LOGITS;
    uint64_t rows = kept ? s->logit_rows : s->batch;
    uint64_t width = kept ? kept_width(s) : m->buffer_width[b];
    fits = fits && reserve(total, rows, width * 4, &l->buffer[b]);
  }
  return fits && reserve(total, s->batch, s->int8_stride, &l->int8) &&
         reserve(total, s->batch, (uint64_t)m->h.rope_dims * 2 * 4, &l->angles) &&
         reserve(total, s->batch, 4, &l->positions) && reserve(total, s->batch, 4, &l->wanted) &&
         reserve(total, s->batch, sizeof(hb_row), &l->rows);
}

/* Fills in everything that follows from the options, but no memory yet. */
static hb_status plan(const hb_model *model, const hb_session_options *options, hb_session *s,
                      hb_error *error) {
  if (!model || !options || model->op_count == 0)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a session needs a whole model and options");
  uint32_t context = options->context_length;
  uint32_t limit = HB_MAX_CONTEXT;
  if (hb_weight_find(model, HB_WEIGHT_POSITION_EMBD, 0) != HB_NONE) limit = model->h.context_length;
  if (context == 0)
    context =
        model->h.context_length < HB_DEFAULT_CONTEXT ? model->h.context_length : HB_DEFAULT_CONTEXT;
  if (context > limit)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET,
                   "context length %u is more than the %u positions that are possible",
                   (uint64_t)context, (uint64_t)limit);
  if (options->kv != HB_KV_F16 && options->kv != HB_KV_F32)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "unknown KV cache type %u",
                   (uint64_t)options->kv);
  if (options->batch > MAX_BATCH || options->logit_rows > MAX_BATCH)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "batch and logit rows are at most %u",
                   (uint64_t)MAX_BATCH);
  const hb_parallel *parallel = options->parallel;
  HB_TRY(hb_check_parallel(parallel, error));
  *s = (hb_session){
      .allocator = options->allocator,
      .parallel = parallel,
      .model = model,
      .adaptations = model->adaptations,
      .context_length = context,
      .batch = options->batch ? options->batch : DEFAULT_BATCH,
      .logit_rows = options->logit_rows ? options->logit_rows : 1,
      .kv = options->kv,
      .hidden = options->hidden != 0,
  };
  if (s->batch > context) s->batch = context;
  hb_weights_bytes(model, &s->weight_bytes);
  s->cache_head_bytes = cache_head_bytes(s);
  uint64_t stride = model->int8_width ? model->kernels->activation_bytes(model->int8_width) : 0;
  if (!hb_align_u64(stride, HB_ALIGNMENT, &s->int8_stride) || !lay_out(s))
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "a session of %u positions is too large",
                   (uint64_t)context);
  return HB_OK;
}

hb_status hb_session_memory(const hb_model *model, const hb_session_options *options,
                            uint64_t *bytes, hb_error *error) {
  hb_session s;
  if (!bytes)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "nowhere to put the number of bytes");
  HB_TRY(plan(model, options, &s, error));
  *bytes = s.layout.total + sizeof s;
  return HB_OK;
}

hb_status hb_session_create(const hb_model *model, const hb_session_options *options,
                            hb_session **out, hb_error *error) {
  hb_session planned;
  if (!out) return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "nowhere to put the session");
  *out = NULL;
  HB_TRY(plan(model, options, &planned, error));
  if (!model->loaded)
    return hb_fail(error, HB_STATE, HB_NO_OFFSET, "only the model's header was loaded");
  hb_session *s = hb_allocate(planned.allocator, sizeof *s);
  uint8_t *memory = hb_allocate(planned.allocator, planned.layout.total);
  if (!s || !memory) {
    hb_release(planned.allocator, s, sizeof *s);
    hb_release(planned.allocator, memory, planned.layout.total);
    return hb_fail(error, HB_MEMORY, HB_NO_OFFSET,
                   "no memory for a session of %u bytes with %u positions", planned.layout.total,
                   (uint64_t)planned.context_length);
  }
  *s = planned;
  const hb_session_layout *l = &s->layout;
  s->memory = memory;
  s->cache = memory + l->cache;
  for (uint32_t b = 0; b < HB_BUFFERS; b++) s->buffer[b] = (float *)(void *)(memory + l->buffer[b]);
  s->int8 = memory + l->int8;
  s->angles = (float *)(void *)(memory + l->angles);
  s->positions = (uint32_t *)(void *)(memory + l->positions);
  s->wanted = (uint32_t *)(void *)(memory + l->wanted);
  s->rows = (hb_row *)(void *)(memory + l->rows);
  atomic_init(&s->arrived, 0);
  atomic_init(&s->phase, 0);
  *out = s;
  return HB_OK;
}

void hb_session_destroy(hb_session *s) {
  if (!s) return;
  hb_release(s->allocator, s->memory, s->layout.total);
  hb_release(s->allocator, s, sizeof *s);
}

/* ---- Steps ---- */

static hb_status check_adapters(const hb_session *s, hb_error *error) {
  if (s->adaptations == s->model->adaptations) return HB_OK;
  return hb_fail(error, HB_STATE, HB_NO_OFFSET,
                 "the model's adapters changed after the session was made");
}

static hb_status check_row(const hb_session *lead, const hb_row *row, size_t index,
                           hb_error *error) {
  if (!row->session || row->session->model != lead->model)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "row %u belongs to another model",
                   (uint64_t)index);
  HB_TRY(check_adapters(row->session, error));
  if (row->token < 0 || (uint32_t)row->token >= lead->model->h.vocabulary)
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "row %u: token %d is not in 0..%u",
                   (uint64_t)index, (int64_t)row->token, (uint64_t)lead->model->h.vocabulary - 1);
  if (row->session->position >= row->session->context_length)
    return hb_fail(error, HB_CONTEXT_FULL, HB_NO_OFFSET, "the context of %u positions is full",
                   (uint64_t)row->session->context_length);
  return HB_OK;
}

/* Checks all rows before any is computed. */
static hb_status check_rows(const hb_session *lead, const hb_row *rows, size_t count,
                            hb_error *error) {
  hb_status status = HB_OK;
  uint64_t wanted = 0;
  size_t checked = 0;
  for (; checked < count && status == HB_OK; checked++) {
    status = check_row(lead, &rows[checked], checked, error);
    if (status != HB_OK) break;
    rows[checked].session->position++; /* counts the rows of each session; undone below */
    wanted += rows[checked].want_logits != 0;
  }
  for (size_t i = 0; i < checked; i++) rows[i].session->position--;
  if (status == HB_OK && wanted > lead->logit_rows)
    status = hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "logits of %u rows wanted, room for %u",
                     wanted, (uint64_t)lead->logit_rows);
  return status;
}

static void step_batch(hb_session *lead, const hb_row *rows, uint32_t count) {
  uint32_t wanted = 0;
  for (uint32_t i = 0; i < count; i++) {
    lead->positions[i] = rows[i].session->position++;
    rows[i].session->state.next = 0;
    if (rows[i].want_logits) lead->wanted[wanted++] = i;
  }
  hb_execute(lead, rows, count, wanted);
  if (lead->hidden && wanted > 0) {
    size_t width = kept_width(lead);
    memcpy(lead->buffer[HB_BUFFER_LOGITS] + lead->logit_count * width,
           lead->buffer[HB_BUFFER_HIDDEN], wanted * width * sizeof(float));
  }
  lead->logit_count += wanted;
}

hb_status hb_step(hb_session *lead, const hb_row *rows, size_t count, hb_error *error) {
  if (!lead || (!rows && count > 0))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "a step needs a session and rows");
  HB_TRY(check_adapters(lead, error));
  HB_TRY(check_rows(lead, rows, count, error));
  lead->logit_count = 0;
  for (size_t done = 0; done < count;) {
    size_t left = count - done;
    uint32_t batch = left < lead->batch ? (uint32_t)left : lead->batch;
    step_batch(lead, rows + done, batch);
    done += batch;
  }
  return HB_OK;
}

hb_status hb_session_append(hb_session *s, const hb_token *tokens, size_t count, hb_error *error) {
  if (!s || (!tokens && count > 0))
    return hb_fail(error, HB_ARGUMENT, HB_NO_OFFSET, "tokens need a session");
  if (count > s->context_length - s->position)
    return hb_fail(error, HB_CONTEXT_FULL, HB_NO_OFFSET,
                   "%u more tokens do not fit: %u of %u positions are taken", (uint64_t)count,
                   (uint64_t)s->position, (uint64_t)s->context_length);
  uint32_t start = s->position;
  for (size_t done = 0; done < count;) {
    size_t piece = count - done < s->batch ? count - done : s->batch;
    for (size_t i = 0; i < piece; i++)
      s->rows[i] = (hb_row){s, tokens[done + i], done + i + 1 == count};
    hb_status status = hb_step(s, s->rows, piece, error);
    if (status != HB_OK) {
      s->position = start;
      return status;
    }
    done += piece;
  }
  return HB_OK;
}

static float *kept_row(const hb_session *s, size_t index, bool hidden) {
  if (!s || s->hidden != hidden || index >= s->logit_count) return NULL;
  return s->buffer[HB_BUFFER_LOGITS] + index * kept_width(s);
}

float *hb_session_logits(hb_session *s, size_t index) {
  return kept_row(s, index, false);
}

const float *hb_session_hidden(const hb_session *s, size_t index) {
  return kept_row(s, index, true);
}

uint32_t hb_session_position(const hb_session *s) {
  return s->position;
}

uint32_t hb_session_context_length(const hb_session *s) {
  return s->context_length;
}

hb_status hb_session_rewind(hb_session *s, uint32_t position) {
  if (!s || position > s->position) return HB_ARGUMENT;
  s->position = position;
  s->logit_count = 0;
  s->state.next = 0;
  return HB_OK;
}
