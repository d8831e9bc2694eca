/*
 * halfbyte: run and make quantized language models, with the same bits on every target.
 *
 * This is the one public header. It reads from top to bottom:
 *
 *   1. Version          5. GGUF files         9. Sampling
 *   2. Status, errors   6. Loading a model   10. Generating text
 *   3. Memory, threads  7. Tokenizing        11. Quantizing (library halfbyte-compress)
 *   4. Types and ISAs   8. Sessions          12. Training (library halfbyte-train)
 *                                            13. Synthetic models, measuring
 *                                            14. Host helpers (library halfbyte-host)
 *
 * Rules that hold for the whole interface:
 *  - The library does no I/O, starts no threads, keeps no global state, prints nothing and never
 *    exits. Section 14 is the exception: it is a separate library that opens files and makes
 * threads.
 *  - Whatever a file or a caller can get wrong comes back as an hb_status. Where a function takes
 * an hb_error, it may be NULL; if given, it is filled in on failure with a sentence that names the
 *    thing and its place.
 *  - An object belongs to whoever created it and is released with its ..._destroy, which accepts
 *    NULL. A model must outlive its sessions, and a session its generators.
 *  - Different objects may be used from different threads. One object may not, except that a loaded
 *    hb_model and its tokenizer are read-only, but for hb_model_adapt, and may be shared.
 *  - Strings are UTF-8. hb_string is a view that is not NUL-terminated.
 */
#ifndef HALFBYTE_H
#define HALFBYTE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Version ---------------------------------------------------------------------------- */

#define HB_VERSION_MAJOR 0
#define HB_VERSION_MINOR 1
#define HB_VERSION_PATCH 0
#define HB_VERSION "0.1.0"

/* The version of the library that is linked, as HB_VERSION of its own header. */
const char *hb_version(void);

/* ---- 2. Status and errors ------------------------------------------------------------------ */

/* X(NAME, number, JavaScript class, meaning). The C enum, hb_status_text, the JS error classes and
 * the documentation are generated from this list. Numbers are stable. */
#define HB_STATUS_LIST(X)                                                                          \
  X(OK, 0, "", "success")                                                                          \
  X(ARGUMENT, 1, "ArgumentError", "an argument is out of its range")                               \
  X(MEMORY, 2, "OutOfMemoryError", "memory could not be had")                                      \
  X(FORMAT, 3, "FormatError", "the file contradicts its format")                                   \
  X(TRUNCATED, 4, "TruncatedError", "the file ends before its contents do")                        \
  X(UNSUPPORTED, 5, "UnsupportedModelError", "the file asks for a feature that halfbyte lacks")    \
  X(MODEL, 6, "ModelError", "a tensor or key of the model is missing or has the wrong shape")      \
  X(CONTEXT_FULL, 7, "ContextFullError", "the session's context is full")                          \
  X(STATE, 8, "StateError", "a function was called at the wrong time")                             \
  X(IO, 9, "IoError", "a file could not be read or written")                                       \
  X(ABORTED, 10, "AbortError", "the caller asked to stop")                                         \
  X(SELFTEST, 11, "SelfTestError", "this machine or engine computes wrong results")

typedef enum hb_status {
#define HB_STATUS_ENUM(name, number, js, text) HB_##name = number,
  HB_STATUS_LIST(HB_STATUS_ENUM)
#undef HB_STATUS_ENUM
} hb_status;

#define HB_NO_OFFSET UINT64_MAX

/* Why a call failed. `offset` is the byte in the file where the cause stands, or HB_NO_OFFSET. */
typedef struct hb_error {
  hb_status status;
  uint64_t offset;
  char message[256]; /* NUL-terminated, no newline */
} hb_error;

/* The meaning of a status, from HB_STATUS_LIST. Never NULL. */
const char *hb_status_text(hb_status status);

/* A view of UTF-8 bytes that belong to somebody else. */
typedef struct hb_string {
  const char *data;
  size_t length;
} hb_string;

/* ---- 3. Memory and threads ----------------------------------------------------------------- */

/* Where an object gets its memory. `allocate` returns `size` bytes at a multiple of `alignment` (a
 * power of two up to 64; contents undefined) or NULL. `release` gets the same block and size back.
 * Wherever an allocator is asked for, NULL means the C library's (not in the WASM modules, which
 * bring their own). The struct must outlive the objects made with it. */
typedef struct hb_allocator {
  void *context;
  void *(*allocate)(void *context, size_t size, size_t alignment);
  void (*release)(void *context, void *block, size_t size);
} hb_allocator;

/* How work is spread over threads. `run` calls work(argument, index) once for each index in
 * 0..threads-1, all at the same time, and returns when every call has returned; index 0 may be the
 * calling thread. `yield`, if not NULL, is called by a thread that has waited long at a barrier.
 * `clock`, if not NULL, tells seconds from any start: then steps of a few rows are timed, and
 * computed by the caller alone while that is faster, as where other programs need the processors. A
 * step whose work - bytes of the model's weights times rows - is below `least_work` is not worth
 * the waiting of one thread for another and is computed by the caller alone; 0: all are divided.
 * Wherever an hb_parallel is asked for, NULL means one thread. Results never depend on it. */
typedef struct hb_parallel {
  void *context;
  uint32_t threads;
  void (*run)(void *context, void (*work)(void *argument, uint32_t index), void *argument);
  void (*yield)(void *context);
  uint64_t least_work;
  double (*clock)(void *context);
} hb_parallel;

#define HB_MAX_THREADS 64

/* ---- 4. Tensor types and instruction sets -------------------------------------------------- */

/* X(NAME, GGUF id, values a block, bytes a block, supported). One row for every type of a GGUF
 * tensor; a type that is not `supported` is recognized, so that the error can name it. */
#define HB_TYPE_LIST(X)                                                                            \
  X(F32, 0, 1, 4, 1)                                                                               \
  X(F16, 1, 1, 2, 1)                                                                               \
  X(Q4_0, 2, 32, 18, 1)                                                                            \
  X(Q4_1, 3, 32, 20, 1)                                                                            \
  X(Q5_0, 6, 32, 22, 1)                                                                            \
  X(Q5_1, 7, 32, 24, 1)                                                                            \
  X(Q8_0, 8, 32, 34, 1)                                                                            \
  X(Q8_1, 9, 32, 36, 0)                                                                            \
  X(Q2_K, 10, 256, 84, 1)                                                                          \
  X(Q3_K, 11, 256, 110, 1)                                                                         \
  X(Q4_K, 12, 256, 144, 1)                                                                         \
  X(Q5_K, 13, 256, 176, 1)                                                                         \
  X(Q6_K, 14, 256, 210, 1)                                                                         \
  X(Q8_K, 15, 256, 292, 0)                                                                         \
  X(IQ2_XXS, 16, 256, 66, 0)                                                                       \
  X(IQ2_XS, 17, 256, 74, 0)                                                                        \
  X(IQ3_XXS, 18, 256, 98, 0)                                                                       \
  X(IQ1_S, 19, 256, 50, 0)                                                                         \
  X(IQ4_NL, 20, 32, 18, 1)                                                                         \
  X(IQ3_S, 21, 256, 110, 0)                                                                        \
  X(IQ2_S, 22, 256, 82, 0)                                                                         \
  X(IQ4_XS, 23, 256, 136, 1)                                                                       \
  X(I8, 24, 1, 1, 0)                                                                               \
  X(I16, 25, 1, 2, 0)                                                                              \
  X(I32, 26, 1, 4, 0)                                                                              \
  X(I64, 27, 1, 8, 0)                                                                              \
  X(F64, 28, 1, 8, 0)                                                                              \
  X(IQ1_M, 29, 256, 56, 0)                                                                         \
  X(BF16, 30, 1, 2, 1)                                                                             \
  X(TQ1_0, 34, 256, 54, 1)                                                                         \
  X(TQ2_0, 35, 256, 66, 1)                                                                         \
  X(MXFP4, 39, 32, 17, 1)                                                                          \
  X(NVFP4, 40, 64, 36, 0)                                                                          \
  X(Q1_0, 41, 128, 18, 0)                                                                          \
  X(Q2_0, 42, 64, 18, 0)

/* X(NAME, id, values a block, bytes a block, blocks that share, bytes that they share). Types of
 * halfbyte's own, for what no type of GGUF can hold. A GGUF file cannot name them: there they are
 * tensors of I8, described by keys (src/quant/private.h). So many successive blocks of a row, or
 * those that it has left, share some bytes besides their own; 0: all of a row do, if any. */
#define HB_PRIVATE_TYPE_LIST(X)                                                                    \
  X(NF4, 65536, 64, 33, 4, 2)                                                                      \
  X(FP4, 65537, 64, 33, 4, 2)                                                                      \
  X(TABLE4, 65538, 32, 16, 0, 18)                                                                  \
  X(TABLE3, 65539, 32, 12, 0, 10)                                                                  \
  X(INT2_64, 65540, 64, 20, 0, 0)

typedef enum hb_type {
#define HB_TYPE_ENUM(name, id, block, bytes, supported) HB_TYPE_##name = id,
  HB_TYPE_LIST(HB_TYPE_ENUM)
#undef HB_TYPE_ENUM
#define HB_TYPE_ENUM(name, id, block, bytes, sharing, shared) HB_TYPE_##name = id,
      HB_PRIVATE_TYPE_LIST(HB_TYPE_ENUM)
#undef HB_TYPE_ENUM
} hb_type;

/* "Q4_0" and so on; NULL for a number that is no type. */
const char *hb_type_name(hb_type type);

/* The type of that name, upper or lower case, into *type. Returns HB_ARGUMENT for an unknown one.
 */
hb_status hb_type_from_name(hb_string name, hb_type *type);

/* X(NAME, number, "name"). Every ISA computes the same bits; SCALAR is the definition. */
#define HB_ISA_LIST(X)                                                                             \
  X(SCALAR, 0, "scalar")                                                                           \
  X(AVX2, 1, "avx2")                                                                               \
  X(AVX512, 2, "avx512") /* AVX-512 F, BW, VL and VNNI */                                          \
  X(NEON, 3, "neon")     /* with the dot-product extension */                                      \
  X(SIMD128, 4, "simd128")                                                                         \
  X(RELAXED, 5, "relaxed") /* WebAssembly relaxed SIMD */                                          \
  X(AMX, 6, "amx")         /* AVX512 with the matrix unit of Intel's servers */

typedef enum hb_isa {
#define HB_ISA_ENUM(name, number, text) HB_ISA_##name = number,
  HB_ISA_LIST(HB_ISA_ENUM)
#undef HB_ISA_ENUM
} hb_isa;

const char *hb_isa_name(hb_isa isa);

/* 1 if this build contains the ISA and this machine can run it. */
int hb_isa_available(hb_isa isa);

/* The fastest available ISA. */
hb_isa hb_isa_best(void);

/* Runs the kernels of `isa` on known inputs of every kind and compares each bit with the scalar
 * definition. HB_SELFTEST names the first kernel that differs. Takes some 10 ms. */
hb_status hb_selftest(hb_isa isa, const hb_allocator *allocator, hb_error *error);

/* ---- 5. GGUF files ------------------------------------------------------------------------- */

/* X(NAME, id, bytes): the value types of GGUF metadata; 0 bytes: variable length. */
#define HB_VALUE_LIST(X)                                                                           \
  X(U8, 0, 1)                                                                                      \
  X(I8, 1, 1)                                                                                      \
  X(U16, 2, 2)                                                                                     \
  X(I16, 3, 2)                                                                                     \
  X(U32, 4, 4)                                                                                     \
  X(I32, 5, 4)                                                                                     \
  X(F32, 6, 4)                                                                                     \
  X(BOOL, 7, 1)                                                                                    \
  X(STRING, 8, 0)                                                                                  \
  X(ARRAY, 9, 0)                                                                                   \
  X(U64, 10, 8)                                                                                    \
  X(I64, 11, 8)                                                                                    \
  X(F64, 12, 8)

typedef enum hb_value_type {
#define HB_VALUE_ENUM(name, id, bytes) HB_VALUE_##name = id,
  HB_VALUE_LIST(HB_VALUE_ENUM)
#undef HB_VALUE_ENUM
} hb_value_type;

/* One metadata record. `type` is that of the value; for an ARRAY `element` is the type of its
 * elements and `count` their number, else count is 1. `data` points to the little-endian bytes of
 * the value (for strings: each a u64 length and its bytes), unaligned. */
typedef struct hb_value {
  hb_string key;
  hb_value_type type;
  hb_value_type element;
  uint64_t count;
  const uint8_t *data;
  uint64_t bytes;
} hb_value;

/* One tensor's record. dims[0] runs fastest (a matrix [out, in] has dims {in, out}); unused dims
 * are 1. `offset` counts from the start of the data part of its shard. */
typedef struct hb_tensor {
  hb_string name;
  hb_type type;
  uint32_t dim_count;
  uint64_t dims[4];
  uint64_t offset;
  uint64_t bytes;
  uint32_t shard;
} hb_tensor;

/* The header of a GGUF file (of all shards read so far): metadata and tensor records. */
typedef struct hb_gguf hb_gguf;

size_t hb_gguf_value_count(const hb_gguf *gguf);
size_t hb_gguf_tensor_count(const hb_gguf *gguf);

/* The record with that index, in file order; NULL past the end. */
const hb_value *hb_gguf_value_at(const hb_gguf *gguf, size_t index);
const hb_tensor *hb_gguf_tensor_at(const hb_gguf *gguf, size_t index);

/* The record with that name, or NULL. Logarithmic time. */
const hb_value *hb_gguf_value(const hb_gguf *gguf, const char *key);
const hb_tensor *hb_gguf_tensor(const hb_gguf *gguf, const char *name);

/* Element `index` of a value (0 unless it is an array) converted without loss: an integer, real or
 * boolean of any width, a string. HB_MODEL where the value has another type, does not fit, or ends
 * before that index; the error names the key. hb_value_next_string reads the strings of an array.
 */
hb_status hb_value_u64(const hb_value *value, uint64_t index, uint64_t *out, hb_error *error);
hb_status hb_value_i64(const hb_value *value, uint64_t index, int64_t *out, hb_error *error);
hb_status hb_value_f64(const hb_value *value, uint64_t index, double *out, hb_error *error);
hb_status hb_value_bool(const hb_value *value, int *out, hb_error *error);
hb_status hb_value_string(const hb_value *value, hb_string *out, hb_error *error);

/* Walks the strings of an array in order: start with *cursor = 0; each call gives the next string.
 * HB_MODEL after the last one or if the value is no array of strings. */
hb_status hb_value_next_string(const hb_value *value, uint64_t *cursor, hb_string *out,
                               hb_error *error);

/* ---- 6. Loading a model -------------------------------------------------------------------- */

#define HB_SIZE_UNKNOWN UINT64_MAX

typedef struct hb_load_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* of packing large pieces; needed until the loader is destroyed */
  hb_isa isa;                  /* which kernels the model will run on: hb_isa_best() as a rule */
  int header_only;             /* stop after the header: for inspecting; the model cannot run */
} hb_load_options;

/* Takes a model in as its bytes arrive, from the first byte of its (first) file to the last. */
typedef struct hb_loader hb_loader;
/* A loaded model: weights in the layout of the kernels, tokenizer, program. Read-only, but for its
 * adapters. */
typedef struct hb_model hb_model;

typedef struct hb_load_state {
  int header_done;      /* the current file's header is complete */
  uint32_t shard;       /* index of the current file */
  uint32_t shard_count; /* 1 unless the model is split */
  uint64_t file_offset; /* bytes of the current file taken so far */
  uint64_t file_size;   /* where the current file's last tensor ends, once its header is done; until
                           then 0 */
} hb_load_state;

hb_status hb_loader_create(const hb_load_options *options, hb_loader **out, hb_error *error);

/* Starts the next file: the model itself, or each shard in order. `file_size` is its length in
 * bytes if it is known, so that a header that claims more is refused at once, else HB_SIZE_UNKNOWN.
 * Ends the previous file: HB_TRUNCATED if its tensors are not complete. */
hb_status hb_loader_begin_file(hb_loader *loader, uint64_t file_size, hb_error *error);

/* Takes the next bytes of the current file, in pieces of any size. They are copied or converted
 * before the call returns. Bytes behind the last tensor are ignored. */
hb_status hb_loader_feed(hb_loader *loader, const void *bytes, size_t count, hb_error *error);

hb_load_state hb_loader_state(const hb_loader *loader);

/* The header so far, or NULL before the first file's is complete. Belongs to the loader. */
const hb_gguf *hb_loader_gguf(const hb_loader *loader);

/* Checks that everything arrived and hands the model over. The loader may then be destroyed. With
 * header_only, needs no more than the first file's header. */
hb_status hb_loader_finish(hb_loader *loader, hb_model **out, hb_error *error);
void hb_loader_destroy(hb_loader *loader);

typedef struct hb_model_info {
  hb_string architecture;
  hb_string name;
  uint32_t layers;
  uint32_t width; /* embedding length */
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t head_size;
  uint32_t feed_forward;
  uint32_t vocabulary;
  uint32_t context_length; /* that the model was made for */
  uint64_t parameters;     /* values in all tensors */
  uint64_t file_bytes;     /* of all tensors in the file */
  uint64_t weight_bytes;   /* of all tensors in memory */
  hb_isa isa;
} hb_model_info;

void hb_model_get_info(const hb_model *model, hb_model_info *out);

/* The type of the values that a tensor of the model's file holds: its own, or the one of
 * HB_PRIVATE_TYPE_LIST that the file's keys give it. */
hb_type hb_model_tensor_type(const hb_model *model, const hb_tensor *tensor);

const hb_gguf *hb_model_gguf(const hb_model *model);
void hb_model_destroy(hb_model *model);

#define HB_MAX_ADAPTERS 16 /* of a model */
#define HB_MAX_RANK 4096

/* Adds an adapter to a loaded model, from the bytes of its file, which is a LoRA in the GGUF form
 * of llama.cpp (arXiv 2106.09685): beside a matrix "X.weight" of a layer it has "X.weight.lora_a"
 * with dims {columns, rank} and "X.weight.lora_b" with {rank, rows}, in F32, F16 or BF16. From then
 * on the products with that matrix are (W + factor B A) x, factor being scale * adapter.lora.alpha
 * / rank, or `scale` alone where the file has no alpha. They are computed beside those of W, in
 * F32, and bits are the same everywhere. Adapters add up; a scale of 0 adds nothing.
 *
 * Sessions made before cannot go on: their steps return HB_STATE. Nothing else may use the model
 * while this runs. On an error, which names the tensor, the model is as it was: HB_MODEL if the
 * file does not fit the model, HB_UNSUPPORTED for adapters of matrices outside of layers. */
hb_status hb_model_adapt(hb_model *model, const void *bytes, size_t size, double scale,
                         hb_error *error);
/* Takes all adapters off. The same holds for sessions. */
void hb_model_unadapt(hb_model *model);

/* Describes operation `index` of the model's program in one line, into `out`; returns the length
 * it needs without the NUL (cut to `capacity`), 0 past the end. */
size_t hb_model_operation(const hb_model *model, size_t index, char *out, size_t capacity);

/* ---- 7. Tokenizing ------------------------------------------------------------------------- */

typedef int32_t hb_token;
typedef struct hb_tokenizer hb_tokenizer;

#define HB_NO_TOKEN (-1)

/* The model's tokenizer, or NULL if its file has none. */
const hb_tokenizer *hb_model_tokenizer(const hb_model *model);

/* Flags of hb_tokenize. */
#define HB_TOKENIZE_BOS 1u /* begin with BOS (end with EOS) if the model wants it */
#define HB_TOKENIZE_SPECIAL                                                                        \
  2u /* control tokens written in the text, such as <|im_end|>, become tokens;                     \
        without it they are plain text, whoever wrote them */

/* Splits `text` into tokens. Writes at most `capacity` of them and always sets *count to the number
 * there are (so that a call with capacity 0 measures; HB_OK then too). Bytes that are not UTF-8 are
 * tokenized as the bytes they are or as U+FFFD, never refused. While it runs it needs memory from
 * `allocator`: some 10 bytes for each of the text, and up to 90 for a text without a word break. */
hb_status hb_tokenize(const hb_tokenizer *tokenizer, hb_string text, uint32_t flags,
                      const hb_allocator *allocator, hb_token *out, size_t capacity, size_t *count,
                      hb_error *error);

/* State of a stream of tokens being turned into text; zero it to begin. */
typedef struct hb_detokenizer {
  uint8_t pending[4]; /* the start of a UTF-8 sequence that the next token may complete */
  uint8_t pending_count;
  uint8_t started;
} hb_detokenizer;

#define HB_DETOKENIZE_SPECIAL 1u /* write control tokens out instead of leaving them away */

/* The text that `token` adds to the stream: always whole UTF-8 characters; incomplete bytes wait in
 * `state` for the next token, and impossible ones become U+FFFD. The first token of a stream loses
 * the space that a SentencePiece model puts before a text. Writes at most `capacity` bytes, sets
 * *length to the number there are; HB_ARGUMENT (state unchanged) if they do not fit or the token is
 * out of range. token = HB_NO_TOKEN flushes: pending bytes come out as U+FFFD. */
hb_status hb_detokenize(const hb_tokenizer *tokenizer, hb_detokenizer *state, hb_token token,
                        uint32_t flags, char *out, size_t capacity, size_t *length);

/* The raw text of a token as the file has it (byte-level tokens in their printable alphabet). */
hb_string hb_token_text(const hb_tokenizer *tokenizer, hb_token token);

typedef struct hb_tokenizer_info {
  uint32_t vocabulary;
  hb_token bos, eos, unknown; /* HB_NO_TOKEN where there is none */
  int add_bos, add_eos;
  size_t longest_token; /* no token yields more bytes of text than this + 4 */
} hb_tokenizer_info;

void hb_tokenizer_get_info(const hb_tokenizer *tokenizer, hb_tokenizer_info *out);

/* 1 if the token ends a generation: EOS, end of turn, end of message. */
int hb_token_ends(const hb_tokenizer *tokenizer, hb_token token);

/* ---- 8. Sessions --------------------------------------------------------------------------- */

/* One text being read or written by a model: a KV cache and a position in it. */
typedef struct hb_session hb_session;

typedef enum hb_kv_type { HB_KV_F16 = 0, HB_KV_F32 = 1 } hb_kv_type;

#define HB_DEFAULT_CONTEXT 4096

typedef struct hb_session_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  uint32_t context_length; /* positions; 0: what the model was made for, but at most
                              HB_DEFAULT_CONTEXT */
  uint32_t batch;          /* rows computed at once; 0: 256 */
  uint32_t logit_rows;     /* rows of a step whose logits can be kept; 0: 1 */
  hb_kv_type kv;
  int hidden; /* keep hidden states (hb_session_hidden) instead of logits, which are not computed */
} hb_session_options;

/* Bytes that hb_session_create would allocate with these options. */
hb_status hb_session_memory(const hb_model *model, const hb_session_options *options,
                            uint64_t *bytes, hb_error *error);
hb_status hb_session_create(const hb_model *model, const hb_session_options *options,
                            hb_session **out, hb_error *error);
void hb_session_destroy(hb_session *session);

/* One row of a step: a token at the next position of its session. */
typedef struct hb_row {
  hb_session *session;
  hb_token token;
  int want_logits;
} hb_row;

/* Computes `count` rows of any number of sessions on the same model, in order, using the scratch
 * and threads of `lead`. Each row continues its session. The logits that were wanted are kept in
 * `lead`, numbered from 0 in the order of the rows, until its next step; at most its logit_rows.
 * HB_CONTEXT_FULL if a session has no position left; on any error no session has moved. A row's
 * logits depend on its own session's tokens alone, bit for bit. */
hb_status hb_step(hb_session *lead, const hb_row *rows, size_t count, hb_error *error);

/* Appends tokens to one session, in batches, and keeps the logits of the last one (number 0). */
hb_status hb_session_append(hb_session *session, const hb_token *tokens, size_t count,
                            hb_error *error);

/* Logits number `index` of the last step, [vocabulary] floats, or NULL. They belong to the session
 * and may be overwritten (by a sampler). */
float *hb_session_logits(hb_session *session, size_t index);

/* The same for a session that keeps hidden states: what the logits would be computed from, [width]
 * floats behind the last norm, or NULL. */
const float *hb_session_hidden(const hb_session *session, size_t index);

uint32_t hb_session_position(const hb_session *session);
uint32_t hb_session_context_length(const hb_session *session);

/* Goes back to `position`: what was appended since is forgotten. HB_ARGUMENT if it lies ahead. */
hb_status hb_session_rewind(hb_session *session, uint32_t position);

/* A session's state as bytes that can be kept: the tokens that it read, and what it computed from
 * them. It comes in pieces (of a head's cache at most), which are saved and restored in order, with
 * nothing computed in between. Piece 0 begins with a header of HB_STATE_HEADER_BYTES, in which the
 * number of positions is the u32 at byte 12, and goes on with the tokens. The bytes are the same on
 * every target, and so is what follows a restored state. */
#define HB_STATE_HEADER_BYTES 40

uint32_t hb_state_pieces(const hb_session *session);

/* Bytes of a piece of a state of that many positions. HB_CONTEXT_FULL if the context is shorter. */
hb_status hb_state_piece_bytes(const hb_session *session, uint32_t positions, uint32_t piece,
                               uint64_t *bytes, hb_error *error);

/* Writes a piece. tokens: all that the session holds; not NULL even if there are none. */
hb_status hb_state_save(hb_session *session, const hb_token *tokens, uint32_t piece, void *out,
                        size_t capacity, hb_error *error);

/* Takes a piece in. Piece 0 lets the session forget what it holds, once it proved to belong to the
 * same model (its numbers and samples of its weights) and type of cache; with the last one the
 * session stands where the saved one stood, without logits. HB_FORMAT, HB_TRUNCATED or HB_ARGUMENT
 * for bytes that are damaged, too few, or of another model. */
hb_status hb_state_restore(hb_session *session, uint32_t piece, const void *bytes, size_t count,
                           hb_error *error);

/* ---- 9. Sampling --------------------------------------------------------------------------- */

typedef struct hb_logit_bias {
  hb_token token;
  float bias; /* added to the logit */
} hb_logit_bias;

typedef struct hb_sampler_options {
  float temperature;        /* 0: greedy, the first of the largest logits */
  uint32_t top_k;           /* keep the k likeliest; 0: all */
  float top_p;              /* keep the likeliest that together reach p; 1: all */
  float min_p;              /* drop those below min_p times the likeliest; 0: none */
  float repetition_penalty; /* divide positive, multiply negative logits of seen tokens; 1: off */
  float frequency_penalty;  /* subtract for each time seen; 0: off */
  float presence_penalty;   /* subtract once if seen; 0: off */
  uint32_t penalty_window;  /* how many of the last tokens count as seen; 0: 64 */
  uint64_t seed;
  const hb_logit_bias *biases; /* copied */
  size_t bias_count;
} hb_sampler_options;

typedef struct hb_sampler hb_sampler;

/* temperature 0, no filter, no penalty. */
hb_sampler_options hb_sampler_defaults(void);
hb_status hb_sampler_create(const hb_allocator *allocator, uint32_t vocabulary,
                            const hb_sampler_options *options, hb_sampler **out, hb_error *error);
void hb_sampler_destroy(hb_sampler *sampler);

/* Tells the sampler of a token that stands in the text, for the penalties. */
void hb_sampler_accept(hb_sampler *sampler, hb_token token);

/* Chooses a token from [vocabulary] logits, which it may overwrite. *logprob (may be NULL) gets its
 * natural log-probability under the raw logits. The order is: biases, penalties, temperature,
 * top-k, top-p, min-p, draw. The same seed and logits give the same token on every target. */
hb_token hb_sampler_sample(hb_sampler *sampler, float *logits, float *logprob);

/* ---- 10. Generating text ------------------------------------------------------------------- */

typedef enum hb_finish {
  HB_FINISH_NONE = 0,    /* goes on */
  HB_FINISH_STOP = 1,    /* an end-of-generation token or a stop string */
  HB_FINISH_LENGTH = 2,  /* max_tokens reached */
  HB_FINISH_CONTEXT = 3, /* the session is full */
} hb_finish;

typedef struct hb_generate_options {
  const hb_allocator *allocator;
  hb_sampler_options sampler;
  uint32_t max_tokens;   /* 0: until the context is full */
  int ignore_end;        /* go on after end-of-generation tokens */
  int logprobs;          /* give the logprob of each token; reads all logits once more */
  const hb_string *stop; /* texts that end the generation; left out of it; copied */
  size_t stop_count;
} hb_generate_options;

/* What one step of a generation brought. `text` may be empty (an unfinished character, or what may
 * become a stop string is held back) and belongs to the generator until its next call. */
typedef struct hb_piece {
  hb_string text;
  hb_token token; /* HB_NO_TOKEN when nothing was sampled in this call */
  float logprob;  /* as hb_sampler_sample gives it; 0 unless asked for */
  hb_finish finish;
} hb_piece;

typedef struct hb_generator hb_generator;

/* Continues `session`, whose last step must have left logits. */
hb_status hb_generator_create(hb_session *session, const hb_generate_options *options,
                              hb_generator **out, hb_error *error);
void hb_generator_destroy(hb_generator *generator);

/* Tells the penalties of a prompt that the session already holds. */
void hb_generator_accept(hb_generator *generator, const hb_token *tokens, size_t count);

/* Samples the next token, appends it to the session if the generation goes on, and gives the text
 * that is now certain. After a finish other than HB_FINISH_NONE, all text has been given out. */
hb_status hb_generator_next(hb_generator *generator, hb_piece *out, hb_error *error);

/* ---- 11. Quantizing (library halfbyte-compress) -------------------------------------------- */

/* A GGUF model whose tensors can be read in any order: the records of all its files, and their
 * bytes. `read` fetches `count` bytes that begin at `offset` of file `shard` (0 unless split). */
typedef struct hb_source {
  const hb_gguf *gguf;
  void *context;
  hb_status (*read)(void *context, uint32_t shard, uint64_t offset, void *bytes, size_t count,
                    hb_error *error);
} hb_source;

/* Where the result goes, from its first byte to its last. */
typedef struct hb_sink {
  void *context;
  hb_status (*write)(void *context, const void *bytes, size_t count, hb_error *error);
} hb_sink;

/* What a run of hb_quantize is, as digests: of its model (the records, and some bytes of every
 * tensor), of what it was calibrated with, and of its options. Those with the same come to the same
 * result. */
typedef struct hb_run {
  uint8_t source[32], inputs[32], options[32];
} hb_run;

/* How far a run was: so many tensors were complete, and so many bytes, of which this is the
 * SHA-256. */
typedef struct hb_mark {
  hb_run run;
  uint64_t bytes, tensors;
  uint8_t digest[32];
} hb_mark;

/* How a run that is interrupted can be gone on with: it notes marks, and another one that is given
 * them, and what the sink got, goes on behind the last one that fits. Everything is checked; a
 * journal of another run is refused. The result is that of a run that was not interrupted. */
typedef struct hb_journal {
  void *context;
  /* What an earlier run left: its marks, in order, and what it wrote, of which `read` fetches
   * bytes. */
  const hb_mark *marks;
  size_t count;
  uint64_t bytes;
  hb_status (*read)(void *context, uint64_t offset, void *bytes, size_t count, hb_error *error);
  /* Called once, before the sink gets anything: its first bytes follow on the mark's; what lies
   * behind is to be given up, and so are later marks. kept->bytes is 0: it begins anew. */
  hb_status (*keep)(void *context, const hb_mark *kept, hb_error *error);
  /* Adds a mark. What the sink got so far should outlive the program before the mark does. */
  hb_status (*note)(void *context, const hb_mark *mark, hb_error *error);
} hb_journal;

/* What became of a tensor. */
typedef struct hb_quantize_report {
  const hb_tensor *tensor; /* as the source has it */
  size_t index, count;     /* this is number `index` of `count` tensors */
  hb_type type;            /* in the result; the tensor's own if it was copied */
  uint64_t bytes;          /* in the result */
  double error;            /* sum of squared differences over sum of squares of the values */
  int kept;           /* an earlier run made it (hb_journal): `error` and `note` are not known */
  const char *reason; /* why it is not of the type that was chosen for it, or NULL */
  const char *note;   /* what of the method could not be done to it, and why, or NULL */
} hb_quantize_report;

/* What changes the result is a part of hb_run, too (src/compress/resume.c). */
typedef struct hb_quantize_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* results never depend on it */
  /* Of the matrices: a tensor type's name, or that of a mixture: q4_k_m ...; NULL where the method
   * names one. */
  const char *type;
  const char *method; /* see below; NULL: "rtn", or with `importance` "imatrix" */
  /* Text to calibrate with, for methods that need it: [samples][length] tokens. */
  const hb_token *calibration;
  uint32_t calibration_samples, calibration_length;
  /* An importance file (hb_calibrate) of the model, for "imatrix" instead of text, or NULL. */
  const hb_source *importance;
  /* A gradient file of the model (src/compress/gradients.h), for "squeezellm" instead of text, or
   * NULL. */
  const hb_source *gradients;
  /* How inputs become int8: with a scale for a "block" or a "token", or a fixed one of least error
   * ("tensor") or of the largest input ("tensor-max"); NULL: as the method wants. */
  const char *activations;
  double outliers; /* spqr, squeezellm: the part of each matrix's values that is kept in half
                      precision; 0: 0.01, 0.0045 */
  /* rtn: what shares a scale: "tensor", "channel" (a row), "group" (of group_size columns; 0: 128)
   * or "block". NULL: a block of the type, or a group if it has a size. For Q4_0, Q5_0 and Q8_0,
   * which are symmetric, and Q4_1 and Q5_1, which have a zero point, too. */
  const char *granularity;
  uint32_t group_size;
  double outlier_threshold; /* llm.int8: how large an input is one of outliers; 0: 6 */
  double smooth_alpha; /* smoothquant: the part of the inputs' range that goes to the weights, to 1;
                          0: searched */
  const hb_journal *journal; /* NULL: a run that is interrupted is lost */
  void *context;             /* of the functions below, each of which may be NULL */
  /* The type for one matrix instead of `type`, the recipe's. */
  hb_type (*choose)(void *context, const hb_tensor *tensor, hb_type type);
  void (*report)(void *context, const hb_quantize_report *report);
  /* Told of `done` bytes of `total` read. A result other than 0 ends the work with HB_ABORTED. */
  int (*progress)(void *context, uint64_t done, uint64_t total);
} hb_quantize_options;

/* Writes `source` to `sink` as one GGUF file with its matrices in other types. Methods:
 *
 *   rtn      rounds every value to the nearest one that its block can hold
 *   imatrix  searches for the blocks' scales with the least error, values weighted by how large
 *            their inputs are in the calibration text, or were for an importance file. The file has
 *            the inputs of the full model, the text brings those that pass through the layers as
 *            they are quantized; the bits may differ
 *   gptq     rounds column by column, and lets the columns to come make up for the error (Frantar
 *            et al., arXiv 2210.17323)
 *   awq      scales the inputs that matter up, and their weights with them, before (Lin et al.,
 *            arXiv 2306.00978); "awq+gptq" and the like
 *   spqr     gptq with the values that would cost most kept beside the blocks (Dettmers et al.,
 *            arXiv 2306.03078)
 *   hqq      searches for scales and zero points without text (Badri and Shaji)
 *   squeezellm  tables of levels for each row, the types TABLE4 and TABLE3 (Kim et al., arXiv
 *            2306.07629), errors weighted by the squared gradients that a file has, or, as text
 *            tells, by the squares of inputs instead
 *   channel  8 bits with one scale a row, as Q8_0
 *   smoothquant  channel, with inputs' outliers moved into the weights (Xiao et al., arXiv
 *            2211.10438)
 *   llm.int8  channel, with the columns that are often large kept in half precision (Dettmers et
 *            al., arXiv 2208.07339)
 *   zeroquant  rtn; like the two before, it lets the run round a row of inputs to int8 with one
 *            scale ("token"; Yao et al., arXiv 2206.01861)
 *   nf4, fp4  rtn onto the types of these names
 *
 * The types NF4 and FP4 are those of QLoRA (arXiv 2305.14314), whose scales are quantized, too.
 * With them, tables, outliers, or activations other than "block", the file is one that only
 * halfbyte reads.
 *
 * Those that calibrate go through the model layer by layer, and write the layers in their order.
 * Vectors, norms, biases, positions, RoPE factors and routers of experts are copied, and so are
 * matrices that have their type already. A matrix whose rows do not divide into the type's blocks
 * gets another one, and its report says so. Metadata are copied but for general.file_type,
 * general.quantization_version, split.*, and what the file says of how it was made:
 * halfbyte.method, and halfbyte.calibration, hashes of passages of the text. HB_MODEL if a value to
 * be converted is not finite or too large for the type. Without calibration, needs some 3 MiB
 * besides a copy of the records, however large the tensors are; with it, the weights of a layer in
 * F32 twice, the calibration's tokens times the embedding length in F32, and the correlations of a
 * product's inputs in F64; with gradients, a matrix in F32 five times. */
hb_status hb_quantize(const hb_source *source, const hb_quantize_options *options,
                      const hb_sink *sink, hb_error *error);

typedef struct hb_calibrate_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* results never depend on it */
  const hb_token *calibration; /* [samples][length] */
  uint32_t calibration_samples, calibration_length;
  const hb_string *datasets; /* what the text is called, for the file alone */
  size_t dataset_count;
  void *context;
  /* Told of `done` of `total` steps; total is 0 at first. A result other than 0 ends the work with
   * HB_ABORTED. NULL: nobody. */
  int (*progress)(void *context, uint64_t done, uint64_t total);
} hb_calibrate_options;

/* Runs the model over the text in full precision, layer by layer, and writes how large the inputs
 * of each matrix in layers and of the output were: an importance file ("imatrix") in the GGUF form
 * of llama.cpp. Needs the weights of a layer in F32, and the tokens times the embedding length. */
hb_status hb_calibrate(const hb_source *source, const hb_calibrate_options *options,
                       const hb_sink *sink, hb_error *error);

/* What a budget gives a tensor. */
typedef struct hb_budget_choice {
  hb_type type;       /* the tensor's own if it is no matrix */
  uint64_t bytes;     /* of that type; 0 if it is no matrix */
  double sensitivity; /* about how much rounding it to that type disturbs the model: for a matrix in
                         a layer, relative squared change of what the layer passes on */
} hb_budget_choice;

/* Picks a type for each matrix, so that all of them together have at most `bits` bits for each
 * weight, scales included, and the sum of their sensitivities is small: Q2_K to Q6_K, Q8_0, F16,
 * or, where rows are no multiple of 256, Q4_0, Q5_0, Q8_0, F16. out: [tensors of the source], whose
 * types hb_quantize's `choose` may return. Of the options, `type` and `report` do not count;
 * calibration is needed; methods that keep values beside the blocks are refused. HB_ARGUMENT says
 * what the smallest types need if that is more than `bits`. The result depends on nothing else. */
hb_status hb_budget_choose(const hb_source *source, const hb_quantize_options *options, double bits,
                           hb_budget_choice *out, hb_error *error);

/* An adapter, as hb_model_adapt takes it. */
typedef struct hb_merge_adapter {
  const void *bytes;
  size_t size;
  double scale;
} hb_merge_adapter;

typedef struct hb_merge_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* results never depend on it */
  const hb_merge_adapter *adapters;
  size_t adapter_count; /* HB_MAX_ADAPTERS at most */
  const char *type;     /* of the matrices that adapters change; NULL: the one that each has */
  void *context;        /* of the functions below, which may be NULL and are as in
                           hb_quantize_options; matrices that change are reported */
  void (*report)(void *context, const hb_quantize_report *report);
  int (*progress)(void *context, uint64_t done, uint64_t total);
} hb_merge_options;

/* Writes a model that computes with W + factor B A instead of W, as hb_model_adapt has it, the
 * output matrix included. The sums are rounded to the nearest values of the type, as by hb_quantize
 * with "rtn"; all other tensors are copied as they are, and so are values that stand beside a
 * matrix. The same errors as of hb_model_adapt. */
hb_status hb_merge_adapters(const hb_source *source, const hb_merge_options *options,
                            const hb_sink *sink, hb_error *error);

/* ---- 12. Training (library halfbyte-train) ------------------------------------------------- */

/* X(NAME, "name"): what is trained. */
#define HB_TRAIN_METHOD_LIST(X)                                                                    \
  X(FULL, "full")     /* every weight, as it is */                                                 \
  X(QAT, "qat")       /* weights through their rounding, and the scales of their blocks */         \
  X(E2E_QP, "e2e-qp") /* the scales of blocks alone; codes stay */                                 \
  X(LORA, "lora")     /* an adapter of a frozen model of any types */                              \
  /* Layer by layer, each after the one before, for the least mean squared error of what it gives. \
   * The input is what the layers before it, as they were trained, make of the samples; tables     \
   * stay as the source has them. */                                                               \
  X(BLOCK_AP, "block-ap")   /* as qat, with norms, against the original's states behind it */      \
  X(AUTOROUND, "autoround") /* the same target; weights go at most half a step from the            \
                               original's, and scales, by signs of gradients */                    \
  X(LKD, "lkd")             /* as block-ap, against the original's layer run on the same input */

/* Documents: tokens[start[d] .. start[d + 1] - 1] each, with whatever tokens begin and end them. */
typedef struct hb_corpus {
  const hb_token *tokens;
  const uint64_t *start; /* [documents + 1] */
  uint32_t documents;
} hb_corpus;

/* A field that is 0 or NULL has the value that stands in brackets. */
typedef struct hb_train_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel; /* results never depend on it */
  hb_isa isa;
  const char *method;        /* of HB_TRAIN_METHOD_LIST [full] */
  const hb_source *original; /* the same model before it was quantized: where weights begin that are
                                trained through their rounding, as near as their codes allow (in
                                autoround as they are) [none: as they are], and the teacher; layer
                                by layer it must be there */
  hb_corpus text;            /* to learn; must outlive the trainer */
  uint64_t seed;             /* of its order, and of what begins by chance */
  uint64_t steps;            /* of the whole run; layer by layer each has an equal part of them */
  uint32_t sequences, length, accumulate; /* a step has accumulate [1] batches of sequences [8] of
                                             length tokens [256, at most the model's context] */
  uint32_t samples; /* sequences that layers are trained on, whose states are held in memory twice;
                       layer by layer alone [128, at most what the text fills] */
  double rate;      /* of AdamW, at most [1e-4; layer by layer 2e-3, in parts of a step in autoround
                       5e-3] */
  double rate_end;  /* part of it in the end [0] */
  double warmup;    /* part of the steps in which it rises [0] */
  const char *schedule; /* constant, linear or cosine [cosine; autoround linear] */
  double scale_rate;    /* of blocks' scales, in parts of themselves [rate; autoround a fifth] */
  double beta1, beta2, epsilon, decay; /* [0.9, 0.95, 1e-8, 0] */
  double damping; /* as decay, of weights that are trained through their rounding, toward what they
                     are rounded to [0; block-ap and lkd 10]; less than 0: none */
  double
      clip; /* norm of the gradient at most; less than 0: as it is [1; layer by layer as it is] */
  /* Distillation (Mishra and Marr, arXiv 1711.05852): of the original into itself quantized is
   * their scheme C, of another teacher B, of one that learns beside its student A. */
  double teacher;     /* part of the loss that is divergence from the teacher; the rest is entropy
                         [0] */
  double temperature; /* of both [1] */
  const hb_source *teacher_model; /* of any size and architecture here, with the same tokens
                                     [original]; must outlive the trainer */
  int joint; /* the teacher learns the text, too: by the same optimizer, from the text alone */
  double z;  /* weight of log(sum of exp(logits))^2 [0] */
  int round_inputs;  /* inputs of quantized matrices are rounded to int8, as when they run */
  int bf16;          /* products in bf16: faster where the machine can, with bits of its own */
  int tables;        /* e2e-qp: matrices outside of layers are trained whole, as by qat; Block-AP
                        leaves them as they were */
  int recompute;     /* layers run again on the way back: less memory */
  int small_moments; /* AdamW's moments in 8 bits */
  const hb_allocator *state_allocator; /* of their one block of memory, which may lie in a mapped
                                          file [allocator] */
  /* Of lora (Hu et al., arXiv 2106.09685; on NF4, arXiv 2305.14314). */
  uint32_t rank;            /* [8] */
  double alpha;             /* the adapter counts alpha / rank [2 * rank] */
  const char *matrices;     /* of layers, as "attn_q,attn_v" [all] */
  const char *adapter_type; /* f32, f16 or bf16 [f32] */
  const void *adapter;      /* bytes of one to begin with, whose rank, alpha and matrices count
                               [none: A begins by chance, B with zeros] */
  size_t adapter_size;
} hb_train_options;

typedef struct hb_train_report {
  uint64_t step;   /* done so far */
  uint64_t tokens; /* read so far */
  double rate;     /* of the last step */
  double loss;     /* of it, a token: what was made smaller; layer by layer a value of the state */
  double entropy;  /* of it, a token; layer by layer 0 */
  double teacher;  /* entropy of a teacher that learns, a token; else 0 */
  double norm;     /* of the gradient, before it was clipped */
  uint32_t layer;  /* that was trained, from 1 on; 0: all at once */
} hb_train_report;

typedef struct hb_trainer hb_trainer;

/* Makes a trainer of a model, whose weights are held in F32: the source's, and for QAT those of
 * `original`; lora holds the model as it is when it runs. Both sources must outlive it.
 * Architectures are llama, qwen2, qwen3 and gpt2. HB_UNSUPPORTED or HB_ARGUMENT names what cannot
 * be. */
hb_status hb_trainer_create(const hb_source *source, const hb_train_options *options,
                            hb_trainer **out, hb_error *error);
void hb_trainer_destroy(hb_trainer *trainer);

/* One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101). HB_MODEL, and nothing changed, if a
 * gradient is no number: the message has the step and the tensor. HB_STATE behind the last step. */
hb_status hb_trainer_step(hb_trainer *trainer, hb_train_report *out, hb_error *error);

/* The options with every field filled in. */
const hb_train_options *hb_trainer_options(const hb_trainer *trainer);

/* Steps that are done, those of a checkpoint among them. */
uint64_t hb_trainer_steps(const hb_trainer *trainer);

/* Entropy of a token of other text, in as many sequences as it fills. */
hb_status hb_trainer_evaluate(hb_trainer *trainer, const hb_corpus *text, double *entropy,
                              hb_error *error);

/* Writes the model as it is now: the source's file with other weights, of the same types. What was
 * quantized in training has the codes and scales that it was trained with. With lora it writes the
 * adapter alone, as hb_model_adapt takes it, rounded as it was in training. */
hb_status hb_trainer_write(hb_trainer *trainer, const hb_sink *sink, hb_error *error);

/* Writes all that a run needs to go on, and goes on from it, in a trainer with the same options and
 * sources; HB_MODEL names what differs. */
hb_status hb_trainer_save(hb_trainer *trainer, const hb_sink *sink, hb_error *error);
hb_status hb_trainer_restore(hb_trainer *trainer, const hb_source *saved, hb_error *error);

/* Runs the model over the text backward, and writes how much the loss changes with each weight of
 * the matrices, in layers and outside: a gradient file, by which "squeezellm" weighs errors. Its
 * values are the mean over samples of the squared derivative of a sample's summed loss, the
 * diagonal of the Fisher information (Kim et al., arXiv 2306.07629). Needs the model in F32 three
 * times. `datasets` do not count. HB_UNSUPPORTED as of hb_trainer_create. */
hb_status hb_calibrate_gradients(const hb_source *source, const hb_calibrate_options *options,
                                 const hb_sink *sink, hb_error *error);

/* ---- 13. Synthetic models and measuring ---------------------------------------------------- */

/* The shape of a decoder-only model. */
typedef struct hb_shape {
  uint32_t width; /* embedding length */
  uint32_t layers;
  uint32_t heads, kv_heads; /* heads divides width, kv_heads divides heads */
  uint32_t feed_forward;
  uint32_t vocabulary; /* at least 259: three control tokens and the bytes */
} hb_shape;

/* X("name", width, layers, heads, kv_heads, feed_forward, vocabulary, own output matrix). Shapes of
 * known models, from their configurations. */
#define HB_SHAPE_LIST(X)                                                                           \
  X("smollm2-135m", 576, 30, 9, 3, 1536, 49152, 0)                                                 \
  X("qwen2.5-0.5b", 896, 24, 14, 2, 4864, 151936, 0)                                               \
  X("llama-3.2-1b", 2048, 16, 32, 8, 8192, 128256, 0)                                              \
  X("llama-3-8b", 4096, 32, 32, 8, 14336, 128256, 1)

/* A model of that shape with random weights: a GGUF file that exists only as it is read. The same
 * arguments give the same bytes on every target. */
typedef struct hb_synthetic hb_synthetic;

/* `shape` is a name of HB_SHAPE_LIST or six numbers "E,L,H,KV,F,V" in the order of hb_shape.
 * `type` is the name of a supported tensor type or of a mixture: "q4_k_m", "q5_k_m", "q3_k_m".
 * Matrices whose rows do not divide into the type's blocks get the next larger type that fits.
 * HB_ARGUMENT names what is wrong. */
hb_status hb_synthetic_create(const hb_allocator *allocator, const char *shape, const char *type,
                              uint64_t seed, hb_synthetic **out, hb_error *error);
void hb_synthetic_destroy(hb_synthetic *synthetic);

/* Length of the file in bytes. */
uint64_t hb_synthetic_size(const hb_synthetic *synthetic);

/* The next bytes of the file, at most `capacity`; returns how many, 0 at its end. */
size_t hb_synthetic_read(hb_synthetic *synthetic, void *out, size_t capacity);

typedef struct hb_outlier_options {
  const hb_allocator *allocator;
  uint64_t seed; /* the same gives the same channels and factors everywhere */
  void *context; /* of progress, which may be NULL and is as in hb_quantize_options */
  int (*progress)(void *context, uint64_t done, uint64_t total);
} hb_outlier_options;

/* Writes a model that computes what `source` does, in F32, in which four channels of what the
 * attention and the feed forward of each layer read are 30 to 100 times larger: outliers, such as
 * large models have. The weights of norms are multiplied by that, and columns of matrices divided.
 * HB_UNSUPPORTED for an architecture that is not known. Library halfbyte-compress. */
hb_status hb_plant_outliers(const hb_source *source, const hb_outlier_options *options,
                            const hb_sink *sink, hb_error *error);

/* X(NAME, number, "name"): what a probe runs. */
#define HB_PROBE_LIST(X)                                                                           \
  X(READ, 0, "read")         /* adds up `rows` x `cols` bytes: the memory's speed */               \
  X(COPY, 1, "copy")         /* copies `rows` x `cols` bytes, reads and writes counted once */     \
  X(MATMUL, 2, "matmul")     /* [rows][cols] of `type` by `batch` rows of activations */           \
  X(QUANTIZE, 3, "quantize") /* `batch` rows of `cols` activations to int8 */                      \
  X(PACK, 4, "pack")         /* [rows][cols] of `type` from GGUF order into the kernels' */        \
  X(ATTEND, 5, "attend")     /* 4 heads of 64 over `rows` positions of each of `batch` KV heads */

typedef enum hb_probe_kind {
#define HB_PROBE_ENUM(name, number, text) HB_PROBE_##name = number,
  HB_PROBE_LIST(HB_PROBE_ENUM)
#undef HB_PROBE_ENUM
} hb_probe_kind;

typedef struct hb_probe_options {
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  hb_isa isa;
  hb_probe_kind kind;
  hb_type type;
  uint32_t rows, cols, batch; /* 0 counts as 1 */
} hb_probe_options;

/* A kernel with random operands, for measuring it. The library has no clock: the caller times
 * hb_probe_run, which does the work once, divided over the threads as a step divides it. */
typedef struct hb_probe hb_probe;

hb_status hb_probe_create(const hb_probe_options *options, hb_probe **out, hb_error *error);
void hb_probe_destroy(hb_probe *probe);
void hb_probe_run(hb_probe *probe);
/* Bytes of weights (or memory, or cache) that a run reads, and integer or float operations that it
 * does, a multiplication and an addition counting as two. */
uint64_t hb_probe_bytes(const hb_probe *probe);
uint64_t hb_probe_operations(const hb_probe *probe);

/* ---- 14. Host helpers (library halfbyte-host) ---------------------------------------------- */

/* Processors that this process may use: from 1 to HB_MAX_THREADS. */
uint32_t hb_cpu_count(void);

/* Seconds since some fixed moment; never runs backwards. */
double hb_clock(void);

/* A seed that differs from call to call, from the system's random numbers where it has them. */
uint64_t hb_random_seed(void);

/* A pool of threads that wait for work: briefly awake, then asleep. */
typedef struct hb_threads hb_threads;

/* A pool of `count` threads (0: hb_cpu_count()), the caller of its hb_parallel being one of them.
 */
hb_status hb_threads_create(uint32_t count, hb_threads **out, hb_error *error);
void hb_threads_destroy(hb_threads *threads);

/* The pool as sessions take it. Belongs to the pool and must not be run from two threads at once.
 */
const hb_parallel *hb_threads_parallel(const hb_threads *threads);

/* Told how far a file is. A result other than 0 ends the work with HB_ABORTED. */
typedef struct hb_file_progress {
  void *context;
  int (*report)(void *context, uint64_t done, uint64_t total); /* bytes */
} hb_file_progress;

/* Memory for models: the C library's, but for large blocks, which come from the system, in huge
 * pages where it has them. */
const hb_allocator *hb_host_allocator(void);

/* Memory in a file, which the system takes into memory and puts back as there is room: for what is
 * large and seldom touched, as the state of an optimizer. */
typedef struct hb_paged hb_paged;

/* The file must not be there yet; nobody else sees it, and it goes away with the memory. HB_IO
 * names the path. */
hb_status hb_paged_create(const char *path, hb_paged **out, hb_error *error);
/* When all that its allocator gave is released. */
void hb_paged_destroy(hb_paged *paged);
const hb_allocator *hb_paged_allocator(const hb_paged *paged);

/* Loads a model from a GGUF file, and of a split model, whose first file NAME-00001-of-0000N.gguf
 * is given, all files; or from a folder, as hb_source_open has it. The files are read piece by
 * piece, mapped where they can be, and must not be shortened meanwhile. Without an allocator in the
 * options it is hb_host_allocator's memory. `progress` may be NULL; it is told a total of 0 where
 * that is unknown. Errors name the path. */
hb_status hb_load_file(const char *path, const hb_load_options *options,
                       const hb_file_progress *progress, hb_model **out, hb_error *error);

/* The bytes of a file, read-only: mapped where the system can, else read into memory. Zero it to
 * begin. */
typedef struct hb_file {
  const uint8_t *data;
  uint64_t size;
  int mapped;
} hb_file;

hb_status hb_file_open(const char *path, hb_file *out, hb_error *error);
void hb_file_close(hb_file *file);

/* Opens the files of a model (of a split one, the first is given), whatever its architecture, as
 * hb_quantize takes them. The same holds for them as for hb_load_file.
 *
 * A folder of Hugging Face counts as one GGUF file: config.json, model.safetensors (or
 * model.safetensors.index.json and the files beside it that it lists; F32, F16 or BF16),
 * tokenizer.json or tokenizer.model, and, if they are there, generation_config.json,
 * tokenizer_config.json, special_tokens_map.json and chat_template.jinja. Its header is made when
 * it is opened; the tensors stay where they are, and are brought into the order that GGUF has as
 * they are read: their values are exactly those of the folder, vectors and positions as F32.
 * HB_UNSUPPORTED names what an architecture does not compute, whether the folder asks for it by a
 * setting or by a tensor. */
hb_status hb_source_open(const char *path, hb_source *out, hb_error *error);
void hb_source_close(hb_source *source);
/* 1 if `path` leads to one of the files of a source from hb_source_open. */
int hb_source_includes(const hb_source *source, const char *path);

/* A file that appears under its name only when it is complete: written under a temporary name in
 * the same folder, flushed to the disk and renamed. Devices and pipes are written directly. */
typedef struct hb_output hb_output;

hb_status hb_output_create(const char *path, hb_output **out, hb_error *error);
hb_status hb_output_write(hb_output *output, const void *bytes, size_t count, hb_error *error);
hb_status hb_output_commit(hb_output *output, hb_error *error);
/* Without a commit, the file that was there before stays and the temporary one is removed, or, if
 * marks were noted for it, is left as it is. */
void hb_output_destroy(hb_output *output);

/* An output that a later run can go on with: it is written to PATH.unfinished, and its marks to
 * PATH.unfinished.journal beside it. With `resume`, the journal has what an earlier run left, if
 * there is something. HB_IO if another run is writing it. */
hb_status hb_output_create_journaled(const char *path, int resume, hb_output **out,
                                     hb_error *error);
/* To be given to hb_quantize. Belongs to the output; NULL for devices and pipes. */
const hb_journal *hb_output_journal(const hb_output *output);
/* How many marks there are. */
size_t hb_output_marks(const hb_output *output);
/* Gives them up: what was written is of no use. */
void hb_output_give_up(hb_output *output);

#ifdef __cplusplus
}
#endif

#endif
