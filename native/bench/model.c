/*
 * halfbyte bench: how fast a model runs here.
 *
 * Each figure is taken --repeat times, after one time that does not count, the thread counts taking
 * turns; its median is told, and as its spread the largest less the smallest.
 *
 *   prefill           tokens/s of appending --prompt-length tokens at once, logits of the last one
 *   decode            tokens/s of appending --generate tokens one by one, with logits
 *   decodeGBps        bytes of weights that a decoded token reads - all but those of an embedding
 *                     that is not the output matrix too - times decode
 *   readGBps          what plain reading of as many bytes reaches (at least 64 MiB, at most 1 GiB)
 *   prefillGops       operations in products of the prefill - two for each weight of a layer and
 *                     token, and for the output matrix once - times its speed
 *   loadSeconds       from opening the file to a model that can run; of --shape, without the time
 *                     that making the weights takes. At most three times, and not again after 3 s
 *   firstTokenSeconds from a loaded model to the first token: prefill and greedy sampling
 *   peakBytes         the most memory that the process held before its memory was read: a loaded
 *                     model, one session, a prompt and tokens decoded with each thread count
 *
 * With --depth N the context holds N tokens already. Tokens are taken from all over the vocabulary.
 */
#include "bench.h"

#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>

#define FIGURE_LIST(X)                                                                             \
  X(PREFILL, "prefill")                                                                            \
  X(DECODE, "decode")                                                                              \
  X(DECODE_GBPS, "decodeGBps")                                                                     \
  X(READ_GBPS, "readGBps")                                                                         \
  X(PREFILL_GOPS, "prefillGops")                                                                   \
  X(LOAD_SECONDS, "loadSeconds")                                                                   \
  X(FIRST_TOKEN_SECONDS, "firstTokenSeconds")

enum { MOST_LOADS = 3 };
#define LOAD_SECONDS 3.0
#define MOST_READ ((uint64_t)1 << 30)

typedef enum figure {
#define FIGURE_ENUM(id, name) FIGURE_##id,
  FIGURE_LIST(FIGURE_ENUM)
#undef FIGURE_ENUM
      FIGURES
} figure;

/* One thread count. */
typedef struct runner {
  hb_threads *threads;
  samples figures[FIGURES];
} runner;

typedef struct bench {
  const cli_options *options;
  thread_counts counts;
  runner runners[BENCH_MOST_COUNTS];
  hb_parallel parallel; /* of the runner whose turn it is: each step and probe looks at it anew */
  hb_model *model;
  hb_model_info info;
  hb_session *session;
  hb_probe *read;
  hb_sampler *sampler;
  hb_token *tokens; /* of the depth, the prompt and what is generated */
  double decode_bytes, prefill_operations;
} bench;

/* ---- Loading ---- */

/* Feeds a loader a model of the shape that --shape names; *seconds is the time of making it. */
static hb_status feed_synthetic(const cli_options *options, hb_loader *loader, double *seconds,
                                hb_error *error) {
  static const size_t piece_bytes = (size_t)4 << 20;
  hb_synthetic *synthetic;
  hb_status status = hb_synthetic_create(NULL, options->shape, options->weights,
                                         options->weight_seed, &synthetic, error);
  if (status != HB_OK) return status;
  uint8_t *piece = malloc(piece_bytes);
  if (piece) {
    status = hb_loader_begin_file(loader, hb_synthetic_size(synthetic), error);
  } else {
    *error = (hb_error){HB_MEMORY, HB_NO_OFFSET, "no memory for a piece of a model"};
    status = HB_MEMORY;
  }
  for (size_t count = 1; status == HB_OK && count > 0;) {
    double start = hb_clock();
    count = hb_synthetic_read(synthetic, piece, piece_bytes);
    *seconds += hb_clock() - start;
    if (count > 0) status = hb_loader_feed(loader, piece, count, error);
  }
  free(piece);
  hb_synthetic_destroy(synthetic);
  return status;
}

static hb_status load_synthetic(const cli_options *options, const hb_load_options *load,
                                hb_model **out, double *making, hb_error *error) {
  hb_loader *loader;
  hb_status status = hb_loader_create(load, &loader, error);
  if (status != HB_OK) return status;
  status = feed_synthetic(options, loader, making, error);
  if (status == HB_OK) status = hb_loader_finish(loader, out, error);
  hb_loader_destroy(loader);
  return status;
}

/* Loads the model in the place of the one before. */
static bool load_model(bench *b, runner *r) {
  const cli_options *o = b->options;
  hb_error error;
  hb_load_options load = {
      .allocator = hb_host_allocator(), .parallel = hb_threads_parallel(r->threads), .isa = o->isa};
  hb_model_destroy(b->model);
  b->model = NULL;
  double start = hb_clock(), making = 0;
  hb_status status = o->shape ? load_synthetic(o, &load, &b->model, &making, &error)
                              : hb_load_file(o->model, &load, NULL, &b->model, &error);
  if (status != HB_OK) {
    cli_fail_error(&error);
    return false;
  }
  bench_add(&r->figures[FIGURE_LOAD_SECONDS], hb_clock() - start - making);
  return true;
}

/* Loads with each thread count, in turns; the last model stays. */
static bool load_models(bench *b) {
  double start = hb_clock();
  for (int repeat = 0; repeat < MOST_LOADS && (repeat == 0 || hb_clock() - start < LOAD_SECONDS);
       repeat++)
    for (uint32_t i = 0; i < b->counts.count; i++)
      if (!load_model(b, &b->runners[i])) return false;
  return true;
}

/* ---- Running ---- */

static void count_work(bench *b) {
  const hb_gguf *gguf = hb_model_gguf(b->model);
  const hb_tensor *embedding = hb_gguf_tensor(gguf, "token_embd.weight");
  bool own_output = hb_gguf_tensor(gguf, "output.weight") != NULL;
  double table = (double)b->info.vocabulary * b->info.width;
  double layers = (double)b->info.parameters - (own_output ? 2 : 1) * table;
  b->decode_bytes = (double)b->info.weight_bytes;
  if (own_output && embedding) b->decode_bytes -= (double)embedding->bytes;
  b->prefill_operations = 2 * layers * b->options->prompt_length + 2 * table;
}

/* Makes the tokens of the depth, the prompt and what is generated, and a session that holds the
 * first of them. */
static hb_status open_session(bench *b, hb_error *error) {
  const cli_options *o = b->options;
  uint32_t length = o->depth + o->prompt_length + o->generated;
  hb_session_options session = {.allocator = hb_host_allocator(),
                                .parallel = &b->parallel,
                                .context_length = length,
                                .kv = o->kv};
  hb_status status = hb_session_create(b->model, &session, &b->session, error);
  if (status != HB_OK) return status;
  b->tokens = malloc(length * sizeof *b->tokens);
  if (!b->tokens) {
    *error = (hb_error){HB_MEMORY, HB_NO_OFFSET, "no memory for the tokens"};
    return HB_MEMORY;
  }
  for (uint32_t i = 0; i < length; i++)
    b->tokens[i] = (hb_token)((uint64_t)i * 7919 % b->info.vocabulary);
  return hb_session_append(b->session, b->tokens, o->depth, error);
}

/* Takes every figure of running once, unless it is only for warming up. */
static hb_status take(bench *b, runner *r, bool counts, hb_error *error) {
  const cli_options *o = b->options;
  const hb_token *prompt = b->tokens + o->depth, *next = prompt + o->prompt_length;
  b->parallel = *hb_threads_parallel(r->threads);
  hb_status status = hb_session_rewind(b->session, o->depth);
  double start = hb_clock();
  if (status == HB_OK) status = hb_session_append(b->session, prompt, o->prompt_length, error);
  double prefilled = hb_clock();
  if (status != HB_OK) return status;
  hb_sampler_sample(b->sampler, hb_session_logits(b->session, 0), NULL);
  double sampled = hb_clock();
  for (uint32_t i = 0; status == HB_OK && i < o->generated; i++)
    status = hb_session_append(b->session, next + i, 1, error);
  double end = hb_clock();
  if (!counts) return status;
  double decode = o->generated / (end - sampled);
  bench_add(&r->figures[FIGURE_PREFILL], o->prompt_length / (prefilled - start));
  bench_add(&r->figures[FIGURE_PREFILL_GOPS], b->prefill_operations / (prefilled - start) * 1e-9);
  bench_add(&r->figures[FIGURE_FIRST_TOKEN_SECONDS], sampled - start);
  bench_add(&r->figures[FIGURE_DECODE], decode);
  bench_add(&r->figures[FIGURE_DECODE_GBPS], decode * b->decode_bytes * 1e-9);
  return status;
}

/* The session, and everything once that does not count. */
static hb_status warm_up(bench *b, hb_error *error) {
  hb_sampler_options greedy = hb_sampler_defaults();
  hb_model_get_info(b->model, &b->info);
  count_work(b);
  b->parallel = *hb_threads_parallel(b->runners[b->counts.count - 1].threads);
  hb_status status = hb_sampler_create(NULL, b->info.vocabulary, &greedy, &b->sampler, error);
  if (status == HB_OK) status = open_session(b, error);
  for (uint32_t i = 0; status == HB_OK && i < b->counts.count; i++)
    status = take(b, &b->runners[i], false, error);
  return status;
}

/* Everything as often as asked for. Where there is no memory to read, the speed of it stays 0. */
static hb_status run_all(bench *b, hb_error *error) {
  uint64_t bytes = (uint64_t)b->decode_bytes;
  hb_status status = HB_OK;
  b->read = bench_read_probe(&b->parallel, bytes < MOST_READ ? bytes : MOST_READ);
  for (uint32_t repeat = 0; repeat < b->options->repeats; repeat++)
    for (uint32_t i = 0; status == HB_OK && i < b->counts.count; i++) {
      runner *r = &b->runners[i];
      status = take(b, r, true, error);
      if (b->read) bench_add(&r->figures[FIGURE_READ_GBPS], bench_read_speed(b->read));
    }
  return status;
}

/* ---- Telling ---- */

static void print_json(const bench *b, uint64_t peak) {
  static const char *const names[] = {
#define FIGURE_NAME(id, name) name,
      FIGURE_LIST(FIGURE_NAME)
#undef FIGURE_NAME
  };
  char cpu[64];
  bench_cpu(cpu);
  printf("[");
  for (uint32_t i = 0; i < b->counts.count; i++) {
    printf("%s\n  {\"threads\": %u", i ? "," : "", b->counts.at[i]);
    for (int f = 0; f < FIGURES; f++) {
      const samples *s = &b->runners[i].figures[f];
      printf(", \"%s\": %.6g, \"%sSpread\": %.6g", names[f], bench_median(s), names[f],
             bench_spread(s));
    }
    printf(", \"peakBytes\": %.0f, \"isa\": \"%s\", \"cpu\": ", (double)peak,
           hb_isa_name(b->info.isa));
    bench_print_json_string(cpu);
    printf(", \"engine\": ");
    bench_print_json_string(bench_engine());
    printf(", \"commit\": \"%s\"}", bench_commit());
  }
  printf("\n]\n");
}

/* "123.4 +-5 %" */
static const char *with_spread(const samples *s, char *buffer) {
  double median = bench_median(s);
  snprintf(buffer, 32, "%.4g +-%.0f %%", median, median > 0 ? bench_spread(s) / median * 50 : 0.0);
  return buffer;
}

static void print_table(const bench *b, uint64_t peak) {
  char cpu[64], size[24], peak_size[24], text[5][32];
  printf("%s, %s, %s\n", bench_cpu(cpu), bench_engine(), hb_isa_name(b->info.isa));
  printf("weights %s, peak memory %s; prompt %u, generated %u, depth %u, %u times\n\n",
         cli_size(b->info.weight_bytes, size), cli_size(peak, peak_size), b->options->prompt_length,
         b->options->generated, b->options->depth, b->options->repeats);
  printf("%7s  %-16s %-16s %-18s %-14s %-12s %s\n", "threads", "prefill tok/s", "decode tok/s",
         "decode GB/s", "prefill Gop/s", "load s", "first token s");
  for (uint32_t i = 0; i < b->counts.count; i++) {
    const samples *f = b->runners[i].figures;
    double read = bench_median(&f[FIGURE_READ_GBPS]);
    double share = read > 0 ? bench_median(&f[FIGURE_DECODE_GBPS]) / read * 100 : 0;
    snprintf(text[2], sizeof text[2], "%.3g of %.3g: %.0f %%", bench_median(&f[FIGURE_DECODE_GBPS]),
             read, share);
    printf("%7u  %-16s %-16s %-18s %-14.4g %-12.3g %.3g\n", b->counts.at[i],
           with_spread(&f[FIGURE_PREFILL], text[0]), with_spread(&f[FIGURE_DECODE], text[1]),
           text[2], bench_median(&f[FIGURE_PREFILL_GOPS]), bench_median(&f[FIGURE_LOAD_SECONDS]),
           bench_median(&f[FIGURE_FIRST_TOKEN_SECONDS]));
  }
}

static bool start_threads(bench *b) {
  hb_error error;
  for (uint32_t i = 0; i < b->counts.count; i++)
    if (hb_threads_create(b->counts.at[i], &b->runners[i].threads, &error) != HB_OK) {
      cli_fail_error(&error);
      return false;
    }
  return true;
}

static void close_bench(bench *b) {
  hb_probe_destroy(b->read);
  hb_session_destroy(b->session);
  for (uint32_t i = 0; i < b->counts.count; i++) hb_threads_destroy(b->runners[i].threads);
  hb_sampler_destroy(b->sampler);
  hb_model_destroy(b->model);
  free(b->tokens);
  free(b);
}

/* With a loaded model. */
static int measure(bench *b) {
  hb_error error = {0};
  hb_status status = warm_up(b, &error);
  uint64_t peak = bench_peak_memory();
  if (status == HB_OK) status = run_all(b, &error);
  if (status != HB_OK) return cli_fail_error(&error);
  if (b->options->json)
    print_json(b, peak);
  else
    print_table(b, peak);
  return cli_finish_output(CLI_OK);
}

/* A shape or type that no model can have is a wrong option. */
static int check_shape(const cli_options *options) {
  hb_synthetic *synthetic;
  hb_error error;
  hb_status status = hb_synthetic_create(NULL, options->shape, options->weights,
                                         options->weight_seed, &synthetic, &error);
  if (status == HB_OK) {
    hb_synthetic_destroy(synthetic);
    return CLI_OK;
  }
  cli_fail_error(&error);
  return status == HB_ARGUMENT ? CLI_USAGE : CLI_FAILED;
}

static int run(const cli_options *options) {
  thread_counts counts;
  if (!bench_thread_counts(options->thread_counts, &counts)) return CLI_USAGE;
  if (options->kernels) return bench_kernels(options, &counts);
  if (!options->model == !options->shape) {
    cli_fail("bench takes either -m or --shape, or --kernels");
    return CLI_USAGE;
  }
  if (!hb_isa_available(options->isa))
    return cli_fail("this machine or build has no %s", hb_isa_name(options->isa));
  int wrong = options->shape ? check_shape(options) : CLI_OK;
  if (wrong) return wrong;
  bench *b = calloc(1, sizeof *b);
  if (!b) return cli_fail("no memory");
  b->options = options;
  b->counts = counts;
  int code = start_threads(b) && load_models(b) ? measure(b) : CLI_FAILED;
  close_bench(b);
  return code;
}

const cli_command command_bench = {
    .name = "bench",
    .operands = "",
    .summary = "Measures how fast a model, or each kernel, runs here",
    .details = "Medians of tokens per second in prefill and decode, the share of the memory's\n"
               "speed that decoding reaches, load time, time to the first token, memory.\n"
               "With --kernels, --type leaves out the other types.",
    .takes =
        CLI_OPTIONS(OPTION_MODEL, OPTION_SHAPE, OPTION_WEIGHTS, OPTION_WEIGHT_SEED,
                    OPTION_THREAD_COUNTS, OPTION_PROMPT_LENGTH, OPTION_GENERATED, OPTION_REPEATS,
                    OPTION_DEPTH, OPTION_ISA, OPTION_KV, OPTION_JSON, OPTION_KERNELS),
    .run = run,
};
