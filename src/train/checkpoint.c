/* What a run needs to go on, as a GGUF file: all that is trained, and the optimizer's moments. */
#include "base/sha256.h"
#include "gguf/gguf.h"
#include "gguf/write.h"
#include "train/trainer.h"

#define CHECKPOINT_TYPE "checkpoint"
#define KEY_STEP "halfbyte.training.step"
#define KEY_RUN "halfbyte.training.run"

/* ---- What run it is: options, models, parameters and text ---- */

static void hash_text(hb_sha256 *hash, hb_string text) {
  hb_sha256_update(hash, text.data, text.length);
  hb_sha256_update(hash, "", 1);
}

static void hash_u64(hb_sha256 *hash, uint64_t value) {
  hb_sha256_update(hash, &value, sizeof value);
}

static void hash_options(hb_sha256 *hash, const hb_trainer *t) {
  const hb_train_options *o = &t->o;
  const double numbers[] = {o->rate,    o->rate_end,    o->warmup, o->scale_rate, o->beta1,
                            o->beta2,   o->epsilon,     o->decay,  o->damping,    o->clip,
                            o->teacher, o->temperature, o->z,      t->lora.alpha};
  const uint64_t counts[] = {o->seed,
                             o->steps,
                             o->sequences,
                             o->length,
                             o->accumulate,
                             o->samples,
                             o->round_inputs != 0,
                             o->bf16 != 0,
                             o->small_moments != 0,
                             o->joint != 0,
                             (uint64_t)t->adapter_type};
  hash_text(hash, hb_string_of(o->method));
  hash_text(hash, hb_string_of(o->schedule));
  hb_sha256_update(hash, numbers, sizeof numbers);
  hb_sha256_update(hash, counts, sizeof counts);
}

/* The beginnings of its tensors: a model that was trained or quantized otherwise has others. */
static hb_status hash_model(hb_sha256 *hash, const hb_source *source, hb_error *error) {
  uint8_t bytes[1024];
  for (size_t i = 0; i < hb_gguf_tensor_count(source->gguf); i++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(source->gguf, i);
    uint64_t at = hb_gguf_shard_data_start(source->gguf, tensor->shard) + tensor->offset;
    size_t count = tensor->bytes < sizeof bytes ? (size_t)tensor->bytes : sizeof bytes;
    HB_TRY(source->read(source->context, tensor->shard, at, bytes, count, error));
    hash_text(hash, tensor->name);
    hb_sha256_update(hash, bytes, count);
  }
  return HB_OK;
}

hb_status hb_train_name_run(hb_trainer *t, hb_error *error) {
  const hb_corpus *text = &t->o.text;
  uint8_t digest[HB_SHA256_BYTES];
  hb_sha256 hash;
  hb_sha256_init(&hash);
  hash_options(&hash, t);
  HB_TRY(hash_model(&hash, t->source, error));
  if (t->o.original) HB_TRY(hash_model(&hash, t->o.original, error));
  if (t->o.teacher_model) HB_TRY(hash_model(&hash, t->o.teacher_model, error));
  for (uint32_t i = 0; i < t->parameter_count; i++) {
    hash_text(&hash, t->parameters[i].name);
    hash_u64(&hash, t->parameters[i].count);
  }
  hb_sha256_update(&hash, text->start, (text->documents + (size_t)1) * sizeof *text->start);
  hb_sha256_update(&hash, text->tokens + text->start[0],
                   (size_t)(text->start[text->documents] - text->start[0]) * sizeof *text->tokens);
  hb_sha256_final(&hash, digest);
  for (size_t i = 0; i < sizeof digest; i++) {
    t->run[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    t->run[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  return HB_OK;
}

/* ---- Writing ---- */

/* Parameter i, or behind the last one the moments, or what descent by signs has instead. */
static void name_part(char out[32], uint32_t i, const hb_trainer *t) {
  if (i == t->parameter_count)
    hb_format(out, 32, "moments");
  else
    hb_format(out, 32, "parameter.%u", (uint64_t)i);
}

static void *part_at(const hb_trainer *t, uint32_t i, uint64_t *bytes) {
  if (i < t->parameter_count) {
    *bytes = t->parameters[i].count * sizeof(float);
    return t->parameters[i].value;
  }
  if (t->optimizer) return hb_optimizer_state(t->optimizer, bytes);
  *bytes = t->blocks->best.bytes;
  return t->blocks->best.state;
}

static hb_status declare(const hb_trainer *t, hb_gguf_writer *writer, hb_error *error) {
  char name[32];
  HB_TRY(hb_gguf_writer_set_string(writer, "general.type", hb_string_of(CHECKPOINT_TYPE), error));
  HB_TRY(hb_gguf_writer_set_string(writer, KEY_RUN, hb_string_of(t->run), error));
  HB_TRY(hb_gguf_writer_set_u32(writer, KEY_STEP, (uint32_t)t->step, error));
  for (uint32_t i = 0; i <= t->parameter_count; i++) {
    uint64_t bytes;
    part_at(t, i, &bytes);
    name_part(name, i, t);
    HB_TRY(hb_gguf_writer_add_tensor(writer, hb_string_of(name), HB_TYPE_I8, 1, &bytes, error));
  }
  return hb_gguf_writer_begin(writer, error);
}

static hb_status write_parts(const hb_trainer *t, hb_gguf_writer *writer, hb_error *error) {
  for (uint32_t i = 0; i <= t->parameter_count; i++) {
    uint64_t bytes;
    const void *part = part_at(t, i, &bytes);
    HB_TRY(hb_gguf_writer_data(writer, part, (size_t)bytes, error));
  }
  return hb_gguf_writer_finish(writer, error);
}

hb_status hb_trainer_save(hb_trainer *t, const hb_sink *sink, hb_error *error) {
  hb_gguf_writer *writer = NULL;
  if (t->blocks) HB_TRY(hb_blocks_enter(t, t->step, error));
  hb_status status = hb_gguf_writer_create(t->allocator, sink, &writer, error);
  if (status == HB_OK) status = declare(t, writer, error);
  if (status == HB_OK) status = write_parts(t, writer, error);
  hb_gguf_writer_destroy(writer);
  return status;
}

/* ---- Reading ---- */

static hb_status read_string(const hb_gguf *gguf, const char *key, hb_string *out,
                             hb_error *error) {
  const hb_value *value = hb_gguf_value(gguf, key);
  *out = (hb_string){0};
  return value ? hb_value_string(value, out, error) : HB_OK;
}

static hb_status check(const hb_trainer *t, const hb_gguf *gguf, uint32_t *step, hb_error *error) {
  hb_string type, run;
  HB_TRY(read_string(gguf, "general.type", &type, error));
  if (!hb_string_equal(type, hb_string_of(CHECKPOINT_TYPE)))
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "this is no checkpoint of a training");
  HB_TRY(read_string(gguf, KEY_RUN, &run, error));
  if (!hb_string_equal(run, hb_string_of(t->run)))
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET,
                   "the checkpoint is of another run: its options, model or text differ");
  const hb_value *value = hb_gguf_value(gguf, KEY_STEP);
  uint64_t steps = 0;
  if (value) HB_TRY(hb_value_u64(value, 0, &steps, error));
  if (!value || steps > t->o.steps)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the checkpoint has no step of this run");
  *step = (uint32_t)steps;
  return hb_gguf_check_complete(gguf, error);
}

static hb_status read_part(const hb_trainer *t, uint32_t i, const hb_source *saved,
                           hb_error *error) {
  char name[32];
  uint64_t bytes;
  void *part = part_at(t, i, &bytes);
  name_part(name, i, t);
  const hb_tensor *tensor = hb_gguf_tensor(saved->gguf, name);
  if (!tensor || tensor->bytes != bytes)
    return hb_fail(error, HB_MODEL, HB_NO_OFFSET, "the checkpoint has no tensor %s of %u bytes",
                   name, bytes);
  uint64_t at = hb_gguf_shard_data_start(saved->gguf, tensor->shard) + tensor->offset;
  return saved->read(saved->context, tensor->shard, at, part, (size_t)bytes, error);
}

hb_status hb_trainer_restore(hb_trainer *t, const hb_source *saved, hb_error *error) {
  uint32_t step = 0;
  HB_TRY(check(t, saved->gguf, &step, error));
  if (t->blocks) HB_TRY(hb_blocks_restart(t, step, error));
  for (uint32_t i = 0; i <= t->parameter_count; i++) HB_TRY(read_part(t, i, saved, error));
  t->step = step;
  t->tokens = (uint64_t)step * t->o.accumulate * hb_graph_rows(t->graph);
  return t->optimizer ? hb_optimizer_resume(t->optimizer, error) : HB_OK;
}
