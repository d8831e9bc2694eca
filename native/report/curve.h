/* The page of a training run: what its log.jsonl has, drawn. It needs nothing else. */
#ifndef REPORT_CURVE_H
#define REPORT_CURVE_H

#include "report/json.h"

typedef struct curve {
  json_text data; /* of the page: the run, its steps, in groups where they are many, and what was
                     measured */
} curve;

/* Reads a log. Says what is wrong and returns false. */
bool curve_read(const char *path, curve *out);
void curve_close(curve *curve);

/* Writes the page of a curve. */
hb_status curve_write(void *curve, const hb_sink *sink, hb_error *error);

#endif
