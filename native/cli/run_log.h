/* log.jsonl of a training run: a line that tells what run it is, then one for each step and each
 * measurement, in their order. */
#ifndef CLI_RUN_LOG_H
#define CLI_RUN_LOG_H

#include "report/json.h"
#include "run_folder.h"

#include <stdio.h>

typedef struct run_log {
  FILE *stream;
  double seconds; /* of training, up to the last step that was there when it was opened */
} run_log;

/* Opens the log behind that step: later lines, of a process that was killed, go. Behind step 0 it
 * begins anew, with the line `about`. Says what is wrong; here and below. */
bool run_log_open(const run_folder *folder, uint64_t step, const json_text *about, run_log *out);
void run_log_close(run_log *log);

/* seconds: of training, up to here. */
void run_log_step(run_log *log, const hb_train_report *r, double seconds);
void run_log_validation(run_log *log, uint64_t step, double entropy);

/* Brings all that was written to the disk. */
bool run_log_flush(run_log *log);

/* Calls body(context, line) for every line of a log, as JSON, up to the first that is none or that
 * body returns false for. Returns the bytes of those before it. */
size_t run_log_each(const cli_text *log, bool (*body)(void *context, hb_item line), void *context);

#endif
