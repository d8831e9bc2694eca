/* The figures of a comparison as JSON: what `compare --json` prints and what reports keep. */
#ifndef REPORT_FIGURES_H
#define REPORT_FIGURES_H

#include "quality/compare.h"
#include "report/json.h"

/* A member of an open object: {"value", "error"}. */
void figures_write_estimate(json_text *j, const char *name, estimate e);

/* The members of an object that is open. */
void figures_write(json_text *j, const comparison *c);

#endif
