/* LoRA adapters in the GGUF form of llama.cpp. For a matrix W of the model, "X.weight", a file has
 *
 *   X.weight.lora_a   A, dims {columns of W, rank}
 *   X.weight.lora_b   B, dims {rank, rows of W}
 *
 * and W becomes W + factor B A. Its keys: general.type "adapter", adapter.type "lora",
 * general.architecture the model's, adapter.lora.alpha. */
#ifndef HB_ADAPTER_H
#define HB_ADAPTER_H

#include "gguf/gguf.h"

typedef struct hb_adapter {
  hb_gguf *gguf;
  const uint8_t *data; /* of the tensors */
  double alpha;        /* 0: none */
} hb_adapter;

/* What an adapter adds to one matrix. */
typedef struct hb_adapter_pair {
  hb_string matrix; /* its name */
  const hb_tensor *a, *b;
  uint64_t rank;
} hb_adapter_pair;

/* Reads the bytes of a file, which must outlive the adapter, and checks all but whether its tensors
 * fit those of the model. `architecture` is the stock name of the model's. */
hb_status hb_adapter_open(const hb_allocator *allocator, const void *bytes, size_t size,
                          hb_string architecture, hb_adapter *out, hb_error *error);
void hb_adapter_close(hb_adapter *adapter);

/* The pair whose A the tensor `index` is; false if it is a B. */
bool hb_adapter_pair_at(const hb_adapter *adapter, size_t index, hb_adapter_pair *out);

/* HB_MODEL unless the pair belongs to a matrix of that shape. */
hb_status hb_adapter_check_fit(const hb_adapter_pair *pair, uint64_t cols, uint64_t rows,
                               hb_error *error);

/* The factor of B A, for the scale that a caller wants. */
double hb_adapter_factor(const hb_adapter *adapter, const hb_adapter_pair *pair, double scale);

/* All values of a tensor of a pair times `factor`. HB_MODEL if one of them is not finite. */
hb_status hb_adapter_values(const hb_adapter *adapter, const hb_tensor *tensor, double factor,
                            float *out, hb_error *error);

#endif
