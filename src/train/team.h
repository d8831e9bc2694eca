/* The threads of training: work on rows or columns, each thread with a room of its own. */
#ifndef HB_TRAIN_TEAM_H
#define HB_TRAIN_TEAM_H

#include "train/kernels.h"

typedef struct hb_team {
  const hb_allocator *allocator;
  const hb_parallel *parallel;
  const hb_train_kernels *kernels;
  bool bf16; /* products may round their operands to bf16 */
  uint32_t threads;
  uint8_t *rooms;  /* of products */
  uint8_t *extras; /* [threads][extra_bytes] */
  uint64_t extra_bytes;
  uint8_t *memory; /* of both */
  uint64_t bytes;
} hb_team;

/* `extra` bytes are for each thread. HB_ARGUMENT or HB_UNSUPPORTED names what this
 * machine lacks. */
hb_status hb_team_begin(hb_team *team, const hb_allocator *allocator, const hb_parallel *parallel,
                        hb_isa isa, bool bf16, uint64_t extra, hb_error *error);
void hb_team_end(hb_team *team);

/* Of a thread: what gemm works in, and the extra bytes. */
void *hb_team_room(const hb_team *team, uint32_t thread);
void *hb_team_extra(const hb_team *team, uint32_t thread);

/* Calls body(context, thread, first, end) with shares of 0 .. count - 1, whose bounds are multiples
 * of `unit`, one a thread at most; returns when all have returned. */
void hb_team_divide(const hb_team *team, uint32_t count, uint32_t unit,
                    void (*body)(void *context, uint32_t thread, uint32_t first, uint32_t end),
                    void *context);

/* A product, divided over the threads by rows or columns: the result does not depend on them. */
void hb_team_multiply(const hb_team *team, const hb_gemm *g);

#endif
