/* Text to calibrate a model with that it writes itself, where no other is at hand. */
#ifndef CLI_OWN_TEXT_H
#define CLI_OWN_TEXT_H

#include "calibration.h"

#define CLI_OWN_TEXT "self" /* its name among the files to calibrate with */

/* Loads the model, the first operand, and draws about 8192 tokens from it: pieces that each begin
 * anew, by the seed of the options or always the same. Says so; on failure says why and returns
 * false. */
bool cli_own_text(const cli_options *options, cli_calibration *out);

#endif
