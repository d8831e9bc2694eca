/* The functions of the module that quantizes. */
#include "files.h"
#include "gguf/gguf.h"

/* The type of a matrix instead of that one. */
HB_WASM_IMPORT("choose") hb_type hb_wasm_choose(const hb_tensor *tensor, hb_type type);
/* What a budget gives a tensor. */
HB_WASM_IMPORT("budget")
void hb_wasm_budget(const hb_tensor *tensor, hb_type type, double bytes, double sensitivity);
/* What became of a tensor. */
HB_WASM_IMPORT("report")
void hb_wasm_report(const hb_tensor *tensor, hb_type type, double bytes, double error,
                    const char *reason, const char *note);
/* How far it is. */
HB_WASM_IMPORT("progress") void hb_wasm_progress(double done, double total);

const hb_allocator *hb_wasm_allocator(void);
int hb_wasm_set_option(const char *name, const char *text, double number);
hb_status hb_wasm_quantize(const hb_gguf *gguf, const hb_gguf *importance, const hb_gguf *gradients,
                           double bits, const hb_token *calibration, uint32_t samples,
                           uint32_t length, const hb_parallel *parallel, hb_error *error);

/* ---- Options ---- */

/* Those of hb_quantize_options that are texts or numbers. */
#define TEXT_OPTIONS(X) X(type) X(method) X(activations) X(granularity)
#define NUMBER_OPTIONS(X) X(outliers) X(outlier_threshold) X(smooth_alpha) X(group_size)

static hb_quantize_options options;

/* Sets the option of that name: to a text, which is not copied, or to a number. Returns 0 if there
 * is no such option. */
int hb_wasm_set_option(const char *name, const char *text, double number) {
#define SET_TEXT(option)                                                                           \
  if (strcmp(name, #option) == 0) {                                                                \
    options.option = text;                                                                         \
    return 1;                                                                                      \
  }
#define SET_NUMBER(option)                                                                         \
  if (strcmp(name, #option) == 0) {                                                                \
    options.option = number;                                                                       \
    return 1;                                                                                      \
  }
  TEXT_OPTIONS(SET_TEXT)
  NUMBER_OPTIONS(SET_NUMBER)
  return 0;
}

/* ---- Quantizing ---- */

static hb_type choose(void *context, const hb_tensor *tensor, hb_type type) {
  (void)context;
  return hb_wasm_choose(tensor, type);
}

static void report(void *context, const hb_quantize_report *r) {
  (void)context;
  hb_wasm_report(r->tensor, r->type, (double)r->bytes, r->error, r->reason, r->note);
}

static int advance(void *context, uint64_t done, uint64_t total) {
  (void)context;
  hb_wasm_progress((double)done, (double)total);
  return 0;
}

/* Tells JavaScript the types that fit into the budget, which then chooses them. */
static hb_status choose_types(const hb_source *source, double bits, hb_error *error) {
  const hb_allocator *allocator = options.allocator;
  size_t count = hb_gguf_tensor_count(source->gguf);
  hb_budget_choice *chosen = hb_allocate(allocator, (uint64_t)count * sizeof *chosen);
  if (!chosen) return hb_fail(error, HB_MEMORY, HB_NO_OFFSET, "no memory for a budget");
  hb_status status = hb_budget_choose(source, &options, bits, chosen, error);
  for (size_t i = 0; status == HB_OK && i < count; i++)
    if (chosen[i].bytes > 0)
      hb_wasm_budget(hb_gguf_tensor_at(source->gguf, i), chosen[i].type, (double)chosen[i].bytes,
                     chosen[i].sensitivity);
  hb_release(allocator, chosen, (uint64_t)count * sizeof *chosen);
  return status;
}

/* hb_quantize, with the options that were set, of files whose headers were read; `bits` other than
 * 0 is a budget. Of importance and gradients one may be there. */
hb_status hb_wasm_quantize(const hb_gguf *gguf, const hb_gguf *importance, const hb_gguf *gradients,
                           double bits, const hb_token *calibration, uint32_t samples,
                           uint32_t length, const hb_parallel *parallel, hb_error *error) {
  /* An importance or gradient file has the number behind those of the source. */
  hb_wasm_files files = {0}, behind = {hb_gguf_shard_count(gguf)};
  hb_source source = hb_wasm_source(gguf, &files);
  hb_source second = hb_wasm_source(importance ? importance : gradients, &behind);
  options.allocator = hb_wasm_allocator();
  options.parallel = parallel;
  options.calibration = calibration;
  options.calibration_samples = samples;
  options.calibration_length = length;
  options.importance = importance ? &second : NULL;
  options.gradients = gradients ? &second : NULL;
  options.choose = choose;
  options.report = report;
  options.progress = advance;
  if (bits > 0) HB_TRY(choose_types(&source, bits, error));
  return hb_quantize(&source, &options, &hb_wasm_sink, error);
}
