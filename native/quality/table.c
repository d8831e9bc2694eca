#include "quality/compare.h"

#include <inttypes.h>
#include <stdio.h>

static void print_model(const char *name, const compared_model *m) {
  char file[24], weights[24], session[24];
  printf("%-10s %9.4f +- %-8.4f %10s %6.3f %9.1f %9.1f   %s + %s\n", name, m->perplexity.value,
         m->perplexity.error, cli_size(m->file_bytes, file), m->bits_per_weight, m->speed.decode,
         m->speed.prefill, cli_size(m->weight_bytes, weights), cli_size(m->session_bytes, session));
}

void compared_print(const comparison *c) {
  printf("%-10s %-21s %10s %6s %9s %9s   %s\n", "", "perplexity", "file", "bits", "decode/s",
         "prefill/s", "memory: weights + context");
  print_model("reference", &c->reference);
  print_model("model", &c->model);
  printf("\nln(ratio of perplexities)   %.6f +- %.6f\n", c->log_ratio.value, c->log_ratio.error);
  printf("KL divergence, mean         %.6f +- %.6f nats\n", c->mean_kl.value, c->mean_kl.error);
  printf("  median                    %.6f\n", c->median_kl);
  printf("  90 %%, 95 %%                %.6f, %.6f\n", c->kl90, c->kl95);
  printf("  99 %%, 99.9 %%              %.6f, %.6f\n", c->kl99, c->kl999);
  printf("  largest                   %.6f\n", c->max_kl);
  printf("same likeliest token        %.3f +- %.3f %%\n", 100 * c->same_top.value,
         100 * c->same_top.error);
  printf("RMS change of probability   %.3f +- %.3f %%\n", 100 * c->rms_change.value,
         100 * c->rms_change.error);
  printf("%zu chunks of %" PRIu32 ", %" PRIu64 " tokens scored; %" PRIu32 " threads\n", c->chunks,
         c->context, c->tokens, c->threads);
}
