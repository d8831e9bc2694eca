/* How a model is quantized, by name: what is done to its weights before, and how codes are chosen.
 */
#ifndef HB_METHOD_H
#define HB_METHOD_H

#include "compress/compensate.h"
#include "compress/rtn.h"
#include "model/model.h"

/* X(NAME, "name", calibrates, gram): how the blocks of a matrix are chosen: whether by what its
 * inputs are in calibration text, and by their correlations. */
#define HB_ASSIGNMENT_LIST(X)                                                                      \
  X(ROUND, "rtn", 0, 0)                                                                            \
  X(FIT, "imatrix", 1, 0)                                                                          \
  X(GPTQ, "gptq", 1, 1)                                                                            \
  X(SPQR, "spqr", 1, 1)                                                                            \
  X(CHANNEL, "channel", 0, 0)                                                                      \
  X(HQQ, "hqq", 0, 0)                                                                              \
  X(TABLES, "squeezellm", 1, 0)

typedef enum hb_assignment {
#define HB_ASSIGNMENT_ENUM(name, text, calibrates, gram) HB_ASSIGN_##name,
  HB_ASSIGNMENT_LIST(HB_ASSIGNMENT_ENUM)
#undef HB_ASSIGNMENT_ENUM
} hb_assignment;

typedef struct hb_method {
  hb_assignment assignment;
  bool awq;                   /* inputs that matter are scaled up before */
  bool smooth;                /* inputs that are hard to round are scaled down before */
  bool outlier_columns;       /* weights of large inputs are kept beside the blocks */
  hb_activations activations; /* how inputs become int8 */
  bool by_largest;            /* the largest input tells a fixed scale, not the least error */
  bool measured;              /* what it wants to know is known without running the model */
  const char *type;           /* that its name says; NULL: none */
  /* rtn: whether it is said what shares a grid, and what does. */
  bool shares;
  hb_rtn_granularity granularity;
  uint32_t group; /* columns */
} hb_method;

/* Reads names joined by +, such as "awq+gptq". Later ones add to earlier ones or replace what they
 * said of blocks. "nf4" and "fp4" are rtn onto these types. */
hb_status hb_method_find(const char *text, hb_method *out, hb_error *error);

/* "block", "token", "tensor" or "tensor-max" instead of the method's own. */
hb_status hb_method_set_activations(hb_method *method, const char *name, hb_error *error);

/* rtn: "tensor", "channel", "group" (of `group` columns; 0: 128) or "block" share a scale. NULL:
 * a group if `group` is not 0. */
hb_status hb_method_set_granularity(hb_method *method, const char *name, uint32_t group,
                                    hb_error *error);

/* Whether how large inputs are is all that it wants to know of them. */
bool hb_method_takes_importance(const hb_method *method);
/* Whether it weighs errors by what a gradient file says of weights as they are. */
bool hb_method_takes_gradients(const hb_method *method);
/* Whether the model has to be run over calibration text. */
bool hb_method_calibrates(const hb_method *method);
/* Whether the correlations of inputs are wanted. */
bool hb_method_wants_gram(const hb_method *method);

/* The part of the values of matrices in layers that is kept beside them, unless the caller says
 * another; 0: none. */
double hb_method_outliers(const hb_method *method);

/* Whether the method writes that type: tables of levels and what writes them belong together. */
bool hb_method_writes(const hb_method *method, hb_type type);

/* Whether rows of so many columns of that type divide into the groups that share a scale. */
bool hb_method_divides(const hb_method *method, hb_type type, uint64_t cols);

/* The plainest method that writes that type. */
hb_method hb_method_plain(hb_type type);

/* Chooses the blocks of a matrix that becomes `type`, and, if there is room for them, its outliers.
 * *note is set where the method could not be followed. range: of the whole tensor, where one scale
 * is for all of it and the job has a part; else NULL. */
hb_status hb_method_apply(const hb_method *method, hb_type type, const hb_matrix_job *job,
                          const hb_rtn_range *range, hb_outliers *outliers, const char **note,
                          hb_error *error);

#endif
