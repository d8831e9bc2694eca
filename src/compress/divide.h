/* Work on rows, divided over threads. */
#ifndef HB_DIVIDE_H
#define HB_DIVIDE_H

#include "base/base.h"

/* Calls body(context, first, end) with shares of 0 .. count - 1, one for each thread at most, and
 * returns when all have returned. Rounding is to nearest and subnormal numbers count in each. */
void hb_divide(const hb_parallel *parallel, uint32_t count,
               void (*body)(void *context, uint32_t first, uint32_t end), void *context);

#endif
