/* Reports: what a quantized model is like beside the one that it was made from, kept in a folder as
 * report.json, which holds every run that was reported there, and index.html, one page that needs
 * nothing else and shows them all. */
#ifndef REPORT_H
#define REPORT_H

#include "quality/compare.h"
#include "quant/quant.h"

enum { REPORT_BINS = 64, REPORT_MOST_SAMPLES = 3 };

/* How many values lie where: bin i holds those from (i / 4 - 8) times the root of the mean square
 * up to the next bin; the first and the last hold all beyond. */
typedef struct report_histogram {
  double root_mean_square, largest; /* of magnitudes */
  uint64_t count;
  uint64_t outliers; /* beyond 6 times the root of the mean square */
  uint64_t bins[REPORT_BINS];
} report_histogram;

typedef struct report_tensor {
  const char *name; /* of the matrix; the model's */
  hb_type type;
  uint64_t values, bytes;   /* bytes with those of outliers beside the matrix */
  double error;             /* sum of squared differences over sum of squares */
  bool rescaled;            /* vectors of its layer changed, too: `error` is what scaling rows and
                               columns back leaves */
  report_histogram weights; /* of the reference */
  bool has_input;           /* false: it shares the input of the matrix before it, or has none */
  report_histogram input;   /* of the reference, on some of the text */
} report_tensor;

/* Texts from malloc. */
typedef struct report_sample {
  char *prompt, *reference, *model; /* how each goes on, taking the likeliest token */
} report_sample;

typedef struct report_run {
  comparison figures;
  char method[64]; /* that made the model; empty: its file does not say */
  report_tensor *tensors;
  size_t tensor_count;
  double *layer_errors; /* of the residual stream behind each layer, as those of tensors */
  size_t layer_count;
  report_sample samples[REPORT_MOST_SAMPLES];
  size_t sample_count;
} report_run;

/* Collects what a report tells beside the figures of a comparison. Says what is wrong; here and
 * below. The run is to be closed, whatever is returned. */
bool report_gather(compared_pair *pair, const comparison *figures, const char *method,
                   report_run *out);
void report_close(report_run *run);

/* Makes the folder if it is not there, and looks at what it has: so early, what keeps a report from
 * being written can be told. */
bool report_check(const char *folder);

/* Adds the run to the folder's report, in the place of an earlier one of the same model, and makes
 * the folder if it is not there. */
bool report_write(const char *folder, const report_run *run);

/* All of it for two files: compares them on the text of the options and, where `folder` is given,
 * reports. method: that made the model, unless its file says so; NULL: it is not known. */
bool report_compare(const char *reference, const char *model, const char *method,
                    const cli_options *options, const char *folder, comparison *out);

/* A report of two files that no text is there to compare them on: layers and samples are looked at
 * with `tokens`, in windows of `context`, unless there are none. */
bool report_plain(const char *reference, const char *model, const char *method,
                  const cli_options *options, const cli_tokens *tokens, uint32_t context,
                  const char *folder);

/* ---- The parts of report_gather ---- */

bool report_tensors(const compared_pair *pair, report_run *out);
bool report_layers(compared_pair *pair, report_run *out);
bool report_samples(compared_pair *pair, report_run *out);

/* A histogram takes all values twice: first for their root mean square. */
void histogram_measure(report_histogram *h, const float *x, size_t count);
void histogram_count(report_histogram *h, const float *x, size_t count);

#endif
