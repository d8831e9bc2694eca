/* A model in memory as it is when it runs, of whatever type: what adapters are trained on. */
#ifndef HB_TRAIN_FROZEN_H
#define HB_TRAIN_FROZEN_H

#include "model/model.h"

/* Reads all files of a source. To be ended by hb_model_destroy. */
hb_status hb_frozen_load(const hb_load_options *options, const hb_source *source, hb_model **out,
                         hb_error *error);

#endif
