/* What JavaScript needs beside halfbyte.h itself, most of which is exported as it is (exports.txt):
 * the layouts of its structs, an allocator and threads to put into them, and stand-ins for the few
 * functions that take or return a struct by value. */
#include "base/base.h"
#include "heap.h"
#include "kernel/kernel.h"

#ifdef __wasm_atomics__
#include "threads.h"
#endif

/* ---- The instance: one heap and one pool, since an instance is one linear memory ---- */

static hb_heap heap;
static const hb_allocator allocator = {&heap, hb_heap_allocate, hb_heap_release};

const hb_allocator *hb_wasm_allocator(void);
void *hb_wasm_allocate(size_t size);
void hb_wasm_release(void *block, size_t size);
size_t hb_wasm_heap_used(void);
const char *hb_wasm_commit(void);

const hb_allocator *hb_wasm_allocator(void) {
  return &allocator;
}

void *hb_wasm_allocate(size_t size) {
  return hb_allocate(&allocator, size);
}

void hb_wasm_release(void *block, size_t size) {
  hb_release(&allocator, block, size);
}

/* Bytes in allocated blocks. */
size_t hb_wasm_heap_used(void) {
  return heap.used;
}

/* The commit that was built. */
const char *hb_wasm_commit(void) {
#ifdef HB_COMMIT
  return HB_COMMIT;
#else
  return "unknown";
#endif
}

#ifdef __wasm_atomics__
static hb_pool pool;

const hb_parallel *hb_wasm_parallel(uint32_t threads, uint32_t least_work);
_Noreturn void hb_wasm_worker_loop(uint32_t index);

/* The pool, made for that many threads; to be called once. */
const hb_parallel *hb_wasm_parallel(uint32_t threads, uint32_t least_work) {
  hb_pool_init(&pool, threads, least_work);
  return &pool.parallel;
}

_Noreturn void hb_wasm_worker_loop(uint32_t index) {
  hb_pool_loop(&pool, index);
}
#endif

/* ---- Functions with structs by value ---- */

void hb_wasm_loader_state(const hb_loader *loader, hb_load_state *out);
hb_status hb_wasm_tokenize(const hb_tokenizer *tokenizer, const char *text, size_t length,
                           uint32_t flags, hb_token *out, size_t capacity, size_t *count,
                           hb_error *error);
void hb_wasm_token_text(const hb_tokenizer *tokenizer, hb_token token, hb_string *out);

void hb_wasm_loader_state(const hb_loader *loader, hb_load_state *out) {
  *out = hb_loader_state(loader);
}

hb_status hb_wasm_tokenize(const hb_tokenizer *tokenizer, const char *text, size_t length,
                           uint32_t flags, hb_token *out, size_t capacity, size_t *count,
                           hb_error *error) {
  return hb_tokenize(tokenizer, (hb_string){text, length}, flags, &allocator, out, capacity, count,
                     error);
}

void hb_wasm_token_text(const hb_tokenizer *tokenizer, hb_token token, hb_string *out) {
  *out = hb_token_text(tokenizer, token);
}

/* ---- Measuring ---- */

float hb_wasm_log_sum(hb_isa isa, const float *logits, size_t count);

/* The logarithm of the sum of exponentials, to the bits of every other target. */
float hb_wasm_log_sum(hb_isa isa, const float *logits, size_t count) {
  return hb_kernels_for(isa)->softmax(logits, count, NULL);
}

/* ---- Struct layouts ---- */

typedef struct field {
  const char *structure;
  const char *name; /* NULL: the row gives the size of the structure */
  const char *type;
  uint32_t offset;
} field;

/* Structs inside structs are named by their type; any other pointer is a plain address. */
#define TYPE_OF(value)                                                                             \
  _Generic((value),                                                                                \
      uint8_t: "u8",                                                                               \
      uint32_t: "u32",                                                                             \
      int32_t: "i32",                                                                              \
      size_t: "u32",                                                                               \
      uint64_t: "u64",                                                                             \
      float: "f32",                                                                                \
      hb_string: "hb_string",                                                                      \
      hb_sampler_options: "hb_sampler_options",                                                    \
      default: "pointer")
#define STRUCT(s) {#s, NULL, "", sizeof(s)}
#define FIELD(s, name) {#s, #name, TYPE_OF(((s *)0)->name), offsetof(s, name)}
#define ARRAY(s, name, type) {#s, #name, type, offsetof(s, name)}

static const field fields[] = {
    STRUCT(hb_string),
    FIELD(hb_string, data),
    FIELD(hb_string, length),

    STRUCT(hb_error),
    FIELD(hb_error, status),
    FIELD(hb_error, offset),
    ARRAY(hb_error, message, "chars"),

    STRUCT(hb_load_options),
    FIELD(hb_load_options, allocator),
    FIELD(hb_load_options, parallel),
    FIELD(hb_load_options, isa),
    FIELD(hb_load_options, header_only),

    STRUCT(hb_load_state),
    FIELD(hb_load_state, header_done),
    FIELD(hb_load_state, shard),
    FIELD(hb_load_state, shard_count),
    FIELD(hb_load_state, file_offset),
    FIELD(hb_load_state, file_size),

    STRUCT(hb_value),
    FIELD(hb_value, key),
    FIELD(hb_value, type),
    FIELD(hb_value, element),
    FIELD(hb_value, count),
    FIELD(hb_value, data),

    STRUCT(hb_tensor),
    FIELD(hb_tensor, name),
    FIELD(hb_tensor, type),
    FIELD(hb_tensor, dim_count),
    ARRAY(hb_tensor, dims, "u64[4]"),
    FIELD(hb_tensor, offset),
    FIELD(hb_tensor, bytes),
    FIELD(hb_tensor, shard),

    STRUCT(hb_model_info),
    FIELD(hb_model_info, architecture),
    FIELD(hb_model_info, name),
    FIELD(hb_model_info, layers),
    FIELD(hb_model_info, width),
    FIELD(hb_model_info, heads),
    FIELD(hb_model_info, kv_heads),
    FIELD(hb_model_info, head_size),
    FIELD(hb_model_info, feed_forward),
    FIELD(hb_model_info, vocabulary),
    FIELD(hb_model_info, context_length),
    FIELD(hb_model_info, parameters),
    FIELD(hb_model_info, file_bytes),
    FIELD(hb_model_info, weight_bytes),
    FIELD(hb_model_info, isa),

    STRUCT(hb_detokenizer),

    STRUCT(hb_tokenizer_info),
    FIELD(hb_tokenizer_info, vocabulary),
    FIELD(hb_tokenizer_info, bos),
    FIELD(hb_tokenizer_info, eos),
    FIELD(hb_tokenizer_info, unknown),
    FIELD(hb_tokenizer_info, add_bos),
    FIELD(hb_tokenizer_info, add_eos),
    FIELD(hb_tokenizer_info, longest_token),

    STRUCT(hb_session_options),
    FIELD(hb_session_options, allocator),
    FIELD(hb_session_options, parallel),
    FIELD(hb_session_options, context_length),
    FIELD(hb_session_options, batch),
    FIELD(hb_session_options, logit_rows),
    FIELD(hb_session_options, kv),
    FIELD(hb_session_options, hidden),

    STRUCT(hb_row),
    FIELD(hb_row, session),
    FIELD(hb_row, token),
    FIELD(hb_row, want_logits),

    STRUCT(hb_logit_bias),
    FIELD(hb_logit_bias, token),
    FIELD(hb_logit_bias, bias),

    STRUCT(hb_sampler_options),
    FIELD(hb_sampler_options, temperature),
    FIELD(hb_sampler_options, top_k),
    FIELD(hb_sampler_options, top_p),
    FIELD(hb_sampler_options, min_p),
    FIELD(hb_sampler_options, repetition_penalty),
    FIELD(hb_sampler_options, frequency_penalty),
    FIELD(hb_sampler_options, presence_penalty),
    FIELD(hb_sampler_options, penalty_window),
    FIELD(hb_sampler_options, seed),
    FIELD(hb_sampler_options, biases),
    FIELD(hb_sampler_options, bias_count),

    STRUCT(hb_generate_options),
    FIELD(hb_generate_options, allocator),
    FIELD(hb_generate_options, sampler),
    FIELD(hb_generate_options, max_tokens),
    FIELD(hb_generate_options, ignore_end),
    FIELD(hb_generate_options, logprobs),
    FIELD(hb_generate_options, stop),
    FIELD(hb_generate_options, stop_count),

    STRUCT(hb_piece),
    FIELD(hb_piece, text),
    FIELD(hb_piece, token),
    FIELD(hb_piece, logprob),
    FIELD(hb_piece, finish),

    STRUCT(hb_probe_options),
    FIELD(hb_probe_options, allocator),
    FIELD(hb_probe_options, parallel),
    FIELD(hb_probe_options, isa),
    FIELD(hb_probe_options, kind),
    FIELD(hb_probe_options, type),
    FIELD(hb_probe_options, rows),
    FIELD(hb_probe_options, cols),
    FIELD(hb_probe_options, batch),
};

size_t hb_wasm_layouts(char *out, size_t capacity);

/* Writes the table as JSON, [["hb_string","","",8],["hb_string","data","pointer",0], ...], and
 * returns the length it needs without the NUL. The JSON is the one thing whose form is fixed. */
size_t hb_wasm_layouts(char *out, size_t capacity) {
  size_t length = 0;
  for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
    const field *f = &fields[i];
    size_t left = length < capacity ? capacity - length : 0;
    length +=
        hb_format(left ? out + length : NULL, left, "%s[\"%s\",\"%s\",\"%s\",%u]", i ? "," : "[",
                  f->structure, f->name ? f->name : "", f->type, (uint64_t)f->offset);
  }
  size_t left = length < capacity ? capacity - length : 0;
  return length + hb_format(left ? out + length : NULL, left, "]");
}
