/* Options of the command line: each is declared once, in CLI_OPTION_LIST, with its name, the field
 * it sets, its range, its default and its help. Commands say which of them they take; two options
 * may share a name if no command takes both. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "halfbyte.h"

#include <stdbool.h>

#define CLI_MAX_LIST 16 /* times that an option may be repeated */
#define CLI_MAX_OPERANDS 3

typedef enum cli_split { SPLIT_WHOLE, SPLIT_PIECES, SPLIT_SINGLE } cli_split;
/* How a text is cut for measuring: as llama.cpp or as Hugging Face does. */
typedef enum cli_convention { CONVENTION_LLAMA, CONVENTION_HF } cli_convention;

/* The values of an option that may be repeated. */
typedef struct cli_list {
  const char *texts[CLI_MAX_LIST];
  uint32_t count;
} cli_list;

/* X(ID, letter or 0, name, argument or NULL, kind, field, least, most, default or NULL, help) */
#define CLI_OPTION_LIST(X)                                                                         \
  X(MODEL, 'm', "model", "FILE", TEXT, model, 0, 0, NULL,                                          \
    "the model, a GGUF file (of a split one, the first) or a folder")                              \
  X(LORA, 0, "lora", "FILE[=SCALE]", LIST, adapters, 0, 0, NULL,                                   \
    "add a LoRA adapter, a GGUF file, times a scale; may be repeated")                             \
  X(PROMPT, 'p', "prompt", "TEXT", TEXT, prompt, 0, 0, NULL, "the text to begin with; - reads it") \
  X(TEXT_FILE, 'f', "file", "TEXT", TEXT, text_file, 0, 0, NULL, "the file with the text")         \
  X(TOKENS, 0, "tokens", "1,2,3", TEXT, tokens, 0, 0, NULL, "the ids of the tokens")               \
  X(OUTPUT, 'o', "output", "OUT", TEXT, output, 0, 0, NULL, "the file to write")                   \
  X(FLOAT_TYPE, 0, "type", "TYPE", TEXT, type, 0, 0, NULL,                                         \
    "the type of the matrices: f32 f16 bf16 (default: as they are)")                               \
  X(TYPE, 0, "type", "TYPE", TEXT, type, 0, 0, NULL,                                               \
    "the type of the matrices: f16, q4_0, q4_k .. or a mixture: q4_k_m ..")                        \
  X(MERGED_TYPE, 0, "type", "TYPE", TEXT, type, 0, 0, NULL,                                        \
    "the type of the matrices that change: f16, q8_0 .. (default: as they are)")                   \
  X(TENSOR_RULES, 0, "tensor", "RULES", TEXT, tensor_rules, 0, 0, NULL,                            \
    "other types by name: attn_v=q6_k,ffn_down.*=q5_k; the first that fits counts")                \
  X(BITS_PER_WEIGHT, 0, "bits-per-weight", "N", F32, bits_per_weight, 0.5, 32, NULL,               \
    "instead of a type: one for each matrix, under this budget; measured with text")               \
  X(ALLOW_REQUANTIZE, 0, "allow-requantize", NULL, FLAG, allow_requantize, 0, 0, NULL,             \
    "take a model that is quantized already: its errors add up")                                   \
  X(RESUME, 0, "resume", NULL, FLAG, resume, 0, 0, NULL,                                           \
    "go on with OUT.unfinished, which an interrupted run with the same arguments left")            \
  X(METHOD, 0, "method", "M", TEXT, method, 0, 0, NULL,                                            \
    "how: rtn gptq awq+gptq ..; the methods stand above")                                          \
  X(CALIBRATION, 0, "calibration", "TEXT", LIST, calibration, 0, 0, NULL,                          \
    "a file with text to calibrate with, plain or .jsonl, or self; may be repeated")               \
  X(IMATRIX, 0, "imatrix", "FILE", TEXT, imatrix, 0, 0, NULL,                                      \
    "an importance file from calibrate instead of text; the method is imatrix")                    \
  X(GRADIENTS, 0, "gradients", "FILE", TEXT, gradients, 0, 0, NULL,                                \
    "squeezellm: a gradient file of the model instead of text")                                    \
  X(ACTIVATIONS, 0, "activations", "HOW", TEXT, activations, 0, 0, NULL,                           \
    "int8 inputs with a scale a block, token, tensor or tensor-max (default: the method's)")       \
  X(GRANULARITY, 0, "granularity", "WHAT", TEXT, granularity, 0, 0, NULL,                          \
    "rtn: what shares a scale: tensor channel group block; q4_0 q5_0 q8_0, q4_1 q5_1")             \
  X(GROUP_SIZE, 0, "group-size", "N", U32, group_size, 32, 1 << 16, NULL,                          \
    "columns of a group (default 128)")                                                            \
  X(OUTLIERS, 0, "outliers", "PART", F32, outliers, 0, 0.5, "0",                                   \
    "spqr, squeezellm: the part of the values kept in half precision; 0: the usual")               \
  X(OUTLIER_THRESHOLD, 0, "outlier-threshold", "X", F32, outlier_threshold, 0.01, 1e9, "6",        \
    "llm.int8: columns with such inputs at 6 % of the tokens are kept in half precision")          \
  X(SMOOTH_ALPHA, 0, "smooth-alpha", "A", F32, smooth_alpha, 0, 1, "0",                            \
    "smoothquant: the part of inputs' range that goes to the weights; 0: searched")                \
  X(CALIBRATION_SAMPLES, 0, "calibration-samples", "N", U32, calibration_samples, 1, 1 << 20,      \
    "128", "pieces of the text that are used, evenly spread")                                      \
  X(CALIBRATION_LENGTH, 0, "calibration-length", "N", U32, calibration_length, 16, 1 << 20, "512", \
    "tokens of a piece, at most the model's context")                                              \
  X(CALIBRATION_SEED, 0, "calibration-seed", "S", U64, calibration_seed, 0, 0x1p64, NULL,          \
    "draw the pieces instead of spreading them evenly")                                            \
  X(SHAPE, 0, "shape", "SHAPE", TEXT, shape, 0, 0, NULL,                                           \
    "a known model's name, or its sizes E,L,H,KV,F,V")                                             \
  X(PLANT, 0, "outliers", "MODEL", TEXT, plant, 0, 0, NULL,                                        \
    "write this model instead, in F32, with outliers that leave its results as they are")          \
  X(WEIGHTS, 0, "type", "TYPE", TEXT, weights, 0, 0, "q4_0",                                       \
    "the type of the matrices, or a mixture: q4_k_m q5_k_m q3_k_m")                                \
  X(MAX_TOKENS, 'n', "max-tokens", "N", U32, max_tokens, 0, UINT32_MAX, "256",                     \
    "how many tokens to generate; 0: until the context is full")                                   \
  X(TEMPERATURE, 0, "temp", "T", F32, temperature, 0, 100, "0.8",                                  \
    "temperature; 0 takes the likeliest token")                                                    \
  X(TOP_K, 0, "top-k", "K", U32, top_k, 0, UINT32_MAX, "0", "keep the K likeliest tokens; 0: all") \
  X(TOP_P, 0, "top-p", "P", F32, top_p, 0, 1, "0.95",                                              \
    "keep the likeliest tokens that together reach P")                                             \
  X(MIN_P, 0, "min-p", "P", F32, min_p, 0, 1, "0.05",                                              \
    "drop tokens less likely than P times the likeliest")                                          \
  X(REPEAT_PENALTY, 0, "repeat-penalty", "R", F32, repeat_penalty, 0.01, 100, "1",                 \
    "divide the logits of recent tokens; 1: off")                                                  \
  X(SEED, 0, "seed", "S", U64, seed, 0, 0x1p64, NULL,                                              \
    "seed of the draws (default: another each time)")                                              \
  X(PROMPT_LENGTH, 'p', "prompt-length", "N", U32, prompt_length, 1, 1 << 20, "128",               \
    "tokens of the prompt")                                                                        \
  X(GENERATED, 'n', "generate", "N", U32, generated, 1, 1 << 20, "32", "tokens to generate")       \
  X(REPEATS, 'r', "repeat", "N", U32, repeats, 1, 100, "5", "how often each figure is taken")      \
  X(DEPTH, 0, "depth", "N", U32, depth, 0, 1 << 20, "0",                                           \
    "positions of the context that are full already")                                              \
  X(THREAD_COUNTS, 't', "threads", "1,2", TEXT, thread_counts, 0, 0, NULL,                         \
    "thread counts to compare (default: 1 and one a processor)")                                   \
  X(JSON, 0, "json", NULL, FLAG, json, 0, 0, NULL, "print JSON")                                   \
  X(KERNELS, 0, "kernels", NULL, FLAG, kernels, 0, 0, NULL,                                        \
    "measure each kernel and type alone instead of a model")                                       \
  X(WEIGHT_SEED, 0, "seed", "S", U64, weight_seed, 0, 0x1p64, "1",                                 \
    "seed of the weights or the outliers")                                                         \
  X(STOP, 0, "stop", "TEXT", LIST, stops, 0, 0, NULL, "end before this text; may be repeated")     \
  X(IGNORE_EOS, 0, "ignore-eos", NULL, FLAG, ignore_eos, 0, 0, NULL,                               \
    "go on after the end of the text")                                                             \
  X(CONTEXT, 'c', "ctx", "N", U32, context, 1, UINT32_MAX, NULL, "positions of the context")       \
  X(CHUNKS, 0, "chunks", "N", U32, chunks, 1, UINT32_MAX, NULL,                                    \
    "measure the first N pieces of the text only")                                                 \
  X(CONVENTION, 0, "convention", "WHOSE", CONVENTION, convention, 0, 0, "llama",                   \
    "how the text is cut and scored: llama (llama.cpp) or hf (Hugging Face)")                      \
  X(REPORT, 0, "report", "DIR", TEXT, report, 0, 0, NULL,                                          \
    "add the result to the report in this folder, a page and JSON")                                \
  X(RATED, 0, "report", "DIR", TEXT, report, 0, 0, NULL,                                           \
    "a folder with a report of this model, which tells qualities")                                 \
  X(MEMORY, 0, "memory", "SIZE", SIZE, memory, 0, 0, NULL, "memory that there is, such as 2G")     \
  X(SPEED, 0, "speed", "N", F32, speed, 0.01, 100000, "5", "tokens a second that are wanted")      \
  X(SPLIT, 0, "split", "HOW", SPLIT, split, 0, 0, "whole",                                         \
    "how tokens are appended: whole, pieces or single")                                            \
  X(IDS, 0, "ids", NULL, FLAG, ids, 0, 0, NULL, "print the ids alone, in one line")                \
  X(SPECIAL, 0, "special", NULL, FLAG, special, 0, 0, NULL,                                        \
    "read control tokens such as <|im_end|> in the text")                                          \
  X(NO_BOS, 0, "no-bos", NULL, FLAG, no_bos, 0, 0, NULL,                                           \
    "do not add the tokens that begin and end a text")                                             \
  X(TENSORS, 0, "tensors", NULL, FLAG, list_tensors, 0, 0, NULL, "list the tensors")               \
  X(KEYS, 0, "keys", NULL, FLAG, list_keys, 0, 0, NULL, "list the metadata")                       \
  X(PROGRAM, 0, "program", NULL, FLAG, list_program, 0, 0, NULL,                                   \
    "list the operations of a forward pass")                                                       \
  X(INIT, 0, "init", "MODEL", TEXT, model, 0, 0, NULL,                                             \
    "the model to begin with; a config.json, or a folder without weights: random ones")            \
  X(DATA, 0, "data", "FILE", LIST, data, 0, 0, NULL,                                               \
    "text to learn, plain or .jsonl; may be repeated")                                             \
  X(VALIDATION, 0, "validation", "FILE", LIST, validation, 0, 0, NULL,                             \
    "text to measure on, now and then")                                                            \
  X(OUT_FOLDER, 0, "out", "DIR", TEXT, output, 0, 0, NULL,                                         \
    "a folder for model.gguf or adapter.gguf, checkpoint.gguf, log.jsonl and training.html")       \
  X(STEPS, 0, "steps", "N", U32, steps, 1, UINT32_MAX, NULL, "steps of the whole run")             \
  X(TRAIN_METHOD, 0, "method", "M", TEXT, method, 0, 0, NULL,                                      \
    "what is trained: qat, e2e-qp, lora, block-ap, autoround or lkd")                              \
  X(ORIGINAL, 0, "original", "MODEL", TEXT, original, 0, 0, NULL,                                  \
    "the model before it was quantized: where weights begin, and what is followed")                \
  X(TEACHER, 0, "teacher", "PART", F32, teacher, 0, 1, "0",                                        \
    "part of the loss that is divergence from the teacher, the rest being entropy")                \
  X(TEACHER_MODEL, 0, "teacher-model", "MODEL", TEXT, teacher_model, 0, 0, NULL,                   \
    "who teaches, of any size with the same tokens; a config.json: at random (the original)")      \
  X(JOINT, 0, "joint", NULL, FLAG, joint, 0, 0, NULL, "the teacher learns the text, too")          \
  X(TRAIN_TEMPERATURE, 0, "temperature", "T", F32, distillation, 0.1, 100, "1",                    \
    "at which divergence from the teacher is taken")                                               \
  X(RATE, 0, "rate", "R", F32, rate, 1e-12, 1, NULL,                                               \
    "learning rate at its highest (default: 1e-4; block-ap, lkd: 0.002; autoround: 0.005)")        \
  X(SCALE_RATE, 0, "scale-rate", "R", F32, scale_rate, 0, 1, "0",                                  \
    "that of blocks' scales, in parts of themselves; 0: the same, autoround a fifth")              \
  X(RATE_END, 0, "rate-end", "PART", F32, rate_end, 0, 1, "0", "part of the rate in the end")      \
  X(WARMUP, 0, "warmup", "PART", F32, warmup, 0, 1, "0", "part of the steps in which it rises")    \
  X(SCHEDULE, 0, "schedule", "NAME", TEXT, schedule, 0, 0, NULL,                                   \
    "of the rate: constant, linear or cosine (default: cosine; autoround: linear)")                \
  X(DECAY, 0, "decay", "D", F32, decay, 0, 10, "0", "of weights, a step, in parts of the rate")    \
  X(DAMPING, 0, "damping", "D", F32, damping, 0, 1e4, NULL,                                        \
    "as decay, but toward what weights are rounded to (0; block-ap, lkd 10)")                      \
  X(CLIP, 0, "clip", "N", F32, clip, 0, 1e30, NULL,                                                \
    "norm of the gradient at most; 0: any (default: 1; layer by layer: any)")                      \
  X(Z_LOSS, 0, "z-loss", "W", F32, z, 0, 1, "0",                                                   \
    "weight in the loss of log(sum of exp(logits))^2, which keeps logits small")                   \
  X(SEQUENCES, 0, "sequences", "N", U32, sequences, 1, 1 << 16, "8", "of a batch")                 \
  X(LENGTH, 0, "length", "N", U32, length, 2, 1 << 20, NULL,                                       \
    "tokens of a sequence (default: 256, at most the context)")                                    \
  X(ACCUMULATE, 0, "accumulate", "N", U32, accumulate, 1, 1 << 20, "1", "batches of a step")       \
  X(SAMPLES, 0, "samples", "N", U32, samples, 1, UINT32_MAX, NULL,                                 \
    "sequences that layers are trained on, held in memory (default: 128)")                         \
  X(BF16, 0, "bf16", NULL, FLAG, bf16, 0, 0, NULL,                                                 \
    "products in bf16: faster where the machine can, with bits of its own")                        \
  X(RECOMPUTE, 0, "recompute", NULL, FLAG, recompute, 0, 0, NULL,                                  \
    "run layers again on the way back instead of keeping them")                                    \
  X(ROUND_INPUTS, 0, "round-inputs", NULL, FLAG, round_inputs, 0, 0, NULL,                         \
    "round inputs of quantized matrices to int8, as when they run")                                \
  X(TABLES, 0, "tables", NULL, FLAG, tables, 0, 0, NULL,                                           \
    "e2e-qp: train tables of tokens whole, as qat does; block-ap leaves them")                     \
  X(SMALL_MOMENTS, 0, "small-moments", NULL, FLAG, small_moments, 0, 0, NULL,                      \
    "keep the optimizer's moments in 8 bits")                                                      \
  X(STATE, 0, "state", "FILE", TEXT, state, 0, 0, NULL,                                            \
    "keep the optimizer's state in a file, which is made and goes away again")                     \
  X(RANK, 0, "rank", "N", U32, rank, 1, HB_MAX_RANK, NULL, "lora: rank of the adapter (8)")        \
  X(ALPHA, 0, "alpha", "A", F32, alpha, 1e-3, 1e6, NULL,                                           \
    "lora: the adapter counts A / rank (twice the rank)")                                          \
  X(MATRICES, 0, "matrices", "NAMES", TEXT, matrices, 0, 0, NULL,                                  \
    "lora: those that are adapted, as attn_q,attn_v (all in layers)")                              \
  X(ADAPTER_TYPE, 0, "type", "TYPE", TEXT, type, 0, 0, NULL,                                       \
    "lora: type of the adapter: f32, f16 or bf16 (f32)")                                           \
  X(FIRST_ADAPTER, 0, "lora", "FILE", TEXT, adapter, 0, 0, NULL, "lora: an adapter to go on with") \
  X(SAVE_EVERY, 0, "save-every", "N", U32, save_every, 1, UINT32_MAX, "200",                       \
    "steps between checkpoints, each with a measurement")                                          \
  X(TRAIN_RESUME, 0, "resume", NULL, FLAG, resume, 0, 0, NULL,                                     \
    "go on with DIR/checkpoint.gguf, which a run with the same arguments left")                    \
  X(ORDER_SEED, 0, "seed", "S", U64, weight_seed, 0, 0x1p64, "1",                                  \
    "of the order of the text, and of weights that begin at random")                               \
  X(THREADS, 't', "threads", "N", U32, threads, 1, HB_MAX_THREADS, NULL,                           \
    "threads (default: one a processor)")                                                          \
  X(ISA, 0, "isa", "NAME", ISA, isa, 0, 0, NULL, "instruction set: scalar avx2 avx512 amx neon")   \
  X(KV, 0, "kv", "TYPE", KV, kv, 0, 0, "f16", "type of the KV cache: f16 or f32")                  \
  X(STATS, 0, "stats", NULL, FLAG, stats, 0, 0, NULL, "also print sizes, threads and load time")   \
  X(HELP, 'h', "help", NULL, FLAG, help, 0, 0, NULL, "show this help")

typedef enum cli_option_id {
#define CLI_OPTION_ENUM(id, ...) OPTION_##id,
  CLI_OPTION_LIST(CLI_OPTION_ENUM)
#undef CLI_OPTION_ENUM
      OPTION_COUNT
} cli_option_id;

/* The options that a command takes or needs, ended by OPTION_COUNT. */
#define CLI_OPTIONS(...) ((const cli_option_id[]){__VA_ARGS__, OPTION_COUNT})

typedef struct cli_options {
  const char *model, *prompt, *text_file, *output, *tokens, *shape, *weights, *plant;
  const char *thread_counts, *report;
  uint32_t max_tokens, threads, context, chunks, prompt_length, generated, repeats, depth;
  uint64_t seed, weight_seed, memory;
  float speed, temperature, top_p, min_p, repeat_penalty;
  uint32_t top_k;
  hb_isa isa;
  hb_kv_type kv;
  cli_split split;
  cli_convention convention;
  const char *type, *method;
  const char *imatrix, *gradients;
  cli_list adapters, calibration, data, validation;
  const char *original, *teacher_model, *schedule, *state, *matrices, *adapter;
  uint32_t steps, sequences, length, accumulate, samples, save_every, rank;
  float teacher, distillation, z, rate, scale_rate, rate_end, warmup, decay, damping, clip, alpha;
  bool bf16, recompute, round_inputs, small_moments, tables, joint;
  uint32_t calibration_samples, calibration_length;
  uint64_t calibration_seed;
  const char *activations, *tensor_rules, *granularity;
  uint32_t group_size;
  float outliers, outlier_threshold, smooth_alpha, bits_per_weight;
  bool allow_requantize, resume, ignore_eos, stats, list_tensors, list_keys, list_program, ids,
      special, no_bos, json, kernels, help;
  cli_list stops;
  const char *operands[CLI_MAX_OPERANDS];
  uint32_t operand_count;
  bool given[OPTION_COUNT]; /* whether the option stood on the command line */
} cli_options;

/* A subcommand: what it is called, what it takes, what it does. */
typedef struct cli_command {
  const char *name;
  const char *operands; /* "IN OUT", or "" */
  const char *summary;
  const char *details;                /* more for --help, or NULL */
  const cli_option_id *takes, *needs; /* CLI_OPTIONS, or NULL: none; HELP is always taken */
  uint32_t least_operands, most_operands;
  int (*run)(const cli_options *options); /* returns the exit code */
} cli_command;

/* Exit codes. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* Parses what stands behind the command's name. On a mistake says so on stderr and returns false.
 */
bool cli_parse(const cli_command *command, int count, char **arguments, cli_options *out);

void cli_print_help(const cli_command *command);

/* Whether an option stood on the command line. */
bool cli_given(const cli_options *options, cli_option_id id);

#endif
