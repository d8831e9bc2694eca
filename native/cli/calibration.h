/* Text that a model is calibrated with, as tokens. */
#ifndef CLI_CALIBRATION_H
#define CLI_CALIBRATION_H

#include "common.h"

typedef struct cli_calibration {
  hb_token *tokens; /* [samples][length], from malloc */
  uint32_t samples, length;
} cli_calibration;

/* Reads the files that the options name, and splits them with the source's tokenizer into pieces,
 * of which some are taken, spread evenly or as a seed draws them. Says so and returns false if
 * there are none or too few. */
bool cli_calibration_read(const hb_source *source, const cli_options *options,
                          cli_calibration *out);

#endif
