/* The model or the adapter that a run leaves, as a file. */
#include "compress/describe.h"
#include "gguf/write.h"
#include "quant/quant.h"
#include "train/trainer.h"

static uint32_t weight_of(const hb_trainer *t, const hb_tensor *tensor) {
  const hb_weight *w = hb_weight_named(t->net.model, tensor->name);
  return w && w->present ? (uint32_t)(w - t->net.model->weights) : HB_NONE;
}

static hb_status declare(const hb_trainer *t, hb_gguf_writer *writer, hb_error *error) {
  const hb_gguf *from = t->source->gguf;
  char how[128];
  HB_TRY(hb_gguf_writer_copy(writer, from, error));
  hb_format(how, sizeof how, "%s, %u steps of %u sequences of %u tokens", t->o.method, t->step,
            (uint64_t)t->o.accumulate * t->o.sequences, (uint64_t)t->o.length);
  HB_TRY(hb_gguf_writer_set_string(writer, "halfbyte.training", hb_string_of(how), error));
  for (size_t i = 0; i < hb_gguf_tensor_count(from); i++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(from, i);
    HB_TRY(hb_gguf_writer_add_tensor(writer, tensor->name, tensor->type, tensor->dim_count,
                                     tensor->dims, error));
  }
  return hb_gguf_writer_begin(writer, error);
}

/* A tensor that is no weight in training. */
static hb_status copy(const hb_trainer *t, const hb_tensor *tensor, hb_gguf_writer *writer,
                      uint8_t *piece, hb_error *error) {
  uint64_t at = hb_gguf_shard_data_start(t->source->gguf, tensor->shard) + tensor->offset;
  for (uint64_t done = 0; done < tensor->bytes;) {
    uint64_t left = tensor->bytes - done;
    size_t now = left < HB_VALUES_PIECE ? (size_t)left : HB_VALUES_PIECE;
    HB_TRY(t->source->read(t->source->context, tensor->shard, at + done, piece, now, error));
    HB_TRY(hb_gguf_writer_data(writer, piece, now, error));
    done += now;
  }
  return HB_OK;
}

/* Floats in the type of their tensor. */
static hb_status encode(const hb_trainer *t, const hb_tensor *tensor, uint32_t weight,
                        hb_gguf_writer *writer, uint8_t *piece, hb_error *error) {
  const hb_type_traits *traits = hb_traits(tensor->type);
  const float *values = hb_net_values(&t->net, weight);
  uint64_t count = hb_net_count(&t->net, weight);
  for (uint64_t done = 0; done < count;) {
    uint64_t most = HB_VALUES_PIECE / sizeof(float);
    size_t now = (size_t)(count - done < most ? count - done : most);
    traits->encode(values + done, piece, now);
    HB_TRY(hb_gguf_writer_data(writer, piece, now * traits->block_bytes, error));
    done += now;
  }
  return HB_OK;
}

static hb_status write_blocks(const hb_trainer *t, const hb_tensor *tensor, uint32_t weight,
                              hb_gguf_writer *writer, hb_error *error) {
  uint8_t *blocks = hb_allocate(t->allocator, tensor->bytes);
  if (!blocks) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a tensor's blocks");
  hb_quantizer_write(&t->quantizers[weight], blocks);
  hb_status status = hb_gguf_writer_data(writer, blocks, (size_t)tensor->bytes, error);
  hb_release(t->allocator, blocks, tensor->bytes);
  return status;
}

static hb_status write_tensors(const hb_trainer *t, hb_gguf_writer *writer, uint8_t *piece,
                               hb_error *error) {
  const hb_gguf *from = t->source->gguf;
  for (size_t i = 0; i < hb_gguf_tensor_count(from); i++) {
    const hb_tensor *tensor = hb_gguf_tensor_at(from, i);
    uint32_t weight = weight_of(t, tensor);
    if (weight == HB_NONE || !hb_train_reached(t, weight))
      HB_TRY(copy(t, tensor, writer, piece, error));
    else if (hb_quantizer_begun(&t->quantizers[weight]))
      HB_TRY(write_blocks(t, tensor, weight, writer, error));
    else
      HB_TRY(encode(t, tensor, weight, writer, piece, error));
  }
  return hb_gguf_writer_finish(writer, error);
}

hb_status hb_trainer_write(hb_trainer *t, const hb_sink *sink, hb_error *error) {
  hb_gguf_writer *writer = NULL;
  if (t->method == HB_TRAIN_LORA) return hb_lora_write(&t->lora, sink, error);
  uint8_t *piece = hb_allocate(t->allocator, HB_VALUES_PIECE);
  if (!piece) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory to write a model");
  hb_train_project(t);
  hb_status status = hb_gguf_writer_create(t->allocator, sink, &writer, error);
  if (status == HB_OK) status = declare(t, writer, error);
  if (status == HB_OK) status = write_tensors(t, writer, piece, error);
  hb_gguf_writer_destroy(writer);
  hb_release(t->allocator, piece, HB_VALUES_PIECE);
  return status;
}
