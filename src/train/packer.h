/* Documents cut into sequences of equal length, in an order that a seed tells: each epoch goes once
 * through all documents, shuffled and laid end to end, and takes the sequences of that stream in a
 * shuffled order, too. A sequence is found by its number alone, so that a run can go on anywhere.
 */
#ifndef HB_TRAIN_PACKER_H
#define HB_TRAIN_PACKER_H

#include "base/base.h"

typedef struct hb_packer hb_packer;

/* start[documents + 1]: where each begins in tokens, which are copied neither; both must outlive
 * the packer. The end of the stream that fills no sequence waits for the next epoch's shuffle.
 * HB_ARGUMENT if there is no sequence. */
hb_status hb_packer_create(const hb_allocator *allocator, const hb_token *tokens,
                           const uint64_t *start, uint32_t documents, uint32_t length,
                           uint64_t seed, hb_packer **out, hb_error *error);
void hb_packer_destroy(hb_packer *packer);

/* Sequences of an epoch. */
uint64_t hb_packer_count(const hb_packer *packer);

/* Sequence `number`, from 0 on: [length] each. A token's target is the next one of its document,
 * -1 behind the last; first is where in the sequence its document begins. */
void hb_packer_take(hb_packer *packer, uint64_t number, hb_token *tokens, int32_t *targets,
                    uint32_t *first);

/* order[count] = 0 .. count - 1, shuffled by what is drawn from *state. */
void hb_shuffle(uint32_t *order, uint32_t count, uint64_t *state);

#endif
