/* The figures of a comparison as JSON: what `compare --json` prints and what reports keep. */
#ifndef REPORT_FIGURES_H
#define REPORT_FIGURES_H

#include "quality/compare.h"
#include "report/json.h"

/* The members of an object that is open. */
void figures_write(json_text *j, const comparison *c);

#endif
