#include "quality/compare.h"
#include "cli/evaluate.h"
#include "gguf/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Opening ---- */

/* Adapters belong to the model, not to the reference. */
static bool open_engine(cli_engine *engine, const char *path, const cli_options *options,
                        bool adapted) {
  cli_options own = *options;
  own.model = path;
  if (!adapted) own.adapters.count = 0;
  return cli_load(engine, &own);
}

static void share_threads(cli_engine *of, cli_engine *with) {
  hb_threads_destroy(with->threads);
  with->threads = NULL;
  with->parallel = of->parallel;
}

static bool check_vocabulary(const compared_pair *pair) {
  uint32_t a = pair->reference.info.vocabulary, b = pair->model.info.vocabulary;
  if (a == b) return true;
  cli_fail("the models have %" PRIu32 " and %" PRIu32
           " tokens: only models with the same vocabulary can be compared",
           a, b);
  return false;
}

/* The windows are the reference's; the other model must give the same. */
static bool check_tokens(compared_pair *pair, const cli_options *options) {
  windows own;
  cli_options with = *options;
  with.context = pair->windows.context;
  if (!windows_open(&pair->model, &with, &own)) return false;
  bool same = windows_same(&pair->windows, &own);
  pair->overlap = own.overlap;
  windows_close(&own);
  if (!same)
    cli_fail("the models split the text into different tokens: only models with the same tokenizer "
             "can be compared");
  return same;
}

static bool open_sessions(compared_pair *pair, const cli_options *options) {
  cli_engine *engines[] = {&pair->reference, &pair->model};
  for (int i = 0; i < 2; i++)
    if (!cli_open_session(engines[i], options, pair->windows.context, 0, evaluate_rows(engines[i])))
      return false;
  return true;
}

static bool open_models(const char *reference, const char *model, const cli_options *options,
                        compared_pair *out) {
  *out = (compared_pair){.reference_path = reference, .model_path = model};
  bool ok = open_engine(&out->reference, reference, options, false) &&
            open_engine(&out->model, model, options, true) && check_vocabulary(out);
  if (ok) share_threads(&out->reference, &out->model);
  return ok;
}

bool compared_open(const char *reference, const char *model, const cli_options *options,
                   compared_pair *out) {
  bool ok = open_models(reference, model, options, out) &&
            windows_open(&out->reference, options, &out->windows) && check_tokens(out, options) &&
            open_sessions(out, options);
  if (!ok) compared_close(out);
  return ok;
}

bool compared_open_plain(const char *reference, const char *model, const cli_options *options,
                         const cli_tokens *tokens, uint32_t context, compared_pair *out) {
  bool ok = open_models(reference, model, options, out) &&
            windows_of(tokens, context, &out->windows) && open_sessions(out, options);
  if (!ok) compared_close(out);
  return ok;
}

void compared_close(compared_pair *pair) {
  windows_close(&pair->windows);
  cli_close(&pair->model);
  cli_close(&pair->reference);
}

/* ---- Running ---- */

typedef struct run {
  compared_pair *pair;
  const hb_kernels *kernels;
  divergence_row *rows; /* of a step */
  float *scratch;
  uint32_t most; /* tokens of a step */
  divergence divergence;
} run;

/* Reads tokens `at` .. `at` + count - 1 of a window with both models and compares. */
static bool run_step(run *r, const cli_tokens *window, size_t at, size_t count) {
  compared_pair *p = r->pair;
  size_t first = p->windows.first > at ? p->windows.first - at : 0;
  /* What follows a window's last token is not the models' to guess. */
  size_t end = at + count == window->count ? count - 1 : count;
  const hb_token *tokens = window->data + at;
  if (!evaluate_step(&p->reference, tokens, count, first, end) ||
      !evaluate_step(&p->model, tokens, count, first, end))
    return false;
  size_t rows = first < end ? end - first : 0;
  for (size_t i = 0; i < rows; i++)
    r->rows[i] = (divergence_row){
        .reference = hb_session_logits(p->reference.session, i),
        .logits = hb_session_logits(p->model.session, i),
        .next = tokens[first + i + 1],
    };
  divergence_compute(r->kernels, &p->reference.parallel, p->reference.info.vocabulary, r->rows,
                     rows, r->scratch);
  return divergence_add(&r->divergence, r->rows, rows);
}

static bool run_window(run *r, size_t index) {
  cli_tokens window = windows_at(&r->pair->windows, index);
  hb_session_rewind(r->pair->reference.session, 0);
  hb_session_rewind(r->pair->model.session, 0);
  for (size_t at = 0; at < window.count; at += r->most) {
    size_t left = window.count - at;
    if (!run_step(r, &window, at, left < r->most ? left : r->most)) return false;
  }
  return true;
}

static bool run_windows(run *r) {
  progress bar;
  char label[48] = "comparing";
  bool ok = true;
  progress_begin(&bar, label);
  for (size_t i = 0; ok && i < r->pair->windows.count; i++) {
    ok = run_window(r, i);
    snprintf(label, sizeof label, "KLD %.5f", moments_mean(&r->divergence.divergences).value);
    progress_update(&bar, i + 1, r->pair->windows.count);
  }
  progress_end(&bar);
  return ok;
}

static bool run_open(run *r, compared_pair *pair) {
  const windows *w = &pair->windows;
  uint32_t vocabulary = pair->reference.info.vocabulary;
  *r = (run){.pair = pair,
             .kernels = hb_kernels_for(pair->reference.info.isa),
             .most = evaluate_rows(&pair->reference)};
  r->rows = malloc(r->most * sizeof *r->rows);
  r->scratch = malloc((size_t)pair->reference.parallel.threads * vocabulary * sizeof *r->scratch);
  if (r->rows && r->scratch)
    return divergence_open(&r->divergence, w->count * (w->context - 1 - w->first));
  cli_fail("no memory");
  return false;
}

static void run_close(run *r) {
  divergence_close(&r->divergence);
  free(r->scratch);
  free(r->rows);
}

/* ---- What follows from it ---- */

uint64_t model_file_bytes(const hb_gguf *gguf) {
  uint64_t bytes = 0, shard_end = 0;
  uint32_t shard = 0;
  for (size_t i = 0; i < hb_gguf_tensor_count(gguf); i++) {
    const hb_tensor *t = hb_gguf_tensor_at(gguf, i);
    if (t->shard != shard) bytes += shard_end;
    shard = t->shard;
    shard_end = hb_gguf_shard_data_start(gguf, shard) + t->offset + t->bytes;
  }
  return bytes + shard_end;
}

static bool describe_model(const cli_engine *engine, const char *path, const comparison *c,
                           const cli_options *options, uint64_t values, compared_model *out) {
  hb_session_options session = {.context_length = c->context, .kv = options->kv};
  hb_error error;
  *out = (compared_model){
      .path = path,
      .file_bytes = model_file_bytes(hb_model_gguf(engine->model)),
      .bits_per_weight = 8 * (double)engine->info.file_bytes / (double)values,
      .weight_bytes = engine->info.weight_bytes,
  };
  if (hb_session_memory(engine->model, &session, &out->session_bytes, &error) == HB_OK) return true;
  cli_fail_error(&error);
  return false;
}

static void conclude(divergence *d, comparison *c) {
  c->tokens = d->count;
  c->reference.perplexity = moments_exp(&d->reference_losses);
  c->model.perplexity = moments_exp(&d->losses);
  c->log_ratio = moments_mean(&d->changes);
  c->mean_kl = moments_mean(&d->divergences);
  c->same_top = share_of(d->same_top, d->count);
  c->rms_change = moments_root(&d->squares);
  sort_values(d->values, d->count);
  c->median_kl = quantile(d->values, d->count, 0.5);
  c->kl90 = quantile(d->values, d->count, 0.9);
  c->kl95 = quantile(d->values, d->count, 0.95);
  c->kl99 = quantile(d->values, d->count, 0.99);
  c->kl999 = quantile(d->values, d->count, 0.999);
  c->max_kl = quantile(d->values, d->count, 1);
}

static bool measure_both(compared_pair *pair, comparison *c) {
  cli_engine *engines[] = {&pair->reference, &pair->model};
  cli_tokens tokens = windows_at(&pair->windows, 0);
  speed speeds[2];
  if (!measure_speeds(engines, 2, &tokens, speeds)) return false;
  c->reference.speed = speeds[0];
  c->model.speed = speeds[1];
  return true;
}

/* Of what was not measured. */
static void clear_model(compared_model *m) {
  m->perplexity = (estimate){NAN, NAN};
  m->speed = (speed){NAN, NAN};
}

bool compared_describe(const compared_pair *pair, const cli_options *options, comparison *out) {
  uint64_t values = pair->reference.info.parameters;
  const estimate none = {NAN, NAN};
  *out = (comparison){.convention = options->convention,
                      .context = pair->windows.context,
                      .overlap = pair->overlap,
                      .log_ratio = none,
                      .mean_kl = none,
                      .median_kl = NAN,
                      .kl90 = NAN,
                      .kl95 = NAN,
                      .kl99 = NAN,
                      .kl999 = NAN,
                      .max_kl = NAN,
                      .same_top = none,
                      .rms_change = none,
                      .threads = pair->reference.parallel.threads};
  if (!describe_model(&pair->reference, pair->reference_path, out, options, values,
                      &out->reference) ||
      !describe_model(&pair->model, pair->model_path, out, options, values, &out->model))
    return false;
  clear_model(&out->reference);
  clear_model(&out->model);
  return true;
}

bool compared_run(compared_pair *pair, const cli_options *options, comparison *out) {
  run r;
  if (!compared_describe(pair, options, out)) return false;
  out->chunks = pair->windows.count;
  bool ok = run_open(&r, pair) && run_windows(&r);
  if (ok) conclude(&r.divergence, out);
  run_close(&r);
  return ok && measure_both(pair, out);
}

void compared_warn(const comparison *c) {
  double ratio = c->model.perplexity.value / c->reference.perplexity.value;
  if (!(ratio > COLLAPSED_RATIO)) return;
  cli_warn("the perplexity is %.3g times the reference's, with %.3g bits a weight: this model is "
           "spoiled. More bits, or a method that calibrates, may save it",
           ratio, c->model.bits_per_weight);
}
