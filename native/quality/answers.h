/* What a model makes of a task. Of its choices, each continuing the prompt behind a space, the
 * model takes the likeliest; by length, the one with the largest logarithm of the probability for
 * each of its characters. A last word is told if each of its tokens is the likeliest where it
 * stands. */
#ifndef QUALITY_ANSWERS_H
#define QUALITY_ANSWERS_H

#include "cli/common.h"
#include "quality/statistics.h"
#include "quality/tasks.h"

typedef struct answer_scores {
  uint64_t choices; /* tasks with choices */
  uint64_t right, right_by_length;
  uint64_t words; /* tasks with a last word */
  uint64_t told;
  moments word_losses; /* minus the logarithm of a last word's probability */
} answer_scores;

/* Answers a task and adds to the scores. Says what is wrong, after `place`. */
bool answer_task(const cli_engine *engine, const task *t, const char *place, answer_scores *scores);

#endif
