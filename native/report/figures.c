#include "report/figures.h"
#include "bench/bench.h"

void figures_write_estimate(json_text *j, const char *name, estimate e) {
  json_key(j, name);
  json_open(j, '{');
  json_member_number(j, "value", e.value);
  json_member_number(j, "error", e.error);
  json_end(j, '}');
}

static void write_model(json_text *j, const char *name, const compared_model *m) {
  json_key(j, name);
  json_open(j, '{');
  json_member_string(j, "path", m->path);
  figures_write_estimate(j, "perplexity", m->perplexity);
  json_member_count(j, "fileBytes", m->file_bytes);
  json_member_number(j, "bitsPerWeight", m->bits_per_weight);
  json_member_count(j, "weightBytes", m->weight_bytes);
  json_member_count(j, "sessionBytes", m->session_bytes);
  json_member_number(j, "prefill", m->speed.prefill);
  json_member_number(j, "decode", m->speed.decode);
  json_end(j, '}');
}

static void write_machine(json_text *j, const comparison *c) {
  char cpu[64];
  json_member_string(j, "cpu", bench_cpu(cpu));
  json_member_string(j, "engine", bench_engine());
  json_member_string(j, "commit", bench_commit());
  json_member_count(j, "threads", c->threads);
}

void figures_write(json_text *j, const comparison *c) {
  write_model(j, "reference", &c->reference);
  write_model(j, "model", &c->model);
  json_member_string(j, "convention", c->convention == CONVENTION_HF ? "hf" : "llama");
  json_member_count(j, "context", c->context);
  json_member_count(j, "chunks", c->chunks);
  json_member_count(j, "tokens", c->tokens);
  figures_write_estimate(j, "logRatio", c->log_ratio);
  figures_write_estimate(j, "meanKl", c->mean_kl);
  json_member_number(j, "medianKl", c->median_kl);
  json_member_number(j, "kl90", c->kl90);
  json_member_number(j, "kl95", c->kl95);
  json_member_number(j, "kl99", c->kl99);
  json_member_number(j, "kl999", c->kl999);
  json_member_number(j, "maxKl", c->max_kl);
  figures_write_estimate(j, "sameTop", c->same_top);
  figures_write_estimate(j, "rmsChange", c->rms_change);
  json_key(j, "calibrationOverlap");
  json_open(j, '{');
  json_member_count(j, "known", c->overlap.known);
  json_member_count(j, "found", c->overlap.found);
  json_end(j, '}');
  write_machine(j, c);
}
